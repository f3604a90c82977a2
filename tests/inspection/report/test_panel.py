"""What a panel of a report computes is the mixture: formulas, slices, controls of features."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.interpolate import make_interp_spline
from scipy.special import ndtr, softmax
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
from support.expert_kinds import KINDS, KINDS_OF_FITS, draw, options_of
from support.fits import classifier, fit_quietly, regressor
from support.report_panels import panel_of
from support.tables import flipping_classes, two_regimes

SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 10}
ROW = 4

# What a reader can see of what is interpolated in tables.
VISIBLE = 3e-5


@cache
def table_of(name, task, n_rows=60):
    if task == "classifier":
        return flipping_classes(n_rows, 3)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_rows, 3))
    predictor = np.where(X[:, 0] > 0, 0.3 + X[:, 1], 1.0 - 0.5 * X[:, 1])
    return X, draw(name if name in FAMILIES else "normal", predictor, rng)


def fitted(name, task, **options):
    """A mixture of a kind of experts, and its table."""
    make = classifier if task == "classifier" else regressor
    X, y = table_of(name, task)
    return fit_quietly(make(**SHORT | options_of(name) | options), X, y), X, y


def of_output(values, index, axis):
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


# --- formulas ---------------------------------------------------------------------------------


def predictor_of(formula, shown):
    """Linear predictors (..., n) of rows with values (n, q) of the features that are shown."""
    return np.array(formula["slopes"]) @ shown.T + np.array(formula["intercept"])[..., None]


def gate_of(formula, shown):
    logits = predictor_of(formula, shown).T
    if formula["top_k"] is not None:
        least = np.sort(logits, axis=1)[:, -formula["top_k"], None]
        logits = np.where(logits >= least, logits, -np.inf)
    return softmax(logits, axis=1)


def rows_of_table(formula, shown):
    """Rows of the table of an expert at its predictors, by splines."""
    table = np.array(formula["table"])
    predictors = formula["start"] + formula["step"] * np.arange(len(table))
    if len(table) == 1:
        return np.repeat(table, len(shown), axis=0)
    spline = make_interp_spline(predictors, table, k=min(len(table) - 1, 5))
    return spline(predictor_of(formula, shown))


def assert_table_is_the_distribution(formula, shown, of_expert, index):
    """The mean, and the probabilities up to the values or up to the quantiles of the table."""
    rows = rows_of_table(formula, shown)
    mean, columns, lower = rows[:, 0], rows[:, 1:], formula["lower"]
    wanted = of_output(of_expert.mean, index, 1)
    assert_allclose(mean if lower is None else np.exp(mean), wanted, VISIBLE)
    if formula["values"]:
        points, scores = np.array(formula["values"][:-1])[None], columns
        assert_allclose(probabilities_of(of_expert, [formula["values"][-1]], index), 1.0)
    else:
        points = columns if lower is None else lower + np.exp(columns)
        n_scores = columns.shape[1]
        scores = formula["first_score"] + formula["score_step"] * np.arange(n_scores)
    if formula["counts"]:
        below, above = (
            probabilities_of(of_expert, count, index)
            for count in (np.floor(points), np.ceil(points))
        )
        assert (below - VISIBLE <= ndtr(scores)).all()
        assert (ndtr(scores) <= above + VISIBLE).all()
    else:
        found = probabilities_of(of_expert, points, index)
        assert_allclose(found, np.broadcast_to(ndtr(scores), found.shape), atol=VISIBLE)


def probabilities_of(distribution, points, index):
    """Probabilities up to points (n, q) of an output."""
    n_outputs = distribution.mean.shape[1:]
    values = np.broadcast_to(np.asarray(points), (len(distribution), np.shape(points)[-1]))
    if n_outputs:
        values = np.repeat(values[..., None], n_outputs[0], axis=2)
    return of_output(distribution.cdf(values), index, 2)


def assert_formulas_are_the_mixture(moe, X, y, index=0, **options):
    panel = panel_of(moe, X, y, output=index, row=ROW, **options)
    columns = [int(feature["label"][1:]) for feature in panel["features"]]
    rows = np.repeat(X[[ROW]], 6, axis=0)
    rows[:, columns] = X[10:16, columns]
    shown = rows[:, columns]
    gate, experts = panel["formulas"]["gate"], panel["formulas"]["experts"]
    assert_allclose(gate_of(gate, shown), moe.predict_gate(rows), 1e-6, 1e-9)
    for k, formula in enumerate(experts):
        if panel["classes"]:
            found = softmax(predictor_of(formula, shown).T, axis=1)
            assert_allclose(found, moe.predict_experts(rows)[:, k], 1e-6, 1e-9)
            continue
        of_expert = moe.predict_dist(rows, gate_proba=np.eye(moe.n_experts_)[[k] * 6])
        assert_table_is_the_distribution(formula, shown, of_expert, index)
    return panel


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_formulas_are_those_of_the_mixture(name, task):
    if name in ("beta", "tweedie"):  # of a bounded range, and with zeros: slices are shown
        moe, X, y = fitted(name, task)
        assert panel_of(moe, X, y, row=ROW)["formulas"] is None
        return
    assert_formulas_are_the_mixture(*fitted(name, task))


@pytest.mark.parametrize(
    "options",
    [
        {"gate": "constant"},
        {"n_experts": 3, "gate": SoftmaxGate(top_k=2)},
        {"gate": SoftmaxGate(top_k=1)},
        {"n_experts": 1},
        {"gate_features": [0], "expert_features": [1, 2]},
        {"gate": SoftmaxGate(alpha=3.0)},
    ],
    ids=str,
)
def test_formulas_of_options_are_those_of_the_mixture(options):
    assert_formulas_are_the_mixture(*fitted("linear", "regressor", **options), max_features=2)


def test_formulas_of_lists_and_outputs_are_those_of_the_mixture():
    X, y = two_regimes(120)
    y = np.where(X[:, 2] > 0.8, 0.0, np.exp(0.2 * y))
    mixed = regressor(**SHORT | {"n_experts": 3}, family=["zero", "gamma", "uniform"])
    panel = assert_formulas_are_the_mixture(fit_quietly(mixed, X, y), X, y)
    zero, gamma, uniform = panel["formulas"]["experts"]
    assert zero["values"] == [0.0]
    assert (gamma["lower"], uniform["lower"]) == (0.0, None)
    assert len(uniform["table"]) == 1
    Y = np.column_stack([y, 1.0 - X[:, 1] * y])
    moe = fit_quietly(regressor(**SHORT), X, Y)
    for index in (0, 1):
        panel = assert_formulas_are_the_mixture(moe, X, Y, index)
        assert_range_of(panel, Y[:, index])


def assert_range_of(panel, y):
    """The axis of the density holds nearly all y, little more, and no impossible values."""
    low, high = panel["shown_range"]
    ends = np.quantile(y, [0.01, 0.99])
    margin = 0.05 * np.ptp(ends) or abs(ends[1]) or 1.0
    wanted_low = ends[0] - margin
    wanted = [max(wanted_low, 0.0) if y.min() >= 0.0 else wanted_low, ends[1] + margin]
    assert_allclose([low, high], wanted, atol=1e-9 * margin)


@pytest.mark.parametrize("shift", [0.0, -3.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 1e4])
def test_the_axis_of_the_density_holds_the_target(shift, spread):
    moe, X, _ = fitted("linear", "regressor", max_iter=2)
    y = shift + spread * np.random.default_rng(0).exponential(size=len(X))
    assert_range_of(panel_of(moe, X, y), y)


# --- slices -----------------------------------------------------------------------------------

SPLINES = SoftmaxGate(transformer=SplineTransformer(n_knots=3))


def assert_slices_are_predictions(panel, moe, rows, along, index=0):
    wanted = {"gate": moe.predict_gate(rows)}
    if panel["classes"]:
        wanted |= {"experts": moe.predict_experts(rows), "mean": moe.predict_proba(rows)}
    else:
        distribution = moe.predict_dist(rows)
        wanted["experts"] = of_output(moe.predict_experts(rows), index, 2)
        wanted["mean"] = of_output(moe.predict(rows), index, 1)
        wanted["interval"] = of_output(distribution.interval(panel["coverage"]), index, 2)
        for points, what in (("atoms", "mass"), ("curve", "density")):
            if points in along:
                function = distribution.pmf if what == "mass" else distribution.pdf
                values = np.array(along[points])[None]
                if distribution.mean.ndim == 2:
                    values = np.repeat(values[..., None], distribution.mean.shape[1], axis=2)
                wanted[what] = of_output(function(values), index, 2)
    for part, values in wanted.items():
        shown = np.where(np.isfinite(values), values, np.nan)
        assert_allclose(np.array(along[part], dtype=float), shown, 1e-8, 1e-12, err_msg=part)
    return wanted


@pytest.mark.parametrize(("name", "task"), [*KINDS_OF_FITS, ("tweedie", "regressor")])
def test_slices_are_predictions_along_one_feature(name, task):
    moe, X, y = fitted(name, task, gate=SPLINES, max_iter=2)
    panel = panel_of(moe, X, y, max_features=1, row=ROW, coverage=0.8)
    assert panel["formulas"] is None
    assert_slices_are_predictions(panel, moe, X[[ROW]], panel["start"])
    (feature,), (along,) = panel["features"], panel["slices"]
    rows = np.repeat(X[[ROW]], len(feature["grid"]), axis=0)
    rows[:, int(feature["label"][1:])] = feature["grid"]
    wanted = assert_slices_are_predictions(panel, moe, rows, along)
    if task == "classifier":
        assert not {"interval", "atoms", "curve"} & set(along)
        return
    # Numbers of which the picture is made reach from the shown range to the ends of intervals.
    low, high = panel["shown_range"]
    discrete = np.array_equal(y, np.round(y))
    has_atoms = discrete or name == "tweedie"
    assert ("atoms" in along, "curve" in along) == (has_atoms, not discrete)
    if not discrete:
        # A value that has a probability is no point of the curve.
        points = np.union1d(along["curve"], along["atoms"] if has_atoms else [])
        assert (points[0], points[-1]) == pytest.approx((low, high))
        assert len(points) == 121
    elif name == "ordinal":
        assert along["atoms"] == list(moe.family.values)
    else:
        last = np.floor(max(high, wanted["interval"].max()))
        assert along["atoms"][0] == 0.0
        assert along["atoms"][-1] >= last
        assert_array_equal(np.diff(along["atoms"]), 1.0)


def test_slices_of_mixed_distributions_and_outputs_are_predictions():
    X, y = two_regimes(120)
    zeros = np.where(X[:, 2] > 0.3, 0.0, np.exp(0.2 * y))
    mixed = regressor(**SHORT, family=["zero", "gamma"], gate=SPLINES)
    panel = panel_of(fit_quietly(mixed, X, zeros), X, zeros, row=ROW, max_features=1)
    assert panel["start"]["atoms"] == [0.0]
    assert 0.0 not in panel["start"]["curve"]
    assert_slices_are_predictions(panel, mixed, X[[ROW]], panel["start"])
    Y = np.column_stack([y, 1.0 - 3.0 * y])
    moe = fit_quietly(regressor(**SHORT, gate=SPLINES), X, Y)
    for index in (0, 1):
        panel = panel_of(moe, X, Y, output=index, row=ROW, max_features=1)
        assert_slices_are_predictions(panel, moe, X[[ROW]], panel["start"], index)


def test_slices_of_censored_times_are_probabilities_of_no_event():
    X, time = table_of("weibull", "regressor")
    never, rows = X[:, 0] > 0.5, X[[ROW]]
    y = right_censored(np.where(never, 9.0, np.minimum(time, 3.0)), ~never & (time <= 3.0))
    moe = fit_quietly(regressor(**SHORT, family=["never", "weibull"], gate=SPLINES), X, y)
    panel = panel_of(moe, X, y, row=ROW, max_features=1, horizon=2.0)
    distribution, start = moe.predict_dist(rows), panel["start"]
    assert panel["shown_range"] == [0.0, 9.0]
    weibull = moe.predict_dist(rows, gate_proba=[[0.0, 1.0]])
    assert_allclose(start["experts"], [[1.0, weibull.sf(2.0)[0]]], 1e-8)
    assert_allclose(start["mean"], distribution.sf(2.0), 1e-8)
    assert_allclose(start["density"], distribution.sf(np.array(start["curve"])[None]), 1e-8)
    shown = [value if np.isfinite(value) else None for value in distribution.interval(0.9)[0]]
    assert start["interval"][0] == pytest.approx(shown)


def test_probabilities_of_huge_counts_are_not_all_drawn():
    moe, X, y = fitted("poisson", "regressor", gate=SPLINES, max_iter=2)
    panel = panel_of(moe, X, 1e6 * (1.0 + y), max_features=1)
    assert panel["start"]["atoms"] == list(range(151))


def test_numbers_of_slices_are_short_and_those_that_are_not_finite_are_missing():
    X, y = table_of("student_t", "regressor")
    moe = fit_quietly(regressor(**SHORT, expert="tree"), X, y)
    panel = panel_of(moe, X, y, row=ROW, max_features=1)
    numbers = np.ravel(panel["start"]["experts"])
    assert [float(f"{value:.10g}") for value in numbers] == numbers.tolist()


# --- controls ---------------------------------------------------------------------------------

TABLES = {
    "array": lambda values: np.column_stack([values, np.zeros(len(values))]),
    "sparse": lambda values: sparse.csc_array(np.column_stack([values, np.zeros(len(values))])),
    "frame": lambda values: pd.DataFrame({"x0": values, "x1": 0.0}),
}


@cache
def plain_fit(is_frame=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    moe = regressor(**SHORT)
    return fit_quietly(moe, pd.DataFrame(X, columns=["x0", "x1"]) if is_frame else X, X[:, 0])


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("n_values", [1, 2, 6, 7, 40])
def test_features_are_choices_or_ranges(kind, n_values):
    """Up to six values are offered one by one; a constant feature is not offered."""
    values = 0.1 + 7.0 * np.random.default_rng(1).permutation(np.arange(80.0) % n_values)
    moe, table = plain_fit(kind == "frame"), TABLES[kind](values)
    panel = panel_of(moe, table, values, row=3)
    assert (panel["n_features"], panel["n_constant"]) == (2, 2 if n_values == 1 else 1)
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
    even = np.delete(grid, np.searchsorted(grid, values[3])) if len(grid) == 42 else grid
    assert_allclose(np.diff(even), (high - low) / 40, rtol=1e-9)


@pytest.mark.parametrize("width", [3e-7, 0.03, 0.9, 1.0, 2.0, 3.9, 4.0, 4.1, 199.0, 201.0, 4e5])
def test_steps_of_sliders_are_the_smallest_round_ones_that_are_few_enough(width):
    values = np.linspace(-width, 0.0, 30)
    panel = panel_of(plain_fit(), np.column_stack([values, np.zeros(30)]), values)
    step = panel["features"][0]["step"]
    assert width / step <= 200.0 * (1.0 + 1e-9)
    leading = step / 10.0 ** np.floor(np.log10(step) + 1e-9)
    assert np.isclose(leading, [1.0, 2.0, 5.0]).any()
    smaller = step / (2.5 if np.isclose(leading, 5.0) else 2.0)
    assert width / smaller > 200.0 * (1.0 - 1e-9)


@pytest.mark.parametrize(("name", "task"), KINDS[:2])
def test_the_range_of_a_control_is_that_of_is_outside_range(name, task):
    """A feature that neither gate nor experts use has none."""
    moe, X, y = fitted(name, task, expert_features=[0], gate_features=[1])
    panel = panel_of(moe, X, y)
    for j, feature in enumerate(panel["features"]):
        low, high, tolerance = feature["low"], feature["high"], feature["tolerance"]
        assert (tolerance is None) == (j == 2)
        shift = tolerance or 0.0
        values = [low - 2.0 * shift, low - 0.5 * shift, high + 0.5 * shift, high + 2.0 * shift]
        rows = np.repeat(np.median(X, axis=0)[None], 4, axis=0)
        rows[:, j] = values
        assert moe.is_outside_range(rows).tolist() == [j < 2, False, False, j < 2]


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
        mixture = mixture_of(pipeline)
        size, kind = panel["features"]
        assert (size["label"], kind["choices"]) == ("x0", ["a", "b", "c"])
        rows = X[:3].assign(x0=size["start"], x1=["a", "b", "c"])
        if is_linear:
            shown = np.column_stack([rows["x0"], np.eye(3)])
            assert_allclose(
                gate_of(panel["formulas"]["gate"], shown), mixture.predict_gate(rows), 1e-9, 1e-12
            )
        else:
            assert_allclose(panel["slices"][1]["gate"], mixture.predict_gate(rows), 1e-9)


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


def test_categories_are_choices_between_the_most_frequent():
    rng = np.random.default_rng(0)
    n_levels = 65
    codes = np.append(np.repeat(np.arange(n_levels), 2), np.arange(5, n_levels))
    codes = rng.permutation(codes)
    names = [f"level {code:02d}" for code in codes]
    frame = pd.DataFrame({"size": np.arange(float(len(codes))), "kind": pd.Categorical(names)})
    y = rng.normal(size=len(codes)) + (codes > 30)
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 1}, expert="tree", cross_fit=2), frame, y)
    panel = panel_of(moe, frame, y, row=7, labels=["size", "kind"])
    size, kind = panel["features"]
    assert (size["start"], kind["start"]) == (7.0, names[7])
    assert len(kind["choices"]) == 60
    assert kind["choices"] == sorted(kind["choices"])
    assert set(kind["choices"]) == {f"level {code:02d}" for code in range(5, n_levels)}
    levels = frame["kind"].cat.categories
    rows = frame.iloc[[7] * 60].assign(kind=pd.Categorical(kind["choices"], levels))
    assert_allclose(panel["slices"][1]["mean"], moe.predict(rows), rtol=1e-8)
    for n_kinds in (1, 2):
        few = frame.iloc[np.flatnonzero(np.isin(codes, [10, 20][:n_kinds]))]
        offered = panel_of(moe, few, y[: len(few)], labels=["size", "kind"])["features"]
        choices = [feature["choices"] for feature in offered if feature["label"] == "kind"]
        assert choices == ([["level 10", "level 20"]] if n_kinds == 2 else [])


def test_features_that_are_offered_move_the_prediction_or_the_gate_most():
    """They keep their order."""
    X = np.random.default_rng(0).uniform(size=(80, 4))
    y = X @ [1.0, 2.0, -10.0, 3.0]
    moe = fit_quietly(regressor(n_experts=1, alpha=1e-6), X, y)
    wanted = {1: [2], 2: [2, 3], 3: [1, 2, 3], 4: [0, 1, 2, 3], 9: [0, 1, 2, 3]}
    for n, chosen in wanted.items():
        labels = [f["label"] for f in panel_of(moe, X, y, max_features=n)["features"]]
        assert labels == [f"x{j}" for j in chosen]
    # A feature of the gate counts as well, though it hardly moves the prediction.
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    y = np.where(X[:, 1] > 0.0, 0.01, -0.01) + X[:, 2] + 0.001 * rng.normal(size=200)
    moe = regressor(n_experts=2, n_init=2, gate_features=[1], expert_features=[0, 2])
    fit_quietly(moe, X, y)
    labels = [f["label"] for f in panel_of(moe, X, y, max_features=2)["features"]]
    assert labels == ["x1", "x2"]


def test_categories_of_polars_are_choices():
    pl = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b", "c"], size=60)
    table = pl.DataFrame(
        {"size": rng.normal(size=60), "kind": pl.Series(kinds, dtype=pl.Categorical)}
    )
    moe = regressor(**SHORT | {"max_iter": 1}, expert="tree", cross_fit=2)
    fit_quietly(moe, table, (kinds == "a") + table["size"].to_numpy())
    panel = panel_of(moe, table, np.zeros(60), row=7, labels=["size", "kind"])
    assert panel["features"][1]["choices"] == ["a", "b", "c"]
    first = [int(np.flatnonzero(kinds == kind)[0]) for kind in "abc"]
    rows = table[first].with_columns(pl.lit(table["size"][7]).alias("size"))
    assert_allclose(panel["slices"][1]["mean"], moe.predict(rows), rtol=1e-8)
