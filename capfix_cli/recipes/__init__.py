"""Stage 8: the plan's training part as a file, and the training that runs it."""
