"""Components of all families, alone and mixed, against scipy, integration and random draws."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from skmoe.distributions import (
    CountMixtureDistribution,
    GammaComponents,
    GeneralMixtureDistribution,
    LogNormalComponents,
    MixtureDistribution,
    NegativeBinomialComponents,
    NormalComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
    StudentTComponents,
    UniformComponents,
    concatenate_rows,
    predictive_distribution,
)

N_ROWS = 5
LEVELS = np.array([-1.0, 0.0, 2.0, 2.5])


def draw_parameters(rng, shape):
    """Values between two numbers, or equally many of each order of magnitude."""

    def plain(low, high):
        return rng.uniform(low, high, size=shape)

    def log(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), size=shape))

    return plain, log


def student_t(rng, shape):
    plain, log = draw_parameters(rng, shape)
    return plain(-3, 3), log(0.3, 3), log(2.5, 60)


def normal(rng, shape):
    plain, log = draw_parameters(rng, shape)
    return plain(-3, 3), log(0.3, 3)


def lognormal(rng, shape):
    plain, log = draw_parameters(rng, shape)
    return plain(-1, 1.5), log(0.1, 1.0)


def gamma(rng, shape):
    _, log = draw_parameters(rng, shape)
    return log(0.5, 10), log(0.6, 30)


def uniform(rng, shape):
    plain, log = draw_parameters(rng, shape)
    low = plain(-3, 3)
    return low, low + log(0.5, 5)


def point_mass(rng, shape):
    return (rng.uniform(-2, 2, size=shape),)


def zero(rng, shape):
    return (np.zeros(shape),)


def poisson(rng, shape):
    return (draw_parameters(rng, shape)[1](0.3, 20),)


def negative_binomial(rng, shape):
    _, log = draw_parameters(rng, shape)
    return log(0.3, 20), log(0.01, 2)


def ordinal(rng, shape):
    return LEVELS, np.moveaxis(rng.dirichlet(np.ones(len(LEVELS)), size=shape), -1, -2)


# Name: components, their parameters, and the distribution of scipy.
FAMILIES = {
    "normal": (NormalComponents, normal, lambda m, s: stats.norm(m, s)),
    "student_t": (StudentTComponents, student_t, lambda m, s, df: stats.t(df, m, s)),
    "lognormal": (LogNormalComponents, lognormal, lambda m, s: stats.lognorm(s, scale=np.exp(m))),
    "gamma": (GammaComponents, gamma, lambda m, a: stats.gamma(a, scale=m / a)),
    "uniform": (UniformComponents, uniform, lambda low, high: stats.uniform(low, high - low)),
    "point_mass": (PointMassComponents, point_mass, None),
    "zero": (PointMassComponents, zero, None),
    "poisson": (PoissonComponents, poisson, lambda m: stats.poisson(m)),
    "negative_binomial": (
        NegativeBinomialComponents,
        negative_binomial,
        lambda m, a: stats.nbinom(1 / a, 1 / (1 + a * m)),
    ),
    "ordinal": (OrdinalComponents, ordinal, None),
}
CONTINUOUS = ("normal", "student_t", "lognormal", "gamma", "uniform")
OF_SCIPY = [name for name, (_, _, reference) in FAMILIES.items() if reference]
COUNTS = ("poisson", "negative_binomial")
MIXTURES = [
    ("student_t", "student_t"),
    ("normal", "uniform"),
    ("lognormal", "gamma"),
    ("zero", "gamma"),
    ("zero", "lognormal", "gamma"),
    ("ordinal", "ordinal"),
    ("point_mass", "student_t", "zero"),
    ("uniform", "uniform"),
    ("negative_binomial", "gamma"),
    ("poisson", "zero", "normal"),
    ("zero", "ordinal"),
]
EVERYTHING = [*((name,) for name in FAMILIES), *MIXTURES]


def components(name, n_components=1, n_outputs=1, seed=0, n_rows=N_ROWS):
    rng = np.random.default_rng([seed, sorted(FAMILIES).index(name)])
    kind, parameters, _ = FAMILIES[name]
    weight = rng.dirichlet(np.ones(n_components), size=n_rows).T
    return kind(weight, *parameters(rng, (n_components, n_outputs, n_rows)))


def mixture(names, n_outputs=1, n_rows=N_ROWS):
    """One component of each name, as a general mixture whatever the names."""
    gate = np.random.default_rng(len(names)).dirichlet(np.ones(len(names)), size=n_rows).T
    parts = [
        components(name, n_outputs=n_outputs, seed=seed, n_rows=n_rows)
        for seed, name in enumerate(names)
    ]
    return GeneralMixtureDistribution(parts, gate, n_outputs == 1)


def jumps(names):
    """Values that have a probability in any row, of finitely many."""
    found = [LEVELS] if "ordinal" in names else []
    found += [np.arange(160.0)] if set(names) & set(COUNTS) else []
    found += [np.zeros(1)] if "zero" in names else []
    for seed, name in enumerate(names):
        if name == "point_mass":
            found.append(components(name, seed=seed).value.ravel())
    return np.unique(np.concatenate([*found, []]))


def pieces(dist, names, *edges):
    """Points between which distribution function and density of one row are smooth."""
    q = [1e-14, 1e-10, 1e-7, 1e-5, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99]
    found = dist.ppf([*q, *(1 - np.array(q))])[0]
    ends = [part[2 if name == "uniform" else 1].ravel() for name, part in of_uniforms(names)]
    ends += [part[1].ravel() for name, part in of_uniforms(names)]
    reach = found.max() - found.min() + 1.0
    far = reach * 4.0 ** np.arange(10)
    if set(names) & {"gamma", "lognormal"}:  # power laws at zero
        edges = (*edges, np.geomspace(1e-14, 1.0, 60))
    return np.unique(
        np.concatenate([found, found.max() + far, found.min() - far, jumps(names), *ends, *edges])
    )


def of_uniforms(names):
    return [(n, components(n, seed=seed)) for seed, n in enumerate(names) if n == "uniform"]


def integral(function, edges):
    """Over panels between the edges; the functions take arrays."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    width = np.diff(edges)
    points = edges[:-1, None] + 0.5 * width[:, None] * (1 + nodes)
    return (function(points.ravel()).reshape(points.shape) @ weights * 0.5 * width).sum()


# --- one component is scipy's distribution ---


@pytest.mark.parametrize("name", OF_SCIPY)
def test_one_component_is_that_of_scipy(name):
    part = components(name)
    dist = GeneralMixtureDistribution([part], np.ones((1, N_ROWS)))
    reference = FAMILIES[name][2](*(values.ravel()[:, None] for values in part[1:]))
    y = np.sort(dist.rvs(40, random_state=0), axis=1)
    density = reference.logpmf(y) if name in COUNTS else reference.logpdf(y)
    assert_allclose(dist.logpdf(y), density, rtol=1e-11, atol=1e-11)
    for method in ("cdf", "sf", "logcdf", "logsf"):
        assert_allclose(
            getattr(dist, method)(y), getattr(reference, method)(y), rtol=1e-10, atol=1e-13
        )
    assert_allclose(dist.mean, reference.mean().ravel(), rtol=1e-12)
    assert_allclose(dist.var, reference.var().ravel(), rtol=1e-12)
    q = np.array([1e-8, 0.03, 0.4, 0.5, 0.8, 0.999])
    assert_allclose(dist.ppf(q), reference.ppf(q), rtol=1e-8, atol=1e-10)
    assert_allclose(dist.median, reference.median().ravel(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_far_tails_are_finite(name):
    """Where probabilities underflow, log probabilities change as their derivative does."""
    part = components(name)
    dist = GeneralMixtureDistribution([part], np.ones((1, N_ROWS)))
    if name == "uniform":
        assert_array_equal(dist.logsf(1e3), -np.inf)
        return
    # The derivative of log sf is minus the hazard, which is nearly constant over a short step.
    y = dist.mean + {"lognormal": 1e12, "gamma": 2e3, "normal": 2e3}.get(name, 1e30)
    step = 1e-6 * np.abs(y)
    hazard = np.exp(dist.logpdf(y) - dist.logsf(y))
    change = (dist.logsf(y + step) - dist.logsf(y - step)) / (2.0 * step)
    assert np.isfinite(dist.logsf(y)).all()
    assert_allclose(change, -hazard, rtol=1e-5)


# --- properties of all ---


@pytest.mark.parametrize("names", EVERYTHING)
def test_density_and_probabilities_add_up(names):
    dist, atoms = mixture(names), jumps(names)
    for row in range(2):
        one = dist[row]
        y = one.rvs(random_state=row)[0]
        edges = pieces(one, names, [y])
        inner = edges[edges <= y]

        def density(points, one=one):
            return np.where(one.pmf(points[None])[0] > 0, 0.0, one.pdf(points[None])[0])

        total = integral(density, edges) + one.pmf(atoms[None]).sum()
        assert_allclose(total, 1.0, rtol=1e-9)
        below = integral(density, inner) + one.pmf(atoms[None])[0][atoms <= y].sum()
        assert_allclose(below, one.cdf(y)[0], rtol=1e-8)
        assert_allclose(one.cdf(y) - one.cdf_left(y), one.pmf(y), atol=1e-14)
        # The density at a value with a probability is this probability, and nothing else.
        taken = atoms[one.pmf(atoms[None])[0] > 0]
        assert_array_equal(one.pdf(taken[None]), one.pmf(taken[None]))
        assert_allclose(one.cdf(y) + one.sf(y), 1.0, rtol=1e-13)
        assert_allclose(one.logcdf(y), np.log(one.cdf(y)), rtol=1e-10, atol=1e-15)
        with np.errstate(divide="ignore"):
            assert_allclose(one.logsf(y), np.log(one.sf(y)), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("names", EVERYTHING)
def test_quantiles_invert_the_distribution(names):
    dist = mixture(names, n_rows=40)
    q = np.array([1e-100, 1e-12, 1e-4, 0.05, 0.3, 0.5, 0.7, 0.97, 1 - 1e-6, 1 - 1e-12])
    found = dist.ppf(q)
    assert (np.diff(found, axis=1) >= 0).all()
    at_atom = dist.pmf(found) > 0
    excess = np.where(q <= 0.5, dist.cdf(found) - q, 1 - q - dist.sf(found))
    # Values have a last bit.
    slack = 1e-10 * np.minimum(q, 1 - q) + 4.0 * np.spacing(np.abs(found)) * dist.pdf(found)
    assert ((np.abs(excess) <= slack) | at_atom).all()
    assert (excess >= -slack).all()
    assert (dist.cdf_left(found)[at_atom] <= np.broadcast_to(q, found.shape)[at_atom] + 1e-15).all()
    assert_allclose(dist.interval(0.4), dist.ppf([0.3, 0.7]))


def test_a_quantile_at_an_atom_is_exactly_the_atom():
    dist = mixture(("zero", "gamma"), n_rows=30)
    share = dist.pmf(0.0)
    found = dist.ppf(0.3)
    assert_array_equal(found == 0.0, share >= 0.3)
    assert (share >= 0.3).any()
    assert (found > 0.0).any()
    point = mixture(("student_t", "point_mass", "normal"), n_rows=30)
    value = components("point_mass", seed=1, n_rows=30).value.ravel()
    middle = 0.5 * (point.cdf(value) + point.cdf_left(value))
    at = np.array([one.ppf(q)[0] for one, q in zip(point, middle, strict=True)])
    assert_array_equal(at, value)


@pytest.mark.parametrize("names", EVERYTHING)
def test_crps_is_the_integral_of_squared_differences(names):
    dist = mixture(names)
    y = dist.rvs(random_state=1)
    y[0] += 0.3
    found = dist.crps(y)
    for row in range(2):
        one = dist[row]

        def squared(points, one=one, value=y[row]):
            points = points[None]
            return np.where(points < value, one.cdf(points), one.sf(points))[0] ** 2

        want = integral(squared, pieces(one, names, [y[row]]))
        assert_allclose(found[row], want, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("names", EVERYTHING)
def test_draws_follow_the_distribution(names):
    dist = mixture(names)
    draws = dist.rvs(4000, random_state=0)
    assert draws.shape == (N_ROWS, 4000)
    # Drawn uniformly over the steps, the distribution function is uniform.
    uniform = np.random.default_rng(0).uniform(size=draws.shape)
    low, high = dist.cdf_left(draws), dist.cdf(draws)
    for pit in low + uniform * (high - low):
        assert stats.kstest(pit, "uniform").pvalue > 1e-3
    finite = np.isfinite(dist.std)
    error = np.abs(draws.mean(axis=1) - dist.mean)[finite]
    assert (error <= 5.0 * dist.std[finite] / np.sqrt(4000) + 1e-12).all()
    assert_array_equal(dist.rvs(2, random_state=1), dist.rvs(2, random_state=1))


@pytest.mark.parametrize("names", EVERYTHING)
def test_no_point_is_higher_than_the_mode(names):
    dist = mixture(names, n_rows=20)
    mode = dist.mode
    points = np.sort(np.concatenate([dist.rvs(300, random_state=0), dist.ppf([0.1, 0.5])], axis=1))
    heights = dist.logpdf(points)
    at_zero = dist.logpdf(mode) < heights.max(axis=1) - 1e-9
    # The density of a gamma with a shape below one is infinite at zero, where the mode is.
    assert_array_equal(mode[at_zero], 0.0)
    if "gamma" not in names:
        assert not at_zero.any()


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "gamma"])
def test_no_value_of_a_family_is_more_probable_than_its_mode(name):
    family, parameters = components(name, n_components=3, seed=1).block()
    mode, dist = family.mode(*parameters), mixture((name,), n_rows=40)
    points = [*dist.rvs(20, random_state=0).ravel(), *LEVELS, *np.arange(30.0)]
    best = np.broadcast_to(family.log_pdf(mode, *parameters), (N_ROWS, 3, 1))
    assert np.isfinite(best).all()
    for point in points:
        assert (family.log_pdf(point, *parameters) <= best + 1e-12).all()


@pytest.mark.parametrize("names", EVERYTHING)
def test_slices_and_outputs_are_those_of_the_whole(names):
    both = mixture(names, n_outputs=2)
    y = both.rvs(random_state=0)
    assert y.shape == (N_ROWS, 2)
    assert repr(both).endswith(f"{N_ROWS} rows, {len(names)} components, 2 outputs>")
    methods = ("logpdf", "cdf", "cdf_left", "sf", "crps")
    found = {method: getattr(both, method)(y) for method in methods}
    found |= {name: getattr(both, name) for name in ("mean", "var", "median", "mode")}
    for rows in (slice(1, 3), [4, 0], np.arange(N_ROWS) > 2, -1, slice(0, 0)):
        some = both[rows]
        chosen = np.atleast_2d(y[rows]) if not isinstance(rows, slice) else y[rows]
        for name, values in found.items():
            of_some = getattr(some, name)
            of_some = of_some(chosen) if name in methods else of_some
            assert_allclose(of_some.reshape(values[rows].shape), values[rows], rtol=1e-9)
    parts = [components(name, n_outputs=2, seed=seed) for seed, name in enumerate(names)]
    gate = np.random.default_rng(len(names)).dirichlet(np.ones(len(names)), size=N_ROWS).T
    for output in range(2):
        chosen = [
            type(part)(part.weight, *(v if v.ndim == 1 else v[:, [output]] for v in part[1:]))
            for part in parts
        ]
        one = GeneralMixtureDistribution(chosen, gate)
        assert_allclose(both.crps(y)[:, output], one.crps(y[:, output]), rtol=1e-12)
        assert_allclose(both.ppf([0.2, 0.9])[..., output], one.ppf([0.2, 0.9]), rtol=1e-12)
        assert_allclose(both.logpdf(y)[:, output], one.logpdf(y[:, output]), rtol=1e-12)


@pytest.mark.parametrize("names", [("poisson",), ("poisson", "zero"), ("zero", "zero")])
def test_poissons_have_no_dispersions(names):
    parts = [components(name) for name in names]
    gate = np.full((len(parts), N_ROWS), 1.0 / len(parts))
    assert predictive_distribution(parts, gate, True).dispersions is None


@pytest.mark.parametrize(("shape", "expected"), [(0.5, np.inf), (1.0, 0.5), (2.0, 0.0)])
def test_the_density_of_a_gamma_at_zero_is_its_limit(shape, expected):
    part = GammaComponents(np.ones((1, 1)), np.full((1, 1, 1), 2.0), np.full((1, 1, 1), shape))
    density = GeneralMixtureDistribution([part], np.ones((1, 1)), True).pdf([0.0])
    assert_array_equal(density, [expected])


@pytest.mark.parametrize("names", [("zero", "gamma"), ("student_t",), ("ordinal", "normal")])
def test_an_absent_component_changes_nothing(names):
    gate = np.random.default_rng(0).dirichlet(np.ones(len(names)), size=N_ROWS).T
    parts = [components(name, seed=seed) for seed, name in enumerate(names)]
    rows = np.array([0, 3])
    for name in FAMILIES:
        some = components(name, seed=9, n_rows=2)
        if name == "student_t":
            some = some._replace(df=np.full((1, 1, 2), 0.7))
        more = GeneralMixtureDistribution(
            [*parts, some.expand(rows, N_ROWS)], np.vstack([gate, np.zeros(N_ROWS)])
        )
        dist = GeneralMixtureDistribution(parts, gate)
        y = dist.rvs(random_state=0)
        for method in ("logpdf", "cdf", "sf", "crps"):
            assert_allclose(getattr(more, method)(y), getattr(dist, method)(y), rtol=1e-8)
        for moment in ("mean", "var", "median", "mode"):
            assert_allclose(getattr(more, moment), getattr(dist, moment), rtol=1e-7, atol=1e-9)
        assert_allclose(more.ppf([0.1, 0.8]), dist.ppf([0.1, 0.8]), rtol=1e-9)


# --- components ---


@pytest.mark.parametrize("name", FAMILIES)
def test_expanded_components_keep_their_rows(name):
    part = components(name, n_components=2, n_outputs=2)
    rows = np.array([6, 0, 3, 4, 2])
    whole = part.expand(rows, 7)
    for field, given, expanded in zip(part._fields, part, whole, strict=True):
        if field == "values":
            assert_array_equal(expanded, given)
        else:
            assert_array_equal(expanded[..., rows], given)
            assert expanded.shape == (*given.shape[:-1], 7)
    assert_array_equal(whole.weight[:, [1, 5]], 0.0)
    parts = [type(part)(*_rows_of(part, chosen)) for chosen in (slice(0, 2), slice(2, 5))]
    for given, joined in zip(part, concatenate_rows(parts), strict=True):
        assert_array_equal(given, joined)


def _rows_of(part, rows):
    shared = [field == "values" for field in part._fields]
    return [v if keep else v[..., rows] for v, keep in zip(part, shared, strict=True)]


@pytest.mark.parametrize("name", ["normal", "student_t", "uniform", "point_mass"])
def test_location_and_scale(name):
    part = components(name, n_components=2, n_outputs=2)
    center, scale = np.array([3.0, -1.0]), np.array([0.1, 7.0])
    gate = np.ones((1, N_ROWS))
    plain = GeneralMixtureDistribution([part], gate, False)
    scaled = GeneralMixtureDistribution([part.rescale(center, scale)], gate, False)
    assert_allclose(scaled.mean, center + scale * plain.mean)
    assert_allclose(scaled.std, scale * plain.std)
    q = [0.1, 0.6]
    assert_allclose(scaled.ppf(q), center + scale * plain.ppf(q), rtol=1e-9, atol=1e-9)
    y = plain.rvs(random_state=0)
    assert_allclose(scaled.crps(center + scale * y), scale * plain.crps(y), rtol=1e-8)
    shifted = GeneralMixtureDistribution([part.shift(2.0)], gate, False)
    moved = 0.0 if name == "point_mass" else 2.0
    assert_allclose(shifted.mean, plain.mean + moved)


@pytest.mark.parametrize("name", ["lognormal", "gamma", "poisson", "negative_binomial", "ordinal"])
def test_families_in_the_units_of_y_are_not_rescaled(name):
    part = components(name)
    assert part.rescale(np.ones(1), np.full(1, 3.0)) is part
    assert part.shift(2.0) is part


# --- the distribution of a mixture of experts ---


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("normal", "normal"), MixtureDistribution),
        (("poisson", "poisson"), CountMixtureDistribution),
        (("zero", "poisson"), CountMixtureDistribution),
        (("negative_binomial", "zero", "poisson"), CountMixtureDistribution),
        (("point_mass", "poisson"), GeneralMixtureDistribution),
        (("student_t", "student_t"), GeneralMixtureDistribution),
        (("normal", "uniform"), GeneralMixtureDistribution),
        (("zero", "zero"), CountMixtureDistribution),
    ],
)
def test_components_choose_the_class(names, kind, n_outputs):
    """What the special classes return is what the general one does."""
    parts = [
        components(name, n_components=2, n_outputs=n_outputs, seed=seed)
        for seed, name in enumerate(names)
    ]
    gate = np.random.default_rng(0).dirichlet(np.ones(len(names)), size=N_ROWS).T
    dist = predictive_distribution(parts, gate, n_outputs == 1)
    assert type(dist) is kind
    general = GeneralMixtureDistribution(parts, gate, n_outputs == 1)
    y = general.rvs(random_state=0)
    for method in ("logpdf", "cdf", "cdf_left", "sf", "logcdf", "logsf", "crps"):
        assert_allclose(
            getattr(dist, method)(y), getattr(general, method)(y), rtol=1e-8, atol=1e-12
        )
    for name in ("weights", "mean", "var", "std", "median"):
        assert_allclose(getattr(dist, name), getattr(general, name), rtol=1e-8, atol=1e-8)
    assert_allclose(general.logpdf(general.mode), general.logpdf(dist.mode), rtol=1e-10)
    assert_allclose(dist.ppf([0.01, 0.6]), general.ppf([0.01, 0.6]), rtol=1e-9, atol=1e-10)
    assert repr(dist) == repr(general).replace("GeneralMixtureDistribution", kind.__name__)


# --- Student's t without moments ---


def one_t(df, mean=0.0, scale=1.0):
    fields = (np.full((1, 1, 1), v) for v in (mean, scale, df))
    return GeneralMixtureDistribution([StudentTComponents(np.ones((1, 1)), *fields)], [[1.0]])


@pytest.mark.parametrize("df", [2.1, 3.0, 3.9, 5.0])
def test_the_variance_of_a_t_with_few_degrees_of_freedom(df):
    assert_allclose(one_t(df, scale=2.0).var, 4.0 * df / (df - 2.0))


def test_a_t_without_moments():
    assert_array_equal(one_t(2.0).var, np.inf)
    assert_array_equal(one_t(1.5, mean=3.0).mean, 3.0)
    assert_array_equal(one_t(1.0).mean, np.nan)
    assert_array_equal(one_t(1.0).var, np.nan)
    assert_array_equal(one_t(0.5).crps([1.0]), np.inf)
    assert_allclose(one_t(1.0).ppf([0.25, 0.75]), [[-1.0, 1.0]])


@pytest.mark.parametrize("df", [0.5, 1.0])
def test_tails_of_a_t_where_squares_overflow_are_a_power_law(df):
    y = np.array([-1e50, -1e150, -1e160, -1e250])
    dist = one_t(df)
    logs = dist.logcdf(y[None])[0]
    assert_allclose(dist.ppf(np.exp(logs))[0], y, rtol=1e-9)
    assert_allclose(logs[0], stats.t(df).logcdf(-1e50), rtol=1e-12)
    assert_allclose(np.diff(logs), -df * np.diff(np.log(-y)), rtol=1e-12)


@pytest.mark.parametrize("df", [0.7, 0.9, 0.95, 1.0, 1.001, 1.08, 1.2, 3.0])
@pytest.mark.parametrize("y", [0.0, 1.0, -30.0])
def test_the_score_of_a_t_is_continuous_in_its_degrees_of_freedom(df, y):
    dist, t = one_t(df), stats.t(df)
    want = integrate.quad(
        lambda u: t.cdf(y - u) ** 2 + t.sf(y + u) ** 2, 0, 50, limit=400, epsrel=1e-11
    )[0]
    # Beyond it the integral over the logarithm of u.
    want += integrate.quad(
        lambda v: (t.cdf(y - np.exp(v)) ** 2 + t.sf(y + np.exp(v)) ** 2) * np.exp(v),
        np.log(50),
        150,
        limit=400,
        epsrel=1e-11,
    )[0]
    assert_allclose(dist.crps([y]), want, rtol=1e-7)


@pytest.mark.parametrize("df", [1e3, 1e6, 1e10, 1e14, 1e15])
def test_many_degrees_of_freedom_are_nearly_normal(df):
    dist, y = one_t(df), np.array([[-12.0, -5.0, -2.9, -0.5, 0.0, 1.0, 3.1, 30.0]])
    # To first order in 1 / df, the log density of a t is that of the normal plus this.
    first = (y**4 - 2.0 * y**2 - 1.0) / (4.0 * df)
    bound = 1.0 * (1.0 + y**8) / df**2 + 1e-13 * (1.0 + y**2)
    assert (np.abs(dist.logpdf(y) - stats.norm.logpdf(y) - first) < bound).all()
    assert_allclose(dist.cdf(y)[:, 1:], stats.norm.cdf(y)[:, 1:], rtol=1e3 / df + 1e-12)
    if df > 1e6:
        assert_allclose(dist.logsf(y), stats.norm.logsf(y), rtol=1e-7, atol=1e-12)
    assert_allclose(
        dist.crps([0.3]),
        0.3 * (2 * stats.norm.cdf(0.3) - 1) + 2 * stats.norm.pdf(0.3) - 1 / np.sqrt(np.pi),
        rtol=10 / df + 1e-12,
    )


# --- negative binomials ---


def negative_binomials(means, dispersions):
    means = np.asarray(means, dtype=float)
    return CountMixtureDistribution(
        np.ones((len(means), 1)), means[:, None], np.asarray(dispersions, dtype=float)[:, None]
    )


@pytest.mark.parametrize("dispersion", [0.0, 1e-300, 1e-18, 1e-14, 1e-10])
def test_little_dispersion_is_the_poisson(dispersion):
    means = np.array([1e-5, 0.5, 8.0, 90.0, 2e3])
    plain = CountMixtureDistribution(np.ones((5, 1)), means[:, None])
    dist = negative_binomials(means, np.full(5, dispersion))
    z = np.arange(-8, 9)
    counts = np.maximum(np.round(means[:, None] + z * np.sqrt(means[:, None])), 0.0)
    # The log probabilities differ by about this.
    change = 2.0 * dispersion * (1.0 + np.square(counts - means[:, None]) + counts)
    for method in ("logpmf", "logcdf", "logsf"):
        gap = np.abs(getattr(dist, method)(counts) - getattr(plain, method)(counts))
        scale = np.abs(getattr(plain, method)(counts))
        assert (gap <= change + 1e-10 * np.maximum(scale, 1.0)).all()
    assert_array_equal(dist.ppf([0.01, 0.5, 0.999]), plain.ppf([0.01, 0.5, 0.999]))
    assert_allclose(dist.crps(means), plain.crps(means), rtol=1e-8 + 1e3 * dispersion)
    assert_allclose(dist.var, means, rtol=1e-6)


@pytest.mark.parametrize("dispersion", [1e-12, 1e-6, 1e-3, 0.05, 0.7, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("mean", [0.02, 3.0, 80.0, 3e3])
def test_negative_binomials_agree_with_sums_of_exact_ratios(mean, dispersion):
    """P(k + 1) / P(k) is rational, and P(0) a power."""
    dist = negative_binomials([mean], [dispersion])
    n = int(mean + 60 * np.sqrt(mean + dispersion * mean**2) + 400)
    counts = np.arange(n, dtype=float)
    logs = np.log(mean * (1 + dispersion * counts) / ((1 + dispersion * mean) * (counts + 1)))
    logs = np.append(0.0, np.cumsum(logs))[:-1] - np.log1p(dispersion * mean) / dispersion
    pmf = np.exp(logs)
    if dispersion <= 1.0:
        assert_allclose(pmf.sum(), 1.0, rtol=1e-8)
    at = np.unique(
        np.append(np.linspace(0, min(n - 1, mean + 20 * dist.std[0]), 60).astype(int), 0)
    )
    assert_allclose(dist.logpmf(counts[None, at])[0], logs[at], rtol=1e-9, atol=1e-9)
    below = np.cumsum(pmf)
    assert_allclose(dist.cdf(counts[None, at])[0], below[at], rtol=1e-9, atol=1e-290)
    above = np.cumsum(pmf[::-1])[::-1] - pmf
    seen = above[at] > 1e-8 * np.maximum(above[-1], 1e-200)
    if dispersion <= 1.0:
        assert_allclose(dist.sf(counts[None, at])[0][seen], above[at][seen], rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("dispersion", [1e-4, 0.05, 1.0, 20.0])
@pytest.mark.parametrize("mean", [0.01, 5.0, 300.0, 2e3])
def test_scores_of_negative_binomials_agree_with_the_sum(mean, dispersion):
    dist = CountMixtureDistribution(
        [[0.3, 0.7]], [[mean, 2 * mean]], [[dispersion, 0.5 * dispersion]]
    )
    y = np.floor(mean)
    n = int(dist.ppf(1 - 1e-13)[0] * 1.2) + 60
    counts = np.arange(n, dtype=float)[None]
    sf = dist.sf(counts)[0]
    want = np.where(counts[0] < y, 1 - sf, sf) ** 2
    assert_allclose(dist.crps([y]), want.sum(), rtol=1e-8)


def test_dispersions_are_checked():
    with pytest.raises(ValueError, match=r"dispersions must be finite and not negative; got -1\.0"):
        CountMixtureDistribution([[1.0]], [[2.0]], [[-1.0]])
    with pytest.raises(ValueError, match=r"dispersions must have the shape of means, \(1, 1\)"):
        CountMixtureDistribution([[1.0]], [[2.0]], [1.0])


# --- bad input ---


def test_bad_components():
    part = components("gamma")
    with pytest.raises(ValueError, match=r"gate_prob must have shape .* for 1"):
        GeneralMixtureDistribution([part], np.ones((2, N_ROWS)))
    with pytest.raises(ValueError, match="weights of components must have shape"):
        GeneralMixtureDistribution([part], np.ones((1, 3)))
    with pytest.raises(ValueError, match="must sum to one"):
        GeneralMixtureDistribution([part], np.full((1, N_ROWS), 0.5))
    with pytest.raises(ValueError, match="the same number of outputs"):
        GeneralMixtureDistribution([components("gamma", n_outputs=2)], np.ones((1, N_ROWS)))
    with pytest.raises(ValueError, match=r"q must be a probability in \(0, 1\)"):
        mixture(("zero", "gamma")).ppf(1.0)
    assert len(list(itertools.islice(mixture(("zero", "gamma")), 3))) == 3
