"""What weights do in folds, for the number of experts, and in single models."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from properties.small_fits import N, PricedRidge, PricedTree, problem
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer, neg_crps_scorer
from support.expert_kinds import (
    DISTRIBUTIONS,
    GENERALIZED,
    KINDS_OF_FITS,
    draw,
    maximum_likelihood,
    options_of,
)
from support.fits import FIXED, fit_quietly, tables
from support.refusals import assert_fit_refused
from support.stacks import stack_of


@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_no_more_experts_are_tried_than_the_weights_allow(criterion):
    """Nor than distinct rows: four copies of a row with a quarter of the weight are one row."""
    X, y = tables().X[:20], tables().y[:20]
    moe = MixtureOfExpertsRegressor(criterion, n_init=1, max_iter=2, random_state=0, **FIXED)
    once = fit_quietly(clone(moe), X, y, sample_weight=np.ones(20))
    copies = np.tile(X, (4, 1)), np.tile(y, 4)
    fit_quietly(moe, *copies, sample_weight=np.full(80, 0.25))
    assert once.n_experts_tried_.max() == moe.n_experts_tried_.max() < 20
    few, words = {"sample_weight": np.full(20, 1 / 20)}, ["counted by their weights", "mean"]
    assert_fit_refused(moe, (X, y), "n_experts", *words, **few)


def test_copies_of_few_distinct_rows_are_held_out_apart():
    """Classes that do not depend on the only feature, of two values, are one regime."""
    rows, y = np.tile([[0.0], [1.0], [0.0], [1.0]], (30, 1)), np.tile([0, 1, 1, 0], 30)
    moe = MixtureOfExpertsClassifier([1, 2], n_init=1, random_state=0, alpha=1.0, gate_alpha=1.0)
    assert fit_quietly(moe, rows, y).n_experts_ == 1


def test_copies_of_other_rows_are_held_out_together(global_random_seed):
    """A deep tree repeats the targets of copies, if it has seen any."""
    rng, data = np.random.default_rng(global_random_seed), tables(global_random_seed)
    X, y = data.X[:N], data.y[:N] + rng.normal(size=N)
    models = PricedRidge(), PricedTree(random_state=0)
    deep = stack_of(*models, dispersion_prior=10.0, random_state=0)
    for rows in (np.arange(N), np.tile(np.arange(N), 2)):
        moe = fit_quietly(clone(deep), X[rows], y[rows], price=X[rows, 0])
        assert moe.noise_variance_[1] > 0.5


@pytest.mark.parametrize("case", ["linear-regressor", "poisson-regressor"])
def test_an_impossible_row_without_weight_changes_no_score(case, global_random_seed):
    one = problem(case, global_random_seed).with_({"max_iter": 500})
    moe, rows = one.fit, (one.X, one.y)
    more = np.vstack([one.X, [[0.5, -0.5]]]), np.append(one.y, -7.5)
    given = {"sample_weight": np.append(np.ones(N), 0.0)}
    for scorer in (log_density_scorer, neg_crps_scorer):
        assert_allclose(scorer(moe, *more, **given), scorer(moe, *rows))
    again = fit_quietly(clone(moe), *more, **given)
    assert str(again.summary(*more, **given)) == str(moe.summary(*rows))


def single_table(name, seed):
    """Features, target and fractional weights; heavy rows follow another rule than light ones."""
    rng = np.random.default_rng(seed)
    rows, weight = rng.uniform(-1, 1, size=(40, 2)), rng.uniform(0.1, 5.0, size=40)
    signal = np.where(weight > 2.5, 1.0, -1.0) * rows[:, 0] + 0.5 * rows[:, 1]
    if name in GENERALIZED:
        return rows, draw(name, 1.0 + signal, rng), weight
    return rows, signal + 0.3 * rng.normal(size=40), weight


@pytest.mark.parametrize("name", [name for name, task in KINDS_OF_FITS if task == "regressor"])
def test_one_expert_is_the_weighted_maximum_of_the_likelihood(name, global_random_seed):
    """Found by SciPy; but degrees of freedom are at most 1000."""
    rows, y, weight = single_table(name, global_random_seed)
    family = "normal" if name == "linear" else name
    coef, log_dispersion = maximum_likelihood(family, rows, y, weight)
    predictor = rows @ coef[:-1] + coef[-1]
    expected = DISTRIBUTIONS[family](predictor, *np.exp(log_dispersion)).mean()
    options = {"alpha": 1e-9, "tol": 1e-10, "dispersion_prior": 0.0} | options_of(name)
    moe = MixtureOfExpertsRegressor(1, gate_alpha=1.0, n_init=1, **options)
    found = moe.fit(rows, y, sample_weight=weight).predict(rows)
    assert_allclose(found, expected, atol=2e-3 if name == "student_t" else 2e-4)
    assert np.abs(moe.fit(rows, y).predict(rows) - found).max() > 0.02
