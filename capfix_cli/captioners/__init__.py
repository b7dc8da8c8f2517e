"""A checkpoint becomes a Captioner: own, adapter or Hugging Face."""
