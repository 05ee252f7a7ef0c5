"""Work between matrix products in C: compiled on the machine that runs it, where that has a compiler."""
