"""The generations of a cell, one process at work on a run, and the status of a run."""
