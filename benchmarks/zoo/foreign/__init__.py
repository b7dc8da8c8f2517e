"""Captioners written apart from the project's own: other worlds, networks, habits and faults."""
