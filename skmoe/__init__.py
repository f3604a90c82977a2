"""Mixtures of experts for tabular data, in scikit-learn style."""

from importlib import import_module
from typing import Any

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor

__version__ = "0.3.0"

__all__ = [
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "__version__",
    "blocks",
    "censoring",
    "distributions",
    "exceptions",
    "experts",
    "families",
    "gates",
    "inspection",
    "metrics",
    "model_selection",
    "onnx",
    "pipelines",
    "protocols",
    "recipes",
    "reports",
    "skops",
    "stacking",
]


def __getattr__(name: str) -> Any:
    """The public module of a name, imported on first use."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
