"""Types of this package in files of skops [1]_, which reads only types that it is to trust.

References
----------
.. [1] https://skops.readthedocs.io
"""

from __future__ import annotations

from typing import Any

from skmoe._data.encoding import Encoder
from skmoe._data.extra_features import ExtraFeatures
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import Rows
from skmoe._data.scaling import Standardization
from skmoe._data.time_columns import TimePolynomial, categorical_columns
from skmoe._data.weighted_steps import UnitPipeline, WeightedImputer, WeightedPipeline
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.methods.input_steps import InputSteps
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._estimators.rows.training_data import FitOptions, TrainingData
from skmoe._estimators.rows.warm_start import TrainingState
from skmoe._inference.maxima import Maxima
from skmoe._mixture.experts import Experts, Gate
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.groups import Block, Group, Limits
from skmoe._mixture.joint_prior import JointPrior, Outputs
from skmoe._mixture.mixture import EStep, Mixture, Prior
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe._mixture.stream import Stream
from skmoe.experts._cross_fitted import CrossFittedExperts, FirstValues, Fits, Learned
from skmoe.experts._linear import EXPERTS
from skmoe.experts._mean_family import GivenDensity, GivenMeans, MeanFamily
from skmoe.experts._named_estimators import as_categories, as_floats
from skmoe.experts._stacking import StackedModels
from skmoe.families import FAMILIES
from skmoe.families._categorical import Categorical
from skmoe.families._joint_normal import JointNormal
from skmoe.gates._registry import GATES
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

__all__ = ["trusted_types"]

# Types of values that fitted mixtures contain.
TYPES = (
    *(FittedMixture, Mixture, Experts, Gate, Block, Group, Limits, Prior, JointPrior, Outputs),
    *(OwnExperts, OwnGate, Categorical, JointNormal),
    *(Preprocessor, Standardization, TrainingState, Maxima, Rows),
    *(Stream, TrainingData, FitOptions, EStep),
    *(MixtureOfExpertsClassifier, MixtureOfExpertsRegressor),
    *(GatedStackingClassifier, GatedStackingRegressor, Fits, FirstValues, Learned),
    *(CrossFittedExperts, Encoder, ExtraFeatures, MeanFamily, GivenMeans, GivenDensity),
    *(InputSteps, StackedModels, WeightedImputer, WeightedPipeline, as_categories, as_floats),
    *(TimePolynomial, UnitPipeline, categorical_columns),
)


def trusted_types() -> list[str]:
    """Names of the types of this package, for the argument `trusted` of `skops.io.load`.

    They are values, such as arrays with names, and classes whose methods read no files and start no
    programs. Types of other packages, such as those of experts that are estimators, are not among
    them: `skops.io.get_untrusted_types` lists those of a file.

    Returns
    -------
    names : list of str
        Sorted. Registered families and gates are among them.

    Examples
    --------
    >>> import skops.io
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.export import trusted_types
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> same = skops.io.loads(skops.io.dumps(moe), trusted=trusted_types())
    >>> bool((same.predict(X) == moe.predict(X)).all())
    True
    """
    experts = [kind for row in EXPERTS.values() for kind in row.values()]
    types: list[Any] = [*TYPES, *GATES.values(), *experts, *FAMILIES.values()]
    return sorted({f"{kind.__module__}.{kind.__qualname__}" for kind in types})
