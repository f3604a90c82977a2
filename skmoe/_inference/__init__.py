"""Inference about a fitted mixture: criteria, standard errors, bootstrap, explanation, summary."""
