"""Tables with many more columns than rows."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly

N_ROWS = 40
MOST_BYTES = 200e6


def wide(n_columns, is_sparse):
    rng = np.random.default_rng(0)
    if not is_sparse:
        return rng.normal(size=(N_ROWS, n_columns))
    return sparse.random(N_ROWS, n_columns, density=1e-3, format="csr", random_state=0)


@pytest.mark.parametrize(
    ("n_columns", "is_sparse"), [(8_000, True), (4_000, False)], ids=["sparse", "dense"]
)
@pytest.mark.parametrize("kind", ["normal", "poisson", "classes"])
def test_memory_of_a_default_fit_does_not_grow_with_the_square_of_the_columns(
    kind, n_columns, is_sparse
):
    """Of 8,000 columns one matrix of a gate of four experts would need 4.6 GB."""
    X, y = wide(n_columns, is_sparse), np.random.default_rng(1).poisson(1.5, N_ROWS)
    options = {"n_experts": 4, "n_init": 1, "random_state": 0, "max_iter": 5}
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
