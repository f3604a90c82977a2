"""Which starts were run to their ends, and how they are compared."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, two_regimes
from sklearn import datasets
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


@pytest.fixture(scope="module")
def diabetes():
    return datasets.load_diabetes(return_X_y=True)


def test_dropped_starts_are_marked(diabetes):
    moe = MixtureOfExpertsRegressor(2, n_init=6, random_state=0).fit(*diabetes)
    assert moe.start_converged_.shape == (6,)
    assert moe.start_converged_.dtype == bool
    assert 0 < moe.start_converged_.sum() < 6
    for converged, trace in zip(moe.start_converged_, moe.start_traces_, strict=True):
        assert converged or len(trace) in (15, 45)
    text = str(moe.summary())
    number = moe.start_converged_.sum()
    assert re.search(f"starts run to the end +{number} of 6", text)
    assert "best to worst" not in text


def test_starts_run_to_their_ends_find_the_optima_of_single_starts(diabetes):
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, combine="best_converged", **fixed).fit(*diabetes)
    assert moe.start_converged_.all()
    assert moe.lower_bound_ == moe.start_lower_bounds_.max()
    assert moe.converged_
    assert moe.n_iter_ == len(moe.lower_bounds_)
    best = int(np.argmax(moe.start_lower_bounds_))
    assert_array_equal(moe.lower_bounds_, moe.start_traces_[best])
    raced = clone(moe).set_params(combine="best").fit(*diabetes)
    assert moe.lower_bound_ >= raced.lower_bound_ - 1e-4
    text = str(moe.summary())
    assert re.search("starts run to the end +4 of 4", text)
    spread = np.ptp(moe.start_lower_bounds_)
    assert f"of the 4 starts run to the end differ by at most {spread:.1g} per row." in text
    alone = MixtureOfExpertsRegressor(2, init="kmeans", n_init=1, **fixed).fit(*diabetes)
    assert np.abs(moe.start_lower_bounds_ - alone.lower_bound_).min() < 1e-3


def test_best_converged_of_classes_and_of_given_starts():
    X, y = flipping_classes(n_rows=200)
    moe = MixtureOfExpertsClassifier(2, combine="best_converged", n_init=2, random_state=0)
    assert moe.fit(X, y).start_converged_.shape == (2,)
    X, y = two_regimes(n_rows=200)
    resp = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    given, plain = (
        MixtureOfExpertsRegressor(2, init=resp, combine=combine).fit(X, y)
        for combine in ("best_converged", "best")
    )
    assert_array_equal(given.expert_coef_, plain.expert_coef_)
    warm = MixtureOfExpertsRegressor(2, combine="best_converged", warm_start=True, random_state=0)
    assert warm.fit(X, y).fit(X, y).start_converged_.shape == (1,)


def test_other_ways_of_fitting_have_the_attribute(diabetes):
    X, y = diabetes
    mean = MixtureOfExpertsRegressor(2, combine="average", n_init=2, random_state=0).fit(X, y)
    assert mean.start_converged_.all()
    stream = MixtureOfExpertsRegressor(2, random_state=0).partial_fit(X, y)
    assert_array_equal(stream.start_converged_, [False])
    alone = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, y)
    assert "starts run" not in str(alone.summary())
    saved = MixtureOfExpertsRegressor.from_dict(mean.to_dict())
    assert_array_equal(saved.start_converged_, mean.start_converged_)
