"""Warnings of the package, each with a class by which it can be filtered or turned into an error.

Fits that have not converged warn by `ConvergenceWarning`, and scores that are undefined by
`UndefinedMetricWarning`, of `sklearn.exceptions`.

Examples
--------
>>> import warnings
>>> from skmoe.exceptions import CollapsedExpertsWarning
>>> warnings.simplefilter("error", CollapsedExpertsWarning)  # such a fit fails
"""

import sys
import warnings
from typing import Any
from weakref import WeakKeyDictionary

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapsedExpertsWarning",
    "DegenerateExpertWarning",
    "FitMismatchWarning",
    "NumberOfExpertsWarning",
    "OptionWarning",
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
    """An option or an argument has no effect, or another one than its name suggests."""


class UnreplicatedMaximumWarning(ConvergenceWarning):
    """Only one of several independent searches has reached the best maximum of the likelihood."""


class WeightsWarning(UserWarning):
    """Sample weights are not numbers of rows, which standard errors and criteria take them for."""


# Categories of the warnings of each cross-validation that runs, by the object that runs its fits.
_WARNED: WeakKeyDictionary[Any, set[type[Warning]]] = WeakKeyDictionary()


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn with the line of the first caller outside of this package and of scikit-learn.

    A cross-validation warns once of each category: Python's own rule of once for a line is void
    there, since the filters are set again for each fit.
    """
    level, frame, search = 1, sys._getframe(), None
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.split(".")[0] not in ("skmoe", "sklearn", "joblib"):
            break
        if name.startswith("sklearn.model_selection"):
            search = frame.f_locals.get("parallel", search)
        level, frame = level + 1, frame.f_back
    if search is not None:
        found = _WARNED.setdefault(search, set())
        if category in found:
            return
        found.add(category)
    warnings.warn(message, category, stacklevel=level)
