"""What came of a run: frames (run folder -> tables of numbers), figures, tables in the terminal, one HTML page."""
