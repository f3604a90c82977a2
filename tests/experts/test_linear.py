"""Linear experts: where they start, what bounds them, and what they say of new rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe.distributions import predictive_distribution
from skmoe.experts import LinearExperts
from skmoe.families import FAMILIES
from support.expert_kinds import GENERALIZED, example, example_target
from support.families import no_scaling
from support.mixtures import (
    CASES,
    N_ROWS,
    Units,
    case,
    classes,
    gradient,
    linear,
    rows_of,
    with_offset,
)

ESTIMATES = {"noise_variance": (0.8, 1.3), "variance_floor": (0.01, 0.5)}


def experts_of(families, y, weight=None, offset=None, n_experts=2, **options):
    """Experts of a fit to outputs (m, n)."""
    rows = rows_of(y, n_rows=y.shape[-1])
    rows = rows._replace(weight=rows.weight if weight is None else weight)
    if offset is not None:
        rows = with_offset(rows, offset)
    experts = LinearExperts(tuple(families), **options)
    estimates = {name: values[: len(y)] for name, values in ESTIMATES.items()}
    return experts.experts_of(rows, no_scaling(len(y)), n_experts, estimates, {}), rows


def starts_of(experts, k=0):
    """The predictors without features of an expert."""
    return [experts.start[block.where][-1] for block in experts.blocks if block.part == k]


# --- starts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERALIZED)
def test_experts_start_with_the_distribution_of_the_target_or_of_its_rates(name):
    """Scales are relative to the variance of the working target."""
    family, rng = example(name), np.random.default_rng(0)
    y, weight = example_target(family, rng, N_ROWS), rng.uniform(0.5, 2.0, size=N_ROWS)
    experts, _ = experts_of([family], y, weight)
    family = experts.families[0]
    if family.has_scale:
        target = LinearExperts((family,)).working_target(y)[0]
        variance = np.cov(target, ddof=0, aweights=weight)
        assert_allclose(experts.unit_variance, variance)
    for k in range(2):
        assert_allclose(starts_of(experts, k), np.array(family.start(y[0], weight)))
    slopes = [experts.start[block.where][:-1] for block in experts.blocks]
    assert not np.concatenate(slopes).any()
    if FAMILIES[name].link == "log":
        offset = rng.normal(size=N_ROWS)
        experts, rows = experts_of([family], y, offset=offset)
        rates = y[0] * np.exp(-offset)
        assert_allclose(starts_of(experts)[0], family.start(rates, rows.weight)[0])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_classes_start_with_equal_probabilities(n_classes):
    own = classes(n_classes)
    theta = own.mixture.start[None]
    [data] = own.blocks()
    assert_allclose(np.exp(own.mixture.at(theta, data).logs), 1.0 / n_classes)


def test_rows_that_a_family_cannot_have_say_nothing_about_its_start():
    y = example_target(example("gamma"), np.random.default_rng(0), N_ROWS)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=N_ROWS)
    families = example("gamma"), example("normal")
    more = np.append(y, [[-1.0]], axis=1), np.append(weight, 5.0)
    with_others, _ = experts_of(families, *more)
    alone, _ = experts_of(families, y, weight)
    assert_allclose(starts_of(with_others), starts_of(alone))
    assert_allclose(with_others.unit_variance[0], alone.unit_variance[0])
    assert abs(starts_of(with_others, 1)[0] - starts_of(alone, 1)[0]) > 1e-3


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_outliers_are_moved_to_four_deviations_from_the_median(unit):
    """Deviations are those of a normal distribution with the same median absolute deviation."""
    experts = LinearExperts((example("student_t"),))
    y = np.array([[-100.0, -1.0, 0.0, 1.0, 100.0], [3.0, 3.0, 7.0, 3.0, 3.0]])
    end = 4.0 / stats.norm.ppf(0.75)
    # The deviation of the second row is zero, so that nothing is moved.
    expected = [[-end, -1.0, 0.0, 1.0, end], y[1]]
    assert_allclose(experts.working_target(unit * y) / unit, expected, rtol=1e-4)


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-3, 1.0, 30.0])
def test_bounds_of_a_scale_are_relative_to_the_variance_of_the_target(unit):
    """The upper one is that of the family for targets that hardly vary."""
    logs = unit * np.random.default_rng(0).normal(size=(1, N_ROWS))
    experts, _ = experts_of([example("lognormal")], np.exp(logs), np.ones(N_ROWS))
    index = experts.scale_index[:, 0]
    assert_allclose(np.exp(experts.lower[index]), 0.01 * logs.var())
    assert_allclose(np.exp(experts.upper[index]), 100.0 * max(logs.var(), 1.0))


@pytest.mark.parametrize("name", GENERALIZED)
def test_log_dispersions_have_the_bounds_of_the_family(name):
    own = case(name)
    mixture, family = own.mixture, own.mixture.experts.families[0]
    low, high = (mixture.bounded(np.full((1, mixture.size), end))[0] for end in (-1e3, 1e3))
    for block in (block for block in mixture.experts.blocks if block.role != "mean"):
        at = block.where.stop - 1
        expected = family.log_dispersion_bounds[block.predictor - 1]
        if not (family.has_scale and block.predictor == 1):
            assert_allclose([low[at], high[at]], expected)
        assert mixture.at_bound(low)[at]
        assert mixture.at_bound(high)[at]


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([[0.0, 1.0], [1.0, 1.0]], [True, False]),
        ([[1.0, 1.0], [1.0, 0.0]], [False, True]),
        ([[0.0, 0.0], [1e-3, 1e-3]], [True, False]),
    ],
)
def test_expert_is_at_its_floor_where_one_output_is(above, expected):
    experts, _ = experts_of([example("normal")], np.random.default_rng(0).normal(size=(2, N_ROWS)))
    theta = experts.start.copy()
    theta[experts.scale_index] = experts.lower[experts.scale_index] + np.array(above)
    assert experts.dispersion_at_bound(theta).tolist() == expected


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("name", [n for n in GENERALIZED if np.isfinite(FAMILIES[n].max_step)])
def test_predictors_change_by_the_largest_step_at_most(name, is_shared):
    """In the root mean square over the rows of an expert, by the information that they have."""
    own = linear(name, own={"slopes": ((0,), (0,), (0,))} if is_shared else {}, alpha=0.0)
    mixture, experts, [data] = own.mixture, own.mixture.experts, own.blocks()
    theta = mixture.start.copy()
    shift = iter([0.0, 1.0, -4.0])
    for block in (block for block in experts.blocks if block.role == "mean"):
        theta[block.where.stop - 1] += next(shift)
    change = own.objective.ahead(own.objective.at(theta[None]))[0] - theta
    family, lengths = experts.families[0], []
    resp = mixture.responsibilities(theta[None], data)[0][:, 0] * own.rows.weight
    for k, group, _, etas in experts.of_experts(theta, data, range(3)):
        _, _, information, *_ = family.derivatives(experts.target(group, data)[1], etas)
        weight = resp[k] * np.broadcast_to(information[0, 0], N_ROWS)
        moved = own.rows.expert_design @ change[group.index[0][k]]
        lengths.append(np.sqrt((weight * moved**2).sum() / max(weight.sum(), 1e-300)))
    assert max(lengths) <= family.max_step * (1.0 + 1e-6)
    assert max(lengths) > 0.5 * family.max_step


# --- what they say of rows ----------------------------------------------------------------------


# Distributions have no density of an interval, and units are no rows.
WITH_DENSITY = [name for name in CASES if "censored" not in name and "units" not in name]


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_components_have_the_density_and_the_mean_of_their_expert(name):
    own = case(name)
    experts, [data] = own.mixture.experts, own.blocks()
    of_experts = own.mixture.split(own.theta)[0]
    log_prob = own.mixture.at(own.theta[None], data).logs[:, 0]
    mean = experts.mean(of_experts, data)
    for k in range(own.mixture.n_experts):
        if experts.is_classifier:
            logs = np.log(mean[k][own.rows.y, np.arange(N_ROWS)])
            assert_allclose(logs, log_prob[k], rtol=1e-8)
            continue
        part = experts.components(of_experts, k, data)
        dist = predictive_distribution([part], np.ones((1, N_ROWS)), single_output=False)
        possible = np.isfinite(log_prob[k])
        logs = dist.joint_logpdf(own.rows.y.T)
        assert_allclose(logs[possible], log_prob[k][possible], rtol=1e-8, atol=1e-9)
        assert_allclose(dist.mean.T, mean[k], rtol=1e-8)
        assert_allclose(experts.mean(of_experts, data, [k])[0], mean[k])


@pytest.mark.parametrize("name", [name for name in WITH_DENSITY if "class" not in name])
def test_slopes_of_the_mean_are_those_of_differences(name):
    own = case(name)
    experts, [data] = own.mixture.experts, own.blocks()
    theta, blocks = own.mixture.split(own.theta)[0], own.mixture.experts.blocks
    found = experts.mean_slopes(theta, data)
    for row, role in enumerate(("mean", "dispersion")[: len(found)]):
        along = np.zeros((1, len(theta)))
        along[0, [b.where.stop - 1 for b in blocks if b.role == role]] = 1.0
        [expected] = gradient(
            lambda at: np.stack([experts.mean(one, data) for one in at]), theta, along
        )
        assert_allclose(found[row], expected, rtol=1e-6, atol=1e-7)


def test_attributes_say_what_an_expert_does_not_have():
    own = linear("poisson", "negative_binomial", "zero", n_experts=3)
    found = own.mixture.experts.attributes(own.mixture.split(own.theta)[0], Units(1))
    dispersion = found["dispersion_"]
    assert_array_equal(np.isnan(dispersion), [True, False, True])
    assert np.isnan(found["expert_intercept_"]).tolist() == [False, False, True]
    assert not found["expert_coef_"][2].any()
