"""Stage 1: a checkpoint is loaded safely and becomes a Captioner."""
