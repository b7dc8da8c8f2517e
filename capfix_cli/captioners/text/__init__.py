"""Captioners that give text alone: a function, a command, an endpoint."""
