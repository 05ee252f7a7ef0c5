"""Data sets that models are trained and tested on.

A data set has items with a prompt and a completion, in splits that share no item.

Sources are named in descriptions (see `crossfeed.description.registry`): built in (`crossfeed.tasks.builtin`),
published or your own (`crossfeed.tasks.hub`). Importing any of them loads neither torch nor the Hugging Face libraries.
"""
