"""Predictions and plans as tables, figures and files."""
