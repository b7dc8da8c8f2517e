"""Captions give numbers with intervals."""
