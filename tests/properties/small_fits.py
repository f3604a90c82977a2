"""Short fits of every case of `support/fits.py` on its first rows, in another form of the table."""

from functools import cache

import numpy as np
from sklearn.base import clone

from support.fits import ALL_CASES, FIXED, X, fit_quietly

N = 60
SHORT = {"max_iter": 8, "n_init": 1} | FIXED


def short(case, **options):
    """The estimator of a case, with few iterations from few starts."""
    moe = clone(ALL_CASES[case][0])
    params = moe.get_params(deep=False)
    given = {name: value for name, value in SHORT.items() if name in params}
    for name in FIXED.keys() & given.keys():
        if params[name] not in FIXED.values():  # a search, or the default
            given.pop(name)
    given["max_iter"] = min(given["max_iter"], moe.max_iter)
    return moe.set_params(**given | options)


def target(case, rows):
    return ALL_CASES[case][1][rows]


def arguments(case, rows, weight=None):
    """Weights and units of rows."""
    own = dict(ALL_CASES[case][2])
    given = {name: values[rows] for name, values in own.items()}
    if weight is not None:
        given["sample_weight"] = weight * given.get("sample_weight", 1.0)
    return given


def fit_on(case, rows, weight=None, features=None, y=None, **options):
    """A fit on rows, by index, with other weights, features or target if they are given."""
    features = X if features is None else features
    y = target(case, rows) if y is None else y[rows]
    given = arguments(case, rows, weight)
    return fit_quietly(short(case, **options), features[rows], y, **given)


@cache
def plain_fit(case):
    """The fit of a case on its first rows, which tests read only."""
    return fit_on(case, np.arange(N))


def statements(moe, features=None, **given):
    """All that a mixture says of rows, with experts in their order."""
    features = X[:N] if features is None else features
    mean = moe.predict_proba(features) if hasattr(moe, "predict_proba") else moe.predict(features)
    gate = moe.predict_gate(features, **given)
    return np.column_stack([np.reshape(mean, (len(mean), -1)), gate])


def units_of(case):
    """Units of the first rows, for methods that take them."""
    given = arguments(case, np.arange(N))
    return {"units": given["units"]} if "units" in given else {}
