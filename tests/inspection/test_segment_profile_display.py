"""SegmentProfileDisplay: heat maps of profiles, coefficients and slopes of the gate, by expert."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import CoefficientsDisplay, SegmentProfileDisplay
from support.displays import CASES, expert_colour, texts
from support.fits import fit_quietly
from support.tables import flipping_classes, two_regimes

SCALES = np.array([1e-2, 1.0, 1e3])
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}
NO_NUMBER, RATIO = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def draw(*data, **options):
    with warnings.catch_warnings():  # rows are not always those of the fit
        warnings.simplefilter("ignore")
        return SegmentProfileDisplay.from_estimator(*data, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(90)
    X = X * SCALES
    return fit_quietly(regressor(), X, y), X, y


@pytest.fixture(scope="module")
def of_units():
    rng = np.random.default_rng(0)
    units = np.repeat([f"unit {i}" for i in rng.permutation(30)], rng.integers(1, 9, size=30))
    distinct, codes = np.unique(units, return_inverse=True)
    own = rng.normal(size=len(distinct))[codes]
    X = np.column_stack([rng.normal(size=len(units)) + 0.5 * own, own])
    first = (rng.uniform(size=len(distinct)) < 0.4)[codes]
    y = np.where(first, 1.0, -1.0) * X[:, 0] + 0.8 * rng.normal(size=len(units))
    moe = regressor(gate_features=[1], alpha=0.1, gate_alpha=1.0)
    return fit_quietly(moe, X, y, units=units), X, y, units


def profile_by_hand(values, resp, weight=None):
    """Means of the experts minus that of all rows, in standard deviations, feature by row."""
    weight = np.ones(len(values)) if weight is None else weight
    rows = []
    for column in values.T:
        known = np.isfinite(column)
        column, own, of_experts = column[known], weight[known], resp[known]
        mean = np.average(column, weights=own)
        deviation = np.sqrt(np.average((column - mean) ** 2, weights=own))
        means = [np.average(column, weights=own * r) for r in of_experts.T]
        rows.append((np.array(means) - mean) / deviation)
    return np.array(rows)


VALUES = np.array([[1.0, -2.0], [0.5, 0.25], [4.0, 3.0]])
ENDS = np.stack([VALUES - 0.5, VALUES + 1.0], axis=-1)


def given(**options):
    """A display of three features and two experts."""
    tables = {
        "feature_names": ["height", "weight", "age"],
        "expert_names": ["calm", "wild"],
        "shares": np.array([0.3, 0.7]),
        "profile": VALUES / 4.0,
    }
    return SegmentProfileDisplay(**tables | options).plot()


# --- the tables of a fit --------------------------------------------------------------------------


def test_profiles_are_differences_of_weighted_means(fitted):
    moe, X, y = fitted
    for weight in (None, np.arange(len(y)) % 3):
        display = draw(moe, X, y, sample_weight=weight, level=None)
        resp = moe.responsibilities(X, y)
        assert_allclose(display.profile, profile_by_hand(X, resp, weight), rtol=1e-9)
        assert_allclose(display.shares, np.average(resp, axis=0, weights=weight))
    assert display.feature_names == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("lines", {}),
        ("lines", {"standardize": False, "level": None}),
        ("counts", {}),
        ("outputs", {}),
        ("classes", {"target": "blue"}),
        ("classes", {"target": "red"}),
    ],
)
def test_coefficients_are_those_of_the_forest_plot(case, options):
    moe, X, y, given = CASES[case]()
    options = given | options
    display = draw(moe, X, y, features=[2, 0, 1], **options)
    forest = CoefficientsDisplay.from_estimator(moe, X, y, features=[2, 0, 1], **options)
    assert_array_equal(display.coefficients, forest.coefficients)
    assert_array_equal(display.intervals, forest.intervals)
    assert_array_equal(display.is_ratio, forest.is_ratio)
    heading = display.ax_[1].get_title(loc="left").replace("\n", " ")
    assert heading.startswith(forest.coefficient_name)
    assert f"per {forest.step} of the feature" in heading


def test_effects_of_the_gate_are_log_odds_and_those_of_the_summary(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, level=None)
    log_odds = moe.gate_coef_ - moe.gate_coef_[0]
    assert_allclose(display.gate_effects, (log_odds * X.std(axis=0)).T)
    for k, expert in enumerate(moe.summary(X, y).experts):
        assert_allclose(display.gate_effects[:, k], [value for _, value in expert.gate_effects])
    per_unit = draw(moe, X, y, level=None, standardize=False)
    assert_allclose(per_unit.gate_effects, log_odds.T)


def test_columns_without_a_slope_of_the_gate_have_no_effect(of_units):
    moe, X, y, units = of_units
    display = draw(moe, X, y, units=units, level=None)
    assert_array_equal(np.isnan(display.gate_effects), [[True, True], [False, False]])
    assert texts(display.texts_[2][0]) == [NO_NUMBER, NO_NUMBER]


def test_rows_have_the_responsibilities_of_their_unit(of_units):
    moe, X, y, units = of_units
    display = draw(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert_allclose(display.shares, table.proba.mean(axis=0))
    resp = np.array([table.proba[list(table.labels).index(label)] for label in units])
    assert_allclose(display.profile, profile_by_hand(X, resp))
    assert display.ax_[0].get_xlabel() == "%: share of the units"
    result = moe.inference(X, y, units=units)
    index = result.terms.index(("expert 1", "", "x0"))
    assert_allclose(display.intervals[0, 1], result.conf_int()[index] * X[:, 0].std())


# --- mixtures of all kinds ------------------------------------------------------------------------


def test_a_log_link_is_shown_as_ratios():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = rng.poisson(np.exp(np.where(X[:, 1] > 0, 1.0 + 0.5 * X[:, 0], 0.2 - 0.5 * X[:, 0])))
    y[::4] = 0
    moe = regressor(3, family=["zero", "poisson", "poisson"], expert_features=[0])
    display = draw(fit_quietly(moe, X, y), X, pd.Series(y, name="visits"), level=None)
    assert_array_equal(display.is_ratio, [False, True, True])
    assert_array_equal(np.isnan(display.coefficients), [[True, False, False], [True] * 3])
    assert_allclose(display.coefficients[0, 1:], moe.expert_coef_[1:, 0] * X[:, 0].std())
    shown = texts(display.texts_[1].ravel())
    for k in (1, 2):
        assert shown[k][0] == RATIO
        ratio = np.exp(display.coefficients[0, k])
        assert_allclose(float(shown[k][1:]), ratio, rtol=0.01)
    assert shown[0] == shown[5] == NO_NUMBER
    assert display.ax_[1].get_title(loc="left").startswith("Rate ratio of visits\n")


def test_several_classes_have_a_panel_each():
    X, codes = flipping_classes(90, 3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT | {"max_iter": 10}), X, y)
    display = draw(moe, X, y)
    assert len(display.ax_) == 4  # the first class is the reference
    for c, label in enumerate(moe.classes_[1:]):
        alone = draw(moe, X, y, target=label)
        assert_array_equal(display.coefficients[c], alone.coefficients)
        assert_array_equal(display.intervals[c], alone.intervals)
        panels = display.ax_[1 + c], alone.ax_[1]
        assert panels[0].get_title(loc="left") == panels[1].get_title(loc="left")
        assert texts(panels[0].texts) == texts(panels[1].texts)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_indicators_in_alphabetical_order(make):
    X, y = two_regimes(100)
    words = np.where(X[:, 0] > 0, "up", "down").tolist()
    words[5] = None
    width = np.where(np.arange(100) == 3, np.nan, X[:, 1])
    frame = make({"depth": X[:, 0], "width": width, "kind": words})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y)
    display = draw(moe, frame, y)
    assert display.feature_names == ["depth", "width", "kind_down", "kind_up"]
    assert (display.coefficients, display.is_ratio) == (None, None)
    assert len(display.ax_) == 2
    up = np.array([word == "up" for word in words], dtype=float)
    down = np.array([word == "down" for word in words], dtype=float)
    columns = np.column_stack([X[:, 0], width, down, up])
    resp = moe.responsibilities(frame, y)
    assert_allclose(display.profile, profile_by_hand(columns, resp), rtol=1e-6)
    names = moe.gate_feature_names_.tolist()
    slopes = moe.gate_coef_[:, [names.index("depth"), names.index("kind_up")]]
    expected = (slopes - slopes[0]).T * [[X[:, 0].std()], [up.std()]]
    assert_allclose(display.gate_effects[[0, 3]], expected)
    alone = draw(moe, frame, y, features=["kind"])
    assert alone.feature_names == ["kind_down", "kind_up"]


@pytest.mark.parametrize(
    ("options", "n_panels", "has_gate"),
    [({"gate": SoftmaxGate(top_k=1)}, 3, True), ({"gate": "constant"}, 2, False)],
    ids=str,
)
def test_mixtures_without_standard_errors_or_slopes_of_the_gate(
    fitted, options, n_panels, has_gate
):
    _, X, y = fitted
    moe = fit_quietly(regressor(**options), X, y)
    display = draw(moe, X, y, level=0.9 if has_gate else None)
    assert display.intervals is None
    assert_allclose(display.coefficients, (moe.expert_coef_ * X.std(axis=0)).T)
    assert (display.gate_effects is not None) == has_gate
    assert len(display.ax_) == n_panels


def test_experts_without_coefficients_need_no_target():
    X, y = flipping_classes(60, 3)
    moe = MixtureOfExpertsClassifier(2, expert="tree", cross_fit=False, **SHORT | {"max_iter": 2})
    assert draw(fit_quietly(moe, X, y), X, y).coefficients is None


def test_the_features_with_the_largest_effects_are_drawn():
    X, y = two_regimes(100, n_features=14)
    X[:, 7] = 1.0  # a constant feature has no effect
    moe = fit_quietly(regressor(max_iter=3), X, y)
    every = draw(moe, X, y, max_features=14, level=None)
    assert every.n_columns is None
    assert_allclose(every.profile[7], 0.0)
    tables = every.profile, every.coefficients, every.gate_effects
    score = np.max([np.nan_to_num(abs(t)).max(axis=1) / np.nanmax(abs(t)) for t in tables], axis=0)
    display = draw(moe, X, y, max_features=4, level=None)
    assert display.feature_names == [f"x{j}" for j in np.sort(np.argsort(-score)[:4])]
    assert "4 of 14 features" in display.ax_[0].get_xlabel()
    mask = np.isin(np.arange(14), [2, 5])
    chosen = draw(moe, X, y, features=mask, max_features=1, level=None)
    assert_array_equal(chosen.profile, every.profile[[2, 5]])
    assert len(draw(moe, X, y, level=None).feature_names) == 12


def test_an_expert_without_rows_has_no_mean():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1))
    y = np.where(X[:, 0] > 0.0, 0.0, 5.0 + rng.gamma(2.0, size=60))
    moe = fit_quietly(regressor(family=["zero", "gamma"]), X, y)
    kept = y > 0.0  # rows whose density is zero under the first expert
    display = draw(moe, X[kept], y[kept], level=None)
    assert_array_equal(np.isnan(display.profile), [[True, False]])
    assert_allclose(display.profile[0, 1], 0.0, atol=1e-9)
    constant = draw(moe, np.ones((5, 1)), np.full(5, 6.0), level=None)
    assert_array_equal(constant.profile, [[np.nan, 0.0]])


# --- cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of_units", "n_columns"), [(False, None), (True, 9)])
def test_each_table_has_a_panel_with_its_numbers(of_units, n_columns):
    display = given(
        coefficients=1e7 * VALUES,
        gate_effects=VALUES / 10.0,
        coefficient_name="Effect on y",
        step="unit",
        n_columns=n_columns,
        of_units=of_units,
        feature_note="a note",
    )
    assert [ax.get_title(loc="left") for ax in display.ax_] == [
        "Mean minus that of all rows,\nin SDs of the feature",
        "Effect on y, in 1e+06\nper unit of the feature",
        "Gate: log odds against\nthe first expert\nper unit of the feature",
    ]
    note = "%: share of the units" if of_units else "%: share of the rows"
    note += "\n3 of 9 features:\nthose with the largest effects" if n_columns else ""
    assert [ax.get_xlabel() for ax in display.ax_] == [f"{note}\na note", "", ""]
    names = display.feature_names
    assert [texts(ax.get_yticklabels()) for ax in display.ax_] == [names, [""] * 3, [""] * 3]
    shown = [[f"{value:+.2f}" for value in np.ravel(VALUES / scale)] for scale in (4.0, 10.0)]
    shown.insert(1, ["+10.0", "-20.0", "+5.00", "+2.50", "+40.0", "+30.0"])
    tables = VALUES / 4.0, 1e7 * VALUES, VALUES / 10.0
    for ax, mesh, cells, table, numbers in zip(
        display.ax_, display.meshes_, display.texts_, tables, shown, strict=True
    ):
        assert texts(ax.get_xticklabels()) == ["calm\n30 %", "wild\n70 %"]
        assert_array_equal(mesh.get_array().reshape(3, 2), table)
        assert texts(cells.ravel()) == numbers
        for k, bar in enumerate(ax.lines):
            assert bar.get_color().lower() == expert_colour(k)
        for (i, k), text in np.ndenumerate(cells):
            assert text.get_position() == (k, i)
            assert text.get_horizontalalignment() == "center"
        assert ax.get_xlim() == (-0.5, 1.5)
        assert ax.get_ylim() == (2.5, -0.5)
        assert not any(spine.get_visible() for spine in ax.spines.values())


@pytest.mark.parametrize(
    ("options", "panel", "largest"),
    [
        ({"profile": VALUES / 100.0}, 0, 0.5),  # small effects are pale
        ({"gate_effects": VALUES / 100.0}, 1, 0.25),
        ({"coefficients": VALUES, "coefficient_range": 50.0}, 1, 50.0),
        ({"coefficients": VALUES}, 1, 4.0),
        ({"coefficients": 0.0 * VALUES}, 1, 1.0),
        ({"coefficients": np.where(VALUES > 3.0, np.nan, VALUES)}, 1, 3.0),
        ({"coefficients": np.full((3, 2), np.nan)}, 1, 1.0),
        ({"coefficients": np.where(VALUES > 3.0, np.inf, VALUES)}, 1, 3.0),
    ],
)
def test_colours_are_on_a_symmetric_scale(options, panel, largest):
    display = given(**options)
    mesh = display.meshes_[panel]
    assert mesh.get_clim() == (-largest, largest)
    table = next(iter(options.values()))
    masked = np.ma.getmaskarray(mesh.get_array()).reshape(3, 2)
    assert_array_equal(masked, ~np.isfinite(table))


def test_numbers_can_be_read_on_their_cell():
    values = np.linspace(-1.0, 1.0, 42).reshape(21, 2)
    display = SegmentProfileDisplay(
        feature_names=[f"x{j}" for j in range(21)],
        expert_names=["calm", "wild"],
        shares=np.array([0.5, 0.5]),
        profile=values,
    ).plot()
    [mesh] = display.meshes_
    cells = mesh.cmap(mesh.norm(values.ravel()))[:, :3]
    luminance = cells @ [0.299, 0.587, 0.114]
    for text, cell in zip(display.texts_[0].ravel(), luminance, strict=True):
        ink = np.array(colors.to_rgb(text.get_color())) @ [0.299, 0.587, 0.114]
        assert abs(ink - cell) > 0.4
    missing = given(coefficients=np.where(VALUES > 3.0, np.nan, VALUES))
    assert missing.texts_[1][2, 0].get_color() not in ("white", "black")


def test_small_print_of_a_cell_stands_below_its_number():
    missing = ENDS.copy()
    missing[0, 1] = np.nan
    display = given(coefficients=VALUES, intervals=missing, level=0.9)
    ax, cells = display.ax_[1], display.texts_[1]
    assert "90 % intervals" in ax.get_title(loc="left")
    small = {text.get_position()[0] + 10 * round(text.get_position()[1] - 0.05): text
             for text in ax.texts if text not in list(cells.ravel())}  # fmt: skip
    assert len(small) == 5
    for (i, k), number in np.ndenumerate(cells):
        x, y = number.get_position()
        assert x == k
        if (i, k) == (0, 1):
            assert y == i
            continue
        printed = small[k + 10 * i]
        low, high = ENDS[i, k]
        found = [float(end) for end in printed.get_text().strip("[]").split(", ")]
        assert_allclose(found, [low, high])
        assert i < y < printed.get_position()[1] < i + 0.5
        assert printed.get_fontsize() < number.get_fontsize()
        assert printed.get_color() == number.get_color()
        assert (printed.get_va(), number.get_va()) == ("top", "bottom")
    plain = given(coefficients=VALUES)
    assert "interval" not in plain.ax_[1].get_title(loc="left")
    assert (display.figure_.get_size_inches() > plain.figure_.get_size_inches()).all()


# --- numbers --------------------------------------------------------------------------------------


def written(coefficients, intervals=None, **options):
    """Numbers and small print of a table of coefficients, and what they are multiples of."""
    coefficients = np.array(coefficients, dtype=float)
    n_features, n_experts = coefficients.shape
    display = SegmentProfileDisplay(
        feature_names=[f"x{j}" for j in range(n_features)],
        expert_names=[f"e{k}" for k in range(n_experts)],
        shares=np.full(n_experts, 1.0 / n_experts),
        profile=np.zeros(coefficients.shape),
        coefficients=coefficients,
        intervals=intervals,
        level=0.9,
        **options,
    ).plot()
    cells = list(display.texts_[1].ravel())
    small = [text.get_text() for text in display.ax_[1].texts if text not in cells]
    heading = display.ax_[1].get_title(loc="left").split("\n")[0]
    power = float(heading.split(", in ")[1]) if ", in " in heading else 1.0
    return texts(cells), small, power


@pytest.mark.parametrize(
    ("values", "options", "numbers", "power"),
    [
        ([[0.0]], {}, ["0"], 1.0),
        ([[126.0, 1.26]], {}, ["+126", "+1.26"], 1.0),
        ([[np.nan, 2.0]], {}, [NO_NUMBER, "+2.00"], 1.0),
        # Tables of very small or large numbers are in a power of ten.
        ([[-1e-12, 5e-13]], {}, ["-1.00", "+0.500"], 1e-12),
        ([[9.99e-3]], {}, ["+9.99"], 1e-3),
        ([[0.01]], {}, ["+0.0100"], 1.0),
        ([[0.001]], {"coefficient_range": 0.1}, ["+0.00100"], 1.0),
        ([[99900.0, np.inf]], {}, ["+99900", "inf"], 1.0),
        ([[1e5]], {}, ["+100"], 1e3),
        # Ratios are not.
        (np.log([[2.0, 0.11, 0.0999]]), {"is_ratio": np.ones(3, bool)},
         [f"{RATIO}2.00", f"{RATIO}0.110", f"{RATIO}0.0999"], 1.0),
        ([[1e4]], {"is_ratio": np.array([True])}, [f"{RATIO}inf"], 1.0),
        ([[2e6, np.log(2.0)], [-1e6, np.log(0.5)]], {"is_ratio": np.array([False, True])},
         ["+2.00", f"{RATIO}2.00", "-1.00", f"{RATIO}0.500"], 1e6),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_their_intervals_too(values, options, numbers, power):
    values = np.array(values, dtype=float)
    found, small, of_table = written(values, values[..., None] + np.array([-1.0, 1.0]), **options)
    assert (found, of_table) == (numbers, power)
    is_ratio = np.broadcast_to(options.get("is_ratio", False), values.shape)
    known = np.isfinite(values) & (values < 1e3) & (values > -1e3)
    with np.errstate(over="ignore"):
        ends = [np.where(is_ratio, np.exp(values + d), (values + d) / power) for d in (-1, 1)]
    for text, low, high, is_known in zip(
        small, *(end[~np.isnan(values)] for end in ends), known[~np.isnan(values)], strict=True
    ):
        if is_known:
            assert_allclose([float(end) for end in text.strip("[]").split(", ")], [low, high], 0.01)


# --- room for names -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_experts", [1, 3, 8, 12])
def test_numbers_stay_in_their_cells(n_experts):
    values = 1e3 * np.random.default_rng(0).normal(size=(4, n_experts))
    display = SegmentProfileDisplay(
        feature_names=["a", "b", "c", "d"],
        expert_names=[f"expert {k}" for k in range(n_experts)],
        shares=np.full(n_experts, 1.0 / n_experts),
        profile=values / 1e3,
        coefficients=values,
        intervals=values[..., None] + np.array([-100.0, 100.0]),
        level=0.9,
        gate_effects=values / 1e3,
    ).plot()
    display.figure_.draw_without_rendering()
    assert display.figure_.get_size_inches()[0] < 14.0  # letters are readable in a page
    for ax in display.ax_:
        cell = ax.transData.transform([[0, 0], [1, 1]])
        width, height = np.abs(cell[1] - cell[0])
        for text in ax.texts:  # the numbers and the small print
            box = text.get_window_extent()
            assert box.width < width
            assert box.height < height
        headings = [label.get_window_extent() for label in ax.get_xticklabels()]
        for left, right in pairwise(headings):
            assert left.x1 < right.x0
