"""One generation of an ecosystem: weights, draws, the pool, curation, training and measurement; free of any model."""
