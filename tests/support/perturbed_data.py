"""Data sets that differ from those of the tests in the last digits.

`pytest --perturb-data 1e-13` multiplies every continuous draw of a NumPy generator, and the
continuous features and targets of the tables of scikit-learn, by 1 + 1e-13. A test that passes only
for certain digits fails then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.datasets

CONTINUOUS = (
    "beta",
    "chisquare",
    "exponential",
    "gamma",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "normal",
    "standard_cauchy",
    "standard_normal",
    "standard_t",
    "uniform",
    "weibull",
)
TABLES = ("load_diabetes", "load_iris", "load_wine", "load_breast_cancer")


def scaled(values: Any, factor: float) -> Any:
    """Values times a factor, unless they are integers."""
    array = np.asarray(values)
    is_continuous = array.dtype.kind == "f" and not (array == np.round(array)).all()
    return values * factor if is_continuous else values


def perturb(relative: float) -> None:
    """Make generators and tables return values that are multiplied by 1 + `relative`."""
    factor = 1.0 + relative
    make = np.random.default_rng

    class PerturbedGenerator(np.random.Generator):
        """A generator whose continuous draws are multiplied by a number next to one."""

    def perturbed(name: str):
        def method(self, *args, **options):
            return scaled(getattr(np.random.Generator, name)(self, *args, **options), factor)

        return method

    for name in CONTINUOUS:
        setattr(PerturbedGenerator, name, perturbed(name))

    def default_rng(seed=None):
        made = make(seed)
        return (
            made
            if isinstance(seed, np.random.Generator)
            else PerturbedGenerator(made.bit_generator)
        )

    np.random.default_rng = default_rng

    def perturbed_table(load):
        def table(*args, **options):
            found = load(*args, **options)
            if isinstance(found, tuple):
                return tuple(scaled(values, factor) for values in found)
            found["data"] = scaled(found["data"], factor)
            return found

        return table

    for name in TABLES:
        setattr(sklearn.datasets, name, perturbed_table(getattr(sklearn.datasets, name)))
