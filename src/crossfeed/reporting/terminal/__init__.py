"""Tables in the terminal, and the same as plain data for programs."""
