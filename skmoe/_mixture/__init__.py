"""The mixture model and its EM algorithm."""
