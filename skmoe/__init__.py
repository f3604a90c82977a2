"""Mixtures of experts for tabular data, in scikit-learn style."""

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor

__version__ = "0.1.0"

__all__ = ["MixtureOfExpertsClassifier", "MixtureOfExpertsRegressor", "__version__"]
