"""Several outputs, each with its own answers.

One output is nearly free of noise and the other drowns in it, on every path: an answer that belongs
to the other output is wrong by a factor of a hundred. Swapped outputs swap the answers, and the
answers are those of formulas written here, since a path that swaps outputs by itself swaps
those of swapped outputs, too.
"""

from functools import cache

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly

N_ROWS = 120
NOISE = np.array([0.05, 4.0])
FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}
FIXED |= {"dispersion_prior": 0.0, "tol": 1e-5}


@cache
def table():
    """Two regimes by the sign of the first feature, two outputs."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N_ROWS, 2))
    side = np.sign(X[:, 0])
    mean = np.column_stack([5.0 * side + X[:, 1], 40.0 * side * X[:, 1]])
    return X, mean + NOISE * rng.normal(size=(N_ROWS, 2))


def start(X):
    """Responsibilities that do not depend on the outputs."""
    right = np.where(X[:, 0] > 0, 0.95, 0.05)
    return np.column_stack([right, 1 - right])


def mixture(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **FIXED | options)


def of_rows(**options):
    def fit(X, Y):
        # Folds of groups, which do not depend on the order of the rows.
        groups = np.arange(N_ROWS) % 4 if {"expert", "base"} & set(options) else None
        return fit_quietly(mixture(init=start(X), **options), X, Y, groups=groups)

    return fit


def in_blocks(X, Y):
    blocks = [(X[i : i + 70], Y[i : i + 70]) for i in range(0, N_ROWS, 70)]
    return fit_quietly(mixture(init="linear_tree"), RowBlocks(lambda: iter(blocks)))


def from_dask(X, Y):
    arrays = (da.from_array(values, chunks=(90, 2)) for values in (X, Y))
    with dask.config.set(scheduler="synchronous"):
        return fit_quietly(mixture(init="linear_tree"), *arrays)


def as_stream(X, Y):
    moe = mixture(init="linear_tree")
    for _ in range(3):
        for i in range(0, N_ROWS, 80):
            moe.partial_fit(X[i : i + 80], Y[i : i + 80])
    return moe


PATHS = {
    "linear": of_rows(),
    "shared variance": of_rows(dispersion="shared"),
    "constant gate": of_rows(gate="constant"),
    "routed": of_rows(gate=SoftmaxGate(top_k=1)),
    "base": of_rows(base=Ridge()),
    "blocks": in_blocks,
    "dask": from_dask,
    "stream": as_stream,
    "estimators": of_rows(expert=Ridge()),
    "pipelines": of_rows(expert=make_pipeline(StandardScaler(), Ridge())),
    "shared variance of estimators": of_rows(expert=Ridge(), dispersion="shared"),
    "named": of_rows(expert=["linear", "linear"], max_iter=10),
    "trees": of_rows(expert="tree", cross_fit=2, max_iter=5),
    "nested": of_rows(expert=mixture(init="linear_tree"), cross_fit=2, max_iter=2),
}


@cache
def fitted(path):
    """A fit that tests read only."""
    return PATHS[path](*table())


def answers(moe, X, Y):
    """What is said of each output, the outputs on the last axis."""
    dist = moe.predict_dist(X)
    return {
        "predict": moe.predict(X),
        "predict_experts": moe.predict_experts(X),
        "mean": dist.mean,
        "std": dist.std,
        "interval": moe.predict_interval(X, 0.8),
        "quantile": moe.predict_quantile(X, 0.3),
        "crps": dist.crps(Y),
        "cdf": dist.cdf(Y),
        "noise_variance_": moe.noise_variance_,
    }


@pytest.mark.parametrize("path", PATHS)
def test_swapped_outputs_swap_the_answers(path):
    X, Y = table()
    one, other = fitted(path), PATHS[path](X, Y[:, ::-1])
    swapped = answers(other, X, Y[:, ::-1])
    for name, answer in answers(one, X, Y).items():
        assert answer.shape[-1] == 2
        atol = 1e-4 * np.abs(answer).max()
        assert_allclose(answer, swapped[name][..., ::-1], rtol=1e-4, atol=atol, err_msg=name)
    # Log densities far from all experts are large, so that they are compared in units of them.
    found, expected = one.score_samples(X, Y), other.score_samples(X, Y[:, ::-1])
    assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    found, expected = one.responsibilities(X, Y), other.responsibilities(X, Y[:, ::-1])
    assert_allclose(found, expected, atol=1e-3)


# Paths whose noise is that of the rows they predict: not routed, not out of fold.
TIGHT = {"linear", "shared variance", "constant gate", "blocks", "dask", "stream"}
TIGHT |= {"estimators", "pipelines", "named"}


def components(moe, X):
    """Probabilities, means and standard deviations of normal components by the public answers."""
    means = moe.predict_experts(X)
    stds = np.broadcast_to(np.sqrt(moe.noise_variance_), means.shape)
    return moe.predict_gate(X)[..., None], means, stds


@pytest.mark.parametrize("path", [name for name in PATHS if name != "nested"])
def test_each_output_has_its_own_noise_and_distribution(path):
    X, Y = table()
    moe = fitted(path)
    gate, means, stds = components(moe, X)
    residual = (moe.responsibilities(X, Y)[..., None] * (Y[:, None] - means) ** 2).sum(axis=1)
    # Swapped they would differ by a factor of 70.
    loose = 1.2 if path in TIGHT else 40.0
    ratio = np.sqrt(residual.mean(axis=0)) / np.sqrt(moe.noise_variance_).mean(axis=0)
    assert (ratio > 1 / loose).all()
    assert (ratio < loose).all()
    dist = moe.predict_dist(X)
    mean = (gate * means).sum(axis=1)
    assert_allclose(moe.predict(X), mean)
    assert_allclose(dist.mean, mean)
    variance = (gate * (stds**2 + means**2)).sum(axis=1) - mean**2
    assert_allclose(dist.std, np.sqrt(variance), rtol=1e-6)
    cdf = (gate * stats.norm.cdf(Y[:, None], means, stds)).sum(axis=1)
    assert_allclose(dist.cdf(Y), cdf, atol=1e-10)
    density = (gate * stats.norm.pdf(Y[:, None], means, stds)).sum(axis=1)
    assert_allclose(dist.pdf(Y), density, rtol=1e-6, atol=1e-12)
    lower, upper = np.moveaxis(moe.predict_interval(X, 0.8), 1, 0)
    for bound, level in ((lower, 0.1), (upper, 0.9)):
        reached = (gate * stats.norm.cdf(bound[:, None], means, stds)).sum(axis=1)
        assert_allclose(reached, level, atol=1e-6)
    # Outputs are independent given the expert.
    with np.errstate(divide="ignore"):
        joint = np.log(gate[..., 0]) + stats.norm.logpdf(Y[:, None], means, stds).sum(axis=2)
    total = np.logaddexp.reduce(joint, axis=1)
    assert_allclose(moe.score_samples(X, Y), total, rtol=1e-6)
    assert_allclose(moe.responsibilities(X, Y), np.exp(joint - total[:, None]), atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "estimators", "nested"])
def test_crps_coverage_and_draws_are_of_each_output(path):
    X, Y = table()
    moe = fitted(path)
    dist = moe.predict_dist(X)
    found = moe.predict_dist(X[:2]).crps(Y[:2])
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


def test_nested_mixtures_say_the_components_of_each_output():
    X, _ = table()
    moe = fitted("nested")
    dist, gate = moe.predict_dist(X), moe.predict_gate(X)
    mean = square = 0.0
    for k, models in enumerate(moe.experts_):
        for model in models:
            own = model.predict_dist(X)
            share = gate[:, [k]] / len(models)
            mean = mean + share * own.mean
            square = square + share * (own.std**2 + own.mean**2)
    assert_allclose(dist.mean, mean)
    assert_allclose(dist.std, np.sqrt(square - mean**2), rtol=1e-5)
    assert dist.std.mean(axis=0)[1] > 5 * dist.std.mean(axis=0)[0]


def test_single_expert_is_least_squares_of_each_output_with_its_errors():
    X, Y = table()
    single = LinearRegression().fit(X, Y)
    residual = ((Y - single.predict(X)) ** 2).mean(axis=0)
    moe = mixture(1, alpha=1e-9).fit(X, Y)
    assert_allclose(moe.noise_variance_[0], residual, rtol=1e-6)
    assert_allclose(moe.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(moe.expert_intercept_[0], single.intercept_, atol=1e-6)
    assert_allclose(moe.predict_dist(X).std, np.sqrt(np.tile(residual, (N_ROWS, 1))), rtol=1e-6)
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
    X = rng.uniform(-1, 1, size=(N_ROWS, 1))
    Y = np.column_stack([rng.poisson(np.exp(0.5 * X[:, 0])), rng.poisson(np.exp(4 - X[:, 0]))])
    moe, other = (
        fit_quietly(mixture(family="poisson", init=start(X)), X, outputs)
        for outputs in (Y, Y[:, ::-1])
    )
    gate, means = moe.predict_gate(X)[..., None], moe.predict_experts(X)
    dist = moe.predict_dist(X)
    pmf = (gate * stats.poisson.pmf(Y[:, None], means)).sum(axis=1)
    assert_allclose(dist.pmf(Y), pmf, rtol=1e-9)
    joint = np.log(gate[..., 0]) + stats.poisson.logpmf(Y[:, None], means).sum(axis=2)
    assert_allclose(moe.score_samples(X, Y), np.logaddexp.reduce(joint, axis=1), rtol=1e-9)
    assert_allclose(other.predict(X)[:, ::-1], moe.predict(X), rtol=1e-5)
    assert_allclose(other.predict_dist(X).std[:, ::-1], dist.std, rtol=1e-5)
