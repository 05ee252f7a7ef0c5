"""Runs beside the paper's tables."""
