"""Probabilities of the experts of series are those of all paths, and of plain passes."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from skmoe.gates import MarkovGate
from support.fits import fit_quietly
from support.series import (
    all_paths,
    chain_of,
    classifier,
    plain_passes,
    regressor,
    rows_of_series,
    table,
    with_holes,
)

SHORT = table((7, 6, 5, 2, 1), n_regimes=3)
# Series that are cut into pieces, and some that are not, of which some end where a piece does.
LONG = table((225, 100, 47, 15, 1, 30), n_regimes=3)
KINDS = ("normal", "poisson", "classes", "missing", "constant transitions", "stationary")
# Of long series those whose transitions or densities are of another kind.
OF_LONG = ("normal", "missing", "constant transitions")


@cache
def fitted(kind, is_long, n_experts):
    """A fit of a kind to a table, and its target."""
    data = LONG if is_long else SHORT
    if kind == "classes":
        y = data.classes.astype(object)
        y[::6] = None
        moe = classifier(n_experts, max_iter=20)
    else:
        y = data.of_family("poisson") if kind == "poisson" else data.y
        y = with_holes(y) if kind == "missing" else y
        options = {"gate_features": []} if kind in ("constant transitions", "stationary") else {}
        options |= {"gate": MarkovGate(initial="stationary")} if kind == "stationary" else {}
        options |= {"family": "poisson"} if kind == "poisson" else {}
        moe = regressor(n_experts, max_iter=20, **options)
    return fit_quietly(moe, data.X, y, **data.series), y


@pytest.mark.parametrize("n_experts", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_short_series_have_the_probabilities_of_all_their_paths(kind, n_experts):
    moe, y = fitted(kind, False, n_experts)
    chain = chain_of(moe, SHORT.X, y)
    smoothed = moe.responsibilities(SHORT.X, y, given="all", **SHORT.series)
    densities = moe.score_samples(SHORT.X, y, **SHORT.series)
    decoded = moe.decode(SHORT.X, y, **SHORT.series)
    for rows in rows_of_series(SHORT.units, SHORT.time).values():
        joint, paths = all_paths(chain, rows)
        total = logsumexp(joint)
        assert densities[rows].sum() == pytest.approx(total, abs=1e-10)
        weight = np.exp(joint - total)
        expected = (weight[:, None, None] * (paths[..., None] == np.arange(n_experts))).sum(axis=0)
        assert_allclose(smoothed[rows], expected, atol=1e-12)
        assert joint[(paths == decoded[rows]).all(axis=1)] == pytest.approx(joint.max(), abs=1e-10)


@pytest.mark.parametrize(
    ("kind", "is_long"), [*((kind, False) for kind in KINDS), *((kind, True) for kind in OF_LONG)]
)
def test_passes_are_those_from_row_to_row(kind, is_long):
    (moe, y), data = fitted(kind, is_long, 3), LONG if is_long else SHORT
    expected = plain_passes(chain_of(moe, data.X, y), data.units, data.time)
    for given in ("past", "now", "all"):
        proba = moe.responsibilities(data.X, y, given=given, **data.series)
        assert_allclose(proba, getattr(expected, given), atol=1e-10)
    assert_allclose(moe.predict_gate(data.X, y=y, **data.series), expected.past, atol=1e-10)
    assert_array_equal(moe.apply(data.X, y=y, **data.series), expected.past.argmax(axis=1))
    densities = moe.score_samples(data.X, y, **data.series)
    assert_allclose(densities, expected.log_density, atol=1e-9)
    assert_array_equal(moe.decode(data.X, y, **data.series), expected.path)


@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
def test_densities_far_apart_do_not_underflow(data):
    """Experts between which no transition is likely, and rows that only one can have generated."""
    moe = regressor(2, gate_features=[], expert_features=[]).fit(data.X, data.y, **data.series)
    far = data.y + np.where(data.X[:, 2] > 0.0, 1e4, -1e4)
    expected = plain_passes(chain_of(moe, data.X, far), data.units, data.time)
    assert_allclose(moe.score_samples(data.X, far, **data.series), expected.log_density, rtol=1e-9)
    for given in ("past", "now", "all"):
        proba = moe.responsibilities(data.X, far, given=given, **data.series)
        assert_allclose(proba, getattr(expected, given), atol=1e-9)
    assert_array_equal(moe.decode(data.X, far, **data.series), expected.path)


def test_rows_without_y_are_forecast_by_transitions_alone():
    data = LONG
    moe, y = fitted("normal", True, 3)
    last = np.zeros(len(y), dtype=bool)
    for rows in rows_of_series(data.units, data.time).values():
        last[rows[-5:]] = len(rows) > 5
    known = np.where(last, np.nan, y)
    expected = plain_passes(chain_of(moe, data.X, known), data.units, data.time)
    proba = moe.predict_gate(data.X, y=known, **data.series)
    assert_allclose(proba, expected.past, atol=1e-10)
    means = (proba * moe.predict_experts(data.X)).sum(axis=1)
    assert_allclose(moe.predict(data.X, y=known, **data.series), means)
    # Without y all rows are forecast from the first probabilities.
    nothing = plain_passes(chain_of(moe, data.X, np.full(len(y), np.nan)), data.units, data.time)
    assert_allclose(moe.predict_gate(data.X, **data.series), nothing.past, atol=1e-10)
    assert_allclose(moe.score_samples(data.X, known, **data.series)[last], 0.0, atol=1e-12)


@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
def test_lower_bound_without_penalties_is_the_sum_of_densities_of_rows(data):
    y = with_holes(data.y)
    moe = regressor(2, alpha=0.0, gate_alpha=0.0, dispersion_prior=0.0, max_iter=30)
    fit_quietly(moe, data.X, y, **data.series)
    total = moe.score_samples(data.X, y, **data.series).sum()
    n_observed = len(y) - np.isnan(y).sum()
    assert moe.lower_bound_ * n_observed == pytest.approx(total, rel=1e-9)
    expected = plain_passes(chain_of(moe, data.X, y), data.units, data.time)
    assert total == pytest.approx(expected.log_density.sum(), rel=1e-9)
