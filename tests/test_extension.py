"""A model to build on, and gates that see features transformed."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate


def waves(n_rows=500, seed=0):
    """A smooth curve whose noise is twenty times larger on one side."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n_rows, 2))
    noise = np.where(X[:, 1] > 0, 1.0, 0.05)
    return X, np.sin(2 * X[:, 0]) + noise * rng.normal(size=n_rows)


def ring(n_rows=600, seed=0):
    """Two regressions, inside and outside of a circle."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    inside = (X**2).sum(axis=1) < 2
    return X, np.where(inside, 2 + X[:, 0], -X[:, 0]) + 0.1 * rng.normal(size=n_rows)


# --- the base ---


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_open_penalties_are_larger_on_a_base(kind):
    X, y = waves()
    is_regressor = kind is MixtureOfExpertsRegressor
    y = y if is_regressor else y > 0
    base = Ridge() if is_regressor else LogisticRegression()
    smaller, larger = kind._default_alphas
    assert smaller < larger
    left_open = quiet(kind(2, base=base, random_state=0), X, y)
    named = quiet(kind(2, base=base, alpha=larger, gate_alpha=1.0, random_state=0), X, y)
    assert_array_equal(left_open.expert_coef_, named.expert_coef_)


def test_base_and_mixture_add_up():
    X, y = waves()
    base = DecisionTreeRegressor(min_samples_leaf=10, random_state=0)
    moe = MixtureOfExpertsRegressor(2, base=base, random_state=0).fit(X, y)
    assert_array_equal(moe.base_.predict(X), clone(base).fit(X, y).predict(X))
    shift = moe.base_.predict(X)
    slopes = shift[:, None] + moe.expert_intercept_ + X @ moe.expert_coef_.T
    assert_allclose(moe.predict_experts(X), slopes)
    assert_allclose((moe.predict_gate(X) * slopes).sum(axis=1), moe.predict(X))
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    logits = moe.gate_intercept_ + np.column_stack([X, shift]) @ moe.gate_coef_.T
    odds = np.exp(logits[:, 1] - logits[:, 0])
    assert_allclose(moe.predict_gate(X)[:, 1] / moe.predict_gate(X)[:, 0], odds, rtol=1e-6)
    assert list(moe.gate_feature_names_) == ["x0", "x1", "base"]
    assert moe.n_features_in_ == 2
    assert moe.expert_coef_.shape == (2, 2)


def test_the_mixture_is_fitted_to_what_the_base_leaves_out_of_fold():
    """A base that knows the rows of its fit by heart leaves nothing of them in sample."""
    X, y = waves()
    base = DecisionTreeRegressor(random_state=0)
    moe = MixtureOfExpertsRegressor(1, base=base, random_state=0).fit(X, y)
    folds = KFold(5, shuffle=True, random_state=1)
    left = np.mean((y - cross_val_predict(base, X, y, cv=folds)) ** 2)
    assert_allclose(moe.noise_variance_[0], left, rtol=0.15)
    assert np.mean((y - moe.base_.predict(X)) ** 2) == 0


def test_a_base_brings_its_means_and_the_mixture_the_noise():
    X, y = waves(n_rows=1500)
    X_new, y_new = waves(n_rows=1500, seed=1)
    boosting = HistGradientBoostingRegressor(random_state=0)
    moe = MixtureOfExpertsRegressor(2, base=boosting, random_state=0).fit(X, y)
    alone = clone(boosting).fit(X, y).score(X_new, y_new)
    assert moe.score(X_new, y_new) > alone - 0.02
    std = moe.predict_dist(X_new).std
    assert std[X_new[:, 1] > 1].mean() > 4 * std[X_new[:, 1] < -1].mean()


def test_a_linear_base_under_linear_experts_changes_little():
    X, y = two_regimes(n_rows=400)
    plain = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    moe = MixtureOfExpertsRegressor(2, base=LinearRegression(), alpha=0.1, random_state=0).fit(X, y)
    assert abs(moe.score_samples(X, y).mean() - plain.score_samples(X, y).mean()) < 0.1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers_weigh_what_the_base_says(n_classes):
    X, y = flipping_classes(n_rows=900, n_classes=n_classes)
    labels = np.array(["a", "b", "c"])[y]
    X_new, y_new = flipping_classes(n_rows=900, n_classes=n_classes, seed=1)
    base = RandomForestClassifier(50, min_samples_leaf=5, random_state=0)
    moe = MixtureOfExpertsClassifier(2, base=base, random_state=0).fit(X, labels)
    told = np.array(["a", "b", "c"])[y_new]
    loss = log_loss(told, moe.predict_proba(X_new))
    assert loss < log_loss(told, moe.base_.predict_proba(X_new))
    assert moe.expert_coef_.shape[-1] == 3
    assert list(moe.gate_feature_names_)[3:] == [f"base_{c}" for c in moe.classes_]
    with pytest.raises(ValueError, match="base"):
        moe.inference(X, labels)
    assert "expert 1" in str(moe.summary(X, labels))


def test_rows_are_a_weighted_set_with_a_base():
    X, y = waves(n_rows=200)
    weight = np.random.default_rng(0).integers(0, 3, size=200)
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), random_state=0)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(200), weight))
    weighted = clone(moe).fit(X, y, sample_weight=weight).predict(X)
    assert_allclose(clone(moe).fit(X[rows], y[rows]).predict(X), weighted, rtol=1e-10)
    # Both are reduced to weighted rows: that the weights arrive shows against scikit-learn.
    base = Ridge().fit(X, y, sample_weight=weight)
    assert_allclose(clone(moe).fit(X, y, sample_weight=weight).base_.coef_, base.coef_)
    assert np.abs(clone(moe).fit(X, y).predict(X) - weighted).max() > 1e-3


@pytest.mark.parametrize(
    "parameters",
    [{"expert": "tree"}, {"combine": "average", "n_init": 2}, {"n_experts": "auto"}, {"top_k": 1}],
    ids=str,
)
def test_a_base_goes_with_everything_else(parameters):
    X, y = waves(n_rows=300)
    moe = MixtureOfExpertsRegressor(
        **{"n_experts": 2, "base": Ridge(), "max_iter": 20, "random_state": 0} | parameters
    )
    quiet(moe, X, y)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X), moe.predict(X))


def test_frames_sparse_rows_outputs_and_groups():
    X, y = waves(n_rows=300)
    frame = pd.DataFrame(X, columns=["a", "b"])
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), random_state=0)
    assert list(clone(moe).fit(frame, y).gate_feature_names_) == ["a", "b", "base"]
    dense = clone(moe).fit(X, y).predict(X)
    rows = sparse.csr_array(X)
    assert_allclose(clone(moe).fit(rows, y).predict(rows), dense, atol=1e-7)
    both = clone(moe).fit(X, np.column_stack([y, -y]))
    assert both.predict(X).shape == (300, 2)
    assert_allclose(both.predict(X)[:, 1], -both.predict(X)[:, 0], atol=1e-8)
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "up", "down"))
    boosting = HistGradientBoostingRegressor(
        categorical_features="from_dtype", max_iter=20, random_state=0
    )
    trees = MixtureOfExpertsRegressor(2, expert=boosting, base=boosting, n_init=1, max_iter=3)
    quiet(trees, frame, y, groups=np.arange(300) // 3)
    assert list(trees.gate_feature_names_)[-1] == "base"
    assert trees.score(frame, y) > 0.3


def test_inference_with_a_base_is_refused_and_a_summary_goes_without():
    X, y = waves()
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="inference needs a mixture without a base"):
        moe.inference(X, y)
    summary = moe.summary(X, y)
    assert_allclose(summary.to_frame().loc[("gate", "expert 1", "base")], moe.gate_coef_[1, 2])
    assert "log-likelihood" in str(summary)


class Remembering(Ridge):
    """Keeps the groups (second feature) of the rows of every fit."""

    fits = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        Remembering.fits.append(set(X[:, 1]))
        return super().fit(X, y, sample_weight)


def test_groups_stay_out_of_the_fits_of_a_base_together():
    X, y = waves(n_rows=200)
    X[:, 1] = groups = np.arange(200) // 10
    Remembering.fits.clear()
    MixtureOfExpertsRegressor(2, base=Remembering(), random_state=0).fit(X, y, groups=groups)
    *out_of_fold, whole = Remembering.fits
    assert [len(seen) for seen in out_of_fold] == [16] * 5
    assert len(whole) == 20
    with pytest.raises(ValueError, match=r"base needs rows .* at least 2 groups; got 1"):
        MixtureOfExpertsRegressor(2, base=Ridge()).fit(X, y, groups=np.zeros(200))
    with pytest.raises(ValueError, match="groups cannot be used"):
        MixtureOfExpertsRegressor(2).fit(X, y, groups=groups)


class Counting(Ridge):
    """Counts its predictions."""

    n_calls = 0

    def predict(self, X):
        Counting.n_calls += 1
        return super().predict(X)


def test_a_base_is_asked_once():
    X, y = waves(n_rows=5000)
    moe = MixtureOfExpertsRegressor(2, base=Counting(), random_state=0).fit(X, y)
    for method in ("predict", "predict_experts", "predict_gate", "predict_dist"):
        Counting.n_calls = 0
        getattr(moe, method)(X)
        assert Counting.n_calls == 1
    Counting.n_calls = 0
    moe.responsibilities(X, y)
    assert Counting.n_calls == 1


@pytest.mark.parametrize(
    ("kind", "base", "message"),
    [
        (MixtureOfExpertsRegressor, LogisticRegression(), "base must be a regressor"),
        (MixtureOfExpertsClassifier, Ridge(), "base must be a classifier"),
        (MixtureOfExpertsRegressor, KNeighborsRegressor(), "base must accept sample_weight"),
        (MixtureOfExpertsRegressor, Ridge, "base must be an instance; got the class Ridge"),
        (MixtureOfExpertsRegressor, "boosting", "base must be None or a scikit-learn estimator"),
    ],
)
def test_bad_bases(kind, base, message):
    X, y = flipping_classes(n_rows=100)
    with pytest.raises(ValueError, match=message):
        kind(2, base=base).fit(X, y)


# --- the transformer of the gate ---


def test_a_curved_border_is_found():
    X, y = ring()
    X_new, y_new = ring(seed=1)
    straight = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    gate = SoftmaxGate(alpha=0.1, transformer=PolynomialFeatures(2, include_bias=False))
    curved = MixtureOfExpertsRegressor(2, gate=gate, random_state=0).fit(X, y)
    assert curved.score(X_new, y_new) > 0.95 > straight.score(X_new, y_new) + 0.2
    assert list(curved.gate_feature_names_) == ["x0", "x1", "x0^2", "x0 x1", "x1^2"]
    assert curved.gate_coef_.shape == (2, 5)
    table = curved._fitted.preprocessor.extra_features.transformer.transform(X)
    logits = curved.gate_intercept_ + table @ curved.gate_coef_.T
    odds = np.exp(logits[:, 1] - logits[:, 0])
    share = curved.predict_gate(X)
    assert_allclose(np.log(share[:, 1] / share[:, 0]), np.log(odds), atol=1e-6)
    assert curved.expert_coef_.shape == (2, 2)
    assert "x1^2" in str(curved.summary(X, y))


def test_an_identity_changes_nothing():
    X, y = two_regimes(n_rows=300)
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    plain = MixtureOfExpertsRegressor(2, **fixed).fit(X, y)
    gate = SoftmaxGate(transformer=FunctionTransformer())
    same = MixtureOfExpertsRegressor(2, gate=gate, **fixed).fit(X, y)
    assert_allclose(same.predict(X), plain.predict(X), atol=0.01)
    assert_allclose(same.gate_coef_, plain.gate_coef_, atol=0.01)


def test_the_gate_transforms_the_columns_it_sees():
    X, y = ring()
    X = np.column_stack([np.ones(len(X)), X, np.arange(len(X))])
    transformer = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False))
    moe = MixtureOfExpertsRegressor(
        2,
        gate=SoftmaxGate(transformer=transformer),
        gate_features=[1, 2],
        expert_features=[1],
        random_state=0,
    ).fit(X, y)
    assert moe.gate_coef_.shape == (2, 5)
    assert list(moe.gate_feature_names_)[:2] == ["x1", "x2"]
    assert not moe.expert_coef_[:, [0, 2, 3]].any()
    assert moe.score(X, y) > 0.9
    found = moe.inference(X, y)
    assert [t.name for t in found.terms if t.part == "gate"][1:6] == list(moe.gate_feature_names_)


def test_transformers_in_a_grid_and_beside_a_base():
    X, y = ring(n_rows=300)
    gates = [SoftmaxGate(), SoftmaxGate(0.1, PolynomialFeatures(2, include_bias=False))]
    search = GridSearchCV(MixtureOfExpertsRegressor(2, n_init=1), {"gate": gates}, cv=3).fit(X, y)
    assert search.best_params_["gate"].transformer is not None
    moe = MixtureOfExpertsRegressor(2, gate=gates[1], base=Ridge(), random_state=0).fit(X, y)
    assert list(moe.gate_feature_names_)[-2:] == ["x1^2", "base"]
    assert clone(moe).gate.transformer is not None


class Halving(TransformerMixin, BaseEstimator):
    """Loses half of the rows."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[::2]


def test_bad_transformers():
    X, y = ring(n_rows=100)

    def fit(transformer):
        gate = SoftmaxGate(transformer=transformer)
        return MixtureOfExpertsRegressor(2, gate=gate).fit(X, y)

    with pytest.raises(ValueError, match=r"must keep the 100 rows.*made shape"):
        fit(Halving())
    with pytest.raises(ValueError, match="must make finite numbers"):
        fit(FunctionTransformer(lambda X: np.full_like(X, np.inf)))


def test_trees_do_not_mind_a_base_of_classes():
    X, y = flipping_classes(n_rows=200)
    moe = MixtureOfExpertsClassifier(
        2, expert="tree", base=DecisionTreeClassifier(max_depth=3), n_init=1, max_iter=3
    )
    quiet(moe, X, y)
    assert moe.score(X, y) > 0.6


def test_slopes_of_logistic_experts_beside_a_base_are_those_of_the_features():
    """A base that predicts the same everywhere leaves log odds that are linear in the features."""
    X, y = flipping_classes()
    moe = MixtureOfExpertsClassifier(2, base=DummyClassifier(), random_state=0).fit(X, y)
    log_odds = logit(moe.predict_experts(X)[..., 1])
    slopes = [
        np.linalg.lstsq(np.c_[X, np.ones(len(X))], of_expert, rcond=None)[0][:-1]
        for of_expert in log_odds.T
    ]
    assert_allclose(moe.expert_coef_, slopes, rtol=1e-6, atol=1e-8)
