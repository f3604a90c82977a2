"""Several outputs, each with its own answers.

One output is nearly free of noise and the other drowns in it, on every path: an answer that belongs
to the other output is wrong by a factor of a hundred. The answers are those of formulas
written here.
"""

from functools import cache

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats
from sklearn.linear_model import LinearRegression, Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly

N_ROWS = 120
NOISE = np.array([0.05, 4.0])
FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}
FIXED |= {"dispersion_prior": 0.0, "tol": 1e-5}

# Two regimes by the sign of the first feature, and responsibilities without the outputs.
rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, size=(N_ROWS, 2))
SIDE = np.sign(X[:, 0])
MEAN = np.column_stack([5.0 * SIDE + X[:, 1], 40.0 * SIDE * X[:, 1]])
Y = MEAN + NOISE * rng.normal(size=(N_ROWS, 2))
START = 0.5 + 0.45 * np.column_stack([SIDE, -SIDE])


def mixture(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **FIXED | options)


def of_rows(**options):
    return lambda: fit_quietly(mixture(init=START, **options), X, Y)


def in_blocks():
    blocks = [(X[i : i + 70], Y[i : i + 70]) for i in range(0, N_ROWS, 70)]
    return fit_quietly(mixture(init="linear_tree"), RowBlocks(lambda: iter(blocks)))


def from_dask():
    arrays = (da.from_array(values, chunks=(90, 2)) for values in (X, Y))
    with dask.config.set(scheduler="synchronous"):
        return fit_quietly(mixture(init="linear_tree"), *arrays)


def as_stream():
    moe = mixture(init="linear_tree")
    for _ in range(3):
        for i in range(0, N_ROWS, 80):
            moe.partial_fit(X[i : i + 80], Y[i : i + 80])
    return moe


# By how much noise may differ from that of the rows: where these are not routed or out of fold.
PATHS = {
    "linear": (of_rows(), 1.2),
    "shared variance": (of_rows(dispersion="shared"), 1.2),
    "routed": (of_rows(gate=SoftmaxGate(top_k=1)), 40.0),
    "base": (of_rows(base=Ridge()), 40.0),
    "blocks": (in_blocks, 1.2),
    "dask": (from_dask, 1.2),
    "stream": (as_stream, 1.2),
    "estimators": (of_rows(expert=Ridge()), 1.2),
    "shared variance of estimators": (of_rows(expert=Ridge(), dispersion="shared"), 1.2),
    "trees": (of_rows(expert="tree", cross_fit=2, max_iter=5), 40.0),
    "nested": (of_rows(expert=mixture(init="linear_tree"), cross_fit=2, max_iter=2), np.inf),
}


@cache
def fitted(path):
    """A fit that tests read only."""
    return PATHS[path][0]()


def components(moe, path):
    """Probabilities, means and standard deviations (n, C, m) of normal components."""
    gate, means = moe.predict_gate(X)[..., None], moe.predict_experts(X)
    if path != "nested":
        return gate, means, np.broadcast_to(np.sqrt(moe.noise_variance_), means.shape)
    parts = [
        (gate[:, [k]] / len(models) * m.predict_gate(X)[..., None], m.predict_experts(X), m)
        for k, models in enumerate(moe.experts_)
        for m in models
    ]
    stds = [np.broadcast_to(np.sqrt(m.noise_variance_), own.shape) for _, own, m in parts]
    gates, means, _ = zip(*parts, strict=True)
    return [np.concatenate(own, axis=1) for own in (gates, means, stds)]


@pytest.mark.parametrize("path", PATHS)
def test_each_output_has_its_own_noise_and_distribution(path):
    moe, loose = fitted(path), PATHS[path][1]
    gate, means, stds = components(moe, path)
    # Outputs are independent given the expert.
    with np.errstate(divide="ignore"):
        joint = np.log(gate[..., 0]) + stats.norm.logpdf(Y[:, None], means, stds).sum(axis=2)
    total = np.logaddexp.reduce(joint, axis=1)
    assert_allclose(moe.score_samples(X, Y), total, rtol=1e-6)
    resp = np.exp(joint - total[:, None])
    if path != "nested":
        assert_allclose(moe.responsibilities(X, Y), resp, atol=1e-6)
    # Swapped they would differ by a factor of 70.
    residual = (resp[..., None] * (Y[:, None] - means) ** 2).sum(axis=1)
    ratio = np.sqrt(residual.mean(axis=0)) / stds.mean(axis=(0, 1))
    assert ((ratio > 1 / loose) & (ratio < loose)).all()
    dist, mean = moe.predict_dist(X), (gate * means).sum(axis=1)
    assert_allclose(moe.predict(X), mean)
    assert_allclose(dist.mean, mean)
    variance = (gate * (stds**2 + means**2)).sum(axis=1) - mean**2
    assert_allclose(dist.std, np.sqrt(variance), rtol=1e-5)
    cdf = (gate * stats.norm.cdf(Y[:, None], means, stds)).sum(axis=1)
    assert_allclose(dist.cdf(Y), cdf, atol=1e-10)
    density = (gate * stats.norm.pdf(Y[:, None], means, stds)).sum(axis=1)
    assert_allclose(dist.pdf(Y), density, rtol=1e-6, atol=1e-12)
    lower, upper = np.moveaxis(moe.predict_interval(X, 0.8), 1, 0)
    for bound, level in ((lower, 0.1), (upper, 0.9), (moe.predict_quantile(X, 0.3), 0.3)):
        reached = (gate * stats.norm.cdf(bound[:, None], means, stds)).sum(axis=1)
        assert_allclose(reached, level, atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "estimators", "nested"])
def test_crps_coverage_and_draws_are_of_each_output(path):
    moe = fitted(path)
    dist, found = moe.predict_dist(X), moe.predict_dist(X[:2]).crps(Y[:2])
    for i, j in np.ndindex(2, 2):
        width = 12 * dist.std[i, j]
        coarse = Y[i, j] + np.linspace(-width, width, 1001)
        fine = 8 * NOISE[j] * np.linspace(-1, 1, 801)
        near = [center + fine for center in (Y[i, j], *moe.predict_experts(X[[i]])[0, :, j])]
        grid = np.sort(np.concatenate([coarse, *near]))
        one = moe.predict_dist(np.tile(X[[i]], (len(grid), 1)))
        cdf = one.cdf(np.column_stack([grid, grid]))[:, j]
        square = (cdf - (grid >= Y[i, j])) ** 2
        assert_allclose(found[i, j], integrate.trapezoid(square, grid), rtol=0.02)
    interval = moe.predict_interval(X, 0.8)
    inside = ((interval[:, 0] <= Y) & (interval[:, 1] >= Y)).mean(axis=0)
    assert (np.abs(inside - 0.8) < 0.15).all()
    draws = moe.sample(X, n_samples=300, random_state=0)
    assert_allclose(draws.std(axis=1).mean(axis=0), dist.std.mean(axis=0), rtol=0.1)


def test_single_expert_is_least_squares_of_each_output_with_its_errors():
    single = LinearRegression().fit(X, Y)
    residual = ((Y - single.predict(X)) ** 2).mean(axis=0)
    moe = mixture(1, alpha=1e-9).fit(X, Y)
    assert_allclose(moe.noise_variance_[0], residual, rtol=1e-6)
    assert_allclose(moe.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(moe.expert_intercept_[0], single.intercept_, atol=1e-6)
    design = np.column_stack([np.ones(N_ROWS), X])
    covariance = np.linalg.inv(design.T @ design)
    observed, robust = (
        moe.inference(X, Y, method=method).standard_errors for method in ("observed", "sandwich")
    )
    for j in range(2):
        own = slice(3 * j, 3 * j + 3)
        expected = np.sqrt(moe.noise_variance_[0, j] * np.diag(covariance))
        assert_allclose(observed[own], expected, rtol=1e-4)
        scores = design * (Y[:, j] - moe.predict(X)[:, j])[:, None]
        sandwich = covariance @ scores.T @ scores @ covariance
        assert_allclose(robust[own], np.sqrt(np.diag(sandwich)), rtol=1e-3)
    assert_allclose(observed[6:], np.sqrt(2 / N_ROWS), rtol=1e-3)


def test_counts_of_each_output():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(np.column_stack([0.5 * X[:, 0], 4.0 - X[:, 0]])))
    moe = fit_quietly(mixture(family="poisson", init=START), X, counts)
    gate, means = moe.predict_gate(X)[..., None], moe.predict_experts(X)
    pmf = (gate * stats.poisson.pmf(counts[:, None], means)).sum(axis=1)
    assert_allclose(moe.predict_dist(X).pmf(counts), pmf, rtol=1e-9)
    joint = np.log(gate[..., 0]) + stats.poisson.logpmf(counts[:, None], means).sum(axis=2)
    assert_allclose(moe.score_samples(X, counts), np.logaddexp.reduce(joint, axis=1), rtol=1e-9)
    assert_allclose(moe.predict(X).mean(axis=0), counts.mean(axis=0), rtol=0.1)
