"""Validation of the constructor parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.checks import check_choice, check_flag, check_integer, check_real
from skmoe._numerics.typing import Array
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.experts._registry import EXPERTS
from skmoe.gates._registry import GATES
from skmoe.protocols import Gate

# Numbers of experts that are chosen by the fit, the fewest rows for it, and for each expert.
N_EXPERTS_CRITERIA = ("auto", "bic", "icl")

MIN_ROWS_FOR_SELECTION = 20

MIN_ROWS_PER_EXPERT = 10

# How far the rows of a given `init` may sum from one.
INIT_SUM_TOL = 1e-6


def check_experts(
    expert: Any, n_experts: int, task: str, families: Sequence[str], names: Sequence[str]
) -> str | list[Any]:
    """The name of a parametric family, or K names or estimators."""
    if isinstance(expert, str) and expert in families:
        return expert
    if isinstance(expert, list | tuple):
        if len(expert) != n_experts:
            raise ValueError(
                f"expert as a list must have one entry for each of the n_experts={n_experts} "
                f"experts; got {len(expert)}."
            )
        return [
            _check_estimator(f"expert[{k}]", entry, task, names) for k, entry in enumerate(expert)
        ]
    return [_check_estimator("expert", expert, task, names)] * n_experts


def _check_estimator(name: str, estimator: Any, task: str, names: Sequence[str]) -> Any:
    if isinstance(estimator, str) and estimator in names:
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


def check_base(base: Any, task: str) -> None:
    """A base is an estimator of the same task, or None."""
    if base is not None:
        _check_estimator("base", base, task, ())


def accepts_missing(expert: Any) -> bool:
    """Whether all experts take rows with missing values; False for what is no expert at all."""
    if isinstance(expert, str):
        return expert == "tree"
    if isinstance(expert, list | tuple):
        return len(expert) > 0 and all(
            entry == "linear" or accepts_missing(entry) for entry in expert
        )
    try:
        return bool(get_tags(expert).input_tags.allow_nan)
    except Exception:  # not an estimator: the door refuses it
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


def check_out_of_bag(cross_fit: Any, experts: str | list[Any]) -> None:
    """Out-of-bag predictions, if they are asked for, from every expert."""
    if cross_fit != "oob" or isinstance(experts, str):
        return
    for k, expert in enumerate(experts):
        if not getattr(expert, "oob_score", False):
            raise ValueError(
                f'cross_fit="oob" needs experts with oob_score=True; expert {k} is {expert!r}. '
                'Set oob_score=True where the estimator has it, or use cross_fit="auto".'
            )


def check_metadata_used(
    metadata: Mapping[str, Any], experts: str | list[Any], has_base: bool
) -> None:
    """No metadata where no expert can use it; groups are for whatever is cross-fitted."""
    parametric = isinstance(experts, str)
    if not all(isinstance(expert, str) for expert in experts):
        return
    unused = [name for name in metadata if name != "groups" or (parametric and not has_base)]
    if unused:
        what = f'expert="{experts}"' if parametric else "experts that are given by name"
        raise ValueError(
            f"{', '.join(unused)} cannot be used: {what} take no metadata"
            f"{' and no folds' if parametric else ''}. Leave it out, or use estimators as experts."
        )


class FitParameters(NamedTuple):
    """Checked parameters of the estimator."""

    n_experts: int
    experts: str | list[Any]  # a parametric family, or K names or estimators
    gate: Gate
    n_init: int
    max_iter: int
    tol: float
    cross_fit: int | str | bool
    top_k: int | None
    balance: float


def validate_parameters(estimator: Any) -> FitParameters:
    n_experts = check_integer("n_experts", estimator.n_experts, least=1)
    gate_alpha = check_real("gate_alpha", estimator.gate_alpha)
    if estimator.alpha is not None:
        check_real("alpha", estimator.alpha)
    check_flag("warm_start", estimator.warm_start)
    check_verbose(estimator.verbose)
    n_init = check_integer("n_init", estimator.n_init, least=1)
    check_combine(estimator.combine, n_init, estimator.init, estimator.warm_start)
    estimator._check_own_parameters()
    experts = check_experts(
        estimator.expert,
        n_experts,
        estimator_type(estimator),
        list(EXPERTS),
        list(NAMED_ESTIMATORS),
    )
    cross_fit = check_cross_fit(estimator.cross_fit)
    check_out_of_bag(cross_fit, experts)
    check_base(estimator.base, estimator_type(estimator))
    return FitParameters(
        n_experts,
        experts,
        resolve_gate(estimator.gate, GATES, gate_alpha, n_experts),
        n_init,
        check_integer("max_iter", estimator.max_iter, least=1),
        check_real("tol", estimator.tol),
        cross_fit,
        check_top_k(estimator.top_k, n_experts),
        check_real("balance", estimator.balance),
    )


def estimator_type(estimator: Any) -> str:
    return "classifier" if is_classifier(estimator) else "regressor"


def check_verbose(value: Any) -> int:
    """A level of talk: 0, 1 or 2; booleans count as 0 and 1."""
    return check_integer("verbose", int(value) if isinstance(value, bool) else value, least=0)


def resolve_gate(gate: Any, known: Mapping[str, Any], alpha: float, n_experts: int) -> Gate:
    """The gate that a name or an object stands for."""
    if isinstance(gate, str) or not isinstance(gate, Gate) or isinstance(gate, type):
        if not isinstance(gate, str) or gate not in known:
            raise ValueError(
                f"gate must be one of {sorted(known)} or an object with the methods of "
                f"skmoe.protocols.Gate; got {gate!r}."
            )
        if n_experts == 1:  # one expert leaves nothing to choose
            return known["constant"]()
        return known["softmax"](alpha=alpha) if gate == "softmax" else known[gate]()
    return known["constant"]() if n_experts == 1 else gate


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
