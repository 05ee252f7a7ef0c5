"""Causal language models from Hugging Face's transformers, given by name or pretrained from scratch."""
