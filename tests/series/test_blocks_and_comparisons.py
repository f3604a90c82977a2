"""Series in row blocks and on Dask, cuts in time, scorers, tests and tables of models."""

from functools import cache

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmoe.data import RowBlocks
from skmoe.metrics import log_density_scorer, neg_crps_scorer
from skmoe.model_selection import (
    UnitTimeSeriesSplit,
    likelihood_ratio_test,
    n_experts_table,
    n_experts_test,
)
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.series import PLAIN, classifier, regressor, rows_of_series, table, with_holes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SORTED = table((60, 50, 40, 35, 30, 25))
SORTED = SORTED.take(np.lexsort((SORTED.time, SORTED.units)))
X, Y, UNITS, SERIES = SORTED.X, SORTED.y, SORTED.units, SORTED.series


# --- row blocks -----------------------------------------------------------------------------------


def blocks_of(y, per_block, X=X, units=UNITS, weight=None):
    """Row blocks of so many whole series each."""
    labels = np.unique(units)

    def factory():
        for start in range(0, len(labels), per_block):
            own = np.isin(units, labels[start : start + per_block])
            yield X[own], y[own], None if weight is None else weight[own], None, units[own]

    return RowBlocks(factory)


@cache
def in_memory(kind):
    """A fit to rows in order, its target and its weights."""
    y = SORTED.classes if kind == "classes" else with_holes(Y) if kind == "missing y" else Y
    weight = 1.0 + (np.unique(UNITS)[2] == UNITS) if kind == "weights" else None
    moe = classifier(max_iter=500) if kind == "classes" else regressor(max_iter=500)
    moe.set_params(tol=1e-10)
    return fit_quietly(moe, X, y, units=UNITS, sample_weight=weight), y, weight


@pytest.mark.parametrize(
    ("kind", "per_block"), [("normal", 1), ("missing y", 3), ("classes", 6), ("weights", 2)]
)
def test_row_blocks_of_whole_series_are_the_rows_in_memory(kind, per_block):
    own, y, weight = in_memory(kind)
    given = {"units": UNITS} | ({} if weight is None else {"sample_weight": weight})
    other = fit_quietly(sklearn.base.clone(own), blocks_of(y, per_block, weight=weight))
    assert_allclose(other.lower_bound_, own.lower_bound_, rtol=1e-7)
    assert_allclose(other.transition_matrix_, own.transition_matrix_, rtol=1e-4, atol=1e-6)
    assert_allclose(other.expert_coef_, own.expert_coef_, rtol=1e-4, atol=1e-6)
    assert other.n_series_ == own.n_series_ == 6
    predicted = other.predict(X, y=y, units=UNITS), own.predict(X, y=y, units=UNITS)
    if kind == "classes":
        assert_array_equal(*predicted)
    else:
        assert_allclose(*predicted, rtol=1e-4, atol=1e-5)
    assert other.bic(X, y, **given) == pytest.approx(own.bic(X, y, **given), rel=1e-6)


def test_row_blocks_need_their_units():
    def factory():
        yield X, Y

    message = refusal(regressor().fit, RowBlocks(factory))
    assert_refused(message, "block 0", 'gate="markov" needs units', "Yield the units")
    shuffled = np.random.default_rng(0).permutation(len(Y))

    def apart():
        yield X[shuffled], Y[shuffled], None, None, UNITS[shuffled]

    message = refusal(regressor().fit, RowBlocks(apart))
    assert_refused(message, "block 0", "next to each other", "Sort the rows by unit")


def test_series_that_two_blocks_share_are_refused():
    def factory():
        for part in (slice(0, 100), slice(100, None)):
            yield X[part], Y[part], None, None, UNITS[part]

    message = refusal(regressor().fit, RowBlocks(factory))
    assert_refused(message, "RowBlocks must have all rows of a unit in one block", "Sort the rows")


def test_dask_collections_of_whole_series_are_fitted():
    array = pytest.importorskip("dask.array")
    sizes = tuple(np.unique(UNITS, return_counts=True)[1].tolist())
    chunks = (sizes[0] + sizes[1], sizes[2] + sizes[3], sizes[4] + sizes[5])
    lazy = array.from_array(X, chunks=(chunks, 3))
    y, units = (array.from_array(values, chunks=(chunks,)) for values in (Y, UNITS))
    own, _, _ = in_memory("normal")
    moe = fit_quietly(sklearn.base.clone(own), lazy, y, units=units)
    assert_allclose(moe.lower_bound_, own.lower_bound_, rtol=1e-7)
    assert_allclose(moe.transition_matrix_, own.transition_matrix_, rtol=1e-4)
    message = refusal(regressor().fit, lazy, y, units=units, time=np.arange(len(Y)))
    assert_refused(message, "time", "Dask collection", "leave time out")


# --- cuts in time and scorers ---------------------------------------------------------------------


def test_cuts_in_time_hold_the_next_rows_of_each_unit():
    data = table()
    before = np.zeros(len(data.y), dtype=bool)
    splits = list(UnitTimeSeriesSplit(4).split(data.X, groups=data.units, time=data.time))
    assert len(splits) == UnitTimeSeriesSplit(4).get_n_splits() == 4
    for train, test in splits:
        assert not set(train) & set(test)
        assert set(np.flatnonzero(before)) <= set(train)
        before[test] = True
        for rows in rows_of_series(data.units, data.time).values():
            place = {row: i for i, row in enumerate(rows)}
            of_train, of_test = (
                sorted(place[r] for r in part if r in place) for part in (train, test)
            )
            assert of_train == list(range(len(of_train)))
            assert of_test == list(range(len(of_train), len(of_train) + len(of_test)))
            assert len(of_test) == len(rows) // 5
    assert set(splits[-1][0]) | set(splits[-1][1]) == set(range(len(data.y)))


def test_cuts_in_time_are_refused_for_short_units():
    split = UnitTimeSeriesSplit(5).split(np.zeros((8, 1)), groups=np.repeat([0, 1], 4))
    assert_refused(refusal(lambda: next(split)), "n_splits=5", "the largest has 4", "fewer splits")
    split = UnitTimeSeriesSplit(2).split(np.zeros((8, 1)), time=np.zeros(8))
    assert_refused(refusal(lambda: next(split)), "time must differ", "Correct the time")


def test_cross_validation_in_time_forecasts_the_next_rows():
    with sklearn.config_context(enable_metadata_routing=True):
        asked = {"units": True, "time": True}
        moe = regressor(max_iter=10).set_fit_request(groups=False, **asked)
        scores = cross_val_score(
            moe,
            X,
            Y,
            cv=UnitTimeSeriesSplit(3),
            scoring=log_density_scorer,
            params={"groups": UNITS, **SERIES},
            error_score="raise",
        )
        split = {"cv": UnitTimeSeriesSplit(3), "scoring": log_density_scorer, "refit": False}
        search = GridSearchCV(moe, {"max_iter": [10]}, error_score="raise", **split)
        found = search.fit(X, Y, groups=UNITS, **SERIES).cv_results_
    assert_allclose([found[f"split{i}_test_score"][0] for i in range(3)], scores)
    expected = []
    for train, test in UnitTimeSeriesSplit(3).split(X, groups=UNITS, time=SORTED.time):
        of_train, of_test = SORTED.take(train), SORTED.take(test)
        own = fit_quietly(regressor(max_iter=10), of_train.X, of_train.y, **of_train.series)
        expected.append(own.score_samples(of_test.X, of_test.y, **of_test.series).mean())
    assert_allclose(scores, expected)


def test_scorers_predict_each_row_from_its_past():
    y = with_holes(Y)
    moe = fit_quietly(regressor(max_iter=10), X, y, **SERIES)
    seen = ~np.isnan(y)
    densities = moe.score_samples(X, y, **SERIES)[seen]
    assert log_density_scorer(moe, X, y, **SERIES) == pytest.approx(densities.mean())
    distribution = moe.predict_dist(X, y=y, **SERIES)
    crps = distribution.crps(np.where(seen, y, 0.0))[seen]
    assert neg_crps_scorer(moe, X, y, **SERIES) == pytest.approx(-crps.mean())


# --- tests and tables -----------------------------------------------------------------------------


def test_likelihood_ratio_of_persistence():
    """Against the mixture whose rows are independent."""
    chain = regressor(**PLAIN, gate_features=[])
    mixture = regressor(gate="constant", gate_features=None, **PLAIN)
    test = likelihood_ratio_test(mixture, chain, X, Y, **SERIES)
    fits = fit_quietly(mixture, X, Y), fit_quietly(chain, X, Y, **SERIES)
    expected = 2.0 * len(Y) * (fits[1].lower_bound_ - fits[0].lower_bound_)
    assert test.statistic == pytest.approx(expected, rel=1e-4)
    assert test.df == fits[1].n_parameters_ - fits[0].n_parameters_ == 2
    assert test.p_value == pytest.approx(chi2.sf(expected, 2), rel=1e-2)
    assert test.p_value < 1e-6
    assert "larger" in refusal(likelihood_ratio_test, chain, mixture, X, Y, **SERIES)


def test_likelihood_ratio_of_features_of_transitions():
    larger, smaller = regressor(**PLAIN), regressor(**PLAIN, gate_features=[])
    test = likelihood_ratio_test(smaller, larger, X, Y, **SERIES)
    fits = [fit_quietly(moe, X, Y, **SERIES) for moe in (smaller, larger)]
    expected = 2.0 * len(Y) * (fits[1].lower_bound_ - fits[0].lower_bound_)
    assert test.statistic == pytest.approx(expected, rel=1e-4)
    assert test.df == 2
    assert test.p_value < 0.01


def test_tables_of_numbers_of_experts_are_of_series():
    y = with_holes(Y)
    found = n_experts_table(regressor(max_iter=50), X, y, n_experts=[1, 2], init=None, **SERIES)
    frame = found.to_frame()
    assert frame["bic"].to_numpy().argmin() == 1
    moe = fit_quietly(regressor(max_iter=50), X, y, **SERIES)
    assert frame["bic"].to_numpy()[1] == pytest.approx(moe.bic(X, y, **SERIES), rel=1e-4)


def test_numbers_of_experts_of_series_are_not_tested_by_draws():
    message = refusal(n_experts_test, regressor(1), X, Y, units=UNITS)
    assert_refused(message, "gate='markov' cannot be used with n_experts_test", "their bic")
