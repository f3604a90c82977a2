"""The prior of experts with a linear predictor, found by maximising the evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmoe._numerics.evidence import (
    PenaltySearch,
    Slopes,
    dispersion_prior,
    found_penalty,
    n_determined_slopes,
)
from skmoe._numerics.typing import Array

# Least degrees of freedom of the residuals of an expert, as a fraction of its rows.
MIN_FREEDOM = 0.1


def search_priors(
    experts: Any,
    default: Any,
    search: PenaltySearch,
    slopes: Slopes,
    scales: tuple[Array, Array],
) -> Any:
    """Experts with new penalties of the slopes and a new prior of the scales.

    `scales` has the estimated scale of each expert and output, relative to the target's variance,
    and the rows that it is estimated from, both (K, m).
    """
    found: dict[str, Any] = {
        "alpha": found_penalty(search.slopes, experts.alpha, slopes, default.alpha)
    }
    scale, rows = scales
    if search.dispersions and rows.any():
        determined = n_determined_slopes(experts.alpha, slopes).reshape(rows.shape)
        if experts.shared_dispersion:
            scale, rows = scale[:1], rows.sum(axis=0, keepdims=True)
            determined = determined.sum(axis=0, keepdims=True)
        # A scale is the mode (squares + strength * center) / (rows + strength).
        strength, center = experts.dispersion_prior, np.array(experts.noise_variance)
        squares = np.maximum((rows + strength) * scale - strength * center, 0.0)
        defaults = default.dispersion_prior, np.array(default.noise_variance)
        freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
        found["dispersion_prior"], values = dispersion_prior(squares, freedom, defaults)
        found["noise_variance"] = tuple(values.tolist())
    return replace(experts, **found)
