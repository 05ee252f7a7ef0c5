"""Forecasts of ecosystems whose models are scored by a loss: a small surrogate, identified from short probes."""
