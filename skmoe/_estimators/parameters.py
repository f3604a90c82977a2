"""Validation of the constructor parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.checks import check_choice, check_flag, check_integer, check_real
from skmoe._estimators.tasks import Task
from skmoe._numerics.typing import Array
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.experts._registry import EXPERTS
from skmoe.gates._constant import ConstantGate
from skmoe.gates._registry import GATES
from skmoe.protocols import Experts, Gate

# Numbers of experts that are chosen by the fit, the fewest rows for it, and for each expert.
N_EXPERTS_CRITERIA = ("auto", "bic", "icl")

MIN_ROWS_FOR_SELECTION = 20

MIN_ROWS_PER_EXPERT = 10

# How far the rows of a given `init` may sum from one.
INIT_SUM_TOL = 1e-6


def resolve_experts(
    expert: Any, n_experts: int, task: Task, options: Mapping[str, Any]
) -> tuple[Experts | None, list[Any] | None]:
    """The parametric family with its hyper-parameters, or K names or estimators."""
    family = resolve_family(expert, task.name, options)
    if family is not None:
        return family, None
    if not isinstance(expert, list | tuple):
        return None, [_check_estimator("expert", expert, task.name, _expert_names())] * n_experts
    if len(expert) != n_experts:
        raise ValueError(
            f"expert as a list must have one entry for each of the n_experts={n_experts} "
            f"experts; got {len(expert)}."
        )
    first = expert[0]
    if is_family(first) and not _is_estimator_name(first) and all(_same(first, e) for e in expert):
        return resolve_family(first, task.name, options), None
    return None, [_check_list_entry(k, entry, task.name) for k, entry in enumerate(expert)]


def resolve_family(expert: Any, task: str, options: Mapping[str, Any]) -> Experts | None:
    """The parametric family of a registered name or object, for one task; None for estimators."""
    if isinstance(expert, Experts):
        if expert.is_classifier != (task == "classifier"):
            raise ValueError(
                f"expert must be a family for a {task}; got {expert!r}, which models "
                f"{expert.support}."
            )
        return expert
    if not isinstance(expert, str) or expert not in EXPERTS:
        return None
    if task not in EXPERTS[expert]:
        raise ValueError(
            f'expert="{expert}" is a family for a {" or ".join(EXPERTS[expert])}; this is a '
            f"{task}. Use one of {_expert_names(task)}, or an estimator."
        )
    return EXPERTS[expert][task].from_options(options)


def family_of(expert: Any, task: str) -> Any:
    """The class or object of a parametric family without any check; None for other experts."""
    if isinstance(expert, Experts):
        return expert
    return EXPERTS.get(expert, {}).get(task) if isinstance(expert, str) else None


def is_family(expert: Any) -> bool:
    """Whether a value stands for a parametric family."""
    return isinstance(expert, Experts) or (isinstance(expert, str) and expert in EXPERTS)


def _is_estimator_name(expert: Any) -> bool:
    return isinstance(expert, str) and expert in NAMED_ESTIMATORS


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _expert_names(task: str | None = None) -> list[str]:
    """Names for `expert`: of families (of a task) and of estimators."""
    return sorted(
        {name for name, row in EXPERTS.items() if task in (None, *row)} | {*NAMED_ESTIMATORS}
    )


def _check_list_entry(k: int, entry: Any, task: str) -> Any:
    if is_family(entry) and not _is_estimator_name(entry):
        raise ValueError(
            f"expert[{k}] must be one of {sorted(NAMED_ESTIMATORS)} or an estimator, as lists of "
            f"different experts are; got the family {entry!r}. Use the same family for all experts."
        )
    return _check_estimator(f"expert[{k}]", entry, task, sorted(NAMED_ESTIMATORS))


def _check_estimator(name: str, estimator: Any, task: str, names: Sequence[str]) -> Any:
    if _is_estimator_name(estimator) and names:
        return estimator
    if isinstance(estimator, type) or not (
        hasattr(estimator, "fit") and hasattr(estimator, "predict")
    ):
        raise ValueError(
            f"{name} must be one of {sorted(names)}, a scikit-learn estimator or a list of these; "
            f"got {estimator!r}."
            if names
            else f"{name} must be None or a scikit-learn estimator; got {estimator!r}."
        )
    kind = is_regressor if task == "regressor" else is_classifier
    if not kind(estimator):
        raise ValueError(
            f"{name} must be a {task}, as the mixture is; got {estimator!r}. "
            f"Use the {task} of the same kind."
        )
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"{name} must accept sample_weight in fit, which carries the responsibilities; "
            f"{estimator!r} does not. Choose an estimator that does."
        )
    if task == "classifier" and not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"{name} must have predict_proba; {estimator!r} has not. Choose a classifier that has, "
            "or wrap it in CalibratedClassifierCV."
        )
    return estimator


def check_base(base: Any, task: str, family: Experts | None) -> None:
    """A base model is an estimator of the same task, or None; its mean must be additive."""
    if base is None:
        return
    _check_estimator("base", base, task, ())
    if family is not None and not family.is_classifier and family.link != "identity":
        raise ValueError(
            f"base needs experts with an identity link, to whose mean its predictions are added; "
            f"{type(family).__name__} has the link {family.link or 'unknown'!r}. Use base=None."
        )


def accepts_missing(expert: Any) -> bool:
    """Whether all experts accept missing values; False for a value that is no expert."""
    if isinstance(expert, list | tuple):
        return len(expert) > 0 and all(
            _is_estimator_name(entry) or accepts_missing(entry) for entry in expert
        )
    if is_family(expert):
        return False
    if isinstance(expert, str):
        return expert in NAMED_ESTIMATORS
    try:
        return bool(get_tags(expert).input_tags.allow_nan)
    except Exception:  # not an estimator, which validation refuses later
        return False


def check_cross_fit(value: Any) -> int | str | bool:
    """A number of folds, "auto", "oob" or False."""
    if value is False or (isinstance(value, str) and value in ("auto", "oob")):
        return value
    whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if whole and int(value) >= 2:
        return int(value)
    raise ValueError(
        f'cross_fit must be "auto", "oob", False or an integer of at least 2; got {value!r}.'
    )


def check_out_of_bag(cross_fit: Any, estimators: list[Any] | None) -> None:
    """Out-of-bag predictions, if they are asked for, need every expert to compute them."""
    if cross_fit != "oob" or estimators is None:
        return
    for k, expert in enumerate(estimators):
        if not getattr(expert, "oob_score", False):
            raise ValueError(
                f'cross_fit="oob" needs experts with oob_score=True; expert {k} is {expert!r}. '
                'Set oob_score=True where the estimator has it, or use cross_fit="auto".'
            )


def check_metadata_used(metadata: Mapping[str, Any], params: FitParameters) -> None:
    """Metadata need an expert that can use them; groups need something that is cross-fitted."""
    parametric, has_base = params.family is not None, params.base is not None
    if not parametric and not all(isinstance(expert, str) for expert in params.estimators or ()):
        return
    unused = [name for name in metadata if name != "groups" or (parametric and not has_base)]
    if unused:
        what = "experts that are given by name"
        if parametric:
            name = f'"{params.expert}"' if isinstance(params.expert, str) else repr(params.expert)
            what = f"expert={name}"
        raise ValueError(
            f"{', '.join(unused)} cannot be used: {what} take no metadata"
            f"{' and no folds' if parametric else ''}. Leave it out, or use estimators as experts."
        )


class FitParameters(NamedTuple):
    """The validated constructor parameters of an estimator, as values."""

    task: Task
    n_experts: int
    expert: Any  # as given
    family: Experts | None  # parametric experts, before estimates from the data
    estimators: list[Any] | None  # otherwise: K names or estimators
    gate: Gate
    base: Any
    alpha: float
    gate_features: Any
    expert_features: Any
    n_init: int
    init: Any
    max_iter: int
    tol: float
    cross_fit: int | str | bool
    top_k: int | None
    balance: float
    warm_start: bool
    random_state: Any
    n_jobs: int | None

    @property
    def uses_estimators(self) -> bool:
        """Whether the experts are scikit-learn estimators."""
        return self.family is None

    @property
    def standardizes_target(self) -> bool:
        """Whether the experts see a standardised target."""
        return self.family is not None and self.family.standardizes_target

    def seed(self) -> int:
        """A seed from `random_state`; a generator is advanced by each call."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))


def validate_parameters(
    estimator: Any, task: Task, default_alphas: tuple[float, float]
) -> FitParameters:
    """Validate the constructor parameters; `default_alphas` are without a base and on one."""
    n_experts = check_integer("n_experts", estimator.n_experts, least=1)
    gate_alpha = check_real("gate_alpha", estimator.gate_alpha)
    alpha = default_alphas[estimator.base is not None]
    if estimator.alpha is not None:
        alpha = check_real("alpha", estimator.alpha)
    warm_start = check_flag("warm_start", estimator.warm_start)
    check_verbose(estimator.verbose)
    n_init = check_integer("n_init", estimator.n_init, least=1)
    check_combine(estimator.combine, n_init, estimator.init, warm_start)
    options = {"alpha": alpha} | task.family_options()
    family, estimators = resolve_experts(estimator.expert, n_experts, task, options)
    cross_fit = check_cross_fit(estimator.cross_fit)
    check_out_of_bag(cross_fit, estimators)
    check_base(estimator.base, task.name, family)
    return FitParameters(
        task=task,
        n_experts=n_experts,
        expert=estimator.expert,
        family=family,
        estimators=estimators,
        gate=resolve_gate(estimator.gate, {"alpha": gate_alpha}, n_experts),
        base=estimator.base,
        alpha=alpha,
        gate_features=estimator.gate_features,
        expert_features=estimator.expert_features,
        n_init=n_init,
        init=estimator.init,
        max_iter=check_integer("max_iter", estimator.max_iter, least=1),
        tol=check_real("tol", estimator.tol),
        cross_fit=cross_fit,
        top_k=check_top_k(estimator.top_k, n_experts),
        balance=check_real("balance", estimator.balance),
        warm_start=warm_start,
        random_state=estimator.random_state,
        n_jobs=estimator.n_jobs,
    )


def check_verbose(value: Any) -> int:
    """A level of talk: 0, 1 or 2; booleans count as 0 and 1."""
    return check_integer("verbose", int(value) if isinstance(value, bool) else value, least=0)


def resolve_gate(gate: Any, options: Mapping[str, Any], n_experts: int) -> Gate:
    """The gate of a registered name or object; one expert leaves nothing to choose."""
    if isinstance(gate, str) and gate in GATES:
        resolved = GATES[gate].from_options(options)
    elif isinstance(gate, Gate):
        resolved = gate
    else:
        raise ValueError(
            f"gate must be one of {sorted(GATES)} or an object with the methods of "
            f"skmoe.protocols.Gate, from which it derives; got {gate!r}."
        )
    return ConstantGate() if n_experts == 1 else resolved


def check_top_k(value: Any, n_experts: int) -> int | None:
    """None, or a number of experts for each row."""
    if value is None:
        return None
    top_k = check_integer("top_k", value, least=1)
    if top_k > n_experts:
        raise ValueError(
            f"top_k must not exceed n_experts={n_experts}; got {top_k}. Use None for all experts."
        )
    return top_k


def check_n_experts_selection(estimator: Any, n_rows: int) -> int:
    """Whether a number of experts can be chosen; the most to try."""
    value = estimator.n_experts
    if value not in N_EXPERTS_CRITERIA:
        raise ValueError(
            f"n_experts must be an integer of at least 1 or one of {list(N_EXPERTS_CRITERIA)}; got "
            f"{value!r}."
        )
    for name, closed, reason in (
        ("expert", isinstance(estimator.expert, list | tuple), "a list is one of each"),
        ("init", not isinstance(estimator.init, str), "responsibilities are of a given number"),
        ("warm_start", bool(estimator.warm_start), "it goes on with the number before"),
    ):
        if closed:
            raise ValueError(
                f'n_experts="{value}" cannot be chosen with this {name}: {reason}. Give n_experts '
                f"as an integer, or leave {name} at its default."
            )
    if n_rows < MIN_ROWS_FOR_SELECTION:
        raise ValueError(
            f'n_experts="{value}" needs at least {MIN_ROWS_FOR_SELECTION} rows of positive weight; '
            f"got {n_rows}. Give n_experts as an integer."
        )
    return n_rows // MIN_ROWS_PER_EXPERT


def check_combine(value: Any, n_init: int, init: Any, warm_start: bool) -> str:
    """How starts are combined: an average needs several of them."""
    check_choice("combine", value, ("best", "average"))
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
                'combine="average" begins anew: warm_start must be False. Use warm_start=False, or '
                'combine="best".'
            )
    return str(value)


def check_init(init: Any, known: Sequence[str], n_rows: int, n_experts: int) -> str | Array:
    """The name of a start, or responsibilities (n, K) whose rows sum to one."""
    if isinstance(init, str):
        return check_choice("init", init, ["auto", *known])
    try:
        resp = np.array(init, dtype=np.float64)
    except (TypeError, ValueError):
        resp = np.empty(0)
    if resp.ndim == 0 or resp.size == 0:
        raise ValueError(
            f"init must be one of {sorted(['auto', *known])} or an array of responsibilities of "
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
