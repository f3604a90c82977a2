"""Predictions of new units, and from the other rows of a unit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe.exceptions import FitMismatchWarning
from support.people import columns_of, covariance, fitted, given_rows, regressor, table

DATA = table()
X, Y, UNITS, N = DATA.X, DATA.y, DATA.units, len(DATA.y)
HOLES = np.where(np.random.default_rng(0).random(N) < 0.3, np.nan, Y)


def test_new_units_have_the_marginal_distribution():
    gate, means = fitted().predict_gate(X), fitted().predict_experts(X)
    columns = columns_of(fitted(), X)
    variances = np.stack(
        [[covariance(fitted(), k, row[None])[0, 0] for row in columns] for k in range(2)], axis=1
    )
    mean = (gate * means).sum(axis=1)
    assert_allclose(fitted().predict(X), mean)
    squares = (gate * (variances + means**2)).sum(axis=1)
    assert_allclose(fitted().predict_dist(X).var, squares - mean**2)
    assert_allclose(fitted().predict(X, units=UNITS), mean)
    unknown = {"y": np.full(N, np.nan), "units": UNITS}
    assert_allclose(fitted().predict(X, **unknown), mean)
    assert_allclose(fitted().predict_dist(X, **unknown).std, fitted().predict_dist(X).std)


def test_rows_without_units_are_of_new_ones():
    with pytest.warns(FitMismatchWarning, match="units"):
        densities = fitted().score_samples(X, Y)
    assert_allclose(densities, fitted().score_samples(X, Y, units=np.arange(N)))
    assert_allclose(np.exp(densities), fitted().predict_dist(X).pdf(Y))


@pytest.mark.parametrize("y", [Y, HOLES], ids=["all known", "some known"])
def test_rows_are_predicted_from_the_other_known_rows_of_their_units(y):
    known = {"y": y, "units": UNITS}
    gate, mean = fitted().predict_gate(X, **known), fitted().predict(X, **known)
    experts, variance = (
        fitted().explain(X, **known)["experts"],
        fitted().predict_dist(X, **known).var,
    )
    for row in range(0, N, 5):
        others = np.flatnonzero((UNITS[row] == UNITS) & ~np.isnan(y) & (np.arange(N) != row))
        probability, means, variances = given_rows(fitted(), DATA, row, others)
        assert_allclose(gate[row], probability, atol=1e-9)
        assert_allclose(experts[row], means, rtol=1e-9)
        assert mean[row] == pytest.approx(probability @ means)
        total = probability @ (variances + means**2) - mean[row] ** 2
        assert variance[row] == pytest.approx(total)


def test_curves_of_a_unit_are_those_of_rows_without_y():
    """Rows without y at the times of known rows are predicted from all of them."""
    own = np.flatnonzero(np.bincount(UNITS).argmax() == UNITS)
    both, y = np.vstack([X[own], X[own]]), np.append(Y[own], np.full(len(own), np.nan))
    units = np.zeros(len(both))
    curve = fitted().predict(both, y=y, units=units)[len(own) :]
    left_out = fitted().predict(X[own], y=Y[own], units=units[: len(own)])
    assert np.square(Y[own] - curve).sum() < np.square(Y[own] - left_out).sum()
    resp = fitted().responsibilities(X[own], Y[own], units=units[: len(own)])
    gate = fitted().predict_gate(both, y=y, units=units)[len(own) :]
    assert_allclose(gate, resp.rows(units[: len(own)]))


def test_own_rows_predict_better():
    known = {"y": Y, "units": UNITS}
    assert fitted().score(X, Y) < 0.5 < fitted().score(X, Y, units=UNITS)
    residuals = Y - fitted().predict(X, **known)
    assert fitted().score(X, Y, units=UNITS) == pytest.approx(
        1 - np.var(residuals) / np.var(Y), abs=0.02
    )
    low, high = fitted().predict_interval(X, 0.9, **known).T
    assert 0.8 < ((low < Y) & (high > Y)).mean() < 0.97
    assert (high - low).mean() < np.diff(fitted().predict_interval(X, 0.9)).mean()
    is_known = ~np.isnan(HOLES)
    r2 = fitted().score(X, HOLES, units=UNITS)
    left = Y[is_known] - fitted().predict(X, y=HOLES, units=UNITS)[is_known]
    assert r2 == pytest.approx(1 - np.square(left).sum() / np.var(Y[is_known]) / is_known.sum())


def test_given_probabilities_are_kept_beside_the_effects():
    known = {"y": HOLES, "units": UNITS}
    experts = fitted().explain(X, **known)["experts"]
    half = np.full((N, 2), 0.5)
    assert_allclose(fitted().predict(X, gate_proba=half, **known), experts.mean(axis=1))


def test_several_outputs_of_a_row_are_left_out_together():
    Z = np.column_stack([Y, Y + np.random.default_rng(0).normal(size=N)])
    moe = regressor(1).fit(X, Z, units=UNITS)
    row = int(np.flatnonzero(np.bincount(UNITS)[UNITS] > 2)[0])
    holes = Z.copy()
    holes[row] = np.nan
    found = moe.predict(X, y=Z, units=UNITS)[row]
    assert_allclose(found, moe.predict(X, y=holes, units=UNITS)[row])


def test_trajectories_show_the_courses_of_units():
    pytest.importorskip("matplotlib")
    from skmoe.inspection import TrajectoriesDisplay

    display = TrajectoriesDisplay.from_estimator(fitted(), X, HOLES, units=UNITS, subsample=None)
    twice, y = np.tile(np.arange(N), 2), np.append(HOLES, np.full(N, np.nan))
    courses = fitted().predict(X[twice], y=y, units=UNITS[twice])[N:]
    shown = np.flatnonzero(~np.isnan(HOLES))
    assert_allclose(display.x, X[shown, 0])
    assert_allclose(display.y, courses[shown])
