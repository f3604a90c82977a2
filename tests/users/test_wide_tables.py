"""Tables with many more columns than rows."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly

N_ROWS, N_COLUMNS = 40, 4_000
MOST_BYTES = 100e6


def wide(is_sparse):
    rng = np.random.default_rng(0)
    if not is_sparse:
        return rng.normal(size=(N_ROWS, N_COLUMNS))
    return sparse.random(N_ROWS, N_COLUMNS, density=1e-3, format="csr", random_state=0)


@pytest.mark.parametrize(
    ("kind", "is_sparse"), [("normal", False), ("poisson", True), ("classes", True)]
)
def test_memory_of_a_default_fit_does_not_grow_with_the_square_of_the_columns(kind, is_sparse):
    """Of 4,000 columns the matrix of one expert would need 128 MB."""
    X, y = wide(is_sparse), np.random.default_rng(1).poisson(1.5, N_ROWS)
    options = {"n_experts": 2, "n_init": 1, "random_state": 0, "max_iter": 3}
    if kind == "classes":
        moe = MixtureOfExpertsClassifier(**options)
    else:
        moe = MixtureOfExpertsRegressor(family=kind, **options)
    tracemalloc.start()
    try:
        fit_quietly(moe, X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert np.isfinite(moe.lower_bound_)
