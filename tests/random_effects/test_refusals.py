"""Random effects that no fit and no prediction can have are refused, with the rule and a remedy."""

import numpy as np
import pytest

from support.fits import fit_quietly
from support.people import regressor, table
from support.refusals import assert_fit_refused, assert_refused, refusal

DATA = table()
X, Y, UNITS, N = DATA.X, DATA.y, DATA.units, len(DATA.y)
ROWS = np.arange(N)
OWN = {"units": UNITS}

# Name of what is wrong, words of rule, value and remedy; options of the mixture, and what is given.
FITS = {
    "no units": (("random_features", "Pass units="), {}, {}),
    "other noise": (
        ("random_features", "family='gamma'", "closed form", 'family="normal"'),
        {"family": "gamma"},
        OWN,
    ),
    "series": (("random_features", "gate='markov'", "Use one of both"), {"gate": "markov"}, OWN),
    "trees": (("random_features", "expert='tree'", 'expert="linear"'), {"expert": "tree"}, OWN),
    "dispersions": (
        ("random_features", "dispersion_features=[0]", "random_features=None"),
        {"dispersion_features": [0]},
        OWN,
    ),
    "units of one row": (
        ("random_features", "units with several rows", "random_features=None"),
        {},
        {"units": ROWS},
    ),
    "weights that differ in a unit": (
        ("sample_weight", "equal in all rows of a unit", "random_features", "row"),
        {},
        OWN | {"sample_weight": 1.0 + (ROWS == 3)},
    ),
    "an unknown column": (("random_features", "9"), {"random_features": [9]}, OWN),
    "an unknown covariance": (
        ("random_covariance", "'shared'", "'full'"),
        {"random_covariance": "full"},
        OWN,
    ),
    "time": (("time", "orders the rows"), {}, OWN | {"time": ROWS}),
}


@pytest.mark.parametrize("name", FITS)
def test_fits_are_refused(name):
    words, options, given = FITS[name]
    assert_fit_refused(regressor(**options), (X, Y), *words, **given)


def test_other_families_are_refused_for_all_their_names():
    for family in ("student_t", "poisson", ["normal", "student_t"]):
        message = refusal(regressor(family=family).fit, X, np.abs(np.round(Y)), units=UNITS)
        assert_refused(message, "random_features", "no" if family == "none" else "closed form")


def test_predictions_are_refused():
    moe = fit_quietly(regressor(max_iter=5), X, Y, units=UNITS)
    assert_refused(refusal(moe.predict, X, y=Y), "y", "units", "Pass units=")
    assert_refused(refusal(moe.predict, X, y=Y, units=UNITS, time=ROWS), "predictions", "markov")
    assert_refused(refusal(moe.predict, X, y=Y[:3], units=UNITS), "X and y", "same number")
    assert not hasattr(moe, "partial_fit")
