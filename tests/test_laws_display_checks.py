"""What displays accept and what they refuse, with bounds that are reached exactly."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from cases import Y, fitted_case
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection._checks import (
    check_any_features,
    check_counts,
    check_drawable,
    check_features,
    check_frequencies,
    check_has_coefficients,
    check_level,
    check_mixture,
    check_n_experts_selected,
    check_names,
    check_names_of_experts,
    check_panels,
    check_pit,
    check_pit_left,
    check_responsibilities,
    check_rows,
    check_table,
    check_target,
    check_unit_responsibilities,
)
from skmoe.reports import UnitResponsibilities

X3 = np.random.default_rng(0).normal(size=(12, 3))


def mixture(names=None, n_features=3, n_experts=2):
    """What checks of names and columns ask of a mixture."""
    given = {} if names is None else {"feature_names_in_": np.array(names, dtype=object)}
    return SimpleNamespace(
        n_features_in_=n_features,
        n_experts_=n_experts,
        expert_names_=[f"expert {k}" for k in range(n_experts)],
        **given,
    )


# --- estimators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, "Pass a MixtureOfExpertsRegressor"),
        ({"regressor_": None}, "Pass its regressor_"),
        ({"best_params_": None}, "Use refit=True"),
        ({"regressor_": None, "best_params_": None}, "Pass its regressor_"),
    ],
)
def test_what_is_no_mixture_is_refused_with_its_own_remedy(given, remedy):
    with pytest.raises(TypeError, match=f"got SimpleNamespace. {remedy}"):
        check_mixture(SimpleNamespace(**given))


def test_mixtures_are_checked_to_be_fitted_to_choose_their_number_and_to_have_coefficients():
    with pytest.raises(NotFittedError):
        check_mixture(MixtureOfExpertsRegressor())
    for case in ("linear-regressor", "linear-classifier"):
        check_mixture(fitted_case(case))
        check_has_coefficients(fitted_case(case), "ThisDisplay")
        with pytest.raises(ValueError, match="got n_experts=3"):
            check_n_experts_selected(fitted_case(case))
    check_n_experts_selected(SimpleNamespace(n_experts_tried_=[1, 2]))
    with pytest.raises(ValueError, match="ThisDisplay needs experts with linear predictors"):
        check_has_coefficients(fitted_case("trees"), "ThisDisplay")


# --- names and features ---------------------------------------------------------------------------


def test_names_are_those_given_or_those_of_the_fit_or_numbers():
    assert check_names(mixture(), None) == ["x0", "x1", "x2"]
    assert check_names(mixture(["a", "b", "c"]), None) == ["a", "b", "c"]
    assert check_names(mixture(["a", "b", "c"]), ["p", "q", "r"]) == ["p", "q", "r"]
    assert check_names(mixture(), ("p", "q", "r")) == ["p", "q", "r"]
    for wrong in (["p", "q"], ["p", "q", "r", "s"]):
        with pytest.raises(ValueError, match=f"each of the 3 features .* got {len(wrong)}"):
            check_names(mixture(["a", "b", "c"]), wrong)
    with pytest.raises(ValueError, match="must be a list of names; got 'pqr'"):
        check_names(mixture(), "pqr")


def test_names_of_experts_are_those_given_or_those_of_the_fit():
    assert check_names_of_experts(mixture(), None) == ["expert 0", "expert 1"]
    assert check_names_of_experts(mixture(), ["calm", "wild"]) == ["calm", "wild"]
    for wrong in (["calm"], ["calm", "wild", "odd"], "ab", ["calm", "calm"]):
        with pytest.raises(ValueError, match="expert_names"):
            check_names_of_experts(mixture(), wrong)


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        (1, [1]),
        (-1, [2]),
        ("b", [1]),
        (["c"], [2]),
        ((2, 0), [2, 0]),
        (["c", "a"], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        (np.array(["b", "c"]), [1, 2]),
    ],
)
def test_features_are_chosen_by_index_name_or_mask(value, columns):
    named = mixture(["a", "b", "c"])
    assert check_any_features("features", value, named, None) == columns
    assert check_features("features", value, named, None, 2) == columns
    assert check_any_features("features", value, mixture(), ["a", "b", "c"]) == columns
    assert all(type(column) is int for column in check_any_features("features", value, named, None))
    if len(columns) > 1:
        with pytest.raises(ValueError, match=r"features must be one feature, .* Draw each at"):
            check_features("features", value, named, None, 1)


def test_features_of_displays_have_a_largest_number_and_known_names():
    assert check_any_features("features", None, mixture(), None) == [0, 1, 2]
    for most, text in ((1, "one feature, .* Draw each"), (2, "one feature or two, .* Draw two")):
        for value in (None, [0, 1, 2]):
            with pytest.raises(ValueError, match=f"features must be {text} at a time"):
                check_features("features", value, mixture(), None, most)
    named = mixture(["a", "b", "c"])
    for wrong in ("d", 3, [], [True, False]):
        with pytest.raises(ValueError, match="features"):
            check_any_features("features", wrong, named, None)
    with pytest.raises(ValueError, match="features"):
        check_any_features("features", "a", mixture(), None)  # there are no names
    with pytest.raises(ValueError, match="features"):
        check_any_features("features", [0, "a"], mixture(["0", "a", "b"]), None)
    # Names that are given take the place of those of the fit.
    assert check_any_features("features", "p", named, ["p", "q", "r"]) == [0]
    with pytest.raises(ValueError, match="features"):
        check_any_features("features", "a", named, ["p", "q", "r"])


def test_panels_are_the_entries_of_a_list_and_other_values_are_one_panel():
    named = mixture(["a", "b", "c"])
    for value, panels in (
        (1, [[1]]),
        ((1, 2), [[1, 2]]),
        (["a"], [[0]]),
        (["b", "a"], [[1], [0]]),
        ([0, ("c", "a")], [[0], [2, 0]]),
    ):
        assert check_panels("features", value, named, None, 2) == panels
    with pytest.raises(ValueError, match="features must not be empty"):
        check_panels("features", [], named, None, 2)
    with pytest.raises(ValueError, match="features must be one feature"):
        check_panels("features", [0, (1, 2)], named, None, 1)


@pytest.mark.parametrize("level", [0.5, 1e-9, 1.0 - 1e-9, np.float32(0.5), None])
def test_levels_are_numbers_between_zero_and_one(level):
    found = check_level(level)
    assert found is None if level is None else (type(found), found) == (float, float(level))


@pytest.mark.parametrize("level", [0.0, 1.0, 0, 1, -0.5, 1.5, True, False, "0.9", np.nan])
def test_levels_that_are_no_share_are_refused(level):
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
        check_level(level)


# --- tables ---------------------------------------------------------------------------------------


class Recorder(SimpleNamespace):
    """Writes down for which rows the gate is asked."""

    def predict_gate(self, X):
        self.asked = X
        if X.shape[1] != 3:
            raise ValueError("X has another number of columns.")


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, sparse.csr_array, np.ndarray.tolist])
def test_tables_stay_what_they_are_and_are_tried_with_their_first_row(make):
    table = make(X3)
    recorder = Recorder()
    found = check_table(recorder, table)
    assert recorder.asked.shape == (1, 3)
    assert found.shape == (12, 3)
    if sparse.issparse(table):
        assert sparse.issparse(found)
        assert found.format == "csc"
        assert_array_equal(found.toarray(), X3)
        assert_array_equal(recorder.asked.toarray(), X3[:1])
    else:
        assert isinstance(found, pd.DataFrame) == isinstance(table, pd.DataFrame)
        assert_array_equal(np.asarray(found), X3)
        assert_array_equal(np.asarray(recorder.asked), X3[:1])
    with pytest.raises(ValueError, match="another number of columns"):
        check_table(Recorder(), make(X3[:, :2]))


def test_the_first_row_of_a_frame_is_that_of_any_index():
    for index in (np.arange(12.0) + 7.5, list("abcdefghijkl"), np.arange(12)[::-1]):
        recorder = Recorder()
        check_table(recorder, pd.DataFrame(X3, index=index))
        assert_array_equal(np.asarray(recorder.asked), X3[:1])


def test_missing_values_stay_in_tables():
    table = X3.copy()
    table[0, 0] = np.nan
    assert_array_equal(check_table(Recorder(), table), table)


@pytest.mark.parametrize(
    ("y", "n_found"), [(np.ones(11), 11), (np.ones(13), 13), (np.float64(1.0), 0), ([], 0)]
)
def test_targets_have_as_many_values_as_there_are_rows(y, n_found):
    for right in (np.ones(12), [1] * 12, np.ones((12, 2)), pd.Series(np.ones(12))):
        assert check_rows("y", Recorder(), X3, right).shape == (12, 3)
    with pytest.raises(
        ValueError, match=f"y must have a value for each of the 12 .* got {n_found}"
    ):
        check_rows("y", Recorder(), X3, y)


def test_features_that_are_drawn_hold_different_numbers():
    for column in ([1.0, 2.0], [1.0, np.nan, 2.0], [-np.inf, 0.0, 1.0]):
        table = np.array(column)[:, None]
        assert_array_equal(check_drawable(table, 0, "height"), column)
    for column in ([1.0, 1.0], [1.0], [np.nan, 1.0], [np.nan, np.nan], [np.inf, 1.0, np.nan]):
        with pytest.raises(ValueError, match="must vary in X to be drawn; 'height' does not"):
            check_drawable(np.array(column)[:, None], 0, "height")
    for frame in (pd.DataFrame, pl.DataFrame):
        table = frame({"n": [1, 2], "word": ["a", "b"]})
        assert_array_equal(check_drawable(table, 0, "n"), [1, 2])
        with pytest.raises(ValueError, match="'word' holds categories"):
            check_drawable(table, 1, "word")


# --- targets --------------------------------------------------------------------------------------


def test_outputs_are_chosen_by_their_index():
    one, two = fitted_case("linear-regressor"), fitted_case("outputs")
    table = np.zeros((4, 2))
    assert check_target(one, None, table) == check_target(one, 0, table) == 0
    for target in (0, 1, np.int64(1)):
        found = check_target(two, target, table)
        assert (type(found), found) == (int, target)
    for moe, n_outputs, wrong in (
        (one, 1, (1, -1, 0.0, False, "y")),
        (two, 2, (None, 2, -1, 1.0, True)),
    ):
        for target in wrong:
            with pytest.raises(ValueError, match=f"from 0 to {n_outputs - 1}; got"):
                check_target(moe, target, table)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_chosen_by_their_label_and_of_two_the_second_is_drawn(n_classes):
    X, codes = flipping_classes(60, n_classes)
    labels = np.array(["no", "yes", "zebra"])
    moe = MixtureOfExpertsClassifier(1, max_iter=2, random_state=0)
    moe = quiet(moe, X, labels[codes])
    for code, label in enumerate(labels[:n_classes]):
        assert check_target(moe, label, X) == code
    for wrong in ("maybe", 0):
        with pytest.raises(ValueError, match="target must be one of the classes seen in fit"):
            check_target(moe, wrong, X)
    if n_classes == 2:
        assert check_target(moe, None, X) == 1
    else:
        with pytest.raises(ValueError, match="got None"):
            check_target(moe, None, X)


# --- numbers that are drawn -----------------------------------------------------------------------


def test_transforms_lie_between_zero_and_one():
    for right in ([0.0, 0.5, 1.0], [0.3]):
        assert_array_equal(check_pit(right), right)
        assert_array_equal(check_pit_left(right, np.array(right)), right)
        assert_array_equal(check_pit_left(np.zeros(len(right)), np.array(right)), 0.0)
    for wrong in (0.5, [[0.5]], []):
        with pytest.raises(ValueError, match="pit must be one-dimensional"):
            check_pit(wrong)
    for wrong in (-1e-9, 1.0 + 1e-9, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            check_pit([0.5, wrong])
    pit = np.array([0.5, 0.25])
    for wrong in ([0.5], [[0.5, 0.25]]):
        with pytest.raises(ValueError, match=r"the shape of pit, \(2,\)"):
            check_pit_left(wrong, pit)
    for wrong in (-1e-9, 0.25 + 1e-9, np.nan):
        with pytest.raises(ValueError, match=r"between 0 and pit.* for 0\.25"):
            check_pit_left([0.5, wrong], pit)


def test_responsibilities_are_probabilities():
    for right in ([[1.0]], [[0.0, 1.0], [0.25, 0.75]], [[0.5, 0.5 + 5e-7]]):
        assert_array_equal(check_responsibilities(right), right)
        found, of_units = check_unit_responsibilities(right)
        assert_array_equal(found, right)
        assert not of_units
    for wrong in ([0.5, 0.5], [[[1.0]]], np.empty((0, 2)), np.empty((2, 0))):
        with pytest.raises(ValueError, match=r"responsibilities must have shape"):
            check_responsibilities(wrong)
    for wrong in ([0.5, 0.5 + 1e-4], [0.5, 0.5 - 1e-4], [1.5, -0.5], [np.nan, 0.5]):
        with pytest.raises(ValueError, match="rows that sum to 1; row 1 is"):
            check_responsibilities([[0.5, 0.5], wrong, wrong])


def test_responsibilities_of_units_are_known_as_such():
    table = fitted_case("units").responsibilities(np.zeros((6, 2)), Y[:6], units=np.arange(6) // 2)
    assert isinstance(table, UnitResponsibilities)
    found, of_units = check_unit_responsibilities(table)
    assert of_units
    assert_array_equal(found, table.proba)


def test_counts_are_whole_numbers_for_all_rows():
    for right in ([0, 1, 7], [0.0, 1e6], [3]):
        assert_array_equal(check_counts(right), right)
        assert_array_equal(check_counts(right, len(right)), right)
        both = np.column_stack([right, right[::-1]])
        assert_array_equal(check_counts(both, len(right), 1), right[::-1])
        assert_array_equal(check_counts(both, None, 0), right)
    for wrong, n_rows in ((2.0, None), ([], None), ([[[1]]], None), ([1, 2], 3), ([1, 2], 1)):
        with pytest.raises(ValueError, match="y must have a count for each"):
            check_counts(wrong, n_rows)
    with pytest.raises(ValueError, match=r"each of the 2 rows of X; got shape \(2, 1\)"):
        check_counts([[1], [2]], 2, 1)
    with pytest.raises(ValueError, match=r"for each row; got shape \(\)"):
        check_counts(2.0)
    for wrong in (-1.0, 0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"row 1 holds {wrong:g}"):
            check_counts([1.0, wrong, wrong])


def test_frequencies_are_numbers_of_rows():
    for right in ([0.0], [0.0, 2.5, np.inf], (1, 2)):
        assert_array_equal(check_frequencies(right), right)
    for wrong in ([], [[1.0]], 1.0, [1.0, -1e-9], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="expected must be one-dimensional"):
            check_frequencies(wrong)
