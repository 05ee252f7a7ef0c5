"""Class-conditional generators of small images, trained from scratch by flow matching."""
