"""Where thresholds and corridors come from."""
