"""Drawing of figures: numbers in, matplotlib figures out."""
