"""Average effects of changes of the rows of a fitted estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from skmoe._data.rows import Rows
from skmoe._inference.average_effects import (
    AverageEffects,
    Change,
    average_effects_of,
    delta_method,
)
from skmoe._inference.coefficients import list_blocks
from skmoe._inference.results import Inference
from skmoe._numerics.probability import underflow_to_zero


@underflow_to_zero
def infer_average_effects(
    estimator: Any,
    changes: Iterable[tuple[str, Any, Any, float]],
    rows: Rows,
    on_gate: bool,
    inference: Inference | None,
) -> AverageEffects:
    """Average effects of changes: name, features at both ends, and width of each.

    `rows` have weights of sum one, and an offset.
    """
    fitted, labels, responses = estimator._fitted, estimator._labels(), estimator._response_names()
    delta = None
    if inference is not None:
        reference = getattr(inference, "gate_reference", None)
        blocks = list_blocks(estimator._in_units(fitted), responses, labels, reference)
        known = getattr(inference, "terms", None)
        if known != [term for listed in blocks for term in listed.terms]:
            raise ValueError(
                "inference must be that of this mixture, with the same names of experts; got other "
                "terms. Pass inference=moe.inference(X, y), with the data of the fit."
            )
        delta = delta_method(fitted, inference, blocks)

    def validated() -> Iterator[Change]:
        for name, low, high, width in changes:
            ends = [estimator._validate_X_offset(end, rows.offset) for end in (low, high)]
            at_low, at_high = (Rows(X, None, rows.weight, added) for X, added in ends)
            yield Change(name, at_low, at_high, width)

    return average_effects_of(fitted, validated(), responses, labels, on_gate, delta)


def predicts_steps(estimator: Any) -> bool:
    """Whether predictions may be steps: estimators are in the experts, base or gate."""
    model, _, preprocessor = estimator._fitted
    return model.experts.needs_all_rows or preprocessor.extra_features is not None
