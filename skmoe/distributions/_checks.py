"""Validation of the arguments of distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import utils


def check_coverage(coverage: Any) -> float:
    """A coverage must be a probability in (0, 1)."""
    if not isinstance(coverage, (float, np.floating)) or not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be a probability in (0, 1); got {coverage!r}. For 90 % use 0.9."
        )
    return float(coverage)


def check_random_state(random_state: Any) -> np.random.RandomState:
    """The random state of a parameter `random_state`."""
    try:
        return utils.check_random_state(random_state)
    except ValueError:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1, or a RandomState of NumPy; "
            f"got {random_state!r}. Pass an integer such as random_state=0."
        ) from None
