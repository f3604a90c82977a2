"""Information criteria by their formulas, and the number of parameters in them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import xlogy
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.expert_kinds import KINDS, n_dispersions
from support.fits import (
    ALL_CASES,
    CLASSES,
    UNITS,
    X,
    Y,
    classifier,
    fit_quietly,
    regressor,
    short_fit,
)
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal

WEIGHT = np.random.default_rng(0).uniform(0.5, 3.0, size=len(X))


@pytest.mark.parametrize("case", ["two experts", "linear-classifier", "weights", "units"])
def test_criteria_are_penalised_log_likelihoods(case):
    """Rows count by their weights; units count once, and weights are powers of their densities."""
    moe, (_, y, given) = short_fit(case), ALL_CASES[case]
    weight = given.get("sample_weight", np.ones(len(X)) if case == "linear-classifier" else WEIGHT)
    by_unit = {"units": UNITS} if case == "units" else {}
    inner = by_unit | ({"sample_weight": weight} if by_unit else {})
    counts = np.ones(UNITS[-1] + 1) if by_unit else weight
    log_likelihood = counts @ moe.score_samples(X, y, **inner)
    resp = moe.responsibilities(X, y, **inner)
    resp = resp.proba if by_unit else resp
    entropy = -counts @ xlogy(resp, resp).sum(axis=1)
    given = {"sample_weight": weight} | by_unit
    n = moe.n_parameters_
    assert_allclose(moe.aic(X, y, **given), 2 * n - 2 * log_likelihood)
    bic = n * np.log(counts.sum()) - 2 * log_likelihood
    assert_allclose(moe.bic(X, y, **given), bic)
    assert_allclose(moe.icl(X, y, **given), bic + 2 * entropy)
    assert entropy > 0.0


# --- numbers of parameters --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_parameters_are_those_of_experts_and_gate(name, task):
    """Three experts with an intercept, two slopes and their dispersions; two free logits."""
    moe = short_fit(f"{name}-{task}")
    n_own = 0 if task == "classifier" else n_dispersions(name)
    assert moe.n_parameters_ == 3 * (3 + n_own) + 2 * 3


# Numbers of parameters of three experts with two features.
COUNTS = {
    "constant gate": 3 * 4 + 2,
    "outputs": 3 * 2 * 4 + 2 * 3,
    "shared noise": 3 * 3 + 1 + 2 * 3,
    "shared slopes": 3 * 4 + 1 + 2 * 3,  # a t distribution has two parameters besides
    "one expert": 4,
}


@pytest.mark.parametrize("case", COUNTS)
def test_what_experts_share_is_counted_once_for_each_start(case):
    assert short_fit(case).n_parameters_ == COUNTS[case]


@pytest.mark.parametrize(("make", "y"), [(regressor, Y), (classifier, CLASSES)])
@pytest.mark.parametrize(("gate", "experts"), [(None, [0]), ([1], None), ([0], [1])])
def test_slopes_of_constant_features_are_not_counted(make, y, gate, experts):
    """A constant is put before, between and after the features of gate and experts."""
    options = {"n_experts": 2, "n_init": 1, "max_iter": 2}
    n_gate, n_expert = (2 if columns is None else len(columns) for columns in (gate, experts))
    expected = n_gate + 1 + 2 * (n_expert + 1 + (make is regressor))
    for place in range(3):
        with_constant = np.insert(X, place, 7.0, axis=1)
        moved = [
            columns and [j + (j >= place) for j in columns] + [place] for columns in (gate, experts)
        ]
        moe = make(**options, gate_features=moved[0], expert_features=moved[1])
        assert fit_quietly(moe, with_constant, y).n_parameters_ == expected


@pytest.mark.parametrize(
    ("expert", "n_free"), [(DecisionTreeClassifier(max_depth=2), 2 * 2), (LogisticRegression(), 2)]
)
def test_models_whose_rows_have_one_class_are_constants(expert, n_free):
    """Some folds lack the second class; the expert is named after the others."""
    rows, y = np.arange(20.0)[:, None], np.arange(20) == 19
    moe = MixtureOfExpertsClassifier(1, expert=expert, random_state=0).fit(rows, y)
    kinds = {type(model).__name__ for model in moe.experts_[0]}
    assert kinds == {"DummyClassifier", type(expert).__name__}
    assert moe.n_parameters_ == n_free
    assert moe.expert_kinds_ == [type(expert).__name__]


def with_own_experts(number):
    """A fit of experts that have a number of parameters."""

    class Counted(HeteroscedasticExperts):
        def n_parameters(self, params):
            return number

    options = {"n_init": 1, "max_iter": 2, "random_state": 0}
    return fit_quietly(MixtureOfExpertsRegressor(2, expert=Counted(), **options), X, Y)


def test_parameters_of_experts_of_your_own_are_counted():
    plain, other = with_own_experts(7), with_own_experts(8)
    assert (plain.n_parameters_, other.n_parameters_) == (7 + 3, 8 + 3)  # and of the gate
    assert_allclose(other.aic(X, Y) - plain.aic(X, Y), 2.0)


def test_experts_whose_parameters_cannot_be_counted_are_named():
    own, experts = with_own_experts(np.nan), [Ridge(), RandomForestRegressor(2)]
    moe = fit_quietly(regressor(n_experts=2, expert=experts, max_iter=2), X, Y)
    (k,) = [k for k, models in enumerate(moe.experts_) if not isinstance(models[0], Ridge)]
    for criterion in ("aic", "bic", "icl"):
        message = refusal(getattr(moe, criterion), X, Y)
        assert_refused(message, criterion, f"expert {k} (RandomForestRegressor)", "score_samples")
        assert_refused(refusal(getattr(own, criterion), X, Y), criterion, "Counted")
