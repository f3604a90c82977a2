"""GateDisplay: probabilities of the gate over one feature, two features, or categories."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import GateDisplay
from support.displays import (
    at_medians,
    expert_colour,
    expert_lines,
    expert_rgb,
    frame_at_references,
    texts,
)
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import two_regimes

NAMES = ["depth", "width", "height"]
LEVELS = ["south", "north", "east"]
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(150)
    frame = pd.DataFrame(X, columns=NAMES)
    return fit_quietly(regressor(3), frame, y), frame


@pytest.fixture(scope="module")
def categorical():
    X, y = two_regimes(150)
    frame = pd.DataFrame(X[:, :2], columns=NAMES[:2])
    rng = np.random.default_rng(0)
    level = rng.choice(3, 150, p=[0.2, 0.3, 0.5])
    frame["region"] = pd.Categorical.from_codes(level, LEVELS)
    frame["code"] = [f"code {i}" for i in rng.integers(15, size=150)]
    frame.loc[7, "region"] = None
    return fit_quietly(
        regressor(expert="tree", cross_fit=False, max_iter=2), frame, y + 2.0 * level
    ), frame


# --- one feature ----------------------------------------------------------------------------------


def test_lines_are_probabilities_with_the_other_features_at_medians(fitted):
    moe, frame = fitted
    display = GateDisplay.from_estimator(moe, frame, "width", grid_resolution=30)
    width = frame["width"].to_numpy()
    assert_allclose(display.values[0], np.linspace(width.min(), width.max(), 30))
    rows = pd.DataFrame(at_medians(frame.to_numpy(), 1, display.values[0]), columns=NAMES)
    assert_allclose(display.gate, moe.predict_gate(rows))
    for k, line in enumerate(display.lines_):
        assert_array_equal(
            line.get_xydata(), np.column_stack([display.values[0], display.gate[:, k]])
        )
        assert line.get_color() == expert_lines(3)[k].get_color()
    assert display.ax_.get_xlabel() == "width"
    assert display.ax_.get_xlim() == (width.min(), width.max())
    low, high = display.ax_.get_ylim()
    assert -0.1 < low < 0.0 < 1.0 < high < 1.1
    assert texts(display.legend_) == [*moe.expert_names_, "deciles of the rows"]


@pytest.mark.parametrize("features", ["width", ("depth", "height")])
def test_deciles_of_the_rows_are_marked_along_the_axes(fitted, features):
    moe, frame = fitted
    display = GateDisplay.from_estimator(moe, frame, features, grid_resolution=7)
    names = [features] if isinstance(features, str) else features
    marks = {line.get_marker(): line for line in display.ax_.lines if line.get_marker() in "|_"}
    assert len(marks) == len(names)
    for name, mark, deciles in zip(names, "|_", display.deciles, strict=False):
        assert_allclose(deciles, np.quantile(frame[name], np.arange(1, 10) / 10))
        along, across = marks[mark].get_data() if mark == "|" else marks[mark].get_data()[::-1]
        assert_array_equal(along, deciles)
        assert_allclose(across, across[0])
        assert 0.0 < across[0] < 0.05
    without = GateDisplay(feature_names=["x"], values=[np.arange(3.0)], gate=np.ones((3, 1))).plot()
    assert texts(without.legend_) == ["expert 0"]


# --- two features ---------------------------------------------------------------------------------


def test_regions_are_probabilities_over_two_features(fitted):
    moe, frame = fitted
    display = GateDisplay.from_estimator(moe, frame, ("height", "depth"), grid_resolution=9)
    across, up = display.values
    assert_allclose(across[[0, -1]], [frame["height"].min(), frame["height"].max()])
    rows = at_medians(frame.to_numpy(), 2, across)
    rows[:, 0] = up[4]
    assert_allclose(display.gate[4], moe.predict_gate(pd.DataFrame(rows, columns=NAMES)))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("height", "depth")
    assert_allclose(display.image_.get_extent(), [across[0], across[-1], up[0], up[-1]])
    assert display.image_.origin == "lower"
    shown = np.unique(display.gate.argmax(axis=2))
    assert texts(display.legend_) == [moe.expert_names_[k] for k in shown] + ["deciles of the rows"]
    patches = display.legend_.get_patches()
    found = [colors.to_hex(patch.get_facecolor()) for patch in patches]
    assert found == [expert_colour(k) for k in shown]


def regions(gate):
    """A display over two features without names of its own."""
    n_up, n_across = gate.shape[:2]
    values = [np.arange(float(n_across)), np.arange(float(n_up))]
    return GateDisplay(feature_names=["a", "b"], values=values, gate=gate).plot()


def test_regions_are_paler_where_the_gate_is_less_certain():
    probability = np.array([1.0, 0.6, 0.4, 1.0 / 3.0])
    gate = np.empty((2, 4, 3))
    gate[..., 1] = probability
    gate[..., 0] = gate[..., 2] = (1.0 - probability) / 2.0
    ink = 1.0 - np.asarray(regions(gate).image_.get_array())[0]
    own = 1.0 - expert_rgb(1)
    strength = ink.sum(axis=1) / own.sum()
    assert_allclose(ink[:3], strength[:3, None] * own)
    assert (np.diff(strength) < 0.0).all()
    slopes = np.diff(strength)[:2] / np.diff(probability)[:2]
    assert_allclose(slopes[0], slopes[1])  # linear in the largest probability
    assert 0.0 < strength[-1] < 0.25 * strength[0]
    alone = 1.0 - np.asarray(regions(np.ones((2, 2, 1))).image_.get_array())
    assert_allclose(alone[0, 0], strength[0] * (1.0 - expert_rgb(0)))  # as if it were certain


@pytest.mark.parametrize("seed", range(2))
def test_regions_are_named_at_the_point_farthest_from_their_edges(seed):
    blocks = np.random.default_rng(seed).dirichlet(np.ones(3), size=(3, 4))
    gate = np.repeat(np.repeat(blocks, 4, axis=0), 3, axis=1)
    best = gate.argmax(axis=2)
    n_up, n_across = best.shape
    display = regions(gate)
    shown = np.unique(best)
    assert texts(display.labels_) == [str(k) for k in shown]
    every = np.argwhere(np.ones((n_up + 2, n_across + 2), dtype=bool)) - 1
    padded = np.pad(best, 1, constant_values=-1)
    for k, label in zip(shown, display.labels_, strict=True):
        outside = every[(padded != k).ravel()]
        inside = np.argwhere(best == k)
        apart = np.square(inside[:, None] - outside[None]).sum(axis=2).min(axis=1)
        x, y = label.get_position()
        assert best[int(y), int(x)] == k
        assert apart[(inside == (y, x)).all(axis=1)][0] == apart.max()


def test_borders_of_regions_are_where_two_experts_are_equally_probable(fitted):
    moe, frame = fitted
    display = GateDisplay.from_estimator(moe, frame, ("depth", "width"), grid_resolution=60)
    paths = [path for lines in display.ax_.collections for path in lines.get_paths()]
    points = np.concatenate([path.vertices for path in paths])
    rows = at_medians(frame.to_numpy(), 0, points[:, 0])
    rows[:, 1] = points[:, 1]
    gate = np.sort(moe.predict_gate(pd.DataFrame(rows, columns=NAMES)), axis=1)
    assert len(points) > 10
    assert_allclose(gate[:, -1], gate[:, -2], atol=0.03)  # interpolated between points of a grid
    certain = regions(np.tile([0.9, 0.1], (3, 4, 1)))
    assert len(certain.ax_.collections) == 0
    assert texts(certain.labels_) == ["0"]


# --- features, panels and the default -------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_features_are_chosen_by_index_name_or_mask(make):
    X, y = two_regimes(60)
    moe = fit_quietly(regressor(max_iter=3), make(dict(zip(NAMES, X.T, strict=True))), y)
    frame = make(dict(zip(NAMES, X.T, strict=True)))
    mask = np.array([False, True, False])
    found = [GateDisplay.from_estimator(moe, frame, j) for j in ("width", 1, -2, mask, ["width"])]
    for display in found:
        assert_array_equal(display.gate, found[0].gate)
        assert display.feature_names == ["width"]
        assert display.panels is None
    named = GateDisplay.from_estimator(moe, frame, "b", feature_names=["a", "b", "c"])
    assert_array_equal(named.gate, found[0].gate)
    assert named.ax_.get_xlabel() == "b"
    message = refusal(
        GateDisplay.from_estimator, moe, frame, "width", feature_names=["a", "b", "c"]
    )
    assert_refused(message, "features", "width")


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ((0, 1, 2), ["one feature or two", "got (0, 1, 2)", "two at a time"]),
        ([0, (0, 1, 2)], ["one feature or two"]),
        ([], ["must not be empty", "strongest"]),
        ([True, False], []),
        *[(np.arange(150).astype(kind) % 3, []) for kind in (int, float, bool)],  # a target
    ],
)
def test_at_most_two_features_are_drawn(fitted, features, words):
    moe, frame = fitted
    message = refusal(GateDisplay.from_estimator, moe, frame, features)
    assert_refused(message, "features", *words)
    assert len(message) < 300


def test_a_list_makes_a_panel_of_each_entry(fitted):
    moe, frame = fitted
    features = ["width", ("depth", "height"), 0, 2]
    display = GateDisplay.from_estimator(moe, frame, features, grid_resolution=9)
    for panel, one in zip(display.panels, features, strict=True):
        alone = GateDisplay.from_estimator(moe, frame, one, grid_resolution=9)
        assert_array_equal(panel.gate, alone.gate)
        assert alone.panels is None
    assert_array_equal(display.gate, display.panels[0].gate)
    assert [ax.get_xlabel() for ax in display.ax_] == ["width", "depth", "depth", "height"]
    specs = [ax.get_subplotspec() for ax in display.ax_]  # rows of about the same length
    cells = [(spec.rowspan.start, spec.colspan.start) for spec in specs]
    assert cells == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_panels_in_a_row_share_the_name_of_their_axis_and_their_legend(fitted):
    moe, frame = fitted
    features = [0, 1, (0, 1), 1, 0, 2, (0, 1)]
    display = GateDisplay.from_estimator(moe, frame, features, grid_resolution=4)
    is_line = [np.ndim(one) == 0 for one in features]
    for i, ax in enumerate(display.ax_):
        repeats = i % 3 > 0 and is_line[i] and is_line[i - 1]
        assert (ax.get_ylabel() == "") == repeats
    # A pair ends the first row, so that there is no place for a legend of all lines.
    assert [ax.get_legend() is not None for ax in display.ax_] == [True] * 7
    display = GateDisplay.from_estimator(moe, frame, [(0, 1), 1, 0, 2], grid_resolution=4)
    first_row = [ax for ax in display.ax_ if ax.get_subplotspec().is_first_row()]
    assert [ax for ax in display.ax_[1:] if ax.get_legend()] == [first_row[-1]]


def test_regions_have_no_numbers_where_names_are_those_of_other_experts():
    swapped = np.tile([0.9, 0.1], (3, 4, 1))
    given = {"feature_names": ["a", "b"], "values": [np.arange(4.0), np.arange(3.0)]}
    display = GateDisplay(**given, gate=swapped, expert_names=["expert 1", "expert 0"]).plot()
    assert texts(display.labels_) == ["expert 1"]


def test_the_default_is_the_feature_on_which_the_gate_depends_most(fitted):
    moe, frame = fitted
    effect = np.ptp(moe.gate_coef_, axis=0) * frame.to_numpy().std(axis=0)
    strongest = NAMES[int(np.argmax(effect))]
    assert GateDisplay.from_estimator(moe, frame).feature_names == [strongest] == ["depth"]
    # A smaller slope for a feature of larger deviation can be the stronger one.
    wide = frame * [1.0, 1.0, 1e3]
    other = fit_quietly(regressor(3), wide, two_regimes(150)[1])
    effect = np.ptp(other.gate_coef_, axis=0) * wide.to_numpy().std(axis=0)
    assert GateDisplay.from_estimator(other, wide).feature_names == [NAMES[int(effect.argmax())]]


def changes_over(frame, function):
    """Largest change of any value over each feature, with the others at their references."""
    changes = []
    for name in frame.columns:
        if frame[name].dtype.kind == "f":
            values = np.quantile(frame[name], np.linspace(0.05, 0.95, 7))
        else:
            values = frame[name].value_counts().index[:12]
        rows = frame_at_references(frame, name, values)
        changes.append(np.ptp(function(rows), axis=0).max())
    return np.array(changes)


def test_gates_of_derived_columns_are_probed(categorical):
    moe, frame = categorical
    changes = changes_over(frame, moe.predict_gate)
    [found] = GateDisplay.from_estimator(moe, frame).feature_names
    assert found.split(" (")[0] == frame.columns[changes.argmax()]


def test_the_default_of_a_constant_gate_is_that_of_the_experts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3)) * [1.0, 1.0, 100.0]
    X[:, 0] = 1.0  # it does not vary
    y = np.where(rng.uniform(size=150) < 0.5, 1.0, -1.0) * X[:, 1] + 0.1 * rng.normal(size=150)
    moe = fit_quietly(regressor(gate="constant"), X, y)
    assert GateDisplay.from_estimator(moe, X).feature_names == ["x1"]


# --- references: medians, zeros and categories ----------------------------------------------------


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_sparse_rows_are_held_at_their_medians_with_zeros(share):
    X, y = two_regimes(60)
    X[:, 1] = np.where(np.arange(60) < 60 * share, 0.0, np.arange(60) + 1.0)
    X[:, 2] = np.where(np.arange(60) % 7, X[:, 2] + 3.0, 0.0)
    moe = fit_quietly(regressor(max_iter=3), sparse.csr_array(X), y)
    display = GateDisplay.from_estimator(moe, sparse.csr_array(X), 0)
    expected = moe.predict_gate(at_medians(X, 0, display.values[0]))
    assert_allclose(display.gate, expected, atol=1e-9)


@pytest.mark.parametrize("feature", ["width", "region"])
def test_other_columns_of_frames_are_held_at_medians_and_most_frequent_categories(
    categorical, feature
):
    moe, frame = categorical
    display = GateDisplay.from_estimator(moe, frame, feature)
    values = LEVELS if feature == "region" else display.values[0]
    assert_allclose(display.gate, moe.predict_gate(frame_at_references(frame, feature, values)))


def test_missing_values_are_no_part_of_medians():
    X, y = two_regimes(60)
    frame = pd.DataFrame(X, columns=NAMES)
    frame.loc[:4, "width"] = np.nan
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y)
    display = GateDisplay.from_estimator(moe, frame, "depth")
    rows = frame_at_references(frame, "depth", display.values[0])
    assert_allclose(display.gate, moe.predict_gate(rows))
    over = GateDisplay.from_estimator(moe, frame, "width")
    assert_allclose(over.deciles[0], np.nanquantile(frame["width"], np.arange(1, 10) / 10))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_marks_with_their_shares_of_the_known_rows(make):
    X, y = two_regimes(80)
    words = np.random.default_rng(1).choice(["b", "a", "c"], 80, p=[0.5, 0.3, 0.2]).tolist()
    table = make({"x": X[:, 0].tolist(), "word": [*words[:-1], None]})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), table, y)
    display = GateDisplay.from_estimator(moe, table, "word")
    shares = {word: words[:-1].count(word) / 79 for word in "abc"}
    expected = [f"{word}\n{100 * share:.0f} %" for word, share in shares.items()]
    assert texts(display.ax_.get_xticklabels()) == display.categories == expected
    assert_array_equal(display.values[0], [0.0, 1.0, 2.0])
    for k, line in enumerate(display.lines_):
        assert_array_equal(line.get_ydata(), display.gate[:, k])
        assert line.get_linestyle() == "None"
        assert line.get_marker() == expert_lines(2)[k].get_marker()
    assert display.deciles is None
    assert "deciles of the rows" not in texts(display.legend_)
    assert_allclose(display.ax_.get_xlim(), (-0.6, 2.6))


def test_the_most_frequent_of_many_categories_are_drawn(categorical):
    moe, frame = categorical
    display = GateDisplay.from_estimator(moe, frame, "code")
    # Many names are turned, and have no shares.
    shown = texts(display.ax_.get_xticklabels())
    assert [label.get_rotation() for label in display.ax_.get_xticklabels()] == [40.0] * 12
    most = frame["code"].value_counts()
    assert len(shown) == 12
    assert most[shown].min() >= most.drop(shown).max()
    assert display.ax_.get_xlabel() == "code (12 of 15 categories)"


def test_long_names_of_categories_are_shortened():
    names = ["a category with a very long name", "b"]
    given = {"feature_names": ["word"], "values": [np.arange(2.0)], "gate": np.full((2, 2), 0.5)}
    labels = [f"{name}\n50 %" for name in names]
    display = GateDisplay(**given, categories=labels, feature_note="a note").plot()
    first, second = texts(display.ax_.get_xticklabels())
    begin, end = first.split("...")
    assert len(first) <= 16
    assert (names[0].startswith(begin), names[0].endswith(end), second) == (True, True, "b")
    assert display.ax_.get_xlabel() == "word\n(a note)"


@pytest.mark.parametrize(
    ("features", "rows", "words"),
    [
        ("region", "north", ["must vary", "'region'", "more rows"]),
        ("depth", "same", ["must vary", "'depth'", "more rows"]),
        (("width", "region"), "all", ["numbers", "'region'", "another feature"]),
    ],
)
def test_features_must_vary_and_pairs_must_be_numbers(categorical, features, rows, words):
    moe, frame = categorical
    chosen = {"north": frame[frame["region"] == "north"], "same": frame.iloc[[3] * 5], "all": frame}
    message = refusal(GateDisplay.from_estimator, moe, chosen[rows], features)
    assert_refused(message, "Features must", *words)


# --- names and legends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("north_of_the_river_and_south", "north_of_the_\nriver_and_south"),
        ("_hidden", " _hidden"),
        ("costs $5", r"costs \$5"),
    ],
)
def test_names_are_wrapped_at_words_and_underscores(name, label):
    gate = np.ones((2, 1))
    given = {"feature_names": ["x"], "values": [np.arange(2.0)], "gate": gate}
    display = GateDisplay(**given, expert_names=[name]).plot()
    assert texts(display.legend_) == [label]
    many = GateDisplay(**given, expert_names=["one name of very many words " * 4]).plot()
    [long] = texts(many.legend_)
    assert long.count("\n") == 2
    assert long.endswith("...")
    assert max(map(len, long.split("\n"))) <= 20


@pytest.mark.parametrize("n_experts", [16, 17, 33])
def test_legends_have_as_few_columns_as_fit(n_experts):
    lines = expert_lines(n_experts)
    legend = lines[0].axes.get_legend()
    legend.figure.set_layout_engine("none")
    legend.figure.draw_without_rendering()
    # Labels of a column begin at the same place.
    columns = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(columns) == -(-n_experts // 16)
    assert texts(legend) == [f"expert {k}" for k in range(n_experts)]


@pytest.mark.parametrize("n_experts", [1, 2])
def test_the_gate_of_one_expert_has_a_note(n_experts):
    gate = np.full((5, n_experts), 1.0 / n_experts)
    display = GateDisplay(feature_names=["x"], values=[np.arange(5.0)], gate=gate).plot()
    assert any("one expert" in text for text in texts(display.ax_.texts)) == (n_experts == 1)
