"""The fixes: what is known about each, trials of the decoding ones, and the ordered plan."""
