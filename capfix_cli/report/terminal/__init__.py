"""Results as people read them: rendered with rich."""
