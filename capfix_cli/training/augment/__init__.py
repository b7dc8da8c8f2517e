"""Augmentation (fix 3.4): of waveforms, of features, and of captions."""
