"""Checks of streams and of blocks of rows; like `_validation`, a raiser of user errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.checks import check_real, check_two_classes
from skmoe._numerics.typing import Array
from skmoe.gates._constant import ConstantGate
from skmoe.gates._softmax import SoftmaxGate

# --- streams ----------------------------------------------------------------------------------


def check_half_life(value: Any) -> float:
    """Rows after which old rows count half; None is never."""
    if value is None:
        return np.inf
    half_life = check_real("half_life", value)
    if half_life == 0.0:
        raise ValueError(
            "half_life must be None or a positive number of rows; got 0. Use None to keep all."
        )
    return half_life


def check_partial_fit_supported(estimator: Any) -> None:
    """What `partial_fit` can learn: one start, and a gate of this package."""
    if estimator.combine != "best":
        raise ValueError(
            f'partial_fit needs combine="best", one start; got {estimator.combine!r}. Use '
            'combine="best".'
        )
    check_plain("partial_fit", estimator)
    gate = estimator.gate
    if not isinstance(gate, str | SoftmaxGate | ConstantGate):
        raise ValueError(
            f'partial_fit needs a softmax or constant gate; got {gate!r}. Use gate="softmax" or '
            '"constant".'
        )


def check_plain(what: str, estimator: Any) -> None:
    """Neither streams nor blocks go on from other models, nor try numbers of experts."""
    transformer = getattr(estimator.gate, "transformer", None)
    for name, value, remedy in (
        ("base", estimator.base, "base=None"),
        ("gate.transformer", transformer, "a gate without a transformer"),
        ("n_experts", _open_number(estimator), "an integer"),
    ):
        if value is not None:
            raise ValueError(f"{what} needs {remedy}; got {name}={value!r}.")


def is_plain(estimator: Any) -> bool:
    """Whether the model is one that streams and blocks can fit."""
    transformer = getattr(estimator.gate, "transformer", None)
    return estimator.base is None and transformer is None and _open_number(estimator) is None


def _open_number(estimator: Any) -> str | None:
    return estimator.n_experts if isinstance(estimator.n_experts, str) else None


def check_first_classes(classes: Any) -> Array:
    """All classes of a stream, sorted."""
    if classes is None:
        raise ValueError(
            "classes must be passed on the first call to partial_fit: batches need not hold all "
            "classes. Pass all labels, such as classes=np.unique(y)."
        )
    known = np.unique(np.asarray(classes))
    check_two_classes(known)
    return known


def check_known_classes(classes: Any, known: Array) -> Array:
    """Classes of a later call are those that are known."""
    if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), known):
        raise ValueError(
            f"classes must be those that partial_fit knows, {known.tolist()}; got "
            f"{np.asarray(classes).tolist()}. Leave classes out, or begin anew with a clone."
        )
    return known


def check_same_experts(n_experts: int, before: int) -> None:
    """As many experts as at the first call."""
    if n_experts != before:
        raise ValueError(
            f"n_experts must stay {before} while partial_fit goes on; got {n_experts}. Begin anew "
            "with a clone to change it."
        )


def check_stream_size(name: str, size: int, most: int) -> None:
    """Matrices that a stream keeps can be formed."""
    if size > most:
        raise ValueError(
            f"partial_fit keeps matrices of {size} columns, more than {most}. Choose fewer columns "
            f"with {name}, use fewer experts, or use fit."
        )


# --- blocks -----------------------------------------------------------------------------------


def check_blocks_supported(estimator: Any, y: Any, sample_weight: Any) -> None:
    """What can be fitted from blocks, and that they bring all there is of the rows."""
    if not isinstance(estimator.expert, str) or estimator.expert != "linear":
        raise ValueError(
            f'blocks of rows need expert="linear"; got {estimator.expert!r}. Experts that are '
            "estimators need all rows at once: fit them on an array, of a sample if need be."
        )
    check_plain("a fit from blocks of rows", estimator)
    if not isinstance(estimator.init, str):
        raise ValueError(
            'blocks of rows need a named init such as "auto"; got an array. Use a named init.'
        )
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name} must be None where X is a RowBlocks, whose blocks hold it; got "
                f"{type(value).__name__}. Yield (X, y, sample_weight) from the factory."
            )


def supports_blocks(estimator: Any) -> bool:
    """Whether rows may come in blocks."""
    plain = is_plain(estimator)
    return plain and estimator.expert == "linear" and isinstance(estimator.init, str)
