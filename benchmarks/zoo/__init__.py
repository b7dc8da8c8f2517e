"""Faulty and sound captioners that benchmarks and tests share."""
