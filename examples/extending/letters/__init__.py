"""A learner, a task, a metric and a filter for crossfeed, each in a file of its own."""
