"""File formats of checkpoints, and what each of them holds."""
