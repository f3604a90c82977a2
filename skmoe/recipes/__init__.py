"""Estimators that are ready to use: strong ones, and readable ones.

Each function returns an ordinary estimator, whose parameters can be inspected and changed by
`set_params`. Those of several steps are pipelines, whose mixture `mixture_of` returns.
"""

from skmoe._estimators.methods.input_steps import mixture_of
from skmoe.recipes._readable import readable_classifier, readable_regressor, trajectories
from skmoe.recipes._strong import strong_classifier, strong_regressor

__all__ = [
    "mixture_of",
    "readable_classifier",
    "readable_regressor",
    "strong_classifier",
    "strong_regressor",
    "trajectories",
]
