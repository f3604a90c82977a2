"""Validation of the constructor parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_real,
    is_integer,
)
from skmoe._data.folds import RowsToSplit, assign_folds
from skmoe._data.rows import RawFeatures
from skmoe._estimators.parameters.conflicts import check_conflicts, chosen_options
from skmoe._estimators.parameters.part_parameters import (
    check_estimator,
    check_length,
    name_of_density,
    resolve_experts,
    resolve_families,
    resolve_gate,
)
from skmoe._estimators.parameters.penalty_parameters import check_penalties, decided_penalties
from skmoe._estimators.parameters.slopes import is_for_each_expert
from skmoe._estimators.parameters.tasks import Task
from skmoe._mixture.evidence import Penalty
from skmoe._numerics.typing import Array
from skmoe.distributions._checks import check_random_state
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._mean_family import MeanFamily
from skmoe.protocols import Experts, Gate

# Largest number of pseudo-rows for each row: their sum over the rows is finite.
MAX_BALANCE = 1e100

# Default number of starts that run side by side, and of costly ones: of estimators as experts, or
# all of them to convergence.
N_STARTS = 8
N_COSTLY_STARTS = 4

# Largest number of starts, each of which has a seed, a callback task and a trace.
MAX_N_INIT = 10_000

# Noise of several outputs: independent given the expert, or with a covariance matrix.
COVARIANCES_OF_OUTPUTS = ("diag", "full")

# Tolerance on the sums of given initial responsibilities.
INIT_SUM_TOL = 1e-6


def check_cross_fit(value: Any) -> int | str | bool:
    """Validate a number of folds, "auto" or False."""
    if value is False or (isinstance(value, str) and value == "auto"):
        return value
    if is_integer(value) and int(value) >= 2:
        return int(value)
    raise ValueError(f'cross_fit must be "auto", False or an integer of at least 2; got {value!r}.')


# Adds folds to the features of experts that are estimators, given rows, `cross_fit` and a seed.
FoldAssignment = Callable[[RawFeatures, RowsToSplit, Any, int], RawFeatures]


class FitParameters(NamedTuple):
    """Validated constructor parameters."""

    task: Task
    n_experts: int
    expert: Any  # as given
    family_option: Any  # as given
    # Without parametric experts, names or estimators: one for all experts, or one for each.
    estimators: list[Any] | None
    mean_family: MeanFamily | None  # of estimators; None for normal noise
    gate: Gate
    alpha: float
    penalties: tuple[Penalty, ...]
    gate_features: Any
    expert_features: Any
    n_init: int
    max_iter: int
    tol: float
    cross_fit: int | str | bool | None
    top_k: int | None
    random_state: Any
    n_jobs: int | None
    family: Experts | None = None  # parametric experts, before estimates from the data
    base: Any = None
    shared_features: Any = None
    dispersion_features: Any = None
    monotonic_cst: Any = None
    init: Any = "auto"
    balance: float = 0.0
    warm_start: bool = False
    # The parameter that `expert` was given by, for messages.
    expert_parameter: str = "expert"
    # Of experts that are estimators: their folds, and their class.
    assign_folds: FoldAssignment = assign_folds
    estimator_experts: type[CrossFittedExperts] = CrossFittedExperts

    @property
    def uses_estimators(self) -> bool:
        """Whether the experts are scikit-learn estimators."""
        return self.family is None

    @property
    def density(self) -> Experts | MeanFamily | None:
        """What defines the values of y that are possible; None for normal noise of estimators."""
        return self.mean_family if self.family is None else self.family

    @property
    def family_name(self) -> str:
        """The parameter that chooses the conditional distribution of y, for messages."""
        return name_of_density(self.expert, self.family_option)

    @property
    def standardizes_target(self) -> bool:
        """Whether the experts are fitted to a standardised target."""
        return self.family is not None and self.family.standardizes_target

    def seed(self) -> int:
        """A seed drawn from `random_state`; a given generator is advanced by each call."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))


def validate_parameters(
    estimator: Any, task: Task, default_alphas: tuple[float, float]
) -> FitParameters:
    """Validate the constructor parameters.

    `default_alphas` are the default values of `alpha` without and with a base model.
    """
    n_experts = check_integer("n_experts", estimator.n_experts, least=1)
    penalties = check_penalties(estimator, default_alphas)
    alpha = penalties["alpha"].value
    warm_start = check_flag("warm_start", estimator.warm_start)
    of_experts = [penalty for penalty in penalties.values() if penalty.part == "experts"]
    options = {penalty.fields[0]: penalty.value for penalty in of_experts} | task.family_options()
    if hasattr(estimator, "covariance_type"):
        options["covariance_type"] = check_choice(
            "covariance_type", estimator.covariance_type, COVARIANCES_OF_OUTPUTS
        )
    shared_features = getattr(estimator, "shared_features", None)
    dispersion_features = getattr(estimator, "dispersion_features", None)
    families = resolve_families(getattr(estimator, "family", "normal"), n_experts)
    check_conflicts(chosen_options(estimator, families))
    is_for_each = is_for_each_expert(estimator.expert_features)
    if is_for_each:
        check_length("expert_features", estimator.expert_features, n_experts)
    own_slopes = shared_features is None and not is_for_each
    family, estimators, mean_family = resolve_experts(
        estimator.expert,
        families,
        n_experts,
        task,
        options,
        is_plain=own_slopes and dispersion_features is None,
    )
    n_init = check_n_init(estimator, n_experts, uses_estimators=bool(estimators))
    cross_fit = check_cross_fit(estimator.cross_fit)
    if estimator.base is not None:
        check_estimator("base", estimator.base, task.name)
    return FitParameters(
        **shared_parameters(estimator, n_experts, penalties, family),
        task=task,
        expert=estimator.expert,
        family=family,
        estimators=estimators,
        mean_family=mean_family,
        base=estimator.base,
        alpha=alpha,
        shared_features=shared_features,
        dispersion_features=dispersion_features,
        monotonic_cst=estimator.monotonic_cst,
        n_init=n_init,
        init=estimator.init,
        cross_fit=cross_fit,
        balance=check_real("balance", estimator.balance, most=MAX_BALANCE),
        warm_start=warm_start,
    )


def shared_parameters(
    estimator: Any, n_experts: int, penalties: dict[str, Penalty], family: Experts | None
) -> dict[str, Any]:
    """The validated parameters that mixtures and stacks have in common."""
    check_verbose(estimator.verbose)
    check_random_state(estimator.random_state)
    top_k = estimator.top_k
    if top_k is not None and check_integer("top_k", top_k, least=1) > n_experts:
        raise ValueError(
            f"top_k must not exceed n_experts={n_experts}; got {top_k}. Use None for all experts."
        )
    return {
        "n_experts": n_experts,
        "family_option": getattr(estimator, "family", "normal"),
        "gate": resolve_gate(estimator.gate, penalties["gate_alpha"], n_experts),
        "penalties": decided_penalties(penalties, estimator, n_experts, family),
        "gate_features": estimator.gate_features,
        "expert_features": estimator.expert_features,
        "max_iter": check_integer("max_iter", estimator.max_iter, least=1),
        "tol": check_real("tol", estimator.tol),
        "top_k": None if top_k is None else int(top_k),
        "random_state": estimator.random_state,
        "n_jobs": check_n_jobs(estimator.n_jobs),
    }


def options_of_number(estimator: Any, number: int) -> dict[str, Any]:
    """Parameters of an estimator in a fit of one of the numbers of experts that are compared."""
    top_k = estimator.top_k
    top_k = None if top_k is None else min(check_integer("top_k", top_k, least=1), number)
    return {"n_experts": number, "top_k": top_k}


def check_verbose(value: Any) -> int:
    """Validate a verbosity level; booleans count as 0 and 1."""
    return check_integer("verbose", int(value) if isinstance(value, bool) else value, least=0)


def check_n_init(estimator: Any, n_experts: int, *, uses_estimators: bool) -> int:
    """Validate the number of starts, or of searches with init="search"."""
    value = estimator.n_init
    if not isinstance(value, str):
        return check_integer("n_init", value, least=1, most=MAX_N_INIT)
    check_choice("n_init", value, ["auto"])
    if n_experts == 1:
        return 1
    if isinstance(estimator.init, str) and estimator.init == "search" and not uses_estimators:
        return 1
    return N_COSTLY_STARTS if uses_estimators else N_STARTS


def check_init(init: Any, names: Sequence[str], n_rows: int, n_experts: int) -> str | Array:
    """Validate the name of an initialisation, or responsibilities (n, K) that sum to one."""
    if isinstance(init, str):
        return check_choice("init", init, ["auto", *names])
    try:
        resp = np.array(init, dtype=np.float64)
    except (TypeError, ValueError):
        resp = np.empty(0)
    if resp.ndim == 0 or resp.size == 0:
        raise ValueError(
            f"init must be one of {sorted(['auto', *names])} or an array of responsibilities of "
            f"shape (n_samples, n_experts); got {init!r}."
        )
    check_probabilities("init as an array", resp, n_rows, n_experts)
    return resp


def check_probabilities(name: str, values: Array, n_rows: int, n_experts: int) -> None:
    """Probabilities of the experts (n, K) must sum to one in each row."""
    if values.shape != (n_rows, n_experts):
        raise ValueError(
            f"{name} must have shape (n_samples, n_experts) = {(n_rows, n_experts)}; got shape "
            f"{values.shape}. Pass one row for each row of X, and one column for each expert."
        )
    with np.errstate(invalid="ignore"):  # of infinities, which are refused
        sums = values.sum(axis=1)
    is_valid = (values >= 0.0).all(axis=1) & (np.abs(sums - 1.0) <= INIT_SUM_TOL)
    if not is_valid.all():
        row = int(is_valid.argmin())
        raise ValueError(
            f"{name} must hold finite, non-negative numbers that sum to 1 in each row; row {row} "
            f"holds {values[row].tolist()} with the sum {sums[row]:g}. Divide each row by its sum."
        )
