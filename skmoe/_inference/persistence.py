"""How long the regimes of series last: expected durations, and where they lead."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtri, softmax

from skmoe._inference.coefficients import TRANSITIONS
from skmoe._inference.inference import Inference
from skmoe._inference.labels import format_number, printable_name
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array

# Least share of the transitions from a regime whose probabilities the data determine.
LEAST_KNOWN = 0.9

# Expected number of rows from which on no duration is printed, and what is said instead.
LONGEST = 1e6
HARDLY_EVER_LEFT = "is hardly ever left"

# Most experts that are named as the next one, and their least probability.
MAX_NAMED = 3
LEAST_NAMED = 0.01


class Duration(NamedTuple):
    """Expected number of successive rows of a regime at the mean features, with an interval."""

    expected: float
    low: float  # NaN without standard errors, or where they are not determined
    high: float


def expected_durations(estimator: Any, inference: Inference | None, level: float) -> list[Duration]:
    """The expected duration of each regime: one over the probability of leaving [1]_.

    Intervals are those of a normal distribution of the log of the duration beyond its first row,
    which is minus the log odds of leaving.

    References
    ----------
    .. [1] J. D. Hamilton (1994), "Time Series Analysis", Princeton University Press, section 22.2.
    """
    leaves = np.maximum(1.0 - np.diag(estimator.transition_matrix_), np.finfo(float).tiny)
    found = [Duration(float(1.0 / own), np.nan, np.nan) for own in leaves]
    if inference is None or not inference.method:
        return found
    names, known = estimator.expert_names_, np.array([not r for r in inference.reasons])
    for listed in (own for own in inference.blocks if own.origin is not None):
        k, others = listed.origin, [name for name in names if name != names[listed.origin]]
        part = f"{TRANSITIONS} {names[k]}"
        index = np.array([i for i, term in enumerate(inference.terms) if term.part == part])
        at_means = np.kron(np.eye(len(others)), np.append(1.0, listed.scaling[0]))
        logits = at_means @ inference.estimates[index]
        slope: Array = softmax(logits)
        is_known = known[index].reshape(len(others), -1).all(axis=1)
        if slope[is_known].sum() < LEAST_KNOWN:
            continue
        of_means = np.where(is_known, slope, 0.0) @ at_means  # hardly any leave for the others
        covariance = np.nan_to_num(inference.full_covariance[np.ix_(index, index)])
        error = ndtri(0.5 + 0.5 * level) * np.sqrt(of_means @ covariance @ of_means)
        with np.errstate(over="ignore"):
            ends = 1.0 + np.exp(-logsumexp(logits) + error * np.array([-1.0, 1.0]))
        found[k] = Duration(found[k].expected, *ends.tolist())
    return found


def describe_regimes(
    estimator: Any, fitted: FittedMixture, inference: Inference | None, level: float
) -> list[str]:
    """How long each regime lasts and which one is next, in words."""
    matrix, names = estimator.transition_matrix_, estimator.expert_names_
    at_means = " at the mean features" if fitted.mixture.gate.depends_on_features else ""
    described = []
    for k, own in enumerate(expected_durations(estimator, inference, level)):
        if own.expected > LONGEST:
            described.append(HARDLY_EVER_LEFT)
            continue
        text = f"lasts {format_number(own.expected, 3)} rows on average{at_means}"
        if np.isfinite(own.low):
            ends = " to ".join(format_number(end, 3) for end in own[1:])
            text += f" ({100 * level:g} % interval {ends})"
        others = np.delete(np.arange(len(names)), k)
        leaves = matrix[k, others] / max(matrix[k, others].sum(), np.finfo(float).tiny)
        if len(others) > 1:
            nexts = [
                f"{printable_name(names[others[i]])} ({100 * leaves[i]:.0f} %)"
                for i in np.argsort(-leaves, kind="stable")[:MAX_NAMED]
                if leaves[i] >= LEAST_NAMED
            ]
            text += f", then {', '.join(nexts)}"
        described.append(text)
    return described
