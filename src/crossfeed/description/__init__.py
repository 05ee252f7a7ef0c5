"""What an experiment is: descriptions as frozen values, read from YAML and from Python, and the registry of kinds."""
