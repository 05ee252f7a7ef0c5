"""How figures look and how they are drawn: numbers in, matplotlib figures out."""
