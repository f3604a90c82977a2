"""What must not matter: the order of columns, the sign of y, and the order of rows and outputs."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

# Ten tables for each seed, two hundred in all.
SEEDS = range(12)
TABLES = 5


def tables(seed):
    rng = np.random.default_rng(seed)
    for _ in range(TABLES):
        n, p = int(rng.integers(20, 120)), int(rng.integers(1, 6))
        X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-3, 3, size=p)
        if rng.random() < 0.3:  # a column of few values
            X[:, 0] = np.round(X[:, 0] / X[:, 0].std())
        kind = rng.random()
        slope = X[:, -1] / X[:, -1].std()
        y = np.where(X[:, 0] > np.median(X[:, 0]), slope, -slope) + 0.3 * rng.normal(size=n)
        y = np.exp(y) if kind < 0.3 else np.round(3 * y) if kind < 0.5 else y
        yield rng, X, y, int(rng.integers(1, 5))


def fitted(kind, n_experts, X, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(n_experts, n_init=2, random_state=0, **options).fit(X, y)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_columns_and_the_sign_of_y_do_not_matter(seed):
    for rng, X, y, n_experts in tables(seed):
        order = rng.permutation(X.shape[1])
        moe = fitted(MixtureOfExpertsRegressor, n_experts, X, y)
        mirrored = fitted(MixtureOfExpertsRegressor, n_experts, X, -y)
        permuted = fitted(MixtureOfExpertsRegressor, n_experts, X[:, order], y)
        assert_allclose(mirrored.predict(X), -moe.predict(X), atol=1e-6 * y.std())
        assert_allclose(mirrored.predict_gate(X), moe.predict_gate(X), atol=1e-6)
        assert_allclose(permuted.predict(X[:, order]), moe.predict(X), atol=1e-4 * y.std())
        assert_allclose(permuted.lower_bound_, moe.lower_bound_, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_outputs_does_not_matter(seed):
    for rng, X, y, n_experts in tables(seed):
        both = np.column_stack([y, np.abs(y) + rng.normal(size=len(y))])
        moe = fitted(MixtureOfExpertsRegressor, n_experts, X, both)
        swapped = fitted(MixtureOfExpertsRegressor, n_experts, X, both[:, ::-1])
        scale = both.std(axis=0)
        assert_allclose(swapped.predict(X)[:, ::-1] / scale, moe.predict(X) / scale, atol=1e-4)
        ratio = swapped.noise_variance_[:, ::-1] / moe.noise_variance_
        assert_allclose(ratio, 1.0, rtol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_columns_does_not_matter_to_classes(seed):
    for rng, X, y, n_experts in tables(seed):
        order, labels = rng.permutation(X.shape[1]), y > np.median(y)
        moe = fitted(MixtureOfExpertsClassifier, n_experts, X, labels)
        permuted = fitted(MixtureOfExpertsClassifier, n_experts, X[:, order], labels)
        assert_allclose(permuted.predict_proba(X[:, order]), moe.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_repeated_rows_with_fractional_weights_does_not_matter(seed):
    for rng, X, y, n_experts in tables(seed):
        index = rng.integers(0, len(y), size=3 * len(y))
        weight, order = rng.uniform(0.1, 2.0, size=len(index)), rng.permutation(len(index))
        options = {"n_experts": n_experts, "n_init": 2, "random_state": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one, other = (
                MixtureOfExpertsRegressor(**options).fit(X[rows], y[rows], sample_weight=w)
                for rows, w in ((index, weight), (index[order], weight[order]))
            )
        assert (one.predict(X) == other.predict(X)).all()
