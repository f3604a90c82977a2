"""Numerical trouble: the fit completes with finite numbers, and says what is wrong."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.tables import two_regimes

RNG = np.random.default_rng(0)
N = 60
BASE = RNG.normal(size=(N, 3))
TABLES = {
    "raw years": np.column_stack([1900 + np.arange(N), BASE]),
    "collinear": np.column_stack([BASE, BASE @ [1, 2, 3], 2 * BASE[:, 0] + 1]),
    "constant": np.column_stack([BASE, np.full(N, 7.0), np.zeros(N)]),
    "almost constant": np.column_stack([BASE, 1e9 + np.r_[1.0, np.zeros(N - 1)]]),
    "more columns than rows": RNG.normal(size=(N, N + 10)),
    "tiny": BASE * 1e-8,
    "huge": BASE * 1e8,
    "mixed units": BASE * [1e-150, 1.0, 1e150],
    "outlier": np.vstack([BASE[:-1], BASE[-1:] * 1e6]),
    "binary": (BASE > 0).astype(float),
    "one column": BASE[:, :1],
    "all constant but one": np.column_stack([np.ones((N, 3)), BASE[:, 0]]),
}
TARGET = np.where(BASE[:, 0] > 0, BASE[:, 1], 3.0 - BASE[:, 2]) + 0.1 * RNG.normal(size=N)
CLASSES = np.digitize(TARGET, [0.0, 2.5])


def all_finite(moe, X, y):
    without = ("gate_alpha_",) if moe.gate == "constant" else ()  # which is NaN then
    numbers = [
        value
        for name, value in vars(moe).items()
        if name.endswith("_") and name not in without and isinstance(value, np.ndarray | float)
        and np.asarray(value).dtype.kind == "f"
    ]  # fmt: skip
    assert len(numbers) > 5
    numbers += [moe.predict_gate(X), moe.predict_experts(X), moe.score_samples(X, y)]
    numbers += [moe.responsibilities(X, y), np.array([moe.aic(X, y), moe.icl(X, y)])]
    return all(np.isfinite(values).all() for values in numbers)


def quietly_fitted(moe, X, y, weight=None):
    """A fit in which only skmoe's own warnings are allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Experts have collapsed")
        warnings.filterwarnings("ignore", "EM did not converge")
        warnings.filterwarnings("ignore", "The noise variance of some experts")
        return moe.fit(X, y, sample_weight=weight)


def assert_sound_fit(moe, X, y, weight=None):
    """Finite numbers, and a lower bound that never falls by more than round-off of its size."""
    quietly_fitted(moe, X, y, weight)
    assert all_finite(moe, X, y)
    bounds = moe.lower_bounds_
    assert np.diff(bounds, prepend=bounds[0]).min() > -1e-9 * max(1.0, np.abs(bounds).max())


@pytest.mark.parametrize("table", TABLES)
def test_fits_of_hard_tables_are_sound(table):
    """Both tasks and both gates meet every table, with penalties and without."""
    for make, y, gate, penalty in [
        (MixtureOfExpertsRegressor, TARGET, "softmax", 0.0),
        (MixtureOfExpertsClassifier, CLASSES, "softmax", 1.0),
        (MixtureOfExpertsRegressor, TARGET, "constant", 1.0),
    ]:
        options = {"alpha": penalty, "gate_alpha": penalty, "max_iter": 10, "n_init": 1}
        assert_sound_fit(make(2, gate=gate, random_state=0, **options), TABLES[table], y)


@pytest.mark.parametrize("prior", [0.0, 10.0])
@pytest.mark.parametrize(
    "y",
    [
        np.zeros(N),
        np.full(N, 1e9),
        TARGET * 1e-8,
        TARGET * 1e8,
        1e12 + TARGET,
        np.round(TARGET),
        (TARGET > 0).astype(int),
        BASE @ [1.0, 2.0, 3.0],
        np.where(BASE[:, 0] > 0, 1.0, -1.0),
        np.exp(5 * TARGET),
    ],
    ids=["zero", "constant", "tiny", "huge", "offset", "rounded", "0/1", "exact", "steps", "skew"],
)
def test_fits_of_hard_targets_are_sound(y, prior):
    options = {"dispersion_prior": prior, "max_iter": 20, "n_init": 1, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options)
    assert_sound_fit(moe, BASE, y)
    assert (moe.noise_variance_ > 0).all()


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_a_column_that_differs_in_rows_of_no_weight_is_constant(container):
    X = BASE.copy()
    X[:, 0] = np.arange(N) == 3
    weight = np.where(np.arange(N) == 3, 1e-154, 1.0)
    moe = quietly_fitted(
        MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0),
        container(X),
        TARGET,
        weight,
    )
    assert all_finite(moe, container(X), TARGET)
    assert_array_equal(moe.expert_coef_[:, 0], 0.0)


def test_far_rows_have_finite_probabilities():
    X, y = two_regimes(n_rows=100)
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1)
    quietly_fitted(moe, X, y)
    far = np.array([[1e12, 0, 0], [-1e12, 1e12, 0.0]])
    assert np.isfinite(moe.predict(far)).all()
    assert_allclose(moe.predict_gate(far).sum(axis=1), 1.0)
    assert np.isfinite(moe.responsibilities(far, [1e12, -1e12])).all()


def test_ties_do_not_become_spikes():
    """A rounded target must not be won by a spike on its grid."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = np.round(X @ [1.0, 0.5, 0.2] + rng.normal(size=400))
    spike = (y == 0.0).astype(float)
    moe = MixtureOfExpertsRegressor(
        2, dispersion_prior=0.0, gate="constant", init=np.column_stack([spike, 1 - spike])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe.fit(X, y)
    assert (moe.noise_variance_ >= 1 / 12 - 1e-9).all()  # the variance of rounding


def test_rows_that_differ_only_far_below_the_range_of_a_column_are_not_copies():
    """A code of missing values such as 1e20 leaves one tree what it is alone."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, size=(300, 2)).astype(float)
    y = (X.sum(axis=1) + rng.integers(0, 2, size=300) > 2).astype(float)
    X[0, 0] = 1e20
    tree = DecisionTreeRegressor(random_state=0)
    moe = MixtureOfExpertsRegressor(1, expert=tree, cross_fit=False, random_state=0).fit(X, y)
    assert_allclose(moe.predict(X), clone(tree).fit(X, y).predict(X))
