"""scikit-learn's own battery, whole, with no expected failures."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

# The checks fit many times, from one start, and all but the defaults make few iterations.
SHORT = {"n_init": 1, "max_iter": 10}
CONFIGURATIONS = [
    MixtureOfExpertsRegressor(n_init=1),
    MixtureOfExpertsRegressor(gate="constant", dispersion="shared", dispersion_prior=0.0, **SHORT),
    MixtureOfExpertsRegressor(n_experts=3, init="kmeans", alpha=1.0, **SHORT),
    MixtureOfExpertsRegressor(n_experts=1),
    # A search of penalties begins after the iterations of the start.
    MixtureOfExpertsRegressor(n_experts=2, alpha="ard", gate_alpha="auto", n_init=1, max_iter=40),
    MixtureOfExpertsRegressor(n_experts=2, expert="tree", cross_fit=2, n_init=1, max_iter=4),
    MixtureOfExpertsRegressor(n_experts=3, top_k=2, balance=0.1, **SHORT),
    MixtureOfExpertsRegressor(n_experts=2, combine="average", n_init=2, max_iter=10),
    MixtureOfExpertsRegressor(n_experts=2, base=Ridge(), **SHORT),
    MixtureOfExpertsRegressor(n_experts=2, gate=SoftmaxGate(transformer=MaxAbsScaler()), **SHORT),
    MixtureOfExpertsClassifier(n_init=1),
    MixtureOfExpertsClassifier(
        n_experts=2, base=LogisticRegression(), combine="average", n_init=2, max_iter=10
    ),
    MixtureOfExpertsClassifier(gate="constant", init="random", **SHORT),
    MixtureOfExpertsClassifier(n_experts=2, expert="tree", n_init=1, max_iter=4),
    MixtureOfExpertsClassifier(n_experts=2, init="kmeans", class_weight="balanced", **SHORT),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # tiny tables: experts collapse, EM is cut short
@parametrize_with_checks(CONFIGURATIONS)
def test_estimator_checks(estimator, check):
    check(estimator)
