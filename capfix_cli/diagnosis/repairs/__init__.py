"""Repairs without training: applied to a captioner and measured."""
