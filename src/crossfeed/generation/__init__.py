"""One turn of an ecosystem: weights, draws, the pool, curation, training and measurement. It knows no model."""
