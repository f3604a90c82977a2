"""Validation of hyper-parameters and data.

Error messages name the parameter, the rule, the value, and a remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

# Number of characters of a value that a message shows.
MAX_SHOWN = 100

# --- hyper-parameters -------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value in a message, cut to a readable length."""
    if isinstance(value, np.number | np.str_):
        value = value.item()
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"an {type(value).__name__} of more digits than Python writes"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Validate an integer of at least `least`, and at most `most`."""
    if not is_integer(value) or value < least or (most is not None and value > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most}"
        if is_integer(value) and value >= least:
            remedy = f"Pass a smaller one, such as {name}={max(least, 2)}."
        else:
            remedy = f"Pass an integer such as {name}={max(least, 2)}."
        raise ValueError(f"{name} must be an integer {rule}; got {shown(value)}. {remedy}")
    return int(value)


def check_real(name: str, value: Any, least: float = 0.0, most: float = np.inf) -> float:
    """Validate a finite number of at least `least`, and at most `most`."""
    number = np.nan
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
    if not np.isfinite(number) or not least <= number <= most:
        upper = f" and at most {most:g}" if np.isfinite(most) else ""
        raise ValueError(
            f"{name} must be a finite number of at least {least:g}{upper}; got {shown(value)}. "
            f"Pass a number such as {name}={max(least, 1.0):g}."
        )
    return number


def check_level(level: Any, may_be_none: bool = False) -> None:
    """The level of confidence must be in (0, 1), or may be None for no intervals."""
    is_number = isinstance(level, Real) and not isinstance(level, bool | np.bool_)
    if not ((is_number and 0.0 < level < 1.0) or (may_be_none and level is None)):
        rule = "in (0, 1), or None for no intervals" if may_be_none else "in (0, 1)"
        raise ValueError(f"level must be {rule}; got {shown(level)}. For 95 % use 0.95.")


def check_instance(name: str, value: Any) -> None:
    """An estimator or a part must be an object, not its class."""
    if isinstance(value, type):
        raise ValueError(
            f"{name} must be an instance; got the class {value.__name__}. Pass an instance: "
            f"{value.__name__}()."
        )


def check_transformer(name: str, value: Any) -> None:
    """Validate None or a transformer that can be cloned."""
    check_instance(name, value)
    missing = [m for m in ("get_params", "fit", "transform") if not hasattr(value, m)]
    if value is not None and missing:
        raise ValueError(
            f"{name} must be None or a transformer of scikit-learn's kind; got {shown(value)}, "
            f"which has no method {missing[0]}. Pass a transformer such as SplineTransformer()."
        )


def check_n_jobs(value: Any) -> int | None:
    """Validate a number of jobs: None or an integer other than zero."""
    if value is not None and (not is_integer(value) or value == 0):
        raise ValueError(
            f"n_jobs must be None or an integer other than 0; got {shown(value)}. Pass n_jobs=-1 "
            "for all processors, or None for one job."
        )
    return None if value is None else int(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Validate one of several names."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}; got {value!r}.")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Validate a boolean."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {value!r}.")
    return bool(value)
