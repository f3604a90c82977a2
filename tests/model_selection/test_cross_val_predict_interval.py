"""Intervals of held-out rows are those of fits to the other folds."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.model_selection import cross_val_predict_interval
from skmoe.recipes import mixture_of
from skmoe.stacking import GatedStackingRegressor
from support.refusals import assert_refused, refusal

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 2))
Y = RNG.poisson(np.exp(0.5 * X[:, 0]))
UNIT = RNG.permutation(np.repeat(np.arange(12), 5))
WEIGHT, OFFSET = RNG.uniform(0.5, 2.0, size=N), RNG.normal(size=N)


def counts(**options):
    defaults = {"family": "poisson", "gate": "constant", "n_init": 1, "random_state": 0}
    return MixtureOfExpertsRegressor(**{"n_experts": 1} | defaults | options)


def by_loop(estimator, folds, prefix="", **given):
    """Intervals by the loop of a user."""
    found = np.empty((N, 2))
    for train, test in folds:
        arguments = {prefix + name: values[train] for name, values in given.items()}
        fitted = estimator.fit(X[train], Y[train], **arguments)
        offset = {"offset": given["offset"][test]} if "offset" in given else {}
        found[test] = mixture_of(fitted).predict_interval(X[test], coverage=0.8, **offset)
    return found


GIVEN = {"sample_weight": WEIGHT, "offset": OFFSET, "units": UNIT}


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_intervals_are_those_of_the_loop_over_folds(in_pipeline):
    estimator = make_pipeline(StandardScaler(), counts()) if in_pipeline else counts()
    prefix = "mixtureofexpertsregressor__" if in_pipeline else ""
    folds = list(GroupKFold(3).split(X, groups=UNIT))
    expected = by_loop(estimator, folds, prefix, **GIVEN)
    found = cross_val_predict_interval(estimator, X, Y, coverage=0.8, cv=folds, **GIVEN)
    assert_allclose(found, expected)


def test_integers_keep_units_and_groups_in_one_fold():
    folds = list(GroupKFold(2).split(X, groups=UNIT))
    expected = by_loop(counts(), folds)
    for given in ({"groups": UNIT}, {"groups": UNIT, "units": np.arange(N)}):
        found = cross_val_predict_interval(counts(), X, Y, coverage=0.8, cv=2, **given)
        assert_allclose(found, expected)
    expected = by_loop(counts(), folds, units=UNIT)
    found = cross_val_predict_interval(counts(), X, Y, coverage=0.8, cv=2, units=UNIT)
    assert_allclose(found, expected)
    with parallel_config(backend="threading"):
        found = cross_val_predict_interval(counts(), X, Y, coverage=0.8, n_jobs=2)
    assert_allclose(found, by_loop(counts(), KFold(5).split(X)))


def test_tables_of_any_kind_searches_and_stacks_have_intervals():
    expected = cross_val_predict_interval(counts(), X, Y, cv=2)
    for table, y in ((X.tolist(), Y.tolist()), (pd.DataFrame(X), pd.Series(Y, index=UNIT))):
        assert_allclose(cross_val_predict_interval(counts(), table, y, cv=2), expected)
    of_sparse = cross_val_predict_interval(counts(), sparse.csr_array(X), Y, cv=2)
    assert_allclose(of_sparse, expected, rtol=1e-6)
    search = GridSearchCV(counts(), {"alpha": [0.1]}, cv=2)
    fixed = cross_val_predict_interval(counts(alpha=0.1), X, Y, cv=2)
    assert_allclose(cross_val_predict_interval(search, X, Y, cv=2), fixed)
    outputs = np.column_stack([Y, Y[::-1]])
    assert cross_val_predict_interval(counts(), X, outputs, cv=2).shape == (N, 2, 2)
    models = [("one", LinearRegression()), ("two", LinearRegression())]
    stack = GatedStackingRegressor(models, random_state=0)
    assert cross_val_predict_interval(stack, X, Y.astype(float), cv=2).shape == (N, 2)


def test_metadata_are_routed():
    with config_context(enable_metadata_routing=True):
        moe = counts().set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, moe)
        found = cross_val_predict_interval(pipeline, X, Y, cv=2, sample_weight=WEIGHT)
    pipeline = make_pipeline(StandardScaler(), counts())
    expected = cross_val_predict_interval(pipeline, X, Y, cv=2, sample_weight=WEIGHT)
    assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("estimator", "options", "words"),
    [
        (LinearRegression(), {}, ("estimator must", "LinearRegression()", "pipeline")),
        (MixtureOfExpertsClassifier(2), {}, ("estimator must", "Classifier", "predict_proba")),
        (counts(), {"cv": ShuffleSplit(2)}, ("cv must", "once", "ShuffleSplit", "KFold")),
        (counts(), {"coverage": 90}, ("coverage must", 90)),
        (counts(), {"units": UNIT[:5]}, ("units must", "60 rows")),
        (counts(), {"n_jobs": 0}, ("n_jobs must", 0)),
    ],
)
def test_what_has_no_intervals_is_refused(estimator, options, words):
    assert_refused(refusal(cross_val_predict_interval, estimator, X, Y, **options), *words)


def test_a_single_series_is_refused():
    """Its intervals would be those of first rows."""
    message = refusal(cross_val_predict_interval, counts(n_experts=2, gate="markov"), X, Y)
    assert_refused(message, "estimator", 'gate="markov" without units', "predict_interval(X, y=y")
