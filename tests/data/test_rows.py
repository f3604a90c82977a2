"""Rows as fits use them: rows without weight are absent, and fits keep no rows."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal

SHORT = {"n_init": 1, "max_iter": 4, "random_state": 0, "alpha": 0.1, "gate_alpha": 1.0}


def panel(n_units=40):
    """Counts with exposures, of units of three rows, of which every fourth row has no weight."""
    rng = np.random.default_rng(0)
    n_rows = 3 * n_units
    X, units = rng.normal(size=(n_rows, 2)), np.repeat(np.arange(n_units), 3)
    offset, weight = rng.normal(size=n_rows), np.ones(n_rows)
    slope = np.where(units % 2, 1.0, -1.0)
    y = rng.poisson(np.exp(offset + slope * X[:, 0])).astype(float)
    weight[::4] = 0.0
    return X, y, {"offset": offset, "units": units, "sample_weight": weight}


def test_rows_of_units_without_weight_are_absent_with_their_offset():
    X, y, given = panel()
    kept = np.flatnonzero(given["sample_weight"])
    of_kept = {name: values[kept] for name, values in given.items()}
    options = {"family": "poisson", "gate": "constant"}
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT | options), X, y, **given)
    same = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT | options), X[kept], y[kept], **of_kept)
    assert_allclose(moe.lower_bounds_, same.lower_bounds_, rtol=1e-8)
    for method in ("score_samples", "bic", "icl", "inference"):
        answers = [
            getattr(moe, method)(rows, target, **arguments)
            for rows, target, arguments in ((X, y, given), (X[kept], y[kept], of_kept))
        ]
        values = [getattr(answer, "standard_errors", answer) for answer in answers]
        assert_allclose(values[0], values[1], err_msg=method)


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_targets_of_rows_without_weight_are_not_checked(way):
    X, y, _ = panel()
    weight = np.ones(len(y))
    y[5], weight[5] = -1.5, 0.0  # no count
    moe = MixtureOfExpertsRegressor(2, family="poisson", **SHORT)
    if way == "fit":
        fit_quietly(moe, X, y, sample_weight=weight)
    else:
        moe.partial_fit(X, y, sample_weight=weight)
    assert np.isfinite(moe.predict(X)).all()
    message = refusal(getattr(MixtureOfExpertsRegressor(2, family="poisson"), way), X, y)
    assert_refused(message, "y must", "-1.5")


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_the_gate_of_a_unit_sees_a_row_of_it(make):
    X, y, given = panel()
    X = np.where(np.abs(X) > 0.4, X, 0.0)
    of_units = X[::3]
    X[:, 1] = of_units[given["units"], 1]
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate_features=[1], **SHORT)
    fit_quietly(moe, make(X), y, **given)
    units = given["units"]
    probs = softmax(of_units @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    assert_allclose(moe.predict_gate(make(X), units=units), probs[units], atol=1e-9)
    assert np.ptp(probs[:, 0]) > 0.01


@pytest.mark.parametrize("columns", [None, [1, 0]])
@pytest.mark.parametrize(("row", "column", "unit"), [(8, 1, 2), (4, 0, 1)])
def test_a_gate_of_units_refuses_columns_that_vary_within_them(columns, row, column, unit):
    """The column that is named is the first one, and the unit the one that varies first."""
    units = np.repeat(np.arange(5), 3)
    X = np.column_stack([units, units**2]).astype(float)
    X[row, column] += 1.0
    for make in (np.asarray, sparse.csr_array):
        moe = MixtureOfExpertsRegressor(2, gate_features=columns)
        name = f"'x{column}'"
        words = [f"column {name}", f"unit {unit}", f"df.groupby(unit)[{name}].transform('mean')"]
        assert_fit_refused(moe, (make(X), X[:, 0]), "", *words, units=units)


def test_groups_and_units_that_share_rows_stay_together_in_folds():
    """Rows that a chain of groups and units joins are never on two sides of a fold."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(60.0), rng.normal(size=60)])
    quarter = 9 * (np.arange(60) // 15)
    groups, units = rng.integers(9, size=60) + quarter, np.sort(rng.integers(9, size=60) + quarter)
    joined = (groups[:, None] == groups) | (units[:, None] == units)
    for _ in range(len(X)):
        joined = joined @ joined
    log = Log()
    moe = MixtureOfExpertsRegressor(
        1, expert=RecordingRegressor(log), cross_fit=2, gate="constant", **SHORT
    )
    fit_quietly(moe, X, X[:, 1], groups=groups, units=units)
    parts = [
        (fitted[:, 0].astype(int), asked[:, 0].astype(int)) for fitted, asked in log.questions()
    ]
    parts = [(train, test) for train, test in parts if len(train) < len(X)]
    assert parts
    for train, test in parts:
        assert not joined[np.ix_(train, test)].any()


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_files_of_linear_fits_hold_no_rows(task):
    make = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(1000, 9000, size=80) / 1e3 + 0.00012345, rng.normal(size=80)])
    y = X[:, 0] if task == "regressor" else np.where(X[:, 1] > 0, "b", "a")
    content = pickle.dumps(fit_quietly(make(2, **SHORT), X, y))
    # The ends of a feature's range are no rows.
    assert np.sort(X[:, 0])[0].tobytes() in content
    assert not any(value.tobytes() in content for value in np.sort(X[:, 0])[1:-1])


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, ExtraTreeRegressor, Ridge])
def test_estimators_of_the_user_are_copied_without_their_fit_and_get_a_seed(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    options = {"solver": "sag"} if kind is Ridge else {"max_depth": 2}
    given = kind(**options).fit(X[:5], np.full(5, 7.0))
    moe = MixtureOfExpertsRegressor(2, expert=given, **SHORT | {"max_iter": 1})
    fit_quietly(moe, X, X[:, 0])
    assert given.random_state is None
    assert_allclose(given.predict(X), 7.0)
    models = [model for models in moe.experts_ for model in models]
    assert all(model is not given and model.random_state is not None for model in models)
    given.random_state = 3
    fit_quietly(moe, X, X[:, 0])
    assert all(model.random_state == 3 for models in moe.experts_ for model in models)
