"""Errors of a model of all rows, from those of models of fewer rows.

Out-of-fold errors are those of models that have seen fewer rows than the model that predicts, and
are larger. Near n rows, errors are proportional to a power of n: the learning curve [1]_. A fit to
half of the rows gives the exponent. This removes the bias of cross-validated errors, which [2]_
estimates from the same models.

References
----------
.. [1] C. Cortes, L. D. Jackel, S. A. Solla, V. Vapnik and J. S. Denker (1994), "Learning curves:
   asymptotic values and rate of convergence", Advances in Neural Information Processing Systems 6,
   327-334.
.. [2] P. Burman (1989), "A comparative study of ordinary cross-validation, v-fold cross-validation
   and the repeated learning-testing methods", Biometrika 76, 503-514.
"""

from __future__ import annotations

import numpy as np

from skmoe._numerics.typing import Array

# Weight of the rows below which a fit is too different from one of all rows.
MIN_ROWS_OF_CURVE = 50.0

# Largest exponent: errors that halve when the number of rows doubles.
MAX_ERROR_EXPONENT = 1.0

# Weight of the prior of an exponent of zero, in held-out rows.
PRIOR_HELD_OUT_ROWS = 20.0


def error_exponent(decrease: Array, ratio: float, n_held_out: float) -> Array:
    """Exponents b, (m,), if n rows give errors that are proportional to n to the power -b.

    `decrease` (m,) is that of the log size of errors in `n_held_out` rows, from one model to
    another that has seen `ratio` times as many rows.
    """
    shrinkage = n_held_out / (n_held_out + PRIOR_HELD_OUT_ROWS)
    return np.asarray(shrinkage * np.clip(decrease / np.log(ratio), 0.0, MAX_ERROR_EXPONENT))
