"""Language models that read images as text and write what is on them."""
