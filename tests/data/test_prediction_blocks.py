"""Predictions are made in blocks of 2048 rows, and those of a row do not depend on its block."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from support.expert_kinds import KINDS
from support.fits import CASES, X, fit_quietly, regressor, short_fit

# More rows than a block, of which the last block has few; the first 30 rows are also asked alone.
N_ROWS = 2048 + 7
INDEX = np.r_[np.random.default_rng(0).integers(0, len(X), size=N_ROWS - 30), :30]


KINDS_AND_OPTIONS = [f"{name}-{task}" for name, task in KINDS]
KINDS_AND_OPTIONS += [
    "constant gate",
    "outputs",
    "shared slopes",
    "routing",
    "trees",
    "base",
]


@pytest.mark.parametrize("case", KINDS_AND_OPTIONS)
def test_predictions_of_a_row_do_not_depend_on_its_block(case):
    moe, y = short_fit(case), CASES[case][1]
    methods = ("predict", "predict_gate", "predict_experts", "predict_proba")
    for name in methods:
        if hasattr(moe, name):
            method = getattr(moe, name)
            expected = method(X[:30])
            found = method(X[INDEX])[-30:]
            if expected.dtype.kind == "f":
                assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    for name in ("score_samples", "responsibilities"):
        method = getattr(moe, name)
        assert_allclose(
            method(X[INDEX], y[INDEX])[-30:], method(X[:30], y[:30]), rtol=1e-8, atol=1e-10
        )
    if hasattr(moe, "predict_dist"):
        mean = moe.predict_dist(X[:30]).mean
        assert_allclose(mean, moe.predict(X[:30]), rtol=1e-6, atol=1e-9)


def test_sparse_rows_of_many_blocks():
    rows = np.where(np.abs(X) > 0.5, X, 0.0)
    moe = fit_quietly(regressor(n_init=1, max_iter=5), sparse.csr_array(rows), CASES["outputs"][1])
    found = moe.predict(sparse.csr_array(rows[INDEX]))
    assert_allclose(found, moe.predict(rows[INDEX]), rtol=1e-9, atol=1e-12)
