"""Several runs beside each other on one page."""
