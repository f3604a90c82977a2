"""Parts that users write: those of the documentation, and a family of one file."""

import inspect
import runpy
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import interval_censored
from skmoe.families import FAMILIES
from skmoe.gates import GATES
from skmoe.inspection import export_html, export_text
from support import own_families
from support.own_families import Gumbel
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.sources import n_lines_of_code
from support.tables import crossing_lines

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_experts_of_the_documentation():
    experts = runpy.run_path(str(EXAMPLES / "waiting_time_expert.py"))["WaitingTimeExperts"]
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(800, 2))
    log_mean = np.where(X[:, 0] < 0, 1 + 1.5 * X[:, 1], 4 - X[:, 1])
    y = rng.exponential(np.exp(log_mean))
    options = {"expert": experts(alpha=0.1), "n_init": 1, "random_state": 0, "gate_alpha": 1.0}
    moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert_allclose(np.sort(moe.expert_coef_[:, 1]), [-1.0, 1.5], atol=0.2)
    assert np.diff(moe.lower_bounds_).min() > -1e-10
    logs = stats.expon.logpdf(y[:, None], scale=moe.predict_experts(X))
    expected = np.log((moe.predict_gate(X) * np.exp(logs)).sum(axis=1))
    assert_allclose(moe.score_samples(X, y), expected)
    # The unit of time adds a constant to the intercepts.
    in_ms = MixtureOfExpertsRegressor(2, **options).fit(X, 1000 * y)
    assert_allclose(in_ms.expert_coef_, moe.expert_coef_, atol=1e-5)
    assert_allclose(in_ms.expert_intercept_, moe.expert_intercept_ + np.log(1000), atol=1e-5)
    both = np.column_stack([y, y[::-1]])[:100]
    assert clone(in_ms).fit(X[:100], both).expert_coef_.shape == (2, 2, 2)
    assert_fit_refused(clone(in_ms), (X, y - y[0]), "y", "positive numbers", "row 0 holds 0")
    message = refusal(moe.predict_interval, X)
    assert_refused(message, "predict_interval", "WaitingTimeExperts", "components")


def test_gate_of_the_documentation(monkeypatch):
    monkeypatch.setitem(GATES, "dirichlet", None)
    gate = runpy.run_path(str(EXAMPLES / "dirichlet_gate.py"))["DirichletGate"]
    monkeypatch.setitem(GATES, "dirichlet", gate)
    X, y = crossing_lines()
    options = {"n_init": 1, "random_state": 0, "alpha": 0.1}
    weak, strong = (
        MixtureOfExpertsRegressor(2, gate="dirichlet", gate_alpha=alpha, **options).fit(X, y)
        for alpha in (1e-6, 1e6)
    )
    constant = MixtureOfExpertsRegressor(2, gate="constant", **options).fit(X, y)
    # The gate does not tell how its experts are reordered.
    assert_allclose(np.sort(weak.weights_), np.sort(constant.weights_), atol=1e-3)
    assert_allclose(strong.weights_, 0.5, atol=1e-3)
    assert np.diff(weak.lower_bounds_).min() > -1e-10
    assert_refused(refusal(weak.inference, X, y), "inference", "DirichletGate", "your own")


def test_a_family_of_forty_lines_has_what_the_registered_ones_have(monkeypatch, tmp_path):
    """A dispersion on features of censored values of units, with summary, errors and report."""
    assert n_lines_of_code(Path(inspect.getsourcefile(own_families))) <= 40
    monkeypatch.setitem(FAMILIES, "gumbel", Gumbel)
    rng, units = np.random.default_rng(0), np.repeat(np.arange(250), 3)
    X, is_first = rng.normal(size=(750, 3)), (rng.uniform(size=250) < 0.5)[units]
    mode = np.where(is_first, 3.0 + X[:, 0], -2.0 * X[:, 1])
    y = rng.gumbel(mode, np.exp(0.3 * X[:, 2] - 1.0))
    limit = np.quantile(y, 0.8)
    y = interval_censored(np.minimum(y, limit), np.where(y > limit, np.inf, y))
    moe = MixtureOfExpertsRegressor(
        2, family="gumbel", gate="constant", dispersion_features=[2], random_state=0
    ).fit(X, y, units=units)
    order = np.argsort(moe.expert_coef_[:, 0])
    expected = [[0.0, -2.0, 0.0], [1.0, 0.0, 0.0]]
    assert_allclose(moe.expert_coef_[order], expected, atol=0.12)
    # The log of the dispersion is twice that of the scale.
    assert_allclose(moe.expert_dispersion_coef_[:, 2], 0.6, atol=0.25)
    assert np.isfinite(moe.inference(X, y, units=units).standard_errors).all()
    export_html(moe, X, y, tmp_path / "report.html", units=units)
    texts = [str(moe.summary(X, y, units=units)), export_text(moe)]
    texts += [(tmp_path / "report.html").read_text("utf-8")]
    assert all("gumbel" in text for text in texts)
    # The distribution is that of SciPy.
    rows, values = X[:5], np.linspace(-4.0, 6.0, 7)
    mode = rows @ moe.expert_coef_.T + moe.expert_intercept_
    log_dispersion = rows @ moe.expert_dispersion_coef_.T + moe.expert_dispersion_intercept_
    exact = stats.gumbel_r(mode[..., None], np.exp(0.5 * log_dispersion)[..., None]).cdf(values)
    distribution = moe.predict_dist(rows)
    assert_allclose(distribution.cdf(values[None]), np.einsum("nkv,k->nv", exact, moe.weights_))
    assert_allclose(distribution.mean, moe.predict(rows))
    quantiles = moe.predict_quantile(rows, [0.1, 0.9])
    assert_allclose(distribution.cdf(quantiles), np.tile([0.1, 0.9], (5, 1)))
