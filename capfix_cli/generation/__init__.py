"""Captions of whole folders: resumable, in one process or several."""
