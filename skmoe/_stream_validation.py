"""Checks of streams and of blocks of rows; like `_validation`, a raiser of user errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics import Array
from skmoe._validation import check_real, check_two_classes
from skmoe.gates import ConstantGate, SoftmaxGate

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


def check_streams(estimator: Any) -> None:
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


def check_takes_blocks(estimator: Any, y: Any, sample_weight: Any) -> None:
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


def check_block(index: int, block: Any) -> Any:
    """A tuple of features, target and perhaps weights."""
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        raise ValueError(
            f"block {index} must be a tuple (X, y) or (X, y, sample_weight); got "
            f"{type(block).__name__}. Yield such tuples from the factory."
        )
    return block


def in_block(index: int, check: Any, *values: Any, **options: Any) -> Any:
    """The answer of a check, whose errors name the block."""
    try:
        return check(*values, **options)
    except ValueError as error:
        raise ValueError(f"block {index}: {error}") from error


def check_block_kind(index: int, kind: tuple, first: tuple) -> None:
    """Dtype of features and number of outputs as in the first block."""
    if kind != first:
        raise ValueError(
            f"block {index} must be like the first: X of dtype {first[0]} and rows of y of shape "
            f"{first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
        )


def check_block_weights(weight: Array, n_rows: int) -> None:
    """One finite weight, not negative, for each row."""
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0.0).any():
        raise ValueError(
            f"sample_weight must hold one finite number, not negative, for each of {n_rows} rows; "
            f"got shape {weight.shape}. Correct the weights in the factory."
        )


def check_some_rows(n_rows: int, any_weight: bool) -> None:
    """Blocks hold rows."""
    if not any_weight:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {n_rows} rows, none of "
            "positive weight. Return a new iterator from the factory at each call."
        )


def check_same_rows(n_rows: int, before: int) -> None:
    """Every pass gives the same number of rows."""
    if n_rows != before:
        raise ValueError(
            f"RowBlocks must give the same rows in each pass; the first gave {before} rows, a "
            f"later one {n_rows}. Return a new iterator over the same rows at each call."
        )


def check_checkpoint(path: str, known: dict[str, str], wanted: dict[str, str]) -> None:
    """A checkpoint is of the same estimator with the same parameters."""
    other = sorted(k for k in known.keys() | wanted if known.get(k) != wanted.get(k))
    if other:
        raise ValueError(
            f"path must be of a fit with the same parameters; {path} differs in {other}: "
            f"{other[0]} is {known.get(other[0])} there, and {wanted.get(other[0])} here. Set the "
            "same parameters, or use another path."
        )


def check_keeps(estimator: Any) -> None:
    """A fit that is one climb, from which another can go on."""
    if estimator.combine != "best":
        raise ValueError(
            f'fit_with_checkpoints needs combine="best", one start; got {estimator.combine!r}. '
            'Use combine="best".'
        )
    if isinstance(estimator.n_experts, str):
        raise ValueError(
            f"fit_with_checkpoints needs an integer n_experts; got {estimator.n_experts!r}. Choose "
            "the number first, on a sample if need be."
        )
