"""What reports are made from: a run folder opened, tables of numbers, and how tables are laid out."""
