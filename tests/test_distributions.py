"""The distribution that a mixture predicts, against integration, scipy and its own estimator."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import crossing_lines, two_regimes
from scipy import integrate, stats
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import MixtureDistribution


def random_mixtures(n_rows=20, n_components=4, n_outputs=None, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n_rows, n_components) if n_outputs is None else (n_rows, n_components, n_outputs)
    weights = rng.dirichlet(np.ones(n_components), size=n_rows)
    return MixtureDistribution(weights, 3 * rng.normal(size=shape), rng.uniform(0.2, 2, size=shape))


def integral(function, one, since=-np.inf, until=np.inf):
    """Over all that matters of one row, piece by piece between its components."""
    edges = np.concatenate([one.means[0] + z * one.stds[0] for z in (-40, -6, -2, 0, 2, 6, 40)])
    edges = np.unique(np.clip(np.append(edges, [edges.min(), edges.max()]), since, until))
    return sum(
        integrate.quad(function, a, b, epsabs=1e-14, epsrel=1e-13)[0]
        for a, b in itertools.pairwise(edges)
    )


@pytest.mark.parametrize("row", range(4))
def test_everything_agrees_with_integration(row):
    one = random_mixtures(n_rows=4)[row]

    def density(y):
        return float(one.pdf(y)[0])

    assert_allclose(integral(density, one), 1, atol=1e-10)
    mean = integral(lambda y: y * density(y), one)
    assert_allclose(mean, one.mean[0], atol=1e-10)
    variance = integral(lambda y: (y - mean) ** 2 * density(y), one)
    assert_allclose([variance, variance**0.5], [one.var[0], one.std[0]], atol=1e-10)
    y = float(one.mean[0]) + 0.3
    below, above = integral(density, one, until=y), integral(density, one, since=y)
    assert_allclose([below, above], [one.cdf(y)[0], one.sf(y)[0]], atol=1e-10)
    score = integral(lambda t: float(one.cdf(t)[0]) ** 2, one, until=y)
    score += integral(lambda t: float(one.sf(t)[0]) ** 2, one, since=y)
    assert_allclose(score, one.crps([y])[0], atol=1e-10)


def test_one_component_is_a_normal():
    dist = MixtureDistribution(np.ones((3, 1)), [[-1.0], [0.0], [5.0]], [[0.5], [1.0], [2.0]])
    normal = stats.norm([-1, 0, 5], [0.5, 1, 2])
    y = np.array([-3.0, 0.4, 9.0])
    for name in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf"):
        assert_allclose(getattr(dist, name)(y), getattr(normal, name)(y), rtol=1e-12)
    for q in (1e-300, 0.05, 0.5, 0.9, 1 - 1e-12):
        assert_allclose(dist.ppf(q), normal.ppf(q), rtol=1e-12, atol=1e-12)
    assert_allclose(dist.interval(0.8), np.stack(normal.interval(0.8), axis=1), rtol=1e-12)
    assert_allclose(dist.mode, normal.mean(), atol=1e-12)
    assert_allclose(dist.median, normal.mean(), atol=1e-12)


def test_tails_are_finite_and_exact():
    dist = MixtureDistribution([[0.3, 0.7]], [[0.0, 1.0]], [[1.0, 0.5]])
    assert_allclose(dist.logpdf(40.0), np.log(0.3) + stats.norm.logpdf(40), rtol=1e-14)
    assert_allclose(dist.cdf(-37.0), 0.3 * stats.norm.cdf(-37), rtol=1e-12)
    assert 0 < dist.cdf(-37.0)[0] < 1e-298
    assert_allclose(dist.sf(37.0), 0.3 * stats.norm.sf(37), rtol=1e-12)
    assert_allclose(dist.logsf(1e3), np.log(0.3) + stats.norm.logsf(1e3), rtol=1e-12)
    assert_allclose(dist.logcdf(-1e3), np.log(0.3) + stats.norm.logcdf(-1e3), rtol=1e-12)
    assert dist.cdf(1e3)[0] == 1.0
    assert -1e-15 < dist.logcdf(1e3)[0] <= 0.0


@pytest.mark.parametrize("q", [1e-300, 1e-12, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-9])
def test_quantiles_invert_the_distribution(q):
    dist = random_mixtures(n_rows=2000, n_components=8)
    found = dist.ppf(q)
    if q <= 0.5:
        assert_allclose(dist.logcdf(found), np.log(q), atol=1e-10)
    else:
        assert_allclose(dist.sf(found), 1 - q, atol=1e-10 * (1 - q) * 100)


def test_quantiles_of_far_apart_narrow_components():
    dist = MixtureDistribution(
        [[0.3, 0.7], [0.5, 0.5]], [[0.0, 1e6], [-1, 1]], np.full((2, 2), 1e-3)
    )
    q = np.array([0.1, 0.29, 0.31, 0.9])
    found = dist.ppf(q)
    assert_allclose(dist.cdf(found)[0], q, atol=1e-7)  # to the last bit of the values
    assert_allclose(dist.cdf(found)[1], q, atol=1e-10)
    assert (np.diff(found, axis=1) > 0).all()


@pytest.mark.parametrize("center", [-2000.0, 0.0, 7.0, 3e5])
@pytest.mark.parametrize("distance", [0.0, 1.0, 1000.0])
def test_the_median_of_a_symmetric_mixture_is_its_center(center, distance):
    """Also where the distribution function is flat: half of the probability is on either side."""
    means = center + distance * np.array([[-1.0, 1.0], [-1.0, 1.0]])
    dist = MixtureDistribution(np.full((2, 2), 0.5), means, [[1.0, 1.0], [0.1, 0.1]])
    assert_allclose(dist.median, center, rtol=1e-12, atol=1e-12)


def test_the_mode_is_the_highest_point():
    dist = random_mixtures(n_rows=50)
    grid = np.linspace(-15, 15, 30001)
    highest = dist.pdf(grid[None]).max(axis=1)
    assert (dist.pdf(dist.mode) >= highest - 1e-12).all()
    merging = MixtureDistribution([[0.5, 0.5]], [[-1.0, 1.0]], [[1.0, 1.0]])
    assert_allclose(merging.mode, 0, atol=1e-3)  # flat to fourth order


def test_an_absent_component_changes_nothing():
    dist = random_mixtures(n_rows=5)
    more = MixtureDistribution(
        np.hstack([dist.weights, np.zeros((5, 1))]),
        np.hstack([dist.means, np.full((5, 1), 1e3)]),
        np.hstack([dist.stds, np.full((5, 1), 1e-3)]),
    )
    y = np.linspace(-3, 3, 5)
    for name in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf", "crps"):
        assert_allclose(getattr(more, name)(y), getattr(dist, name)(y), rtol=1e-12)
    for name in ("mean", "var", "median", "mode"):
        assert_allclose(getattr(more, name), getattr(dist, name), rtol=1e-9)


def test_draws_follow_the_distribution():
    dist = random_mixtures(n_rows=3)
    draws = dist.rvs(4000, random_state=0)
    assert draws.shape == (3, 4000)
    for row in range(3):
        uniform = dist[row].cdf(draws[[row]])[0]
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert dist.rvs(random_state=0).shape == (3,)
    assert_allclose(dist.rvs(2, random_state=1), dist.rvs(2, random_state=1))


def test_outputs_of_a_draw_share_their_component():
    dist = MixtureDistribution([[0.5, 0.5]], [[[0.0, 0.0], [10.0, 10.0]]], np.ones((1, 2, 2)))
    draws = dist.rvs(500, random_state=0)[0]
    assert (np.abs(draws[:, 0] - draws[:, 1]) < 7).all()
    assert 0.4 < (draws[:, 0] > 5).mean() < 0.6


def test_outputs_are_answered_one_by_one():
    both = random_mixtures(n_rows=6, n_outputs=2)
    y = np.random.default_rng(0).normal(size=(6, 2))
    for output in range(2):
        one = MixtureDistribution(both.weights, both.means[..., output], both.stds[..., output])
        for name in ("pdf", "logcdf", "sf", "crps"):
            assert_allclose(getattr(both, name)(y)[:, output], getattr(one, name)(y[:, output]))
        for name in ("mean", "std", "median", "mode"):
            assert_allclose(getattr(both, name)[:, output], getattr(one, name))
        assert_allclose(both.interval(0.5)[..., output], one.interval(0.5))
    assert both.ppf([0.1, 0.5, 0.9]).shape == (6, 3, 2)
    assert both.rvs(4, random_state=0).shape == (6, 4, 2)
    assert both.pdf(np.zeros((1, 5, 2))).shape == (6, 5, 2)


def test_rows_are_chosen_as_in_an_array():
    dist = random_mixtures(n_rows=5)
    assert len(dist) == 5
    assert_allclose(dist[-1].mean, dist.mean[[4]])
    assert_allclose(dist[1:3].mean, dist.mean[1:3])
    assert_allclose(dist[[0, 3]].mean, dist.mean[[0, 3]])
    assert_allclose(dist[dist.mean > 0].mean, dist.mean[dist.mean > 0])
    assert len(list(dist)) == 5
    assert "5 rows, 4 components" in repr(dist)
    with pytest.raises(IndexError):
        dist[5]


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90, "wide", -0.1, np.nan])
def test_bad_coverage(coverage):
    with pytest.raises(ValueError, match=r"coverage must be a probability in \(0, 1\); got"):
        random_mixtures().interval(coverage)


@pytest.mark.parametrize("q", [0.0, 1.0, [0.5, 1.5], [[0.5]], np.nan])
def test_bad_quantiles(q):
    with pytest.raises(ValueError, match=r"q must be a probability in \(0, 1\)"):
        random_mixtures().ppf(q)


@pytest.mark.parametrize("size", [0, -1, 1.5, "many"])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size must be None or an integer of at least 1"):
        random_mixtures().rvs(size)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (20, 2, 2)])
def test_y_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"y must be a number or have shape \(20,\)"):
        random_mixtures(n_rows=20).crps(np.zeros(shape))
    with pytest.raises(ValueError, match=r"\(20, n_values, 3\)"):
        random_mixtures(n_rows=20, n_outputs=3).crps(np.zeros((*shape, 2)))


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (([0.5, 0.5], [[0, 0]], [[1, 1]]), "weights must have shape"),
        (([[0.5, 0.5]], [[0, 0, 0]], [[1, 1, 1]]), "weights must have shape"),
        (([[0.5, 0.5]], [[0, 0]], [[1, 0]]), "stds must be positive"),
        (([[0.5, 0.5]], [[0, 0]], [[1]]), "stds must be positive"),
        (([[0.5, 0.6]], [[0, 0]], [[1, 1]]), "must sum to one"),
    ],
)
def test_bad_components(components, message):
    with pytest.raises(ValueError, match=message):
        MixtureDistribution(*components)


# --- from estimators ---


EXPERTS = {
    "linear": {},
    "shared": {"dispersion": "shared"},
    "constant gate": {"gate": "constant"},
    "routed": {"top_k": 1, "n_experts": 3},
    "tree": {"expert": "tree", "n_init": 1},
    "routed trees": {"expert": "tree", "n_init": 1, "top_k": 1, "n_experts": 3},
    "mixed": {"expert": ["linear", "tree"], "n_init": 1},
    "nested in a pipeline": {
        "expert": make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, n_init=1)),
        "n_init": 1,
        "max_iter": 3,
    },
    "nested": {"expert": MixtureOfExpertsRegressor(2, n_init=1), "n_init": 1, "max_iter": 5},
}


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("n_outputs", [None, 2])
@pytest.mark.filterwarnings("ignore")
def test_the_distribution_is_that_of_the_estimator(name, n_outputs):
    X, y = two_regimes(n_rows=300)
    Y = y if n_outputs is None else np.column_stack([y, 50 - 20 * y + X[:, 0]])
    moe = MixtureOfExpertsRegressor(**{"n_experts": 2, "random_state": 0} | EXPERTS[name])
    moe.fit(X, Y)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-9, atol=1e-9)
    if n_outputs is None:
        assert_allclose(dist.logpdf(y), moe.score_samples(X, y), rtol=1e-8, atol=1e-8)
    interval = moe.predict_interval(X, 0.9)
    assert interval.shape == (300, 2, *Y.shape[1:])
    inside = (interval[:, 0] < Y) & (interval[:, 1] > Y)
    assert (inside.mean(axis=0) > 0.8).all()
    # As wide as the noise of its own output, which differs by a factor of 20.
    width = (interval[:, 1] - interval[:, 0]).mean(axis=0)
    assert (width < 6.0 * Y.std(axis=0)).all()
    if n_outputs == 2:
        assert_allclose(width[1] / width[0], 20.0, rtol=0.3)
        assert_allclose(dist.std[:, 1].mean() / dist.std[:, 0].mean(), 20.0, rtol=0.3)
        if not name.startswith("nested"):
            gate, means = moe.predict_gate(X)[..., None], moe.predict_experts(X)
            stds = np.broadcast_to(np.sqrt(moe.noise_variance_), means.shape)
            each = stats.norm.logpdf(Y[:, None], means, stds)
            density = (gate * np.exp(each)).sum(axis=1)
            assert_allclose(dist.pdf(Y), density, rtol=1e-8)
            with np.errstate(divide="ignore"):
                joint = np.logaddexp.reduce(np.log(gate[..., 0]) + each.sum(axis=2), axis=1)
            assert_allclose(moe.score_samples(X, Y), joint, rtol=1e-8)
    assert_allclose(interval[:, 0], moe.predict_quantile(X, 0.05))
    assert moe.predict_quantile(X, [0.1, 0.9]).shape == interval.shape
    draws = moe.sample(X, 50, random_state=0)
    assert draws.shape == (300, 50, *Y.shape[1:])
    error = np.abs(draws.mean(axis=(0, 1)) - dist.mean.mean(axis=0))
    assert (error < 0.05 * Y.std(axis=0)).all()


def test_several_outputs_share_the_regime():
    X, y = two_regimes(n_rows=300)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.column_stack([y, -y]))
    draws = moe.sample(X[:1], 2000, random_state=0)[0]
    joint = moe.score_samples(np.repeat(X[:1], 2000, axis=0), draws)
    marginal = moe.predict_dist(X[:1]).logpdf(draws[None]).sum(axis=-1)[0]
    assert joint.mean() > marginal.mean()  # outputs are not independent


def test_intervals_cover_held_out_rows():
    X, y = crossing_lines(n_rows=4000)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    for coverage in (0.5, 0.8, 0.95):
        lower, upper = moe.predict_interval(X_test, coverage).T
        assert abs(((lower < y_test) & (y_test < upper)).mean() - coverage) < 0.03


def test_families_without_a_distribution_are_named():
    from skmoe.experts import EXPERTS, LinearExperts

    class Odd(LinearExperts):
        components = None

    X, y = two_regimes(n_rows=100)
    EXPERTS["odd"] = {"regressor": Odd}
    try:
        moe = MixtureOfExpertsRegressor(2, expert="odd", n_init=1).fit(X, y)
    finally:
        del EXPERTS["odd"]
    message = (
        "predict_interval needs a predictive distribution; Odd has no method components "
        r"\(see skmoe.protocols.SupportsDistribution\). Use score_samples for log densities."
    )
    with pytest.raises(ValueError, match=message):
        moe.predict_interval(X)
