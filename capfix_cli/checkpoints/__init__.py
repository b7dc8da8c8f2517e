"""Checkpoints opened safely: weights, settings, vocabulary and the X-ray; nothing in them runs."""
