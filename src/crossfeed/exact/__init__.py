"""Experiments in the terms of the exact theory: their prediction, and the weights that are best for them."""
