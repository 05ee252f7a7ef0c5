"""Data behind reports: opened run folders, tables of numbers, and the layout of tables."""
