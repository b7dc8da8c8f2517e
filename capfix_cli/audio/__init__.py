"""Stage 2: files become waveforms, waveforms become batches."""
