"""Causes, one file each: how a cause is found and what would mend it."""
