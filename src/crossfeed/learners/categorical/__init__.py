"""Categorical distributions fitted by maximum likelihood, or with a Dirichlet prior, as generative models."""
