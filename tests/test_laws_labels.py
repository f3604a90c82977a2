"""Labels of classes, and numbers of targets: what is taken and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe._data.target_checks import (
    MAX_TARGET,
    MIN_TARGET,
    check_labels,
    check_target,
    check_target_size,
    first_text,
)

LABELS = [np.array([0, 1, 1]), np.array([0.5, 1.5, 0.5]), np.array(["a", "b", "a"])]
LABELS += [np.array(values, dtype=object) for values in (["a", "b", "a"], [1, 2, 1])]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_of_one_kind_are_taken_in_one_or_two_dimensions(labels):
    """Only labels that are objects are looked at; scikit-learn checks the others."""
    check_labels("y", labels)
    for given in (labels, labels[:, None], labels.tolist()):
        check_target(given, is_classification=True)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_labels_that_are_missing_are_refused_wherever_they_stand(missing):
    for place in range(3):
        values = ["a", "b", "c"]
        values[place] = missing
        labels = np.array(values, dtype=object)
        with pytest.raises(ValueError, match="none missing"):
            check_target(labels, is_classification=True)
        with pytest.raises(ValueError, match=r"^units must hold labels of one kind"):
            check_labels("units", labels)


@pytest.mark.parametrize("values", [[None], [1.0, np.nan], [np.nan, 1], [np.nan], [pd.NaT]])
def test_labels_that_are_objects_may_be_numbers_but_not_missing(values):
    with pytest.raises(ValueError, match="none missing"):
        check_labels("y", np.array(values, dtype=object))


def test_targets_are_dense_and_what_is_no_target_is_left_to_others():
    for is_classification in (False, True):
        for values in (sparse.csr_array(np.eye(2)), sparse.coo_matrix(np.eye(2))):
            name = type(values).__name__
            with pytest.raises(ValueError, match=f"y must be a dense array; got a {name}"):
                check_target(values, is_classification)
        check_target(None, is_classification)
        check_target(make_pipeline(StandardScaler(), Ridge()), is_classification)


def test_numbers_and_texts_are_no_labels_of_one_kind():
    with pytest.raises(ValueError, match="of one kind"):
        check_labels("y", np.array(["a", 1, "b"], dtype=object))
    with pytest.raises(ValueError, match="none missing"):
        check_labels("y", np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match=r"one dimension; got shape \(2, 1\)"):
        check_labels("y", np.array([[0], [1]]))
    # Numbers are not looked at: scikit-learn says that they are missing.
    check_target(np.array([0.0, np.nan]), is_classification=True)


@pytest.mark.parametrize("dtype", [object, str, bytes])
def test_outputs_may_be_texts_of_numbers(dtype):
    values = np.array([["1.5", "-2e3"], ["nan", "3"]]).astype(dtype)
    check_target(values, is_classification=False)
    values[1, 1] = "two"
    with pytest.raises(ValueError, match=r"y must hold numbers; got b?'two'"):
        check_target(values, is_classification=False)


def test_dates_are_no_outputs():
    for kind in ("datetime64[D]", "timedelta64[s]"):
        with pytest.raises(ValueError, match=f"y must hold numbers; got {kind[:10]}"):
            check_target(np.array([1, 2], dtype=kind), is_classification=False)
        check_target(np.array([1, 2], dtype=kind), is_classification=True)


def test_the_first_text_is_no_number_and_nothing_missing():
    missing = ["nan", "None", "<NA>", "NaT", None, np.nan]
    for values, expected in (
        (["1", "2.5"], None),
        (missing, None),
        ([*missing, "x", "y"], "x"),
        ([1.0, np.str_("u")], "u"),
        ([b"1", b"v"], b"v"),
    ):
        found = first_text(np.array(values, dtype=object))
        assert found == expected
        assert not isinstance(found, np.generic)


@pytest.mark.parametrize("shape", [(4,), (4, 2)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_outputs_have_squares_that_are_finite_and_positive(shape, sign):
    """The bounds themselves are taken, and so are outputs that are all zero."""

    def table(value):
        values = np.zeros(shape)
        values[2] = sign * value
        return values

    for value in (0.0, MIN_TARGET, 1.0, MAX_TARGET):
        check_target_size(table(value), whole=True)
    for value in (2.0 * MAX_TARGET, np.inf):
        for whole in (False, True):
            with pytest.raises(
                ValueError, match=f"at most 1e.140 .*got {value:g}".replace("+", ".")
            ):
                check_target_size(table(value), whole=whole)
    small = 0.5 * MIN_TARGET
    check_target_size(table(small), whole=False)
    with pytest.raises(ValueError, match=f"larger than {MIN_TARGET:g}.*largest is {small:g}"):
        check_target_size(table(small), whole=True)
    check_target_size(np.zeros((0, *shape[1:])), whole=True)


def test_one_output_of_several_may_be_too_small_or_too_large():
    with pytest.raises(ValueError, match="got 3e"):
        check_target_size(np.array([[1.0, 1e150], [2.0, 3e150]]), whole=False)
    values = np.array([[1.0, 1e-150], [2.0, 3e-150]])
    with pytest.raises(ValueError, match="the largest is 3e-150"):
        check_target_size(values, whole=True)
