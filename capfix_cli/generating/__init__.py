"""Captioning folders of any size: resumable, in one process or in several."""
