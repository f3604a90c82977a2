"""Types of this package in files of skops [1]_, which reads only types that it is to trust.

References
----------
.. [1] https://skops.readthedocs.io
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from skmoe._data.steps import categorical_columns
from skmoe.experts._linear import EXPERTS
from skmoe.experts._named_estimators import as_categories, as_floats
from skmoe.families import FAMILIES
from skmoe.gates import GATES

__all__ = ["trusted_types"]

# Packages whose classes fitted mixtures consist of, without modules that read files; and functions
# that steps of pipelines call.
PACKAGES_OF_FITS = {
    "_data",
    "_estimators",
    "_inference",
    "_mixture",
    "experts",
    "families",
    "gates",
}
PACKAGES_OF_FITS |= {"recipes", "stacking"}
READERS = {"skmoe._data.blocks", "skmoe._estimators.rows.first_pass"}
FUNCTIONS = (as_categories, as_floats, categorical_columns)


def trusted_types() -> list[str]:
    """Names of the types of this package, for the argument `trusted` of `skops.io.load`.

    They are values, such as arrays with names, and classes whose methods read no files and start no
    programs. Types of other packages, such as those of experts that are estimators, are not among
    them: `skops.io.get_untrusted_types` lists those of a file.

    Returns
    -------
    names : list of str
        Sorted. Registered families and gates are among them.

    Examples
    --------
    >>> import skops.io
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.export import trusted_types
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> same = skops.io.loads(skops.io.dumps(moe), trusted=trusted_types())
    >>> bool((same.predict(X) == moe.predict(X)).all())
    True
    """
    experts = [kind for row in EXPERTS.values() for kind in row.values()]
    types: list[Any] = [*FUNCTIONS, *GATES.values(), *experts, *FAMILIES.values()]
    for module in walk_packages(import_module("skmoe").__path__, "skmoe."):
        if module.name.split(".")[1] in PACKAGES_OF_FITS and module.name not in READERS:
            values = vars(import_module(module.name)).values()
            types += [v for v in values if isinstance(v, type) and v.__module__ == module.name]
    return sorted({f"{kind.__module__}.{kind.__qualname__}" for kind in types})
