"""Capabilities of an estimator with given parameters: row blocks and `partial_fit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmoe._data.checks import check_real, shown
from skmoe._data.row_checks import check_two_classes
from skmoe._data.rows import Rows
from skmoe._estimators.parameters.parameters import FitParameters, check_metadata_used
from skmoe._estimators.parameters.part_parameters import family_of, gate_transformer
from skmoe._mixture.model import MixtureModel
from skmoe._numerics.typing import Array
from skmoe.protocols import Experts, SupportsStreaming, missing_methods

# --- parameters of an estimator ---------------------------------------------------------------


def needs_all_rows(expert: Any, task: str) -> bool:
    """Whether the experts need all rows in memory."""
    family = family_of(expert, task)
    return family is None or bool(family.needs_all_rows)


def _unsupported_option(params: FitParameters) -> tuple[str, Any, str] | None:
    """Name, value and remedy of an option that needs all rows in memory; None if there is none."""
    for name, value, remedy in (
        ("base", params.base, "base=None"),
        ("gate.transformer", params.gate.transformer, "a gate without a transformer"),
    ):
        if value is not None:
            return name, value, remedy
    return None


def check_rows_in_parts(what: str, params: FitParameters) -> None:
    """Base models and gate transformers need all rows in memory."""
    unsupported = _unsupported_option(params)
    if unsupported is not None:
        name, value, remedy = unsupported
        raise ValueError(f"{what} needs {remedy}; got {name}={value!r}.")


def check_option_for_parts(what: str, experts: Experts | None) -> None:
    """Families that depend on all values of y must be given them if the rows come in parts."""
    option = "" if experts is None else experts.option_for_parts
    if option:
        raise ValueError(
            f"{what} needs a family that does not depend on all values of y. Give them, as in "
            f"skmoe.families.{option}."
        )


def check_integer_n_experts(what: str, n_experts: Any) -> None:
    """The number of experts cannot be selected if the rows are not in memory."""
    if isinstance(n_experts, str):
        raise ValueError(
            f"{what} needs an integer; got n_experts={n_experts!r}. Fit a sample of some ten "
            "thousand rows in memory with it, and give the n_experts_ of this fit."
        )


# --- streams ----------------------------------------------------------------------------------


def supports_partial_fit(estimator: Any, task: str) -> bool:
    """Whether `partial_fit` is available; an AttributeError names the reason if it is not."""
    family = family_of(estimator.expert, task)
    missing = ["a parametric family"] if family is None else []
    if family is not None:
        missing = missing_methods(family, SupportsStreaming)
    if missing:
        reason = "Experts that are estimators need all rows at once"
        if family is not None:
            reason = f"{estimator.expert!r} has no method {missing[0]}"
        raise AttributeError(
            f'partial_fit needs expert="linear" or another family for streams; got '
            f"{estimator.expert!r}. {reason}: use fit, on a sample of the rows if need be."
        )
    for name, value, remedy in _unsupported_by_streams(estimator):
        raise AttributeError(f"partial_fit needs {remedy}; got {name}={value!r}.")
    weights = getattr(estimator, "class_weight", None)
    if isinstance(weights, str) and weights == "balanced":
        raise AttributeError(
            'partial_fit cannot know class_weight="balanced" before the end of the stream. Pass '
            "the weights of the classes as a dict."
        )
    return True


def _unsupported_by_streams(estimator: Any) -> Iterator[tuple[str, Any, str]]:
    """Name, value and remedy of each parameter that `partial_fit` does not support."""
    if isinstance(estimator.combine, str) and estimator.combine != "best":
        yield "combine", estimator.combine, 'combine="best", one start'
    if estimator.base is not None:
        yield "base", estimator.base, "base=None"
    transformer = gate_transformer(estimator.gate)
    if transformer is not None:
        yield "gate.transformer", transformer, "a gate without a transformer"
    if isinstance(estimator.n_experts, str):
        yield "n_experts", estimator.n_experts, "an integer n_experts"


def check_half_life(value: Any) -> float:
    """Number of rows after which the weight of previous rows is halved; None is infinity."""
    if value is None:
        return np.inf
    try:
        half_life = check_real("half_life", value)
    except ValueError:
        half_life = 0.0
    if half_life == 0.0:
        raise ValueError(
            f"half_life must be None or a positive number of rows; got {shown(value)}. Pass a "
            "number of rows such as half_life=1000, or None to keep all."
        )
    return half_life


def check_partial_fit_supported(params: FitParameters) -> None:
    """`partial_fit` needs a gate whose statistics can be averaged, and a family that is known."""
    check_option_for_parts("partial_fit", params.family)
    missing = missing_methods(params.gate, SupportsStreaming)
    if missing:
        raise ValueError(
            f"partial_fit needs a softmax or constant gate, or another one for streams; got "
            f'{params.gate!r}, which has no method {missing[0]}. Use gate="softmax" or "constant".'
        )


def check_continued(model: MixtureModel) -> None:
    """A fit that `partial_fit` continues needs gate and experts for streams."""
    for part in (model.gate, model.experts):
        missing = missing_methods(part, SupportsStreaming)
        if missing:
            raise ValueError(
                f"partial_fit continues fits whose gate and experts are those of streams; the fit "
                f"has a {type(part).__name__}, which has no method {missing[0]}. Use "
                'combine="best" in fit, or a clone.'
            )


def check_first_classes(classes: Any) -> Array:
    """Sorted classes from the first call of `partial_fit`, which must give them."""
    if classes is None:
        raise ValueError(
            "classes must be passed on the first call to partial_fit: batches need not hold all "
            "classes. Pass all labels, such as classes=np.unique(y)."
        )
    classes = np.unique(np.asarray(classes))
    check_two_classes(classes)
    return classes


def check_known_classes(classes: Any, fitted: Array) -> Array:
    """The classes of a later call must be those of the first one, or None."""
    if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), fitted):
        raise ValueError(
            f"classes must be those of the first call to partial_fit, {fitted.tolist()}; got "
            f"{np.asarray(classes).tolist()}. Leave classes out, or start again with a clone."
        )
    return fitted


def check_same_n_experts(n_experts: int, fitted: int) -> None:
    """The number of experts must not change between calls of `partial_fit`."""
    if n_experts != fitted:
        raise ValueError(
            f"n_experts must stay {fitted} in later calls of partial_fit; got {n_experts}. Start "
            "again with a clone to change it."
        )


def check_stream_size(name: str, size: int, maximum: int) -> None:
    """The matrices of online EM must be small enough to be formed."""
    if size > maximum:
        raise ValueError(
            f"partial_fit keeps matrices of {size} columns, more than {maximum}. Choose fewer "
            f"columns with {name}, use fewer experts, or use fit."
        )


# --- row blocks -------------------------------------------------------------------------------


def check_blocks_supported(params: FitParameters, given: Rows) -> None:
    """A fit from row blocks needs a parametric family, and everything else in the blocks."""
    if params.family is None or params.family.needs_all_rows:
        raise ValueError(
            f'blocks of rows need expert="linear" or another parametric family; got '
            f"{params.expert!r}. Experts that are estimators need all rows at once: fit them on an "
            "array, of a sample if need be."
        )
    check_rows_in_parts("a fit from blocks of rows", params)
    check_option_for_parts("a fit from blocks of rows", params.family)
    if not isinstance(params.init, str):
        raise ValueError(
            'blocks of rows need a named init such as "auto"; got an array. Use a named init.'
        )
    metadata = {"groups": given.group, **given.metadata}
    check_metadata_used({k: v for k, v in metadata.items() if v is not None}, params)
    by_row = {"sample_weight": given.weight, "offset": given.offset, "units": given.unit}
    for name, value in {"y": given.y, **by_row}.items():
        if value is not None:
            raise ValueError(
                f"{name} must be None where X is a RowBlocks, whose blocks hold it; got "
                f"{type(value).__name__}. Yield (X, y, sample_weight, offset, units) from the "
                "factory."
            )


def supports_blocks(params: FitParameters) -> bool:
    """Whether a fit from row blocks is possible."""
    if params.family is None or params.family.option_for_parts:
        return False
    parametric = not params.family.needs_all_rows
    return parametric and _unsupported_option(params) is None and isinstance(params.init, str)
