"""Filters of the pool, which answer: may a published item be drawn? Applied by `crossfeed.generation.curation`."""
