"""Stage 9: results on the terminal and as JSON."""
