"""The names of classes, and so their order, do not change a fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly

TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
MODELS = [("linear", LogisticRegression()), ("tree", TREE)]
KINDS = {
    "linear": MixtureOfExpertsClassifier(2, random_state=0),
    "three linear": MixtureOfExpertsClassifier(3, random_state=0),
    "30 starts": MixtureOfExpertsClassifier(2, n_init=30, random_state=0),
    "search": MixtureOfExpertsClassifier(2, init="search", n_init=1, random_state=0),
    "trees": MixtureOfExpertsClassifier(2, expert=TREE, random_state=0),
    "two kinds": MixtureOfExpertsClassifier(2, expert=[m for _, m in MODELS], random_state=0),
    "base": MixtureOfExpertsClassifier(2, base=GaussianNB(), random_state=0),
    "stack": GatedStackingClassifier(MODELS, random_state=0),
}


def table(n_classes, seed):
    """Two regimes, and classes that are equally frequent; one column is symmetric."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.permutation(np.repeat([-1.0, 1.0], 42)), rng.normal(size=84)])
    score = np.where(X[:, 0] > 0.0, 2.0, -1.0) * X[:, 1] + 0.5 * rng.normal(size=84)
    return X, np.argsort(np.argsort(score)) * n_classes // 84


NAMES = [[1, 0], [2, 0, 1], [3, 1, 0, 2]]
# A search takes long.
CASES = [(kind, names) for kind in KINDS for names in NAMES if kind != "search" or len(names) == 3]


@pytest.mark.parametrize(("kind", "names"), CASES)
def test_other_names_of_the_classes_give_the_same_fit(kind, names):
    X, y = table(len(names), seed=len(names))
    one = fit_quietly(KINDS[kind], X, y)
    expected, bound = one.predict_proba(X), one.lower_bound_
    other = fit_quietly(KINDS[kind], X, np.array(names)[y])
    assert_allclose(other.lower_bound_, bound, rtol=1e-6)
    assert_allclose(other.predict_proba(X)[:, names], expected, atol=1e-5)
