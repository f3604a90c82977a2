"""Families, experts and gates with what they are fitted to, for tests of their contracts."""

from typing import NamedTuple

import numpy as np

from skmoe.data import interval_censored
from skmoe.experts import (
    GeneralizedLinearExperts,
    JointNormalExperts,
    LinearExperts,
    LogisticExperts,
)
from skmoe.families import FAMILIES, LogNormal, Normal, Ordinal, StudentT
from skmoe.gates import GATES
from skmoe.protocols import Experts
from support.expert_kinds import GENERALIZED, example

N_ROWS, N_EXPERTS, N_COLUMNS = 40, 3, 4


class Scaling(NamedTuple):
    """How outputs have been standardised, as `fitted_to` is told."""

    center: np.ndarray
    scale: np.ndarray


class LinearMap(NamedTuple):
    """A change of units: slope * value + shift."""

    slope: np.ndarray
    shift: np.ndarray


def no_scaling(n_outputs=1):
    return Scaling(np.zeros(n_outputs), np.ones(n_outputs))


def _rows():
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(N_ROWS, N_COLUMNS - 1)), np.ones(N_ROWS)])
    weight = rng.uniform(0.5, 2.0, size=N_ROWS)
    return design, weight, rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T * weight


DESIGN, WEIGHT, RESP = _rows()

# --- families ---


def example_target(family, rng, n_rows=N_ROWS):
    """A target (1, n) that a fitted family can have."""
    if family.name == "ordinal" and family.values:
        return rng.choice(family.values, size=(1, n_rows))
    return family.example_target(rng, n_rows)


def _fitted_families():
    chosen = {name: example(name) for name in FAMILIES} | {"student_t, df=4": StudentT(df=4)}
    for values in [(0.0, 1.0), (-3.0, 0.5, 4.0), (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)]:
        chosen[f"ordinal, {len(values)} values"] = Ordinal(values)
    for name, family in chosen.items():
        y = example_target(family, np.random.default_rng(0))
        yield name, family.fitted_to(y, np.ones(N_ROWS), no_scaling())


# Each registered family, and some with options, fitted to an example of its target.
FITTED_FAMILIES = dict(_fitted_families())
WITH_PREDICTOR = [name for name, family in FITTED_FAMILIES.items() if family.link]

# --- experts ---

# Families of the experts of a list, all of which can have positive counts. The scale of a family
# is not always the first dispersion of its list, nor the first family one with a predictor.
LISTS = [
    ("poisson", "negative_binomial", "poisson"),
    ("negative_binomial", "student_t", "normal"),
    ("gamma", "zero", "lognormal"),
    ("zero", "gamma", "lognormal"),
    ("normal", "uniform", "student_t"),
    ("poisson", "one", "negative_binomial"),
    ("gamma", "tweedie", "weibull"),
    ("uniform", "zero", "normal"),
    ("never", "weibull", "lognormal"),
]
# Slopes of the second column that all experts share; and slopes that some experts lack or share.
SHARED = ((0, 0, 0), (1, 0, 1), (2, 0, 2))
OF_SOME = ((0, 0, -1), (1, -1, 1), (2, 0, 1))
PRIOR = {"alpha": 0.7, "dispersion_prior": 4.0}
OF_DISPERSION = {"dispersion_columns": (0, 2), "dispersion_alpha": 1.7}


def with_intervals(y, rng):
    """A target of which a third each is exact, right-censored, and in an interval."""
    kind, width = rng.integers(0, 3, size=y.shape), np.where(y < 1.0, 0.5 * (1.0 - y), 1.0)
    return interval_censored(y, np.where(kind == 0, y, np.where(kind == 1, np.inf, y + width)))


def generalized(names, n_outputs=1, *, censored=False, **options):
    """Experts of one family or of a list, and a target that each of them may have generated."""
    families = tuple(example(name) for name in names)
    rng = np.random.default_rng(1)
    if len(families) > 1:
        y = rng.poisson(2.0, size=(1, N_ROWS)) + 1.0
    else:
        y = np.concatenate([families[0].example_target(rng, N_ROWS) for _ in range(n_outputs)])
    if censored:
        y = with_intervals(y, rng)
    scales = {"noise_variance": (0.8, 1.3)[: len(y)], "variance_floor": (1e-6, 1e-6)[: len(y)]}
    experts = GeneralizedLinearExperts(families, **PRIOR | scales | options)
    return experts.fitted_to(DESIGN, y, WEIGHT, no_scaling(len(y))), y


# Families with no dispersion, with one that is no scale, with a scale beside which the mean is
# not the inverse link, with two dispersions, and with one output only.
WITH_ALL_OPTIONS = ["poisson", "negative_binomial", "weibull", "student_t", "ordinal"]


def _experts():
    for name in GENERALIZED:
        yield name, generalized([name])
        two_outputs = not example(name).obstacle(np.array([[1.0, 2.0]] * 2))
        if name in WITH_ALL_OPTIONS:  # the family is asked for nothing more
            yield f"{name}, shared slopes", generalized([name], slopes=SHARED)
            yield f"{name}, slopes of some", generalized([name], slopes=OF_SOME)
            yield f"{name}, signs", generalized([name], signs=(1, -1, 0))
            if example(name).dispersions:
                yield f"{name}, shared dispersions", generalized([name], shared_dispersion=True)
        if example(name).takes_bounds:
            yield f"{name}, censored", generalized([name], censored=True)
        if example(name).has_dispersion:
            options = OF_DISPERSION | {"n_outputs": 1 + two_outputs}
            yield f"{name}, dispersion features", generalized([name], **options)
            options["shared_dispersion"] = True
            if name in WITH_ALL_OPTIONS:
                yield f"{name}, shared dispersion features", generalized([name], **options)
            if name in ("weibull", "student_t"):
                options = OF_DISPERSION | {"censored": True}
                yield f"{name}, censored, dispersion features", generalized([name], **options)
        if two_outputs and name in WITH_ALL_OPTIONS:
            yield f"{name}, two outputs", generalized([name], n_outputs=2)
    # Those of constant noise are `LinearExperts`.
    of_two = OF_DISPERSION | {"n_outputs": 2}
    yield "normal, dispersion features", generalized(["normal"], **of_two)
    for i, names in enumerate(LISTS):
        yield ", ".join(names), generalized(names)
        # Each family by itself has censored cases, which take long.
        if i % 6 == 2 and all(example(name).takes_bounds for name in names):
            yield f"{', '.join(names)}, censored", generalized(names, censored=True)
        yield f"{', '.join(names)}, dispersion features", generalized(names, **OF_DISPERSION)
        if i % 2:
            both = generalized(names, slopes=SHARED, signs=(1, -1, 0))
            yield f"{', '.join(names)}, signs and shared slopes", both
        else:
            yield f"{', '.join(names)}, shared slopes", generalized(names, slopes=SHARED)
    Y = np.random.default_rng(2).normal(size=(2, N_ROWS))
    scales = {"noise_variance": (0.8, 1.3), "variance_floor": (1e-6, 1e-6)}
    for shared in (False, True):
        linear = LinearExperts(shared_dispersion=shared, **PRIOR, **scales)
        yield f"linear, two outputs{', shared dispersions' if shared else ''}", (linear, Y)
        signed = linear.with_options({"signs": (1, -1, 0)})
        yield f"linear, two outputs, signs{', shared dispersions' if shared else ''}", (signed, Y)
        for family, y in ((Normal(), np.vstack([Y, Y[0] - Y[1]])), (LogNormal(), np.exp(Y))):
            joint = JointNormalExperts(
                (family,),
                shared_dispersion=shared,
                **PRIOR,
                noise_variance=(0.8, 1.3, 1.0)[: len(y)],
                variance_floor=(1e-6,) * len(y),
            )
            name = f"joint {family.name}{', shared dispersions' if shared else ''}"
            yield name, (joint.fitted_to(DESIGN, y, WEIGHT, no_scaling(len(y))), y)
    for n_classes in (2, 3):
        codes = np.random.default_rng(n_classes).integers(0, n_classes, size=N_ROWS)
        for name, slopes in {"shared slopes": SHARED, "slopes of some": OF_SOME}.items():
            constrained = LogisticExperts(0.7, n_classes, slopes=slopes)
            yield f"{n_classes} classes, {name}", (constrained, codes)
        yield f"{n_classes} classes", (LogisticExperts(0.7, n_classes), codes)
        if n_classes == 2:
            yield "2 classes, signs", (LogisticExperts(0.7, n_classes, signs=(1, -1, 0)), codes)


# Experts with all their data, and a target of theirs, by name.
EXPERT_CASES = dict(_experts())

GATE_CASES = {
    name: gate(alpha=0.7) if "alpha" in gate().penalties else gate() for name, gate in GATES.items()
}


def somewhere(part, seed=0):
    """Valid parameters away from the start."""
    rng = np.random.default_rng(seed)
    start = part.init_params(N_EXPERTS, N_COLUMNS)
    fields = (field + 0.3 * rng.normal(size=field.shape) for field in start)
    params = part.project(type(start)(*fields))
    if isinstance(part, Experts):
        coef = params.coef.copy()
        holders = part.slope_holders(*coef.shape[::2])
        coef = np.moveaxis(coef[holders, :, np.arange(coef.shape[2])], 1, 2)
        coef[np.broadcast_to(holders[:, None] < 0, coef.shape)] = 0.0
        coef[without_predictor(part)] = 0.0
        if part.is_classifier:
            coef -= coef.mean(axis=1, keepdims=True)
        params = params._replace(coef=coef)
    return params


def without_predictor(experts):
    return np.array([experts.blocks_of(k)[0] is None for k in range(N_EXPERTS)])


def dispersions(experts, k=None):
    """Dispersions of an expert, or of any."""
    blocks = experts.blocks if k is None else experts.blocks_of(k)
    return [block for block in blocks if block is not None and not block.is_tested]


def scale_of(experts, params, k):
    """The scale of each output under expert k, (m,); one for a family without a scale."""
    if not has_scale(experts, k):
        return np.ones(params.coef.shape[1])
    place, *_ = experts.layout.positions(experts.families[k % len(experts.families)])
    return np.exp(params[1][k][:, place])


def covariance_of(experts, params, k):
    """The covariance of the outputs under expert k, (m, m); the identity without a scale."""
    if hasattr(params, "covariance"):
        return params.covariance[k]
    return np.diag(scale_of(experts, params, k))


def has_scale(experts, k):
    return not experts.is_classifier and experts.families[k % len(experts.families)].has_scale


def step_of(experts, params, y, resp=RESP, step=1.0, design=DESIGN):
    """Parameters after an M-step at the given responsibilities."""
    factor = experts.factorize(experts.hessian(params, design, y, resp))
    return experts.m_step(experts.statistics(params, design, y, resp), factor, params, step)


def expected_objective(experts, params, y, resp=RESP):
    """Expected log-likelihood less the penalty; rows that an expert cannot have do not count."""
    logs = experts.log_prob(params, DESIGN, y)
    return (resp * np.where(np.isfinite(logs), logs, 0.0)).sum() - experts.penalty(params)


def differences(function, at, step=1e-5):
    """Central differences of a function of a vector (P,), one row for each coordinate."""
    sides = [[function(at + sign * step * unit) for unit in np.eye(len(at))] for sign in (1, -1)]
    return (np.array(sides[0]) - np.array(sides[1])) / (2.0 * step)
