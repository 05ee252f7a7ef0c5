"""What is measured of an ecosystem, one file a metric; each metric's definition and source are in its docstring."""
