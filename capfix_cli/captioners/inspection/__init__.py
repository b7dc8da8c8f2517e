"""Reading what is inside a checkpoint without running anything in it."""
