"""Definitions of model collapse, and those that a run meets."""
