"""Experiments on a captioner and audio give evidence."""
