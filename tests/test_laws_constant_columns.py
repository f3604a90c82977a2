"""A feature that is constant in the rows of a fit does not matter for its predictions.

The mean of a constant column has round-off, which must not become a standard deviation: new rows
with other values would be divided by it.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.moments import compute_moments, feature_scale, merge_moments
from skmoe._data.scaling import column_means, fit_standardization
from skmoe.blocks import RowBlocks

# Values whose sums are not exact, and small enough that their round-off is far from any data.
VALUES = [-3.0122e-8, 0.1, 1.0 / 3.0, -1e10 / 7.0, 1e-300]
CONTAINERS = {"dense": np.asarray, "sparse": sparse.csr_array, "single": np.float32}


def table(value, n_rows=3000, seed=0):
    """Three features, of which the second one is constant, a target, and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    X[:, 1] = value
    y = np.where(X[:, 0] > 0.0, X[:, 2], -X[:, 2]) + 0.1 * rng.normal(size=n_rows)
    return X, y, rng.uniform(0.1, 3.0, size=n_rows)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("n_rows", [7, 1000, 9001])
def test_constant_columns_have_no_scale_and_an_exact_mean(container, value, n_rows):
    for seed in range(3):
        X, _, weight = table(value, n_rows, seed)
        X = CONTAINERS[container](X)
        column = X.toarray()[:, 1] if sparse.issparse(X) else X[:, 1]
        _, scale = fit_standardization(X, weight)
        assert_array_equal(np.isfinite(scale), [True, False, True])
        assert column_means(X, weight)[1] == column[0]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("value", VALUES)
def test_constant_columns_of_blocks_have_no_scale(container, value):
    X, _, weight = table(value)
    X = CONTAINERS[container](X)
    moments = compute_moments(X[:700], weight[:700])
    for start in (700, 1100, 2900):
        block = slice(start, start + 800)
        moments = merge_moments(moments, compute_moments(X[block], weight[block]), 0.9)
    assert moments.std[1] == 0.0
    assert_array_equal(np.isfinite(feature_scale(moments, X).scale), [True, False, True])


def test_means_of_other_columns_are_weighted():
    X, _, weight = table(0.1)
    expected = np.average(X, axis=0, weights=weight)
    for container in (np.asarray, sparse.csr_array):
        assert_allclose(column_means(container(X), weight), expected, rtol=1e-10, atol=1e-12)


FITS = {
    "memory": lambda moe, X, y, weight: moe.fit(X, y, sample_weight=weight),
    "sparse": lambda moe, X, y, weight: moe.fit(sparse.csr_array(X), y, sample_weight=weight),
    "blocks": lambda moe, X, y, weight: moe.fit(
        RowBlocks(lambda: ((X[i : i + 700], y[i : i + 700]) for i in range(0, len(X), 700)))
    ),
    "stream": lambda moe, X, y, weight: moe.partial_fit(X[:1500], y[:1500]).partial_fit(
        X[1500:], y[1500:]
    ),
}


@pytest.mark.parametrize("value", VALUES[:3])
@pytest.mark.parametrize("path", FITS)
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_predictions_do_not_depend_on_features_that_were_constant(task, path, value):
    X, y, weight = table(value)
    if task == "regressor":
        moe = MixtureOfExpertsRegressor(2, n_init=1, tol=1e-2, random_state=0)
    else:
        moe = MixtureOfExpertsClassifier(2, n_init=1, tol=1e-2, random_state=0)
        y = y > 0.0
        if path == "stream":
            moe.partial_fit(X[:1500], y[:1500], classes=[False, True])
    FITS[path](moe, X, y, weight)
    new = X[:20].copy()
    new[:, 1] = 1e3
    predict = moe.predict if task == "regressor" else moe.predict_proba
    assert_array_equal(predict(new), predict(X[:20]))
    assert_array_equal(moe.predict_gate(new), moe.predict_gate(X[:20]))


@pytest.mark.parametrize("value", VALUES[:2])
def test_many_rows_of_one_weight_have_no_scale_of_round_off(value):
    """The round-off of a plain mean of so many rows can be more than a tolerance allows for."""
    X, y, _ = table(value, 50_000)
    weight = np.ones(len(X))
    assert_array_equal(np.isfinite(fit_standardization(X, weight).scale), [True, False, True])
    moe = MixtureOfExpertsRegressor(2, n_init=1, tol=1e-2, random_state=0).fit(X, y)
    new = X[:20].copy()
    new[:, 1] += 1.0
    assert_array_equal(moe.predict(new), moe.predict(X[:20]))
