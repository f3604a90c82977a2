"""Experts that have collapsed: nearly all rows are left to others."""

from __future__ import annotations

from skmoe._numerics.typing import Array

# An expert has collapsed if its responsibilities sum to less than this weight, or than this
# fraction of the total weight.
MIN_EXPERT_WEIGHT = 2.0
MIN_WEIGHT_FRACTION = 1e-3


# First words of the warning.
COLLAPSED = "Experts have collapsed"


def is_collapsed(responsibility_mass: Array) -> Array:
    """Which experts have lost nearly all rows, from their summed responsibilities (K,)."""
    total = responsibility_mass.sum()
    return (responsibility_mass < MIN_EXPERT_WEIGHT) | (
        responsibility_mass < MIN_WEIGHT_FRACTION * total
    )
