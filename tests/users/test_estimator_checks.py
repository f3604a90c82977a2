"""scikit-learn's own battery, whole, with no expected failures."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

# The checks fit many times, so from one start with few iterations.
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 2}
FIXED = {"alpha": 0.1, "gate_alpha": 1.0}
CONFIGURATIONS = [
    MixtureOfExpertsRegressor(**SHORT),
    MixtureOfExpertsClassifier(expert="tree", **SHORT | {"max_iter": 1}),
    MixtureOfExpertsClassifier(class_weight="balanced", init="kmeans", **SHORT | FIXED),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # tiny tables: experts collapse, EM is cut short
@parametrize_with_checks(CONFIGURATIONS)
def test_estimator_checks(estimator, check):
    check(estimator)
