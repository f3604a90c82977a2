"""Series in pipelines, searches, cross-validation, files, and tables of other kinds."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe.gates import MarkovGate
from skmoe.metrics import log_density_scorer
from support.fits import fit_quietly
from support.series import regressor, rows_of_series, table, with_holes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DATA = table()
X, Y, SERIES = DATA.X, DATA.y, DATA.series


def short(**options):
    return regressor(**{"max_iter": 10} | options)


def fitted(moe=None, X=X, y=Y, **series):
    return fit_quietly(short() if moe is None else moe, X, y, **SERIES | series)


OWN = fitted()


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def routed(moe=None):
    """A mixture that asks for the series in every method that a search calls."""
    moe = short() if moe is None else moe
    asked = {"units": True, "time": True}
    moe = moe.set_fit_request(groups=False, **asked)  # which the folds take
    return moe.set_predict_request(**asked).set_score_request(**asked)


# --- copies and files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gate", ["markov", MarkovGate(alpha=0.5), MarkovGate(initial="stationary")]
)
def test_clones_and_pickles_are_the_same(gate):
    moe = short(gate=gate, gate_features=[])
    assert clone(moe).get_params() == moe.get_params()
    fit_quietly(moe, X, Y, **SERIES)
    loaded = pickle.loads(pickle.dumps(moe))
    assert_array_equal(loaded.predict(X, **DATA.given), moe.predict(X, **DATA.given))
    assert_array_equal(loaded.decode(X, Y, **SERIES), moe.decode(X, Y, **SERIES))
    again = fit_quietly(clone(moe), X, Y, **SERIES)
    assert_array_equal(again.transition_matrix_, moe.transition_matrix_)
    assert str(loaded.summary(X, Y, **SERIES)) == str(moe.summary(X, Y, **SERIES))


def test_names_of_gates_are_objects_with_their_defaults():
    other = fitted(short(gate=MarkovGate()))
    assert other.lower_bound_ == OWN.lower_bound_
    penalised = fitted(short(gate=MarkovGate(alpha=100.0), gate_alpha=None))
    assert np.abs(penalised.transition_coef_).max() < 0.5 * np.abs(OWN.transition_coef_).max()


def test_warm_start_goes_on():
    moe = short(warm_start=True, max_iter=4)
    first = fitted(moe).lower_bound_
    assert fitted(moe).lower_bound_ > first
    assert moe.n_iter_ == 4


# --- tables of other kinds ------------------------------------------------------------------------


def frames():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = dict(zip("abc", X.T, strict=True))
    days = np.datetime64("2024-01-01", "us") + (DATA.time * 1e9).astype("timedelta64[us]")
    index = np.arange(len(Y))[::-1]
    yield (
        "pandas",
        pandas.DataFrame(columns, index=index),
        pandas.Series(Y, index=index),
        {
            "units": pandas.Categorical(DATA.units),
            "time": pandas.Series(days, index=index),
        },
    )
    yield (
        "polars",
        polars.DataFrame(columns),
        polars.Series(Y),
        {
            "units": polars.Series(DATA.units),
            "time": polars.Series(days),
        },
    )


@pytest.mark.parametrize("number", [0, 1], ids=["pandas", "polars"])
def test_frames_are_their_values(number):
    _, table_of, y, series = list(frames())[number]
    moe = short(gate_features=["a"], expert_features=["b"])
    fit_quietly(moe, table_of, y, **series)
    assert_allclose(moe.transition_matrix_, OWN.transition_matrix_, rtol=1e-9)
    predicted = moe.predict(table_of, y=y, **series)
    assert_allclose(predicted, OWN.predict(X, **DATA.given), rtol=1e-9)
    assert "a " in str(moe.summary(table_of, y, **series))


@pytest.mark.parametrize("name", ["Float64", "Int64"])
def test_missing_values_of_pandas_are_missing(name):
    pandas = pytest.importorskip("pandas")
    y = with_holes(Y if name == "Float64" else np.round(Y))
    own, other = fitted(y=y), fitted(y=pandas.array(y, dtype=name))
    assert_allclose(other.lower_bound_, own.lower_bound_)
    found = other.score_samples(X, pandas.array(y, dtype=name), **SERIES)
    assert_allclose(found, own.score_samples(X, y, **SERIES))


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix, lambda X: X.tolist()])
def test_sparse_matrices_and_lists_are_their_values(kind):
    moe = fitted(X=kind(X))
    assert_allclose(moe.lower_bound_, OWN.lower_bound_, rtol=1e-9)
    assert_allclose(moe.transition_matrix_, OWN.transition_matrix_, rtol=1e-9)  # at the means
    assert_allclose(moe.predict(kind(X), **DATA.given), OWN.predict(X, **DATA.given), rtol=1e-9)
    densities = moe.score_samples(kind(X), Y.tolist(), **SERIES)
    assert_allclose(densities, OWN.score_samples(X, Y, **SERIES), rtol=1e-9)


# --- pipelines and cross-validation ---------------------------------------------------------------


def test_pipelines_route_units_and_time(routing):
    pipeline = make_pipeline(StandardScaler(), routed())
    pipeline.fit(X, Y, **SERIES)
    scaled = StandardScaler().fit_transform(X)
    own = fitted(X=scaled)
    assert_allclose(pipeline.predict(X, **SERIES), own.predict(scaled, **SERIES))
    assert pipeline.score(X, Y, **SERIES) == pytest.approx(own.score(scaled, Y, **SERIES))
    # Without a request the pipeline does not drop them silently.
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
        make_pipeline(StandardScaler(), short()).fit(X, Y, **SERIES)


def test_searches_route_units_and_time(routing):
    search = GridSearchCV(routed(), {"n_experts": [1, 2]}, cv=GroupKFold(3), error_score="raise")
    search.fit(X, Y, groups=DATA.units, **SERIES)
    assert search.best_params_ == {"n_experts": 2}
    assert search.best_estimator_.lower_bound_ == pytest.approx(OWN.lower_bound_)
    found = search.best_estimator_.predict(X, **SERIES)
    assert_allclose(found, OWN.predict(X, **SERIES))


def of_folds():
    """The score and mean log density, by a fit to the others, of each fold of whole units."""
    for train, test in GroupKFold(3).split(X, Y, DATA.units):
        of_train, (rows, y, *_) = DATA.take(train), DATA.take(test)
        moe = fit_quietly(short(), of_train.X, of_train.y, **of_train.series)
        series = DATA.take(test).series
        yield moe.score(rows, y, **series), moe.score_samples(rows, y, **series).mean()


def test_cross_validation_of_whole_units_scores_predictions_from_their_past(routing):
    given = {"cv": GroupKFold(3), "params": {"groups": DATA.units, **SERIES}}
    scores, densities = zip(*of_folds(), strict=True)
    assert_allclose(cross_val_score(routed(), X, Y, **given), scores)
    found = cross_val_score(routed(), X, Y, scoring=log_density_scorer, **given)
    assert_allclose(found, densities)


def test_cross_validated_predictions_of_scikit_learn_are_refused(routing):
    """It hands units and time to `fit`, but not to `predict`."""
    params = {"groups": DATA.units, **SERIES}
    with pytest.raises(ValueError, match=r"^units must be given .* Pass units=.*skmoe\.metrics"):
        cross_val_predict(routed(), X, Y, cv=GroupKFold(3), params=params)


def test_one_series_is_cut_in_time():
    [rows] = rows_of_series(np.full(len(Y), "one"), DATA.time).values()
    scores = cross_val_score(short(), X[rows], Y[rows], cv=TimeSeriesSplit(3), error_score="raise")
    assert np.isfinite(scores).all()
