"""Constructor parameters: what is valid is taken, and what is not is refused by name."""

import numpy as np
import pytest
from cases import classifier, regressor
from numpy.testing import assert_array_equal
from sklearn.linear_model import Ridge

from skmoe._estimators import parameters as checks
from skmoe._estimators.parameters import INIT_SUM_TOL, MIN_ROWS_FOR_SELECTION, MIN_ROWS_PER_EXPERT
from skmoe._estimators.part_parameters import is_family
from skmoe._numerics.evidence import PenaltySearch
from skmoe.experts import LinearExperts

# --- single values ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["auto", "oob", False, 2, 5, np.int64(3)])
def test_folds_are_a_number_or_a_name(value):
    found = checks.check_cross_fit(value)
    assert found == value
    assert type(found) in (str, bool, int)


@pytest.mark.parametrize("value", ["none", True, np.True_, np.False_, 0, 1, -3, 2.0, None, [3]])
def test_other_folds_are_refused(value):
    with pytest.raises(ValueError, match='cross_fit must be "auto", "oob", False or an integer'):
        checks.check_cross_fit(value)


def test_levels_and_numbers_have_bounds():
    for value, expected in ((0, 0), (1, 1), (3, 3), (True, 1), (False, 0)):
        assert checks.check_verbose(value) == expected
    for value in (-1, 1.5, "one"):
        with pytest.raises(ValueError, match="verbose must be"):
            checks.check_verbose(value)
    assert checks.check_top_k(None, 2) is None
    assert [checks.check_top_k(k, 2) for k in (1, 2)] == [1, 2]
    for value in (0, 3, 1.5):
        with pytest.raises(ValueError, match="top_k must"):
            checks.check_top_k(value, 2)
    for value in (None, "mean", "first"):
        assert checks.check_gate_aggregate(value) is value
    for value in ("last", 1, ["mean"], False):
        with pytest.raises(ValueError, match="gate_aggregate must be None"):
            checks.check_gate_aggregate(value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("n_experts", [1, 7], [0, 1.5, None, True]),
        ("n_init", [1, 9], [0, -1, 2.5]),
        ("max_iter", [1, 9], [0, "many"]),
        ("tol", [0.0, 1e-3, 1], [-1e-3, np.nan, "small"]),
        ("balance", [0.0, 2.5], [-0.5, np.inf, None]),
        ("warm_start", [True, False], [2, "yes", None]),
        ("specialize", [True], [2, "yes", None]),
        ("n_jobs", [None, 1, -1], [0, 1.5]),
        ("alpha", [0.0, 1, "auto", None], [-1.0, "none", [1.0]]),
        ("gate_alpha", [0.0, 1, "ard", None], [-1.0, "none", [1.0]]),
        ("dispersion_prior", [0.0, 2, "auto"], [-1.0, "ard"]),
        ("combine", ["best", "best_converged"], ["worst", None, 1]),
    ],
)
def test_parameters_have_their_values(name, good, bad):
    for value in good:
        assert regressor(**{name: value})._validate_parameters() is not None
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{name} must"):
            regressor(**{name: value})._validate_parameters()


def test_validated_parameters_are_those_that_were_given():
    given = {
        "n_experts": 3,
        "gate_features": [0],
        "expert_features": [1],
        "shared_features": [1],
        "n_init": 5,
        "init": "kmeans",
        "max_iter": 17,
        "tol": 0.25,
        "cross_fit": 4,
        "top_k": 2,
        "balance": 0.5,
        "warm_start": True,
        "random_state": 3,
        "n_jobs": 2,
        "base": None,
        "gate_aggregate": "first",
    }
    params = regressor(**given)._validate_parameters()
    assert {name: getattr(params, name) for name in given} == given
    assert params.specialize
    assert params.seed() == np.random.RandomState(3).randint(np.iinfo(np.int32).max)


def test_a_single_expert_has_no_gate_to_search_for():
    for n_experts in (1, 2):
        options = {"n_experts": n_experts, "alpha": "ard", "gate_alpha": "ard"}
        search = regressor(**options)._validate_parameters().search
        assert search.gate == PenaltySearch("ard" if n_experts > 1 else "")
        assert search.experts == PenaltySearch("ard")


def test_experts_are_a_family_or_estimators():
    linear, trees = (regressor(expert=e)._validate_parameters() for e in ("linear", "tree"))
    counts = regressor(expert="tree", family="poisson")._validate_parameters()
    assert (linear.uses_estimators, trees.uses_estimators) == (False, True)
    assert linear.density is linear.family
    assert trees.density is None
    assert counts.density is counts.mean_family is not None
    assert linear.standardizes_target
    assert not trees.standardizes_target
    assert not regressor(family="poisson")._validate_parameters().standardizes_target


# --- metadata ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, set()),
        ({"expert": LinearExperts()}, set()),
        ({"base": Ridge()}, {"groups"}),
        ({"expert": "tree"}, {"groups"}),
        ({"expert": ["tree", "linear", "tree"]}, {"groups"}),
        ({"expert": Ridge()}, {"groups", "extra"}),
        ({"expert": ["tree", Ridge(), "linear"]}, {"groups", "extra"}),
    ],
)
def test_metadata_need_something_that_uses_them(options, allowed):
    params = regressor(**options)._validate_parameters()
    checks.check_metadata_used({}, params)
    for names in ({"groups"}, {"extra"}, {"groups", "extra"}):
        metadata = dict.fromkeys(sorted(names), np.ones(3))
        unused = ", ".join(sorted(names - allowed))
        if names <= allowed:
            checks.check_metadata_used(metadata, params)
            continue
        with pytest.raises(ValueError, match=rf"^{unused} cannot be used") as raised:
            checks.check_metadata_used(metadata, params)
        assert raised.match("in one fold" if unused == "groups" else "no metadata")
        shown = {"linear": 'expert="linear" takes', "object": "expert=LinearExperts.* takes"}
        expert = options.get("expert", "linear")
        kind = expert if expert == "linear" else "object" if is_family(expert) else ""
        assert raised.match(shown.get(kind, "by name take "))


# --- selection --------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["auto", "bic", "icl"])
def test_numbers_of_experts_are_selected_among_those_with_enough_rows(criterion):
    checks.check_n_experts_selection(regressor(n_experts=criterion))
    largest = checks.max_selected_n_experts
    assert (
        largest(criterion, MIN_ROWS_FOR_SELECTION) == MIN_ROWS_FOR_SELECTION // MIN_ROWS_PER_EXPERT
    )
    assert largest(criterion, 10.0 * MIN_ROWS_PER_EXPERT + 0.5) == 10
    assert largest(criterion, 11.0 * MIN_ROWS_PER_EXPERT - 0.5) == 10
    with pytest.raises(ValueError, match=f'n_experts="{criterion}" needs at least'):
        largest(criterion, MIN_ROWS_FOR_SELECTION - 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_experts": "aic"}, "integer of at least 1 or one of"),
        ({"specialize": False}, "with this specialize"),
        ({"family": ["normal", "student_t"]}, "with this family"),
        ({"expert": ("tree", "linear")}, "with this expert"),
        ({"init": np.ones((3, 1))}, "with this init"),
        ({"warm_start": True}, "with this warm_start"),
    ],
)
def test_what_has_a_given_number_of_experts_is_not_selected(options, message):
    with pytest.raises(ValueError, match=message):
        checks.check_n_experts_selection(regressor(**{"n_experts": "auto"} | options))


def test_classifiers_select_without_a_family():
    checks.check_n_experts_selection(classifier(n_experts="bic"))


# --- starts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["best", "best_converged"])
def test_the_best_start_may_be_any(combine):
    for n_init, init, warm_start in ((1, "auto", False), (2, np.ones((2, 1)), True)):
        assert checks.check_combine(combine, n_init, init, warm_start) == combine


def test_an_average_needs_several_starts_that_differ():
    assert checks.check_combine("average", 2, "kmeans", False) == "average"
    for n_init, init, warm_start, message in (
        (1, "auto", False, "n_init=1 makes only one"),
        (2, np.ones((2, 1)), False, "needs starts that differ"),
        (2, "auto", True, "does not continue"),
    ):
        with pytest.raises(ValueError, match=message):
            checks.check_combine("average", n_init, init, warm_start)


def test_initial_responsibilities_are_probabilities():
    names = ["kmeans", "tree"]
    assert [checks.check_init(name, names, 3, 2) for name in ("auto", "tree")] == ["auto", "tree"]
    good = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    for given in (good, good.tolist(), good * (1.0 + 0.5 * INIT_SUM_TOL)):
        found = checks.check_init(given, names, 3, 2)
        assert found.dtype == np.float64
        assert_array_equal(found, given)
    assert checks.check_init(good, names, 3, 2) is not good
    for bad, message in (
        ("other", "init must be one of"),
        (None, "or an array of responsibilities"),
        (1.0, "or an array of responsibilities"),
        ([], "or an array of responsibilities"),
        ([["a", "b"]], "or an array of responsibilities"),
        ([[1.0], [0.5, 0.5]], "or an array of responsibilities"),
        (good[:2], r"must have shape .* = \(3, 2\); got \(2, 2\)"),
        (good.T, r"got \(2, 3\)"),
        (good[:, 0], r"got \(3,\)"),
        (np.where(good == 1.0, np.nan, good), "finite, non-negative"),
        (np.where(good == 1.0, np.inf, good), "finite, non-negative"),
        (good - np.array([[0.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]), "finite, non-negative"),
        (good * np.array([[1.0], [1.0 + 3.0 * INIT_SUM_TOL], [1.0]]), "row 1 sums to 1"),
        (good * np.array([[1.1], [1.0], [0.5]]), r"row 2 sums to 0\.5"),
    ):
        with pytest.raises(ValueError, match=message):
            checks.check_init(bad, names, 3, 2)
