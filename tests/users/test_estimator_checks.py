"""scikit-learn's own battery, whole but for checks with values of `cv` that stacks do not take."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

# The checks fit many times, so from one start with few iterations.
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 2}
FIXED = {"alpha": 0.1, "gate_alpha": 1.0}
MODELS = [("ridge", Ridge()), ("tree", "tree")]
CLASSIFIERS = [("logistic", LogisticRegression()), ("tree", "tree")]
CONFIGURATIONS = [
    MixtureOfExpertsRegressor(**SHORT),
    MixtureOfExpertsClassifier(class_weight="balanced", init="kmeans", **SHORT | FIXED),
    GatedStackingRegressor(MODELS, cv=2, max_iter=2),
    GatedStackingClassifier(CLASSIFIERS, cv=2, max_iter=2),
]


def expected_failed_checks(estimator):
    """Checks of weights that set `cv` to lists of indices."""
    if not hasattr(estimator, "cv"):
        return {}
    names = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
    return dict.fromkeys(names, "cv is a number of folds")


@pytest.mark.filterwarnings("ignore::UserWarning")  # tiny tables: experts collapse, EM is cut short
@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failed_checks)
def test_estimator_checks(estimator, check):
    check(estimator)
