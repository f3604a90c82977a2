"""One prediction: parts of its distribution, and contributions of the features that add up."""

import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import integrate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import PredictionDisplay
from skmoe.inspection._contributions import Contributions
from skmoe.inspection._waterfall import waterfall_bars

matplotlib.use("Agg")


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, **options)


def draw(*data, **options):
    return PredictionDisplay.from_estimator(*data, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    return quiet(regressor(), X, y), X, y


def counts_and_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    return X, rng.poisson(np.exp(np.where(X[:, 0] > 0, 1.5 + 0.5 * X[:, 1], -0.5)))


# --- contributions --------------------------------------------------------------------------------


def path_integrals(moe, X, row):
    """Integrated gradients of gate and experts, by the derivatives of `explain`."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    start, end = X.mean(axis=0), X[row]
    effects = moe.explain(start + (nodes[:, None] + 1.0) / 2.0 * (end - start))
    return [(end - start) * (weights / 2.0 @ effects[name]) for name in ("gate_effect", "slope")]


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_contributions_are_integrated_gradients(fitted, family):
    moe, X, y = fitted
    if family == "poisson":
        X, y = counts_and_rows()
        moe = quiet(regressor(family="poisson"), X, y)
    for row in (3, 17):
        display = draw(moe, X, row=row)
        gate, slope = path_integrals(moe, X, row)
        size = np.abs(gate).max() + np.abs(slope).max()
        assert_allclose(display.gate_contributions, gate, atol=2e-3 * size)
        assert_allclose(display.expert_contributions, slope, atol=2e-3 * size)


def mean_of(frame):
    """The mean row, with the most frequent categories, in the types of the table."""
    row = frame.iloc[:1].reset_index(drop=True)
    for name in frame:
        numeric = frame[name].dtype.kind == "f"
        value = frame[name].mean() if numeric else frame[name].mode()[0]
        row[name] = pd.Series([value]).astype(frame[name].dtype)
    return row


def test_contributions_add_up_for_experts_of_any_kind():
    X, y = two_regimes(200)
    frame = pd.DataFrame(X[:, :2], columns=["depth", "width"])
    level = np.random.default_rng(0).choice(3, 200)
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    frame.loc[3, "width"] = np.nan
    moe = quiet(regressor(expert="tree", max_iter=2), frame, y + 5.0 * level)
    for row in (3, 4):
        display = draw(moe, frame, row=row)
        assert_allclose(display.prediction, moe.predict(frame.iloc[[row]])[0])
        assert_allclose(display.base_value, moe.predict(mean_of(frame))[0])
        change = display.gate_contributions.sum() + display.expert_contributions.sum()
        assert_allclose(display.base_value + change, display.prediction)
    values = [label.split(" = ")[1] for label in display.feature_labels]
    assert values == [f"{frame['depth'][4]:.3g}", f"{frame['width'][4]:.3g}", frame["region"][4]]


def test_contributions_to_probabilities_of_classes_add_up():
    X, y = flipping_classes(n_classes=3)
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    for target in (None, 0):
        display = draw(moe, X, row=5, target=target)
        proba = moe.predict_proba(X[[5]])[0]
        c = int(proba.argmax()) if target is None else 0
        assert_allclose(display.prediction, proba[c])
        base = moe.predict_proba(X.mean(axis=0)[None])[0, c]
        assert_allclose(display.base_value, base)
        change = display.gate_contributions.sum() + display.expert_contributions.sum()
        assert_allclose(base + change, proba[c])
        assert display.target_name == f"Probability of class {c}"


def test_features_that_a_part_does_not_use_contribute_nothing_through_it():
    X, y = two_regimes(300)
    moe = quiet(regressor(gate_features=[0], expert_features=[1, 2]), X, y)
    display = draw(moe, X, row=7)
    assert_array_equal(display.gate_contributions != 0.0, [True, False, False])
    assert_array_equal(display.expert_contributions != 0.0, [False, True, True])


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_k": 2}, {"combine": "average"}], ids=str)
def test_contributions_add_up_with_routed_and_averaged_experts(options):
    X, y = two_regimes(200)
    moe = MixtureOfExpertsRegressor(3, random_state=0, n_init=2, max_iter=5, **options)
    quiet(moe, X, y)
    display = draw(moe, X, row=6)
    change = display.gate_contributions.sum() + display.expert_contributions.sum()
    assert display.prediction == pytest.approx(moe.predict(X[[6]])[0])
    assert display.base_value + change == pytest.approx(display.prediction)


def test_predictions_that_are_no_such_sums_have_a_remainder():
    rest = Contributions(1.0, np.array([0.5, 0.0]), np.array([1.0, 0.0]), 3.0)
    assert rest.remainder == pytest.approx(0.5)
    bars = waterfall_bars(rest, ["a", "b"], 5)
    assert [bar.label for bar in bars] == ["a", "remainder"]
    assert bars[1].experts == pytest.approx(0.5)
    whole = rest._replace(prediction=2.5 + 1e-15)
    assert [bar.label for bar in waterfall_bars(whole, ["a", "b"], 5)] == ["a"]


def test_small_contributions_share_a_bar():
    gate, experts = np.array([0.1, 3.0, -0.2, 0.0]), np.array([0.0, 1.0, -2.0, 0.4])
    contributions = Contributions(0.0, gate, experts, 2.3)
    bars = waterfall_bars(contributions, ["a", "b", "c", "d"], 3)
    assert [bar.label for bar in bars] == ["b", "c", "2 other features"]
    assert (bars[2].experts, bars[2].gate) == pytest.approx((0.4, 0.1))
    assert len(waterfall_bars(contributions, ["a", "b", "c", "d"], 4)) == 4


def test_bars_lead_from_the_base_value_to_the_prediction(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, row=11)
    position = display.base_value
    order = np.argsort(-np.abs(display.gate_contributions) - np.abs(display.expert_contributions))
    assert len(display.bars_) == 3
    for (upper, lower), j in zip(display.bars_, order, strict=True):
        parts = display.expert_contributions[j], display.gate_contributions[j]
        for bar, change in zip((upper, lower), parts, strict=True):
            assert_allclose(bar.get_x(), position, atol=1e-12)
            assert_allclose(bar.get_width(), change)
            position += change
        assert lower.get_hatch()
        assert not upper.get_hatch()
    assert_allclose(position, display.prediction)
    labels = [label.get_text() for label in display.ax_[1].get_yticklabels()]
    assert labels[0] == f"mean row: {display.base_value:.3g}"
    assert labels[1] == f"x{order[0]} = {X[11, order[0]]:.3g}"
    assert labels[-1] == f"this row: {display.prediction:.3g}"


# --- distributions --------------------------------------------------------------------------------


def test_humps_are_densities_of_experts_times_their_probabilities(fitted):
    moe, X, y = fitted
    row = int(np.argmin(np.abs(moe.predict_gate(X)[:, 0] - 0.5)))
    display = draw(moe, X, y, row=row, coverage=0.8)
    assert_allclose(display.gate, moe.predict_gate(X[[row]])[0])
    assert_allclose(
        display.density.sum(axis=1), moe.predict_dist(X[[row]]).pdf(display.grid[None])[0]
    )
    means, std = moe.predict_experts(X[[row]])[0], np.sqrt(moe.noise_variance_)
    for k in range(2):
        z = (display.grid - means[k]) / std[k]
        expected = display.gate[k] * np.exp(-(z**2) / 2) / std[k] / np.sqrt(2 * np.pi)
        assert_allclose(display.density[:, k], expected, atol=1e-12)
        line = display.experts_[k]
        assert_allclose(line.get_xydata(), np.column_stack([display.grid, expected]), atol=1e-12)
    assert integrate.trapezoid(display.density.sum(axis=1), display.grid) == pytest.approx(
        1.0, abs=0.01
    )
    assert_allclose(display.interval, moe.predict_interval(X[[row]], 0.8)[0])
    legend = [text.get_text() for text in display.ax_[0].get_legend().get_texts()]
    assert f"expert 0: {100 * display.gate[0]:.0f} %" in legend
    assert "80 % interval" in legend
    assert f"prediction: {display.prediction:.3g}" in legend
    assert f"observed: {y[row]:.3g}" in legend
    vertical = [line.get_xdata()[0] for line in display.ax_[0].lines if len(line.get_xdata()) == 2]
    assert_allclose(sorted(vertical), sorted([display.prediction, y[row]]))


def test_narrow_humps_are_drawn_in_full():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 1))
    wide = rng.uniform(size=400) < 0.5
    y = np.where(wide, 100.0 * rng.normal(size=400), 0.01 * rng.normal(size=400))
    moe = quiet(regressor(gate="constant", n_experts=2, init="kmeans"), X, y)
    display = draw(moe, X)
    area = integrate.trapezoid(display.density, display.grid, axis=0)
    assert_allclose(area, display.gate, atol=0.02)


def test_counts_have_stacked_bars():
    X, y = counts_and_rows()
    moe = quiet(regressor(family="poisson"), X, y)
    row = int(np.argmin(np.abs(X[:, 0])))
    display = draw(moe, X, y, row=row)
    assert_array_equal(display.values, np.arange(display.values[0], display.values[-1] + 1))
    assert len(display.grid) == 0
    pmf = moe.predict_dist(X[[row]]).pmf(display.values[None])[0]
    assert_allclose(display.probability.sum(axis=1), pmf, atol=1e-9)
    heights = np.array([[bar.get_height() for bar in bars] for bars in display.experts_])
    assert_allclose(heights.T, display.probability)
    second = [bar.get_y() for bar in display.experts_[1]]
    assert_allclose(second, heights[0])
    assert display.ax_[0].get_ylabel() == "Probability"


def test_many_counts_are_lines():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    y = rng.poisson(1e4 * np.exp(0.1 * X[:, 0]))
    moe = quiet(regressor(family="poisson", max_iter=5), X, y)
    display = draw(moe, X, y)
    assert 60 < len(display.values) <= 401
    line = next(line for line in display.experts_ if line is not None)
    assert len(line.get_xdata()) == len(display.values)


def test_ratings_have_bars_at_their_values():
    X, y = two_regimes(300)
    ratings = 10.0 * np.digitize(y, [-2.0, 1.0, 3.0])
    moe = quiet(regressor(family="ordinal"), X, ratings)
    row = int(np.argmin(np.abs(X[:, 0])))
    display = draw(moe, X, ratings, row=row)
    assert set(display.values) <= {0.0, 10.0, 20.0, 30.0}
    pmf = moe.predict_dist(X[[row]]).pmf(display.values[None])[0]
    assert_allclose(display.probability.sum(axis=1), pmf)
    widths = {round(bar.get_width(), 9) for bar in display.experts_[0]}
    assert widths == {8.0}


def test_excess_zeros_have_a_bar_of_their_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1))
    y = np.where(rng.uniform(size=400) < 0.4, 0.0, rng.gamma(3.0, np.exp(0.3 * X[:, 0])))
    moe = quiet(regressor(family=["zero", "gamma"], gate="constant"), X, y)
    display = draw(moe, X, y)
    assert_array_equal(display.values, [0.0])
    gate = display.gate
    assert_allclose(display.probability, [[gate[0], 0.0]], atol=1e-6)
    assert_allclose(display.density[:, 0], 0.0)
    assert integrate.trapezoid(display.density[:, 1], display.grid) == pytest.approx(
        gate[1], abs=0.01
    )
    notes = [text.get_text() for text in display.ax_[0].texts]
    assert notes == [f"{100 * gate[0]:.0f} % at 0"]


def test_classes_are_stacked_by_experts():
    X, codes = flipping_classes(n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    display = draw(moe, X, y, row=5)
    proba = moe.predict_proba(X[[5]])[0]
    assert_allclose(display.probability.sum(axis=1), proba)
    expected = moe.predict_gate(X[[5]])[0] * moe.predict_experts(X[[5]])[0].T
    assert_allclose(display.probability, expected)
    order = np.argsort(-proba)
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == list(moe.classes_[order])
    assert [label for label in labels if "observed" in label] == [f"{y[5]}\n(observed)"]
    for k, bars in enumerate(display.experts_):
        if bars is not None:
            assert_allclose([bar.get_width() for bar in bars], expected[order, k])


# --- what it takes --------------------------------------------------------------------------------


def test_outputs_are_chosen(fitted):
    _, X, y = fitted
    Y = np.column_stack([y, 5.0 - 2.0 * y])
    moe = quiet(regressor(), X, Y)
    display = draw(moe, X, pd.DataFrame(Y, columns=["speed", "force"]), row=4, target=1)
    assert display.prediction == pytest.approx(moe.predict(X[[4]])[0, 1])
    assert display.observed == Y[4, 1]
    assert_allclose(display.interval, moe.predict_interval(X[[4]])[0, :, 1])
    peak = display.grid[display.density.sum(axis=1).argmax()]
    assert abs(peak - display.prediction) < 3.0
    assert display.ax_[0].get_xlabel() == "force"
    with pytest.raises(ValueError, match="target must be the index of an output"):
        draw(moe, X, Y)


def test_offsets_are_those_of_the_row():
    X, y = counts_and_rows()
    offset = np.linspace(-0.5, 0.5, len(y))
    moe = quiet(regressor(family="poisson"), X, y, offset=offset)
    display = draw(moe, X, y, row=399, offset=offset)
    assert display.prediction == pytest.approx(moe.predict(X[[399]], offset[[399]])[0])
    base = moe.predict(X.mean(axis=0)[None], offset[[399]])[0]
    assert display.base_value == pytest.approx(base)
    change = display.gate_contributions.sum() + display.expert_contributions.sum()
    assert base + change == pytest.approx(display.prediction)


def test_pipelines_have_the_units_of_their_input(fitted):
    _, X, y = fitted
    X = X * 1e3
    pipeline = make_pipeline(StandardScaler(), regressor()).fit(X, y)
    display = draw(pipeline, X, y, row=3)
    assert display.prediction == pytest.approx(pipeline.predict(X[[3]])[0])
    assert display.feature_labels[0] == f"x0 = {X[3, 0]:.0f}"
    assert_allclose(display.base_value, pipeline.predict(X.mean(axis=0)[None])[0])


def test_one_expert_has_no_bars_of_the_gate(fitted):
    _, X, y = fitted
    display = draw(regressor(1).fit(X, y), X, y)
    assert not display.gate_contributions.any()
    legend = [text.get_text() for text in display.ax_[1].get_legend().get_texts()]
    assert legend == ["through the experts"]


def test_axes_names_and_no_explanation(fitted):
    moe, X, y = fitted
    figure, pair = plt.subplots(1, 2)
    display = draw(moe, X, y, ax=pair, expert_names=["shallow", "deep"])
    assert_array_equal(display.ax_, pair)
    assert any("shallow" in t.get_text() for t in display.ax_[0].get_legend().get_texts())
    figure, ax = plt.subplots()
    assert draw(moe, X, ax=ax).figure_ is figure
    alone = draw(moe, X, explain=False, coverage=None)
    assert len(alone.ax_) == 1
    assert alone.base_value is None
    assert alone.interval is None
    assert alone.plot() is alone


def test_many_experts_and_features_fit_into_the_figure():
    X, y = two_regimes(300, n_features=60)
    moe = quiet(regressor(12, max_iter=3), X, y)
    names = [f"a long name of expert number {k}" for k in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = draw(moe, X, y, row=2, expert_names=names, max_features=5)
        display.figure_.draw_without_rendering()
    assert len(display.bars_) == 5
    labels = [label.get_text() for label in display.ax_[1].get_yticklabels()]
    assert labels[5] == "56 other features"
    change = display.gate_contributions.sum() + display.expert_contributions.sum()
    assert display.base_value + change == pytest.approx(display.prediction)
    edges = display.figure_.bbox
    for label in display.ax_[1].get_yticklabels():
        assert label.get_window_extent().x0 >= edges.x0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": 300}, "row must be an integer from 0 to 299; got 300"),
        ({"row": -1}, "row must be an integer"),
        ({"coverage": 90}, "coverage must be a probability"),
        ({"explain": None}, "explain must be True or False"),
        ({"max_features": 0}, "max_features must be an integer of at least 1"),
        ({"n_steps": 0}, "n_steps must be an integer of at least 1"),
        ({"target": 1}, "target must be the index of an output"),
        ({"y": np.zeros(7)}, "y must have a value for each of the 300 rows; got 7"),
    ],
)
def test_bad_requests(fitted, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        draw(moe, X, **{"y": y} | options)
