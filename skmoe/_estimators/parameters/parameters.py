"""Validation of the constructor parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin

from skmoe._data.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_real,
    is_integer,
    shown,
)
from skmoe._data.folds import assign_folds
from skmoe._data.rows import RawFeatures
from skmoe._estimators.parameters.conflicts import check_conflicts, chosen_options
from skmoe._estimators.parameters.part_parameters import (
    DEFAULT_EXPERT,
    DEFAULT_GATE,
    check_estimator,
    check_length,
    name_of_density,
    resolve_experts,
    resolve_families,
    resolve_gate,
)
from skmoe._estimators.parameters.slopes import is_for_each_expert
from skmoe._estimators.parameters.tasks import Classification, Regression, Task
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.partitions import INITIALIZERS
from skmoe._numerics.typing import Array
from skmoe.distributions._checks import check_random_state
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._linear import LinearExperts, LogisticExperts
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import Family, Normal
from skmoe.gates._registry import GATES
from skmoe.gates._softmax import DEFAULT_GATE_ALPHA, SoftmaxGate
from skmoe.protocols import Experts, Gate

# Largest number of pseudo-rows for each row: their sum over the rows is finite.
MAX_BALANCE = 1e100

# Default number of starts that run side by side, and of costly ones: of estimators as experts, or
# all of them to convergence.
N_STARTS = 8
N_COSTLY_STARTS = 4

# Largest number of starts, each of which has a seed, a callback task and a trace.
MAX_N_INIT = 10_000

# Names of initialisations.
INITS = ["auto", "search", *INITIALIZERS]

# The family of the default.
NORMAL: tuple[Family, ...] = (Normal(),)

# Noise of several outputs: independent given the expert, or with a covariance matrix.
COVARIANCES_OF_OUTPUTS = ("diag", "full")

# Tolerance on the sums of given initial responsibilities.
INIT_SUM_TOL = 1e-6


def _check_cross_fit(_: str, value: Any) -> int | str | bool:
    """Validate a number of folds, "auto" or False."""
    if value is False or (isinstance(value, str) and value == "auto"):
        return value
    if is_integer(value) and int(value) >= 2:
        return int(value)
    raise ValueError(f'cross_fit must be "auto", False or an integer of at least 2; got {value!r}.')


def _check_init_name(name: str, init: Any) -> Any:
    """Validate the name of an initialisation; responsibilities are validated with the rows."""
    return check_choice(name, init, INITS) if isinstance(init, str) else init


# Adds folds to the features of experts that are estimators, given class codes, `cross_fit` and a
# seed.
FoldAssignment = Callable[[RawFeatures, Array | None, Any, int], RawFeatures]


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
    # Whether the experts are estimators of scikit-learn.
    uses_estimators: bool = True
    # What defines the values of y that are possible; None for normal noise of estimators.
    density: Experts | MeanFamily | None = None
    # Whether no parameter is an option in the table of conflicts.
    is_plain: bool = False
    # The parameter that `expert` was given by, for messages.
    expert_parameter: str = "expert"
    # Of experts that are estimators: their folds, and their class.
    assign_folds: FoldAssignment = assign_folds
    estimator_experts: type[CrossFittedExperts] = CrossFittedExperts

    @property
    def family_name(self) -> str:
        """The parameter that chooses the conditional distribution of y, for messages."""
        return name_of_density(self.expert, self.family_option)

    @property
    def standardizes_target(self) -> bool:
        """Whether the experts are fitted to a standardised target."""
        return self.family is not None and self.family.standardizes_target


# Parameters with simple rules: the default, which costs no check, and what validates others.
RULES: tuple[tuple[str, Any, Callable[[str, Any], Any]], ...] = (
    ("warm_start", False, check_flag),
    ("covariance_type", "diag", partial(check_choice, choices=COVARIANCES_OF_OUTPUTS)),
    ("dispersion", "per_expert", partial(check_choice, choices=("per_expert", "shared"))),
    ("init", "auto", _check_init_name),
    ("cross_fit", "auto", _check_cross_fit),
    ("balance", 0.0, partial(check_real, most=MAX_BALANCE)),
    ("verbose", 0, lambda name, value: check_verbose(value)),
    ("random_state", None, lambda name, value: check_random_state(value)),
    ("max_iter", 300, partial(check_integer, least=1)),
    ("tol", 1e-4, check_real),
    ("top_k", None, partial(check_integer, least=1)),
    ("n_jobs", None, lambda name, value: check_n_jobs(value)),
)

# Values of parameters that are none of the options in the table of conflicts.
WITHOUT_CONFLICT = {
    **{"expert": DEFAULT_EXPERT, "gate": DEFAULT_GATE, "family": "normal", "init": "auto"},
    **{"dispersion": "per_expert", "covariance_type": "diag", "warm_start": False},
    **dict.fromkeys(("base", "alpha", "top_k", "monotonic_cst", "class_weight"), None),
    **dict.fromkeys(("expert_features", "shared_features", "dispersion_features"), None),
}


def validate_parameters(estimator: Any, default_alphas: tuple[float, float]) -> FitParameters:
    """Validate the constructor parameters.

    `default_alphas` are the default values of `alpha` without and with a base model.
    """
    n_experts, expert = estimator.n_experts, estimator.expert
    if type(n_experts) is not int or n_experts < 1:
        n_experts = check_integer("n_experts", n_experts, least=1)
    penalties = check_penalties(estimator, default_alphas)
    option, families = getattr(estimator, "family", "normal"), NORMAL
    if not (isinstance(option, str) and option == "normal"):
        families = resolve_families(option, n_experts)
    given = [
        (getattr(estimator, name, default), default) for name, default in WITHOUT_CONFLICT.items()
    ]
    is_plain = all(
        value is default or (isinstance(value, str) and value == default)
        for value, default in given
    )
    if not is_plain:
        check_conflicts(chosen_options(estimator, families))
        if is_for_each_expert(estimator.expert_features):
            check_length("expert_features", estimator.expert_features, n_experts)
    shared = shared_parameters(estimator, n_experts, penalties)
    task, alpha = shared["task"], penalties["alpha"].value
    experts: Any = None
    estimators, mean_family = None, None
    if isinstance(expert, str) and expert == DEFAULT_EXPERT:
        experts = LogisticExperts(alpha)
        if not task.is_classification:
            experts = LinearExperts(
                families,
                alpha,
                task.shared_dispersion,
                task.dispersion_prior,
                penalties["dispersion_alpha"].value,
                estimator.covariance_type,
            )
    else:
        options = {p.fields[0]: p.value for p in penalties.values() if p.part == "experts"}
        if not task.is_classification:
            options["shared_dispersion"] = task.shared_dispersion
            options["covariance_type"] = estimator.covariance_type
        dispersion_features = getattr(estimator, "dispersion_features", None)
        has_plain_slopes = (
            estimator.shared_features is None
            and dispersion_features is None
            and not is_for_each_expert(estimator.expert_features)
        )
        experts, estimators, mean_family = resolve_experts(
            expert, families, n_experts, task, options, is_plain=has_plain_slopes
        )
    if estimator.base is not None:
        check_estimator("base", estimator.base, task.name)
    n_init = estimator.n_init
    if not isinstance(n_init, str):
        n_init = check_integer("n_init", n_init, least=1, most=MAX_N_INIT)
    elif n_init != "auto":
        check_choice("n_init", n_init, ["auto"])
    elif estimators is not None:
        n_init = N_COSTLY_STARTS if n_experts > 1 else 1
    else:
        is_search = isinstance(estimator.init, str) and estimator.init == "search"
        n_init = 1 if is_search or n_experts == 1 else N_STARTS
    return FitParameters(
        **shared,
        penalties=decided_penalties(penalties, estimator, n_experts, experts),
        expert=expert,
        family=experts,
        density=mean_family if experts is None else experts,
        uses_estimators=experts is None,
        estimators=estimators,
        mean_family=mean_family,
        base=estimator.base,
        alpha=alpha,
        shared_features=estimator.shared_features,
        dispersion_features=getattr(estimator, "dispersion_features", None),
        monotonic_cst=estimator.monotonic_cst,
        n_init=n_init,
        is_plain=is_plain,
    )


def shared_parameters(
    estimator: Any, n_experts: int, penalties: dict[str, Penalty]
) -> dict[str, Any]:
    """The validated parameters that mixtures and stacks have in common, by a table of rules."""
    values = {}
    for name, default, rule in RULES:
        value = values[name] = getattr(estimator, name, default)
        if value is not default and (type(value) is not type(default) or value != default):
            values[name] = rule(name, value)
    if values["top_k"] is not None and values["top_k"] > n_experts:
        raise ValueError(
            f"top_k must not exceed n_experts={n_experts}; got {estimator.top_k}. Use None for "
            "all experts."
        )
    if isinstance(estimator, ClassifierMixin):
        task: Task = Classification(estimator.class_weight)
    else:
        is_shared = estimator.dispersion == "shared"
        task = Regression(is_shared, penalties["dispersion_prior"].value)
    gate, gate_alpha = estimator.gate, penalties["gate_alpha"]
    if isinstance(gate, str) and gate == DEFAULT_GATE and n_experts > 1:
        gate = SoftmaxGate(gate_alpha.value)
    else:
        gate = resolve_gate(gate, gate_alpha, n_experts)
    names = "cross_fit", "balance", "init", "warm_start", "max_iter", "tol", "top_k", "n_jobs"
    return {name: values[name] for name in names} | {
        "task": task,
        "n_experts": n_experts,
        "family_option": getattr(estimator, "family", "normal"),
        "gate": gate,
        "gate_features": estimator.gate_features,
        "expert_features": estimator.expert_features,
        "random_state": estimator.random_state,
    }


# --- penalties: given numbers, or found by the evidence ---------------------------------------

# Kinds of search: for one number, and for one number for each feature.
SEARCHES = ("auto", "ard")

# Search of a penalty that is not given: "auto", or none if gate or experts have no need of it.
DEFAULT_SEARCH = "default"


class PenaltyParameter(NamedTuple):
    """A parameter of estimators that is a penalty."""

    part: str  # gate or experts
    fields: tuple[str, ...]  # of the part, that have the penalty
    default: float | None  # where a search starts, and near which it stays; None: the estimator's
    searches: tuple[str, ...]


# In the order in which a fit stores the searches.
PENALTIES = {
    "gate_alpha": PenaltyParameter("gate", ("alpha",), DEFAULT_GATE_ALPHA, SEARCHES),
    "alpha": PenaltyParameter("experts", ("alpha", "predictor_squares"), None, SEARCHES),
    "dispersion_alpha": PenaltyParameter("experts", ("dispersion_alpha",), 1.0, SEARCHES[:1]),
    "dispersion_prior": PenaltyParameter(
        "experts", ("dispersion_prior", "noise_variance"), 10.0, SEARCHES[:1]
    ),
}


def check_penalties(estimator: Any, default_alphas: tuple[float, float]) -> dict[str, Penalty]:
    """Penalties by parameter: None for the default, the name of a search, or a number from zero.

    `default_alphas` are those of `alpha` without and with a base. Which penalties are found depends
    on gate and experts, by `decided_penalties`.
    """
    alpha = default_alphas[getattr(estimator, "base", None) is not None]
    penalties = {}
    for name, (part, fields, default, searches) in PENALTIES.items():
        value = getattr(estimator, name, 0.0)  # a classifier has no dispersions
        number = alpha if default is None else default
        search = DEFAULT_SEARCH if value is None else ""
        if isinstance(value, str):
            search = value
            if value not in searches:
                names = " or ".join(f'"{one}"' for one in searches)
                raise ValueError(
                    f"{name} must be {names}, or a number of at least 0; got {shown(value)}."
                )
        elif value is not None:
            number = check_real(name, value)
        penalties[name] = Penalty(part, fields, number, search)
    return penalties


def decided_penalties(
    penalties: dict[str, Penalty], estimator: Any, n_experts: int, family: Experts | None
) -> tuple[Penalty, ...]:
    """The penalties with the searches that are made; ValueError if one is not possible.

    `family` are its parametric experts, and its gate is valid; a single expert has no gate. Experts
    that are objects have a penalty of their own, and so have gates with a number, unless the search
    is explicit. By default there is a search with parametric experts that have no base.
    """
    is_named = isinstance(estimator.gate, str)
    gate = GATES.get(estimator.gate) if is_named else estimator.gate
    is_open = is_named or estimator.gate.has_open_penalty
    of_mixture, expert = hasattr(estimator, "expert"), getattr(estimator, "expert", None)
    entries = expert if isinstance(expert, list | tuple) else [expert]
    experts = family if all(isinstance(entry, str) for entry in entries) else None
    without_base = experts is not None and estimator.base is None
    decided = []
    has_dispersion_slopes = getattr(estimator, "dispersion_features", None) is not None
    for name, penalty in penalties.items():
        if name == "dispersion_alpha" and not has_dispersion_slopes:
            continue
        search, is_gate = penalty.search, penalty.part == "gate"
        part: Any = gate if is_gate else experts
        if name == "dispersion_prior" and of_mixture and family is None:
            part = CrossFittedExperts  # estimators, around whose means there is a family
        is_own = part is None or part is CrossFittedExperts or isinstance(part, Experts | Gate)
        if not is_own:
            # Counts have no scale that could have a prior.
            of_scale = name == "dispersion_prior"
            can_search = bool(part.has_scale) if of_scale else hasattr(part, "alpha")
        else:
            can_search = part is CrossFittedExperts  # with a family about their means
        if search == DEFAULT_SEARCH:
            search = "auto" if can_search and without_base and (is_open or not is_gate) else ""
        elif search and not can_search and name == "dispersion_prior" and of_mixture:
            search = ""  # experts of one's own have their own prior, if any
        elif search and not can_search:
            what, example = ("gate", "softmax") if is_gate else ("expert", "linear")
            parameter, value = ("gate", estimator.gate) if is_gate else estimator._expert_parameter
            raise ValueError(
                f'{name}="{search}" needs {what}s with a penalty that can be found, such as '
                f'{what}="{example}"; got {parameter}={value!r}. Leave {name} at its default.'
            )
        decided.append(penalty._replace(search="" if is_gate and n_experts == 1 else search))
    return tuple(decided)


# --- parameters by themselves -----------------------------------------------------------------


def options_of_number(estimator: Any, number: int) -> dict[str, Any]:
    """Parameters of an estimator in a fit of one of the numbers of experts that are compared."""
    top_k = estimator.top_k
    top_k = None if top_k is None else min(check_integer("top_k", top_k, least=1), number)
    return {"n_experts": number, "top_k": top_k}


def check_verbose(value: Any) -> int:
    """Validate a verbosity level; booleans count as 0 and 1."""
    return check_integer("verbose", int(value) if isinstance(value, bool) else value, least=0)


def check_init(init: Any, n_rows: int, n_experts: int) -> Array:
    """Validate initial responsibilities (n, K) that sum to one."""
    try:
        resp = np.array(init, dtype=np.float64)
    except (TypeError, ValueError):
        resp = np.empty(0)
    if resp.ndim == 0 or resp.size == 0:
        raise ValueError(
            f"init must be one of {sorted(INITS)} or an array of responsibilities of "
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
