"""Retraining: recipe, data, objective, loop and proof."""
