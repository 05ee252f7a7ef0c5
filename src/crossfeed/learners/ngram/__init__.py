"""Language models of n-gram counts, whose back-off is the mean of a hierarchy of Dirichlet priors."""
