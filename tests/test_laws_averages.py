"""Averages of starts, and criteria: what is counted, and how often."""

import warnings

import numpy as np
import pytest
from kinds import GENERALIZED, KINDS, draw, n_dispersions, options_of
from numpy.testing import assert_allclose
from regimes import quiet, two_regimes
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.bootstrap import Refit, match_experts
from skmoe._inference.criteria import classification_entropy
from skmoe.gates import GATES

STARTS = 3


def table(task, family="linear", seed=0):
    """Rows and a target that a family can have."""
    X, y = two_regimes(150, 2, seed)
    if family in GENERALIZED:
        return X, draw(family, np.clip(0.4 * y, -3, 3), np.random.default_rng(seed))
    return (X, np.where(y > 0, "b", "a")) if task == "classifier" else (X, y)


def mixture(task, n_experts=2, **options):
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    return kind(n_experts, **({"random_state": 0} | options))


FAMILIES = KINDS

# Parameters of one expert of two features under each family.
N_OF_EXPERT = {("linear", "classifier"): 3} | {
    (name, "regressor"): 3 + n_dispersions(name) for name, task in KINDS if task == "regressor"
}

# Parameters of the gate of two experts and two features.
N_OF_GATE = {"softmax": 3, "constant": 1}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("family", FAMILIES, ids="-".join)
def test_an_average_has_the_parameters_of_all_starts(family, gate):
    X, y = table(family[1], family[0])
    moe = mixture(family[1], **options_of(family[0]), gate=gate, tol=1e-3)
    single = 2 * N_OF_EXPERT[family] + N_OF_GATE[gate]
    assert quiet(moe, X, y).n_parameters_ == single
    averaged = quiet(moe.set_params(combine="average", n_init=STARTS), X, y)
    assert averaged.n_parameters_ == STARTS * single
    log_likelihood = averaged.score_samples(X, y).sum()
    assert_allclose(averaged.aic(X, y), 2 * STARTS * single - 2 * log_likelihood)
    assert_allclose(averaged.bic(X, y), STARTS * single * np.log(150) - 2 * log_likelihood)


@pytest.mark.parametrize("gate", GATES)
def test_the_gate_of_an_average_is_that_of_its_coefficients(gate):
    X, y = table("regressor")
    options = {"combine": "average", "n_init": STARTS, "tol": 1e-3}
    moe = mixture("regressor", gate=gate, alpha=0.1, gate_alpha=1.0, **options)
    quiet(moe, X, y)
    logits = X @ moe.gate_coef_.T + moe.gate_intercept_
    probs = [softmax(part, axis=1) / STARTS for part in np.split(logits, STARTS, axis=1)]
    assert_allclose(moe.predict_gate(X), np.hstack(probs))
    if gate == "constant":  # whose intercepts are log probabilities of all experts
        assert_allclose(np.exp(moe.gate_intercept_).sum(), 1.0)
        assert_allclose(moe.predict_gate(X), np.tile(np.exp(moe.gate_intercept_), (150, 1)))
    assert_allclose(moe.weights_, np.hstack(probs).mean(axis=0))


@pytest.mark.parametrize("gate", GATES)
def test_an_average_is_that_of_its_densities(gate):
    X, y = table("regressor")
    options = {"combine": "average", "n_init": STARTS, "tol": 1e-3}
    moe = mixture("regressor", gate=gate, alpha=0.1, gate_alpha=1.0, **options)
    quiet(moe, X, y)
    densities = []
    for start in range(STARTS):
        own = slice(2 * start, 2 * start + 2)
        log_gate = log_softmax(X @ moe.gate_coef_[own].T + moe.gate_intercept_[own], axis=1)
        means = X @ moe.expert_coef_[own].T + moe.expert_intercept_[own]
        normal = stats.norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_[own]))
        densities.append(np.exp(log_gate + normal).sum(axis=1))
    assert_allclose(moe.score_samples(X, y), np.log(np.mean(densities, axis=0)))
    assert len({round(float(density.sum()), 6) for density in densities}) > 1


def test_routing_of_an_average_is_that_of_each_start():
    X, y = table("regressor")
    moe = mixture("regressor", 3, top_k=1, combine="average", n_init=2, tol=1e-3)
    quiet(moe, X, y)
    logits = X @ moe.gate_coef_.T + moe.gate_intercept_
    for part, own in zip(
        np.split(logits, 2, axis=1), np.split(moe.predict_gate(X), 2, axis=1), strict=True
    ):
        assert_allclose(own, 0.5 * (part == part.max(axis=1, keepdims=True)))


def test_a_shared_variance_is_one_parameter():
    X, y = table("regressor")
    for expert, of_expert in (("linear", 3), (Ridge(), 3), (["linear", "linear"], 3)):
        for dispersion, n_variances in (("shared", 1), ("per_expert", 2)):
            moe = mixture("regressor", expert=expert, dispersion=dispersion, n_init=1, max_iter=8)
            quiet(moe, X, y)
            assert moe.n_parameters_ == 2 * of_expert + n_variances + 3
            assert len(set(moe.noise_variance_)) == n_variances
    Y = np.column_stack([y, y + X[:, 0]])
    moe = mixture("regressor", expert=Ridge(), dispersion="shared", max_iter=5, n_init=1)
    assert quiet(moe, X, Y).n_parameters_ == 2 * 6 + 2 + 3


class Constant(RegressorMixin, BaseEstimator):
    """The same in every fit, so that bounds can be recomputed."""

    def __init__(self, slope=1.0):
        self.slope = slope

    def fit(self, X, y, sample_weight=None):
        self.coef_, self.intercept_ = np.array([self.slope, 0.0]), 0.0
        return self

    def predict(self, X):
        return X @ self.coef_


@pytest.mark.parametrize("dispersion", ["shared", "per_expert"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_lower_bound_of_estimators_counts_each_prior_once(dispersion, weighted):
    X, y = table("regressor")
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=150) if weighted else np.ones(150)
    moe = mixture(
        "regressor",
        expert=[Constant(3.0), Constant(-1.0)],
        cross_fit=False,
        dispersion=dispersion,
        dispersion_prior=25.0,
        gate_alpha=2.0,
        tol=1e-10,
    )
    quiet(moe, X, y, sample_weight=weight)
    means = np.column_stack([X @ [3.0, 0.0], X @ [-1.0, 0.0]])
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    joint = log_gate + stats.norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))
    log_likelihood = weight @ np.logaddexp.reduce(joint, axis=1)
    scale = StandardScaler().fit(X, sample_weight=weight).scale_
    penalty = 0.5 * 2.0 * np.square(moe.gate_coef_ * scale).sum()
    prior = moe._fitted.model.experts.noise_variance[0]
    ratio = np.unique(moe.noise_variance_) / prior
    penalty += 0.5 * 25.0 * (np.log(ratio) + 1 / ratio).sum()
    expected = (log_likelihood - penalty) / weight.sum()
    assert_allclose(moe.lower_bound_, expected, atol=1e-7)


@pytest.mark.parametrize("dispersion", ["shared", "per_expert"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_lower_bound_of_linear_experts_counts_each_prior_once(dispersion, weighted):
    X, y = table("regressor")
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=150) if weighted else np.ones(150)
    moe = mixture(
        "regressor",
        dispersion=dispersion,
        dispersion_prior=25.0,
        gate_alpha=2.0,
        alpha=3.0,
        balance=0.3,
    )
    moe.fit(X, y, sample_weight=weight)
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    joint = log_gate + stats.norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))
    log_likelihood = weight @ np.logaddexp.reduce(joint, axis=1)
    log_likelihood += 0.3 * weight @ log_gate.mean(axis=1)
    scale = StandardScaler().fit(X, sample_weight=weight).scale_
    unit = StandardScaler().fit(y[:, None], sample_weight=weight).scale_[0] ** 2
    penalty = 0.5 * 2.0 * np.square(moe.gate_coef_ * scale).sum()
    penalty += (
        0.5 * 3.0 * (np.square(moe.expert_coef_ * scale).sum(axis=1) / moe.noise_variance_).sum()
    )
    standard = np.unique(moe.noise_variance_) / unit
    prior = moe._fitted.model.experts.noise_variance[0]
    penalty += 0.5 * 25.0 * (np.log(standard) + prior / standard).sum()
    expected = (log_likelihood - penalty) / weight.sum()
    assert_allclose(moe.lower_bound_, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("expert", "n_parameters"),
    [
        (LinearRegression(), 3),
        (Ridge(), 3),
        (make_pipeline(StandardScaler(), Ridge()), 3),
        (DecisionTreeRegressor(max_leaf_nodes=4), 4),
        (mixture("regressor", n_init=1), 2 * 4 + 3),
    ],
)
def test_parameters_of_estimators_are_counted(expert, n_parameters):
    X, y = table("regressor")
    moe = mixture("regressor", 1, expert=expert, cross_fit=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y)
    noise = 0 if isinstance(expert, MixtureOfExpertsRegressor) else 1
    assert moe.n_parameters_ == n_parameters + noise
    log_likelihood = moe.score_samples(X, y).sum()
    assert_allclose(moe.aic(X, y), 2 * (n_parameters + noise) - 2 * log_likelihood)


def test_parameters_of_classifiers_are_counted():
    X, y = table("classifier")
    two = mixture("classifier", 2, expert=LogisticRegression(), max_iter=3, n_init=1)
    assert quiet(two, X, y).n_parameters_ == 2 * 3 + 3
    three = mixture("classifier", 1, expert=LogisticRegression(), cross_fit=2)
    three.fit(X, np.digitize(X[:, 0], [-0.5, 0.5]))
    assert three.n_parameters_ == 3 * 3


def test_entropy_is_weighted():
    resp = np.array([[0.5, 1.0, 0.2], [0.5, 0.0, 0.8]])
    weight = np.array([2.0, 7.0, 0.5])
    entropies = stats.entropy(resp, axis=0)
    assert_allclose(classification_entropy(resp, weight), weight @ entropies)


def test_refits_of_a_bootstrap_are_numbered_like_the_fit():
    resp = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], size=50).T
    order = np.array([2, 0, 1])
    values = np.array([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
    matched = match_experts(Refit({"coef_": values[order]}, resp[order]), resp)
    assert_allclose(matched["coef_"], values)


# Columns of experts and gate, where column 1 is constant, and those of the other two columns.
WITH_A_CONSTANT = {
    "all": ({}, {}),
    "of experts": ({"expert_features": [1, 2]}, {"expert_features": [1]}),
    "not of experts": ({"expert_features": [0]}, {"expert_features": [0]}),
    "of the gate": ({"gate_features": [0, 1]}, {"gate_features": [0]}),
    "not of the gate": ({"gate_features": [2]}, {"gate_features": [1]}),
    "of both": (
        {"gate_features": [2, 1], "expert_features": [0, 1]},
        {"gate_features": [1], "expert_features": [0]},
    ),
}


@pytest.mark.parametrize("case", WITH_A_CONSTANT)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("family", FAMILIES, ids="-".join)
def test_constant_columns_are_not_counted(family, gate, case):
    X, y = table(family[1], family[0])
    with_constant = np.column_stack([X[:, 0], np.full(len(X), 7.0), X[:, 1]])
    counts = []
    for rows, options in zip((with_constant, X), WITH_A_CONSTANT[case], strict=True):
        moe = mixture(
            family[1], **options_of(family[0]), gate=gate, max_iter=2, n_init=1, **options
        )
        counts.append(quiet(moe, rows, y).n_parameters_)
    assert counts[0] == counts[1]
    n_columns = {name: len(columns) for name, columns in WITH_A_CONSTANT[case][1].items()}
    lost = 2 * (2 - n_columns.get("expert_features", 2))
    lost += (2 - n_columns.get("gate_features", 2)) * (gate == "softmax")
    assert counts[1] == 2 * N_OF_EXPERT[family] + N_OF_GATE[gate] - lost


def test_many_constant_columns_are_not_counted():
    X, y = table("regressor", "linear")
    with_constants = np.column_stack([X, np.ones((len(X), 4))])
    short, long = (quiet(mixture("regressor", max_iter=2), rows, y) for rows in (X, with_constants))
    assert short.n_parameters_ == long.n_parameters_


def test_each_class_but_one_has_its_own_coefficients():
    X, _ = table("regressor", "linear")
    y = np.arange(len(X)) % 4
    moe = quiet(mixture("classifier", gate="constant", max_iter=2), X, y)
    assert moe.n_parameters_ == 2 * 3 * (X.shape[1] + 1) + 1
