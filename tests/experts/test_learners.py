"""Experts that need all rows are a part of a mixture, whose fits are states of EM."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.rows import Dataset, RawFeatures
from skmoe._data.units import make_units
from skmoe._mixture.data import Data
from skmoe._mixture.em import Objective, em
from skmoe._mixture.experts import Gate
from skmoe._mixture.information import end_at_maximum
from skmoe._mixture.mixture import Mixture
from skmoe.experts._cross_fitted import CrossFittedExperts, Fits
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import Gamma, Normal, StudentT
from skmoe.families._categorical import Categorical

N_ROWS = 300
ESTIMATES = {"noise_variance": (0.5,), "variance_floor": (1e-6,)}


def rows_of(n_folds=3, units=False, n_classes=0, positive=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    first = X[:, 0] + 0.3 * rng.normal(size=N_ROWS) > 0
    if units:
        first = np.repeat(first[::3], 3)
    y = np.where(first, 2 + X[:, 1], -2 - X[:, 1]) + 0.3 * rng.normal(size=N_ROWS)
    if positive:
        y = np.exp(0.5 * y)
    y = (y > 0).astype(int) if n_classes else y[None]
    design = np.asfortranarray(np.column_stack([X, np.ones(N_ROWS)]))
    fold = np.arange(N_ROWS) % n_folds if n_folds else None
    of_rows = Dataset(design, RawFeatures(X, fold), y, rng.uniform(0.5, 1.5, size=N_ROWS))
    if not units:
        return of_rows, first
    own = make_units(np.repeat(np.arange(N_ROWS // 3), 3))
    return of_rows._replace(units=own, gate_design=design[own.starts]), first[own.starts]


def experts_of(rows, estimators, family=None, classes=None):
    n_folds = 1 if rows.expert_design.fold is None else rows.expert_design.fold.max() + 1
    seeds = np.zeros((len(estimators), n_folds), dtype=int)
    fits = Fits(tuple(estimators), seeds, ({},) * len(estimators), classes)
    options = MeanFamily((family or Normal(),), dispersion_prior=2.0)
    return CrossFittedExperts.of_rows(fits, rows, options, ESTIMATES)


def softmax_gate():
    return Gate(Categorical(2), 3, 1.0)


def begun(rows, first, estimators, **options):
    """Objective and coefficients after a fit to responsibilities near the truth."""
    mixture = Mixture(experts_of(rows, estimators, **options), softmax_gate())
    resp = np.where(first, 0.9, 0.1)
    objective = Objective(mixture, [Data(rows)], n_rows=N_ROWS)
    return mixture.experts.started(objective, np.stack([resp, 1 - resp]))


TREES = [DecisionTreeRegressor(min_samples_leaf=5)] * 2
CASES = {
    "trees": ({}, TREES, {}),
    "list": ({}, [Ridge(), TREES[0]], {}),
    "in sample": ({"n_folds": 0}, [Ridge()] * 2, {}),
    "units": ({"units": True}, TREES, {}),
    "student": ({}, TREES, {"family": StudentT()}),
    "gamma": ({"positive": True}, TREES, {"family": Gamma()}),
    "classes": (
        {"n_classes": 2},
        [LogisticRegression()] * 2,
        {"classes": np.array(["a", "b"])},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bound_never_falls_and_is_that_of_the_experts_at_the_end(case):
    of_rows, estimators, options = CASES[case]
    rows, first = rows_of(**of_rows)
    objective, theta = begun(rows, first, estimators, **options)
    seen = []
    run = em(objective, theta, 12, 1e-6, lambda n, run: seen.append(run.lower_bound) or False)
    assert len(run.lower_bounds) > 2
    assert min(np.diff(run.lower_bounds)) > -1e-9
    assert_array_equal(seen, run.lower_bounds)
    at_end = objective._replace(mixture=run.mixture)
    assert_allclose(at_end.lower_bound(run.theta[None]), run.lower_bound, rtol=1e-12)
    assert end_at_maximum(at_end, run, 20, 1e-6) is run
    if case == "in sample":  # a tree may fit both regimes
        resp = run.mixture.responsibilities(run.theta[None], Data(rows))[0][:, 0]
        assert (resp.argmax(axis=0) == np.where(first, 0, 1)).mean() > 0.9


def test_a_run_goes_on_where_it_was_stopped():
    rows, first = rows_of()
    objective, theta = begun(rows, first, TREES)
    whole = em(objective, theta, 6, 0.0)
    half = em(objective, theta, 3, 0.0)
    ahead = objective._replace(mixture=half.mixture)
    rest = em(ahead, half, 3, 0.0)
    assert_allclose(rest.lower_bounds, whole.lower_bounds, rtol=1e-10)
    assert_array_equal(objective.mixture.experts.learned.last_resp.shape, (2, N_ROWS))


def test_new_rows_have_the_average_of_the_models_of_the_folds():
    rows, first = rows_of()
    objective, theta = begun(rows, first, TREES)
    run = em(objective, theta, 3, 0.0)
    experts = run.mixture.experts.without_training_state()
    assert experts.learned.predictions is None
    data = Data(rows)
    X, models = rows.expert_design.X, experts.learned.models
    expected = [np.mean([model.predict(X) for model in own], axis=0) for own in models]
    mean = experts.mean(run.theta[:2], data)
    assert_allclose(mean[:, 0], expected)
    assert_allclose(experts.mean(run.theta[:2], data, [1]), mean[1:])
    # Those of the rows of the fit are closer to them than the predictions of models without them.
    inside, outside = (
        run.mixture.with_part("experts", own).at(run.theta[None], data).logs
        for own in (experts, run.mixture.experts)
    )
    assert (first * inside[0, 0]).sum() > (first * outside[0, 0]).sum()
    order = np.array([1, 0])
    swapped = run.mixture.with_part("experts", run.mixture.experts.in_order(order))
    theta = run.mixture.reordered(run.theta, order)
    assert_allclose(swapped.at(theta[None], data).logs, outside[::-1])


def test_a_prior_of_the_scales_is_a_penalty_of_the_experts():
    rows, first = rows_of()
    objective, theta = begun(rows, first, TREES)
    experts = objective.mixture.experts
    assert experts.penalties == {"dispersion_prior": 2.0, "noise_variance": (0.5,)}
    strong = experts.with_penalties({"dispersion_prior": 1e6})
    sums, [data] = objective.at(theta[None]).total, objective.blocks
    resp = objective.mixture.responsibilities(theta[None], data)[0][:, 0] * rows.weight
    target = experts.outputs.variance[0]
    log_variance = strong.refitted(theta[:2], data, resp)[1]
    assert_allclose(np.exp(log_variance), 0.5 * target, rtol=1e-2)
    scale, weight = experts.scales(theta[:2], sums)
    assert_allclose(weight.sum(), rows.weight.sum())
    assert_allclose(scale[:, 0] * target, np.exp(theta[:2]))
