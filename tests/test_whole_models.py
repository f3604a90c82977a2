"""`specialize=False`: whole models as experts, and a gate trained on out-of-fold densities."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from regimes import flipping_classes, two_regimes
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import folds
from skmoe._estimators import member_parameters
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.distributions import MixtureDistribution
from skmoe.families import Ordinal
from skmoe.inspection import export_mermaid, export_text

X, Y = two_regimes(n_rows=150)
LINEAR = MixtureOfExpertsRegressor(1)
SMALL = MixtureOfExpertsRegressor(2, n_init=1, max_iter=80, tol=1e-2, random_state=0)
TREE = DecisionTreeRegressor(max_depth=3, random_state=0)


def stack(*members, kind=MixtureOfExpertsRegressor, **options):
    members = list(members) or [LINEAR, Ridge(), TREE]
    options = {"gate_alpha": 10.0, "cross_fit": 3, "random_state": 0} | options
    return kind(expert=members, specialize=False, **options)


class RightOnOneSide(RegressorMixin, BaseEstimator):
    """Knows the density of y where the first feature has the sign of `side`, and else is vague."""

    def __init__(self, side=1.0):
        self.side = side

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X[:, 1]

    def _std(self, X):
        return np.where(X[:, 0] * self.side > 0, 0.1, 1.0)

    def score_samples(self, X, y):
        return norm.logpdf(y, X[:, 1], self._std(X))

    def predict_dist(self, X):
        ones = np.ones((len(X), 1))
        return MixtureDistribution(ones, X[:, 1:2], self._std(X)[:, None])


class NeverPositive(RightOnOneSide):
    """Has a density of zero at positive y."""

    def score_samples(self, X, y):
        return np.where(y > 0.0, -np.inf, super().score_samples(X, y))


class Memory(RegressorMixin, BaseEstimator):
    """Predicts a million where the label in the first feature was among the rows of its fit."""

    def fit(self, X, y, sample_weight=None):
        self.labels_ = np.unique(X[:, 0])
        return self

    def predict(self, X):
        return np.where(np.isin(X[:, 0], self.labels_), 1e6, 0.0)


# Worse than a prediction of zero, and better than one of a million.
FAR_AWAY = DummyRegressor(strategy="constant", constant=50.0)


class Fails(RegressorMixin, BaseEstimator):
    """Fails unless some row is among those of its fit."""

    def fit(self, X, y, sample_weight=None):
        if not (X[:, 0] == 7.0).any():
            raise ArithmeticError("no row of seven")
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.zeros(len(X))


def halves(n_rows=400):
    """Rows whose noise has a standard deviation of 0.1 everywhere."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    return X, X[:, 1] + 0.1 * rng.normal(size=n_rows)


def log_density_at_spread(model, X, y, spread):
    """Of a model whose distributions are narrowed around their means."""
    mean = model.predict(X)
    return model.score_samples(X, mean + (y - mean) / spread) - y[0].size * np.log(spread)


# --- the gate ---------------------------------------------------------------------------------


def test_the_gate_finds_where_each_model_is_right():
    features, y = halves()
    moe = stack(RightOnOneSide(-1.0), RightOnOneSide(1.0), gate_alpha=0.1).fit(features, y)
    gate = moe.predict_gate([[-0.8, 0.0], [0.8, 0.0]])
    assert gate[[0, 1], [0, 1]].min() > 0.95
    alone = max(RightOnOneSide(side).score_samples(features, y).mean() for side in (-1.0, 1.0))
    assert moe.score_samples(features, y).mean() > alone + 0.5
    assert moe.converged_
    assert (np.diff(moe.lower_bounds_) >= 0.0).all()


def test_constant_weights_are_the_fixed_point_of_em():
    features, y = halves()
    models = RightOnOneSide(-1.0), RightOnOneSide(1.0)
    weight = np.random.default_rng(1).integers(1, 4, size=len(y))
    moe = stack(*models, gate="constant", tol=1e-12).fit(features, y, sample_weight=weight)
    logs = [
        log_density_at_spread(model, features, y, spread)
        for model, spread in zip(models, moe.spread_, strict=True)
    ]
    L = np.stack(logs, axis=1)
    w = np.array([0.5, 0.5])
    for _ in range(2000):
        w = np.average(softmax(np.log(w) + L, axis=1), axis=0, weights=weight)
    np.testing.assert_allclose(moe.weights_, w, rtol=1e-5)
    bound = np.average(logsumexp(np.log(w) + L, axis=1), weights=weight)
    np.testing.assert_allclose(moe.lower_bound_, bound, rtol=1e-8)


def test_a_large_penalty_gives_constant_weights():
    constant, shrunk = (
        stack(Ridge(), TREE, tol=1e-9, **options).fit(X, Y)
        for options in ({"gate": "constant"}, {"gate_alpha": 1e8})
    )
    np.testing.assert_allclose(shrunk.predict_gate(X), constant.predict_gate(X), atol=1e-3)


# --- out of fold ------------------------------------------------------------------------------


@pytest.fixture(params=["folds", "one half"])
def cross_fit(request, monkeypatch):
    """A number of folds, or one half that is held out, as of many rows."""
    if request.param == "folds":
        return 3
    monkeypatch.setattr(folds, "MAX_ROWS_WITH_MORE_FOLDS", len(Y) - 1)
    return "auto"


def test_densities_are_out_of_fold(cross_fit):
    """Otherwise the predictions of a million would be in the noise variance and the weight."""
    features = np.column_stack([np.arange(len(Y)), X])
    moe = stack(Memory(), FAR_AWAY, gate="constant", cross_fit=cross_fit).fit(features, Y)
    assert moe.noise_variance_[0] < 10.0 * np.mean(Y**2)
    assert moe.weights_[0] > 0.5


def test_noise_variances_are_those_of_out_of_fold_residuals():
    moe = stack(LinearRegression(), TREE, dispersion_prior=0.0).fit(X, Y)
    linear = LinearRegression().fit(X, Y)
    assert moe.noise_variance_[0] > np.mean((Y - linear.predict(X)) ** 2)
    np.testing.assert_allclose(moe.experts_[0][0].coef_, linear.coef_)


@pytest.mark.parametrize("name", ["groups", "units"])
def test_rows_of_a_group_are_never_on_both_sides(name, cross_fit):
    labels = np.arange(len(Y)) // 5
    features = np.column_stack([labels, X])
    moe = stack(Memory(), FAR_AWAY, gate="constant", cross_fit=cross_fit)
    assert moe.fit(features, Y, **{name: labels}).weights_[0] > 0.5
    assert moe.fit(features, Y).weights_[0] < 0.1


def test_units_have_one_responsibility():
    units = np.arange(len(Y)) // 5
    moe = stack(gate="constant").fit(X, Y, units=units)
    resp = moe.responsibilities(X, Y, units=units)
    assert (np.ptp(resp.rows(units).reshape(-1, 5, 3), axis=1) == 0.0).all()
    assert moe.n_units_ == len(Y) // 5


# --- laws of weights and order ----------------------------------------------------------------


@pytest.mark.parametrize("last", [TREE, KNeighborsRegressor(3)])
def test_a_weight_of_two_is_the_row_twice(last):
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 3, size=len(Y))
    moe = stack(SMALL, Ridge(), last)
    weighted = clone(moe).fit(X, Y, sample_weight=weight)
    repeated = np.repeat(np.arange(len(Y)), weight)
    order = rng.permutation(len(repeated))
    twice = clone(moe).fit(X[repeated][order], Y[repeated][order])
    assert (weighted.predict(X) == twice.predict(X)).all()
    assert (weighted.score_samples(X, Y) == twice.score_samples(X, Y)).all()
    assert weighted.lower_bound_ == twice.lower_bound_


def test_rows_are_repeated_for_estimators_without_weights():
    weight = np.random.default_rng(3).integers(1, 4, size=len(Y))
    moe = stack(Ridge(), KNeighborsRegressor(3)).fit(X, Y, sample_weight=weight)
    (neighbours,) = moe.experts_[1]
    assert neighbours.n_samples_fit_ == weight.sum()
    repeated = np.repeat(np.arange(len(Y)), weight)
    alone = KNeighborsRegressor(3).fit(X[repeated], Y[repeated])
    np.testing.assert_allclose(neighbours.predict(X), alone.predict(X))


def test_the_number_of_jobs_changes_nothing():
    one = stack().fit(X, Y)
    with parallel_backend("threading"):
        two = stack(n_jobs=2).fit(X, Y)
    assert (one.score_samples(X, Y) == two.score_samples(X, Y)).all()


def test_random_states_are_reproducible():
    forests = [RandomForestRegressor(3), RandomForestRegressor(3)]
    one, two = (stack(*forests).fit(X, Y) for _ in range(2))
    assert (one.predict(X) == two.predict(X)).all()
    first, second = one.predict_experts(X).T
    assert (first != second).any()


# --- densities of members ---------------------------------------------------------------------


def member_log_density(moe, X, y):
    """Log density of each member, computed outside of the stack."""
    gate = np.log(moe.predict_gate(X))
    logs = []
    for k, (model,) in enumerate(moe.experts_):
        if hasattr(model, "score_samples"):
            logs.append(log_density_at_spread(model, X, y, moe.spread_[k]))
        else:
            std = np.sqrt(moe.noise_variance_[k])
            logs.append(norm.logpdf(y, model.predict(X), std).reshape(len(X), -1).sum(axis=1))
    return logsumexp(gate.T + logs, axis=0)


AVERAGED = clone(SMALL).set_params(combine="average", n_init=2)
NESTED = MixtureOfExpertsRegressor(
    expert=[SMALL, Ridge()], specialize=False, cross_fit=2, random_state=0
)
STUDENT = MixtureOfExpertsRegressor(1, family="student_t")


@pytest.mark.parametrize(
    "member", [SMALL, AVERAGED, NESTED, STUDENT], ids=["one", "averaged", "stack", "student"]
)
def test_the_prediction_is_the_mixture_of_the_members(member):
    moe = stack(member, Ridge()).fit(X, Y)
    dist = moe.predict_dist(X)
    expected = member_log_density(moe, X, Y)
    np.testing.assert_allclose(dist.logpdf(Y), expected, rtol=1e-8)
    np.testing.assert_allclose(moe.score_samples(X, Y), expected, rtol=1e-8)
    gate = moe.predict_gate(X)
    means = [model.predict(X) for (model,) in moe.experts_]
    np.testing.assert_allclose(moe.predict(X), (gate.T * means).sum(axis=0), rtol=1e-8)
    np.testing.assert_allclose(dist.mean, moe.predict(X), rtol=1e-8)
    low, high = moe.predict_interval(X).T
    assert ((low < Y) & (high > Y)).mean() > 0.7


def test_top_k_routes_to_a_member_that_is_a_mixture_of_families():
    moe = stack(STUDENT, SMALL, Ridge(), top_k=1).fit(X, Y)
    routed = moe.apply(X)
    dist = moe.predict_dist(X)
    means = np.stack([model.predict(X) for (model,) in moe.experts_])
    np.testing.assert_allclose(dist.mean, means[routed, np.arange(len(X))], rtol=1e-8)


def test_several_outputs():
    both = np.column_stack([Y, Y**2])
    moe = stack(SMALL, Ridge()).fit(X, both)
    dist = moe.predict_dist(X)
    np.testing.assert_allclose(moe.score_samples(X, both), member_log_density(moe, X, both))
    assert dist.mean.shape == (len(Y), 2)
    assert moe.noise_variance_.shape == (2, 2)


def test_counts_with_own_densities_and_with_a_family():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(X[:, 0]))
    mixture = MixtureOfExpertsRegressor(1, family="negative_binomial")
    moe = stack(mixture, PoissonRegressor(), family="poisson").fit(X, counts)
    dist = moe.predict_dist(X)
    np.testing.assert_allclose(dist.logpmf(counts), moe.score_samples(X, counts), rtol=1e-8)
    assert type(dist).__name__ == "CountMixtureDistribution"
    exposure = np.log(rng.uniform(0.5, 2.0, size=len(counts)))
    rates = stack(PoissonRegressor(), "tree", family="poisson").fit(X, counts, offset=exposure)
    factor = rates.predict(X, offset=np.full(len(X), np.log(3.0))) / rates.predict(X)
    np.testing.assert_allclose(factor, 3.0)


def test_discrete_members_of_ratings():
    ratings = np.clip(np.round(X[:, 0]) + 3.0, 1, 5)
    values = Ordinal(values=(1.0, 2.0, 3.0, 4.0, 5.0))
    ordinal = MixtureOfExpertsRegressor(1, family=values, max_iter=120, tol=0.01)
    moe = stack(ordinal, clone(ordinal).set_params(expert_features=[0])).fit(X, ratings)
    dist = moe.predict_dist(X)
    np.testing.assert_allclose(dist.pmf(ratings), np.exp(moe.score_samples(X, ratings)))
    np.testing.assert_allclose(dist.pmf(np.arange(1.0, 6.0)[None]).sum(axis=1), 1.0)


def test_zeros_and_positive_values():
    costs = np.where(X[:, 1] > 0, np.exp(X[:, 0]), 0.0)
    mixture = MixtureOfExpertsRegressor(2, family=["zero", "gamma"], n_init=1)
    moe = stack(mixture, clone(mixture).set_params(gate="constant")).fit(X, costs)
    np.testing.assert_allclose(moe.predict_dist(X).logpdf(costs), moe.score_samples(X, costs))


def test_classifiers():
    features, y = flipping_classes(n_rows=200, n_classes=3)
    mixture = MixtureOfExpertsClassifier(2, n_init=1, max_iter=80, tol=1e-2)
    members = mixture, LogisticRegression(), DecisionTreeClassifier(max_depth=3), GaussianNB()
    moe = stack(*members, kind=MixtureOfExpertsClassifier).fit(features, y)
    gate, experts = moe.predict_gate(features), moe.predict_experts(features)
    probs = moe.predict_proba(features)
    np.testing.assert_allclose(probs, np.einsum("nk,nkc->nc", gate, experts))
    np.testing.assert_allclose(experts[:, 0], moe.experts_[0][0].predict_proba(features))
    logs = np.log(probs[np.arange(len(y)), y])
    np.testing.assert_allclose(moe.score_samples(features, y), logs)
    assert moe.weights_[0] > 0.5  # the mixture knows both rules


def test_class_weights_and_rare_classes():
    features, y = flipping_classes(n_rows=120)
    y[:2] = 2  # in some folds no row of this class is left
    members = LogisticRegression(), GaussianNB()
    options = {"kind": MixtureOfExpertsClassifier, "class_weight": "balanced", "cross_fit": "auto"}
    moe = stack(*members, **options).fit(features, y)
    np.testing.assert_allclose(moe.predict_proba(features).sum(axis=1), 1.0)


def test_missing_values_and_categories_reach_the_members_as_they_are():
    frame = pd.DataFrame({"size": X[:, 0], "other": X[:, 1]})
    frame["city"] = pd.Categorical(np.where(X[:, 2] > 0, "rome", "oslo"))
    frame.loc[::7, "size"] = np.nan
    small = HistGradientBoostingRegressor(
        max_iter=5, max_bins=8, categorical_features="from_dtype", random_state=0
    )
    moe = stack(small, "tree", "linear").fit(frame, Y)
    assert np.isfinite(moe.predict(frame)).all()
    assert "city_rome" in list(moe.gate_feature_names_)


# --- bad input --------------------------------------------------------------------------------

BAD_PARAMETERS = [
    ({"expert": [Ridge()]}, "expert must have at least two entries"),
    ({"expert": "tree"}, "expert must be a list of estimators"),
    ({"expert": "linear"}, "expert must be a list of estimators"),
    ({"expert": Ridge()}, "expert must be a list of estimators"),
    ({"expert": [Ridge(), LogisticRegression()]}, r"expert\[1\] must be a regressor"),
    ({"expert": [Ridge(), 3]}, r"expert\[1\] must be one of"),
    ({"expert": [Ridge(), Ridge]}, r"expert\[1\]"),
    ({"n_experts": 3}, "n_experts must agree with expert, a list of 2"),
    ({"n_experts": "auto"}, 'n_experts="auto" cannot be chosen with this specialize'),
    ({"cross_fit": False}, "In-sample densities are optimistic"),
    ({"cross_fit": "oob"}, "cross_fit must be the number of folds"),
    ({"cross_fit": 200}, "cross_fit=200 must not exceed the number of rows"),
    ({"cross_fit": 1}, "cross_fit must be"),
    ({"init": "kmeans"}, "init must be 'auto' with specialize=False"),
    ({"init": np.ones((150, 2)) / 2}, "init must be 'auto' with specialize=False"),
    ({"combine": "average"}, "combine must be 'best' with specialize=False"),
    ({"warm_start": True}, "warm_start must be False with specialize=False"),
    ({"base": Ridge()}, "base must be None with specialize=False"),
    ({"shared_features": [0]}, "shared_features must be None with specialize=False"),
    ({"specialize": "no"}, "specialize"),
    ({"family": ["normal", "student_t"]}, "one family in common"),
    ({"expert": [LINEAR, SMALL], "family": "student_t"}, "there is none in expert"),
    ({"expert": [LINEAR, STUDENT, "x"]}, r"expert\[2\]"),
    (
        {"expert": [MixtureOfExpertsRegressor(1, family="poisson"), Ridge()]},
        r"predicts probabilities of values, and expert\[1\], Ridge\(\), a density",
    ),
    (
        {"expert": [Ridge(), MixtureOfExpertsRegressor(2, family=["zero", "gamma"])]},
        "a density and the probability of 0",
    ),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD_PARAMETERS, ids=[str(m) for _, m in BAD_PARAMETERS]
)
def test_bad_parameters_are_refused_before_any_fit(options, message):
    moe = stack(Fails(), Fails()).set_params(**options)
    with pytest.raises(ValueError, match=message):
        moe.fit(X, Y)
    assert not hasattr(moe, "weights_")


def test_classifier_members_are_checked():
    features, y = flipping_classes(n_rows=50)
    moe = stack(GaussianNB(), Ridge(), kind=MixtureOfExpertsClassifier)
    with pytest.raises(ValueError, match=r"expert\[1\] must be a classifier"):
        moe.fit(features, y)


def test_a_member_that_fails_is_named_with_its_fold():
    features = np.arange(30.0)[:, None]
    moe = stack(Ridge(), Fails())
    with pytest.raises(ArithmeticError, match="no row of seven") as caught:
        moe.fit(features, features[:, 0])
    assert any("expert 1, Fails(), without fold" in note for note in caught.value.__notes__)
    assert not hasattr(moe, "weights_")


def test_rows_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match="at least 2 groups"):
        stack(cross_fit="auto").fit(X, Y, groups=np.zeros(len(Y)))
    with pytest.raises(ValueError, match=r"expert\[1\] takes no sample_weight"):
        stack(Ridge(), KNeighborsRegressor()).fit(X, Y, sample_weight=np.full(len(Y), 0.5))
    counts = np.round(np.abs(Y))
    mixture = MixtureOfExpertsRegressor(1, family="poisson")
    moe = stack(mixture, PoissonRegressor(), family="poisson")
    with pytest.raises(ValueError, match=r"offset needs experts .* has a density of its own"):
        moe.fit(X, counts, offset=np.zeros(len(Y)) + 0.1)
    with pytest.raises(ValueError, match="y must be possible under some model"):
        stack(NeverPositive(), NeverPositive()).fit(X, Y)


def test_streams_blocks_checkpoints_and_inference_are_refused(tmp_path):
    with pytest.raises(ValueError, match="fit_with_checkpoints needs specialize=True"):
        fit_with_checkpoints(stack(), X, Y, path=tmp_path / "fit.joblib")
    with pytest.raises(ValueError, match=r"inference needs .* no coefficients in common"):
        stack(Ridge(), TREE).fit(X, Y).inference(X, Y)
    for expert in ("linear", [Ridge(), TREE]):
        moe = MixtureOfExpertsRegressor(2, expert=expert, specialize=False)
        with pytest.raises(AttributeError, match="has no attribute") as caught:
            moe.partial_fit(X, Y)
        assert "partial_fit needs" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="blocks of rows need"):
        stack().fit(RowBlocks.from_arrays(X, Y))


# --- as an estimator of scikit-learn ----------------------------------------------------------


def test_copies_files_and_searches():
    moe = stack().fit(X, Y)
    again = clone(moe).fit(X, Y)
    read = pickle.loads(pickle.dumps(moe))
    for other in (again, read):
        assert (other.score_samples(X, Y) == moe.score_samples(X, Y)).all()
    with pytest.raises(ValueError, match="has no plain form"):
        moe.to_dict()
    pipeline = make_pipeline(
        StandardScaler(), stack(make_pipeline(StandardScaler(), Ridge()), TREE)
    )
    grid = {"mixtureofexpertsregressor__gate_alpha": [1.0, 100.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert search.best_score_ > 0.3


def test_displays_and_texts(capsys):
    moe = stack(SMALL, TREE, verbose=2).fit(X, Y)
    printed = capsys.readouterr().out
    assert "model 0, MixtureOfExpertsRegressor: fitted" in printed
    assert "model 1, DecisionTreeRegressor: fitted" in printed
    assert "EM: lower bound" in printed
    assert "itself a mixture of 2 experts" in export_text(moe)
    assert "average of" not in export_text(moe)
    assert "DecisionTreeRegressor" in export_mermaid(moe)
    assert "expert 1 (DecisionTreeRegressor, 8 leaves)" in str(moe.summary(X, Y))
    assert "DecisionTreeRegressor" in moe._repr_html_()


def test_fits_are_silent_by_default(capsys):
    stack(Ridge(), TREE).fit(X, Y)
    assert not capsys.readouterr().out


def test_collapsed_experts_of_a_member_are_no_fault_of_the_stack():
    """The gate of the stack weights the member by its densities, whatever its experts are."""
    X, y = two_regimes(n_rows=60)
    member = MixtureOfExpertsRegressor(8, alpha=0.1, gate_alpha=1.0, random_state=0)
    with pytest.warns(UserWarning, match="Experts have collapsed"):
        clone(member).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MixtureOfExpertsRegressor(
            expert=[member, Ridge()], specialize=False, gate_alpha=10.0, random_state=0
        ).fit(X, y)


def test_weights_may_repeat_rows_up_to_a_number_of_rows(monkeypatch):
    """Weights of estimators that take none are numbers of repeated rows."""
    monkeypatch.setattr(member_parameters, "MAX_REPEATED_ROWS", 12)
    check = member_parameters._check_weights
    check([KNeighborsRegressor()], np.full(4, 3.0))
    check([Ridge(), "linear"], np.full(4, 3.5))
    for weight in (np.full(4, 3.5), np.array([3.0, 3.0, 3.0, 4.0])):
        with pytest.raises(ValueError, match=r"expert\[1\] takes no sample_weight"):
            check([Ridge(), KNeighborsRegressor()], weight)
