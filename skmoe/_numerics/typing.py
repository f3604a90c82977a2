"""Types of arrays, and the smallest positive number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Design = Any  # an ndarray or a scipy.sparse CSR array
Alpha = float | tuple[float, ...]  # penalty of all slopes, or of those of each feature

TINY = float(np.finfo(np.float64).tiny)
