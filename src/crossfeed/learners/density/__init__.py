"""Density models of numeric samples: a Gaussian, a mixture of Gaussians, a kernel density estimate."""
