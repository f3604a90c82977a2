"""Warnings of the package, each with a class by which it can be filtered or turned into an error.

Fits that have not converged warn by `sklearn.exceptions.ConvergenceWarning`.

Examples
--------
>>> import warnings
>>> from skmoe.exceptions import CollapsedExpertsWarning
>>> warnings.simplefilter("error", CollapsedExpertsWarning)  # such a fit fails
"""

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapsedExpertsWarning",
    "DegenerateExpertWarning",
    "FitMismatchWarning",
    "NumberOfExpertsWarning",
    "OptionWarning",
    "SeparationWarning",
    "UnreplicatedMaximumWarning",
    "WeightsWarning",
]


class CollapsedExpertsWarning(UserWarning):
    """Some experts have lost nearly all rows to others: fewer experts give the same predictions."""


class DegenerateExpertWarning(UserWarning):
    """An expert fits a few rows nearly exactly, so that its likelihood has no maximum.

    Its coefficients and their standard errors mean nothing, and information criteria favour it.
    """


class FitMismatchWarning(UserWarning):
    """An argument of `fit`, such as units or an offset, is missing in a later call."""


class NumberOfExpertsWarning(UserWarning):
    """A selection or a test of the number of experts is less reliable than it should be."""


class OptionWarning(UserWarning):
    """An option has no effect in this fit, or another one than its name suggests."""


class SeparationWarning(UserWarning):
    """Features separate the experts or classes: without a penalty, coefficients are infinite."""


class UnreplicatedMaximumWarning(ConvergenceWarning):
    """Only one of several independent searches has reached the best maximum of the likelihood."""


class WeightsWarning(UserWarning):
    """Sample weights are not numbers of rows, which standard errors and criteria take them for."""
