"""Gates that see transformed features: curved borders, and transformers that are refused."""

import numpy as np
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.refusals import assert_fit_refused
from support.tables import two_regimes

FIXED = {"alpha": 0.1, "n_init": 1, "random_state": 0}
SQUARES = PolynomialFeatures(2, include_bias=False)


def ring(n_rows=300, seed=0):
    """Two regressions, inside and outside of a circle."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    inside = (X**2).sum(axis=1) < 2
    return X, np.where(inside, 2 + X[:, 0], -X[:, 0]) + 0.1 * rng.normal(size=n_rows)


def mixture(transformer=None, gate_alpha=0.1, **options):
    gate = SoftmaxGate(gate_alpha, transformer)
    return MixtureOfExpertsRegressor(2, gate=gate, **FIXED | options)


def test_curved_border_is_found():
    X, y = ring()
    X_new, y_new = ring(seed=1)
    straight, curved = (mixture(transformer, n_init=3).fit(X, y) for transformer in (None, SQUARES))
    assert curved.score(X_new, y_new) > 0.9 > straight.score(X_new, y_new) + 0.1
    assert list(curved.gate_feature_names_) == ["x0", "x1", "x0^2", "x0 x1", "x1^2"]
    assert curved.gate_coef_.shape == (2, 5)
    assert curved.expert_coef_.shape == (2, 2)
    logits = curved.gate_intercept_ + clone(SQUARES).fit_transform(X) @ curved.gate_coef_.T
    share = curved.predict_gate(X)
    found = np.log(share[:, 1] / share[:, 0])
    assert_allclose(found, logits[:, 1] - logits[:, 0], rtol=1e-6, atol=1e-6)
    assert "x1^2" in str(curved.summary(X, y))


def test_identity_changes_nothing():
    X, y = two_regimes(n_rows=150)
    options = {"tol": 1e-12, "max_iter": 2000, "dispersion_prior": 0.0}
    plain, same = (mixture(t, 1.0, **options).fit(X, y) for t in (None, FunctionTransformer()))
    assert_allclose(same.predict(X), plain.predict(X), atol=1e-4)
    assert_allclose(same.gate_coef_, plain.gate_coef_, atol=1e-4)


def test_transformer_sees_the_columns_of_the_gate():
    X, y = ring()
    X = np.column_stack([np.ones(len(X)), X, np.arange(len(X))])
    transformer = make_pipeline(StandardScaler(), SQUARES)
    moe = mixture(transformer, gate_features=[1, 2], expert_features=[1], n_init=3).fit(X, y)
    assert moe.gate_coef_.shape == (2, 5)
    assert list(moe.gate_feature_names_)[:2] == ["x1", "x2"]
    assert not moe.expert_coef_[:, [0, 2, 3]].any()
    assert moe.score(X, y) > 0.9
    terms = [term.name for term in moe.inference(X, y).terms if term.part == "gate"]
    assert terms[1:6] == list(moe.gate_feature_names_)


def test_transformers_in_a_grid_and_beside_a_base():
    X, y = ring(n_rows=150)
    gates = [SoftmaxGate(1.0), SoftmaxGate(0.1, SQUARES)]
    options = FIXED | {"tol": 1e-2}
    search = GridSearchCV(MixtureOfExpertsRegressor(2, **options), {"gate": gates}, cv=2)
    assert search.fit(X, y).best_params_["gate"].transformer is not None
    moe = MixtureOfExpertsRegressor(2, gate=gates[1], base=Ridge(), **options).fit(X, y)
    assert list(moe.gate_feature_names_)[-2:] == ["x1^2", "base"]
    assert clone(moe).gate.transformer is not None


INFINITE = FunctionTransformer(lambda X: np.full_like(X, np.inf))


class Halving(TransformerMixin, BaseEstimator):
    """Loses half of the rows."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[::2]


def test_bad_transformers_are_refused():
    for transformer, name, *words in (
        ("polynomial", "gate.transformer", "polynomial"),
        (Halving(), "The transformer of the gate", "must keep the 60 rows", "shape"),
        (INFINITE, "The transformer of the gate", "finite numbers"),
    ):
        assert_fit_refused(mixture(transformer), ring(60), name, *words)
