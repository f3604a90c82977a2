"""Ranges of the features in a fit, on every way in which rows come, and rows outside of them."""

import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import SplineTransformer

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.stacks import stack_of
from support.tables import two_regimes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, P = 60, 3


def table(seed=0):
    """Rows, targets, and weights of 0, 1 and 2; the row of weight zero has the largest values."""
    X, y = two_regimes(n_rows=N, n_features=P, seed=seed)
    X, weight = X.copy(), np.random.default_rng(seed).integers(1, 3, size=N).astype(float)
    X[7], weight[7] = [50.0, -60.0, 70.0], 0.0
    return X, y, weight


def short(**options):
    options = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0, "tol": 0.1} | options
    return MixtureOfExpertsRegressor(**options)


def expected_range(X):
    return np.array([[min(column) for column in X.T], [max(column) for column in X.T]])


# --- the ranges are those of the rows of positive weight, however they come --------------------


SPLINES = SoftmaxGate(transformer=SplineTransformer(n_knots=3, degree=1))
# Options of fits of arrays, and containers of the rows of others.
WAYS = {
    "memory": {},
    "units": {"gate": "constant"},
    "trees": {"expert": "tree", "cross_fit": False},
    "base": {"base": LinearRegression()},
    "transformer": {"gate": SPLINES},
    "selected number": {"n_experts": "bic"},
    "frame": lambda X: pd.DataFrame(X, columns=list("abc")),
    "sparse": sparse.csc_array,
}
WAYS |= dict.fromkeys(("classes", "stack", "blocks", "sparse blocks", "dask", "stream"))


def fitted(way, X, y, weight):
    options = WAYS[way] if isinstance(WAYS[way], dict) else {}
    moe, given, cut = short(**options), {"sample_weight": weight}, range(0, N, 13)
    if way == "classes":
        moe, y = MixtureOfExpertsClassifier(2, n_init=1, max_iter=2, random_state=0), y > 0
    elif way == "stack":
        moe = stack_of(LinearRegression(), "tree", cv=2, random_state=0)
    elif way == "units":
        given |= {"units": np.arange(N) // 4}
    elif way == "stream":
        for rows in (slice(0, 40), slice(40, None)):
            moe.partial_fit(X[rows], y[rows], sample_weight=weight[rows])
        return moe
    elif way == "dask":
        X, y, weight = (da.from_array(values, chunks=17) for values in (X.copy(), y, weight))
        X, given = X.rechunk((17, P)), {"sample_weight": weight}
    elif "blocks" in way:
        make = sparse.csr_array if way == "sparse blocks" else np.asarray
        rows = [(make(X[i : i + 13]), y[i : i + 13], weight[i : i + 13]) for i in cut]
        return fit_quietly(moe, RowBlocks(lambda: iter(rows)))
    elif callable(WAYS[way]):
        X = WAYS[way](X)
    return fit_quietly(moe, X, y, **given)


@pytest.mark.parametrize("way", WAYS)
def test_ranges_are_those_of_the_rows_of_positive_weight(way):
    X, y, weight = table()
    moe = fitted(way, X, y, weight)
    assert_array_equal(moe.feature_range_, expected_range(X[weight > 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of arrays for a fit of a frame
        assert not moe.is_outside_range(X[weight > 0.0]).any()
        assert_array_equal(moe.is_outside_range(X[5:9]), [False, False, True, False])


# --- streams ----------------------------------------------------------------------------------


def test_ranges_of_a_stream_grow():
    X, y, _ = table()
    moe = short()
    for scale in (1.0, 0.1, 3.0):
        before = getattr(moe, "feature_range_", np.zeros((2, P)))
        moe.partial_fit(scale * X, y)
        both = np.vstack([before, scale * X])
        assert_array_equal(moe.feature_range_, expected_range(both))


# --- which features count ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({}, [True, True, True]),
        ({"gate_features": [0], "expert_features": [2]}, [True, False, True]),
        ({"gate": "constant", "expert_features": [1]}, [False, True, False]),
        ({"gate_features": [1], "expert_features": []}, [False, True, False]),
        ({"gate": "constant", "expert_features": [1], "base": LinearRegression()}, [True] * 3),
        ({"expert": "tree", "gate_features": [0], "expert_features": [2]}, [True, False, True]),
        ({"gate": SPLINES, "gate_features": [2], "expert_features": [0]}, [True, False, True]),
    ],
    ids=str,
)
def test_features_that_are_not_used_do_not_count(options, used):
    X, y = two_regimes(n_rows=N, n_features=P)
    moe = fit_quietly(short(**options), X, y)
    new = np.repeat(X.mean(axis=0)[None], 2 * P, axis=0)
    width = X.max(axis=0) - X.min(axis=0)
    for j in range(P):
        new[j, j] = X[:, j].max() + 1e-3 * width[j]
        new[P + j, j] = X[:, j].min() - 1e-3 * width[j]
    assert_array_equal(moe.is_outside_range(new), [*used, *used])


# --- containers -------------------------------------------------------------------------------


def sparse_table():
    """Features of which one is always positive, one always negative, and one is mostly zero."""
    rng = np.random.default_rng(0)
    X = rng.uniform(1.0, 2.0, size=(N, P)) * [1.0, -1.0, 1.0]
    X[:, 2] *= rng.uniform(size=N) < 0.2
    return X, X @ [1.0, 2.0, 3.0] + rng.normal(size=N)


def test_sparse_rows_have_the_answers_of_dense_ones():
    X, y = sparse_table()
    moe = fit_quietly(short(), sparse.csr_array(X), y)
    assert_array_equal(moe.feature_range_, expected_range(X))
    rng = np.random.default_rng(1)
    new = rng.uniform(0.8, 2.2, size=(200, P)) * [1.0, -1.0, 1.0] * (rng.uniform(size=P) < 0.9)
    new *= rng.uniform(size=new.shape) < 0.9
    answers = moe.is_outside_range(new)
    assert 0.2 < answers.mean() < 0.8
    matrix = sparse.csr_array(new)
    matrix.data[::7] = new.ravel()[np.flatnonzero(new)][::7]
    assert_array_equal(moe.is_outside_range(matrix), answers)
    stored_zeros = sparse.csr_array(
        (new.ravel(), np.tile(np.arange(P), 200), np.arange(0, 600 + P, P)), shape=new.shape
    )
    assert stored_zeros.nnz == new.size
    assert_array_equal(moe.is_outside_range(stored_zeros), answers)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
def test_rows_of_the_fit_are_inside_in_other_precision(dtypes):
    X, y, _ = table()
    moe = fit_quietly(short(), X.astype(dtypes[0]), y)
    assert not moe.is_outside_range(X.astype(dtypes[1])).any()


# --- categories and missing values ------------------------------------------------------------


def frame_with_gaps(n_categories=3):
    X, y, _ = table()
    frame = pd.DataFrame(X, columns=["full", "gaps", "empty"])
    frame.loc[::4, "gaps"] = np.nan
    frame["empty"] = np.nan
    frame["city"] = [f"city {i % n_categories}" for i in range(N)]
    return frame, y


def test_what_a_feature_never_had_is_outside():
    frame, y = frame_with_gaps()
    moe = fit_quietly(short(expert="tree", cross_fit=False), frame, y)
    expected = [frame.min(numeric_only=True), frame.max(numeric_only=True)]
    assert_array_equal(moe.feature_range_, np.column_stack([expected, [np.nan, np.nan]]))
    assert not moe.is_outside_range(frame).any()
    new = frame.iloc[[1] * 6].reset_index(drop=True)
    new.loc[1, "full"] = np.nan  # never missing in the fit
    new.loc[2, "gaps"] = np.nan
    new.loc[3, "empty"] = 0.0  # always missing in the fit
    new.loc[4, "city"] = "elsewhere"
    new.loc[5, "city"] = None
    assert_array_equal(moe.is_outside_range(new), [False, True, False, True, True, True])
