"""The turns of a cell, one process at work on a run, and how far a run is."""
