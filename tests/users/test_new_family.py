"""A family of one file has at once what the registered ones have: here that of largest values."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import interval_censored
from skmoe.families import FAMILIES
from skmoe.inspection import export_html, export_text
from support import own_families
from support.own_families import Gumbel
from support.sources import n_lines_of_code

N_UNITS, N_TIMES = 250, 3


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(FAMILIES, "gumbel", Gumbel)


@pytest.fixture(scope="module")
def table():
    """Units of two regimes, whose spread depends on a feature, and y above a limit censored."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(N_UNITS), N_TIMES)
    X = rng.normal(size=(len(units), 3))
    is_first = (rng.uniform(size=N_UNITS) < 0.5)[units]
    mode = np.where(is_first, 3.0 + X[:, 0], -2.0 * X[:, 1])
    y = rng.gumbel(mode, np.exp(0.3 * X[:, 2] - 1.0))
    limit = np.quantile(y, 0.8)
    bounds = np.minimum(y, limit), np.where(y > limit, np.inf, y)
    return X, interval_censored(*bounds), units


def fitted(table):
    X, y, units = table
    moe = MixtureOfExpertsRegressor(
        2, family="gumbel", gate="constant", dispersion_features=[2], random_state=0
    )
    return moe.fit(X, y, units=units)


def test_the_file_has_at_most_forty_lines():
    path = inspect.getsourcefile(own_families)
    assert path is not None
    assert n_lines_of_code(Path(path)) <= 40


def test_a_dispersion_on_features_of_censored_values_of_units(table):
    X, y, units = table
    moe = fitted(table)
    expected = [[0.0, -2.0, 0.0], [1.0, 0.0, 0.0]]
    order = np.argsort(moe.expert_coef_[:, 0])
    assert_allclose(moe.expert_coef_[order], expected, atol=0.12)
    # The log of the dispersion is twice that of the scale.
    assert_allclose(moe.expert_dispersion_coef_[:, 2], 0.6, atol=0.25)
    summary = str(moe.summary(X, y, units=units))
    assert "(gumbel)" in summary
    result = moe.inference(X, y, units=units)
    assert np.isfinite(result.standard_errors).all()
    assert "gumbel" in export_text(moe)


def test_the_distribution_is_that_of_scipy(table):
    X = table[0][:5]
    moe = fitted(table)
    distribution = moe.predict_dist(X)
    mode = X @ moe.expert_coef_.T + moe.expert_intercept_
    log_dispersion = X @ moe.expert_dispersion_coef_.T + moe.expert_dispersion_intercept_
    scale = np.exp(0.5 * log_dispersion)
    values = np.linspace(-4.0, 6.0, 7)
    exact = stats.gumbel_r(mode[..., None], scale[..., None])
    assert_allclose(
        distribution.cdf(values[None]), np.einsum("nkv,k->nv", exact.cdf(values), moe.weights_)
    )
    assert_allclose(distribution.mean, moe.predict(X))
    quantiles = moe.predict_quantile(X, [0.1, 0.9])
    assert_allclose(distribution.cdf(quantiles), np.tile([0.1, 0.9], (len(X), 1)))


def test_the_report_draws_it(table, tmp_path):
    X, y, units = table
    path = tmp_path / "report.html"
    export_html(fitted(table), X, y, path, units=units)
    assert "gumbel" in path.read_text("utf-8")
