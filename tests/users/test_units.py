"""Units in pipelines, searches, frames, files and collections of Dask."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer
from support.refusals import assert_refused, refusal
from support.tables import panel

FIXED = {"n_init": 1, "random_state": 0, "alpha": 0.1, "gate_alpha": 1.0}


def test_units_in_pipelines_and_searches():
    X, y, units, _ = panel(40, 5)
    with config_context(enable_metadata_routing=True):
        moe = MixtureOfExpertsRegressor(gate="constant", **FIXED)
        moe.set_fit_request(units=True, groups=False)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), moe),
            {"mixtureofexpertsregressor__n_experts": [1, 3]},
            scoring=log_density_scorer,
            cv=GroupKFold(2),
        )
        search.fit(X, y, units=units, groups=units)
    fitted = search.best_estimator_[-1]
    assert fitted.n_units_ == 40
    assert fitted.n_experts_ == 3
    rows = search.best_estimator_[:-1].transform(X)
    score = log_density_scorer(search, X, y, units=units)
    assert_allclose(score, fitted.score_samples(rows, y, units=units).mean())
    weight = np.arange(len(y)) % 3
    repeated = np.repeat(np.arange(len(y)), weight)
    assert_allclose(
        log_density_scorer(search, X, y, sample_weight=weight, units=units),
        log_density_scorer(search, X[repeated], y[repeated], units=units[repeated]),
    )


def test_files_keep_units():
    X, y, units, _ = panel(40, 4)
    moe = MixtureOfExpertsRegressor(2, gate="constant", **FIXED)
    moe.fit(X, y, units=units)
    expected = moe.responsibilities(X, y, units=units).proba
    buffer = io.BytesIO()
    joblib.dump(moe, buffer)
    for copied in (
        pickle.loads(pickle.dumps(moe)),
        joblib.load(io.BytesIO(buffer.getvalue())),
    ):
        assert_allclose(copied.responsibilities(X, y, units=units).proba, expected, rtol=1e-12)
        assert copied.n_units_ == 40


@pytest.mark.parametrize(
    "labels",
    [
        lambda units: pd.Series([f"customer {unit:02}" for unit in units], dtype="category"),
        lambda units: np.array([f"customer {unit:02}" for unit in units]),
        lambda units: pd.Timestamp("2020-01-01") + pd.to_timedelta(units, unit="D"),
        lambda units: [int(unit) for unit in units],
    ],
    ids=["categories", "words", "dates", "list"],
)
def test_labels_of_any_kind(labels):
    X, y, units, _ = panel(40, 4)
    frame = pd.DataFrame(X, columns=["price", "promotion"])
    moe = MixtureOfExpertsRegressor(3, gate="constant", **FIXED)
    expected = clone(moe).fit(X, y, units=units).expert_coef_
    assert_array_equal(clone(moe).fit(frame, y, units=labels(units)).expert_coef_, expected)


def test_dask_chunks_of_whole_units():
    array = pytest.importorskip("dask.array")
    X, y, units, _ = panel(60, 5)
    order = np.argsort(units, kind="stable")
    X, y, units = X[order], y[order], units[order]
    moe = MixtureOfExpertsRegressor(3, gate="constant", tol=1e-8, **FIXED)
    features = array.from_array(X, chunks=(100, 2))
    target, labels = (array.from_array(values, chunks=100) for values in (y, units))
    distributed = clone(moe).fit(features, target, units=labels)
    assert_allclose(distributed.lower_bound_, moe.fit(X, y, units=units).lower_bound_, atol=1e-4)
    message = refusal(distributed.score_samples, features, target, units=labels)
    assert_refused(message, "units", "score_samples", "Dask")
    cut = features.rechunk((93, 2)), target.rechunk(93)
    message = refusal(clone(moe).fit, *cut, units=labels.rechunk(93))
    assert "all rows of a unit in one block" in message
