"""Hugging Face models that turn audio into text."""
