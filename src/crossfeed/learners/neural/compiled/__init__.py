"""Operations between matrix products in C: compiled on the machine that runs them, where that has a compiler."""
