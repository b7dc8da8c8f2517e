"""Measurements of capfix, each a program: ``python -m benchmarks.<kind>.<name>``."""
