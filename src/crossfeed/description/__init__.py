"""Descriptions of experiments.

Ecosystems, experiments and their grids are frozen values, read from YAML and from Python and written to YAML; learners,
tasks, metrics and filters are chosen by name from the registry.
"""
