"""Features in place of audio: files of arrays become clips, matched with captions."""
