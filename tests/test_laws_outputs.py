"""Several outputs, each with its own answers.

One output is nearly free of noise and the other drowns in it, on every path: an answer that belongs
to the other output is wrong by a factor of a hundred. Swapped outputs swap the answers, and the
answers are those of formulas written here, since a path that swaps outputs by itself swaps
those of swapped outputs, too.
"""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import quiet
from scipy import integrate, stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.experts import LinearExperts
from skmoe.experts._cross_fitted import CrossFittedExperts

N = 240
NOISE = np.array([0.05, 4.0])


def table():
    """Two regimes by the sign of the first feature, two outputs."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N, 2))
    side = np.sign(X[:, 0])
    mean = np.column_stack([5.0 * side + X[:, 1], 40.0 * side * X[:, 1]])
    return X, mean + NOISE * rng.normal(size=(N, 2))


def start(X):
    """Responsibilities that do not depend on the outputs."""
    right = np.where(X[:, 0] > 0, 0.95, 0.05)
    return np.column_stack([right, 1 - right])


def mixture(**options):
    return MixtureOfExpertsRegressor(
        2, **({"random_state": 0, "tol": 1e-6, "dispersion_prior": 0.0} | options)
    )


def fitted(X, Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Folds of groups, which do not depend on the order of the rows.
        groups = np.arange(N) % 4 if {"expert", "base"} & set(options) else None
        return mixture(init=start(X), **options).fit(X, Y, groups=groups)


def in_blocks(X, Y):
    blocks = [(X[i : i + 70], Y[i : i + 70]) for i in range(0, N, 70)]
    return mixture(init="linear_tree", n_init=1).fit(RowBlocks(lambda: iter(blocks)))


def from_dask(X, Y):
    arrays = (da.from_array(values, chunks=(90, 2)) for values in (X, Y))
    with dask.config.set(scheduler="synchronous"):
        return mixture(init="linear_tree", n_init=1).fit(*arrays)


def as_stream(X, Y):
    moe = mixture(init="linear_tree", n_init=1)
    for _ in range(3):
        for i in range(0, N, 80):
            moe.partial_fit(X[i : i + 80], Y[i : i + 80])
    return moe


def averaged(X, Y):
    return quiet(mixture(init="linear_tree", n_init=2, combine="average"), X, Y)


def nested(X, Y):
    inner = mixture(init="linear_tree", n_init=1)
    return fitted(X, Y, expert=inner, cross_fit=2, max_iter=4)


PATHS = {
    "linear": fitted,
    "shared variance": lambda X, Y: fitted(X, Y, dispersion="shared"),
    "constant gate": lambda X, Y: fitted(X, Y, gate="constant"),
    "routed": lambda X, Y: fitted(X, Y, top_k=1),
    "base": lambda X, Y: fitted(X, Y, base=Ridge()),
    "blocks": in_blocks,
    "dask": from_dask,
    "stream": as_stream,
    "average": averaged,
    "estimators": lambda X, Y: fitted(X, Y, expert=Ridge()),
    "pipelines": lambda X, Y: fitted(X, Y, expert=make_pipeline(StandardScaler(), Ridge())),
    "shared variance of estimators": lambda X, Y: fitted(X, Y, expert=Ridge(), dispersion="shared"),
    "average of estimators": lambda X, Y: quiet(
        mixture(expert=Ridge(), init="tree", n_init=2, combine="average"), X, Y
    ),
    "named": lambda X, Y: fitted(X, Y, expert=["linear", "linear"]),
    "trees": lambda X, Y: fitted(X, Y, expert="tree"),
    "out of bag": lambda X, Y: fitted(
        X,
        Y,
        expert=RandomForestRegressor(30, min_samples_leaf=3, oob_score=True, random_state=0),
        cross_fit="oob",
    ),
    "nested": nested,
}


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


# Starts and bags that are drawn row by row, in an order that depends on the outputs.
DRAWN = ("average", "average of estimators", "out of bag")


@pytest.mark.parametrize("path", [name for name in PATHS if name not in DRAWN])
def test_swapped_outputs_swap_the_answers(path):
    X, Y = table()
    one, other = (PATHS[path](X, outputs) for outputs in (Y, Y[:, ::-1]))
    swapped = answers(other, X, Y[:, ::-1])
    for name, answer in answers(one, X, Y).items():
        assert answer.shape[-1] == 2
        assert_allclose(answer, swapped[name][..., ::-1], rtol=1e-5, atol=1e-6, err_msg=name)
    for method in ("score_samples", "responsibilities"):
        assert_allclose(
            getattr(one, method)(X, Y), getattr(other, method)(X, Y[:, ::-1]), rtol=1e-5, atol=1e-6
        )
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-6)


# Paths whose noise is that of the rows they predict: not routed, not out of fold.
TIGHT = (
    "linear",
    "shared variance",
    "constant gate",
    "blocks",
    "dask",
    "stream",
    "average",
    "estimators",
    "pipelines",
    "named",
)


def components(moe, X):
    """Probabilities, means and standard deviations of normal components by the public answers."""
    means = moe.predict_experts(X)
    stds = np.broadcast_to(np.sqrt(moe.noise_variance_), means.shape)
    return moe.predict_gate(X)[..., None], means, stds


@pytest.mark.parametrize("path", [name for name in PATHS if "nested" not in name])
def test_each_output_has_its_own_noise(path):
    X, Y = table()
    moe = PATHS[path](X, Y)
    gate, means, stds = components(moe, X)
    residual = (moe.responsibilities(X, Y)[..., None] * (Y[:, None] - means) ** 2).sum(axis=1)
    # Swapped they would differ by a factor of 70.
    loose = 1.1 if path in TIGHT else 20.0
    ratio = np.sqrt(residual.mean(axis=0)) / np.sqrt(moe.noise_variance_).mean(axis=0)
    assert (ratio > 1 / loose).all()
    assert (ratio < loose).all()
    dist = moe.predict_dist(X)
    mean = (gate * means).sum(axis=1)
    assert_allclose(moe.predict(X), mean)
    assert_allclose(dist.mean, mean)
    variance = (gate * (stds**2 + means**2)).sum(axis=1) - mean**2
    assert_allclose(dist.std, np.sqrt(variance), rtol=1e-6)
    assert_allclose(dist.cdf(Y), (gate * stats.norm.cdf(Y[:, None], means, stds)).sum(axis=1))
    density = (gate * stats.norm.pdf(Y[:, None], means, stds)).sum(axis=1)
    assert_allclose(dist.pdf(Y), density)
    lower, upper = np.moveaxis(moe.predict_interval(X, 0.8), 1, 0)
    for bound, level in ((lower, 0.1), (upper, 0.9)):
        reached = (gate * stats.norm.cdf(bound[:, None], means, stds)).sum(axis=1)
        assert_allclose(reached, level, atol=1e-6)


@pytest.mark.parametrize("path", [n for n in PATHS if "nested" not in n and "average" not in n])
def test_a_density_multiplies_those_of_the_outputs_of_an_expert(path):
    X, Y = table()
    moe = PATHS[path](X, Y)
    gate, means, stds = components(moe, X)
    with np.errstate(divide="ignore"):
        joint = np.log(gate[..., 0]) + stats.norm.logpdf(Y[:, None], means, stds).sum(axis=2)
    assert_allclose(moe.score_samples(X, Y), np.logaddexp.reduce(joint, axis=1), rtol=1e-6)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    assert_allclose(moe.responsibilities(X, Y), resp, atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "estimators", "nested"])
def test_crps_and_coverage_are_of_each_output(path):
    X, Y = table()
    moe = PATHS[path](X, Y)
    dist = moe.predict_dist(X)
    rows = slice(0, 3)
    found = moe.predict_dist(X[rows]).crps(Y[rows])
    for i in range(3):
        for j in range(2):
            width = 12 * dist.std[i, j]
            near = Y[i, j] + np.linspace(-width, width, 10_001)
            grid = np.sort(np.concatenate([near, dist.mean[i, j] + near - Y[i, j]]))
            one = moe.predict_dist(np.tile(X[[i]], (len(grid), 1)))
            cdf = one.cdf(np.column_stack([grid, grid]))[:, j]
            square = (cdf - (grid >= Y[i, j])) ** 2
            assert_allclose(found[i, j], integrate.trapezoid(square, grid), rtol=0.02)
    interval = moe.predict_interval(X, 0.8)
    inside = ((interval[:, 0] <= Y) & (interval[:, 1] >= Y)).mean(axis=0)
    assert (np.abs(inside - 0.8) < 0.12).all()
    draws = moe.sample(X, 400, random_state=0)
    assert_allclose(draws.std(axis=1).mean(axis=0), dist.std.mean(axis=0), rtol=0.05)


def test_nested_mixtures_say_the_components_of_each_output():
    X, Y = table()
    moe = PATHS["nested"](X, Y)
    dist = moe.predict_dist(X)
    gate = moe.predict_gate(X)
    mean = square = 0.0
    for k, models in enumerate(moe.experts_):
        for model in models:
            own = model.predict_dist(X)
            share = gate[:, [k]] / len(models)
            mean = mean + share * own.mean
            square = square + share * (own.std**2 + own.mean**2)
    assert_allclose(dist.mean, mean)
    assert_allclose(dist.std, np.sqrt(square - mean**2))
    assert (dist.std.mean(axis=0)[1] / dist.std.mean(axis=0)[0]) > 5


def test_checkpoints_keep_outputs_apart(tmp_path):
    X, Y = table()
    moe = fit_with_checkpoints(mixture(init=start(X)), X, Y, path=tmp_path / "fit")
    assert_allclose(np.sqrt(moe.noise_variance_), [NOISE, NOISE], rtol=0.3)


def test_one_expert_is_a_regression_of_each_output():
    X, Y = table()
    single = LinearRegression().fit(X, Y)
    residual = ((Y - single.predict(X)) ** 2).mean(axis=0)
    moe = MixtureOfExpertsRegressor(1, alpha=1e-9, dispersion_prior=0.0, random_state=0).fit(X, Y)
    assert_allclose(moe.noise_variance_[0], residual, rtol=1e-6)
    assert_allclose(moe.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(moe.expert_intercept_[0], single.intercept_, atol=1e-6)
    assert_allclose(moe.predict_dist(X).std, np.sqrt(np.tile(residual, (N, 1))), rtol=1e-6)


def test_errors_of_each_output_are_those_of_least_squares():
    X, Y = table()
    moe = MixtureOfExpertsRegressor(1, alpha=1e-9, dispersion_prior=0.0, random_state=0).fit(X, Y)
    design = np.column_stack([np.ones(N), X])
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
    assert_allclose(observed[6:], np.sqrt(2 / N), rtol=1e-3)


def with_linear_parameters(log_variance):
    params = LinearExperts().init_params(2, 3)
    return LinearExperts(variance_floor=(0.01, 0.5)), params._replace(log_variance=log_variance)


def with_estimators(log_variance):
    family = CrossFittedExperts((), np.zeros((2, 0)), (), variance_floor=(0.01, 0.5))
    return family, family.init_params(2, 3)._replace(log_variance=log_variance)


@pytest.mark.parametrize("family", [with_linear_parameters, with_estimators])
def test_an_expert_is_at_its_floor_where_one_output_is(family):
    floors = np.log([0.01, 0.5])
    for above, expected in (
        ([[0.0, 1.0], [1.0, 1.0]], [True, False]),
        ([[1.0, 1.0], [1.0, 0.0]], [False, True]),
        ([[0.0, 0.0], [1e-3, 1e-3]], [True, False]),
    ):
        experts, params = family(floors + np.array(above))
        assert experts.dispersion_at_bound(params).tolist() == expected


def test_counts_of_each_output():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N, 1))
    Y = np.column_stack([rng.poisson(np.exp(0.5 * X[:, 0])), rng.poisson(np.exp(4 - X[:, 0]))])
    moe = MixtureOfExpertsRegressor(2, family="poisson", init=start(X), random_state=0).fit(X, Y)
    gate, means = moe.predict_gate(X)[..., None], moe.predict_experts(X)
    dist = moe.predict_dist(X)
    pmf = (gate * stats.poisson.pmf(Y[:, None], means)).sum(axis=1)
    assert_allclose(dist.pmf(Y), pmf, rtol=1e-9)
    joint = np.log(gate[..., 0]) + stats.poisson.logpmf(Y[:, None], means).sum(axis=2)
    assert_allclose(moe.score_samples(X, Y), np.logaddexp.reduce(joint, axis=1), rtol=1e-9)
    other = MixtureOfExpertsRegressor(2, family="poisson", init=start(X), random_state=0)
    other.fit(X, Y[:, ::-1])
    assert_allclose(other.predict(X)[:, ::-1], moe.predict(X), rtol=1e-6)
    assert_allclose(other.predict_dist(X).std[:, ::-1], dist.std, rtol=1e-6)
