"""PredictionDisplay: the distribution of one row, and contributions of its features."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import PredictionDisplay
from support.displays import CASES, NAMES, expert_colour, texts
from support.expert_kinds import OF_VALUES, example, options_of
from support.expert_kinds import draw as draw_target
from support.fits import fit_quietly
from support.tables import two_regimes

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def draw(moe, X, y=None, **options):
    return PredictionDisplay.from_estimator(moe, X, y, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(100)
    return fit_quietly(regressor(), X, y), X, y


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    y = rng.poisson(np.exp(np.where(X[:, 0] > 0, 1.5 + 0.5 * X[:, 1], -0.5)))
    offset = np.linspace(-1.0, 1.0, 100)
    moe = regressor(family="poisson", alpha=0.1, gate_alpha=1.0)
    return fit_quietly(moe, X, y, offset=offset), X, y, offset


def change_of(display):
    return display.gate_contributions.sum() + display.expert_contributions.sum()


# --- contributions --------------------------------------------------------------------------------


def path_integrals(moe, X, row):
    """Integrated gradients of gate and experts, by the derivatives of `explain`."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    start, end = X.mean(axis=0), X[row]
    effects = moe.explain(start + (nodes[:, None] + 1.0) / 2.0 * (end - start))
    return [(end - start) * (weights / 2.0 @ effects[name]) for name in ("gate_effect", "slope")]


@pytest.mark.filterwarnings("ignore:.* got no offset")
@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_contributions_are_integrals_on_the_path_from_the_mean_row(fitted, counts, family):
    moe, X = fitted[:2] if family == "normal" else counts[:2]
    display = draw(moe, X, row=17)
    gate, slope = path_integrals(moe, X, 17)
    size = np.abs(gate).max() + np.abs(slope).max()
    assert_allclose(display.gate_contributions, gate, atol=2e-3 * size)
    assert_allclose(display.expert_contributions, slope, atol=2e-3 * size)


@pytest.mark.parametrize(
    ("case", "n_steps"),
    [("one_feature", 1), ("classes", 3), ("outputs", 2)],
)
def test_contributions_add_up_to_the_prediction(case, n_steps):
    moe, X, y, options = CASES[case]()
    options = {name: options[name] for name in options if name == "target"}
    display = draw(moe, X, y, row=5, n_steps=n_steps, **options)
    mean, row = X.mean(axis=0)[None], X[[5]]
    pick = {
        "classes": lambda rows: moe.predict_proba(rows)[0, list(moe.classes_).index("green")],
        "outputs": lambda rows: moe.predict(rows)[0, 1],
    }.get(case, lambda rows: moe.predict(rows)[0])
    assert_allclose(display.base_value, pick(mean))
    assert_allclose(display.prediction, pick(row))
    assert_allclose(display.base_value + change_of(display), display.prediction)


@pytest.mark.parametrize(
    "options", [{"gate": SoftmaxGate(top_k=1)}, {"gate": SoftmaxGate(top_k=2)}], ids=str
)
def test_contributions_add_up_with_routed_experts(options):
    X, y = two_regimes(100)
    moe = fit_quietly(regressor(3, **{"n_init": 2, "max_iter": 4} | options), X, y)
    display = draw(moe, X, row=6)
    assert_allclose(display.prediction, moe.predict(X[[6]])[0])
    assert_allclose(display.base_value + change_of(display), display.prediction)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_rows_with_missing_values_and_categories_start_at_the_known_mean(make):
    X, y = two_regimes(60)
    width = np.where(np.arange(60) < 5, np.nan, X[:, 1])
    words = np.repeat(["a", "b", "c"], [15, 30, 15]).tolist()
    frame = make({"width": width, "word": words})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=1), frame, y)
    mean = make({"width": [np.nanmean(width)], "word": ["b"]})  # the most frequent category
    for row in (3, 7):
        display = draw(moe, frame, row=row, n_steps=2)
        assert_allclose(display.base_value, moe.predict(mean)[0])
        assert_allclose(display.base_value + change_of(display), display.prediction)
    assert display.feature_labels == [f"width = {width[7]:.3g}", "word = a"]


def test_features_that_a_part_does_not_use_contribute_nothing_through_it():
    X, y = two_regimes(100)
    moe = fit_quietly(regressor(gate_features=[0], expert_features=[1, 2]), X, y)
    display = draw(moe, X, row=7)
    assert_array_equal(display.gate_contributions != 0.0, [True, False, False])
    assert_array_equal(display.expert_contributions != 0.0, [False, True, True])


def test_the_offset_is_that_of_the_row(counts):
    moe, X, y, offset = counts
    display = draw(moe, X, y, row=99, offset=offset, coverage=0.8, n_steps=2)
    own = offset[[99]]
    assert_allclose(display.prediction, moe.predict(X[[99]], offset=own)[0])
    assert_allclose(display.base_value, moe.predict(X.mean(axis=0)[None], offset=own)[0])
    assert_allclose(display.base_value + change_of(display), display.prediction)
    assert_array_equal(display.interval, moe.predict_interval(X[[99]], 0.8, offset=own)[0])
    mean = display.values @ display.probability.sum(axis=1)
    assert_allclose(mean, display.prediction, rtol=0.02)


# --- waterfall ------------------------------------------------------------------------------------


def given(**options):
    """A display of a row with two experts."""
    gate = np.array([0.75, 0.25])
    grid = np.linspace(0.0, 4.0, 20)
    arrays = {
        "gate": gate,
        "values": np.empty(0),
        "probability": np.empty((0, 2)),
        "grid": grid,
        "density": np.column_stack([grid, 4.0 - grid]) / 8.0 * gate,
        "prediction": 2.0,
        "expert_names": ["calm", "wild"],
        "target_name": "weight",
    }
    return PredictionDisplay(**arrays | options)


def waterfall(base_value, gate, experts, prediction=None, max_features=9):
    """A display of given contributions, which add up if there is no prediction."""
    gate, experts = np.array(gate, dtype=float), np.array(experts, dtype=float)
    total = base_value + gate.sum() + experts.sum()
    return given(
        base_value=base_value,
        gate_contributions=gate,
        expert_contributions=experts,
        prediction=total if prediction is None else prediction,
        feature_labels=list("abcdefgh")[: len(gate)],
    ).plot(max_features=max_features)


def bar_labels(display):
    return texts(display.ax_[1].get_yticklabels())[1:-1]


def widths(display):
    """Contributions through experts and gate that are drawn."""
    return np.array([[upper.get_width(), lower.get_width()] for upper, lower in display.bars_])


GATE, THROUGH_EXPERTS = [0.1, 0.0, -2.0, 0.3, 0.0], [0.2, 0.0, 1.0, -0.5, 0.05]


@pytest.mark.parametrize(
    ("gate", "most", "labels"),
    [
        (GATE, 4, ["c", "d", "a", "e"]),  # b does nothing
        (GATE, 3, ["c", "d", "2 other features"]),
        (GATE, 1, ["4 other features"]),
        # Small contributions share a bar, if it is not that of one.
        ([1.0, 0.02, 0.5, 0.003, 0.0], 8, ["a", "c", "b", "d"]),
        ([1.0, 0.002, 0.5, -0.003, 0.0], 8, ["a", "c", "2 other features"]),
    ],
)
def test_bars_are_the_largest_contributions_and_the_sum_of_the_others(gate, most, labels):
    experts = THROUGH_EXPERTS if gate is GATE else [0.0] * 5
    display = waterfall(1.0, gate, experts, max_features=most)
    assert bar_labels(display) == labels
    assert_allclose(widths(display).sum(), np.sum(gate) + np.sum(experts))
    if most == 3:
        assert_allclose(widths(display), [[1.0, -2.0], [-0.5, 0.3], [0.25, 0.1]])


@pytest.mark.parametrize(
    ("base_value", "shift", "has_remainder"),
    [(1.0, 1e-10, False), (1.0, -1e-7, True), (1e6, 1e-5, False)],  # or round-off
)
def test_what_does_not_add_up_is_a_remainder(base_value, shift, has_remainder):
    total = base_value + np.sum(GATE) + np.sum(THROUGH_EXPERTS)
    display = waterfall(base_value, GATE, THROUGH_EXPERTS, total + shift)
    assert (bar_labels(display)[-1] == "remainder") == has_remainder
    if has_remainder:
        assert_allclose(widths(display)[-1], [shift, 0.0], rtol=1e-4)


def test_bars_follow_each_other_from_the_base_value_to_the_prediction():
    display = waterfall(1.0, [0.5, -2.0], [-0.25, 1.0])
    ax, position, inks = display.ax_[1], 1.0, set()
    parts = {"b": (1.0, -2.0), "a": (-0.25, 0.5)}
    assert bar_labels(display) == list(parts)
    for i, (bars, name) in enumerate(zip(display.bars_, parts, strict=True), start=1):
        for bar, change, side in zip(bars, parts[name], (-1, 1), strict=True):
            assert_allclose([bar.get_x(), bar.get_width()], [position, change])
            assert_allclose(bar.get_y() + bar.get_height() / 2, i + side * 0.18)
            is_white = colors.to_hex(bar.get_facecolor()) == "#ffffff"
            assert is_white == bool(bar.get_hatch()) == (side == 1)  # through the gate
            inks.add((change > 0.0, colors.to_hex(bar.get_edgecolor())))
            position += change
    assert len(inks) == 2  # of increases and of decreases
    assert_allclose(position, display.prediction)
    assert texts(ax.texts) == ["-1", "+0.25"]
    assert_allclose([text.xy for text in ax.texts], [[2.0, 1], [0.25, 2]])
    assert texts(ax.get_yticklabels()) == ["mean row: 1", "b", "a", "this row: 0.25"]
    low, high = ax.get_xlim()
    assert -0.5 < low < -0.25
    assert 2.2 < high < 2.6  # there is room for the numbers
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert_allclose([line.get_xydata()[0] for line in diamonds], [[1.0, 0], [0.25, 3]])
    assert texts(ax.get_legend()) == ["through the experts", "through the gate"]
    assert ax.get_xlabel() == "weight"
    flat = waterfall(1.0, [0.0, 0.0], [0.0, 0.0])
    assert flat.ax_[1].get_xlim()[0] < 1.0 < flat.ax_[1].get_xlim()[1]
    assert flat.bars_ == []
    assert texts(flat.ax_[1].get_legend()) == ["through the experts"]


def test_numbers_of_waterfalls_are_short():
    shown = {0.5: "0.5", 99.96: "100", 1e3: "1000", 999999.0: "999999", 1e6: "1e+06", 1e-7: "1e-07"}
    for number, text in shown.items():
        labels = texts(waterfall(number, [0.0], [0.0], number).ax_[1].get_yticklabels())
        assert [labels[0], labels[-1]] == [f"mean row: {text}", f"this row: {text}"]


def test_a_waterfall_needs_all_of_its_numbers():
    parts = {"base_value": 1.0, "gate_contributions": np.array([0.5, 0.0])}
    parts["expert_contributions"] = np.array([0.25, 0.25])
    display = given(**parts).plot(note="a note")
    assert [ax.get_xlabel() for ax in display.ax_] == ["weight", "weight\n(a note)"]
    assert bar_labels(display) == ["x0", "x1"]
    for missing in parts:
        display = given(**parts | {missing: None}).plot()
        assert (len(display.ax_), display.bars_) == (1, [])


def test_bars_of_a_fit_have_the_values_of_their_features(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, row=11)
    order = np.argsort(-np.abs(display.gate_contributions) - np.abs(display.expert_contributions))
    assert bar_labels(display) == [f"x{j} = {X[11, j]:.3g}" for j in order]
    parts = np.column_stack([display.expert_contributions, display.gate_contributions])
    assert_allclose(widths(display), parts[order])
    rounded = draw(moe, X, y, row=11, feature_names=["a" * 60, "b", "c"]).feature_labels[0]
    assert len(rounded) <= 34
    assert rounded.endswith(f" = {X[11, 0]:.3g}")
    alone = draw(moe, X, explain=False, coverage=None)
    names = ("base_value", "gate_contributions", "expert_contributions", "feature_labels")
    assert [getattr(alone, name) for name in (*names, "interval", "observed")] == [None] * 6
    assert len(alone.ax_) == 1


# --- distributions --------------------------------------------------------------------------------


def fitted_family(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    if isinstance(family, list):
        y = np.where(X[:, 1] > 0.5, 0.0, np.exp(0.5 * X[:, 0] + 0.3 * rng.normal(size=60)))
        return fit_quietly(regressor(family=family), X, y), X, y
    if example(family).link:
        y = draw_target(family, 0.4 * X[:, 0], rng)
    else:
        y = {"zero": np.zeros(60), "one": np.ones(60)}.get(family, rng.uniform(size=60))
    return fit_quietly(regressor(1, **options_of(family), max_iter=5), X, y), X, y


# Families whose densities have edges, between points of the grid.
EDGES = ["uniform"]


@pytest.mark.parametrize("family", [*OF_VALUES, ["zero", "gamma"]], ids=str)
def test_densities_of_experts_add_up_to_their_probabilities(family):
    moe, X, y = fitted_family(family)
    row = int(np.abs(moe.predict_gate(X)[:, 0] - 0.5).argmin())
    display = draw(moe, X, y, row=row, explain=False, coverage=None)
    gate = moe.predict_gate(X[[row]])[0]
    assert_allclose(display.gate, gate)
    grid, values = display.grid, display.values
    total = integrate.trapezoid(display.density, grid, axis=0) + display.probability.sum(axis=0)
    assert_allclose(total, gate, atol=0.02)
    is_discrete = np.array_equal(y, np.round(y))
    assert (len(grid) == 0) == is_discrete
    assert (len(values) > 0) == (is_discrete or family == "tweedie" or isinstance(family, list))
    for points in (grid, values):
        assert (np.diff(points) > 0.0).all()
    assert not np.isin(values, grid).any()
    dist = moe.predict_dist(X[[row]])
    if family not in EDGES:
        assert_allclose(display.density.sum(axis=1), dist.pdf(grid[None])[0], 1e-8, 1e-12)
    if is_discrete and dist.is_count:
        steps = dist.pmf(values[None])[0]
        assert_allclose(display.probability.sum(axis=1), steps, 1e-6, 1e-9)


def test_humps_are_densities_of_experts_times_their_probabilities(fitted):
    moe, X, y = fitted
    row = int(np.argmin(np.abs(moe.predict_gate(X)[:, 0] - 0.5)))
    display = draw(moe, X, y, row=row, coverage=0.8)
    means, std = moe.predict_experts(X[[row]])[0], np.sqrt(moe.noise_variance_)
    for k in range(2):
        z = (display.grid - means[k]) / std[k]
        expected = display.gate[k] * np.exp(-(z**2) / 2) / std[k] / np.sqrt(2 * np.pi)
        assert_allclose(display.density[:, k], expected, atol=1e-12)
        points = np.column_stack([display.grid, expected])
        assert_allclose(display.experts_[k].get_xydata(), points, atol=1e-12)
    low, high = np.ravel(moe.predict_dist(X[[row]]).ppf(np.array([0.001, 0.999])))
    assert_allclose(display.grid[[0, -1]], [low, high])
    assert_allclose(display.interval, moe.predict_interval(X[[row]], 0.8)[0])
    expected = [f"expert {k}: {100 * display.gate[k]:.0f} %" for k in (0, 1)]
    expected += ["80 % interval", "mixture"]
    expected += [f"prediction: {display.prediction:.3g}", f"observed: {y[row]:.3g}"]
    assert texts(display.ax_[0].get_legend()) == expected
    [whole] = [line for line in display.ax_[0].lines if line.get_label() == "mixture"]
    assert_allclose(whole.get_ydata(), display.density.sum(axis=1))
    low, high = display.ax_[0].get_ylim()
    assert low == 0.0
    assert high > whole.get_ydata().max()
    assert display.ax_[0].get_ylabel() == "Density"


def test_narrow_humps_are_drawn_in_full():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 1))
    wide = rng.uniform(size=300) < 0.5
    y = np.where(wide, 100.0 * rng.normal(size=300), 0.01 * rng.normal(size=300))
    moe = fit_quietly(regressor(gate="constant", init="kmeans", max_iter=50), X, y)
    display = draw(moe, X, explain=False)
    area = integrate.trapezoid(display.density, display.grid, axis=0)
    assert_allclose(area, display.gate, atol=0.02)


def test_values_with_a_probability_stand_beside_a_density():
    gate, grid = np.array([0.6, 0.399, 0.001]), np.linspace(1.0, 5.0, 30)
    display = given(
        gate=gate,
        expert_names=["a", "b", "c"],
        grid=grid,
        density=np.full((30, 3), 0.1) * gate,
        values=np.array([0.0, 2.0]),
        observed=3.5,
        probability=np.array([[0.5, 0.2, 0.0], [0.1, 0.1, 0.0]]),
    ).plot()
    ax = display.ax_[0]
    assert [artist is None for artist in display.experts_] == [False, False, True]
    assert texts(ax.texts) == ["70 % at 0", "20 % at 2"]
    assert_allclose([text.xy[0] for text in ax.texts], [0.0, 2.0])
    highest = max(line.get_ydata().max() for line in ax.lines if len(line.get_ydata()) == 30)
    assert all(highest / ax.get_ylim()[1] - 1e-9 < text.xy[1] < 0.95 for text in ax.texts)
    bars = [bar for container in ax.containers for bar in container]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert_allclose(centres, [0.0, 2.0, 0.0, 2.0], atol=1e-12)
    assert_allclose([bar.get_height() for bar in bars], [0.5, 0.1, 0.2, 0.1])
    assert_allclose([bar.get_y() for bar in bars], [0.0, 0.0, 0.5, 0.1])
    assert ax.get_xlim()[0] < min(bar.get_x() for bar in bars)
    marks = {line.get_label(): line for line in ax.lines if ":" in line.get_label()}
    assert set(marks) == {"prediction: 2", "observed: 3.5"}
    assert len({line.get_linestyle() for line in marks.values()}) == 2
    assert_array_equal(marks["observed: 3.5"].get_xdata(), [3.5, 3.5])
    own = {expert_colour(k) for k in range(12)}
    for line in ax.lines:  # what belongs to no expert is grey or black
        assert (colors.to_hex(line.get_color()) in own) == (line in display.experts_)


@pytest.mark.parametrize(("n_values", "interval"), [(1, None), (5, [2.0, 6.0]), (61, [2.0, 6.0])])
def test_intervals_hold_their_bars(n_values, interval):
    values = 2.0 * np.arange(n_values) + (np.arange(n_values) > 2)  # one distance is larger
    probability = np.random.default_rng(0).dirichlet(np.ones(2 * n_values)).reshape(-1, 2)
    display = given(
        values=values,
        probability=probability,
        grid=np.empty(0),
        density=np.empty((0, 2)),
        interval=None if interval is None else np.array(interval),
        coverage=0.8,
    ).plot()
    ax, step = display.ax_[0], 2.0 if n_values > 1 else 1.0
    assert ("80 % interval" in texts(ax.get_legend())) == (interval is not None)
    if n_values <= 60:
        assert_allclose([bar.get_width() for bar in display.experts_[0]], 0.8 * step)
        tops = [bar.get_y() + bar.get_height() for bar in display.experts_[1]]
        assert_allclose(tops, probability.sum(axis=1))
    else:  # many are a line
        points = np.column_stack([values, probability[:, 0]])
        assert_allclose(display.experts_[0].get_xydata(), points)
        assert "mixture" in texts(ax.get_legend())
    if interval is not None:
        [span] = [patch for patch in ax.patches if patch.get_label() == "80 % interval"]
        # It is a polygon or a rectangle, depending on the version of matplotlib.
        box = span.get_path().get_extents(span.get_patch_transform())
        assert_allclose([box.x0, box.x1], [2.0 - step / 2.0, 6.0 + step / 2.0])


# --- classes, outputs and legends -----------------------------------------------------------------


def test_classes_are_stacked_by_experts_the_most_probable_on_top():
    moe, X, y, _ = CASES["classes"]()
    display = draw(moe, X, y, row=5)
    proba = moe.predict_proba(X[[5]])[0]
    expected = moe.predict_gate(X[[5]])[0] * moe.predict_experts(X[[5]])[0].T
    assert_allclose(display.probability, expected)
    assert_allclose(display.prediction, proba.max())  # of the most probable class
    order = np.argsort(-proba)
    labels = texts(display.ax_[0].get_yticklabels())
    assert [label.split("\n")[0] for label in labels] == list(moe.classes_[order])
    assert [label for label in labels if "observed" in label] == [f"{y[5]}\n(observed)"]
    assert display.target_name == f"Probability of class {moe.classes_[order[0]]}"
    unknown = draw(moe, X, np.where(np.arange(len(y)) == 5, "black", y), row=5)
    assert unknown.observed is None


@pytest.mark.parametrize(("n_classes", "observed"), [(12, None), (13, 1)])
def test_bars_of_classes_add_up_to_their_probabilities(n_classes, observed):
    probability = np.random.default_rng(3).dirichlet(np.ones(3 * n_classes)).reshape(-1, 3)
    total = probability.sum(axis=1)
    names = [f"class {c}" for c in range(n_classes)]
    display = given(
        gate=probability.sum(axis=0),
        probability=probability,
        classes=names,
        observed=observed,
        expert_names=NAMES,
    ).plot()
    ax, order = display.ax_[0], np.argsort(-total)[:12].tolist()
    expected = [names[c] + "\n(observed)" * (c == observed) for c in order]
    assert texts(ax.get_yticklabels()) == expected
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    ends = np.zeros(len(order))
    for k, bars in enumerate(display.experts_):
        assert_allclose([bar.get_x() for bar in bars], ends, atol=1e-12)
        ends += [bar.get_width() for bar in bars]
        assert {colors.to_hex(bar.get_facecolor()) for bar in bars} == {expert_colour(k)}
        centres = [bar.get_y() + 0.5 * bar.get_height() for bar in bars]
        assert_allclose(centres, np.arange(len(order)))
    assert_allclose(ends, total[order])
    numbers = [float(text.strip("<> %")) / 100.0 for text in texts(ax.texts)]
    assert_allclose(numbers, total[order], atol=0.01)


@pytest.mark.parametrize("n_experts", [6, 9])
def test_legends_name_the_most_probable_experts(n_experts):
    gate = np.random.default_rng(n_experts).dirichlet(np.full(n_experts, 5.0))
    names = [f"regime {chr(97 + k)}" for k in range(n_experts)]
    grid = np.linspace(0.0, 1.0, 5)
    display = given(gate=gate, expert_names=names, grid=grid, density=np.ones((5, 1)) * gate).plot()
    legend = display.ax_[0].get_legend()
    ranked = sorted(np.argsort(-gate)[:6])
    n_left = n_experts - len(ranked)
    named = [label.split(":")[0] for label in texts(legend) if ":" in label]
    assert named == [names[k] for k in ranked] + ["prediction"]
    assert (f"and {n_left} more experts" in texts(legend)) == (n_left > 0)
    patches = legend.get_patches()[: len(ranked)]
    found = [colors.to_hex(patch.get_edgecolor()) for patch in patches]
    assert found == [expert_colour(k) for k in ranked]
