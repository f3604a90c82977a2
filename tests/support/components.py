"""Components of every class of `skmoe.distributions`, by name, and checks that all of them meet.

The checks take distributions of rows with a single output, whatever their class. What they compare
with is integrated or searched here, from the density or the distribution function.
"""

from typing import NamedTuple

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe import distributions
from skmoe.distributions import (
    BetaComponents,
    GammaComponents,
    GompertzComponents,
    InverseGaussianComponents,
    JointComponents,
    LogLogisticComponents,
    LogNormalComponents,
    NegativeBinomialComponents,
    NormalComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
    PositiveTweedieComponents,
    PredictiveDistribution,
    StudentTComponents,
    UniformComponents,
    WeibullComponents,
    predictive_distribution,
)

# Those of single outputs.
COMPONENT_CLASSES = [
    value
    for value in vars(distributions).values()
    if isinstance(value, type) and hasattr(value, "_fields") and value is not JointComponents
]
LEVELS = np.array([-1.0, 0.0, 2.0, 2.5])
N_ROWS = 3


class Example(NamedTuple):
    """A class of components, a draw of its parameters, and its distribution by scipy."""

    kind: type
    draw: object  # of a generator and the shape (C, m, n)
    reference: object = None  # of the parameters, where scipy has it


def _log(rng, low, high, shape):
    """Equally many numbers of each order of magnitude."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size=shape))


def _uniform(rng, shape):
    low = rng.uniform(-3, 3, size=shape)
    return low, low + _log(rng, 0.5, 5, shape)


def _ordinal(rng, shape):
    return LEVELS, np.moveaxis(rng.dirichlet(np.full(len(LEVELS), 2.0), size=shape), -1, -2)


EXAMPLES = {
    "normal": Example(
        NormalComponents,
        lambda rng, shape: (rng.uniform(-3, 3, size=shape), _log(rng, 0.3, 3, shape)),
        stats.norm,
    ),
    "student_t": Example(
        StudentTComponents,
        lambda rng, shape: (
            rng.uniform(-3, 3, size=shape),
            _log(rng, 0.3, 3, shape),
            _log(rng, 4.5, 60, shape),
        ),
        lambda mean, scale, df: stats.t(df, mean, scale),
    ),
    "lognormal": Example(
        LogNormalComponents,
        lambda rng, shape: (rng.uniform(-1, 1.5, size=shape), _log(rng, 0.2, 0.9, shape)),
        lambda mean, std: stats.lognorm(std, scale=np.exp(mean)),
    ),
    "gamma": Example(
        GammaComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 1.3, 30, shape)),
        lambda mean, shape: stats.gamma(shape, scale=mean / shape),
    ),
    "gamma with infinite density": Example(
        GammaComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 0.6, 0.95, shape)),
        lambda mean, shape: stats.gamma(shape, scale=mean / shape),
    ),
    "inverse_gaussian": Example(
        InverseGaussianComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 0.05, 0.5, shape)),
        lambda mean, dispersion: stats.invgauss(mean * dispersion, scale=1 / dispersion),
    ),
    "weibull": Example(
        WeibullComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 1.2, 6, shape)),
        lambda scale, shape: stats.weibull_min(shape, scale=scale),
    ),
    "exponential": Example(
        WeibullComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), np.ones(shape)),
        lambda scale, shape: stats.weibull_min(shape, scale=scale),
    ),
    "beta": Example(
        BetaComponents,
        lambda rng, shape: (_log(rng, 1.3, 20, shape), _log(rng, 1.3, 20, shape)),
        stats.beta,
    ),
    "tweedie": Example(
        PositiveTweedieComponents,
        lambda rng, shape: (
            _log(rng, 1, 10, shape),
            _log(rng, 0.3, 2, shape),
            np.broadcast_to(rng.choice([1.3, 1.5]), shape),
        ),
    ),
    "uniform": Example(
        UniformComponents, _uniform, lambda low, high: stats.uniform(low, high - low)
    ),
    "point_mass": Example(PointMassComponents, lambda rng, shape: (rng.uniform(1, 2, size=shape),)),
    "zero": Example(PointMassComponents, lambda rng, shape: (np.zeros(shape),)),
    "poisson": Example(
        PoissonComponents, lambda rng, shape: (_log(rng, 0.3, 40, shape),), stats.poisson
    ),
    "negative_binomial": Example(
        NegativeBinomialComponents,
        lambda rng, shape: (_log(rng, 1.5, 14, shape), _log(rng, 0.02, 0.5, shape)),
        lambda mean, dispersion: stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)),
    ),
    "loglogistic": Example(
        LogLogisticComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 2.5, 6, shape)),
        lambda scale, shape: stats.fisk(shape, scale=scale),
    ),
    "gompertz": Example(
        GompertzComponents,
        lambda rng, shape: (_log(rng, 0.5, 10, shape), _log(rng, 0.05, 2, shape)),
        lambda scale, hazard: stats.gompertz(hazard, scale=scale),
    ),
    "ordinal": Example(OrdinalComponents, _ordinal),
}

# Of several families, and of two components of one: those of a class of their own come last.
MIXTURES = [
    *((name, "normal") for name in EXAMPLES if name not in ("normal", "zero")),
    ("lognormal", "gamma", "zero"),
    ("point_mass", "student_t", "uniform"),
    ("ordinal", "ordinal", "zero"),
    ("poisson", "zero", "normal"),
    ("normal", "normal", "normal"),
    ("poisson", "poisson", "zero"),
    ("negative_binomial", "poisson"),
]


def components(name, n_components=1, n_outputs=1, seed=0, n_rows=N_ROWS):
    """Components of a name, with parameters of their own for each seed."""
    rng = np.random.default_rng([seed, list(EXAMPLES).index(name)])
    weight = rng.dirichlet(np.ones(n_components), size=n_rows).T
    return EXAMPLES[name].kind(weight, *EXAMPLES[name].draw(rng, (n_components, n_outputs, n_rows)))


def experts(names, n_components=1, n_outputs=1, n_rows=N_ROWS):
    """Components of one expert of each name, and probabilities of the gate."""
    parts = [
        components(name, n_components, n_outputs, seed, n_rows) for seed, name in enumerate(names)
    ]
    rng = np.random.default_rng(len(names))
    return parts, rng.dirichlet(np.full(len(names), 3.0), size=n_rows).T


def mixture(names, n_components=1, n_outputs=1, n_rows=N_ROWS):
    """The distribution of one expert of each name."""
    parts, gate = experts(names, n_components, n_outputs, n_rows)
    return predictive_distribution(parts, gate, n_outputs == 1)


def count_mixture(weights, means, dispersions=None):
    """Mixtures of Poissons, or of negative binomials, with parameters (n, C) or (n, C, m)."""
    kind = PoissonComponents if dispersions is None else NegativeBinomialComponents
    weights, *fields = (
        np.asarray(own, dtype=float) for own in (weights, means, dispersions) if own is not None
    )
    fields = (own.reshape(*weights.shape, -1).transpose(1, 2, 0) for own in fields)
    part = kind(weights.T, *fields)
    return PredictiveDistribution([part], np.ones((1, len(weights))), np.ndim(means) == 2)


def normal_mixture(weights, means, stds):
    """Mixtures of normals, with parameters (n, C)."""
    fields = (np.asarray(own, dtype=float).T[:, None] for own in (means, stds))
    part = NormalComponents(np.asarray(weights, dtype=float).T, *fields)
    return PredictiveDistribution([part], np.ones((1, len(weights))))


def single(name, n_rows=N_ROWS):
    """One component of a name, whose functions are those of its family alone."""
    return PredictiveDistribution(*experts((name,), n_rows=n_rows))


def reference(name, n_rows=N_ROWS):
    """The same by scipy, for values of shape (n_rows, n_values)."""
    part = components(name, n_rows=n_rows)
    parameters = [v if v.ndim != 3 else v.reshape(n_rows, 1) for v in part[1:]]
    return EXAMPLES[name].reference(*parameters)


def of_rows(part, rows):
    """Components of chosen rows, field by field."""
    fields = zip(part._fields, part, strict=True)
    return type(part)(*(v if name == "values" else v[..., rows] for name, v in fields))


def blocks_of(dist):
    """Families and parameters of the components of a distribution."""
    whole = dist.as_components()
    return [part.block() for part in getattr(whole, "parts", (whole,))]


# --- integrals and searches -----------------------------------------------------------------------


def _middle_and_width(one):
    """Mean and standard deviation of one row, or what stands for them where there are none."""
    if np.isfinite(one.std).all():
        return one.mean[0], one.std[0]
    low, high = one.interval(0.9)[0]
    return 0.5 * (low + high), 0.3 * (high - low)


def jumps(one):
    """Where density or distribution function of one row jump."""
    found = [np.zeros(0)]
    middle, width = _middle_and_width(one)
    for family, parameters in blocks_of(one):
        found += [np.ravel(v) for v in family.atoms(*parameters)]
        found += [np.ravel(v) for v in family.bounds(*parameters)]
        if family.counts:
            found.append(np.arange(np.ceil(middle + 18.0 * width + 30.0)))
    return np.unique(np.concatenate(found))


def is_discrete(one):
    """Whether all probability of one row is at its jumps."""
    return all(family.discrete for family, _ in blocks_of(one))


def edges(one, *points):
    """Points between which all functions of one row are smooth, or constant."""
    if is_discrete(one):
        return np.unique(np.concatenate([jumps(one), points]))
    middle, width = _middle_and_width(one)
    near = middle + width * np.linspace(-6, 6, 49)
    far = width * 6.0 * 4.0 ** np.arange(1, 12)
    near_zero = np.geomspace(1e-14, 1.0, 25) * width  # where densities can be powers
    around = [near, middle + far, middle - far, [0.0], near_zero]
    return np.unique(np.concatenate([*around, jumps(one), points]))


def order_between_edges(one):
    """Points that integrate a function of one row, which is constant between atoms alone."""
    families = [family for family, _ in blocks_of(one)]
    return 1 if is_discrete(one) else 12 if any(family.counts for family in families) else 20


def integral(function, at, order):
    """Integral of a function of arrays, between the first and the last edge."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    width = np.diff(at)
    points = at[:-1, None] + 0.5 * width[:, None] * (1 + nodes)
    return (function(points.ravel()).reshape(points.shape) @ weights * 0.5 * width).sum()


def expectation(one, function, at):
    """Expectation of a function under one row, over the values between two edges."""
    atoms = jumps(one)
    atoms = atoms[(atoms >= at[0]) & (atoms <= at[-1])]
    mass = (one.cdf(atoms[None]) - one.cdf_left(atoms[None]))[0]
    total = (function(atoms) * mass).sum()
    if is_discrete(one):
        return total
    density = integral(lambda y: function(y) * one.pdf(y[None])[0], at, order_between_edges(one))
    return total + density


def assert_moments_are_integrals(one):
    """Probability up to a value, mean and variance of one row."""
    y = one.rvs(random_state=0)[0]
    at = edges(one, y)
    assert_allclose(expectation(one, np.ones_like, at), 1.0, rtol=1e-8)
    below = expectation(one, np.ones_like, at[at <= y])
    assert_allclose(one.cdf(y), below, rtol=1e-7, atol=1e-12)
    assert_allclose(one.sf(y), 1.0 - below, rtol=1e-6, atol=1e-8)
    mean = expectation(one, lambda y: y, at)
    assert_allclose(one.mean, mean, rtol=1e-7, atol=1e-9)
    variance = expectation(one, lambda y: np.square(y - mean), at)
    assert_allclose(one.var, variance, rtol=1e-5, atol=1e-9)
    assert_allclose(one.std, np.sqrt(variance), rtol=1e-5, atol=1e-9)


def assert_restricted_means_and_hazards(one):
    """Means of the smaller of a value and y, and rates of events, of one row."""
    for y in one.rvs(4, random_state=0)[0]:
        expected = expectation(one, lambda t, y=y: np.minimum(t, y), edges(one, y))
        assert_allclose(one.restricted_mean(y), expected, rtol=1e-6, atol=1e-8)
        until = one.sf(np.nextafter(y, -np.inf)) if one.pmf(y) > 0 else one.sf(y)
        assert_allclose(one.hazard(y) * until, one.pdf(y), rtol=1e-9)
        assert_allclose(one.cumulative_hazard(y), -one.logsf(y))
    assert_allclose(one.restricted_mean(np.inf), one.mean)
    assert (one.restricted_mean(-np.inf) == -np.inf).all()


def assert_tails_add_up(dist):
    """Also the logarithms, and the probability of a value itself."""
    y = np.concatenate([dist.rvs(6, random_state=0), dist.mean[:, None]], axis=1)
    assert_allclose(dist.cdf(y) + dist.sf(y), 1.0, rtol=1e-12)
    with np.errstate(divide="ignore"):
        for name in ("pdf", "cdf", "sf"):
            logs = np.log(getattr(dist, name)(y))
            # What a logarithm near zero has less of digits, its probability has not.
            assert_allclose(getattr(dist, f"log{name}")(y), logs, rtol=1e-9, atol=1e-14)
    mass = dist.cdf(y) - dist.cdf_left(y)
    assert_allclose(dist.pmf(y), mass, atol=1e-13)
    assert_array_equal(dist.pdf(y)[mass > 1e-9], dist.pmf(y)[mass > 1e-9])


def assert_crps_is_integral(one, y):
    """The score of y under one row is the integral of the squared difference to a step at y."""

    def squared(points):
        points = points[None]
        return np.square(np.where(points < y, one.cdf(points), one.sf(points))[0])

    expected = integral(squared, edges(one, y), order_between_edges(one))
    assert_allclose(one.crps([y]), expected, rtol=1e-6, atol=1e-11)


def assert_quantiles_invert_cdf(dist):
    """In both tails, to the last bit of the values, and at atoms the smallest value."""
    q = np.array([1e-100, 0.3, 0.5, 0.7, 1 - 1e-12])
    found = dist.ppf(q)
    assert (np.diff(found, axis=1) >= 0).all()
    at_atom = dist.cdf(found) > dist.cdf_left(found)
    excess = np.where(q <= 0.5, dist.cdf(found) - q, 1 - q - dist.sf(found))
    density = np.where(at_atom, 0.0, dist.pdf(found))
    slack = 1e-10 * np.minimum(q, 1 - q) + 4.0 * np.spacing(np.abs(found)) * density
    assert (excess >= -slack).all()
    assert ((excess <= slack) | at_atom).all()
    reached = np.broadcast_to(q, found.shape)[at_atom]
    assert (dist.cdf_left(found)[at_atom] <= reached + 1e-15).all()
    assert_array_equal(dist.median, found[:, 2])
    assert_allclose(dist.interval(0.4), found[:, [1, 3]])


def assert_draws_follow_cdf(dist, n_draws=1500):
    """The distribution function, drawn uniformly over its steps, is uniform at the draws."""
    draws = dist.rvs(n_draws, random_state=0)
    uniform = np.random.default_rng(0).uniform(size=draws.shape)
    low, high = dist.cdf_left(draws), dist.cdf(draws)
    for row in low + uniform * (high - low):
        assert stats.kstest(row, "uniform").pvalue > 1e-4


def assert_quantiles_of_family(family, parameters):
    """Quantiles of a family, from both tails, are those of its probabilities.

    Searches begin at them, so that those of counts may be off by a fraction of the spread.
    """
    std = np.sqrt(family.variance(*parameters))
    for q in (1e-3, 0.05, 0.3, 0.5):
        for quantile, tail in ((family.quantile, family.cdf), (family.upper_quantile, family.sf)):
            found = quantile(q, *parameters)
            slack = 0.5 * std + 3.0 if family.counts else 1e-9 * (std + np.abs(found) + 1.0)
            sign = 1.0 if tail is family.cdf else -1.0
            before, after = (tail(found + sign * s, *parameters) for s in (-slack, slack))
            assert (before <= q + 1e-15).all()
            assert (after >= q - 1e-15).all()
