"""A captioner derived from a live network: its own code is run, watched and never rewritten."""
