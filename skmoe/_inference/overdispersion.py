"""Whether counts vary more within the experts than their families allow.

References
----------
P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman and Hall,
chapter 6.2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.censored_targets import has_bounds
from skmoe._data.rows import Rows, by_output
from skmoe._inference.criteria import n_parameters
from skmoe._mixture.fitted import FittedMixture

# Excess of the dispersion over one that is worth a sentence, and in standard errors.
MIN_EXCESS = 0.1
MIN_Z = 3.0


def describe_overdispersion(mixture: FittedMixture, rows: Rows, families: Sequence[Any]) -> str:
    """Sentence on families whose variance is their mean, if rows vary more; "" if not."""
    concerned = [k for k, family in enumerate(families) if family.larger_variance]
    if not concerned or has_bounds(rows.y):
        return ""
    resp = mixture.responsibilities(rows)[concerned]
    resp = resp if rows.unit is None else resp[:, rows.unit]
    mean = mixture.predict_experts(rows.X, rows.offset)[concerned]
    y = np.atleast_2d(by_output(rows.y))
    excess = (resp * ((y - mean) ** 2 / mean - 1.0).mean(axis=1)).sum(axis=0)
    weight = resp.sum(axis=0) @ rows.weight
    used_up = np.nan_to_num(n_parameters(mixture)) * len(concerned) / len(families)
    dispersion = (1.0 + excess @ rows.weight / weight) / (1.0 - min(used_up / weight, 0.5))
    error = np.sqrt(excess**2 @ rows.weight) / weight
    if not dispersion - 1.0 > max(MIN_EXCESS, MIN_Z * error):
        return ""
    used = families[concerned[0]]
    return (
        f"Within experts the variance is {dispersion:.2g} times the mean (Pearson's chi-squared "
        f'per degree of freedom), and 1 under family="{used.name}": try '
        f'family="{used.larger_variance}".'
    )
