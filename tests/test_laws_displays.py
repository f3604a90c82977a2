"""Displays and reports against what their numbers are computed from."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cases import ALL_CASES, X, Y, fitted_case
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse, stats
from sklearn.calibration import calibration_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from test_laws_pictures import CASES, NAMES, draw, drawn

from skmoe import MixtureOfExpertsRegressor
from skmoe._inference.labels import format_percent
from skmoe.distributions import NormalComponents, PoissonComponents
from skmoe.inspection import (
    CalibrationDisplay,
    CoefficientsDisplay,
    ConvergenceDisplay,
    GateDisplay,
    PredictionDisplay,
    SegmentProfileDisplay,
    _importance_by_part,
)
from skmoe.inspection._calibration import BAND_PROBABILITY
from skmoe.inspection._convergence import N_STEEP_ITER
from skmoe.inspection._densities import RowDensity
from skmoe.inspection._expert_curves import CATEGORY_WIDTH
from skmoe.inspection._feature_axes import MAX_DRAWN_CATEGORIES, feature_axis
from skmoe.inspection._forest import AXIS_MARGIN, MAX_REACH, ForestPanel, axis_limits
from skmoe.inspection._gate import region_centre, region_colours
from skmoe.inspection._grid import (
    at_reference_values,
    column_stds,
    make_grid,
    path_rows,
    rows_to_show,
    units_to_show,
)
from skmoe.inspection._heat_map import NO_NUMBER, shortened
from skmoe.inspection._importance_by_part import log_densities
from skmoe.inspection._leading import (
    changes_over_features,
    gate_effects,
    gate_log_odds,
    leading_feature,
)
from skmoe.inspection._pipelines import _composed_scaling, find_mixture
from skmoe.inspection._prediction_panels import (
    MAX_BARS,
    MAX_CLASSES,
    MAX_NAMED_EXPERTS,
    draw_classes,
    draw_distribution,
    name_experts,
)
from skmoe.inspection._report._experts import MAX_LINES, make_cards, selection_table
from skmoe.inspection._report._formulas import Predictor, _density_formula
from skmoe.inspection._report._held_out import HeldOutRows
from skmoe.inspection._report._pictures import (
    calibration_picture,
    coefficients_picture,
    number,
    profile_picture,
)
from skmoe.inspection._report._rows import describe_feature, starting_row, strongest_features
from skmoe.inspection._segment_tables import (
    largest_rows,
    positive_rows,
    profile_columns,
    responsibilities_of_rows,
)
from skmoe.inspection._style import (
    CAPTION_CHARACTER_WIDTH,
    MAX_NAME_LINES,
    MIN_LINE_LENGTH,
    beside_marks,
    colour,
    dash,
    hatch,
    in_legend,
    label_below,
    marker,
    names_or_default,
    rgb,
    wrapped,
)
from skmoe.inspection._text import TextFormat

plt = pytest.importorskip("matplotlib.pyplot")
Rectangle = plt.Rectangle
to_rgba = pytest.importorskip("matplotlib.colors").to_rgba
plt.switch_backend("agg")


def parsed(text):
    """The number of a text; NaN for a dash."""
    return np.nan if text == NO_NUMBER else float(text.replace("\N{MINUS SIGN}", "-"))


# --- rows of tables -------------------------------------------------------------------------------


def tables(n_rows, seed=0):
    """The same numbers as an array, a data frame and a sparse table; some columns mostly zeros."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n_rows, 5)) + 1.0
    for j, share in enumerate((0.3, 0.5, 0.7, 1.0)):
        table[rng.permutation(n_rows)[: round(share * n_rows)], j] = 0.0
    frame = pd.DataFrame(table, columns=list("abcde"))
    return table, frame, sparse.csc_array(table)


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else np.asarray(rows, dtype=float)


@pytest.mark.parametrize("n_rows", [1, 2, 7, 8, 11])
def test_grids_have_the_other_columns_at_their_medians_in_tables_of_all_types(n_rows):
    given = tables(n_rows)
    for columns in ([0], [3, 1], [4], []):
        values = np.random.default_rng(1).normal(size=(4, len(columns)))
        wanted = np.tile(np.median(given[0], axis=0), (4, 1))
        wanted[:, columns] = values
        for table in given:
            assert_allclose(dense(make_grid(table, columns, values)), wanted)
    for column in range(5):
        wanted = np.tile(np.median(given[0], axis=0), (n_rows, 1))
        wanted[:, column] = given[0][:, column]
        for table in given:
            assert_allclose(dense(at_reference_values(table, column)), wanted)
    for table in given:
        stds = given[0].std(axis=0)
        assert_allclose(column_stds(table), np.where(stds > 0.0, stds, 1.0))


def test_paths_lead_from_the_mean_row_to_the_row_in_tables_of_all_types():
    given, n_features = tables(9), 5
    fraction = np.random.default_rng(0).uniform(size=(6, n_features))
    fraction[0], fraction[1] = 0.0, 1.0
    mean, end = given[0].mean(axis=0), given[0][4]
    for table in given:
        found = dense(path_rows(table, 4, fraction))
        assert_allclose(found, mean + fraction * (end - mean), atol=1e-14)
    missing = given[0].copy()
    missing[4, 0] = missing[2, 1] = np.nan
    found = path_rows(missing, 4, fraction)
    # A value that is missing is reached half-way; one that is missing elsewhere changes the mean.
    before = np.nanmean(missing, axis=0)
    assert_allclose(found[:, 0], np.where(fraction[:, 0] >= 0.5, np.nan, before[0]))
    assert_allclose(found[:, 1], before[1] + fraction[:, 1] * (end[1] - before[1]))


def test_samples_of_rows_and_units_are_different_ones_among_those_that_can_be_shown():
    finite = np.arange(40) % 3 != 0
    possible = np.flatnonzero(finite)
    for most in (2, 10, len(possible) - 1):
        shown = rows_to_show(finite, most, 0)
        assert len(shown) == most
        assert (np.diff(shown) > 0).all()
        assert np.isin(shown, possible).all()
        units = units_to_show(possible, most, None)
        assert len(set(units)) == most
        assert np.isin(units, possible).all()
        assert_array_equal(units_to_show(possible, most, None), units)
    for most in (len(possible), len(possible) + 1, None):
        assert_array_equal(rows_to_show(finite, most, 0), possible)
        assert_array_equal(units_to_show(possible, most, 0), possible)


# --- effects of features --------------------------------------------------------------------------


def functions_of_rows():
    """A gate of three experts and their predictions, and the changes over each feature."""
    rng = np.random.default_rng(0)
    # The second feature moves one probability most, the third moves all of them a little.
    weights = np.array([[0.02, 0.02, -0.04], [0.30, -0.30, 0.0], [0.1, 0.1, -0.2]])
    table = rng.uniform(-1.0, 1.0, size=(200, 3))

    def gate(rows):
        return 1.0 / 3.0 + np.asarray(rows) @ weights

    def experts(rows):
        return np.asarray(rows) ** 2 @ np.array([[1.0, 0.0], [0.0, 0.1], [2.0, 3.0]])

    return table, gate, experts


def changes_by_hand(table, function):
    found = []
    for j in range(table.shape[1]):
        rows = np.tile(np.median(table, axis=0), (7, 1))
        rows[:, j] = np.quantile(table[:, j], np.linspace(0.05, 0.95, 7))
        found.append(np.ptp(function(rows).reshape(7, -1), axis=0))
    return np.array(found)


def test_the_leading_feature_has_the_largest_change_of_any_probability():
    table, gate, experts = functions_of_rows()
    for function in (gate, experts):
        found = changes_over_features(table, function)
        assert_allclose(found, changes_by_hand(table, function))
    constant = np.column_stack([table, np.ones(len(table))])
    assert_array_equal(changes_over_features(constant, lambda r: experts(r[:, :3]))[3], 0.0)
    moe = SimpleNamespace(
        combine="best", n_experts_=3, n_features_in_=3, predict_gate=gate, predict_experts=experts
    )
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        moe.predict_gate = lambda rows, order=order: gate(rows[:, np.argsort(order)])
        wanted = changes_by_hand(table[:, order], moe.predict_gate).max(axis=1).argmax()
        assert leading_feature(moe, table[:, order]) == wanted == order.index(1)
    # Under a gate that is the same for all rows it is that of the experts.
    moe.predict_gate = lambda rows: np.full((len(rows), 3), 1.0 / 3.0)
    wanted = changes_by_hand(table, experts).max(axis=1).argmax()
    assert leading_feature(moe, table) == wanted == 2


@pytest.mark.parametrize(
    "case", ["linear-regressor", "linear-classifier", "average", "two experts"]
)
def test_log_odds_of_the_gate_are_derivatives_of_log_probabilities(case):
    moe = fitted_case(case)
    found, step = gate_log_odds(moe), 1e-5
    n_starts = len(moe.start_traces_) if case == "average" else 1
    wanted = np.empty_like(found)
    for j in range(2):
        ends = np.array([X[0] - step * np.eye(2)[j], X[0] + step * np.eye(2)[j]])
        change = np.diff(np.log(moe.predict_gate(ends)), axis=0)[0] / (2.0 * step)
        for start in np.split(np.arange(len(change)), n_starts):
            for k in start:
                wanted[k, j] = change[k] - change[start[start != k]].mean()
    assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert_allclose(gate_effects(moe, X), np.ptp(wanted, axis=0) * X.std(axis=0), rtol=1e-4)
    assert leading_feature(moe, X) == np.argmax(np.ptp(wanted, axis=0) * X.std(axis=0))


# --- pipelines ------------------------------------------------------------------------------------

SCALERS = {
    "standard": StandardScaler(),
    "not centred": StandardScaler(with_mean=False),
    "not scaled": StandardScaler(with_std=False),
    "robust": RobustScaler(),
    "robust, not centred": RobustScaler(with_centering=False, quantile_range=(10.0, 90.0)),
    "robust, not scaled": RobustScaler(with_scaling=False),
    "range": MinMaxScaler((-2.0, 5.0)),
    "absolute": MaxAbsScaler(),
}


@pytest.mark.parametrize("first", SCALERS)
@pytest.mark.parametrize("second", SCALERS)
def test_scalings_of_several_steps_are_their_transform(first, second):
    table = 3.0 + X * [1.0, 50.0]
    steps = make_pipeline(SCALERS[first], SCALERS[second]).fit(table)
    scaling = _composed_scaling([step for _, step in steps.steps], 2)
    assert_allclose(scaling.slope * table + scaling.offset, steps.transform(table), atol=1e-10)


@pytest.mark.parametrize("step", [MinMaxScaler(clip=True), PolynomialFeatures()])
def test_steps_that_do_not_only_scale_have_no_scaling(step):
    assert _composed_scaling([StandardScaler().fit(X), step.fit(X)], 2) is None


def test_mixtures_behind_scalers_are_functions_of_the_input():
    table = 3.0 + X * [1.0, 50.0]
    steps = make_pipeline(SCALERS["range"], SCALERS["robust, not centred"]).fit(table)
    mixture = MixtureOfExpertsRegressor(2, n_init=1, max_iter=8, random_state=0)
    quiet(mixture, steps.transform(table), Y)
    subject = find_mixture(make_pipeline(*(step for _, step in steps.steps), mixture), table)
    view, rows = subject.mixture, table[:9]
    linear = view.expert_intercept_ + rows @ view.expert_coef_.T
    assert_allclose(linear, mixture.predict_experts(steps.transform(rows)), rtol=1e-8, atol=1e-10)
    logits = view.gate_intercept_ + rows @ view.gate_coef_.T
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert_allclose(found, mixture.predict_gate(steps.transform(rows)), rtol=1e-8)
    for method in ("predict", "predict_gate", "predict_experts", "predict_interval"):
        wanted = getattr(mixture, method)(steps.transform(rows))
        assert_array_equal(getattr(view, method)(rows), wanted)
    assert_allclose(view.predict_dist(rows).mean, mixture.predict(steps.transform(rows)))
    explained, plain = view.explain(rows), mixture.explain(steps.transform(rows))
    slope = _composed_scaling([step for _, step in steps.steps], 2).slope
    for name in set(plain) & {"slope", "gate_effect"}:
        assert_allclose(explained[name], plain[name] * slope)
    # Linear predictors and their standard errors are the same in both units.
    results = view.inference(table, Y), mixture.inference(steps.transform(table), Y)
    for part in ("expert 0", "expert 1", "gate"):
        found = []
        for result, points in zip(results, (rows, steps.transform(rows)), strict=True):
            terms = [
                i
                for i, term in enumerate(result.terms)
                if term.part == part and not result.is_dispersion[i]
            ]
            values = {"x0": points[:, 0], "x1": points[:, 1]}
            design = np.array([values.get(result.terms[i].name, np.ones(9)) for i in terms])
            covariance = result.covariance[np.ix_(terms, terms)]
            variance = np.einsum("in,ij,jn->n", design, covariance, design)
            found.append(np.array([result.estimates[terms] @ design, variance]))
        assert_allclose(*found, rtol=1e-6, atol=1e-9)


# --- pictures -------------------------------------------------------------------------------------


def test_intervals_of_predictions_are_those_of_the_offset_of_the_row():
    moe, table, _, given = CASES["counts"]()
    offset = 20.0 * given["offset"]
    for row in (0, len(offset) - 1):
        display = draw("PredictionDisplay", "counts", row=row, offset=offset, coverage=0.8)
        wanted = moe.predict_interval(table[[row]], 0.8, offset[[row]])[0]
        assert_array_equal(display.interval, wanted)
        assert_allclose(display.prediction, moe.predict(table[[row]], offset=offset[[row]])[0])
        plain = draw("PredictionDisplay", "counts", row=row, offset=None, coverage=0.8)
        assert (plain.interval != wanted).any()


@pytest.mark.parametrize("case", CASES)
def test_pictures_without_coverage_have_no_interval(case):
    display = draw("PredictionDisplay", case, coverage=None)
    assert display.interval is None
    labels = [text.get_text() for text in display.ax_[0].get_legend().get_texts()]
    assert not any("interval" in label for label in labels)


@pytest.mark.parametrize("family", ["gamma", "lognormal", "normal"])
def test_bars_at_values_with_a_probability_are_inside_the_axes(family):
    y = np.where(X[:, 0] < -0.5, 0.0, np.exp(0.3 * Y) + 5.0)
    moe = MixtureOfExpertsRegressor(
        2, family=["zero", family], n_init=1, max_iter=5, random_state=0
    )
    quiet(moe, X, y)
    row = int(np.abs(moe.predict_gate(X)[:, 0] - 0.5).argmin())
    display = PredictionDisplay.from_estimator(moe, X, row=row)
    ax = display.ax_[0]
    assert_allclose(display.values, [0.0])
    low, high = ax.get_xlim()
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    bars = [bar for bar in bars if bar.get_width() < 0.1 * (high - low)]
    assert bars
    for bar in bars:
        assert low <= bar.get_x() <= bar.get_x() + bar.get_width() <= high
        assert_allclose(bar.get_x() + 0.5 * bar.get_width(), 0.0, atol=1e-12)
        assert 0.01 * (high - low) < bar.get_width() < 0.03 * (high - low)
    heights = sorted(bar.get_height() for bar in bars)
    assert_allclose(heights[-1], display.probability.max())
    plt.close("all")


def test_regimes_over_categories_have_lines_over_each_category():
    display = drawn("RegimesDisplay", "categories")
    moe = CASES["categories"]()[0]
    n_panels = 0
    for ax, k in zip(display.ax_[-moe.n_experts_ :], range(moe.n_experts_), strict=True):
        if display.categories[k] is None:
            continue
        n_panels += 1
        [lines] = [c for c in ax.collections if hasattr(c, "get_segments")]
        segments = np.array(lines.get_segments())
        assert_allclose(segments[:, :, 1], np.repeat(display.curves[k][:, None], 2, axis=1))
        at = np.arange(len(segments))[:, None]
        assert_allclose(segments[:, :, 0], at + np.array([-CATEGORY_WIDTH, CATEGORY_WIDTH]))
    assert n_panels


@pytest.mark.parametrize("name", ["RegimesDisplay", "ExpertsDisplay"])
def test_marks_of_classes_are_inside_the_axes(name):
    display = drawn(name, "classes")
    scatters = display.scatters_ if name == "RegimesDisplay" else [display.scatter_]
    for scatter in scatters:
        heights = scatter.get_offsets()[:, 1]
        low, high = scatter.axes.get_ylim()
        assert low < heights.min() < 0.0
        assert 1.0 < heights.max() < high


def test_panels_in_a_row_repeat_neither_the_name_of_their_axis_nor_their_legend():
    moe = fitted_case("linear-regressor")
    features = [0, 1, (0, 1), 1, 0, (0, 1)]
    display = GateDisplay.from_estimator(moe, X, features=features)
    alike = [np.ndim(entry) == 0 for entry in features]
    for i, ax in enumerate(display.ax_):
        first = ax.get_subplotspec().is_first_col()
        repeats = not first and alike[i] and alike[i - 1]
        assert (ax.get_ylabel() == "") == repeats
    legends = [ax for i, ax in enumerate(display.ax_) if alike[i] and ax.get_legend()]
    in_first_row = [ax for ax in display.ax_ if ax.get_subplotspec().is_first_row()]
    assert len(legends) == (1 if alike[len(in_first_row) - 1] else sum(alike))
    plt.close("all")


@pytest.mark.parametrize("with_intervals", [False, True])
@pytest.mark.parametrize("level", [None, 0.8])
def test_profiles_name_intervals_if_they_have_them(with_intervals, level):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 2))
    intervals = table[..., None] + np.array([-0.3, 0.4]) if with_intervals else None
    display = SegmentProfileDisplay(
        profile=table,
        feature_names=list("abc"),
        expert_names=NAMES[:2],
        shares=np.array([0.3, 0.7]),
        coefficients=table,
        intervals=intervals,
        level=level,
    ).plot()
    heading = display.ax_[1].get_title(loc="left")
    assert ("80 % intervals" in heading) == (with_intervals and level is not None)
    assert ("interval" in heading) == (with_intervals and level is not None)
    written = " ".join(text.get_text() for text in display.ax_[1].texts)
    assert ("[" in written) == with_intervals
    assert_array_equal(display.meshes_[1].get_array().reshape(3, 2), table)
    plt.close("all")


# --- reports --------------------------------------------------------------------------------------

OPTIONS = {
    "feature_names": ["height", "weight"],
    "expert_names": NAMES,
}


def numbers_of(table):
    return np.array([[parsed(text) for text in row[1:]] for row in table.rows])


def assert_table_is(table, values):
    """Numbers of a table have three digits."""
    assert table.head == ["Feature", *NAMES]
    assert_allclose(numbers_of(table), values, rtol=6e-3)


def test_tables_of_reports_have_the_numbers_of_their_pictures():
    moe = fitted_case("linear-regressor")
    options = OPTIONS | {"level": 0.8}
    picture = coefficients_picture(moe, X, Y, options)
    display = CoefficientsDisplay.from_estimator(moe, X, Y, **options)
    assert len(picture.tables) == 3
    for table, values in zip(
        picture.tables,
        (display.coefficients, display.intervals[..., 0], display.intervals[..., 1]),
        strict=True,
    ):
        assert [row[0] for row in table.rows] == list(display.feature_names)
        assert_table_is(table, values)
    assert [table.caption.split()[0] for table in picture.tables[1:]] == ["Lower", "Upper"]
    assert all("80 %" in table.caption for table in picture.tables[1:])
    assert len(coefficients_picture(moe, X, Y, options | {"level": None}).tables) == 1
    picture = profile_picture(moe, X, Y, options)
    display = SegmentProfileDisplay.from_estimator(moe, X, Y, **options)
    for table, values in zip(
        picture.tables, (display.profile, display.coefficients, display.gate_effects), strict=True
    ):
        assert [row[0] for row in table.rows] == list(display.feature_names)
        assert_table_is(table, values)
    assert number(np.nan) == number(np.inf) == NO_NUMBER
    plt.close("all")


def test_tables_of_calibration_are_shares_of_held_out_rows():
    moe = fitted_case("linear-classifier")
    y = (X[:, 1] > 0).astype(int)
    picture = calibration_picture(moe, HeldOutRows(X, y, None, None), 1, ["no", "yes"])
    [table] = picture.tables  # of two classes one has all information
    assert table.caption.endswith("yes")
    observed, predicted = calibration_curve(
        y, moe.predict_proba(X)[:, 1], n_bins=10, strategy="quantile"
    )
    assert_allclose(
        [[parsed(text) for text in row] for row in table.rows],
        np.column_stack([predicted, observed]),
        rtol=6e-3,
    )
    moe = fitted_case("linear-regressor")
    picture = calibration_picture(moe, HeldOutRows(X, Y, None, None), 0, [])
    [table] = picture.tables
    for nominal, found in table.rows:
        level = float(nominal.removesuffix(" %")) / 100.0
        if 0.0 < level < 1.0:
            low, high = moe.predict_interval(X, level).T
            inside = np.mean((low <= Y) & (high >= Y))
            assert abs(100.0 * inside - float(found.removesuffix(" %"))) < 0.06
    plt.close("all")


@pytest.mark.parametrize(
    "case", ["linear-regressor", "trees", "linear-classifier", "poisson-regressor"]
)
def test_cards_have_the_numbers_of_summary_profile_and_coefficients(case):
    moe = fitted_case(case)
    y = ALL_CASES[case][1]
    scale = X.std(axis=0)
    labels = ["height", "weight"]
    text_format = TextFormat(labels, scale, "standard deviation", 4, 2)
    rows = positive_rows(moe, X, y, None, None, None)
    resp, _ = responsibilities_of_rows(moe, rows)
    columns = profile_columns(moe, rows, resp, labels, [0, 1])
    summary = moe.summary(X, y)
    cards = make_cards(moe, NAMES, columns, summary, text_format)
    assert [card.name for card in cards] == NAMES
    for k, (card, expert) in enumerate(zip(cards, summary.experts, strict=True)):
        weight = resp[:, k] / resp[:, k].sum()
        difference = (weight @ X - X.mean(axis=0)) / scale
        assert card.rows == f"{resp[:, k].sum():.0f} effective rows"
        order = [j for j in np.argsort(-np.abs(difference)) if abs(difference[j]) >= 0.1]
        if not order:
            assert card.members == ["hardly different from all rows"]
            continue
        assert len(card.members) == len(order)
        for j, line in zip(order, card.members, strict=True):
            word, name, value = line.split()[:3]
            assert word == ("higher" if difference[j] > 0.0 else "lower")
            assert name == labels[j]
            assert abs(parsed(value.strip("()")) - difference[j]) < 0.0051 * max(
                1.0, abs(difference[j])
            )
        if expert.importances:
            wanted = [f"{name}: {value:.2f}" for name, value in expert.importances[:MAX_LINES]]
            assert card.drivers == wanted
            assert [name for name, _ in expert.importances]
            continue
        effects = np.atleast_2d(moe.expert_coef_[k])[0] * scale
        assert len(card.drivers) == 2
        for j, line in zip(np.argsort(-np.abs(effects)), card.drivers, strict=True):
            name, value = line.split(": ")
            assert name == labels[j]
            assert_allclose(parsed(value.split()[0]), effects[j], rtol=6e-3)


def test_normals_whose_means_are_all_zero_stay_normals():
    component = NormalComponents(np.ones(4), np.zeros((1, 4)), np.full((1, 4), 2.0))
    predictor = Predictor(np.zeros(2), np.zeros(()))
    formula = _density_formula(component, predictor, np.ones((4, 2)), 0)
    assert formula["density"] == "normal"
    assert formula["std"] == 2.0


def test_counts_whose_means_are_zero_in_some_rows_only_stay_counts():
    """Exponentials of very small predictors are zero."""
    predictor = Predictor(np.ones(1), np.zeros(()))
    values = np.array([[-800.0], [0.0], [1.0]])
    mean = np.exp(values.T)
    assert (mean == 0.0).sum() == 1
    component = PoissonComponents(np.ones(3), mean)
    formula = _density_formula(component, predictor, values, 0)
    assert (formula["density"], formula["link"]) == ("poisson", "log")
    formula = _density_formula(component._replace(mean=0.0 * mean), predictor, values, 0)
    assert formula == {"density": "point_mass", "value": 0.0}


# --- parts of pictures ----------------------------------------------------------------------------


def row_density_of(n_experts, *, n_values=0, n_points=0, seed=0):
    rng = np.random.default_rng(seed)
    gate = rng.dirichlet(np.ones(n_experts))
    steps, grid = np.arange(n_values), np.linspace(0.0, 9.0, n_points)
    values = 2.0 * steps + (steps > 2)  # one distance is larger than the others
    probability = rng.dirichlet(np.ones(max(n_values, 1)), size=n_experts)[:, :n_values].T * gate
    density = rng.uniform(size=(n_points, n_experts)) * gate
    return RowDensity(gate, grid, density, values, probability)


@pytest.mark.parametrize("n_experts", [1, 2, 6, 7, 9])
def test_legends_of_predictions_name_the_most_probable_experts(n_experts):
    gate = np.random.default_rng(n_experts).dirichlet(np.ones(n_experts))
    names = [f"regime {chr(97 + k)}" for k in range(n_experts)]
    counted = np.flatnonzero(gate >= 0.02)
    _, ax = plt.subplots()
    name_experts(ax, gate, names, counted, [], with_lines=False)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    ranked = sorted(counted, key=lambda k: -gate[k])[:MAX_NAMED_EXPERTS]
    n_left = len(counted) - len(ranked)
    wanted = [f"{names[k]}: {format_percent(gate[k])}" for k in sorted(ranked)]
    assert labels == wanted + ([f"and {n_left} more experts"] if n_left else [])
    colours = [to_rgba(patch.get_facecolor()) for patch in ax.get_legend().get_patches()]
    assert colours[: len(ranked)] == [to_rgba(colour(k)) for k in sorted(ranked)]
    plt.close("all")


@pytest.mark.parametrize("n_classes", [2, 5, MAX_CLASSES, MAX_CLASSES + 3])
@pytest.mark.parametrize("observed", [None, 1])
def test_bars_of_classes_add_up_from_the_most_probable_one_down(n_classes, observed):
    density = row_density_of(3, n_values=n_classes)
    total = density.probability.sum(axis=1)
    classes = [f"class {c}" for c in range(n_classes)]
    _, ax = plt.subplots()
    draw_classes(ax, density.probability, classes, observed, NAMES)
    order = sorted(range(n_classes), key=lambda c: -total[c])[:MAX_CLASSES]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [classes[c] + "\n(observed)" * (c == observed) for c in order]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one is on top
    ends = np.zeros(len(order))
    for bars in ax.containers:
        assert_allclose([bar.get_x() for bar in bars], ends, atol=1e-12)
        ends += [bar.get_width() for bar in bars]
        heights = [bar.get_y() + 0.5 * bar.get_height() for bar in bars]
        assert_allclose(heights, np.arange(len(order)))
    assert_allclose(ends, total[order])
    assert [text.get_text() for text in ax.texts] == [format_percent(total[c]) for c in order]
    assert ax.get_xlim()[0] == 0.0 < max(total) < ax.get_xlim()[1]
    plt.close("all")


@pytest.mark.parametrize(("n_values", "n_points"), [(5, 0), (1, 0), (MAX_BARS + 1, 0), (0, 50)])
@pytest.mark.parametrize("interval", [None, np.array([2.0, 6.0])])
def test_parts_of_a_distribution_add_up_and_intervals_hold_their_bars(n_values, n_points, interval):
    density = row_density_of(3, n_values=n_values, n_points=n_points)
    marks = {"prediction": 3.0, "observed": None}
    _, ax = plt.subplots()
    drawn_parts = draw_distribution(ax, density, NAMES, interval, 0.8, marks)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ("80 % interval" in labels) == (interval is not None)
    assert "prediction: 3" in labels
    assert not any(label.startswith("observed") for label in labels)
    is_discrete = n_points == 0
    assert ax.get_ylabel() == ("Probability" if is_discrete else "Density")
    assert ax.get_ylim()[0] == 0.0
    if is_discrete and n_values <= MAX_BARS:
        tops = np.zeros(n_values)
        for bars in drawn_parts:
            assert_allclose([bar.get_y() for bar in bars], tops)
            tops += [bar.get_height() for bar in bars]
            width = 0.8 * (2.0 if n_values > 1 else 1.0)
            assert_allclose([bar.get_width() for bar in bars], width)
        assert_allclose(tops, density.probability.sum(axis=1))
    else:
        curves = density.probability if is_discrete else density.density
        points = density.values if is_discrete else density.grid
        for line, curve in zip(drawn_parts, curves.T, strict=True):
            assert_allclose(line.get_xydata(), np.column_stack([points, curve]))
        [whole] = [line for line in ax.lines if line.get_label() == "mixture"]
        assert_allclose(whole.get_ydata(), curves.sum(axis=1))
        assert ax.get_xlim() == (points[0], points[-1])
        assert ax.get_ylim()[1] > curves.sum(axis=1).max()
    if interval is not None:
        [span] = [patch for patch in ax.patches if patch.get_label() == "80 % interval"]
        half = (1.0 if n_values > 1 else 0.5) if is_discrete else 0.0
        # It is a polygon or a rectangle, depending on the version of matplotlib.
        extents = span.get_path().get_extents(span.get_patch_transform())
        assert_allclose(extents.width, np.ptp(interval) + 2.0 * half)
        assert_allclose(extents.x0, interval[0] - half)
    plt.close("all")


def forest(estimates, intervals, *, is_ratio=False):
    n = len(estimates)
    rest = np.arange(n), np.zeros(n, dtype=int), np.array(estimates, dtype=float), intervals
    return ForestPanel("heading", ["row"] * n, *rest, np.zeros(n, dtype=bool), is_ratio)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
def test_axes_of_forests_hold_zero_and_all_that_is_not_far_longer_than_the_rest(shift):
    rng = np.random.default_rng(0)
    estimates = shift + rng.normal(size=7)
    intervals = estimates[:, None] + np.array([-0.4, 0.6])
    low, high = min(0.0, intervals.min()), max(0.0, intervals.max())
    margin = AXIS_MARGIN * (high - low)
    panels = [forest(estimates[:4], intervals[:4]), forest(estimates[4:], intervals[4:])]
    assert_allclose(axis_limits(panels), (low - margin, high + margin))
    # An estimate without interval has its place, one that is not known has none.
    with_gaps = intervals.copy()
    with_gaps[2] = np.nan
    unknown = np.append(estimates, np.nan)
    found = axis_limits([forest(unknown, np.vstack([with_gaps, [[np.nan, np.nan]]]))])
    ends = np.append(np.delete(intervals, 2, axis=0).ravel(), [estimates[2], 0.0])
    margin = AXIS_MARGIN * np.ptp(ends)
    assert_allclose(found, (ends.min() - margin, ends.max() + margin))
    # An interval that is far longer than the others is cut.
    intervals[0] = [-1e4, 1e5]
    median = np.sort(np.abs(intervals).max(axis=1))[3]
    reach = MAX_REACH * max(np.abs(estimates).max(), median)
    length = 2.0 * reach * (1.0 + 2.0 * AXIS_MARGIN)
    assert_allclose(np.diff(axis_limits([forest(estimates, intervals)])), length)
    # One that is open on a side has no ends, and estimates near zero may have long intervals.
    open_ = np.array([[-np.inf, 0.1], [np.nan, 0.2], [-0.2, 0.3]])
    found = axis_limits([forest([0.0, 0.1, 0.1], open_)])
    assert_allclose(found, (-0.2 - 0.5 * AXIS_MARGIN, 0.3 + 0.5 * AXIS_MARGIN))
    wide = np.array([[-1.0, 1.0], [-0.9, 1.1], [-1.1, 0.9]])
    margin = AXIS_MARGIN * 2.2
    found = axis_limits([forest([0.01, -0.01, 0.0], wide)])
    assert_allclose(found, (-1.1 - margin, 1.1 + margin))
    found = axis_limits([forest([0.01, -0.01, 0.0], wide * [0.01, 1.0])])
    margin = AXIS_MARGIN * 1.111
    assert_allclose(found, (-0.011 - margin, 1.1 + margin))
    assert axis_limits([forest([1e4, -1e4], None)])[1] > 1e4
    # Without intervals, and with nothing at all.
    low, high = min(0.0, estimates.min()), max(0.0, estimates.max())
    margin = AXIS_MARGIN * (high - low)
    assert_allclose(axis_limits([forest(estimates, None)]), (low - margin, high + margin))
    low, high = axis_limits([forest([np.nan], np.full((1, 2), np.nan))])
    assert low < 0.0 < high
    low, high = axis_limits([forest([1e4, -1e4], None, is_ratio=True)])
    assert np.isfinite(np.exp([low, high])).all()
    assert np.exp(low) > 0.0


@pytest.mark.parametrize("width", [9, 12, 20])
def test_shortened_names_have_their_beginning_and_end_and_fit(width):
    name = "abcdefghijklmnopqrstuvwxyz"
    for n in range(1, len(name) + 1):
        short = shortened(name[:n], width)
        if n <= width:
            assert short == name[:n]
            continue
        first, last = short.split("...")
        assert len(short) == width
        assert name.startswith(first)
        assert name[:n].endswith(last)
        assert len(first) >= len(last) > 0


@pytest.mark.parametrize("n_levels", [2, MAX_DRAWN_CATEGORIES, MAX_DRAWN_CATEGORIES + 3])
@pytest.mark.parametrize("ordered", [False, True])
def test_axes_of_categories_have_the_most_frequent_ones_with_their_shares(n_levels, ordered):
    rng = np.random.default_rng(n_levels)
    levels = [f"level {c}" for c in rng.permutation(n_levels)]
    values = [level for i, level in enumerate(levels) for _ in range(2 + 3 * (i + 1))]
    values = list(rng.permutation(values))
    column = [None, *values, None]
    own_order = levels if ordered else sorted(levels)
    frame = pd.DataFrame({"x": pd.Categorical(column, categories=own_order)})
    axis = feature_axis(frame, 0, "region", 10)
    counts = Counter(values)
    frequent = [level for level, _ in counts.most_common(MAX_DRAWN_CATEGORIES)]
    shown = [level for level in own_order if level in frequent]
    assert axis.categories == [
        f"{level}\n{format_percent(counts[level] / len(values))}" for level in shown
    ]
    assert [column[i] for i in axis.grid] == shown
    wanted = [float(shown.index(v)) if v in shown else np.nan for v in column]
    assert_array_equal(axis.observed, wanted)
    assert_array_equal(axis.positions, np.arange(len(shown)))
    left_out = n_levels > MAX_DRAWN_CATEGORIES
    note = f" ({MAX_DRAWN_CATEGORIES} of {n_levels} categories)" if left_out else ""
    assert axis.name == "region" + note


def test_rows_of_tables_with_the_largest_values_relative_to_their_table_are_shown():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 2)), 1e3 * rng.normal(size=(9, 3))
    second[4] = np.nan
    for least in (0.0, 1e4):
        tables_given = [(first, 0.0), (None, 1.0), (second, least)]
        sizes = np.abs(first).max(axis=1), np.nan_to_num(np.abs(second)).max(axis=1)
        score = np.maximum(sizes[0] / sizes[0].max(), sizes[1] / max(sizes[1].max(), least))
        for most in (1, 4, 9, 20):
            wanted = sorted(sorted(range(9), key=lambda i: -score[i])[:most])
            assert largest_rows(tables_given, most).tolist() == wanted
    assert largest_rows([(np.zeros((3, 2)), 0.0)], 2).tolist() == [0, 1]


@pytest.mark.parametrize("combine", ["best", "average"])
@pytest.mark.parametrize("criterion", ["bic", "icl", "auto"])
def test_reports_and_displays_choose_the_same_number_of_experts(combine, criterion):
    """An average has the experts of all of its starts."""
    scores = np.array([-1.234567, -np.inf, -0.5, -0.75])
    estimator = SimpleNamespace(
        n_experts=criterion,
        n_experts_tried_=np.array([1, 2, 3, 4]),
        n_experts_scores_=scores,
        n_experts_=9 if combine == "average" else 3,
        start_traces_=[None] * 3,
        combine=combine,
    )
    table = selection_table(estimator)
    assert table["chosen"] == 3 == estimator.n_experts_tried_[scores.argmax()]
    assert [n for n, _ in table["rows"]] == [1, 2, 3, 4]
    for (_, text), score in zip(table["rows"], scores, strict=True):
        assert (text == NO_NUMBER) == np.isinf(score)
        if np.isfinite(score):
            assert_allclose(float(text), score, rtol=1e-4)
    assert ("held-out" in table["heading"]) == (criterion == "auto")
    assert (criterion.upper() in table["heading"]) == (criterion != "auto")
    del estimator.n_experts_tried_
    assert selection_table(estimator) is None


@pytest.mark.parametrize("average", [False, True])
def test_axes_of_convergence_hold_all_ends_and_all_late_iterations(average):
    rng = np.random.default_rng(0)
    lengths_and_shifts = ((9, 0), (2, 3), (30, 1))
    traces = [np.sort(-np.abs(rng.normal(size=n))) - shift for n, shift in lengths_and_shifts]
    converged = np.array([True, False, True])
    display = ConvergenceDisplay(
        lower_bounds=traces[0], start_traces=traces, start_converged=None if average else converged
    ).plot()
    low, high = display.ax_.get_ylim()
    for trace in traces:
        shown = np.append(trace[N_STEEP_ITER:], trace[-1])
        assert low < shown.min() <= shown.max() < high
    for line, trace in zip(display.start_lines_, traces, strict=True):
        assert_array_equal(line.get_xydata(), np.column_stack([range(1, len(trace) + 1), trace]))
    assert_array_equal(display.line_.get_xydata()[:, 1], traces[0])
    ends = np.array([[len(trace), trace[-1]] for trace in traces])
    full = np.ones(3, dtype=bool) if average else converged
    assert_array_equal(display.start_ends_.get_xydata(), ends[full])
    assert_array_equal(display.dropped_ends_.get_xydata(), ends[~full])
    labels = [text.get_text() for text in display.legend_.get_texts()]
    assert labels == ["kept run", "starts", "converged"] + ["dropped before"] * (not average)
    plt.close("all")


@pytest.mark.parametrize("n_rows", [40, 500])
@pytest.mark.parametrize("n_bins", [2, 10])
def test_histograms_of_transforms_spread_each_row_over_its_step(n_rows, n_bins):
    rng = np.random.default_rng(0)
    left = rng.uniform(size=n_rows)
    step = np.where(rng.uniform(size=n_rows) < 0.5, 0.0, rng.uniform(size=n_rows))
    pit = np.minimum(left + step, 1.0)
    display = CalibrationDisplay.from_predictions(pit, pit_left=left, n_bins=n_bins)
    edges, wanted = np.linspace(0.0, 1.0, n_bins + 1), np.zeros(n_bins)
    for low, high in zip(left, pit, strict=True):
        if low == high:
            wanted[min(int(low * n_bins), n_bins - 1)] += 1.0
            continue
        for b in range(n_bins):
            inside = max(min(high, edges[b + 1]) - max(low, edges[b]), 0.0)
            wanted[b] += inside / (high - low)
    assert_allclose(display.density, wanted * n_bins / n_rows)
    assert_allclose(display.density.mean(), 1.0)
    # The band holds a count of a binomial distribution with at least its probability.
    band = display.bands_[0].get_bbox() if hasattr(display.bands_[0], "get_bbox") else None
    low, high = (band.y0, band.y1) if band is not None else display.bands_[0].get_xy()[[0, 2], 1]
    counts = np.arange(n_rows + 1)
    mass = stats.binom.pmf(counts, n_rows, 1.0 / n_bins)
    share = counts * n_bins / n_rows
    assert mass[(share >= low - 1e-9) & (share <= high + 1e-9)].sum() >= BAND_PROBABILITY - 1e-9
    for outside in (share <= low - 1e-9, share >= high + 1e-9):
        assert mass[outside].sum() <= 0.5 * (1.0 - BAND_PROBABILITY) + 1e-9
    plt.close("all")


@pytest.mark.parametrize("n_rows", [1, 7])
def test_densities_under_each_expert_are_those_of_the_rows_one_by_one(n_rows, monkeypatch):
    moe = fitted_case("outputs")
    target = ALL_CASES["outputs"][1][:n_rows]
    found = log_densities(moe, X[:n_rows], target, None)
    for k in range(moe.n_experts_):
        certain = np.tile(np.eye(moe.n_experts_)[k], (n_rows, 1))
        dist = moe.predict_dist(X[:n_rows], gate_proba=certain)
        assert_allclose(found[:, k], dist.logpdf(target).sum(axis=1))
    for at_once in (1, 2 * n_rows):
        monkeypatch.setattr(_importance_by_part, "ROWS_AT_ONCE", at_once)
        assert_allclose(log_densities(moe, X[:n_rows], target, None), found)
    gate = moe.predict_gate(X[:n_rows])
    weight = np.arange(1.0, n_rows + 1.0)
    score = _importance_by_part._mean_score(gate, found, weight)
    mixture = np.log((gate * np.exp(found)).sum(axis=1))
    assert_allclose(score, np.average(mixture, weights=weight))


# --- styles ---------------------------------------------------------------------------------------


def test_experts_differ_in_pairs_of_colours_and_patterns_for_as_long_as_there_are_pairs():
    for pattern, kinds in ((dash, 4), (marker, 8), (hatch, 8)):
        n_pairs = 7 * kinds  # the numbers have no divisor in common
        pairs = [(colour(k), pattern(k)) for k in range(n_pairs)]
        assert len(set(pairs)) == n_pairs
        assert (colour(n_pairs), pattern(n_pairs)) == pairs[0]
    for k in range(9):
        assert to_rgba(colour(k))[:3] == pytest.approx(tuple(rgb(k)))


@pytest.mark.parametrize("width", [8, 11, 20])
def test_wrapped_names_keep_their_letters_in_short_lines(width):
    for name in ("north", "north_of_the_river", "a long name of an expert", "price in $ of $x"):
        lines = wrapped(name, width).split("\n")
        assert len(lines) <= MAX_NAME_LINES
        assert all(len(line.replace(r"\$", "$")) <= width for line in lines)
        letters = "".join(lines).replace(r"\$", "$").replace(" ", "")
        if letters.endswith("..."):
            assert len(name) > MAX_NAME_LINES * (width - 8)
            assert name.replace(" ", "").startswith(letters.removesuffix("..."))
        else:
            assert letters == name.replace(" ", "")
    assert wrapped("a$b$c", 20).count(r"\$") == 2


def test_labels_of_legends_are_shown_and_default_names_are_numbers():
    assert in_legend(["_hidden", "plain"]) == [" _hidden", "plain"]
    assert beside_marks(["expert 0", "expert 1"]) == ["0", "1"]
    assert beside_marks(["expert 1", "expert 0"]) != ["0", "1"]
    assert names_or_default(None, 3) == ["expert 0", "expert 1", "expert 2"]
    assert names_or_default(("a", "b"), 2) == ["a", "b"]


def test_notes_below_panels_belong_to_an_own_figure_or_to_the_last_axes():
    notes = ["What it is.", *(f"Note number {i} of several." for i in range(9))]
    for n_panels in (1, 4):
        figure, axes = plt.subplots(1, n_panels, squeeze=False, figsize=(2.0 * n_panels, 2.0))
        label_below(axes[0], notes, is_own=False)
        assert axes[0][-1].get_xlabel() == "\n".join(notes)
        assert all(ax.get_xlabel() == "" for ax in axes[0][:-1])
        assert figure._supxlabel is None
        label_below(axes[0], notes, is_own=True)
        lines = figure._supxlabel.get_text().split("\n")
        assert lines[0] == notes[0]
        assert " ".join(lines[1:]) == " ".join(notes[1:])
        # Lines have about the width of the figure, or a least one.
        most = max(MIN_LINE_LENGTH, 2.0 * n_panels / CAPTION_CHARACTER_WIDTH)
        longest = max(len(line) for line in lines)
        assert most - 12 <= longest <= most
    plt.close("all")


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_regions_are_as_far_from_edges_as_possible(seed):
    rng = np.random.default_rng(seed)
    gate = np.repeat(np.repeat(rng.dirichlet(np.ones(3), size=(3, 4)), 4, axis=0), 3, axis=1)
    best = gate.argmax(axis=2)
    n, m = best.shape
    for k in np.unique(best):
        outside = np.array(
            [
                (i, j)
                for i in range(-1, n + 1)
                for j in range(-1, m + 1)
                if not (0 <= i < n and 0 <= j < m) or best[i, j] != k
            ]
        )
        inside = np.argwhere(best == k)
        apart = np.square(inside[:, None] - outside[None]).sum(axis=2).min(axis=1)
        found = region_centre(gate, int(k))
        assert best[found] == k
        assert apart[(inside == found).all(axis=1)][0] == apart.max()
    # The most probable expert has its colour, which is paler where it is less certain.
    certain = np.full((1, 3, 3), 0.0)
    certain[0, :, 1] = [1.0, 0.6, 0.4]
    certain[0, :, 0] = certain[0, :, 2] = (1.0 - certain[0, :, 1]) / 2.0
    colours = region_colours(certain)[0]
    distance = 1.0 - colours
    tone = (1.0 - rgb(1)) / (1.0 - rgb(1)).sum()
    assert_allclose(distance / distance.sum(axis=1, keepdims=True), [tone] * 3)
    strength = distance.sum(axis=1)
    certainty = (certain[0, :, 1] - 1 / 3) / (2 / 3)
    steps = np.diff(strength) / np.diff(certainty)
    assert_allclose(steps[0], steps[1])
    assert (np.diff(strength) < 0.0).all()
    one, of_three = np.ones((2, 2, 1)), np.eye(3)[[[0]]]
    assert_allclose(region_colours(one)[0, 0], region_colours(of_three)[0, 0])


@pytest.mark.parametrize("max_features", [1, 2, 3, 4])
def test_features_of_panels_move_the_prediction_or_the_gate_most(max_features):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 4)) * [1.0, 2.0, 0.5, 1.0]
    slopes, of_gate = np.array([0.3, 0.0, 4.0, 0.1]), np.array([0.0, 0.2, 0.01, 0.05])

    def gate(rows):
        first = 0.5 + 0.1 * np.asarray(rows) @ of_gate
        return np.column_stack([first, 1.0 - first])

    moe = SimpleNamespace(predict=lambda rows: np.asarray(rows) @ slopes, predict_gate=gate)
    features = [describe_feature(table, j, f"x{j}") for j in range(4)]
    start = starting_row(table, None)
    found = strongest_features(moe, table, start, features, max_features)
    probes = np.quantile(table, np.linspace(0.05, 0.95, 5), axis=0)
    reach = np.abs(probes - np.median(table, axis=0)).max(axis=0)
    relative = np.maximum(
        *(np.abs(s) * reach / (np.abs(s) * reach).max() for s in (slopes, of_gate))
    )
    wanted = sorted(np.argsort(-relative)[:max_features].tolist())
    assert [feature.column for feature in found] == wanted
