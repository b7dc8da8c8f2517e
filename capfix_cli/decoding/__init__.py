"""A captioner and options give captions."""
