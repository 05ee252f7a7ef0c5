"""Filters of the pool: which published items may be drawn (`crossfeed.curation` says how they are applied)."""
