"""Diagnosis of a captioner that gives text alone, by asking it."""
