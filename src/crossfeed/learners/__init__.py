"""Kinds of generative models; each has a settings class that imports without its heavy libraries."""
