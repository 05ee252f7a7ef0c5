"""Metrics of an ecosystem, one file each: definition and source are in its docstring, titles in its `measures`."""
