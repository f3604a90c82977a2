"""Streams that continue a fit: it has the weight of its rows, and its columns."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.base import is_classifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N_FITTED = 1000


def table(n_rows=1500, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    slope = np.where(X[:, 0] > 0, 2.0, -2.0)
    return X, slope * X[:, 1] + np.sign(X[:, 0]) + 0.3 * rng.normal(size=n_rows)


KINDS = {
    "normal": (MixtureOfExpertsRegressor(2, random_state=0), lambda y: y),
    "without penalties": (
        MixtureOfExpertsRegressor(2, alpha=0.0, gate_alpha=0.0, random_state=0),
        lambda y: y,
    ),
    "poisson": (
        MixtureOfExpertsRegressor(2, family="poisson", random_state=0),
        lambda y: np.round(np.exp(0.3 * y)),
    ),
    "student_t": (MixtureOfExpertsRegressor(2, family="student_t", random_state=0), lambda y: y),
    "classes": (MixtureOfExpertsClassifier(2, random_state=0), lambda y: y > 0.5),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1, 2, 5, 50])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_small_batches_do_not_replace_a_fit(name, size, is_sparse):
    moe, target = KINDS[name]
    X, y = table()
    y = target(y)
    X = sparse.csr_array(X) if is_sparse else X
    moe = type(moe).from_dict(quiet(moe, X[:N_FITTED], y[:N_FITTED]).to_dict())
    before = moe.score_samples(X, y).mean()
    for i in range(6):
        rows = slice(N_FITTED + size * i, N_FITTED + size * (i + 1))
        moe.partial_fit(X[rows], y[rows])
        assert moe.score_samples(X, y).mean() > before - 0.03
    assert moe.n_iter_ == 6
    assert_allclose(moe._training_state.online_state.fit_weight, N_FITTED)


def test_a_stream_with_more_rows_than_the_fit_replaces_it():
    X, y = table(3000)
    other = -y
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0), X[:300], y[:300])
    scores = [moe.score_samples(X, other).mean()]
    for start in range(0, 3000, 250):
        moe.partial_fit(X[start : start + 250], other[start : start + 250])
        scores.append(moe.score_samples(X, other).mean())
    assert moe._training_state.online_state.fit_weight == 0.0
    assert scores[-1] > -1.0 > scores[0]


def test_the_standardisation_is_that_of_all_rows():
    X, y = table()
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0), X[:N_FITTED], y[:N_FITTED])
    moe.partial_fit(X[N_FITTED:], y[N_FITTED:])
    features, target = moe._fitted.preprocessor[:2]
    assert_allclose(features.center, X.mean(axis=0), atol=1e-12)
    assert_allclose(features.scale, X.std(axis=0))
    assert_allclose(target.center, [y.mean()])
    assert_allclose(target.scale, [y.std()])


def test_batches_have_the_columns_of_the_fit():
    X, y = table()
    frame = pd.DataFrame(X, columns=list("abc"))
    options = {"gate_features": ["a"], "random_state": 0}
    moe = quiet(MixtureOfExpertsRegressor(2, **options), frame[:N_FITTED], y[:N_FITTED])
    with pytest.raises(ValueError, match="feature names should match"):
        moe.partial_fit(frame[["c", "b", "a"]][N_FITTED:], y[N_FITTED:])
    with (
        pytest.warns(UserWarning, match="names"),
        pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"),
    ):
        moe.partial_fit(X[N_FITTED:, :2], y[N_FITTED:])
    with pytest.raises(ValueError, match="n_experts must stay 2"):
        moe.set_params(n_experts=3).partial_fit(frame[N_FITTED:], y[N_FITTED:])
    moe.set_params(n_experts=2, gate_features=["c"])
    moe.partial_fit(frame[N_FITTED:], y[N_FITTED:, None])
    assert_array_equal(moe.feature_names_in_, ["a", "b", "c"])
    assert moe.score(frame, y) > 0.9
    assert moe.predict(frame).shape == (len(y),)


def test_units_are_counted_with_those_of_the_fit():
    X, y = table(300)
    units = np.arange(300) // 3
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    moe = quiet(moe, X[:150], y[:150], units=units[:150])
    moe.partial_fit(X[150:], y[150:], units=units[150:])
    assert moe.n_units_ == 100


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_averages_cannot_be_continued(kind):
    X, y = table(300)
    moe = kind(2, n_init=2, combine="average", random_state=0)
    y = y > 0 if is_classifier(moe) else y
    quiet(moe, X, y).set_params(combine="best")
    with pytest.raises(ValueError, match=r'partial_fit continues fits .* Use combine="best"'):
        moe.partial_fit(X, y)
