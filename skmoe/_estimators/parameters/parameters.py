"""Validation of the constructor parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_real,
)
from skmoe._data.folds import RowsToSplit, assign_folds
from skmoe._data.rows import RawFeatures
from skmoe._data.units import GATE_AGGREGATES
from skmoe._estimators.parameters.part_parameters import (
    check_base,
    check_out_of_bag,
    name_of_density,
    resolve_experts,
    resolve_gate,
)
from skmoe._estimators.parameters.penalty_parameters import check_penalties, decided_penalties
from skmoe._estimators.parameters.tasks import Task
from skmoe._mixture.model import Penalty
from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_random_state
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._cross_fitted_families import CrossFittedFamilyExperts
from skmoe.experts._mean_family import MeanFamily
from skmoe.protocols import Experts, Gate

# Values of `n_experts` that select the number, and the minimum number of rows for it (their total
# weight), in total and per expert.
N_EXPERTS_CRITERIA = ("auto", "aic", "bic", "icl")
MIN_ROWS_FOR_SELECTION = 20
MIN_ROWS_PER_EXPERT = 10

# Largest number of pseudo-rows for each row: their sum over the rows is finite.
MAX_BALANCE = 1e100

# Default number of starts that run side by side, and of costly ones: of estimators as experts, or
# all of them to convergence.
N_STARTS = 20
N_COSTLY_STARTS = 4

# Largest number of starts, each of which has a seed, a callback task and a trace.
MAX_N_INIT = 10_000

# Tolerance on the sums of given initial responsibilities.
INIT_SUM_TOL = 1e-6


def check_cross_fit(value: Any) -> int | str | bool:
    """Validate a number of folds, "auto", "oob" or False."""
    if value is False or (isinstance(value, str) and value in ("auto", "oob")):
        return value
    is_integer = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if is_integer and int(value) >= 2:
        return int(value)
    raise ValueError(
        f'cross_fit must be "auto", "oob", False or an integer of at least 2; got {value!r}.'
    )


def check_metadata_used(metadata: Mapping[str, Any], params: FitParameters) -> None:
    """Metadata need experts that are estimators; groups need cross-fitted experts or a base."""
    parametric, has_base = params.family is not None, params.base is not None
    if not parametric and not all(isinstance(expert, str) for expert in params.estimators or ()):
        return
    unused = [name for name in metadata if name != "groups" or (parametric and not has_base)]
    if unused:
        what = "experts that are given by name"
        if parametric:
            name = f'"{params.expert}"' if isinstance(params.expert, str) else repr(params.expert)
            what = f"expert={name}"
        takes = "takes" if parametric else "take"
        reason, remedy = f"{what} {takes} no metadata", "use estimators as experts"
        if unused == ["groups"]:
            reason = f"they keep rows of a group in one fold, and {what} {takes} no folds"
            remedy = 'use them with n_experts="auto", a base or estimators as experts'
        raise ValueError(
            f"{', '.join(unused)} cannot be used: {reason}. Leave it out, or {remedy}."
        )


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
    gate_aggregate: str | None
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
    init: Any = "auto"
    balance: float = 0.0
    warm_start: bool = False
    # The parameter that `expert` was given by, for messages.
    expert_parameter: str = "expert"
    # Of experts that are estimators: their folds, and their classes for normal noise and a family.
    assign_folds: FoldAssignment = assign_folds
    estimator_experts: tuple[type[CrossFittedExperts], type[CrossFittedFamilyExperts]] = (
        CrossFittedExperts,
        CrossFittedFamilyExperts,
    )

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
    if estimator.max_n_experts is not None:
        check_integer("max_n_experts", estimator.max_n_experts, least=1)
    penalties = check_penalties(estimator, default_alphas)
    alpha = penalties["alpha"].value
    warm_start = check_flag("warm_start", estimator.warm_start)
    check_verbose(estimator.verbose)
    check_random_state(estimator.random_state)
    of_experts = [penalty for penalty in penalties.values() if penalty.part == "experts"]
    options = {penalty.fields[0]: penalty.value for penalty in of_experts} | task.family_options()
    family_option = getattr(estimator, "family", "normal")
    shared_features = getattr(estimator, "shared_features", None)
    family, estimators, mean_family = resolve_experts(
        estimator.expert, family_option, n_experts, task, options, shared_features
    )
    n_init = check_n_init(estimator, uses_estimators=bool(estimators))
    check_combine(estimator.combine, n_init, estimator.init, warm_start)
    cross_fit = check_cross_fit(estimator.cross_fit)
    check_out_of_bag(cross_fit, estimators)
    check_base(estimator.base, task.name, family, mean_family)
    return FitParameters(
        task=task,
        n_experts=n_experts,
        expert=estimator.expert,
        family_option=family_option,
        family=family,
        estimators=estimators,
        mean_family=mean_family,
        gate=resolve_gate(estimator.gate, penalties["gate_alpha"], n_experts),
        base=estimator.base,
        alpha=alpha,
        penalties=decided_penalties(penalties, estimator, n_experts, family),
        gate_features=estimator.gate_features,
        gate_aggregate=check_gate_aggregate(estimator.gate_aggregate),
        expert_features=estimator.expert_features,
        shared_features=shared_features,
        n_init=n_init,
        init=estimator.init,
        max_iter=check_integer("max_iter", estimator.max_iter, least=1),
        tol=check_real("tol", estimator.tol),
        cross_fit=cross_fit,
        top_k=check_top_k(estimator.top_k, n_experts),
        balance=check_real("balance", estimator.balance, most=MAX_BALANCE),
        warm_start=warm_start,
        random_state=estimator.random_state,
        n_jobs=check_n_jobs(estimator.n_jobs),
    )


def check_gate_aggregate(value: Any) -> str | None:
    """Validate how the gate's features are reduced to one row for each unit."""
    if value is None or (isinstance(value, str) and value in GATE_AGGREGATES):
        return value
    raise ValueError(
        f'gate_aggregate must be None, "mean" or "first"; got {value!r}. None needs features that '
        "are constant within each unit."
    )


def check_verbose(value: Any) -> int:
    """Validate a verbosity level; booleans count as 0 and 1."""
    return check_integer("verbose", int(value) if isinstance(value, bool) else value, least=0)


def check_top_k(value: Any, n_experts: int) -> int | None:
    """Validate a maximum number of experts for each row, or None."""
    if value is None:
        return None
    top_k = check_integer("top_k", value, least=1)
    if top_k > n_experts:
        raise ValueError(
            f"top_k must not exceed n_experts={n_experts}; got {top_k}. Use None for all experts."
        )
    return top_k


def check_n_experts_selection(estimator: Any) -> None:
    """Check that n_experts can be selected with the other parameters."""
    value = estimator.n_experts
    if value not in N_EXPERTS_CRITERIA:
        raise ValueError(
            f"n_experts must be an integer of at least 1 or one of {list(N_EXPERTS_CRITERIA)}; got "
            f"{value!r}."
        )
    of_each = "a list has one entry for each expert"
    compare = " To select a list, fit several lists, and compare their bic."
    for name, is_unsupported, reason, remedy in (
        (
            "family",
            isinstance(getattr(estimator, "family", None), list | tuple),
            of_each,
            compare,
        ),
        ("expert", isinstance(estimator.expert, list | tuple), of_each, compare),
        ("init", not isinstance(estimator.init, str), "responsibilities are of a given number", ""),
        ("warm_start", bool(estimator.warm_start), "it continues with the previous number", ""),
    ):
        if is_unsupported:
            raise ValueError(
                f'n_experts="{value}" cannot be chosen with this {name}: {reason}. Give n_experts '
                f"as an integer, or leave {name} at its default.{remedy}"
            )


def max_selected_n_experts(criterion: str, n_rows: float) -> int:
    """The largest number of experts to try; `n_rows` is the total weight of the rows."""
    if n_rows < MIN_ROWS_FOR_SELECTION:
        raise ValueError(
            f'n_experts="{criterion}" needs at least {MIN_ROWS_FOR_SELECTION} rows, counted by '
            f"their weights; got {n_rows:g}. Give n_experts as an integer, or, if the weights are "
            "relative, weights with a mean of one."
        )
    return int(n_rows // MIN_ROWS_PER_EXPERT)


def check_n_init(estimator: Any, *, uses_estimators: bool) -> int:
    """Validate the number of starts, or of searches with init="search"."""
    value = estimator.n_init
    if not isinstance(value, str):
        return check_integer("n_init", value, least=1, most=MAX_N_INIT)
    check_choice("n_init", value, ["auto"])
    if isinstance(estimator.init, str) and estimator.init == "search" and not uses_estimators:
        return 1
    return N_COSTLY_STARTS if uses_estimators or estimator.combine != "best" else N_STARTS


def check_combine(value: Any, n_init: int, init: Any, warm_start: bool) -> str:
    """Validate how starts are combined; an average needs several different starts."""
    check_choice("combine", value, ("best", "best_converged", "average"))
    if value == "average":
        if n_init == 1:
            raise ValueError(
                'combine="average" averages over starts, of which n_init=1 makes only one. Use '
                'n_init of at least 2, or combine="best".'
            )
        if not isinstance(init, str):
            raise ValueError(
                'combine="average" needs starts that differ, so a named init such as "auto"; got '
                'an array. Use a named init, or combine="best".'
            )
        if warm_start:
            raise ValueError(
                'combine="average" does not continue a previous fit: warm_start must be False. Use '
                'warm_start=False, or combine="best".'
            )
    return str(value)


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
    if resp.shape != (n_rows, n_experts):
        raise ValueError(
            f"init as an array must have shape (n_samples, n_experts) = {(n_rows, n_experts)}; "
            f"got {resp.shape}."
        )
    if not np.isfinite(resp).all() or (resp < 0).any():
        raise ValueError("init as an array must hold finite, non-negative responsibilities.")
    sums = resp.sum(axis=1)
    worst = int(np.argmax(np.abs(sums - 1.0)))
    if abs(sums[worst] - 1.0) > INIT_SUM_TOL:
        raise ValueError(
            f"init as an array must have rows that sum to 1; row {worst} sums to "
            f"{sums[worst]:g}. Divide each row by its sum."
        )
    return resp
