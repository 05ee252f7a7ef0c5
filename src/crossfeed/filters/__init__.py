"""Filters of the pool: which published items may be drawn; `crossfeed.generation.curation` applies them."""
