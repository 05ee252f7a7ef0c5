"""Filters of the pool: which published items may be drawn (applied by `crossfeed.generation.curation`)."""
