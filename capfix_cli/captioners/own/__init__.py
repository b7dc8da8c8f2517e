"""capfix's own captioners: one configurable family, every choice of the document a field."""
