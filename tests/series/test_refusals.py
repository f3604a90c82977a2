"""Series that no fit and no prediction can use are refused, with the rule and a remedy."""

import numpy as np
import pytest

from skmoe.gates import MarkovGate
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.series import classifier, regressor, table, with_holes

DATA = table()
X, Y, UNITS, TIME, SERIES = DATA.X, DATA.y, DATA.units, DATA.time, DATA.series
N = len(Y)
ROWS = np.arange(N)
TIES = np.where(np.flatnonzero(UNITS[7] == UNITS)[0] == ROWS, TIME[UNITS[7] == UNITS].max(), TIME)
NO_TIME = np.where(ROWS == 3, np.nan, TIME)
DATES = np.datetime64("2020-01-01") + ROWS.astype("timedelta64[D]")
NO_DATES = np.where(ROWS == 3, np.datetime64("NaT", "D"), DATES)
SOFTMAX, CONSTANT = regressor(gate="softmax"), regressor(gate="constant", gate_features=None)

# Name of what is wrong, words of rule, value and remedy; the mixture, y, and what else is given.
FITS = {
    "equal times in a unit": (
        ("time", "must differ between the rows of a unit", UNITS[7], "Correct the time"),
        (regressor(), Y, {"units": UNITS, "time": TIES}),
    ),
    "equal times of one series": (
        ("time", "must differ", "the time 0", "pass units="),
        (regressor(), Y, {"time": ROWS // 2}),
    ),
    "missing times": (
        ("time", "none missing", "nan", "Drop rows"),
        (regressor(), Y, {"units": UNITS, "time": NO_TIME}),
    ),
    "missing dates": (
        ("time", "none missing", "Drop rows"),
        (regressor(), Y, {"units": UNITS, "time": NO_DATES}),
    ),
    "times of two kinds": (
        ("time", "of one kind", "convert"),
        (regressor(), Y, {"units": UNITS, "time": np.array([1.0, "x"] * (N // 2), dtype=object)}),
    ),
    "times as texts": (
        ("time must hold numbers or dates", repr(str(TIME[0])), "to_datetime"),
        (regressor(), Y, {"units": UNITS, "time": TIME.astype(str)}),
    ),
    "too few times": (
        ("time", "one entry for each of the 150 rows", (5,)),
        (regressor(), Y, {"units": UNITS, "time": TIME[:5]}),
    ),
    "too few units": (
        ("units", "one entry for each of the 150 rows", (5,)),
        (regressor(), Y, {"units": UNITS[:5], "time": TIME}),
    ),
    "one row per unit": (
        ('gate="markov"', "units with several rows", "Pass units=", 'gate="softmax"'),
        (regressor(), Y, {"units": ROWS, "time": TIME}),
    ),
    "one row per unit of classes": (
        ('gate="markov"', "units with several rows", "Pass units=", 'gate="softmax"'),
        (classifier(), DATA.classes, {"units": ROWS}),
    ),
    "weights that differ in a unit": (
        ("sample_weight", "equal in all rows of a unit", "row", "2", "set y to NaN"),
        (regressor(), Y, SERIES | {"sample_weight": 1.0 + (ROWS == 3)}),
    ),
    "weight zero of a row": (
        ("sample_weight", "equal in all rows of a unit", "row 3 has 0", "set y to NaN"),
        (regressor(), Y, SERIES | {"sample_weight": (ROWS != 3) * 1.0}),
    ),
    "weights of one series": (
        ("sample_weight", "equal in all rows of a unit", "set y to NaN"),
        (regressor(), Y, {"sample_weight": 1.0 + ROWS}),
    ),
    "a number as y": (
        ("X and y must have the same number of rows", N, "one number"),
        (regressor(), 3.0, {}),
    ),
    "no y": (
        ("y must have values in some rows", "all are missing", "Pass observed y"),
        (regressor(), np.full(N, np.nan), SERIES),
    ),
    "no classes": (
        ("y must have values in some rows", "all are missing", "Pass observed y"),
        (classifier(), np.full(N, None), SERIES),
    ),
    "time with a softmax gate": (
        ("time", 'gate="markov" only', "as a column of X"),
        (SOFTMAX, Y, {"time": TIME}),
    ),
    "time with a constant gate": (
        ("time", 'gate="markov" only', "as a column of X"),
        (CONSTANT, Y, SERIES),
    ),
    "missing y with another gate": (
        ("y must have no missing values", "row 0", "Drop such rows"),
        (SOFTMAX, with_holes(Y), {}),
    ),
    "weights of classes": (
        ("gate='markov'", "class_weight='balanced'", "one weight", "Leave it out"),
        (classifier(class_weight="balanced"), DATA.classes, SERIES),
    ),
    "a negative penalty": (
        ("gate.alpha", -1.0),
        (regressor(gate=MarkovGate(alpha=-1.0)), Y, SERIES),
    ),
    "an unknown start": (
        ("gate.initial", "free", "steady"),
        (regressor(gate=MarkovGate(initial="steady")), Y, SERIES),
    ),
    "a stationary start of transitions with features": (
        ('gate.initial="stationary"', "constant probabilities", "gate_features=[]"),
        (regressor(gate=MarkovGate(initial="stationary")), Y, SERIES),
    ),
    "an unknown gate": (
        ("gate", "'constant', 'markov', 'softmax'", "hmm"),
        (regressor(gate="hmm"), Y, {}),
    ),
    "known experts of no expert": (
        ("known_experts", "from 0 to 1", "row 3 has 7"),
        (regressor(), Y, SERIES | {"known_experts": np.where(ROWS == 3, 7, -1)}),
    ),
}


@pytest.mark.parametrize("case", FITS)
def test_fits_are_refused_before_any_work(case):
    (name, *words), (moe, y, given) = FITS[case]
    assert_fit_refused(moe, (X, y), name, *words, **given)


def test_parameters_of_other_gates_are_none_of_this_gate():
    for name, value in (("top_k", 1), ("balance", 0.1), ("transformer", None)):
        assert name in refusal(MarkovGate, **{name: value})


# --- new rows -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moe():
    return fit_quietly(regressor(max_iter=5), X, Y, **SERIES)


@pytest.fixture(scope="module")
def independent():
    return fit_quietly(regressor(gate="softmax", max_iter=5), X, Y)


PREDICTIONS = "predict", "predict_dist", "predict_interval", "predict_quantile", "sample"
OF_ROWS = *PREDICTIONS, "predict_gate", "apply", "explain"
OBSERVED = "responsibilities", "score_samples", "decode", "score", "aic", "inference", "summary"


@pytest.mark.parametrize("method", OF_ROWS)
def test_predictions_need_units_and_time_of_the_fit(moe, method):
    call = getattr(moe, method)
    for name in SERIES:
        given = {key: values for key, values in DATA.given.items() if key != name}
        assert_refused(
            refusal(call, X, **given), f"{name} must be given for new rows", f"Pass {name}=..."
        )
    assert_refused(refusal(call, X), "units must be given for new rows", "Pass units=...")
    ties = DATA.given | {"time": TIES}
    assert_refused(refusal(call, X, **ties), "time must differ", "Correct the time")
    assert_refused(refusal(call, X, **DATA.given | {"units": UNITS[:4]}), "units", (4,))


@pytest.mark.parametrize("method", OBSERVED)
def test_observed_rows_need_units_and_time_of_the_fit(moe, method):
    call = getattr(moe, method)
    for name in SERIES:
        given = {key: values for key, values in SERIES.items() if key != name}
        assert_refused(
            refusal(call, X, Y, **given), f"{name} must be given for new rows", f"Pass {name}=..."
        )
    assert_refused(refusal(call, X, Y, **SERIES | {"time": TIES}), "time must differ", "Correct")


@pytest.mark.parametrize("method", OF_ROWS)
def test_predictions_of_independent_rows_know_no_past(independent, method):
    call = getattr(independent, method)
    for given in ({"y": Y}, {"time": TIME}, {"y": Y, "time": TIME}):
        message = refusal(call, X, **given)
        assert_refused(message, "predictions take y, units and time only with", "gate_proba=")
    if method not in ("predict_gate", "apply"):  # where a unit has one expert
        message = refusal(call, X, units=UNITS)
        assert_refused(message, "predictions take y, units and time only with", "gate_proba=")


def test_scores_need_some_y(moe):
    message = refusal(moe.score, X, np.full(N, np.nan), **SERIES)
    assert_refused(message, "y must have values in some rows", "all are missing", "Pass observed y")


def test_one_series_has_no_sandwich():
    """Its score is zero at the maximum, and so would be all standard errors."""
    moe = fit_quietly(regressor(max_iter=5), X, Y)
    message = refusal(moe.inference, X, Y, method="sandwich")
    assert_refused(message, "method", '"sandwich"', "single unit or series", '"observed"')


def test_what_is_known_has_three_names(moe, independent):
    message = refusal(moe.responsibilities, X, Y, given="future", **SERIES)
    assert_refused(message, "given", '"past", "now" or "all"', "future")
    for given in ("past", "all"):
        message = refusal(independent.responsibilities, X, Y, given=given)
        assert_refused(message, "given", "rows are independent", given, 'given="now"')


def test_independent_rows_have_no_path(independent, moe):
    assert not hasattr(independent, "decode")
    assert not hasattr(regressor(gate="constant"), "decode")
    assert hasattr(moe, "decode")
    assert hasattr(regressor(gate=MarkovGate()), "decode")


def test_series_are_no_stream(moe, independent):
    assert not hasattr(moe, "partial_fit")
    assert hasattr(independent, "partial_fit")


def test_collections_of_dask_are_not_predicted(moe):
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(X, chunks=(50, 3))
    for call in (moe.predict, moe.predict_gate, moe.apply, moe.predict_interval):
        message = refusal(call, lazy, **SERIES)
        assert_refused(message, "units cannot be used with", "Dask", "Compute the rows of whole")


def test_units_and_time_need_not_be_given_where_the_fit_had_none():
    data = DATA.take(np.argsort(TIME))
    moe = fit_quietly(regressor(max_iter=5), data.X, data.y)
    assert np.isfinite(moe.predict(data.X, y=data.y)).all()
    assert np.isfinite(moe.score_samples(data.X, data.y)).all()
