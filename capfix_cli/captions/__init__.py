"""Caption files of any layout, read and written."""
