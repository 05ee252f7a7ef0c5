"""Paired differences of grid points: which points pair, the verb `contrast`, and how a table is shown."""
