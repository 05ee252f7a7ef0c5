"""Regression models as generative models: linear, logistic and Poisson, many replicates side by side."""
