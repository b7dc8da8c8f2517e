"""The versioned records that stages hand each other and that are written to disk."""
