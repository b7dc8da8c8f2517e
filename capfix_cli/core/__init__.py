"""What every stage stands on: errors, thresholds, words, progress, files and random streams."""
