"""Stage 3: a captioner and options give captions."""
