"""A captioned world made from nothing, for the demo and for the benchmarks."""
