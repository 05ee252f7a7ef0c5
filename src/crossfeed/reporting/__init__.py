"""Results of runs: tables of numbers from run folders, figures, tables in the terminal, HTML pages."""
