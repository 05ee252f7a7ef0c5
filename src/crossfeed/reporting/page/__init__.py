"""The report of one run: its sections, tables, figures and sentences."""
