"""Decoding trials: applied to a captioner and measured."""
