"""Numerical trouble: the fit completes with finite numbers, and says what is wrong."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import crossing_lines, two_regimes
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import EXPERTS
from skmoe.gates import ConstantGate

RNG = np.random.default_rng(0)
N = 150
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
    numbers = [
        value
        for name, value in vars(moe).items()
        if name.endswith("_") and isinstance(value, np.ndarray | float)
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
        return moe.fit(X, y, weight)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_hard_tables(table, penalty, gate):
    X = TABLES[table]
    for make, y in [(MixtureOfExpertsRegressor, TARGET), (MixtureOfExpertsClassifier, CLASSES)]:
        options = {"gate": gate, "alpha": penalty, "gate_alpha": penalty, "random_state": 0}
        moe = quietly_fitted(make(3, max_iter=25, **options), X, y)
        assert all_finite(moe, X, y)
        assert np.diff(moe.lower_bounds_, prepend=moe.lower_bounds_[0]).min() > -1e-9


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
def test_hard_targets(y, prior):
    moe = quietly_fitted(
        MixtureOfExpertsRegressor(3, dispersion_prior=prior, max_iter=60, random_state=0), BASE, y
    )
    assert all_finite(moe, BASE, y)
    assert (moe.noise_variance_ > 0).all()
    assert np.diff(moe.lower_bounds_, prepend=moe.lower_bounds_[0]).min() > -1e-9


def test_years_give_the_same_fit_as_decades_since_1950():
    X, y = crossing_lines()
    raw = MixtureOfExpertsRegressor(2, random_state=0).fit(1950 + 10 * X, y)
    scaled = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert_allclose(raw.predict(1950 + 10 * X), scaled.predict(X), atol=1e-6)
    assert_allclose(raw.expert_coef_ * 10, scaled.expert_coef_, atol=1e-6)


def test_constant_columns_get_no_weight():
    X = np.column_stack([BASE, np.full(N, 3.0)])
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, TARGET)
    assert_array_equal(moe.expert_coef_[:, 3], 0.0)
    assert_array_equal(moe.gate_coef_[:, 3], 0.0)
    moved = X + np.array([0, 0, 0, 100])
    assert_array_equal(moe.predict(X), moe.predict(moved))
    same = MixtureOfExpertsRegressor(2, random_state=0).fit(BASE, TARGET)
    assert same.lower_bound_ == pytest.approx(moe.lower_bound_, abs=1e-9)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_a_column_that_differs_in_rows_of_no_weight_is_constant(container):
    X = BASE.copy()
    X[:, 0] = np.arange(N) == 3
    weight = np.where(np.arange(N) == 3, 1e-154, 1.0)
    moe = quietly_fitted(MixtureOfExpertsRegressor(2, random_state=0), container(X), TARGET, weight)
    assert all_finite(moe, container(X), TARGET)
    assert_array_equal(moe.expert_coef_[:, 0], 0.0)


def test_one_class_for_each_region():
    X = np.sort(np.random.default_rng(1).uniform(-1, 1, size=(200, 1)), axis=0)
    y = np.digitize(X[:, 0], [-0.5, 0.0, 0.5])
    moe = quietly_fitted(MixtureOfExpertsClassifier(4, random_state=0), X, y)
    assert moe.score(X, y) > 0.95
    assert all_finite(moe, X, y)


def test_a_perfectly_separable_gate():
    X = np.r_[np.linspace(-2, -1, 100), np.linspace(1, 2, 100)][:, None]
    rng = np.random.default_rng(1)
    y = np.where(X[:, 0] > 0, 5.0 - X[:, 0], X[:, 0]) + 0.1 * rng.normal(size=200)
    for gate_alpha in (0.0, 1e-8, 1.0):
        moe = quietly_fitted(
            MixtureOfExpertsRegressor(2, gate_alpha=gate_alpha, random_state=0), X, y
        )
        assert all_finite(moe, X, y)
        assert_array_equal(moe.apply(X) == moe.apply(X[:1]), X[:, 0] < 0)


def test_far_rows_have_finite_probabilities():
    X, y = two_regimes()
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    far = np.array([[1e12, 0, 0], [-1e12, 1e12, 0.0]])
    assert np.isfinite(moe.predict(far)).all()
    assert_allclose(moe.predict_gate(far).sum(axis=1), 1.0)
    assert np.isfinite(moe.responsibilities(far, [1e12, -1e12])).all()


def test_a_collapsed_expert_is_named():
    X, y = crossing_lines()
    resp = np.column_stack([(X[:, 0] > 0), (X[:, 0] <= 0), np.zeros(len(y))]).astype(float)
    moe = MixtureOfExpertsRegressor(3, init=resp, alpha=0.1, gate_alpha=1.0)
    with pytest.warns(
        UserWarning, match=r"Experts have collapsed.*: expert 2 \(.* rows\).*n_experts"
    ):
        moe.fit(X, y)
    assert all_finite(moe, X, y)
    assert moe.weights_[2] < 1e-2


def test_an_expert_on_a_spike_is_named():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 1))
    y = np.where(np.arange(200) < 40, 1.0, X[:, 0] + rng.normal(size=200))
    spike = (y == 1.0).astype(float)
    moe = MixtureOfExpertsRegressor(
        2, gate="constant", dispersion_prior=0.0, init=np.column_stack([spike, 1 - spike])
    )
    with pytest.warns(UserWarning, match=r"noise variance .* floor: expert 0\..*dispersion_prior"):
        moe.fit(X, y)
    assert all_finite(moe, X, y)


def test_no_convergence_is_told_with_its_remedy():
    X, y = two_regimes()
    with pytest.warns(ConvergenceWarning, match="max_iter=3 iterations: .* Increase max_iter"):
        moe = MixtureOfExpertsRegressor(2, max_iter=3, random_state=0).fit(X, y)
    assert moe.n_iter_ == 3
    assert not moe.converged_


def test_a_part_that_breaks_its_promise_is_told(monkeypatch):
    class Sinking(EXPERTS["linear"]["regressor"]):
        def m_step(self, statistics, factor, params, step):
            return params._replace(log_variance=params.log_variance + 0.5)

    monkeypatch.setitem(EXPERTS["linear"], "regressor", Sinking)
    X, y = two_regimes()
    with pytest.warns(ConvergenceWarning, match="no step increases the lower bound"):
        MixtureOfExpertsRegressor(2, gate=ConstantGate(), n_init=1).fit(X, y)


def test_ties_do_not_become_spikes():
    """A rounded target must not be won by a spike on its grid."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    y = np.round(X @ [1.0, 0.5, 0.2] + rng.normal(size=2000))
    spike = (y == 0.0).astype(float)
    moe = MixtureOfExpertsRegressor(
        2, dispersion_prior=0.0, gate="constant", init=np.column_stack([spike, 1 - spike])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe.fit(X, y)
    assert (moe.noise_variance_ >= 1 / 12 - 1e-9).all()  # the variance of rounding


def test_wide_sparse_tables():
    X = sparse.csr_array(sparse.random(300, 1500, density=0.02, random_state=0, format="csr"))
    coef = np.random.default_rng(0).normal(size=1500)
    y = X @ coef
    moe = quietly_fitted(MixtureOfExpertsRegressor(2, n_init=1, max_iter=10, alpha=1.0), X, y)
    assert all_finite(moe, X, y)
    assert np.diff(moe.lower_bounds_).min() > -1e-9
