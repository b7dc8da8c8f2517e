"""What names, shapes and values of tensors say about a network."""
