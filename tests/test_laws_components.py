"""Components of the experts: rows that are joined, chosen and left out, alone and nested."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_distribution_families import (
    COUNTS,
    FAMILIES,
    LEVELS,
    N_ROWS,
    OF_SCIPY,
    components,
    mixture,
)

from skmoe.distributions import (
    CountMixtureDistribution,
    GeneralMixtureDistribution,
    MixtureDistribution,
    concatenate_components,
    concatenate_rows,
    predictive_distribution,
)
from skmoe.distributions._diversity import integrated_variance
from skmoe.distributions._nested import NestedComponents, flatten_components
from skmoe.distributions._rows import map_rows, mixture_weights

FIRST, LAST = slice(None, 2), slice(2, None)


def of_rows(part, rows):
    """Components of chosen rows, field by field."""
    fields = zip(part._fields, part, strict=True)
    return type(part)(*(v if name == "values" else v[..., rows] for name, v in fields))


def assert_same(found, wanted):
    assert type(found) is type(wanted)
    for field, value in zip(found, wanted, strict=True):
        assert_array_equal(field, value)


def nested(n_rows=N_ROWS):
    parts = tuple(components(name, 2, 2, n_rows=n_rows) for name in ("ordinal", "normal"))
    gate = np.random.default_rng(3).dirichlet(np.ones(2), size=n_rows).T
    return NestedComponents(gate, parts)


def test_blocks_of_rows_are_joined_and_chosen_field_by_field():
    for name in FAMILIES:
        whole = components(name, n_components=2, n_outputs=2)
        blocks = [of_rows(whole, FIRST), of_rows(whole, LAST)]
        assert_same(concatenate_rows(blocks), whole)
        assert_same(concatenate_components(blocks), whole)
        assert_same(map_rows(whole, lambda values: values[..., FIRST]), blocks[0])
    whole = nested()
    blocks = [
        NestedComponents(
            whole.gate_prob[:, rows], tuple(of_rows(part, rows) for part in whole.parts)
        )
        for rows in (FIRST, LAST)
    ]
    joined = concatenate_components(blocks)
    assert_array_equal(joined.gate_prob, whole.gate_prob)
    for found, wanted in zip(joined.parts, whole.parts, strict=True):
        assert_same(found, wanted)


def test_rows_that_are_left_out_have_no_weight_in_nested_components():
    rows, others = np.array([6, 0, 3, 4, 2]), [1, 5]
    whole = nested()
    moved = whole.expand(rows, 7)
    assert_array_equal(moved.gate_prob[:, rows], whole.gate_prob)
    assert_array_equal(moved.gate_prob[:, others], 0.0)
    for found, wanted in zip(moved.parts, whole.parts, strict=True):
        assert_same(found, wanted.expand(rows, 7))
        assert_array_equal(found.weight[:, others], 0.0)


def test_nested_components_are_those_of_their_parts():
    """Beside components that are not nested, and in the order of the experts."""
    alone, whole = components("gamma", 2, 2), nested()
    gate = np.random.default_rng(4).dirichlet(np.ones(3), size=N_ROWS).T
    flat, probs = flatten_components([alone, whole, alone], gate)
    assert [id(part) for part in flat] == [id(p) for p in (alone, *whole.parts, alone)]
    shares = [gate[0], *(gate[1] * share for share in whole.gate_prob), gate[2]]
    assert_array_equal(probs, shares)
    flat, probs = flatten_components([alone, alone], gate[:2])
    assert [id(part) for part in flat] == [id(alone)] * 2
    assert_array_equal(probs, gate[:2])


def test_weights_of_a_mixture_are_products_with_those_of_the_gate():
    gate = np.random.default_rng(5).dirichlet(np.ones(2), size=N_ROWS).T
    parts = [components("normal", 2), components("uniform", 3)]
    found = mixture_weights([part.weight for part in parts], gate)
    for i in range(N_ROWS):
        wanted = [gate[k, i] * w for k, part in enumerate(parts) for w in part.weight[:, i]]
        assert_array_equal(found[i], wanted)


def test_ordered_values_are_the_same_for_all_rows():
    part = components("ordinal", n_components=2)
    assert_array_equal(part.expand(np.arange(N_ROWS) + 1, N_ROWS + 2).values, LEVELS)


def test_counts_with_and_without_dispersion_keep_their_own():
    """Also beside zeros, in any order and for several outputs."""
    dispersed = components("negative_binomial", 2, 2)
    others = {name: components(name, 1, 2) for name in ("poisson", "zero")}
    gate = np.full((2, N_ROWS), 0.5)
    for name, other in others.items():
        for parts in ([dispersed, other], [other, dispersed]):
            dist = predictive_distribution(parts, gate, False)
            assert type(dist) is CountMixtureDistribution
            zeros = np.zeros((1, 2, N_ROWS))
            wanted = [p.dispersion if p is dispersed else zeros for p in parts]
            assert_array_equal(dist.dispersions, np.concatenate(wanted).transpose(2, 0, 1))
            means = [p.value if hasattr(p, "value") else p.mean for p in parts]
            assert_array_equal(dist.means, np.concatenate(means).transpose(2, 0, 1))
        assert predictive_distribution([other, other], gate, False).dispersions is None, name
    for ones in (slice(None), slice(2), slice(1)):  # one in any row is no count of zero
        value = np.zeros((1, 2, N_ROWS))
        value[..., ones] = 1.0
        point = others["zero"]._replace(value=value)
        dist = predictive_distribution([point, dispersed], gate, False)
        assert type(dist) is GeneralMixtureDistribution
    normal = components("normal", 1, 2)
    assert type(predictive_distribution([normal, normal], gate, False)) is MixtureDistribution
    general = predictive_distribution([normal, dispersed], gate, False)
    assert type(general) is GeneralMixtureDistribution


# --- functions of families ------------------------------------------------------------------------


def test_functions_of_families_are_those_of_scipy():
    for name in OF_SCIPY:
        family, parameters = components(name, 3, 2).block()
        values = components(name, 3, 2)[1:]
        other = FAMILIES[name][2](*(v.transpose(2, 0, 1) for v in values))
        assert_allclose(family.mean(*parameters), other.mean(), rtol=1e-12, err_msg=name)
        assert_allclose(family.variance(*parameters), other.var(), rtol=1e-12, err_msg=name)
        density = other.logpmf if family.counts else other.logpdf
        for q in (0.003, 0.2, 0.5):
            for y in (other.ppf(q), other.isf(q)):
                assert_allclose(family.log_pdf(y, *parameters), density(y), rtol=1e-9, atol=1e-12)
                assert_allclose(family.cdf(y, *parameters), other.cdf(y), rtol=1e-9)
                assert_allclose(family.sf(y, *parameters), other.sf(y), rtol=1e-9)
                assert_allclose(family.log_cdf(y, *parameters), other.logcdf(y), rtol=1e-8)
                assert_allclose(family.log_sf(y, *parameters), other.logsf(y), rtol=1e-8)
                assert_array_equal(
                    family.cdf(family.left(y), *parameters),
                    family.cdf(y - 0.5 if family.counts else y, *parameters),
                )
            if not family.counts:
                assert_allclose(family.quantile(q, *parameters), other.ppf(q), rtol=1e-9)
                assert_allclose(family.upper_quantile(q, *parameters), other.isf(q), rtol=1e-9)


def test_modes_of_families_are_higher_than_what_is_beside_them():
    for name in OF_SCIPY:
        family, parameters = components(name, 3, 2).block()
        mode = family.mode(*parameters)
        height = family.log_pdf(mode, *parameters)
        step = 1.0 if family.counts else 1e-3
        if name == "gamma":  # which can be infinite at zero
            height = np.where(parameters[1] > 1.0, height, np.inf)
        for side in (-step, step):
            assert (family.log_pdf(mode + side, *parameters) <= height).all(), name


def test_draws_of_families_have_their_moments():
    for name in FAMILIES:
        family, parameters = components(name, 2, 1, n_rows=3).block()
        many = tuple(np.broadcast_to(v, (4000, *v.shape)) for v in parameters)
        draws = family.draw(np.random.RandomState(0), *many)
        mean, std = family.mean(*parameters), np.sqrt(family.variance(*parameters))
        assert (np.abs(draws.mean(axis=0) - mean) <= 0.08 * std + 1e-12).all(), name
        assert_allclose(draws.std(axis=0), std, rtol=0.3, atol=1e-12)
        assert draws.shape == many[0].shape


def test_small_values_of_positive_families_have_their_log_probabilities():
    near = {"rtol": 1e-7, "atol": 1e-15}
    for name in ("gamma", "lognormal"):
        family, parameters = components(name, 3, 2).block()
        other = FAMILIES[name][2](*(v.transpose(2, 0, 1) for v in components(name, 3, 2)[1:]))
        for y in (1e-3, 0.05, 0.3, 0.9, 1.0, 1.7):
            assert_allclose(family.log_cdf(np.array(y), *parameters), other.logcdf(y), **near)
            assert_allclose(family.log_sf(np.array(y), *parameters), other.logsf(y), **near)
        for y in (-1.0, 0.0):
            for method, limit in (("log_pdf", -np.inf), ("log_cdf", -np.inf), ("log_sf", 0.0)):
                if method == "log_pdf" and name == "gamma" and y == 0.0:
                    continue  # the density of a gamma at zero can be anything
                assert_array_equal(getattr(family, method)(np.array(y), *parameters), limit)


# --- mixtures -------------------------------------------------------------------------------------


def test_scores_that_are_infinite_count_where_there_is_weight_only():
    part, infinite = components("gamma"), components("student_t")
    infinite = infinite._replace(df=np.full(infinite.df.shape, 0.4))
    gate = np.stack([np.ones(N_ROWS), np.zeros(N_ROWS)])
    gate[:, 0] = 0.5
    y = np.linspace(0.1, 3.0, N_ROWS)
    alone = GeneralMixtureDistribution([part], gate[:1] / gate[:1]).crps(y)
    both = GeneralMixtureDistribution([part, infinite], gate).crps(y)
    assert both[0] == np.inf
    assert_allclose(both[1:], alone[1:], rtol=1e-8)


def test_each_part_must_have_the_rows_of_the_gate():
    part, gate = components("gamma"), np.full((2, N_ROWS), 0.5)
    for wrong in (components("normal", n_rows=N_ROWS + 1), part._replace(weight=part.weight[0])):
        for parts in ([part, wrong], [wrong, part]):
            with pytest.raises(ValueError, match="weights of components must have shape"):
                GeneralMixtureDistribution(parts, gate)


def test_components_move_with_an_offset_and_with_units():
    """Those of families that see y in its own units stay where they are."""
    offset = np.random.default_rng(6).normal(size=(2, N_ROWS))
    center, scale = np.array([2.0, -1.0]), np.array([0.5, 4.0])
    y = np.array(1.0)
    for name in FAMILIES:
        part = components(name, 3, 2)
        by_offset, family = part.shift(offset), part.block().family
        in_units = part.rescale(center, scale)
        assert_array_equal(by_offset.weight, part.weight)
        assert_array_equal(in_units.weight, part.weight)
        moves = name in ("normal", "student_t", "uniform")
        shift = offset.T[:, None] if moves else 0.0
        if name != "ordinal":
            found = family.cdf(y + shift, *by_offset.block()[1])
            assert_allclose(found, family.cdf(y, *part.block()[1]), rtol=1e-9, err_msg=name)
            assert_same(part.shift(0.0), part)
        if moves or name in ("point_mass", "zero"):
            found = family.cdf(center + scale * (y + 1e-3), *in_units.block()[1])
            wanted = family.cdf(y + 1e-3, *part.block()[1])
        else:
            found, wanted = in_units.block()[1][0], part.block()[1][0]
        assert_allclose(found, wanted, rtol=1e-9, err_msg=name)


def test_integrals_of_the_variance_between_components_are_those_of_narrow_panels():
    """Distribution functions are smooth between counts and the ends and values of the others."""
    nodes, factors = np.polynomial.legendre.leggauss(8)
    for names in (
        ("poisson", "normal"),
        ("negative_binomial", "zero"),
        ("poisson", "negative_binomial"),
        ("uniform", "uniform", "point_mass"),
        ("ordinal", "normal"),
        ("poisson",),
    ):
        for i in range(2):
            dist = mixture(names)[[i]]
            parts = dist._flat_components()
            edges = [np.arange(-60.0, 200.0, 0.25)]
            for family, _, parameters in parts:
                edges += [*family.atoms(*parameters), *family.bounds(*parameters)]
            edges = np.unique(np.concatenate(edges))
            half = 0.5 * np.diff(edges)[:, None]
            points = (edges[:-1, None] + half * (1.0 + nodes)).reshape(-1, 1)
            values = [family.cdf(points, *parameters) for family, _, parameters in parts]
            weights = [part.weight for part in parts]
            total = sum(w * value for w, value in zip(weights, values, strict=True))
            spread = sum(
                w * np.square(value - total) for w, value in zip(weights, values, strict=True)
            )
            wanted = (half * factors).ravel() @ spread
            assert_allclose(integrated_variance(parts), wanted, rtol=1e-7, atol=1e-13)


def test_limits_of_families_are_exact():
    """Also of one component, which no sum of weights keeps below one."""
    lower = {"cdf": 0.0, "sf": 1.0, "log_cdf": -np.inf, "log_sf": 0.0, "log_pdf": -np.inf}
    upper = {"cdf": 1.0, "sf": 0.0, "log_cdf": 0.0, "log_sf": -np.inf, "log_pdf": -np.inf}
    for name in FAMILIES:
        family, parameters = components(name, 2, 2).block()
        shape = parameters[0].shape
        below = [-np.inf] + ([-1.0] if name in (*COUNTS, "gamma", "lognormal") else [])
        for values, limits in ((below, lower), ([np.inf], upper)):
            for value in values:
                for method, limit in limits.items():
                    found = getattr(family, method)(np.full(shape, value), *parameters)
                    assert_allclose(found, limit, atol=1e-15, err_msg=f"{name} {method}")


def test_counts_of_mean_zero_are_zero():
    counts, zero = np.array([0.0, 1.0, 2.0, 30.0]), np.zeros(4)
    for name, others in (("poisson", ()), ("negative_binomial", (np.full(4, 0.5),))):
        family = components(name).block().family
        with np.errstate(all="raise"):
            log_p = family.log_pdf(counts, zero, *others)
        assert_array_equal(log_p, [0.0, -np.inf, -np.inf, -np.inf])
        assert_array_equal(family.cdf(counts, zero, *others), 1.0)
        assert_array_equal(family.sf(counts, zero, *others), 0.0)
        assert_array_equal(family.log_cdf(counts, zero, *others), 0.0)
        assert_array_equal(family.log_sf(counts, zero, *others), -np.inf)
        assert_array_equal(family.mode(zero, *others), 0.0)
        assert_array_equal(family.crps(counts, zero, *others), counts)
        assert_array_equal(family.draw(np.random.RandomState(0), zero, *others), 0.0)
