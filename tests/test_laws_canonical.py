"""The canonical form of a table follows its columns, outputs and signs, however it is stored."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, stats

from skmoe._data.canonical import _moments, canonical_form


def skewed_table():
    """Columns and targets of different skewness, some columns mostly zero, and integer weights."""
    rng = np.random.default_rng(0)
    X = rng.gamma([0.5, 1.0, 2.0, 4.0], size=(80, 4)) * [1.0, -1.0, 100.0, 1e-3]
    X[rng.uniform(size=X.shape) < 0.4] = 0.0
    Y = rng.gamma([[1.0], [3.0]], size=(2, 80)) + X[:, 1]
    return X, Y, rng.integers(1, 4, size=80).astype(float)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_moments_are_those_of_repeated_rows(container):
    X, Y, weight = skewed_table()
    found = _moments(container(X), Y, weight)
    repeated, targets = (np.repeat(a, weight.astype(int), axis=0) for a in (X, Y.T))
    assert_allclose(found.skewness, stats.skew(repeated), atol=1e-5)
    assert_allclose(found.kurtosis, stats.kurtosis(repeated, fisher=False), atol=1e-5)
    correlations = np.corrcoef(targets.T, repeated.T)[:2, 2:]
    assert_allclose(found.correlations, correlations, atol=1e-5)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_canonical_forms_do_not_depend_on_the_order_of_columns_and_outputs(container, signed):
    X, Y, weight = skewed_table()
    rng = np.random.default_rng(1)
    form = canonical_form(container(X), Y, weight, signed=signed)
    for _ in range(5):
        columns, outputs = rng.permutation(4), rng.permutation(2)
        signs = rng.choice([-1.0, 1.0], size=2) if signed else np.ones(2)
        outputs = outputs if signed else np.arange(2)
        others = signs[:, None] * Y[outputs]
        same = canonical_form(container(X[:, columns]), others, weight, signed=signed)
        assert (columns[same.columns] == form.columns).all()
        assert (outputs[same.outputs] == form.outputs).all()
        assert_allclose(
            (same.signs[:, None] * others)[same.outputs], (form.signs[:, None] * Y)[form.outputs]
        )
    constant = np.column_stack([np.full(80, 3.0), X])
    assert canonical_form(container(constant), Y, weight, signed=signed).columns[-1] == 0
