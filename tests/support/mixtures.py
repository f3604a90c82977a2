"""Mixtures with rows and coefficients, one for each way in which they can differ."""

from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset, RawFeatures, split_into_blocks
from skmoe._data.units import make_units
from skmoe._mixture.em import Objective, fitted_to
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe._numerics.linalg import OffsetDesign
from skmoe.data import interval_censored
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from support.expert_kinds import GENERALIZED, example, example_target
from support.families import no_scaling
from support.heteroscedastic import HeteroscedasticExperts
from support.own_parts import Logits, ReferenceGate, Regression

N_ROWS, N_EXPERTS, N_FEATURES = 60, 3, 3

# Slopes of the second column that all experts share; and slopes that some experts lack or share.
SHARED = ((0, 0, 0), (1, 0, 1), (2, 0, 2))
OF_SOME = ((0, 0, -1), (1, -1, 1), (2, 0, 1))
SIGNS = (1, -1, 0)
OF_DISPERSION = (0, 2)

# Families of the experts of a list, all of which can have positive counts.
LISTS = (
    ("poisson", "negative_binomial", "poisson"),
    ("negative_binomial", "student_t", "normal"),
    ("zero", "gamma", "lognormal"),
    ("uniform", "zero", "normal"),
    ("gamma", "tweedie", "weibull"),
)


class Case(NamedTuple):
    """A mixture, its rows, and a vector of coefficients away from any maximum."""

    mixture: Mixture
    rows: Dataset
    theta: np.ndarray

    def blocks(self, size=None):
        return blocks_of(self.mixture, self.rows, size)

    @property
    def objective(self):
        return Objective(self.mixture, self.blocks(), n_rows=self.rows.n_rows)


def blocks_of(mixture, rows, size=None):
    """Blocks of at most `size` rows."""
    columns = mixture.experts.dispersion_columns
    return [Data(block, columns) for block in split_into_blocks(rows, size)]


def rows_of(y, design=None, n_rows=N_ROWS, **fields):
    rng = np.random.default_rng(0)
    if design is None:
        X = rng.normal(size=(n_rows, N_FEATURES))
        design = np.asfortranarray(np.column_stack([X, np.ones(n_rows)]))
    weight = rng.uniform(0.5, 2.0, size=design.shape[0])
    return Dataset(design, design, y, weight)._replace(**fields)


def raw_data(X, y, fold=None):
    """Rows with features for experts that are estimators, and perhaps the fold of each."""
    return Data(Dataset(np.ones((len(X), 1)), RawFeatures(X, fold), y, np.ones(len(X))))


def with_offset(rows, offset):
    """Rows with an offset of the predictors of the means."""
    return rows._replace(expert_design=OffsetDesign(rows.expert_design, offset))


def _target(names, n_outputs, censored, n_rows=N_ROWS):
    rng = np.random.default_rng(1)
    if len(names) > 1:
        y = rng.poisson(2.0, size=(1, n_rows)) + 1.0
    else:
        family = example(names[0])
        y = np.concatenate([example_target(family, rng, n_rows) for _ in range(n_outputs)])
    if not censored:
        return y
    kind, width = rng.integers(0, 3, size=y.shape), np.where(y < 1.0, 0.5 * (1.0 - y), 1.0)
    return interval_censored(y, np.where(kind == 0, y, np.where(kind == 1, np.inf, y + width)))


def linear(
    *names,
    n_outputs=1,
    censored=False,
    own=None,
    gate=None,
    rows=None,
    n_experts=N_EXPERTS,
    alpha=0.7,
    mixture=None,
    **options,
):
    """A case of linear experts of one family, or of one for each expert."""
    y = _target(names, n_outputs, censored)
    experts = LinearExperts(
        tuple(example(name) for name in names),
        alpha,
        **{"dispersion_prior": 4.0, "dispersion_alpha": 1.7} | options,
    )
    estimates = {"noise_variance": (0.8, 1.3, 1.0)[: len(y)], "variance_floor": (1e-6,) * len(y)}
    return _case(experts, rows_of(y, **rows or {}), estimates, own, gate, n_experts, mixture)


def classes(n_classes, own=None, gate=None, rows=None, n_experts=N_EXPERTS, mixture=None):
    """A case of logistic experts."""
    y = np.random.default_rng(n_classes).integers(0, n_classes, size=N_ROWS)
    estimates = {"n_classes": n_classes}
    experts = LogisticExperts(0.7)
    return _case(experts, rows_of(y, **rows or {}), estimates, own, gate, n_experts, mixture)


def _case(experts, rows, estimates, own, gate, n_experts, options):
    scaling = no_scaling(len(np.atleast_2d(rows.y)))
    of_fit = experts.experts_of(rows, scaling, n_experts, estimates, own or {})
    gate = (gate or SoftmaxGate(0.9)).gate_of(n_experts, rows.gate_design.shape[1])
    mixture = Mixture(of_fit, gate, **options or {})
    theta = mixture.start
    theta = theta + 0.3 * np.random.default_rng(2).normal(size=len(theta))
    return Case(mixture, rows, mixture.projected(theta))


def in_units(case, size=3):
    """The same with rows of one expert, whose weights are not all the same."""
    units = make_units(np.arange(case.rows.n_rows) // size)
    weight = np.random.default_rng(3).uniform(0.5, 2.0, size=len(units.starts))
    rows = case.rows._replace(
        gate_design=case.rows.gate_design[units.starts], units=units._replace(weight=weight)
    )
    return case._replace(rows=rows)


def with_known(case, n_known=20):
    """The same with rows, or units, of which one or two experts are possible."""
    size = len(case.rows.gate_weight)
    possible = np.ones((case.mixture.n_experts, size), dtype=bool)
    index = np.arange(min(n_known, size // 2))
    possible[index % case.mixture.n_experts, index] = False
    possible[:2, index[::3]] = [[True], [False]]
    possible[2:, index[::3]] = False
    return case._replace(rows=case.rows._replace(possible=possible))


def with_offsets(case):
    """The same with an offset of each row."""
    offset = np.random.default_rng(4).normal(size=case.rows.n_rows)
    return case._replace(rows=with_offset(case.rows, offset))


def with_designs(case, change):
    """The same with other designs of gate and experts."""
    rows = case.rows
    design = change(rows.expert_design)
    return case._replace(rows=rows._replace(gate_design=design, expert_design=design))


def sparse_case(case):
    """The same with a third of the features, in sparse designs."""

    def third(design):
        kept = np.random.default_rng(5).random(design.shape) < 0.4
        kept[:, -1] = True
        return sparse.csr_array(design * kept)

    return with_designs(case, third)


def _cases():
    yield "normal", lambda: linear("normal")
    yield "one expert", lambda: linear("normal", n_experts=1)
    yield "one output of three", lambda: linear("normal", n_outputs=3)
    for name in GENERALIZED:
        yield name, lambda name=name: linear(name)
    for names in LISTS:
        yield ", ".join(names), lambda names=names: linear(*names)
    yield "2 classes", lambda: classes(2)
    yield "4 classes", lambda: classes(4)
    yield "joint", lambda: linear("normal", n_outputs=3, covariance_type="full")
    yield "joint lognormal", lambda: linear("lognormal", n_outputs=2, covariance_type="full")
    for name in ("normal", "weibull", "student_t"):
        yield f"{name}, censored", lambda name=name: linear(name, censored=True)
    for name in ("normal", "poisson", "student_t"):
        own = {"slopes": OF_SOME, "signs": SIGNS}
        yield f"{name}, slopes and signs", lambda name=name, own=own: linear(name, own=own)
    yield "2 classes, shared slopes", lambda: classes(2, own={"slopes": SHARED})
    yield "3 classes, slopes of some", lambda: classes(3, own={"slopes": OF_SOME})
    yield "2 classes, signs", lambda: classes(2, own={"signs": SIGNS})
    yield "shared noise", lambda: linear("normal", n_outputs=2, shared_dispersion=True)
    yield (
        "shared covariance",
        lambda: linear("normal", n_outputs=2, covariance_type="full", shared_dispersion=True),
    )
    varying = {"dispersion_columns": OF_DISPERSION}
    for name in ("normal", "negative_binomial", "student_t"):
        yield (
            f"{name}, dispersion features",
            lambda name=name: linear(name, own=varying, shared_dispersion=name == "normal"),
        )
    yield (
        "weibull, censored, dispersion features",
        lambda: linear("weibull", own=varying, censored=True),
    )
    yield (
        "list, dispersion features and signs",
        lambda: linear("poisson", "gamma", "gamma", own=varying | {"signs": SIGNS}),
    )
    yield "constant gate", lambda: linear("gamma", gate=ConstantGate())
    yield "units", lambda: in_units(linear("normal"))
    yield "units of lists", lambda: in_units(linear("poisson", "negative_binomial", "poisson"))
    yield "units, constant gate", lambda: in_units(linear("poisson", gate=ConstantGate()))
    yield "known", lambda: with_known(linear("gamma"))
    yield "known units", lambda: with_known(in_units(linear("normal")))
    yield "offset", lambda: with_offsets(linear("poisson"))
    yield "sparse", lambda: sparse_case(linear("normal"))
    yield "balance", lambda: linear("normal", mixture={"balance": 0.4})
    yield "balance of units", lambda: in_units(linear("normal", mixture={"balance": 0.4}))
    yield "routing", lambda: linear("normal", mixture={"top_k": 2})


# Experts of users, with their numbers of classes.
OWN_EXPERTS = {
    "regression": (Regression(), 0),
    "second predictor": (HeteroscedasticExperts(), 0),
    "classes": (Logits(), 3),
}


def with_own_gate(case, gate):
    """The same with a gate of a user, at other coefficients."""
    experts, rows = case.mixture.experts, case.rows
    mixture = Mixture(experts, OwnGate(gate, experts.n_experts, rows.gate_design.shape[1]))
    change = np.random.default_rng(2).normal(size=len(mixture.first))
    theta = mixture.start + 0.3 * mixture.expanded(change)
    theta[: experts.size] = case.theta[: experts.size]
    return Case(mixture, rows, theta)


def own_experts(family, n_classes, gate=None):
    """A case of experts of a user."""
    given = classes(n_classes) if n_classes else linear("normal")
    experts = OwnExperts(family, N_EXPERTS, N_FEATURES + 1)
    mixture = given.mixture.with_parts(experts=experts)
    change = np.random.default_rng(2).normal(size=len(mixture.first))
    case = Case(mixture, given.rows, mixture.start + 0.3 * mixture.expanded(change))
    return case if gate is None else with_own_gate(case, gate)


def _cases_of_users():
    for name, (family, n_classes) in OWN_EXPERTS.items():
        of_case = partial(own_experts, family, n_classes)
        yield f"own {name}", of_case
        yield f"own {name}, own gate", partial(of_case, ReferenceGate())
        yield f"own {name}, own gate, units", lambda c=of_case: in_units(c(ReferenceGate()))
    yield "own gate", lambda: with_own_gate(linear("gamma"), ReferenceGate())


class Units:
    """A preprocessor that has changed no units."""

    log_n = 0.0  # of the values of which y is the mean

    def __init__(self, n_outputs):
        self.target_scaling = no_scaling(n_outputs)

    @staticmethod
    def expert_coefficients(values):
        return values[..., :-1], values[..., -1]


CASES = dict(_cases())
OF_USERS = dict(_cases_of_users())


@cache
def case(name):
    """A case by its name, which tests read only."""
    return (CASES | OF_USERS)[name]()


def taken(rows, index, weight=None):
    """Rows, or units, at an index, with other weights if given."""
    if rows.units is None and weight is not None:
        return rows.take(index)._replace(weight=weight)
    return rows.take(index, 1.0 if weight is None else weight)


def log_likelihood(mixture, theta, blocks):
    """Penalised log-likelihood at vectors (S, D)."""
    total = mixture.e_step(theta, blocks, curvature=False)
    return total.log_likelihood - mixture.penalty(theta)


def started(case, n_steps=3):
    """Coefficients after steps to responsibilities by the first feature, and a little of y."""
    mixture, rows = case.mixture, case.rows
    gate = rows.gate_design
    first = np.asarray(gate[:, [0]].todense() if sparse.issparse(gate) else gate[:, [0]])[:, 0]
    ranks = np.argsort(np.argsort(first)) * mixture.n_experts // len(first)
    resp = 0.8 * (np.arange(mixture.n_experts)[:, None] == ranks) + 0.2 / mixture.n_experts
    if rows.possible is not None:
        resp = resp * rows.possible / (resp * rows.possible).sum(axis=0)
    of_experts = rows.row_responsibilities(resp)
    if not mixture.own:
        of_experts = of_experts * mixture.experts.support(rows.y)
    return steps_to(case, resp, of_experts, n_steps)


def steps_to(case, resp, of_experts, n_steps):
    """Coefficients after steps to responsibilities of the gate's rows and of the experts' rows."""
    theta = case.mixture.start[None]
    return fitted_to(case.objective, theta, of_experts[:, None], resp[:, None], n_steps)[0]


def gradient(function, at, directions, step=1e-5):
    """Central differences of a function of vectors (S, D) in some directions."""
    forward, backward = function(at + step * directions), function(at - step * directions)
    return (forward - backward) / (2.0 * step)
