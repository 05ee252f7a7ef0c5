"""The survey of the training data that makers of language models state."""
