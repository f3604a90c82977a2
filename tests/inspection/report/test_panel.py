"""What a panel of a report is given is the mixture: formulas, slices, controls of features.

What its scripts compute with formulas is compared with the mixture in a browser.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from skmoe.data import right_censored
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from skmoe.recipes import mixture_of
from support.expert_kinds import KINDS_OF_FITS
from support.fits import fit_quietly, regressor
from support.report_panels import fitted_kind, panel_of, table_of

SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 10}
ROW = 4


def of_output(values, index, axis):
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


# --- formulas ---------------------------------------------------------------------------------


def predictor_of(formula, shown):
    """Linear predictors (..., n) of rows with values (n, q) of the features that are shown."""
    return np.array(formula["slopes"]) @ shown.T + np.array(formula["intercept"])[..., None]


@pytest.mark.parametrize(
    ("name", "task"), [*KINDS_OF_FITS, ("beta", "regressor"), ("tweedie", "regressor")]
)
def test_formulas_are_those_of_the_mixture(name, task):
    """Features that are not shown stay at the starting row."""
    moe, X, y = fitted_kind(name, task)
    panel = panel_of(moe, X, y, row=ROW, max_features=2)
    if name in ("beta", "tweedie"):  # of a bounded range, and with zeros: slices are shown
        assert panel["formulas"] is None
        return
    columns = [int(feature["label"][1:]) for feature in panel["features"]]
    rows = np.repeat(X[[ROW]], 6, axis=0)
    rows[:, columns] = X[10:16, columns]
    gate = softmax(predictor_of(panel["formulas"]["gate"], rows[:, columns]).T, axis=1)
    assert_allclose(gate, moe.predict_gate(rows), 1e-6, 1e-9)
    experts = moe.predict_experts(rows)
    for k, formula in enumerate(panel["formulas"]["experts"]):
        predictor = predictor_of(formula, rows[:, columns])
        if task == "classifier":
            assert_allclose(softmax(predictor.T, axis=1), experts[:, k], 1e-6, 1e-9)
        elif FAMILIES[name if name in FAMILIES else "normal"].link == "identity":
            assert_allclose(predictor, experts[:, k], 1e-6)


def test_experts_with_an_infinite_variance_have_formulas():
    X = table_of("lognormal", "regressor", 60)[0]
    y = np.exp(25.0 * np.random.default_rng(0).normal(size=len(X)))
    moe = fit_quietly(regressor(n_experts=1, family="lognormal", alpha=0.1), X, y)
    panel = panel_of(moe, X, y, row=ROW)
    columns = [int(feature["label"][1:]) for feature in panel["features"]]
    [formula] = panel["formulas"]["experts"]
    predictor = predictor_of(formula, X[:, columns])
    assert_allclose(np.exp(predictor + 0.5 * moe.dispersion_[0]), moe.predict(X), rtol=1e-4)


@pytest.mark.parametrize("shift", [0.0, -3.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 1e4])
def test_the_axis_of_the_density_holds_the_target(shift, spread):
    """It holds nearly all y, little more, and no impossible values."""
    moe, X, _ = fitted_kind("linear", "regressor", max_iter=2)
    y = shift + spread * np.random.default_rng(0).exponential(size=len(X))
    low, high = panel_of(moe, X, y)["shown_range"]
    assert low < high
    assert np.mean((y >= low) & (y <= high)) > 0.95
    assert low >= (0.0 if y.min() >= 0.0 else -np.inf)
    assert spread == 0.0 or high - low <= 1.2 * np.ptp(y)


# --- slices -----------------------------------------------------------------------------------

SPLINES = SoftmaxGate(transformer=SplineTransformer(n_knots=3))


def assert_slices_are_predictions(panel, moe, rows, along, index=0):
    wanted = {"gate": moe.predict_gate(rows)}
    if panel["classes"]:
        wanted |= {"experts": moe.predict_experts(rows), "mean": moe.predict_proba(rows)}
    else:
        wanted["experts"] = of_output(moe.predict_experts(rows), index, 2)
        wanted["mean"] = of_output(moe.predict(rows), index, 1)
        interval = moe.predict_dist(rows).interval(panel["coverage"])
        wanted["interval"] = of_output(interval, index, 2)
    assert set(along) == set(wanted)
    for part, values in wanted.items():
        shown = np.where(np.isfinite(values), values, np.nan)
        assert_allclose(np.array(along[part], dtype=float), shown, 1e-8, 1e-12, err_msg=part)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("name", "task"), [*KINDS_OF_FITS, ("tweedie", "regressor")])
def test_slices_are_predictions_along_one_feature(name, task, index):
    """Also those of the second output. Numbers are short."""
    moe, X, y = fitted_kind(name, task, gate=SPLINES, max_iter=2)
    if index:
        if name != "linear" or task == "classifier":
            return
        y = np.column_stack([y, 1.0 - 3.0 * y])
        fit_quietly(moe, X, y)
    options = {"max_features": 1, "row": ROW, "coverage": 0.8, "output": index}
    panel = panel_of(moe, X, y, **options)
    assert panel["formulas"] is None
    assert_slices_are_predictions(panel, moe, X[[ROW]], panel["start"], index)
    numbers = np.ravel(panel["start"]["experts"])
    assert [float(f"{value:.10g}") for value in numbers] == numbers.tolist()
    (feature,), (along,) = panel["features"], panel["slices"]
    rows = np.repeat(X[[ROW]], len(feature["grid"]), axis=0)
    rows[:, int(feature["label"][1:])] = feature["grid"]
    assert_slices_are_predictions(panel, moe, rows, along, index)


def test_slices_of_censored_times_are_probabilities_of_no_event():
    X, time = table_of("weibull", "regressor", 60)
    never, rows = X[:, 0] > 0.5, X[[ROW]]
    y = right_censored(np.where(never, 9.0, np.minimum(time, 3.0)), ~never & (time <= 3.0))
    moe = fit_quietly(regressor(**SHORT, family=["never", "weibull"], gate=SPLINES), X, y)
    panel = panel_of(moe, X, y, row=ROW, max_features=1, horizon=2.0)
    distribution, start = moe.predict_dist(rows), panel["start"]
    assert panel["shown_range"] == [0.0, 9.0]
    weibull = moe.predict_dist(rows, gate_proba=[[0.0, 1.0]])
    assert_allclose(start["experts"], [[1.0, weibull.sf(2.0)[0]]], 1e-8)
    assert_allclose(start["mean"], distribution.sf(2.0), 1e-8)
    assert_allclose(start["survival"], distribution.sf(np.array(start["curve"])[None]), 1e-8)
    shown = [value if np.isfinite(value) else None for value in distribution.interval(0.9)[0]]
    assert start["interval"][0] == pytest.approx(shown)


# --- controls ---------------------------------------------------------------------------------

TABLES = {
    "array": lambda values: np.column_stack([values, np.zeros(len(values))]),
    "sparse": lambda values: sparse.csc_array(np.column_stack([values, np.zeros(len(values))])),
    "frame": lambda values: pd.DataFrame({"x0": values, "x1": 0.0}),
}


@cache
def plain_fit(is_frame=False):
    X = np.random.default_rng(0).normal(size=(60, 2))
    moe = regressor(**SHORT)
    return fit_quietly(moe, pd.DataFrame(X, columns=["x0", "x1"]) if is_frame else X, X[:, 0])


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("n_values", [1, 2, 6, 7, 40])
def test_features_are_choices_or_ranges(kind, n_values):
    """Up to six values are offered one by one; a constant feature is not offered."""
    values = 0.1 + 7.0 * np.random.default_rng(1).permutation(np.arange(80.0) % n_values)
    moe, table = plain_fit(kind == "frame"), TABLES[kind](values)
    panel = panel_of(moe, table, values, row=3)
    assert panel["n_features"] == 2
    if n_values == 1:
        assert panel["features"] == []
        return
    (control,) = panel["features"]
    assert (control["label"], control["start"]) == ("x0", values[3])
    assert panel_of(moe, table, values)["features"][0]["start"] == np.median(values)
    if n_values <= 6:
        assert control["choices"] == np.unique(values).tolist()
        assert not {"low", "high", "grid"} & set(control)
        return
    low, high, grid = control["low"], control["high"], np.array(control["grid"])
    assert (low, high) == (values.min(), values.max()) == (grid[0], grid[-1])
    assert values[3] in grid
    assert not control["is_integer"]


def test_a_table_of_categories_in_a_pipeline_has_formulas():
    """Each category adds to the predictors; steps that are not linear have slices."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x0": rng.normal(size=90), "x1": rng.choice(["a", "b", "c"], size=90)})
    y = np.where(X["x1"] == "b", 1.0 + X["x0"], -X["x0"])
    for numbers, is_linear in ((SimpleImputer(), True), (PolynomialFeatures(2), False)):
        encoder = make_column_transformer((OneHotEncoder(), ["x1"]), (numbers, ["x0"]))
        pipeline = fit_quietly(make_pipeline(encoder, StandardScaler(), regressor(**SHORT)), X, y)
        panel = panel_of(pipeline, X, y)
        assert (panel["formulas"] is not None) == is_linear
        size, kind = panel["features"]
        assert (size["label"], kind["choices"]) == ("x0", ["a", "b", "c"])
        wanted = mixture_of(pipeline).predict_gate(X[:3].assign(x0=size["start"], x1=list("abc")))
        if is_linear:
            shown = np.column_stack([np.full(3, size["start"]), np.eye(3)])
            found = softmax(predictor_of(panel["formulas"]["gate"], shown).T, axis=1)
        else:
            found = panel["slices"][1]["gate"]
        assert_allclose(found, wanted, 1e-9, 1e-12)


def test_texts_are_no_table():
    """The panel has the columns that the steps make of them."""
    texts = ["red brick", "blue stone", "red stone", "blue brick"] * 10
    y = np.array([1.0, 2.0, 3.0, 4.0] * 10)
    pipeline = make_pipeline(CountVectorizer(), regressor(**SHORT))
    panel = panel_of(fit_quietly(pipeline, texts, y), texts, y)
    assert len(panel["features"]) == 4
    assert panel["formulas"] is not None


def test_missing_values_are_no_start_and_no_choice():
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[::3, 1] = np.nan
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 2}, expert="tree"), X, X[:, 0])
    table = np.column_stack([np.arange(10.0), [np.nan, 2.0, 1.0, np.nan, 1.0] * 2])
    at_row, at_median = (panel_of(moe, table, table[:, 0], row=row) for row in (0, None))
    assert at_row["features"][1]["choices"] == [1.0, 2.0]
    assert at_row["features"][1]["start"] is None
    assert at_median["features"][1]["start"] == 1.0


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_categories_are_choices_between_the_most_frequent(kind):
    rng = np.random.default_rng(0)
    n_levels = 65
    codes = np.append(np.repeat(np.arange(n_levels), 2), np.arange(5, n_levels))
    codes = rng.permutation(codes)
    names = np.array([f"level {code:02d}" for code in codes])
    table = pd.DataFrame({"size": np.arange(float(len(codes))), "kind": pd.Categorical(names)})
    if kind == "polars":
        table = pytest.importorskip("polars").DataFrame(dict(table.astype({"kind": str})))
    y = rng.normal(size=len(codes)) + (codes > 30)
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 1}, expert="tree", cross_fit=2), table, y)
    panel = panel_of(moe, table, y, row=7, labels=["size", "kind"])
    size, offered = panel["features"]
    assert (size["start"], offered["start"]) == (7.0, names[7])
    assert offered["choices"] == [f"level {code:02d}" for code in range(5, n_levels)]
    first = [int(np.flatnonzero(names == name)[0]) for name in offered["choices"]]
    rows = table.iloc[first].assign(size=7.0) if kind == "pandas" else table[first]
    if kind == "polars":
        rows = rows.with_columns(rows["size"] * 0.0 + 7.0)
    assert_allclose(panel["slices"][1]["mean"], moe.predict(rows), rtol=1e-8)


def test_features_that_are_offered_move_the_prediction_or_the_gate_most():
    """They keep their order. A feature of the gate may hardly move the prediction."""
    X = np.random.default_rng(0).uniform(size=(80, 4))
    moe = fit_quietly(regressor(n_experts=1, alpha=1e-6), X, X @ [1.0, 2.0, -10.0, 3.0])
    wanted = {1: [2], 2: [2, 3], 3: [1, 2, 3], 4: [0, 1, 2, 3], 9: [0, 1, 2, 3]}
    for n, chosen in wanted.items():
        labels = [f["label"] for f in panel_of(moe, X, X[:, 0], max_features=n)["features"]]
        assert labels == [f"x{j}" for j in chosen]
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    y = np.where(X[:, 1] > 0.0, 0.01, -0.01) + X[:, 2] + 0.001 * rng.normal(size=200)
    moe = regressor(n_experts=2, n_init=4, gate_features=[1], expert_features=[0, 2])
    fit_quietly(moe, X, y)
    labels = [f["label"] for f in panel_of(moe, X, y, max_features=2)["features"]]
    assert labels == ["x1", "x2"]
