"""What stacking refuses, before any model is fitted, and what it says of models that fail."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.families import Ordinal, Poisson
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import two_regimes

X, Y = two_regimes(n_rows=60)
COUNTS_Y, LABELS = np.round(np.abs(Y)), Y > 0.0


class Fails(RegressorMixin, BaseEstimator):
    """Fails unless some row is among those of its fit."""

    def fit(self, X, y, sample_weight=None):
        if not (X[:, 0] == 7.0).any():
            raise ArithmeticError("no row of seven")
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.zeros(len(X))


class NeverPositive(Fails):
    """Has a density of zero at positive y."""

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def score_samples(self, X, y):
        return np.where(y > 0.0, -np.inf, norm.logpdf(y))


def regressor(**options):
    return MixtureOfExpertsRegressor(**options)


def stack(*estimators, kind=MixtureOfExpertsRegressor, **options):
    return kind(expert=list(estimators), **{"specialize": False, "random_state": 0} | options)


LINEAR, COUNTS = regressor(n_experts=1), regressor(family="poisson")
STUDENT = regressor(n_experts=1, family="student_t")


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"expert": [Ridge()]}, "expert", ["at least two entries", "got 1", "Add another"]),
        ({"expert": []}, "expert", ["at least two entries", "got 0"]),
        ({"expert": "tree"}, "expert", ["a list of estimators", "tree", "specialize=True"]),
        ({"expert": "linear"}, "expert", ["a list of estimators"]),
        ({"expert": Ridge()}, "expert", ["a list of estimators", Ridge()]),
        ({"expert": [Ridge(), LogisticRegression()]}, "expert[1]", ["a regressor"]),
        ({"expert": [Ridge(), 3]}, "expert[1]", ["must be one of", 3]),
        ({"expert": [Ridge(), Ridge]}, "expert[1]", ["instance", "Ridge"]),
        ({"expert": [LINEAR, STUDENT, "x"]}, "expert[2]", ["must be one of", "x"]),
        ({"n_experts": 3}, "n_experts", ["a list of 2", "got 3", "Leave n_experts out"]),
        ({"n_experts": "auto"}, 'n_experts="auto"', ["specialize"]),
        ({"cross_fit": False}, "cross_fit", ["In-sample densities", False, 'cross_fit="auto"']),
        ({"cross_fit": "oob"}, "cross_fit", ["the number of folds", "oob"]),
        ({"cross_fit": 61}, "cross_fit=61", ["rows, 60", "at most 60"]),
        ({"cross_fit": 1}, "cross_fit", ["got 1"]),
        ({"init": "kmeans"}, "init", ["'auto'", "kmeans"]),
        ({"init": np.ones((60, 2)) / 2}, "init", ["'auto'"]),
        ({"combine": "average"}, "combine", ["'best'", "average"]),
        ({"warm_start": True}, "warm_start", ["must be False", True]),
        ({"warm_start": 0}, "warm_start", ["must be False", "got 0"]),
        ({"base": Ridge()}, "base", ["must be None", "into the list"]),
        ({"shared_features": [0]}, "shared_features", ["must be None", [0]]),
        ({"specialize": "no"}, "specialize", ["no"]),
        ({"family": ["normal", "student_t"]}, "family", ["one family in common"]),
        (
            {"expert": [LINEAR, STUDENT], "family": "student_t"},
            "family",
            ["without a density of their own", "Leave family out"],
        ),
    ],
    ids=str,
)
def test_parameters_that_stacking_does_not_have_are_refused(options, name, words):
    moe = stack(Fails(), Fails()).set_params(**options)
    assert_fit_refused(moe, (X, Y), name, *words)


@pytest.mark.parametrize("options", [{}, {"cross_fit": 3}, {"n_experts": 2}, {"n_experts": 4}])
def test_number_of_experts_can_be_left_out_or_agree(options):
    moe = fit_quietly(stack("tree", Ridge(), **options), X, Y)
    assert len(moe.experts_) == moe.n_experts_ == 2


# --- measures -----------------------------------------------------------------------------------

DENSITY, VALUES = "a density", "probabilities of values"
MIXED = "a density and the probability of 0"

# An estimator, and what it predicts where the families of the stack are normal.
ESTIMATORS = [
    ("tree", DENSITY),
    (LINEAR, DENSITY),
    (regressor(family=Poisson()), VALUES),
    (regressor(family=("zero", "gamma")), MIXED),
    (regressor(expert="tree", family="poisson"), VALUES),
    (regressor(expert=Ridge(), family="gamma"), DENSITY),
    (regressor(expert=["tree", Ridge()], family="poisson"), VALUES),
    (regressor(expert=[COUNTS, regressor(family="negative_binomial")], specialize=False), VALUES),
    (regressor(expert=("tree", COUNTS), specialize=False), VALUES),
    (regressor(expert=COUNTS), VALUES),
    (make_pipeline(StandardScaler(), COUNTS), VALUES),
]
FIRST = {DENSITY: Ridge(), VALUES: COUNTS, MIXED: regressor(family=["zero", "gamma"])}


@pytest.mark.parametrize(("estimator", "predicted"), ESTIMATORS)
def test_densities_that_cannot_be_compared_are_refused(estimator, predicted):
    for other, first in FIRST.items():
        # The next check is that of the folds, which a table of two rows cannot have.
        message = refusal(stack(first, estimator, cross_fit=3).fit, X[:2], COUNTS_Y[:2])
        if other == predicted:
            assert_refused(message, "cross_fit=3", "rows")
        else:
            words = ["can be compared", "expert[0]", other, "expert[1]", predicted, "one kind"]
            assert_refused(message, "expert", *words)


@pytest.mark.parametrize(("family", "predicted"), [("poisson", VALUES), ("gamma", DENSITY)])
def test_estimators_without_a_density_predict_what_the_family_of_the_stack_does(family, predicted):
    for estimator in (
        "tree",
        PoissonRegressor(),
        make_pipeline(StandardScaler(), PoissonRegressor()),
    ):
        message = refusal(stack(FIRST[MIXED], estimator, family=family).fit, X, COUNTS_Y)
        assert_refused(message, "expert", MIXED, "expert[1]", predicted)


# --- the data -----------------------------------------------------------------------------------

OFFSET = {"offset": np.full(60, 0.1)}
HALVES = {"sample_weight": np.full(60, 0.5)}


@pytest.mark.parametrize(
    ("moe", "y", "data", "name", "words"),
    [
        (stack(Ridge(), "tree"), Y, {"groups": np.zeros(60)}, "specialize", ["at least 2 groups"]),
        (
            stack(Ridge(), KNeighborsRegressor()),
            Y,
            HALVES,
            "expert[1]",
            ["takes no sample_weight", "whole numbers", "0.5", KNeighborsRegressor()],
        ),
        (
            stack(Ridge(), KNeighborsRegressor()),
            Y,
            {"sample_weight": np.full(60, 1e6)},
            "expert[1]",
            ["at most 10000000 in total"],
        ),
        (
            stack(
                KNeighborsClassifier(),
                LogisticRegression(),
                kind=MixtureOfExpertsClassifier,
                class_weight="balanced",
            ),
            X[:, 1] > 0.4,
            {},
            "expert[0]",
            ["sample_weight or class_weight"],
        ),
        (
            stack(GaussianNB(), Ridge(), kind=MixtureOfExpertsClassifier),
            LABELS,
            {},
            "expert[1]",
            ["must be a classifier", Ridge()],
        ),
        (
            stack(regressor(n_experts=1, family="poisson"), PoissonRegressor(), family="poisson"),
            COUNTS_Y,
            OFFSET,
            "offset",
            ["expert[0]", "a density of its own", "without offset"],
        ),
        (
            stack(PoissonRegressor(), KNeighborsRegressor(), family="poisson"),
            COUNTS_Y,
            OFFSET,
            "offset",
            ["expert[1]", "takes no sample_weight"],
        ),
        (
            stack(NeverPositive(), NeverPositive()),
            Y,
            {},
            "y",
            ["possible under some model", "Use fewer folds"],
        ),
    ],
)
def test_rows_that_cannot_be_used_are_refused(moe, y, data, name, words):
    assert_fit_refused(moe, (X, y), name, *words, **data)


def test_a_rare_value_needs_a_list_of_all_values():
    ratings = np.where(np.arange(60) == 7, 5.0, 1.0 + LABELS)
    options = {"n_init": 1, "max_iter": 5, "random_state": 0}
    estimators = [regressor(n_experts=k, family="ordinal", **options) for k in (1, 2)]
    message = refusal(fit_quietly, stack(*estimators, cross_fit=2), X, ratings)
    assert_refused(message, "y", "y = 5 is not", "family=Ordinal(values=")
    values = Ordinal(values=(1.0, 2.0, 5.0))
    estimators = [regressor(n_experts=k, family=values, **options) for k in (1, 2)]
    moe = fit_quietly(stack(*estimators, cross_fit=2), X, ratings)
    assert np.isfinite(moe.score_samples(X, ratings)).all()


def test_an_estimator_that_fails_is_named_with_its_fold():
    features = np.arange(30.0)[:, None]
    moe = stack(Ridge(), Fails())
    with pytest.raises(ArithmeticError, match="no row of seven") as caught:
        moe.fit(features, features[:, 0])
    assert any("expert 1, Fails(), without fold" in note for note in caught.value.__notes__)
    assert not hasattr(moe, "weights_")


def test_weights_of_ones_repeat_no_row():
    moe = stack(Ridge(), KNeighborsRegressor(3), cross_fit=2)
    alone = KNeighborsRegressor(3).fit(X, Y)
    fit_quietly(moe, X, Y, sample_weight=np.ones(60))
    assert_allclose(moe.experts_[1][0].predict(X), alone.predict(X))


@pytest.mark.parametrize("expert", ["linear", [Ridge(), "tree"]])
def test_streams_are_refused(expert):
    moe = regressor(n_experts=2, expert=expert, specialize=False)
    with pytest.raises(AttributeError, match="has no attribute") as caught:
        moe.partial_fit(X, Y)
    assert "partial_fit needs" in str(caught.value.__cause__)


def test_blocks_checkpoints_and_inference_are_refused(tmp_path):
    moe = stack(Ridge(), "tree")
    message = refusal(fit_with_checkpoints, moe, X, Y, path=tmp_path / "fit.joblib")
    assert_refused(message, "fit_with_checkpoints", "specialize=True")
    assert "blocks of rows need" in refusal(moe.fit, RowBlocks.from_arrays(X, Y))
    assert_refused(refusal(fit_quietly(moe, X, Y).inference, X, Y), "inference", "no coefficients")
