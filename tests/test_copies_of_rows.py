"""Copies of a row are on one side of every fold, also where rows are not merged.

Rows with metadata or given responsibilities are kept apart, and those of large tables were. A fold
that divides copies trains on the rows that it predicts.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import quiet
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))
Y = np.where(X[:, 0] > 0.0, 2.0 * X[:, 1], -X[:, 1]) + RNG.normal(size=N)
CLASSES = np.where(Y > 0.0, "high", "low")
WEIGHT = RNG.integers(1, 4, size=N)
TWICE = np.repeat(np.arange(N), WEIGHT)
ORDER = RNG.permutation(N)
WAYS = ("many rows", "metadata", "responsibilities")


class Priced:
    """Its fit takes metadata."""

    def fit(self, X, y, sample_weight=None, price=None):
        return super().fit(X, y, sample_weight=sample_weight)


class PricedRidge(Priced, Ridge):
    pass


class PricedTree(Priced, DecisionTreeRegressor):
    pass


class PricedLogistic(Priced, LogisticRegression):
    pass


class PricedTreeClassifier(Priced, DecisionTreeClassifier):
    pass


# Deep trees have ties between splits of few rows, which round-off decides.
SHALLOW = {"max_depth": 2, "random_state": 0}
REGRESSORS = [PricedRidge(), PricedTree(**SHALLOW)]
CLASSIFIERS = [PricedLogistic(), PricedTreeClassifier(**SHALLOW)]
KINDS = {
    "stack": MixtureOfExpertsRegressor(expert=REGRESSORS, specialize=False),
    "stack of classifiers": MixtureOfExpertsClassifier(expert=CLASSIFIERS, specialize=False),
    "experts": MixtureOfExpertsRegressor(2, expert=REGRESSORS, max_iter=6),
    "classifiers": MixtureOfExpertsClassifier(2, expert=CLASSIFIERS, max_iter=6),
    "base": MixtureOfExpertsRegressor(2, base=DecisionTreeRegressor(**SHALLOW), max_iter=20),
}


def fits(kind, way, monkeypatch):
    """A function of rows and weights that fits them, and the name of its predictions."""
    moe, y = clone(KINDS[kind]).set_params(random_state=0, n_init=1), Y
    is_classifier = "class" in kind
    if is_classifier:
        y = CLASSES
    if way == "many rows":
        monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 50)
    resp = np.where(X[:, :1] > 0.0, [0.9, 0.1], [0.2, 0.8])

    def fit(rows, weight=None):
        own, options = clone(moe), {}
        if way == "responsibilities":
            own.set_params(init=resp[rows])
        if way == "metadata" and kind != "base":
            options["price"] = X[rows, 0]
        return quiet(own, X[rows], y[rows], sample_weight=weight, **options)

    return fit, "predict_proba" if is_classifier else "predict"


def cases():
    for kind in KINDS:
        for way in WAYS:
            no_init = kind.startswith("stack") and way == "responsibilities"
            if not no_init and not (kind == "base" and way == "metadata"):
                yield kind, way


@pytest.mark.parametrize(("kind", "way"), cases())
def test_a_weight_of_two_is_the_row_twice(kind, way, monkeypatch):
    fit, predict = fits(kind, way, monkeypatch)
    weighted, repeated = fit(np.arange(N), WEIGHT), fit(TWICE)
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-8)
    found = (getattr(moe, predict)(X) for moe in (weighted, repeated))
    assert_allclose(*found, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("kind", "way"), cases())
def test_the_order_of_rows_does_not_matter(kind, way, monkeypatch):
    fit, predict = fits(kind, way, monkeypatch)
    first, second = fit(np.arange(N)), fit(ORDER)
    assert_allclose(first.lower_bound_, second.lower_bound_, rtol=1e-8)
    found = (getattr(moe, predict)(X) for moe in (first, second))
    assert_allclose(*found, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("way", ["many rows", "metadata"])
def test_noise_is_not_memorised(way, monkeypatch):
    """A deep tree repeats the targets of copies, if it has seen any."""
    deep = MixtureOfExpertsRegressor(
        expert=[PricedRidge(), PricedTree(random_state=0)], specialize=False
    )
    monkeypatch.setitem(KINDS, "stack", deep)
    fit, _ = fits("stack", way, monkeypatch)
    once, twice = fit(np.arange(N)), fit(np.tile(np.arange(N), 2))
    assert once.noise_variance_[1] > 1.0
    assert twice.noise_variance_[1] > 1.0
