"""Causal language models from Hugging Face's transformers, given by name or made from scratch.

Importing this package, and `crossfeed.learners.language.settings`, needs no torch; `LanguageSettings.build` does.
"""

from crossfeed.learners.language.settings import LanguageSettings

__all__ = ["LanguageSettings"]
