"""The exact expected loss of a plan that trains a linear model on random features, without sampling data."""
