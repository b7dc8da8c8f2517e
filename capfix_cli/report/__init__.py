"""Results on the terminal and as JSON."""
