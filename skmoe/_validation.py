"""The door: raw hyper-parameters and data in, clean values out; the only raiser of user errors.

Every message names the parameter, the rule, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from skmoe._em import Params, Parts
from skmoe._numerics import Array
from skmoe._rows import Rows
from skmoe.protocols import Gate, TableExperts

# Numbers of experts that are chosen by the fit, the fewest rows for it, and for each expert.
OPEN_NUMBERS = ("auto", "bic", "icl")
FEWEST_ROWS_TO_CHOOSE = 20
ROWS_OF_AN_EXPERT = 10
# How far the rows of a given `init` may sum from one.
SUM_TOLERANCE = 1e-6


# --- hyper-parameters -------------------------------------------------------------------------


def check_integer(name: str, value: Any, least: int) -> int:
    """An integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {value!r}. "
            f"Pass an integer such as {name}={max(least, 2)}."
        )
    return int(value)


def check_real(name: str, value: Any, least: float = 0.0) -> float:
    """A finite number of at least `least`."""
    good = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not good or not np.isfinite(value) or value < least:
        raise ValueError(
            f"{name} must be a finite number of at least {least:g}; got {value!r}. "
            f"Pass a number such as {name}={max(least, 1.0):g}."
        )
    return float(value)


def check_choice(name: str, value: Any, known: Sequence[str]) -> str:
    """One of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {sorted(known)}; got {value!r}.")
    return value


def check_flag(name: str, value: Any) -> bool:
    """A boolean."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


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


# --- data -------------------------------------------------------------------------------------


def check_open_number(estimator: Any, n_rows: int) -> int:
    """Whether a number of experts can be chosen; the most to try."""
    value = estimator.n_experts
    if value not in OPEN_NUMBERS:
        raise ValueError(
            f"n_experts must be an integer of at least 1 or one of {list(OPEN_NUMBERS)}; got "
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
    if n_rows < FEWEST_ROWS_TO_CHOOSE:
        raise ValueError(
            f'n_experts="{value}" needs at least {FEWEST_ROWS_TO_CHOOSE} rows of positive weight; '
            f"got {n_rows}. Give n_experts as an integer."
        )
    return n_rows // ROWS_OF_AN_EXPERT


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


def check_reference(value: Any, n_experts: int) -> int | None:
    """An expert, or None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not whole or not 0 <= value < n_experts:
        raise ValueError(
            f"gate_reference must be None or an expert from 0 to {n_experts - 1}; got {value!r}."
        )
    return int(value)


def check_weights(sample_weight: Any, n_rows: int) -> Array:
    """Row weights (n,): finite, non-negative, not all zero; None is one for each row."""
    if sample_weight is None:
        return np.ones(n_rows)
    try:
        weight = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sample_weight must be an array of numbers; got {type(sample_weight).__name__}."
        ) from error
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have one entry for each of the {n_rows} rows of X, in one "
            f"dimension; got shape {weight.shape}."
        )
    if not np.isfinite(weight).all():
        raise ValueError("sample_weight must be finite; it contains NaN or infinity: remove them.")
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight must not be negative; its smallest entry is {weight.min():g}. "
            "Drop rows instead of giving them negative weight."
        )
    if not (weight > 0).any():
        raise ValueError(
            "sample_weight must not be zero for every row: all weights are zero. "
            "Give at least some rows a positive weight."
        )
    return weight


def class_weights(class_weight: Any, classes: Array, codes: Array, weight: Array) -> Array:
    """Row weights times the weight of each row's class.

    "balanced" counts the weighted rows of each class, so that a weight of two is the row twice.
    """
    if class_weight is None:
        return weight
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weight, minlength=len(classes))
        factor = totals.sum() / (len(classes) * np.where(totals > 0, totals, np.inf))
    elif isinstance(class_weight, Mapping):
        factor = compute_class_weight(dict(class_weight), classes=classes, y=classes[codes])
        if not (np.isfinite(factor).all() and (factor >= 0).all() and (factor > 0).any()):
            raise ValueError(
                f"class_weight must give finite non-negative weights, not all zero; "
                f"got {class_weight!r}."
            )
    else:
        raise ValueError(
            f'class_weight must be None, "balanced" or a dict from class to weight; '
            f"got {class_weight!r}."
        )
    return weight * factor[codes]


def check_columns(
    name: str, value: Any, n_features: int, feature_names: Array | None
) -> Array | None:
    """Indices of the columns that names, indices or a mask choose; None for all."""
    if value is None:
        return None
    chosen = np.atleast_1d(np.asarray(value))
    if chosen.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {chosen.shape}.")
    if chosen.size == 0:
        raise ValueError(f"{name} must not be empty; use None for all features.")
    if chosen.dtype.kind in "UOT" and all(isinstance(entry, str) for entry in chosen):
        columns = _named_columns(name, chosen, feature_names)
    elif chosen.dtype.kind == "b":
        if len(chosen) != n_features:
            raise ValueError(
                f"{name} as a mask must have one entry for each of the {n_features} features; "
                f"got {len(chosen)}."
            )
        columns = np.flatnonzero(chosen)
        if len(columns) == 0:
            raise ValueError(f"{name} must not be empty; its mask chooses no feature.")
    elif chosen.dtype.kind in "iu":
        outside = chosen[(chosen < -n_features) | (chosen >= n_features)]
        if len(outside):
            raise ValueError(
                f"{name} must hold column indices of X, from 0 to {n_features - 1}; "
                f"got {outside[0]}."
            )
        columns = chosen % n_features
    else:
        raise ValueError(
            f"{name} must be None, column names, column indices or a boolean mask; got {value!r}."
        )
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{name} must not name a feature twice; got {value!r}.")
    return columns.astype(np.intp)


def _named_columns(name: str, chosen: Array, feature_names: Array | None) -> Array:
    if feature_names is None:
        raise ValueError(
            f"{name} holds column names, but X has none. Pass X as a data frame whose column "
            "names are all strings, or give indices."
        )
    position = {feature: i for i, feature in enumerate(feature_names)}
    unknown = [str(entry) for entry in chosen if entry not in position]
    if unknown:
        raise ValueError(
            f"{name} must name columns of X; {unknown[0]!r} is not one of {list(feature_names)}."
        )
    return np.array([position[entry] for entry in chosen])


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
    if abs(sums[worst] - 1.0) > SUM_TOLERANCE:
        raise ValueError(
            f"init as an array must have rows that sum to 1; row {worst} sums to "
            f"{sums[worst]:g}. Divide each row by its sum."
        )
    return resp


def check_enough_rows(n_experts: int, n_distinct: int) -> None:
    """No more experts than distinct rows."""
    if n_experts > n_distinct:
        raise ValueError(
            f"n_experts must not exceed the number of distinct rows with positive weight, "
            f"{n_distinct} (n_samples = {n_distinct}); got {n_experts}. "
            "Use fewer experts or more data."
        )


def check_two_classes(classes: Array) -> None:
    """At least two classes."""
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least two classes with positive weight; got one class: "
            f"{classes.tolist()}. A classifier needs rows of every class to be told apart."
        )


def class_codes(y: Array, classes: Array) -> Array:
    """Codes of labels among the classes seen in fit."""
    codes = np.searchsorted(classes, y)
    codes = np.minimum(codes, len(classes) - 1)
    unknown = classes[codes] != y
    if unknown.any():
        raise ValueError(
            f"y must hold classes seen in fit, {classes.tolist()}; got {y[unknown].tolist()[0]!r}."
        )
    return codes


@contextmanager
def remedy_for_holes() -> Iterator[None]:
    """Add what this package offers to scikit-learn's refusal of missing values."""
    try:
        yield
    except ValueError as error:
        if "X contains NaN" in str(error):
            error.add_note(
                'Mixtures take missing values where every expert does, as trees do: expert="tree". '
                "Put an imputer before others in a pipeline."
            )
        raise


def as_csr(X: Any) -> Any:
    """CSR array with sorted indices and no duplicates, or the dense array as it is."""
    if not sparse.issparse(X):
        return X
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def check_same_length(X: Any, y: Array) -> Array:
    """As many targets as rows; the row axis of y is its last."""
    if X.shape[0] != y.shape[-1]:
        raise ValueError(
            f"X and y must have the same number of rows; got {X.shape[0]} and {y.shape[-1]}."
        )
    return y


# --- going on from a previous fit -------------------------------------------------------------


def check_same_width(n_features: int, n_before: int) -> None:
    """As many features as the fit that is to be continued."""
    if n_features != n_before:
        raise ValueError(
            f"warm_start=True goes on from a fit with {n_before} features; X has {n_features}. "
            "Set warm_start=False to fit anew."
        )


def check_continues(params: Params, parts: Parts, rows: Rows, n_experts: int) -> None:
    """Parameters of a previous fit suit the parts of this one."""
    wanted = Params(
        parts.gate.initial(n_experts, rows.gate_design.shape[1]),
        parts.experts.initial(n_experts, rows.expert_design.shape[1]),
    )
    if isinstance(parts.experts, TableExperts) and type(wanted.experts) is type(params.experts):
        # Models are fitted anew: the gate must suit, and with it the number of experts.
        params = params._replace(experts=wanted.experts)
    for part, ours, before in zip(params._fields, wanted, params, strict=True):
        shapes, shapes_before = ([np.shape(a) for a in values] for values in (ours, before))
        if type(ours) is not type(before) or shapes != shapes_before:
            raise ValueError(
                f"warm_start=True goes on from a fit whose {part} had parameters of shapes "
                f"{shapes_before}; n_experts={n_experts} and the data want {shapes}. "
                "Set warm_start=False to fit anew."
            )


def check_same_outputs(n_outputs: int, n_before: int) -> None:
    """As many outputs as the fit had."""
    if n_outputs != n_before:
        raise ValueError(f"y must have the {n_before} output(s) seen in fit; got {n_outputs}.")


def check_same_classes(classes: Array, before: Array) -> None:
    """The classes that the fit had."""
    if not np.array_equal(classes, before):
        raise ValueError(
            f"warm_start=True goes on from a fit with classes {before.tolist()}; y has "
            f"{classes.tolist()}. Set warm_start=False to fit anew."
        )
