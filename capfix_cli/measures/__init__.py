"""Stage 4: captions give numbers with intervals."""
