"""Causal language models from Hugging Face's transformers, given by name or made from scratch."""
