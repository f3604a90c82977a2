"""Every registered gate and family of experts keeps the promises of its protocol."""

from dataclasses import fields

import numpy as np
import pytest
from kinds import GENERALIZED
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate
from sklearn.linear_model import Ridge

from skmoe._data.scaling import Standardization
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.offset_design import OffsetDesign
from skmoe.experts import EXPERTS, GeneralizedLinearExperts, LinearExperts, LogisticExperts
from skmoe.families import FAMILIES as DISTRIBUTION_FAMILIES
from skmoe.gates import GATES
from skmoe.gates._averaged import AveragedGate, AverageParams
from skmoe.protocols import Experts, Gate, SupportsReordering, has_capability

RNG = np.random.default_rng(0)
N_ROWS, N_EXPERTS = 80, 3
SINGLE = 1e-5  # what single precision, in which curvatures are summed, leaves of a sum
DESIGN = np.column_stack([RNG.normal(size=(N_ROWS, 2)), np.ones(N_ROWS)])
RESP = RNG.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T * RNG.uniform(0.5, 2.0, size=N_ROWS)
TARGETS = {"regressor": RNG.normal(size=(1, N_ROWS)), "classifier": RNG.integers(0, 3, size=N_ROWS)}
OPTIONS = {"regressor": [{}, {"shared_dispersion": True}], "classifier": [{"n_classes": 3}]}


@pytest.fixture
def rng():
    """A generator of its own for each test."""
    return np.random.default_rng(0)


def target_of(family, task):
    """A target that the family can have generated."""
    if task == "classifier" or family.in_support(TARGETS[task]).all():
        return TARGETS[task]
    return family.example_target(np.random.default_rng(0), N_ROWS)


FAMILIES = [
    pytest.param(kinds[task](**options), target_of(kinds[task](), task), id=f"{name}-{task}-{i}")
    for name, kinds in EXPERTS.items()
    for task in kinds
    for i, options in enumerate(OPTIONS[task])
    if options.keys() <= {field.name for field in fields(kinds[task])}
]


def generalized(name, options):
    """Experts of a family with a linear predictor, and their target."""
    family = DISTRIBUTION_FAMILIES[name]()
    y = family.example_target(np.random.default_rng(0), N_ROWS)
    unit = Standardization(np.zeros(1), np.ones(1))
    experts = GeneralizedLinearExperts((family,), **options)
    experts = experts.fitted_to(DESIGN, y, np.ones(N_ROWS), unit)
    return pytest.param(experts, y, id="-".join([name, *options]))


FAMILIES += [
    generalized(name, options)
    for name in GENERALIZED
    for options in ({}, {"shared_dispersion": True})
]
ALL_GATES = [pytest.param(gate(), id=name) for name, gate in GATES.items()]


def somewhere(params, rng):
    """Parameters away from the start, whatever their fields."""
    return type(params)(*(field + 0.3 * rng.normal(size=field.shape) for field in params))


def expert_value(family, params, y):
    return float((RESP * family.log_prob(params, DESIGN, y)).sum()) - family.penalty(params)


def gate_value(gate, params):
    return float((RESP * gate.log_prob(params, DESIGN)).sum()) - gate.penalty(params)


def expert_step(family, params, y, step):
    factor = family.factorize(family.hessian(params, DESIGN, y, RESP))
    return family.m_step(family.statistics(params, DESIGN, y, RESP), factor, params, step)


def gate_step(gate, params, step):
    log_prob = gate.log_prob(params, DESIGN)
    factor = gate.factorize(gate.hessian(params, DESIGN, RESP, log_prob))
    return gate.m_step(gate.statistics(params, DESIGN, RESP, log_prob), factor, params, step)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_families_follow_the_protocol(family, y, rng):
    assert isinstance(family, Experts)
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    assert family.log_prob(params, DESIGN, y).shape == (N_EXPERTS, N_ROWS)
    assert family.mean(params, DESIGN).shape[::2] == (N_EXPERTS, N_ROWS)
    assert family.n_parameters(params) > 0
    assert np.isfinite(family.penalty(params))


@pytest.mark.parametrize(("family", "y"), [row for row in FAMILIES if row.values[0].takes_offset])
def test_a_constant_offset_is_an_intercept(family, y, rng):
    assert family.link == "log"
    params = family.project(somewhere(family.init_params(N_EXPERTS, 3), rng))
    shifted = params.coef.copy()
    shifted[..., -1] += 0.7
    shifted, weight = params._replace(coef=shifted), RESP[1]
    expected, found = (
        [
            family.log_prob(values, design, y),
            family.mean(values, design),
            family.mean_of(values, 1, design),
            *family.statistics(values, design, y, RESP),
            family.hessian(values, design, y, RESP),
            family.score_rows(values, 1, design, y),
            family.information(values, 1, design, y, weight),
            *family.components(values, 1, design),
        ]
        for values, design in (
            (shifted, DESIGN),
            (params, OffsetDesign(DESIGN, np.full(N_ROWS, 0.7))),
        )
    )
    for one, other in zip(expected, found, strict=True):
        assert_allclose(other, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_gates_follow_the_protocol(gate, rng):
    assert isinstance(gate, Gate)
    params = gate.project(somewhere(gate.init_params(N_EXPERTS, 3), rng))
    assert_allclose(np.exp(gate.log_prob(params, DESIGN)).sum(axis=0), 1.0)
    start = gate.log_prob(gate.init_params(N_EXPERTS, 3), DESIGN)
    assert_allclose(np.exp(start), 1.0 / N_EXPERTS)
    assert gate.n_parameters(params) in (N_EXPERTS - 1, 3 * (N_EXPERTS - 1))


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_steps_of_experts_do_not_lower_the_objective(family, y, rng):
    for _ in range(5):
        params = family.project(somewhere(family.init_params(N_EXPERTS, 3), rng))
        before = expert_value(family, params, y)
        for step in (0.01, 0.1):
            assert expert_value(family, expert_step(family, params, y, step), y) >= before - 1e-9


@pytest.mark.parametrize("gate", ALL_GATES)
def test_steps_of_gates_do_not_lower_the_objective(gate, rng):
    for _ in range(5):
        params = gate.project(somewhere(gate.init_params(N_EXPERTS, 3), rng))
        before = gate_value(gate, params)
        for step in (0.01, 0.1):
            assert gate_value(gate, gate_step(gate, params, step)) >= before - 1e-9


def flat_slopes(value, params, constrain, step=1e-6):
    """Finite differences of an objective along every free direction."""
    slopes = []
    for i, field in enumerate(params):
        for index in np.ndindex(field.shape):
            sides = []
            for sign in (1.0, -1.0):
                moved = field.copy()
                moved[index] += sign * step
                fields = [*params[:i], moved, *params[i + 1 :]]
                sides.append(value(constrain(type(params)(*fields))))
            slopes.append((sides[0] - sides[1]) / (2 * step))
    return np.array(slopes)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_experts_converge_to_a_stationary_point(family, y):
    params = family.init_params(N_EXPERTS, 3)
    for _ in range(40):
        params = expert_step(family, params, y, 1.0)
    constrain = family.project
    if getattr(family, "shared_dispersion", False):
        # Only moves of all variances together are free.
        def constrain(at):
            name = params._fields[-1]
            changes = (getattr(at, name) - getattr(params, name)).sum(axis=0)
            return at._replace(**{name: getattr(params, name) + changes})

    slopes = flat_slopes(lambda at: expert_value(family, at, y), params, constrain)
    assert_allclose(slopes, 0.0, atol=1e-3)


WITH_SCALE = [name for name in GENERALIZED if DISTRIBUTION_FAMILIES[name].has_scale]


@pytest.mark.parametrize("prior", [0.0, 100.0, 1e5])
@pytest.mark.parametrize("name", WITH_SCALE)
def test_steps_of_the_scale_see_its_prior(name, prior):
    """Newton steps reach the mode however strong the prior is."""
    family, y = generalized(name, {"dispersion_prior": prior}).values
    params = family.init_params(N_EXPERTS, 3)
    for _ in range(40):
        params = expert_step(family, params, y, 1.0)
    slopes = flat_slopes(lambda at: expert_value(family, at, y), params, family.project)
    assert_allclose(slopes / (N_ROWS + prior), 0.0, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 30.0])
def test_experts_begin_with_the_variance_of_the_target(unit):
    """That of the logarithm, whatever it is, within bounds that are relative to it."""
    logs = unit * TARGETS["regressor"]
    family = GeneralizedLinearExperts(
        (DISTRIBUTION_FAMILIES["lognormal"](),), variance_floor=(0.01,)
    )
    one = Standardization(np.zeros(1), np.ones(1))
    family = family.fitted_to(DESIGN, np.exp(logs), np.ones(N_ROWS), one)
    params = family.init_params(N_EXPERTS, 3)
    assert_allclose(np.exp(params.log_dispersion), logs.var())
    assert_allclose(params.coef, np.broadcast_to([0.0, 0.0, logs.mean()], params.coef.shape))
    low = family.project(params._replace(log_dispersion=params.log_dispersion - 50.0))
    assert_allclose(np.exp(low.log_dispersion), 0.01 * logs.var())
    high = family.project(params._replace(log_dispersion=params.log_dispersion + 50.0))
    assert_allclose(np.exp(high.log_dispersion), 100.0 * max(logs.var(), 1.0))


@pytest.mark.parametrize("shared_dispersion", [False, True])
def test_one_whole_step_of_linear_experts_is_the_mode(shared_dispersion, rng):
    family, y = LinearExperts(shared_dispersion=shared_dispersion), TARGETS["regressor"]
    starts = [somewhere(family.init_params(N_EXPERTS, 3), rng) for _ in range(2)]
    one, other = (expert_step(family, start, y, 1.0) for start in starts)
    for found, same in zip(one, other, strict=True):
        assert_allclose(found, same)
    for k, weight in enumerate(RESP):
        ridge = Ridge(family.alpha).fit(DESIGN[:, :-1], y[0], sample_weight=weight)
        assert_allclose(one.coef[k, 0], [*ridge.coef_, ridge.intercept_])


def test_old_gram_matrices_lead_linear_experts_to_the_same_place():
    family, y = LinearExperts(), TARGETS["regressor"]
    params = family.init_params(N_EXPERTS, 3)
    mode = expert_step(family, params, y, 1.0)
    old = family.factorize(family.hessian(params, DESIGN, y, 0.3 * RESP[::-1]))
    for _ in range(100):
        params = family.m_step(family.statistics(params, DESIGN, y, RESP), old, params, 1.0)
    for found, same in zip(params, mode, strict=True):
        assert_allclose(found, same)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_gates_converge_to_a_stationary_point(gate):
    params = gate.init_params(N_EXPERTS, 3)
    for _ in range(12):
        params = gate_step(gate, params, 1.0)
    slopes = flat_slopes(lambda at: gate_value(gate, at), params, gate.project)
    assert_allclose(slopes, 0.0, atol=1e-3)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_sums_of_experts_add_up_over_blocks(family, y, rng):
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    halves = [slice(0, 30), slice(30, None)]
    whole = family.statistics(params, DESIGN, y, RESP)
    first, second = (
        family.statistics(params, DESIGN[half], y[..., half], RESP[:, half]) for half in halves
    )
    for total, added in zip(whole, add_fields(first, second), strict=True):
        assert_allclose(total, added)
    if family.hessian(params, DESIGN, y, RESP) is not None:
        parts = [
            family.hessian(params, DESIGN[half], y[..., half], RESP[:, half]) for half in halves
        ]
        whole = family.hessian(params, DESIGN, y, RESP)
        assert_allclose(whole, sum(parts), rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("n_classes", [3, 12])
def test_logistic_experts_in_an_e_step_compute_what_they_are(n_classes, rng):
    family, y = LogisticExperts(n_classes=n_classes), rng.integers(0, n_classes, size=N_ROWS)
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    found = family.at(params, DESIGN, y)
    assert_allclose(found.log_prob(params, DESIGN, y), family.log_prob(params, DESIGN, y))
    assert_allclose(found.mean(params, DESIGN), family.mean(params, DESIGN))
    for name in ("statistics", "hessian"):
        one, other = (getattr(part, name)(params, DESIGN, y, RESP) for part in (found, family))
        assert_allclose(np.asarray(one), np.asarray(other), rtol=SINGLE, atol=SINGLE)


def test_probabilities_of_a_subclass_are_its_own(rng):
    class Even(LogisticExperts):
        def mean(self, params, design):
            return np.full((N_EXPERTS, self.n_classes, design.shape[0]), 1.0 / self.n_classes)

    family, y = Even(n_classes=3), rng.integers(0, 3, size=N_ROWS)
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    assert_allclose(family.at(params, DESIGN, y).mean(params, DESIGN), 1.0 / 3.0)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_sums_of_gates_add_up_over_blocks(gate, rng):
    params = gate.project(somewhere(gate.init_params(N_EXPERTS, 3), rng))
    log_prob = gate.log_prob(params, DESIGN)
    halves = [slice(0, 30), slice(30, None)]
    whole = gate.statistics(params, DESIGN, RESP, log_prob)
    first, second = (
        gate.statistics(params, DESIGN[half], RESP[:, half], log_prob[:, half]) for half in halves
    )
    for total, added in zip(whole, add_fields(first, second), strict=True):
        assert_allclose(total, added)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_densities_integrate_to_one(family, y, rng):
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    row = DESIGN[:1]
    if y.ndim == 1:
        total = sum(
            np.exp(family.log_prob(params, row, np.array([c])))[:, 0]
            for c in range(family.n_classes)
        )
    elif family.can_separate or family.link == "logit":  # counts and ratings
        total = sum(
            np.exp(family.log_prob(params, row, np.array([[float(at)]])))[:, 0] for at in range(500)
        )
    else:
        total = [
            integrate.quad(
                lambda at, k=k: np.exp(family.log_prob(params, row, np.array([[at]])))[k, 0],
                0.0 if not family.in_support(np.array([[-1.0]])).all() else -np.inf,
                np.inf,
                limit=500,
            )[0]
            for k in range(N_EXPERTS)
        ]
    assert_allclose(total, 1.0, rtol=1e-7)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_an_expert_without_rows_stays_finite(family, y):
    resp = RESP.copy()
    resp[1] = 0.0
    params = family.init_params(N_EXPERTS, 3)
    for _ in range(3):
        factor = family.factorize(family.hessian(params, DESIGN, y, resp))
        statistics = family.statistics(params, DESIGN, y, resp)
        params = family.m_step(statistics, factor, params, 1.0)
    assert all(np.isfinite(field).all() for field in params)
    assert np.isfinite(family.log_prob(params, DESIGN, y)).all()


def test_projections_share_what_is_shared(rng):
    family = LinearExperts(shared_dispersion=True)
    params = somewhere(family.init_params(N_EXPERTS, 3), rng)
    projected = family.project(params)
    assert len(np.unique(projected.log_variance)) == 1
    assert_allclose(projected.log_variance[0], params.log_variance.mean(axis=0))
    for ours, again in zip(projected, family.project(projected), strict=True):
        assert_array_equal(ours, again)


@pytest.mark.parametrize(("family", "y"), FAMILIES)
def test_experts_of_a_family_can_be_numbered_in_any_order(family, y, rng):
    assert has_capability(family, SupportsReordering)
    params = family.project(somewhere(family.init_params(N_EXPERTS, 3), rng))
    order = np.array([2, 0, 1])
    moved = family.reorder(params, order)
    assert_array_equal(family.log_prob(moved, DESIGN, y), family.log_prob(params, DESIGN, y)[order])
    assert_array_equal(family.mean(moved, DESIGN), family.mean(params, DESIGN)[order])
    assert family.penalty(moved) == pytest.approx(family.penalty(params), rel=1e-12)
    assert_params_equal(family.reorder(moved, np.argsort(order)), params)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_experts_of_a_gate_can_be_numbered_in_any_order(gate, rng):
    assert has_capability(gate, SupportsReordering)
    params = gate.project(somewhere(gate.init_params(N_EXPERTS, 3), rng))
    order = np.array([2, 0, 1])
    moved = gate.reorder(params, order)
    assert_allclose(gate.log_prob(moved, DESIGN), gate.log_prob(params, DESIGN)[order], rtol=1e-12)
    assert gate.penalty(moved) == pytest.approx(gate.penalty(params), rel=1e-12, abs=1e-12)
    assert_params_equal(gate.reorder(moved, np.argsort(order)), params)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_experts_of_an_average_are_reordered_within_each_start(gate, rng):
    averaged = AveragedGate(gate, None)
    starts = [gate.project(somewhere(gate.init_params(N_EXPERTS, 3), rng)) for _ in range(2)]
    order = np.array([2, 0, 1, 4, 5, 3])
    moved = averaged.reorder(AverageParams(tuple(starts)), order)
    before = averaged.log_prob(AverageParams(tuple(starts)), DESIGN)
    assert_allclose(averaged.log_prob(moved, DESIGN), before[order], rtol=1e-12)


def test_experts_with_families_of_their_own_keep_their_numbers():
    families = tuple(DISTRIBUTION_FAMILIES[name]() for name in ("poisson", "negative_binomial"))
    assert not has_capability(GeneralizedLinearExperts(families), SupportsReordering)


def assert_params_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)
