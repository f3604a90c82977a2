"""Rows: PredictionDisplay of one, ResponsibilitiesDisplay of all, and permuted ones."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.gates import SoftmaxGate
from skmoe.inspection import (
    ExpertsDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    TrajectoriesDisplay,
    permutation_importance_by_part,
)
from support.displays import CASES, NAMES, expert_colour, texts
from support.expert_kinds import OF_VALUES, example, options_of
from support.expert_kinds import draw as draw_target
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import panel, two_regimes

PARTS = ("gate", "experts", "both")


def regressor(n_experts=2, **options):
    short = {"random_state": 0, "n_init": 1, "max_iter": 15}
    return MixtureOfExpertsRegressor(n_experts, **short | options)


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


def fitted_family(family):
    """A short fit of a family, or of two, of which one is a point."""
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


# --- contributions to a prediction ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* got no offset")
@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_contributions_are_integrated_gradients(fitted, counts, family):
    """On the path from the mean row, by the derivatives of `explain`."""
    moe, X = fitted[:2] if family == "normal" else counts[:2]
    display = draw(moe, X, row=17)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    start, end = X.mean(axis=0), X[17]
    effects = moe.explain(start + (nodes[:, None] + 1.0) / 2.0 * (end - start))
    gate, slope = (
        (end - start) * (weights / 2.0 @ effects[name]) for name in ("gate_effect", "slope")
    )
    size = np.abs(gate).max() + np.abs(slope).max()
    assert_allclose(display.gate_contributions, gate, atol=2e-3 * size)
    assert_allclose(display.expert_contributions, slope, atol=2e-3 * size)


@pytest.mark.parametrize("case", ["one_feature", "classes", "outputs", "routed"])
def test_contributions_add_up_to_the_prediction(case):
    moe, X, y, options = CASES["lines" if case == "routed" else case]()
    if case == "routed":
        moe = fit_quietly(regressor(3, gate=SoftmaxGate(top_k=1), max_iter=4), X, y)
    options = {name: options[name] for name in options if name == "target"}
    display = draw(moe, X, y, row=5, **options)
    pick = {
        "classes": lambda rows: moe.predict_proba(rows)[0, list(moe.classes_).index("green")],
        "outputs": lambda rows: moe.predict(rows)[0, 1],
    }.get(case, lambda rows: moe.predict(rows)[0])
    assert_allclose(display.base_value, pick(X.mean(axis=0)[None]))
    assert_allclose(display.prediction, pick(X[[5]]))
    assert_allclose(display.base_value + change_of(display), display.prediction)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_rows_with_missing_values_and_categories_start_at_the_known_mean(make):
    X, y = two_regimes(60)
    width = np.where(np.arange(60) < 5, np.nan, X[:, 1])
    frame = make({"width": width, "word": np.repeat(["a", "b", "c"], [15, 30, 15]).tolist()})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=1), frame, y)
    mean = make({"width": [np.nanmean(width)], "word": ["b"]})  # the most frequent category
    for row in (3, 7):
        display = draw(moe, frame, row=row)
        assert_allclose(display.base_value, moe.predict(mean)[0])
        assert_allclose(display.base_value + change_of(display), display.prediction)
    assert display.feature_labels == [f"width = {width[7]:.3g}", "word = a"]


def test_features_that_a_part_does_not_use_do_nothing_through_it():
    X, y = two_regimes(150)
    moe = fit_quietly(regressor(gate_features=[0], expert_features=[1, 2], max_iter=20), X, y)
    display = draw(moe, X, row=7)
    assert_array_equal(display.gate_contributions != 0.0, [True, False, False])
    assert_array_equal(display.expert_contributions != 0.0, [False, True, True])
    gate, experts, both = importances(permutation_importance_by_part(moe, X, y, random_state=0))
    assert_allclose(np.vstack([gate[1:], experts[:1]]), 0.0, atol=1e-12)
    assert (np.vstack([gate[:1], experts[1:]]) > 0.1).all()
    assert_allclose(both, np.vstack([gate[:1], experts[1:]]))


def test_the_offset_is_that_of_the_row(counts):
    moe, X, y, offset = counts
    display = draw(moe, X, y, row=99, offset=offset, coverage=0.8)
    own = offset[[99]]
    assert_allclose(display.prediction, moe.predict(X[[99]], offset=own)[0])
    assert_allclose(display.base_value, moe.predict(X.mean(axis=0)[None], offset=own)[0])
    assert_array_equal(display.interval, moe.predict_interval(X[[99]], 0.8, offset=own)[0])
    mean = display.values @ display.probability.sum(axis=1)
    assert_allclose(mean, display.prediction, rtol=0.02)


# --- the waterfall --------------------------------------------------------------------------------


def given(**options):
    """A display of a row with two experts and five features."""
    gate, grid = np.array([0.75, 0.25]), np.linspace(0.0, 4.0, 20)
    arrays = {
        "gate": gate,
        "values": np.empty(0),
        "probability": np.empty((0, 2)),
        "grid": grid,
        "density": np.column_stack([grid, 4.0 - grid]) / 8.0 * gate,
        "prediction": 2.0,
        "expert_names": ["calm", "wild"],
        "target_name": "weight",
        "base_value": 1.0,
        "gate_contributions": np.array([0.1, 0.0, -2.0, 0.3, 0.0]),
        "expert_contributions": np.array([0.2, 0.0, 1.0, -0.5, 0.05]),
        "feature_labels": list("abcde"),
    }
    return PredictionDisplay(**arrays | options).plot()


def bar_labels(display):
    return texts(display.ax_[1].get_yticklabels())[1:-1]


def widths(display):
    """Contributions through experts and gate that are drawn."""
    return np.array([[upper.get_width(), lower.get_width()] for upper, lower in display.bars_])


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (4, ["c", "d", "a", "e"]),  # b does nothing
        (3, ["c", "d", "2 other features"]),
        (1, ["4 other features"]),
    ],
)
def test_bars_are_the_largest_contributions_and_the_sum_of_the_others(most, labels):
    display = given(max_features=most)
    assert bar_labels(display) == labels
    assert_allclose(widths(display).sum(), change_of(display))
    if most == 3:
        assert_allclose(widths(display), [[1.0, -2.0], [-0.5, 0.3], [0.25, 0.1]])


def test_bars_follow_each_other_from_the_base_value_to_the_prediction():
    changes = {"gate_contributions": np.array([0.5, -2.0])}
    changes["expert_contributions"] = np.array([-0.25, 1.0])
    display = given(**changes, prediction=0.25, feature_labels=["a", "b"], feature_note="a note")
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
    assert texts(ax.get_yticklabels()) == ["mean row: 1", "b", "a", "this row: 0.25"]
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert_allclose([line.get_xydata()[0] for line in diamonds], [[1.0, 0], [0.25, 3]])
    assert texts(ax.get_legend()) == ["through the experts", "through the gate"]
    assert [cells.get_xlabel() for cells in display.ax_] == ["weight", "weight\n(a note)"]
    shown = {99.96: "100", 1e3: "1000", 999999.0: "999999", 1e6: "1e+06", 1e-7: "1e-07"}
    for number, text in shown.items():  # numbers are short
        flat = {name: np.zeros(2) for name in changes}
        flat = given(**flat, base_value=number, prediction=number, feature_labels=["a", "b"])
        assert flat.bars_ == []
        assert texts(flat.ax_[1].get_yticklabels())[0] == f"mean row: {text}"


def test_bars_of_a_fit_have_the_values_of_their_features(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, row=11)
    order = np.argsort(-np.abs(display.gate_contributions) - np.abs(display.expert_contributions))
    assert bar_labels(display) == [f"x{j} = {X[11, j]:.3g}" for j in order]
    parts = np.column_stack([display.expert_contributions, display.gate_contributions])
    assert_allclose(widths(display), parts[order])
    named, frame = clone(moe), pd.DataFrame(X, columns=["a" * 60, "b", "c"])
    rounded = draw(fit_quietly(named, frame, y), frame, y, row=11).feature_labels[0]
    assert len(rounded) <= 34
    assert rounded.endswith(f" = {X[11, 0]:.3g}")


# --- the distribution of a row --------------------------------------------------------------------


@pytest.mark.parametrize("family", [*OF_VALUES, ["zero", "gamma"]], ids=str)
def test_densities_of_experts_add_up_to_their_probabilities(family):
    moe, X, y = fitted_family(family)
    row = int(np.abs(moe.predict_gate(X)[:, 0] - 0.5).argmin())
    display = draw(moe, X, y, row=row, coverage=None)
    gate, grid, values = moe.predict_gate(X[[row]])[0], display.grid, display.values
    total = integrate.trapezoid(display.density, grid, axis=0) + display.probability.sum(axis=0)
    assert_allclose(total, gate, atol=0.02)
    is_discrete = np.array_equal(y, np.round(y))
    assert (len(grid) == 0) == is_discrete
    assert (len(values) > 0) == (is_discrete or family == "tweedie" or isinstance(family, list))
    assert not np.isin(values, grid).any()
    dist = moe.predict_dist(X[[row]])
    if family != "uniform":  # whose density has edges, between points of the grid
        assert_allclose(display.density.sum(axis=1), dist.pdf(grid[None])[0], 1e-8, 1e-12)
    if is_discrete and dist.is_count:
        steps = dist.pmf(values[None])[0]
        assert_allclose(display.probability.sum(axis=1), steps, 1e-6, 1e-9)


def test_humps_are_densities_of_experts_times_their_probabilities(fitted):
    moe, X, y = fitted
    row = int(np.argmin(np.abs(moe.predict_gate(X)[:, 0] - 0.5)))
    display = draw(moe, X, y, row=row, coverage=0.8)
    means, std = moe.predict_experts(X[[row]])[0], np.sqrt(moe.noise_variance_)
    for k, line in enumerate(display.experts_):
        expected = display.gate[k] * stats.norm(means[k], std[k]).pdf(display.grid)
        points = np.column_stack([display.grid, expected])
        assert_allclose(line.get_xydata(), points, atol=1e-12)
    low, high = np.ravel(moe.predict_dist(X[[row]]).ppf(np.array([0.001, 0.999])))
    assert_allclose(display.grid[[0, -1]], [low, high])
    assert_allclose(display.interval, moe.predict_interval(X[[row]], 0.8)[0])
    expected = [f"expert {k}: {100 * display.gate[k]:.0f} %" for k in (0, 1)]
    expected += ["80 % interval", "mixture"]
    expected += [f"prediction: {display.prediction:.3g}", f"observed: {y[row]:.3g}"]
    assert texts(display.ax_[0].get_legend()) == expected
    [whole] = [line for line in display.ax_[0].lines if line.get_label() == "mixture"]
    assert_allclose(whole.get_ydata(), display.density.sum(axis=1))
    assert display.ax_[0].get_ylabel() == "Density"
    rng = np.random.default_rng(0)  # narrow humps are drawn in full
    X, wide = rng.uniform(-1, 1, size=(300, 1)), rng.uniform(size=300) < 0.5
    y = np.where(wide, 100.0, 0.01) * rng.normal(size=300)
    moe = fit_quietly(regressor(gate="constant", init="kmeans", max_iter=50), X, y)
    display = draw(moe, X)
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
    )
    ax = display.ax_[0]
    assert [artist is None for artist in display.experts_] == [False, False, True]
    assert texts(ax.texts) == ["70 % at 0", "20 % at 2"]
    highest = max(line.get_ydata().max() for line in ax.lines if len(line.get_ydata()) == 30)
    assert all(highest / ax.get_ylim()[1] - 1e-9 < text.xy[1] < 0.95 for text in ax.texts)
    bars = [bar for container in ax.containers for bar in container]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert_allclose(centres, [0.0, 2.0, 0.0, 2.0], atol=1e-12)
    assert_allclose([bar.get_height() for bar in bars], [0.5, 0.1, 0.2, 0.1])
    assert_allclose([bar.get_y() for bar in bars], [0.0, 0.0, 0.5, 0.1])
    marks = {line.get_label(): line for line in ax.lines if ":" in line.get_label()}
    assert {"prediction: 2", "observed: 3.5"} < set(marks)
    assert_array_equal(marks["observed: 3.5"].get_xdata(), [3.5, 3.5])


@pytest.mark.parametrize(("n_values", "interval"), [(1, None), (5, [2.0, 6.0])])
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
    )
    ax, step = display.ax_[0], 2.0 if n_values > 1 else 1.0
    assert_allclose([bar.get_width() for bar in display.experts_[0]], 0.8 * step)
    tops = [bar.get_y() + bar.get_height() for bar in display.experts_[1]]
    assert_allclose(tops, probability.sum(axis=1))
    spans = [patch for patch in ax.patches if patch.get_label() == "80 % interval"]
    assert len(spans) == (interval is not None)
    for span in spans:  # a polygon or a rectangle, depending on the version of matplotlib
        box = span.get_path().get_extents(span.get_patch_transform())
        assert_allclose([box.x0, box.x1], [2.0 - step / 2.0, 6.0 + step / 2.0])


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
    unknown = draw(moe, X, np.where(np.arange(len(y)) == 5, "black", y), row=5)
    assert unknown.observed is None
    probability = np.random.default_rng(3).dirichlet(np.ones(39)).reshape(-1, 3)  # of 13 classes
    total, gate = probability.sum(axis=1), probability.sum(axis=0)
    many = {"classes": [f"class {c}" for c in range(13)], "expert_names": NAMES}
    display = given(gate=gate, probability=probability, **many)
    order, ends = np.argsort(-total)[:12], np.zeros(12)
    assert texts(display.ax_[0].get_yticklabels()) == [f"class {c}" for c in order]
    for k, bars in enumerate(display.experts_):
        assert_allclose([bar.get_x() for bar in bars], ends, atol=1e-12)
        ends += [bar.get_width() for bar in bars]
        assert {colors.to_hex(bar.get_facecolor()) for bar in bars} == {expert_colour(k)}
    assert_allclose(ends, total[order])


# --- responsibilities -----------------------------------------------------------------------------


def test_responsibilities_are_those_of_the_mixture_of_rows_or_units():
    moe, X, y, _ = CASES["outputs"]()
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    assert_array_equal(display.responsibilities, resp)
    assigned = resp.argmax(axis=1)
    for k in range(3):
        assert_array_equal(display.certainty[k], resp[assigned == k, k])
    X, y, units, _ = panel(40, 4, 2)
    moe = fit_quietly(regressor(gate="constant", max_iter=20), X, y, units=units)
    kept = (units % 2 == 0) | (np.arange(len(y)) % 3 > 0)  # some units have fewer rows
    X, y, units = X[kept], y[kept], units[kept]
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert_array_equal(display.responsibilities, table.proba)
    assert np.abs(table.rows(units).mean(axis=0) - display.usage).max() > 1e-4


@pytest.mark.parametrize("of_units", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_bars_and_boxes_are_those_of_the_table(of_units, named):
    resp = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], size=200)
    resp = np.column_stack([resp, np.zeros(200)])  # the last expert has no rows
    names = list("abcd") if named else [f"expert {k}" for k in range(4)]
    display = ResponsibilitiesDisplay(responsibilities=resp, of_units=of_units, expert_names=names)
    shares, certainties = display.plot().ax_
    best = resp.argmax(axis=1)
    for k in range(4):
        usage = display.usage_bars_[k]
        assert_allclose(usage.get_x() + usage.get_width() / 2, k, atol=1e-12)
        assert_allclose(usage.get_height(), resp[:, k].mean())
        assert colors.to_hex(usage.get_facecolor()) == expert_colour(k)
    assert len(display.boxes_) == 3
    for k, box in enumerate(display.boxes_):
        own, vertices = resp[best == k, k], box.get_path().vertices
        quartiles = np.quantile(own, [0.25, 0.75])
        assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], quartiles)
        assert_allclose([vertices[:, 0].min(), vertices[:, 0].max()], [k - 0.3, k + 0.3])
        assert colors.to_hex(box.get_facecolor()) == expert_colour(k)
        upright = [line for line in certainties.lines if set(line.get_xdata()) == {float(k)}]
        whiskers = np.concatenate([line.get_ydata() for line in upright])
        low, high = np.percentile(own, [5, 95])
        assert_allclose(whiskers.min(), own[own >= low].min())
        assert_allclose(whiskers.max(), own[own <= high].max())
    [equal] = [line for line in certainties.lines if list(line.get_xdata()) == [0, 1]]
    assert_allclose(equal.get_ydata(), 0.25)
    counted = "units" if of_units else "rows"
    assert shares.get_ylabel() == f"Share of the {counted}"
    assert certainties.get_ylabel() == f"Responsibility for assigned {counted}"
    for ax in display.ax_:
        found = dict(zip(ax.get_xticks(), texts(ax.get_xticklabels()), strict=True))
        assert found == dict(enumerate("abcd" if named else "0123"))


# --- permuted rows --------------------------------------------------------------------------------


def importances(found):
    return np.array([found[part].importances for part in PARTS])


def test_parts_are_those_of_normal_densities_by_hand(fitted):
    moe, X, y = fitted
    weight = np.arange(len(y), dtype=float)
    given = {"n_repeats": 2, "random_state": 3, "features": [2, 0], "sample_weight": weight}
    found = permutation_importance_by_part(moe, X[1:], y[1:], **given | {"sample_weight": None})
    weighted = permutation_importance_by_part(moe, X, y, **given)
    X, y, generator = X[1:], y[1:], np.random.RandomState(3)

    def scores(gate_rows, expert_rows):
        density = stats.norm(moe.predict_experts(expert_rows), np.sqrt(moe.noise_variance_))
        joint = moe.predict_gate(gate_rows) * density.pdf(y[:, None])
        own = np.log(joint.sum(axis=1))
        return own.mean(), np.average(own, weights=weight[1:])

    assert_allclose([found.score, weighted.score], scores(X, X))
    for i, j in enumerate([2, 0]):
        for repeat in range(2):
            Z = X.copy()
            Z[:, j] = X[generator.permutation(len(X)), j]
            for number, result in enumerate((found, weighted)):
                pairs = (Z, X), (X, Z), (Z, Z)
                expected = [result.score - scores(*pair)[number] for pair in pairs]
                got = importances(result)[:, i, repeat]
                assert_allclose(got, expected, rtol=1e-8, atol=1e-12)
    assert_array_equal(found.features, [2, 0])
    for part in PARTS:
        assert_allclose(found[part].importances_mean, found[part].importances.mean(axis=1))
        assert_allclose(found[part].importances_std, found[part].importances.std(axis=1))


MIXED = [["zero", "gamma"], ["zero", "normal"], ["zero", "student_t"]]


@pytest.mark.parametrize("case", [*OF_VALUES, *MIXED, "classes", "outputs", "counts"], ids=str)
def test_scores_are_log_densities(case):
    if isinstance(case, str) and case in CASES:
        moe, X, y, given = CASES[case]()
        given = {name: given[name] for name in ("units", "offset") if name in given}
    else:
        (moe, X, y), given = fitted_family(case), {}
    found = permutation_importance_by_part(moe, X, y, n_repeats=1, random_state=0, **given)
    expected = moe.score_samples(X, y, **given).mean()
    assert_allclose(found.score, expected, rtol=1e-8, atol=1e-12)
    if case == "classes":
        other = np.where(y == "red", "black", y)
        message = refusal(permutation_importance_by_part, moe, X, other)
        assert_refused(message, "y must hold classes seen in fit")


def test_importances_of_units_are_those_of_their_densities():
    """What a unit has once is permuted over the units, so that it stays constant within each."""
    rng = np.random.default_rng(0)
    units, weight = np.repeat(np.arange(60), 4), np.resize([1.0, 2.0, 0.0], 240)
    X = np.column_stack([np.repeat(rng.normal(size=60), 4), rng.normal(size=240)])
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=240)
    given = {"units": units, "sample_weight": weight}
    moe = fit_quietly(regressor(gate_features=[0], expert_features=[1]), X, y, **given)
    found = permutation_importance_by_part(moe, X, y, random_state=0, **given)
    assert found.score == pytest.approx(moe.score_samples(X, y, **given).mean())
    assert_array_equal(found.both.importances[0], found.gate.importances[0])
    assert (found.both.importances_mean > 1.0).all()  # of about three rows together
    display = ImportanceDisplay.from_estimator(moe, X, y, random_state=0, **given)
    order = np.argsort(-found.both.importances_mean)
    assert display.feature_names == [f"x{j}" for j in order]
    for part in PARTS:
        assert_array_equal(vars(display)[part], found[part].importances[order])
    assert "per unit, permuted" in display.ax_.get_xlabel()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_permuted(make):
    X, y = two_regimes(90)
    level = np.random.default_rng(0).choice(3, 90)
    words = np.array(["south", "north", "east"])[level]
    frame = make({"depth": X[:, 0], "region": words.tolist()})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y + 9.0 * level)
    given = {"features": ["region"], "random_state": 0, "n_repeats": 2}
    found = permutation_importance_by_part(moe, frame, y + 9.0 * level, **given)
    assert (found.experts.importances > 0.5).all()


def test_bars_are_means_with_deviations_one_part_above_the_other():
    rng = np.random.default_rng(0)
    parts, centres = {name: rng.normal(size=(3, 4)) for name in PARTS}, {}
    names = ["a" * 40, "weight", "age"]
    display = ImportanceDisplay(feature_names=names, **parts, n_columns=7, feature_note="a note")
    for name, bars in display.plot().bars_.items():
        mean = parts[name].mean(axis=1)
        assert_allclose([bar.get_width() for bar in bars], mean)
        centres[name] = np.array([bar.get_y() + bar.get_height() / 2 for bar in bars])
        segments = bars.errorbar.lines[2][0].get_segments()
        ends = np.array([segment[:, 0] for segment in segments])
        assert_allclose(ends.mean(axis=1), mean)
        assert_allclose(np.ptp(ends, axis=1), 2.0 * parts[name].std(axis=1))
    assert_allclose(centres["experts"], [0.0, 1.0, 2.0], atol=1e-12)
    assert_allclose(centres["both"] - centres["experts"], -0.27)
    assert_allclose(centres["gate"] - centres["experts"], 0.27)
    assert display.bars_["gate"][0].get_hatch()
    assert display.ax_.get_ylim() == (2.5, -0.5)
    assert texts(display.ax_.get_yticklabels())[1:] == names[1:]


def test_counts_of_two_humps_that_are_far_apart_are_bars():
    X = np.repeat([[-1.0], [1.0]], 100, axis=0)
    y = np.random.default_rng(0).poisson(np.where(X[:, 0] > 0, 400.0, 3.0))
    moe = fit_quietly(
        MixtureOfExpertsRegressor(2, family="poisson", gate="constant", n_init=1), X, y
    )
    display = PredictionDisplay.from_estimator(moe, X[:1])
    assert len(display.grid) == 0
    bars = [bar for own in display.experts_ for bar in own]
    assert_allclose(sum(bar.get_height() for bar in bars), display.probability.sum())


# --- censored y -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_times():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 2))
    time, end = np.exp(X[:, 0]) * rng.weibull(2, size=120), rng.uniform(0.5, 3, size=120)
    y = right_censored(np.minimum(time, end), time <= end)
    return fit_quietly(regressor(family="weibull"), X, y), X, y


def test_censored_rows_are_hollow(of_times):
    """They are at their bounds, in three displays, whose other rows are filled."""
    moe, X, y = of_times
    is_open = y["upper"] == np.inf
    experts = ExpertsDisplay.from_estimator(moe, X, y, adjust=False)
    assert_array_equal(experts.censored, is_open)
    assert_array_equal(experts.y, y["lower"])
    courses = TrajectoriesDisplay.from_estimator(moe, X, y)
    regimes = RegimesDisplay.from_estimator(moe, X, y)
    for rows in (experts.scatter_, courses.unit_lines_[0], regimes.scatters_[0]):
        is_white = (rows.get_facecolors()[:, :3] == 1).all(axis=1)
        assert_array_equal(is_white, np.array(rows.get_linewidths()) > 0)
        assert 0 < is_white.sum() < len(is_white)
    assert "hollow: censored" in experts.ax_.get_ylabel()


def test_an_observed_bound_is_named(of_times):
    moe, X, y = of_times
    for row in (np.argmax(y["upper"] == np.inf), np.argmax(y["upper"] < np.inf)):
        display = draw(moe, X, y, row=int(row))
        [label] = [
            text for text in texts(display.ax_[0].get_legend()) if text.startswith("observed")
        ]
        assert label.endswith("to inf") == (y["upper"][row] == np.inf)
        assert display.observed == y["lower"][row]


@pytest.mark.parametrize("units", [None, np.arange(120) // 2])
def test_importance_of_entered_rows_is_of_their_log_density(of_times, units):
    _, X, y = of_times
    later = np.where(np.arange(120) % 3, 0.0, 0.3 * y["lower"])
    y = right_censored(y["lower"], y["upper"] < np.inf, entry=later)
    moe = fit_quietly(regressor(family="weibull", gate="constant"), X, y, units=units)
    found = permutation_importance_by_part(moe, X, y, units=units, random_state=0)
    assert found.score == pytest.approx(moe.score_samples(X, y, units=units).mean())
    assert found.both.importances_mean.argmax() == 0
