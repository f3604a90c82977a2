"""Folds that rows, groups or classes do not permit are refused with the number and a remedy."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.refusals import assert_fit_refused

N = 24
X = np.arange(2.0 * N).reshape(N, 2)
Y = np.arange(float(N))
GROUPS = np.arange(N) // 2
RARE = np.arange(N) < 2

# Options, target, arguments of the fit, the name of what is wrong, and words of the refusal.
CASES = {
    "more folds than rows": ({"cross_fit": 30}, Y, {}, "cross_fit=30", "number of rows, 24"),
    "more folds than groups": (
        {"cross_fit": 13},
        Y,
        {"groups": GROUPS},
        "cross_fit=13",
        "number of groups, 12",
        "groups",
    ),
    "more folds than rows of a class": ({"cross_fit": 3}, RARE, {}, "cross_fit=3", "class, 2"),
    "one group": (
        {"cross_fit": 2},
        Y,
        {"groups": np.zeros(N)},
        "cross_fit=2",
        "number of groups, 1",
        "Leave groups out",
    ),
    "groups without a label": (
        {},
        Y,
        {"groups": np.where(GROUPS == 3, np.nan, GROUPS)},
        "groups",
        "labels",
    ),
    "groups of other rows": ({}, Y, {"groups": GROUPS[1:]}, "groups", "each of the 24 rows"),
}


@pytest.mark.parametrize("case", CASES)
def test_folds_that_the_rows_do_not_permit_are_refused(case):
    options, y, given, name, *words = CASES[case]
    kind = MixtureOfExpertsClassifier if y is RARE else MixtureOfExpertsRegressor
    moe = kind(1, expert="tree", n_init=1, random_state=0, **options)
    assert_fit_refused(moe, (X, y), name, *words, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, ("2 distinct rows", "got 1")), ({"groups": np.zeros(N)}, ("2 groups", "got 1"))],
)
def test_a_base_model_needs_rows_that_it_is_not_fitted_on(given, words):
    moe = MixtureOfExpertsRegressor(1, base=Ridge(), n_init=1, random_state=0)
    rows = (X, Y) if given else (np.zeros((N, 2)), np.zeros(N))
    assert_fit_refused(moe, rows, "base", *words, **given)
