"""Checkpoints are of one fit: what is compared, and what is not."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe._estimators.checkpoint_origin import _different, _param_digest

PARAMETERS = [
    None,
    1,
    2,
    0.5,
    "auto",
    "ard",
    True,
    [0, 1],
    ["a", "b"],
    Ridge(1.0),
    Ridge(2.0),
    [Ridge(1.0), "tree"],
    [Ridge(2.0), "tree"],
    [make_pipeline(Ridge(1.0)), make_pipeline(StandardScaler(), Ridge(1.0))],
    [make_pipeline(Ridge(2.0)), make_pipeline(StandardScaler(), Ridge(1.0))],
    np.arange(6.0).reshape(2, 3),
    np.arange(6.0).reshape(3, 2),
    np.arange(6).reshape(2, 3),
    np.random.RandomState(0),
    np.random.RandomState(1),
]


def test_parameters_that_differ_have_different_digests():
    digests = [_param_digest(value) for value in PARAMETERS]
    assert len(set(digests)) == len(digests)


def test_arrays_and_generators_that_are_equal_have_the_same_digest():
    array = np.random.default_rng(0).normal(size=(4, 3))
    for other in (array.copy(), np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]):
        assert _param_digest(other) == _param_digest(array)
    one, two = np.random.RandomState(3), np.random.RandomState(3)
    assert _param_digest(one) == _param_digest(two)
    one.normal()
    assert _param_digest(one) != _param_digest(two)


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, []),
        ({"b": 1, "a": 2}, {"a": 3, "b": 0}, ["a", "b"]),
        ({"b": 1, "a": 2}, {"b": 1}, ["a"]),
        ({"b": 1}, {"b": 1, "c": 2}, ["c"]),
        ({}, {"b": 1}, ["b"]),
        ({"b": 1}, {"c": 1}, ["b", "c"]),
    ],
)
def test_names_of_one_of_two_fits_only_are_different(one, other, names):
    assert _different(one, other) == _different(other, one) == names
