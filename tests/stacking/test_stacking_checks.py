"""What stacking refuses, before any model is fitted, and what it says of models that fail."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.experts import LinearExperts
from skmoe.families import Ordinal, Poisson
from skmoe.gates import SoftmaxGate
from skmoe.model_selection import n_experts_test
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.stacks import named, stack_of
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


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **options)


def stack(*estimators, **options):
    return stack_of(*estimators, **{"random_state": 0} | options)


def classifiers(*estimators, **options):
    return stack(*estimators, kind=GatedStackingClassifier, **options)


LINEAR, COUNTS = regressor(1), regressor(family="poisson")
STUDENT, NEIGHBOURS = regressor(1, family="student_t"), KNeighborsRegressor()

# Estimators, and how the message begins and goes on.
ESTIMATORS = [
    (named([Ridge()]), "estimators", "at least two entries", "got 1", "Add another"),
    ([("a", Ridge()), ("b", "drop")], "estimators", "at least two entries", "got 1"),
    ([], "estimators", "list of pairs", []),
    ("tree", "estimators", "list of pairs", "'tree'"),
    (Ridge(), "estimators", "list of pairs", Ridge()),
    ([Ridge(), "tree"], "estimators", "list of pairs", Ridge()),
    ([("a", Ridge()), ("a", "tree")], "names in estimators", "differ", "'a'"),
    ([("a", Ridge()), ("", "tree")], "names in estimators", "not empty"),
    ([("a", Ridge()), (3, "tree")], "names in estimators", "must be strings", 3),
    ([("a", Ridge()), ("cv", "tree")], "names in estimators", "set_params", "'cv'"),
    ([("a", Ridge()), ("b__c", "tree")], "names in estimators", "set_params", "'b__c'"),
    (named([Ridge(), LogisticRegression()]), "estimators[1]", "a regressor"),
    (named([Ridge(), 3]), "estimators[1]", "must be one of", 3),
    (named([Ridge(), Ridge]), "estimators[1]", "instance", "Ridge"),
    (named([LINEAR, STUDENT, "x"]), "estimators[2]", "must be one of", "x"),
    (named([Ridge(), LinearExperts()]), "estimators[1]", "must be one of", "LinearExperts"),
]

# Parameters of a stack of models that fail if they are fitted.
OPTIONS = [
    ({"cv": False}, "cv", "at least 2", False),
    ({"cv": "oob"}, "cv", "an integer", "oob"),
    ({"cv": 61}, "cv=61", "rows, 60", "at most 60", "cv=None"),
    ({"cv": 1}, "cv", "got 1"),
    ({"family": ["normal", "student_t"]}, "family", "one family", "in common"),
    ({"family": "ordinal"}, "family", "have a mean", "'ordinal'", "gamma"),
    ({"family": "cauchy"}, "family", "must be one of", "'cauchy'"),
    ({"gate_alpha": "auto", "gate": "constant"}, "gate_alpha", "can be found", "constant"),
    ({"gate": "wide"}, "gate", "softmax", "'wide'"),
    ({"gate": SoftmaxGate(top_k=0)}, "gate.top_k", "at least 1", "got 0"),
    ({"dispersion_prior": "auto"}, "dispersion_prior", "auto"),
    ({"tol": -1.0}, "tol", "-1"),
]

OFFSET = {"offset": np.full(60, 0.1)}

# Stacks, their target, further arguments of the fit, and the message.
ROWS = [
    (stack(Ridge(), "tree"), Y, {"groups": np.zeros(60)}, "cv", "at least 2 groups", "finer"),
    (
        *(stack(Ridge(), NEIGHBOURS), Y, {"sample_weight": np.full(60, 0.5)}, "estimators[1]"),
        *("takes no sample_weight", "whole numbers", "0.5", NEIGHBOURS),
    ),
    (
        *(stack(Ridge(), NEIGHBOURS), Y, {"sample_weight": np.full(60, 1e6)}, "estimators[1]"),
        "at most 10000000 in total",
    ),
    (
        classifiers(KNeighborsClassifier(), LogisticRegression(), class_weight="balanced"),
        *(X[:, 1] > 0.4, {}, "estimators[0]", "sample_weight or class_weight"),
    ),
    (
        *(stack(Ridge(), regressor(50), cv=5), Y, {}, "estimators[1]"),
        *("50 experts, needs as many rows", "there are 48", "fewer experts"),
    ),
    (
        *(classifiers(GaussianNB(), Ridge()), LABELS, {}, "estimators[1]"),
        *("must be a classifier", Ridge()),
    ),
    (
        *(stack(COUNTS, PoissonRegressor(), family="poisson"), COUNTS_Y, OFFSET, "offset"),
        *("estimators[0]", "a density of its own", "without offset"),
    ),
    (
        *(stack(PoissonRegressor(), NEIGHBOURS, family="poisson"), COUNTS_Y, OFFSET, "offset"),
        *("estimators[1]", "takes no sample_weight"),
    ),
    (
        *(stack(LINEAR, STUDENT, family="student_t"), Y, {}, "family='student_t'"),
        *("without a density of their own", "Leave family out"),
    ),
    (
        *(stack(Ridge(), "tree", family="gamma"), np.exp(0.3 * Y) - 0.05, {}, "expert 0"),
        *("not negative", "Ridge()"),
    ),
]
TABLE = [(GatedStackingRegressor(estimators), Y, {}, *words) for estimators, *words in ESTIMATORS]
TABLE += [(stack(Fails(), Fails(), **options), Y, {}, *words) for options, *words in OPTIONS]


@pytest.mark.parametrize(
    ("moe", "y", "given", "name", "words"),
    [(moe, y, given, name, words) for moe, y, given, name, *words in TABLE + ROWS],
)
def test_what_cannot_be_stacked_is_refused(moe, y, given, name, words):
    assert_fit_refused(moe, (X, y), name, *words, **given)


# --- measures -----------------------------------------------------------------------------------

DENSITY, VALUES = "a density", "probabilities of values"
MIXED = "a density and the probability of 0"

# An estimator, and what it predicts where the families of the stack are normal.
MEASURES = [
    ("tree", DENSITY),
    (LINEAR, DENSITY),
    (regressor(family=Poisson()), VALUES),
    (regressor(family=("zero", "gamma")), MIXED),
    (regressor(expert=Ridge(), family="gamma"), DENSITY),
    (regressor(expert=["tree", Ridge()], family="poisson"), VALUES),
    (stack("tree", COUNTS), VALUES),
    (regressor(expert=COUNTS), VALUES),
    (make_pipeline(StandardScaler(), COUNTS), VALUES),
]
FIRST = {DENSITY: Ridge(), VALUES: COUNTS, MIXED: regressor(family=["zero", "gamma"])}


@pytest.mark.parametrize(("estimator", "predicted"), MEASURES)
def test_densities_that_cannot_be_compared_are_refused(estimator, predicted):
    for other, first in FIRST.items():
        # The next check is that of the folds, which a table of two rows cannot have.
        message = refusal(stack(first, estimator, cv=3).fit, X[:2], COUNTS_Y[:2])
        if other == predicted:
            assert_refused(message, "cv=3", "rows")
        else:
            words = ["can be compared", "estimators[0]", other, "estimators[1]", predicted]
            assert_refused(message, "estimators", "one kind", *words)


@pytest.mark.parametrize(("family", "predicted"), [("poisson", VALUES), ("gamma", DENSITY)])
def test_estimators_without_a_density_predict_what_the_family_of_the_stack_does(family, predicted):
    for estimator in ("tree", make_pipeline(StandardScaler(), PoissonRegressor())):
        message = refusal(stack(FIRST[MIXED], estimator, family=family).fit, X, COUNTS_Y)
        assert_refused(message, "estimators", MIXED, "estimators[1]", predicted)


# --- the data -----------------------------------------------------------------------------------


def test_a_rare_value_needs_a_list_of_all_values():
    ratings = np.where(np.arange(60) == 7, 5.0, 1.0 + LABELS)
    options = {"n_init": 1, "max_iter": 5, "random_state": 0}
    estimators = [regressor(k, family="ordinal", **options) for k in (1, 2)]
    message = refusal(fit_quietly, stack(*estimators, cv=2), X, ratings)
    assert_refused(message, "y", "y = 5 is not", "family=Ordinal(values=")
    values = Ordinal(values=(1.0, 2.0, 5.0))
    estimators = [regressor(k, family=values, **options) for k in (1, 2)]
    moe = fit_quietly(stack(*estimators, cv=2), X, ratings)
    assert np.isfinite(moe.score_samples(X, ratings)).all()


def test_an_estimator_that_fails_is_named_with_its_fold():
    features = np.arange(30.0)[:, None]
    moe = stack(Ridge(), Fails())
    with pytest.raises(ArithmeticError, match="no row of seven") as caught:
        moe.fit(features, features[:, 0])
    assert any("expert 1, Fails(), without fold" in note for note in caught.value.__notes__)
    assert not hasattr(moe, "weights_")


def test_weights_of_ones_repeat_no_row_and_what_needs_parametric_experts_is_refused():
    moe, alone = stack(Ridge(), KNeighborsRegressor(3), cv=2), KNeighborsRegressor(3).fit(X, Y)
    fit_quietly(moe, X, Y, sample_weight=np.ones(60))
    assert_allclose(moe.experts_[1][0].predict(X), alone.predict(X))
    assert_refused(refusal(moe.inference, X, Y), "inference", "no coefficients")
    assert not hasattr(moe, "partial_fit")
    with pytest.raises(TypeError, match="number of models of a stack is that of its list"):
        n_experts_test(moe, X, Y)
    assert "estimators need all rows at once" in refusal(moe.fit, RowBlocks.from_arrays(X, Y))
