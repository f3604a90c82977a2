"""M-steps of every kind of experts: ascent, stationary points, sums, starts and bounds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats

from skmoe._numerics.linalg import with_offset
from skmoe.experts import EXPERTS, GeneralizedLinearExperts
from skmoe.families import FAMILIES
from skmoe.protocols import Experts, SupportsReordering, has_capability, split_offset
from support.expert_kinds import GENERALIZED, example
from support.parts import (
    DESIGN,
    EXPERT_CASES,
    LISTS,
    N_COLUMNS,
    N_EXPERTS,
    N_ROWS,
    RESP,
    differences,
    example_target,
    expected_objective,
    generalized,
    has_scale,
    no_scaling,
    somewhere,
    step_of,
    without_predictor,
)

of_all = pytest.mark.parametrize("case", EXPERT_CASES)
of_one_family = pytest.mark.parametrize("name", GENERALIZED)


def arrays_of(component):
    """The arrays of components, which may be nested."""
    for values in component:
        yield from arrays_of(values) if isinstance(values, tuple) else [values]


def test_every_registered_kind_of_experts_has_a_case():
    """Experts that are estimators are met in the tests of estimators."""
    met = {type(experts) for experts, _ in EXPERT_CASES.values()}
    registered = {kind for row in EXPERTS.values() for kind in row.values()}
    assert {kind for kind in registered if not kind.needs_all_rows} <= met
    assert {name for name, family in FAMILIES.items() if not family.link} <= set().union(*LISTS)


@pytest.mark.parametrize(
    "kind", [*(kind for row in EXPERTS.values() for kind in row.values()), GeneralizedLinearExperts]
)
def test_example_target_of_registered_experts_is_possible(kind):
    y = kind.example_target(np.random.default_rng(0), N_ROWS)
    assert y.shape[-1] == N_ROWS
    assert kind().in_support(y).all()
    params = kind().init_params(N_EXPERTS, N_COLUMNS)
    assert np.isfinite(kind().log_prob(params, DESIGN, y)).all()


def possible_resp(experts, params, y):
    """Responsibilities that are zero where a row is impossible."""
    return np.where(np.isfinite(experts.log_prob(params, DESIGN, y)), RESP, 0.0)


@of_all
def test_shapes_are_those_of_the_contract(case):
    experts, y = EXPERT_CASES[case]
    assert isinstance(experts, Experts)
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    n_outputs = experts.n_classes if experts.is_classifier else len(y)
    assert params.coef.shape == (N_EXPERTS, n_outputs, N_COLUMNS)
    assert experts.log_prob(params, DESIGN, y).shape == (N_EXPERTS, N_ROWS)
    mean = experts.mean(params, DESIGN)
    assert mean.shape == (N_EXPERTS, n_outputs, N_ROWS)
    for k in range(N_EXPERTS):
        assert_allclose(experts.mean_of(params, k, DESIGN), mean[k], rtol=1e-12)
    assert not params.coef[..., :-1].any()


@of_all
def test_small_step_does_not_lower_the_objective(case):
    experts, y = EXPERT_CASES[case]
    for seed in range(2):
        params = somewhere(experts, seed)
        resp = possible_resp(experts, params, y)
        before = expected_objective(experts, params, y, resp)
        for step in (1e-4, 0.01, 0.1):
            after = step_of(experts, params, y, resp, step)
            assert expected_objective(experts, after, y, resp) >= before - 1e-9
        holders = experts.slope_holders(*after.coef.shape[::2])
        of_holders = np.moveaxis(after.coef[holders, :, np.arange(N_COLUMNS)], 1, 2)
        lacking = np.broadcast_to(holders[:, None] < 0, after.coef.shape)
        assert_allclose(after.coef, np.where(lacking, 0.0, of_holders), rtol=1e-12)
        assert not after.coef[without_predictor(experts)].any()


def steps_until_convergence(experts, y):
    """Whole steps, which are halved where the objective would fall, as in EM."""
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    resp = possible_resp(experts, params, y)
    value = expected_objective(experts, params, y, resp)
    for _ in range(120):
        for halving in range(20):
            after = step_of(experts, params, y, resp, 0.5**halving)
            new = expected_objective(experts, after, y, resp)
            if new >= value - 1e-13 * abs(value):
                break
        change = max(np.abs(a - b).max(initial=0.0) for a, b in zip(after, params, strict=True))
        params, value = after, new
        if change < 1e-6:
            break
    return params, resp


def free_directions(experts, params):
    """Directions, as parameters, in which an objective may change: shared ones move together."""
    for name in params._fields:
        values = getattr(params, name)
        for index in np.ndindex(values.shape):
            direction = np.zeros(values.shape)
            direction[index] = 1.0
            with_it = np.arange(N_EXPERTS) == index[0]
            if name == "coef":
                with_it = experts.slope_holders(N_EXPERTS, N_COLUMNS)[:, index[-1]] == index[0]
            elif getattr(experts, "shared_dispersion", False):
                with_it[:] = index[0] == 0
            direction[with_it] = direction[index[0]]
            if not with_it.any():  # another expert has it, or none
                continue
            if name == "coef":
                direction[without_predictor(experts)] = 0.0
            yield name, direction


def assert_stationary(experts, params, y, resp, atol, step=1e-6):
    """No free direction leads upward; at a bound parameters stay where they are."""

    def objective(**moved):
        return expected_objective(experts, experts.project(params._replace(**moved)), y, resp)

    value = objective()
    for name, direction in free_directions(experts, params):
        for sign in (step, -step):
            moved = getattr(params, name) + sign * direction
            assert objective(**{name: moved}) - value < atol * step


def is_list(case):
    return len(getattr(EXPERT_CASES[case][0], "families", ())) > 1


# Of lists those without options, and of censored targets those whose steps are quick.
CONVERGING = [
    case
    for case in EXPERT_CASES
    if (case in map(", ".join, LISTS) if is_list(case) else "censored" not in case)
]
CONVERGING += [f"{name}, censored" for name in ("exponential", "weibull", "lognormal")]


@pytest.mark.parametrize("case", CONVERGING)
def test_steps_converge_to_a_stationary_point(case):
    experts, y = EXPERT_CASES[case]
    params, resp = steps_until_convergence(experts, y)
    # Beside a dispersion at its bound, or near it, steps end next to the mode.
    near = experts.at_bound(params).any()
    assert_stationary(experts, params, y, resp, 0.05 if is_list(case) or near else 1e-3)


@pytest.mark.parametrize("prior", [0.0, 1e5])
@pytest.mark.parametrize("name", [name for name in GENERALIZED if FAMILIES[name].has_scale])
def test_steps_reach_the_mode_however_strong_the_prior_of_the_scale_is(name, prior):
    experts, y = generalized([name], dispersion_prior=prior)
    params, resp = steps_until_convergence(experts, y)
    assert_stationary(experts, params, y, resp, 1e-4 * (N_ROWS + prior))


@of_all
def test_sums_add_up_over_blocks(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    blocks = [slice(0, 15), slice(15, None)]

    def of_rows(method, rows):
        return getattr(experts, method)(params, DESIGN[rows], y[..., rows], RESP[:, rows])

    whole = of_rows("statistics", slice(None))
    parts = [of_rows("statistics", rows) for rows in blocks]
    for total, *values in zip(whole, *parts, strict=True):
        assert_allclose(total, sum(values), rtol=1e-9, atol=1e-9)
    hessian = of_rows("hessian", slice(None))
    # Curvatures may be summed in single precision.
    atol = 1e-5 * np.abs(hessian).max()
    assert_allclose(hessian, sum(of_rows("hessian", rows) for rows in blocks), atol=atol)


@of_all
def test_sparse_design_has_the_sums_of_the_dense_one(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    rows = sparse.csr_array(DESIGN)
    found, expected = (
        [
            experts.log_prob(params, design, y),
            experts.mean(params, design),
            *experts.statistics(params, design, y, RESP),
        ]
        for design in (rows, DESIGN)
    )
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    one, other = (step_of(experts, params, y, design=design) for design in (rows, DESIGN))
    for of_sparse, of_dense in zip(one, other, strict=True):
        assert_allclose(of_sparse, of_dense, rtol=1e-4, atol=1e-5)


@of_all
def test_expert_without_rows_stays_finite(case):
    experts, y = EXPERT_CASES[case]
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    resp = possible_resp(experts, params, y)
    resp[1] = 0.0
    for _ in range(3):
        params = step_of(experts, params, y, resp)
    assert all(np.isfinite(field).all() for field in params)


@of_all
def test_reordered_experts_are_the_same_experts(case):
    experts, y = EXPERT_CASES[case]
    is_list = "families" in vars(experts) and len(experts.families) > 1
    is_ordered = is_list or "slopes of some" in case
    assert has_capability(experts, SupportsReordering) == (not is_ordered)
    if is_ordered:  # families and slopes stay in the order of their list
        return
    params, order = somewhere(experts), np.array([2, 0, 1])
    moved = experts.reorder(params, order)
    for method, arguments in (("log_prob", (DESIGN, y)), ("mean", (DESIGN,))):
        found, expected = (getattr(experts, method)(at, *arguments) for at in (moved, params))
        assert_allclose(found, expected[order], rtol=1e-12)
    assert_allclose(experts.penalty(moved), experts.penalty(params), rtol=1e-12)
    for found, expected in zip(experts.reorder(moved, np.argsort(order)), params, strict=True):
        assert_array_equal(found, expected)


@of_all
def test_working_target_of_an_output_does_not_depend_on_the_others(case):
    experts, y = EXPERT_CASES[case]
    if experts.is_classifier or len(y) == 1:
        return
    y = y.copy()
    y[:, 3] = 1e3  # an outlier, which some families move
    whole = experts.working_target(y)
    assert whole.shape == y.shape
    for one, of_one in zip(y, whole, strict=True):
        assert_allclose(experts.working_target(one[None])[0], of_one)


@pytest.mark.parametrize("names", [names for names in LISTS if len(set(names)) == 3])
def test_steps_do_not_depend_on_the_order_of_the_list(names):
    found = []
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        experts, y = generalized([names[k] for k in order])
        start = experts.init_params(N_EXPERTS, N_COLUMNS)
        own = ~without_predictor(experts)
        at = experts.project(start._replace(coef=start.coef + 0.1 * own[:, None, None]))
        resp = RESP[order] * np.isfinite(experts.log_prob(at, DESIGN, y))
        after = step_of(experts, at, y, resp)
        place = np.argsort(order)
        logs = experts.log_prob(after, DESIGN, y)[place]
        found.append([after.coef[place], np.where(np.isfinite(logs), logs, 0.0)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert_allclose(two, one, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if np.isfinite(FAMILIES[name].max_step)]
)
def test_predictors_change_by_the_largest_step_at_most(name, is_shared):
    """In the root mean square over the rows of an expert, by the information that they have."""
    experts, y = generalized([name], slopes=((0,), (0,), (0,)) if is_shared else ())
    params, (family,) = experts.init_params(N_EXPERTS, N_COLUMNS), experts.families
    coef = params.coef + np.array([0.0, 1.0, -6.0])[:, None, None] * [0.0, 0.0, 0.0, 1.0]
    change = step_of(experts, params._replace(coef=coef), y).coef - coef
    theta = np.moveaxis(params.log_dispersion, -1, 0)[..., None]
    information = family.predictor_information(coef @ DESIGN.T, theta)[:, 0] * RESP
    moved = (change @ DESIGN.T)[:, 0]
    length = np.sqrt((information * moved**2).sum(axis=1) / information.sum(axis=1))
    assert_allclose(length.max(), family.max_step, rtol=1e-5)
    assert (length > 0.0).all()
    if is_shared:
        assert np.ptp(change[..., 0]) < 1e-12


# --- starts ---


@of_one_family
def test_experts_start_with_the_distribution_of_the_target(name):
    """Scales are relative to the variance of the working target."""
    family, rng = example(name), np.random.default_rng(0)
    y, weight = family.example_target(rng, N_ROWS), rng.uniform(0.5, 2.0, size=N_ROWS)
    if family.in_support(np.array([[0.7, 50.0]])).all() and name != "ordinal":
        y[0, 3] = 50.0  # only families that expect outliers move it
    experts = GeneralizedLinearExperts((family,))
    experts = experts.fitted_to(DESIGN, y, weight, no_scaling())
    (family,) = experts.families
    params = experts.init_params(2, N_COLUMNS)
    assert_allclose(params.coef[..., -1], family.initial_predictor(y[0], weight))
    expected = np.array(family.initial_log_dispersion)
    if family.has_scale:
        target = (experts if family.has_outliers else family).working_target(y)[0]
        expected[0] += np.log(np.cov(target, ddof=0, aweights=weight))
    assert_allclose(params.log_dispersion, np.broadcast_to(expected, (2, 1, len(expected))))


@of_one_family
def test_start_is_that_of_repeated_rows(name):
    experts, y = generalized([name])
    weight = np.random.default_rng(9).integers(1, 4, size=N_ROWS)
    if experts.families[0].has_outliers:  # which are moved to a median of distinct rows
        return
    one = experts.fitted_to(DESIGN, y, weight.astype(float), no_scaling())
    repeated = np.repeat(DESIGN, weight, axis=0), np.repeat(y, weight, axis=1)
    other = experts.fitted_to(*repeated, np.ones(weight.sum()), no_scaling())
    assert_allclose(one.initial_predictor, other.initial_predictor, rtol=1e-12)
    assert_allclose(one.target_variance, other.target_variance, rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 30.0])
def test_bounds_of_a_scale_are_relative_to_the_variance_of_the_target(unit):
    """The upper one is that of the family for targets that hardly vary."""
    logs = unit * np.random.default_rng(0).normal(size=(1, N_ROWS))
    experts = GeneralizedLinearExperts((FAMILIES["lognormal"](),), variance_floor=(0.01,))
    experts = experts.fitted_to(DESIGN, np.exp(logs), np.ones(N_ROWS), no_scaling())
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    low, high = (
        np.exp(experts.project(params._replace(log_dispersion=params[1] + shift)).log_dispersion)
        for shift in (-50.0, 50.0)
    )
    assert_allclose(low, 0.01 * logs.var())
    assert_allclose(high, 100.0 * max(logs.var(), 1.0))


@of_one_family
def test_log_dispersions_are_kept_within_the_bounds_of_the_family(name):
    """Shared ones become the mean of those within their bounds."""
    for shared in (False, True):
        experts, _ = generalized([name], shared_dispersion=shared)
        (family,), variance = experts.families, experts.target_variance[0][0]
        params = experts.init_params(2, N_COLUMNS)
        for t, (low, high) in enumerate(family.log_dispersion_bounds):
            if family.has_scale and not t:
                low = np.log(experts.variance_floor[0] * variance)
                high += np.log(max(variance, 1.0))
            values = params.log_dispersion.copy()
            values[:, 0, t] = [-1e3, 1e3]
            found = experts.project(params._replace(log_dispersion=values)).log_dispersion
            expected = [0.5 * (low + high)] * 2 if shared else [low, high]
            assert_allclose(found[:, 0, t], expected, rtol=1e-12)


def test_dispersions_that_an_expert_does_not_have_are_zero():
    experts, _ = generalized(["poisson", "negative_binomial"])
    params = experts.init_params(2, N_COLUMNS)
    values = np.full(params.log_dispersion.shape, 0.5)
    found = experts.project(params._replace(log_dispersion=values))
    assert_array_equal(found.log_dispersion[:, 0, 0], [0.0, 0.5])


@of_all
@pytest.mark.parametrize("end", [-100.0, 100.0])
def test_dispersions_at_a_bound_are_known_and_least_scales_are_reported(case, end):
    """Of one output of one expert, or of all experts where they share them."""
    experts, _ = EXPERT_CASES[case]
    params = somewhere(experts)
    assert not experts.dispersion_at_bound(params).any()
    if end > 0.0 and "families" not in vars(experts):  # variances of linear experts are free
        return
    free, layout = experts.at_bound(params), None if experts.is_classifier else experts.layout
    family = layout and experts.families[1 % len(experts.families)]
    for i, place in enumerate(layout.positions(family) if layout else []):
        values = params.log_dispersion.copy()
        values[slice(None) if experts.shared_dispersion else 1, -1, place] = end
        moved = experts.project(params._replace(log_dispersion=values))
        is_moved = np.full(N_EXPERTS, experts.shared_dispersion)
        is_moved[1] = True
        reported = end < 0.0 and i == 0 and has_scale(experts, 1)
        assert_array_equal(experts.dispersion_at_bound(moved), is_moved & reported)
        at_place = np.zeros(values.shape[:0:-1])
        at_place[place, -1] = 1.0
        expected = free.copy()
        start = params.coef[1].size
        own = slice(start, start + values[0].size)
        expected[is_moved, own] |= layout.coordinates(at_place) > 0.0
        if reported and hasattr(params, "covariance"):  # a combination of all outputs
            expected[is_moved, start:] = True
        assert_array_equal(experts.at_bound(moved), expected)


# --- means, densities, offsets ---


@of_all
def test_mean_derivative_equals_differences_of_the_mean(case):
    experts, _ = EXPERT_CASES[case]
    if not experts.explains_mean:
        return
    params = somewhere(experts)
    mean = experts.mean(params, DESIGN)
    slopes = experts.mean_derivative(params, DESIGN)
    slopes = np.ones(mean.shape) if slopes is None else slopes
    shift = np.zeros(params.coef.shape)
    shift[~without_predictor(experts), :, -1] = 1.0
    (expected,) = differences(
        lambda t: experts.mean(params._replace(coef=params.coef + t * shift), DESIGN), np.zeros(1)
    )
    assert_allclose(slopes, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", [c for c in EXPERT_CASES if EXPERT_CASES[c][0].takes_offset])
def test_offset_is_a_column_with_a_coefficient_of_one(case):
    experts, y = EXPERT_CASES[case]
    assert experts.link == "log"
    offset = np.random.default_rng(3).normal(size=N_ROWS)
    params = somewhere(experts)
    wide = np.column_stack([offset, DESIGN])
    wider = params._replace(coef=np.insert(params.coef, 0, 1.0, axis=2))
    design = with_offset(DESIGN, offset)
    assert split_offset(design)[1] is offset

    columns = tuple(1 + column for column in experts.dispersion_columns)
    others = experts.with_options({"dispersion_columns": columns})

    def answers(experts, at, rows):
        yield experts.log_prob(at, rows, y)
        yield experts.mean(at, rows)
        yield experts.mean_derivative(at, rows)
        yield experts.mean_of(at, 1, rows)
        statistics = experts.statistics(at, rows, y, RESP)
        yield statistics.gradient[..., -N_COLUMNS:]
        yield statistics[2]  # of the dispersions
        yield experts.hessian(at, rows, y, RESP)[..., -N_COLUMNS:, -N_COLUMNS:]
        for k in range(N_EXPERTS):
            scores, size = experts.score_rows(at, k, rows, y), at.coef[k].size
            yield scores[:size].reshape(len(y), -1, N_ROWS)[:, -N_COLUMNS:]
            yield scores[size:]
            yield from arrays_of(experts.components(at, k, rows))

    pairs = zip(answers(experts, params, design), answers(others, wider, wide), strict=True)
    for one, other in pairs:
        assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in GENERALIZED if FAMILIES[name].link == "log"])
def test_experts_of_rates_start_with_the_rates(name):
    """What they start with is that of outputs divided by their exposures."""
    family, rng = example(name), np.random.default_rng(0)
    y, offset = family.example_target(rng, N_ROWS), rng.normal(size=N_ROWS)
    weight = rng.uniform(0.5, 2.0, size=N_ROWS)
    fitted = GeneralizedLinearExperts((family,)).fitted_to(
        with_offset(DESIGN, offset), y, weight, no_scaling()
    )
    rates = y[0] * np.exp(-offset)
    assert_allclose(fitted.initial_predictor, [[family.initial_predictor(rates, weight)]])
    logs = family.working_target(rates[None])[0]
    assert_allclose(fitted.target_variance, [[np.cov(logs, ddof=0, aweights=weight)]])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_outliers_are_moved_to_four_deviations_from_the_median(unit):
    """Deviations are those of a normal distribution with the same median absolute deviation."""
    experts = GeneralizedLinearExperts((example("student_t"),))
    y = np.array([[-100.0, -1.0, 0.0, 1.0, 100.0], [3.0, 3.0, 7.0, 3.0, 3.0]])
    end = 4.0 / stats.norm.ppf(0.75)
    # The deviation of the second row is zero, so that nothing is moved.
    expected = [[-end, -1.0, 0.0, 1.0, end], y[1]]
    assert_allclose(experts.working_target(unit * y) / unit, expected, rtol=1e-4)


def test_rows_that_a_family_cannot_have_say_nothing_about_its_start():
    y = example_target(example("gamma"), np.random.default_rng(0))
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=N_ROWS)
    families = example("gamma"), example("lognormal"), example("normal")
    with_others = GeneralizedLinearExperts(families).fitted_to(
        np.ones((N_ROWS + 1, 1)),
        np.append(y, [[-1.0]], axis=1),
        np.append(weight, 5.0),
        no_scaling(),
    )
    alone = GeneralizedLinearExperts(families[:2]).fitted_to(DESIGN, y, weight, no_scaling())
    assert_allclose(with_others.initial_predictor[:2], alone.initial_predictor)
    assert_allclose(with_others.target_variance[:2], alone.target_variance)
