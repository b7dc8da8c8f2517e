"""What the training captions and the training settings say about a captioner's faults."""
