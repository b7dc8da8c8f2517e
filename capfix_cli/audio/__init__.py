"""Files become waveforms, waveforms become batches."""
