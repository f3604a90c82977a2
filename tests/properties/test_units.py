"""Units: the rows of a unit have one expert, whatever the experts are."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.expert_kinds import KINDS, options_of
from support.fits import fit_quietly, fixed_penalties
from support.tables import panel_of

ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}
ALL_KINDS = pytest.mark.parametrize(("name", "task"), KINDS)


def estimator(name, task, **options):
    make = ESTIMATORS[task]
    given = {"gate": "constant", "random_state": 0, "n_init": 1, "max_iter": 8}
    return make(2, **given | fixed_penalties(make) | options_of(name) | options)


@cache
def table(name, task):
    return panel_of(name, task, n_units=24, n_rows=4)


@cache
def by_units(name, task):
    X, y, units = table(name, task)
    return fit_quietly(estimator(name, task), X, y, units=units)


def coefficients(moe):
    return np.concatenate([np.ravel(moe.expert_coef_), np.ravel(moe.gate_intercept_)])


@ALL_KINDS
def test_lower_bound_never_falls(name, task):
    moe = by_units(name, task)
    assert (np.diff(moe.lower_bounds_) > -1e-9).all()
    assert moe.n_units_ == 24
    X, y, units = table(name, task)
    resp = moe.responsibilities(X, y, units=units).proba
    assert resp.shape == (24, 2)
    assert_allclose(resp.sum(axis=1), 1.0)
    assert moe.score_samples(X, y, units=units).shape == (24,)


@ALL_KINDS
def test_weight_two_equals_the_row_twice_in_its_unit(name, task):
    X, y, units = table(name, task)
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    index = np.repeat(np.arange(len(y)), weight)
    weighted = fit_quietly(
        estimator(name, task), X, y, sample_weight=weight.astype(float), units=units
    )
    repeated = fit_quietly(estimator(name, task), X[index], y[index], units=units[index])
    assert_allclose(coefficients(weighted), coefficients(repeated), rtol=1e-6, atol=1e-8)
    assert np.abs(coefficients(by_units(name, task)) - coefficients(weighted)).max() > 1e-4
    for criterion in ("aic", "bic", "icl"):
        found = getattr(weighted, criterion)(X, y, sample_weight=weight, units=units)
        expected = getattr(repeated, criterion)(X[index], y[index], units=units[index])
        assert_allclose(found, expected, rtol=1e-6)


@ALL_KINDS
def test_order_of_rows_and_labels_of_units_do_not_matter(name, task):
    X, y, units = table(name, task)
    order = np.random.default_rng(1).permutation(len(y))
    labels = np.array([f"unit {(7 * unit) % 24}" for unit in units])
    other = fit_quietly(estimator(name, task), X[order], y[order], units=labels[order])
    first = coefficients(by_units(name, task))
    assert_allclose(coefficients(other), first, rtol=1e-6, atol=1e-8)


@ALL_KINDS
def test_units_of_one_row_are_no_units(name, task):
    X, y, _ = table(name, task)
    rows = fit_quietly(estimator(name, task), X, y)
    single = fit_quietly(estimator(name, task), X, y, units=np.arange(len(y))[::-1])
    assert_allclose(single.lower_bounds_, rows.lower_bounds_, rtol=1e-8)
    assert_allclose(coefficients(single), coefficients(rows), rtol=1e-6, atol=1e-8)


@ALL_KINDS
def test_all_units_twice_have_the_same_maximum(name, task):
    """Without penalties."""
    X, y, units = table(name, task)
    options = {"alpha": 1e-8, "tol": 1e-10, "max_iter": 1000}
    options |= {"dispersion_prior": 0.0} if task == "regressor" else {}
    once = fit_quietly(estimator(name, task, **options), X, y, units=units)
    both = np.vstack([X, X]), np.concatenate([y, y])
    twice = fit_quietly(
        estimator(name, task, **options), *both, units=np.concatenate([units, units + 1000])
    )
    assert_allclose(twice.lower_bound_, once.lower_bound_, atol=1e-6)
    assert_allclose(np.sort(twice.weights_), np.sort(once.weights_), atol=1e-3)


@ALL_KINDS
def test_one_expert_is_the_single_model(name, task):
    X, y, units = table(name, task)
    options = {"n_experts": 1, "tol": 1e-10, "max_iter": 200}
    single = fit_quietly(estimator(name, task).set_params(**options), X, y)
    grouped = fit_quietly(estimator(name, task).set_params(**options), X, y, units=units)
    assert_allclose(grouped.expert_coef_, single.expert_coef_, atol=1e-4)


@ALL_KINDS
def test_units_without_weight_are_absent(name, task):
    X, y, units = table(name, task)
    weight = (units % 3 != 1).astype(float)
    kept = weight > 0.0
    found = fit_quietly(estimator(name, task), X, y, sample_weight=weight, units=units)
    absent = fit_quietly(estimator(name, task), X[kept], y[kept], units=units[kept])
    assert found.n_units_ == absent.n_units_ == 16
    assert_allclose(coefficients(found), coefficients(absent), rtol=1e-8, atol=1e-10)
