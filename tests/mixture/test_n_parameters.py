"""Numbers of parameters, which the criteria count."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import GATES
from support.expert_kinds import GENERALIZED, KINDS, draw, n_dispersions, options_of
from support.fits import fit_quietly
from support.tables import two_regimes

# Of two experts and two features: first rows, and transitions from either expert.
N_OF_GATE = {"softmax": 3, "constant": 1, "markov": 1 + 2 * 3}


def table(name, task):
    X, y = two_regimes(80, 2)
    if name in GENERALIZED:
        return X, draw(name, np.clip(0.4 * y, -3, 3), np.random.default_rng(0))
    return (X, np.where(y > 0, "b", "a")) if task == "classifier" else (X, y)


def mixture(task, n_experts=2, **options):
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    return kind(n_experts, **({"random_state": 0, "n_init": 1, "max_iter": 5} | options))


def n_of_expert(name, task):
    return 3 if task == "classifier" else 3 + n_dispersions(name)


@pytest.mark.parametrize(
    ("name", "task", "gate"),
    [(*kind, "softmax") for kind in KINDS] + [("linear", "regressor", gate) for gate in GATES],
)
def test_criteria_count_the_parameters_of_gate_and_experts(name, task, gate):
    X, y = table(name, task)
    moe = mixture(task, gate=gate, **options_of(name))
    single = 2 * n_of_expert(name, task) + N_OF_GATE[gate]
    assert fit_quietly(moe, X, y).n_parameters_ == single
    log_likelihood = moe.score_samples(X, y).sum()
    assert_allclose(moe.aic(X, y), 2 * single - 2 * log_likelihood)
    assert_allclose(moe.bic(X, y), single * np.log(80) - 2 * log_likelihood)


@pytest.mark.parametrize("expert", ["linear", Ridge(), ["linear", "linear"]], ids=str)
def test_a_shared_variance_is_one_parameter(expert):
    X, y = table("linear", "regressor")
    for dispersion, n_variances in (("shared", 1), ("per_expert", 2)):
        moe = fit_quietly(mixture("regressor", expert=expert, dispersion=dispersion), X, y)
        assert moe.n_parameters_ == 2 * 3 + n_variances + 3
        assert len(set(moe.noise_variance_)) == n_variances


def test_shared_variances_of_several_outputs_are_one_parameter_each():
    X, y = table("linear", "regressor")
    moe = mixture("regressor", expert=Ridge(), dispersion="shared")
    assert fit_quietly(moe, X, np.column_stack([y, y + X[:, 0]])).n_parameters_ == 2 * 6 + 2 + 3


@pytest.mark.parametrize(
    ("expert", "n_parameters"),
    [
        (make_pipeline(StandardScaler(), Ridge()), 3 + 1),
        (DecisionTreeRegressor(max_leaf_nodes=4), 4 + 1),
        (mixture("regressor"), 2 * 4 + 3),  # which has noise variances of its own
    ],
)
def test_parameters_of_estimators_are_counted(expert, n_parameters):
    X, y = table("linear", "regressor")
    moe = fit_quietly(mixture("regressor", 1, expert=expert, cross_fit=2), X, y)
    assert moe.n_parameters_ == n_parameters
    assert_allclose(moe.aic(X, y), 2 * n_parameters - 2 * moe.score_samples(X, y).sum())


def test_parameters_of_classifiers_are_counted():
    X, y = table("linear", "classifier")
    two = mixture("classifier", 2, expert=LogisticRegression())
    assert fit_quietly(two, X, y).n_parameters_ == 2 * 3 + 3
    three = mixture("classifier", 1, expert=LogisticRegression(), cross_fit=2)
    assert fit_quietly(three, X, np.digitize(X[:, 0], [-0.5, 0.5])).n_parameters_ == 3 * 3
    four = fit_quietly(mixture("classifier", gate="constant"), X, np.arange(80) % 4)
    assert four.n_parameters_ == 2 * 3 * 3 + 1  # each class but one has coefficients


# Columns of experts and gate, of which column 1 is constant, and those of the other two.
WITH_A_CONSTANT = {
    "all": ({}, {}),
    "of experts": ({"expert_features": [1, 2]}, {"expert_features": [1]}),
    "of the gate": ({"gate_features": [0, 1]}, {"gate_features": [0]}),
    "not of the gate": ({"gate_features": [2]}, {"gate_features": [1]}),
    "of both": (
        {"gate_features": [2, 1], "expert_features": [0, 1]},
        {"gate_features": [1], "expert_features": [0]},
    ),
}


@pytest.mark.parametrize(
    ("name", "task", "case"),
    [("linear", "regressor", case) for case in WITH_A_CONSTANT]
    + [(*kind, "all") for kind in KINDS],
)
def test_constant_columns_are_not_counted(name, task, case):
    X, y = table(name, task)
    with_constant = np.column_stack([X[:, 0], np.full(len(X), 7.0), X[:, 1]])
    of_constant, options = WITH_A_CONSTANT[case]
    lost = 2 * (2 - len(options.get("expert_features", [0, 1])))
    lost += 2 - len(options.get("gate_features", [0, 1]))
    for rows, given in ((with_constant, of_constant), (X, options)):
        moe = mixture(task, max_iter=2, **options_of(name), **given)
        n_parameters = fit_quietly(moe, rows, y).n_parameters_
        assert n_parameters == 2 * n_of_expert(name, task) + 3 - lost


@pytest.mark.parametrize(("negligible", "n_columns"), [(1e-30, 2), (1e-20, 3)])
def test_columns_that_vary_in_rows_of_negligible_weight_only_are_constant(negligible, n_columns):
    X, y = table("linear", "regressor")
    X = np.column_stack([X, np.arange(80) == 0])
    weight = np.where(np.arange(80) == 0, negligible, 1.0)
    moe = fit_quietly(mixture("regressor", alpha=1.0), X, y, sample_weight=weight)
    assert moe.n_parameters_ == 2 * (n_columns + 1) + 2 + n_columns + 1
