"""Mixtures of experts for tabular data, in scikit-learn style."""

from importlib import import_module
from typing import Any

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._moved import MOVED
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

__version__ = "0.3.0"

__all__ = [
    "GatedStackingClassifier",
    "GatedStackingRegressor",
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "__version__",
    "data",
    "datasets",
    "distributions",
    "exceptions",
    "export",
    "families",
    "gates",
    "inspection",
    "metrics",
    "model_selection",
    "protocols",
    "recipes",
    "stacking",
]


def __getattr__(name: str) -> Any:
    """The public module of a name, imported on first use."""
    module = f"{__name__}.{name}"
    if name in __all__ or module in MOVED:
        return import_module(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
