"""Code to write for a user's own model: the architecture fixes fitted to what the X-ray found."""
