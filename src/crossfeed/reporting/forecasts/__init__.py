"""Forecasts as tables, figures and files."""
