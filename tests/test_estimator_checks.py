"""scikit-learn's own battery, whole, with no expected failures."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

CONFIGURATIONS = [
    MixtureOfExpertsRegressor(),
    MixtureOfExpertsRegressor(gate="constant", dispersion="shared", dispersion_prior=0.0),
    MixtureOfExpertsRegressor(n_experts=3, init="kmeans", n_init=1, alpha=1.0),
    MixtureOfExpertsRegressor(n_experts=1),
    MixtureOfExpertsRegressor(n_experts=2, expert="tree", n_init=1, cross_fit=2, max_iter=4),
    MixtureOfExpertsRegressor(n_experts=3, top_k=2, balance=0.1),
    MixtureOfExpertsRegressor(n_experts=2, combine="average", n_init=2),
    MixtureOfExpertsRegressor(n_experts=2, base=Ridge()),
    MixtureOfExpertsRegressor(n_experts=2, gate=SoftmaxGate(transformer=MaxAbsScaler())),
    MixtureOfExpertsClassifier(),
    MixtureOfExpertsClassifier(n_experts=2, base=LogisticRegression(), combine="average", n_init=2),
    MixtureOfExpertsClassifier(gate="constant", init="random"),
    MixtureOfExpertsClassifier(n_experts=2, expert="tree", n_init=1, max_iter=4),
    MixtureOfExpertsClassifier(n_experts=2, init="kmeans", class_weight="balanced"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # tiny tables: experts collapse, EM is cut short
@parametrize_with_checks(CONFIGURATIONS)
def test_estimator_checks(estimator, check):
    check(estimator)
