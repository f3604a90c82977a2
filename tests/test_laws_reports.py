"""What a report holds, computed anew from the public answers of the mixture, without a browser."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from kinds import KINDS, draw, options_of
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from report_panels import panel_of
from scipy import sparse, stats
from scipy.special import expit, softmax
from sklearn.preprocessing import SplineTransformer

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.results import FOOTNOTES
from skmoe.families import FAMILIES
from skmoe.gates import GATES, SoftmaxGate
from skmoe.inspection._report import _panel
from skmoe.inspection._report._charts import make_charts
from skmoe.inspection._report._formulas import DENSITIES
from skmoe.inspection._report._held_out import HeldOutRows, held_out_scores
from skmoe.inspection._report._panel import N_STEPS, _controls
from skmoe.inspection._report._rows import (
    MAX_CATEGORIES_OFFERED,
    MAX_CHOICES,
    describe_feature,
    starting_row,
    value_of,
    with_values,
)
from skmoe.inspection._report._warnings import HARMLESS, MAX_TERMS_NAMED, fit_warnings

panel_of_row = partial(panel_of, row=4)

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 10}


def fitted(name, task, n_rows=120, seed=3, n_experts=2, **options):
    """A mixture of a kind of experts, and its table."""
    rng = np.random.default_rng(seed)
    options = options_of(name) | SHORT | options
    if task == "classifier":
        X, y = flipping_classes(n_rows, 3)
        return quiet(MixtureOfExpertsClassifier(n_experts, **options), X, y), X, y
    X = rng.normal(size=(n_rows, 3))
    predictor = np.where(X[:, 0] > 0, 0.3 + X[:, 1], 1.0 - 0.5 * X[:, 1])
    y = draw(name if name in FAMILIES else "normal", predictor, rng)
    return quiet(MixtureOfExpertsRegressor(n_experts, **options), X, y), X, y


def of_output(values, index, axis):
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


# --- formulas -------------------------------------------------------------------------------------


def predictor_of(formula, shown):
    """Linear predictors (..., n) of rows with values (n, q) of the features that are shown."""
    return np.array(formula["slopes"]) @ shown.T + np.array(formula["intercept"])[..., None]


def gate_of(formula, shown):
    parts = []
    for logits in np.split(predictor_of(formula, shown).T, formula["n_starts"], axis=1):
        if formula["top_k"] is not None:
            least = np.sort(logits, axis=1)[:, -formula["top_k"], None]
            logits = np.where(logits >= least, logits, -np.inf)
        parts.append(softmax(logits, axis=1) / formula["n_starts"])
    return np.concatenate(parts, axis=1)


def distribution_of(formula, shown):
    """A frozen distribution of scipy for the densities of the page."""
    kind = formula["density"]
    if kind == "uniform":
        return stats.uniform(formula["low"], formula["high"] - formula["low"])
    eta = predictor_of(formula, shown)
    mean = np.exp(eta) if formula["link"] == "log" else eta
    if kind == "ordinal":
        up_to = expit(np.array(formula["thresholds"])[:, None] - eta)
        up_to = np.vstack([np.zeros(len(shown)), up_to, np.ones(len(shown))])
        return SimpleNamespace(
            mean=lambda: np.array(formula["values"]) @ np.diff(up_to, axis=0),
            logpmf=lambda y: np.log(
                np.diff(up_to, axis=0)[np.searchsorted(formula["values"], y), np.arange(len(y))]
            ),
        )
    return {
        "normal": lambda std=1.0, **_: stats.norm(mean, std),
        "student_t": lambda scale=1.0, df=1.0, **_: stats.t(df, mean, scale),
        "lognormal": lambda log_std=1.0, **_: stats.lognorm(log_std, scale=np.exp(mean)),
        "gamma": lambda shape=1.0, **_: stats.gamma(shape, scale=mean / shape),
        "poisson": lambda **_: stats.poisson(mean),
        "negative_binomial": lambda dispersion=1.0, **_: stats.nbinom(
            1 / dispersion, 1 / (1 + dispersion * mean)
        ),
    }[kind](**formula)


def assert_formulas_are_the_mixture(moe, X, y, index=0, **options):
    panel = panel_of_row(moe, X, y, output=index, **options)
    columns = [int(feature["label"][1:]) for feature in panel["features"]]
    rows = np.repeat(X[[4]], 6, axis=0)
    rows[:, columns] = X[10:16, columns]
    gate, experts = panel["formulas"]["gate"], panel["formulas"]["experts"]
    assert_allclose(gate_of(gate, rows[:, columns]), moe.predict_gate(rows), 1e-6, 1e-9)
    observed = np.asarray(y)[10:16]
    for k, formula in enumerate(experts):
        if panel["classes"]:
            found = softmax(predictor_of(formula, rows[:, columns]).T, axis=1)
            assert_allclose(found, moe.predict_experts(rows)[:, k], 1e-6, 1e-9)
            continue
        of_expert = moe.predict_dist(rows, gate_proba=np.eye(moe.n_experts_)[[k] * 6])
        if formula["density"] == "point_mass":
            assert formula["value"] == of_output(of_expert.mean, index, 1)[0]
            continue
        distribution = distribution_of(formula, rows[:, columns])
        means = np.broadcast_to(distribution.mean(), 6)
        wanted = of_output(moe.predict_experts(rows), index, 2)[:, k]
        assert_allclose(means[np.isfinite(means)], wanted[np.isfinite(means)], 1e-6)
        log = getattr(distribution, "logpmf", getattr(distribution, "logpdf", None))
        density = of_output(of_expert.logpdf(observed), index, 1)
        assert_allclose(log(of_output(observed, index, 1)), density, 1e-6, 1e-8)
    return panel


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("name", "task"), KINDS)
def test_formulas_are_those_of_the_mixture(name, task, gate):
    assert_formulas_are_the_mixture(*fitted(name, task, gate=gate))


@pytest.mark.parametrize(
    "options",
    [
        {"n_experts": 3, "top_k": 2},
        {"combine": "average", "n_init": 3},
        {"combine": "average", "n_init": 2, "top_k": 1},
        {"n_experts": 1},
        {"gate_features": [0], "expert_features": [1, 2]},
        {"gate": SoftmaxGate(alpha=3.0)},
    ],
    ids=str,
)
def test_formulas_of_options_are_those_of_the_mixture(options):
    assert_formulas_are_the_mixture(*fitted("linear", "regressor", **options), max_features=2)


def test_formulas_of_lists_and_outputs_are_those_of_the_mixture():
    X, y = two_regimes(150)
    y = np.where(X[:, 2] > 0.8, 0.0, np.exp(0.2 * y))
    mixed = MixtureOfExpertsRegressor(3, family=["zero", "gamma", "uniform"], **SHORT)
    panel = assert_formulas_are_the_mixture(quiet(mixed, X, y), X, y)
    kinds = {formula["density"] for formula in panel["formulas"]["experts"]}
    assert {"point_mass", "gamma", "uniform"} == kinds
    assert kinds < {name for name, _, _ in DENSITIES.values()}
    Y = np.column_stack([y, 1.0 - X[:, 1] * y])
    moe = quiet(MixtureOfExpertsRegressor(2, **SHORT), X, Y)
    for index in (0, 1):
        panel = assert_formulas_are_the_mixture(moe, X, Y, index)
        assert_range_of(panel, Y[:, index])


def assert_range_of(panel, y):
    """The axis of the density holds nearly all y, little more, and no impossible values."""
    low, high = panel["shown_range"]
    ends = np.quantile(y, [0.01, 0.99])
    margin = 0.2 * np.ptp(ends) or 2.0 * (1.0 + abs(ends[1]))
    assert ends[0] - margin < low <= ends[0] <= ends[1] <= high < ends[1] + margin
    assert low < high
    assert y.min() < 0.0 or low >= 0.0


@pytest.mark.parametrize("shift", [0.0, -3.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 1e4])
def test_the_axis_of_the_density_holds_the_target(shift, spread):
    X, _ = two_regimes(60)
    moe, _, _ = fitted("linear", "regressor", 60)
    y = shift + spread * np.random.default_rng(0).exponential(size=60)
    assert_range_of(panel_of_row(moe, X, y), y)


# --- slices ---------------------------------------------------------------------------------------


def sliced(name, task):
    return fitted(name, task, gate=SoftmaxGate(transformer=SplineTransformer(n_knots=3)))


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
        assert_allclose(np.array(along[part], dtype=float), values, 1e-8, 1e-12, err_msg=part)
    return wanted


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_slices_are_predictions_along_one_feature(name, task, monkeypatch):
    monkeypatch.setattr(_panel, "N_SLICE_POINTS", 5)
    monkeypatch.setattr(_panel, "N_CURVE_POINTS", 13)
    moe, X, y = sliced(name, task)
    panel = panel_of_row(moe, X, y, max_features=2)
    assert panel["formulas"] is None
    assert_slices_are_predictions(panel, moe, X[[4]], panel["start"])
    for feature, along in zip(panel["features"], panel["slices"], strict=True):
        rows = np.repeat(X[[4]], len(feature["grid"]), axis=0)
        rows[:, int(feature["label"][1:])] = feature["grid"]
        wanted = assert_slices_are_predictions(panel, moe, rows, along)
        if task == "classifier":
            assert not {"interval", "atoms", "curve"} & set(along)
            continue
        # Numbers of which the picture is made reach from the shown range to the ends of intervals.
        low, high = panel["shown_range"]
        discrete = np.array_equal(y, np.round(y))
        assert ("atoms" in along, "curve" in along) == (discrete, not discrete)
        if not discrete:
            assert (min(along["curve"]), max(along["curve"])) == pytest.approx((low, high))
        elif name != "ordinal":
            last = np.floor(max(high, wanted["interval"].max()))
            assert along["atoms"][0] == 0.0
            assert along["atoms"][-1] >= last
            assert_array_equal(np.diff(along["atoms"]), 1.0)


def test_slices_of_mixed_distributions_and_outputs_are_predictions(monkeypatch):
    monkeypatch.setattr(_panel, "N_SLICE_POINTS", 5)
    X, y = two_regimes(150)
    gate = SoftmaxGate(transformer=SplineTransformer(n_knots=3))
    zeros = np.where(X[:, 2] > 0.3, 0.0, np.exp(0.2 * y))
    mixed = MixtureOfExpertsRegressor(2, family=["zero", "gamma"], gate=gate, **SHORT)
    panel = panel_of_row(quiet(mixed, X, zeros), X, zeros)
    assert panel["start"]["atoms"] == [0.0]
    assert 0.0 not in panel["start"]["curve"]
    assert_slices_are_predictions(panel, mixed, X[[4]], panel["start"])
    Y = np.column_stack([y, 1.0 - 3.0 * y])
    moe = quiet(MixtureOfExpertsRegressor(2, gate=gate, **SHORT), X, Y)
    for index in (0, 1):
        panel = panel_of_row(moe, X, Y, output=index)
        assert_slices_are_predictions(panel, moe, X[[4]], panel["start"], index)


# --- controls -------------------------------------------------------------------------------------

TABLES = {
    "array": lambda values: np.column_stack([values, np.zeros(len(values))]),
    "sparse": lambda values: sparse.csc_array(np.column_stack([values, np.zeros(len(values))])),
    "pandas": lambda values: pd.DataFrame({"a": values, "b": 0.0}),
    "polars": lambda values: pl.DataFrame({"a": values, "b": np.zeros(len(values))}),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("n_values", [1, 2, MAX_CHOICES, MAX_CHOICES + 1, 40])
def test_features_are_choices_or_ranges(kind, n_values):
    values = 0.1 + 7.0 * np.random.default_rng(1).permutation(np.arange(80.0) % n_values)
    table = TABLES[kind](values)
    assert describe_feature(table, 1, "b") is None
    feature = describe_feature(table, 0, "a")
    if n_values == 1:
        assert feature is None
        return
    start = value_of(starting_row(table, 3), feature)
    assert start == values[3]
    assert value_of(starting_row(table, None), feature) == np.median(values)
    control = _controls(feature, start)
    assert (control["label"], control["start"]) == ("a", start)
    if n_values <= MAX_CHOICES:
        assert control["choices"] == np.unique(values).tolist()
        assert not {"low", "high", "grid"} & set(control)
        return
    low, high, grid = control["low"], control["high"], np.array(control["grid"])
    assert (low, high) == (values.min(), values.max()) == (grid[0], grid[-1])
    assert start in grid
    even = np.delete(grid, np.searchsorted(grid, start)) if len(grid) % 2 == 0 else grid
    assert_allclose(np.diff(even), (high - low) / (len(even) - 1))
    n_steps = (high - low) / control["step"]
    assert N_STEPS / 2.5 <= n_steps <= N_STEPS
    leading = control["step"] / 10.0 ** np.floor(np.log10(control["step"]) + 1e-9)
    assert np.isclose(leading, [1.0, 2.0, 5.0]).any()


@pytest.mark.parametrize("width", [3e-7, 0.9, 1.0, 2.0, 199.0, 200.0, 201.0, 4e5])
def test_steps_of_sliders_are_round_and_not_too_many(width):
    values = np.linspace(-width, 0.0, 30)
    step = _controls(describe_feature(values[:, None], 0, "a"), 0.0)["step"]
    assert N_STEPS / 2.5 - 1e-6 <= width / step <= N_STEPS + 1e-6


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_categories_are_choices_between_their_rows(kind):
    rng = np.random.default_rng(0)
    n_levels = MAX_CATEGORIES_OFFERED + 5
    codes = np.append(np.repeat(np.arange(n_levels), 2), np.arange(5, n_levels))
    codes = rng.permutation(codes)
    names = [f"level {code:02d}" for code in codes]
    columns = {"a": np.arange(len(codes), dtype=float), "b": [*names[:-1], None]}
    table = pd.DataFrame(columns) if kind == "pandas" else pl.DataFrame(columns)
    feature = describe_feature(table, 1, "b")
    counts = pd.Series(columns["b"]).value_counts()
    offered = counts[counts >= counts.sort_values(ascending=False).iloc[MAX_CATEGORIES_OFFERED - 1]]
    assert feature.is_choice
    assert feature.is_category
    assert len(feature.values) == MAX_CATEGORIES_OFFERED
    assert list(feature.values) == sorted(feature.values)
    assert set(feature.values) <= set(offered.index)
    assert [names[i] for i in feature.example_rows] == list(feature.values)
    start = starting_row(table, 7)
    assert value_of(start, feature) == names[7]
    rows = with_values(table, start, feature, feature.values)
    assert list(rows["b"]) == list(feature.values)
    assert set(rows["a"]) == {7.0}
    assert _controls(feature, names[7])["choices"] == list(feature.values)
    assert describe_feature(table[:1], 1, "b") is None


def test_missing_values_are_no_start_and_no_choice():
    values = np.array([np.nan, 2.0, 1.0, np.nan, 1.0])[:, None]
    feature = describe_feature(values, 0, "a")
    assert _controls(feature, None)["choices"] == [1.0, 2.0]
    assert value_of(starting_row(values, 0), feature) is None
    assert value_of(starting_row(values, None), feature) == 1.0


# --- warnings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_terms", [1, MAX_TERMS_NAMED, MAX_TERMS_NAMED + 1, 3 * MAX_TERMS_NAMED])
@pytest.mark.parametrize("reason", FOOTNOTES)
def test_all_terms_without_standard_errors_are_named_or_counted(reason, n_terms):
    terms = [SimpleNamespace(part="gate", name=f"feature {j}.") for j in range(n_terms + 2)]
    inference = SimpleNamespace(terms=terms, reasons=[*[reason] * n_terms, "", None])
    summary = SimpleNamespace(inference=inference, notes=[])
    estimator = SimpleNamespace(converged_=True, n_iter_=3)
    found = fit_warnings(estimator, np.array([50.0, 50.0]), summary, ["a", "b"])
    if reason in HARMLESS:
        assert found == []
        return
    (text,) = found
    assert " ".join(FOOTNOTES[reason].split()) in text
    named = [term.name for term in terms if term.name in text]
    assert named == [f"feature {j}." for j in range(min(n_terms, MAX_TERMS_NAMED))]
    left = n_terms - len(named)
    assert (f"and {left} more" in text) == (left > 0)
    assert ("more" in text.split(":")[0] + text.split("(")[1].split(")")[0]) == (left > 0)


@pytest.mark.parametrize("converged", [True, False])
@pytest.mark.parametrize("smallest", [0.0, 50.0])
def test_each_trouble_has_its_own_warning(converged, smallest):
    note = "Other rows than those of the fit: numbers are those of these rows."
    summary = SimpleNamespace(inference=None, notes=[note, "Something else."])
    estimator = SimpleNamespace(converged_=converged, n_iter_=3)
    found = fit_warnings(estimator, np.array([smallest, 50.0]), summary, ["calm", "wild"])
    assert found[-1] == note
    assert len(found) == 1 + (not converged) + (smallest == 0.0)
    text = " ".join(found)
    assert ("after 3 iterations" in text) == (not converged)
    assert ("calm (0 of 50 rows)" in text) == (smallest == 0.0)
    assert "wild" not in text


# --- held-out rows --------------------------------------------------------------------------------


def scores(moe, X, y, weight=None, offset=None, index=0):
    rows = HeldOutRows(X, y, weight, offset)
    return {score.name: score.value for score in held_out_scores(moe, rows, index, 0.8)}


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_a_weight_of_a_held_out_row_repeats_it(name, task):
    moe, X, y = fitted(name, task, n_rows=60)
    weight = np.arange(len(y)) % 4
    has_offset = getattr(FAMILIES.get(name), "link", None) == "log"
    offset = np.linspace(-0.3, 0.3, len(y)) if has_offset else None
    repeated = np.repeat(np.arange(len(y)), weight)
    given = None if offset is None else offset[repeated]
    weighted = scores(moe, X, y, weight.astype(float), offset)
    assert weighted == scores(moe, X[repeated], y[repeated], None, given)
    plain = scores(moe, X, y, None, offset)
    assert {key for key in plain if plain[key] != weighted[key]} >= set(plain) - {"Accuracy"} - {
        key for key in plain if key.startswith("Coverage")
    }


def test_offsets_of_held_out_rows_are_used():
    moe, X, y = fitted("poisson", "regressor")
    offset = np.linspace(-1.0, 1.0, len(y))
    found = scores(moe, X, y, offset=offset)
    errors = y - moe.predict(X, offset=offset)
    wanted = {
        "R\N{SUPERSCRIPT TWO}": 1.0 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2),
        "RMSE": np.sqrt(np.mean(errors**2)),
        "MAE": np.abs(errors).mean(),
        "Mean log density": moe.predict_dist(X, offset).logpdf(y).mean(),
        "CRPS": moe.predict_dist(X, offset).crps(y).mean(),
    }
    for name, value in wanted.items():
        assert found[name] == f"{value:.4g}".replace("-", "\N{MINUS SIGN}"), name


# --- charts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), [("linear", "regressor"), ("poisson", "regressor")])
@pytest.mark.parametrize("make", [fitted, sliced], ids=["formulas", "slices"])
def test_areas_bars_and_stems_of_charts_stand_on_zero(name, task, make):
    pytest.importorskip("bokeh", reason="the report needs bokeh")
    charts = make_charts(panel_of_row(*make(name, task)))
    assert set(charts.figures) == {"gate-chart", "density-chart", "along-chart"}
    glyphs = [r.glyph for figure in charts.figures.values() for r in figure.renderers]
    for glyph in glyphs:
        for end in ("y0", "y1", "left"):
            value = getattr(glyph, end, 0)
            assert value == 0 or isinstance(value, str), glyph  # a column of the data
    named = {r.data_source.name for f in charts.figures.values() for r in f.renderers}
    assert {"gate", "parts", "total", "atoms", "bounds", "along-lines"} <= named
    for figure in charts.figures.values():
        for axis, label in ((figure.xaxis[0], "x"), (figure.yaxis[0], "y")):
            assert axis.name.endswith(f"-{label}-axis")
            assert axis.name in charts.axes


@pytest.mark.parametrize("n_classes", [2, 3])
def test_charts_of_classes_have_bars_from_zero_to_one(n_classes):
    pytest.importorskip("bokeh", reason="the report needs bokeh")
    X, codes = flipping_classes(100, n_classes)
    y = np.array(["same", "$$x$$", "other"])[codes]
    moe = quiet(MixtureOfExpertsClassifier(2, **SHORT), X, y)
    charts = make_charts(panel_of_row(moe, X, y))
    assert set(charts.figures) == {"gate-chart", "classes-chart", "along-chart"}
    for name, n_bars in (("gate-chart", 2), ("classes-chart", n_classes)):
        figure = charts.figures[name]
        assert (figure.x_range.start, figure.x_range.end) == (0.0, 1.0)
        bars, marks = figure.renderers
        assert bars.data_source is marks.data_source
        factors = bars.data_source.data["name"]
        assert len(set(factors)) == len(factors) == n_bars
        assert figure.y_range.factors == factors[::-1]  # the first is on top
        assert not any("$$" in factor for factor in factors)
        for column in ("now", "start"):
            assert bars.data_source.data[column] == [0.0] * n_bars
    assert charts.figures["along-chart"].yaxis[0].axis_label == "Probability of the class"
