"""The steps of a fit: the problem, its optimisation, and the fitted attributes."""
