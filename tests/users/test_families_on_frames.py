"""Families and named trees on data frames: columns by name, missing numbers and categories."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

pandas = pytest.importorskip("pandas")


def test_shared_features_are_names_or_numbers():
    """In fits, in the fits of a bootstrap, and in streams."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])
    y = np.abs(frame["a"]) + frame["c"] + 0.2 * rng.normal(size=120)
    options = {"n_init": 1, "random_state": 0, "alpha": 0.1, "gate_alpha": 1.0}
    named = MixtureOfExpertsRegressor(
        2, expert_features=["a", "c"], shared_features=["c"], gate_features=["a"], **options
    )
    numbered = MixtureOfExpertsRegressor(
        2, expert_features=[0, 2], shared_features=[2], gate_features=[0], **options
    )
    drawn = {"method": "bootstrap", "n_bootstrap": 2, "random_state": 0}
    errors = [
        moe.fit(X, y).inference(X, y, **drawn).standard_errors
        for moe, X in ((named, frame), (numbered, frame.to_numpy()))
    ]
    assert_allclose(*errors)
    # The second batch doubles the rows, on which the mixture is initialised again.
    named, numbered = clone(named), clone(numbered)
    for rows in (slice(0, 40), slice(40, 120)):
        named.partial_fit(frame[rows], y[rows])
        numbered.partial_fit(frame.to_numpy()[rows], y[rows])
    assert_allclose(named.expert_coef_, numbered.expert_coef_)
    assert np.ptp(named.expert_coef_[:, 2]) == 0.0
    assert np.ptp(named.expert_coef_[:, 0]) > 0.5


def test_named_trees_split_missing_numbers_beside_many_categories():
    """A sparse table, as of many indicators, could have no missing values."""
    rng = np.random.default_rng(0)
    kinds = [f"kind {i % 15}" for i in range(90)]
    number = np.where(rng.uniform(size=90) < 0.3, np.nan, rng.normal(size=90))
    X = pandas.DataFrame({"kind": kinds, "number": number})
    y = np.isnan(number).astype(int)
    moe = MixtureOfExpertsClassifier(1, expert="tree", gate_features=["kind"], random_state=0)
    assert_array_equal(moe.fit(X, y).predict(X), y)
