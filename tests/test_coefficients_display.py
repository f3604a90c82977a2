"""Forest plots draw the coefficients of the experts, their intervals and what was dropped."""

import warnings
from itertools import pairwise

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import CoefficientsDisplay
from skmoe.inspection._forest import ticks_of_ratios
from skmoe.inspection._style import COLOURS, MARKERS

matplotlib.use("Agg")
SCALES = np.array([1e-2, 1.0, 1e3])


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, **options)


def draw(*data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CoefficientsDisplay.from_estimator(*data, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    X = X * SCALES
    return quiet(regressor(), X, y), X, y


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    eta = np.where(X[:, 0] > 0, 1.0 + 0.5 * X[:, 1], -0.3 * X[:, 1])
    y = rng.poisson(np.exp(eta))
    return quiet(regressor(family="poisson"), X, y), X, y


@pytest.fixture(scope="module")
def with_dropped():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = np.where(X[:, 0] > 0, 2 + X[:, 1], -X[:, 1] + X[:, 2]) + 0.3 * rng.normal(size=400)
    return quiet(regressor(alpha="ard"), X, y), X, y


def caption(display):
    """The text below the panels; its getter is newer than the oldest matplotlib."""
    return display.figure_._supxlabel.get_text()


def positions(artists):
    """Horizontal values of points (F, K) or of lines (F, K, 2)."""
    rows = [[artist.get_xdata() for artist in row] for row in artists]
    return np.squeeze(np.array(rows, dtype=float))


# --- arrays and artists ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["feature", "expert"])
@pytest.mark.parametrize("standardize", [True, False])
def test_points_and_lines_are_those_of_inference(fitted, by, standardize):
    moe, X, y = fitted
    options = {"by": by, "standardize": standardize, "level": 0.8, "features": [2, 0, 1]}
    display = CoefficientsDisplay.from_estimator(moe, X, y, **options)
    result = moe.inference(X, y)
    scale = X.std(axis=0) if standardize else np.ones(3)
    for i, j in enumerate([2, 0, 1]):
        terms = [result.terms.index((f"expert {k}", "", f"x{j}")) for k in range(2)]
        assert_allclose(display.coefficients[i], result.estimates[terms] * scale[j])
        assert_allclose(display.intervals[i], result.conf_int(0.8)[terms] * scale[j])
    assert_allclose(positions(display.points_), display.coefficients)
    assert_allclose(positions(display.lines_), display.intervals)
    heights = [[point.get_ydata()[0] for point in row] for row in display.points_]
    assert_array_equal(heights, np.indices((3, 2))[1 if by == "feature" else 0])
    assert len(display.ax_) == (3 if by == "feature" else 2)
    headings = [ax.get_title(loc="left") for ax in display.ax_]
    rows = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    names = ["x2", "x0", "x1"], ["expert 0", "expert 1"]
    assert [headings, rows] == list(names if by == "feature" else names[::-1])
    step = "SD" if standardize else "unit"
    assert caption(display) == f"Effect on y, per {step} of the feature\nLines: 80 % intervals."


def test_experts_have_colours_and_markers_of_their_own(fitted):
    moe, X, y = fitted
    display = CoefficientsDisplay.from_estimator(moe, X, y)
    for k in range(2):
        for point, line in zip(display.points_[:, k], display.lines_[:, k], strict=True):
            assert point.get_color() == line.get_color() == COLOURS[k]
            assert point.get_marker() == MARKERS[k]
            assert to_rgb(point.get_markerfacecolor()) == to_rgb(COLOURS[k])


def test_axes_are_shared_where_steps_are_comparable(fitted):
    moe, X, y = fitted
    limits = {
        step: [ax.get_xlim() for ax in draw(moe, X, y, standardize=step).ax_]
        for step in (True, False)
    }
    assert len(set(limits[True])) == 1
    assert len(set(limits[False])) == 3
    by_expert = draw(moe, X, y, by="expert", standardize=False)
    assert len({ax.get_xlim() for ax in by_expert.ax_}) == 1


def test_the_largest_come_first_and_the_others_are_counted(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, max_features=2)
    size = np.abs(moe.expert_coef_ * X.std(axis=0)).max(axis=0)
    assert display.feature_names == [f"x{j}" for j in np.argsort(-size)[:2]]
    assert display.n_columns == 3
    assert "2 of 3 features, with the largest coefficients" in caption(display)
    assert "of 3 features" not in caption(draw(moe, X, y, features=[0]))


def test_weights_count_rows(fitted):
    moe, X, y = fitted
    weight = np.arange(len(y)) % 3
    twice = np.repeat(np.arange(len(y)), weight)
    weighted = draw(moe, X, y, sample_weight=weight.astype(float))
    repeated = draw(moe, X[twice], y[twice])
    assert_allclose(weighted.coefficients, repeated.coefficients)
    assert_allclose(weighted.intervals, repeated.intervals, rtol=1e-7, atol=1e-10)


# --- ratios ---------------------------------------------------------------------------------------


def test_slopes_of_a_log_link_are_ratios_on_a_log_axis(counts):
    moe, X, y = counts
    display = draw(moe, X, y, standardize=False)
    order = [int(name[1]) for name in display.feature_names]
    assert_allclose(positions(display.points_), np.exp(moe.expert_coef_.T[order]), rtol=0.02)
    assert_allclose(positions(display.lines_), np.exp(display.intervals))
    for ax in display.ax_:
        assert ax.get_xscale() == "log"
        assert ax.get_xlim()[0] < 1.0 < ax.get_xlim()[1]
        ticks = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] < tick < ax.get_xlim()[1]]
        assert len(ticks) >= 2
    assert caption(display).startswith("Ratio of the mean of y, per unit")


@pytest.mark.parametrize(
    ("low", "high"), [(0.2, 3.0), (0.4, 8.0), (0.9, 6.0), (0.01, 90.0), (1e-9, 1e9)]
)
def test_axes_of_ratios_have_a_few_round_ticks(low, high):
    ticks = ticks_of_ratios(low, high)
    assert 2 <= len(ticks) <= 6
    assert ticks.min() >= low
    assert ticks.max() <= high
    leading = ticks / 10.0 ** np.floor(np.log10(ticks) + 1e-9)
    assert set(leading.round(9)) <= {1.0, 2.0, 3.0, 5.0}


@pytest.mark.parametrize("target", [None, 0, 1])
def test_log_odds_of_two_classes_are_odds_ratios(target):
    X, y = flipping_classes()
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    display = draw(moe, X, y, target=target, features=[0, 1, 2], standardize=False)
    sign = -1.0 if target == 0 else 1.0
    expected = np.exp(
        sign * moe.expert_coef_[:, 0] if moe.expert_coef_.ndim == 3 else sign * moe.expert_coef_
    ).T
    assert_allclose(positions(display.points_), expected, rtol=0.05)
    name = f"Odds ratio of class {1 if target is None else target}, per unit of the feature"
    assert caption(display).startswith(name)


def test_logits_of_several_classes_are_no_ratios():
    X, codes = flipping_classes(n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    display = draw(moe, X, y, target="red", features=[0, 1, 2], level=None, standardize=False)
    c = list(moe.classes_).index("red")
    assert_allclose(positions(display.points_), moe.expert_coef_[:, c].T)
    assert caption(display) == "Logit of class red, per unit of the feature"
    with pytest.raises(ValueError, match="target must be one of the classes"):
        draw(moe, X, y)


def test_links_that_differ_have_axes_of_their_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = np.where(X[:, 0] > 0, rng.gamma(3.0, np.exp(X[:, 1])), 20.0 + rng.normal(size=400))
    moe = quiet(regressor(family=["gamma", "normal"]), X, y)
    display = draw(moe, X, y)
    assert display.by == "expert"
    assert [ax.get_xscale() for ax in display.ax_] == ["log", "linear"]
    with pytest.raises(ValueError, match='Use by="expert"'):
        draw(moe, X, y, by="feature")


def test_experts_without_predictor_have_no_points():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.where(X[:, 0] > 0, 0, rng.poisson(np.exp(1.0 + 0.5 * X[:, 1])))
    moe = quiet(regressor(family=["zero", "poisson"]), X, y)
    display = draw(moe, X, y)
    assert display.by == "feature"
    assert all(point is None for point in display.points_[:, 0])
    assert all(point is not None for point in display.points_[:, 1])


# --- what has no interval, was dropped, or is too long --------------------------------------------


def test_dropped_features_have_a_cross_at_zero(with_dropped):
    moe, X, y = with_dropped
    dropped = np.isposinf(moe.alpha_)
    assert 0 < dropped.sum() < 6
    display = draw(moe, X, y, by="expert")
    names = [f"x{j}" for j in range(6)]
    expected = [name for name, gone in zip(names, dropped, strict=True) if gone]
    found = [n for n, gone in zip(display.feature_names, display.dropped, strict=True) if gone]
    assert found == expected
    assert display.feature_names[-len(expected) :] == expected
    for i, gone in enumerate(display.dropped):
        for point in display.points_[i]:
            assert (point.get_marker() == "x") == gone
            assert not gone or point.get_xdata() == [0.0]
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert labels[-1] == f"{expected[-1]} (dropped)"
    assert "Crosses: dropped features." in caption(display)


def test_panels_of_features_name_those_that_were_dropped(with_dropped):
    moe, X, y = with_dropped
    dropped = [f"x{j}" for j in np.flatnonzero(np.isposinf(moe.alpha_))]
    display = draw(moe, X, y)
    assert len(display.ax_) == 6 - len(dropped)
    assert f"Dropped: {', '.join(dropped)}." in caption(display)
    alone = draw(moe, X, y, features=dropped[:1], feature_names=[f"x{j}" for j in range(6)])
    assert alone.points_[0, 0].get_marker() == "x"


def test_points_without_interval_are_hollow():
    display = CoefficientsDisplay(
        feature_names=["a"],
        expert_names=["one", "two"],
        coefficients=np.array([[1.0, 2.0]]),
        intervals=np.array([[[0.5, 1.5], [np.nan, np.nan]]]),
        level=0.95,
    ).plot()
    assert [point.get_markerfacecolor() for point in display.points_[0]] == [COLOURS[0], "white"]
    assert display.lines_[0, 1] is None
    assert "Hollow: no interval." in caption(display).replace("\n", " ")


def test_long_intervals_end_in_arrows_at_the_edge():
    display = CoefficientsDisplay(
        feature_names=["a", "b"],
        expert_names=["one"],
        coefficients=np.array([[1.0], [-1.0]]),
        intervals=np.array([[[-500.0, 500.0]], [[-2.0, 0.0]]]),
        level=0.95,
    ).plot()
    low, high = display.ax_[0].get_xlim()
    assert -6.0 < low < -4.9
    assert 4.9 < high < 6.0
    markers = [line.get_marker() for line in display.ax_[0].lines]
    assert "<" in markers
    assert ">" in markers
    assert "<" not in [line.get_marker() for line in display.ax_[1].lines]


@pytest.mark.parametrize("is_ratio", [True, False])
def test_huge_and_zero_coefficients_are_drawn(is_ratio):
    for values in ([[1e4, -1e4]], [[0.0, 0.0]], [[np.nan, 0.0]]):
        display = CoefficientsDisplay(
            feature_names=["a"],
            expert_names=["one", "two"],
            coefficients=np.array(values),
            is_ratio=np.full(2, is_ratio),
        ).plot()
        display.figure_.draw_without_rendering()
        assert np.isfinite(display.ax_[0].get_xlim()).all()


# --- what it takes --------------------------------------------------------------------------------


def test_outputs_are_chosen_and_names_are_given(fitted):
    _, X, y = fitted
    Y = np.column_stack([y, 5.0 - 2.0 * y])
    moe = quiet(regressor(), X, Y)
    display = draw(
        moe, X, pd.DataFrame(Y, columns=["speed", "force"]), target=1, expert_names=["slow", "fast"]
    )
    order = [int(name[1]) for name in display.feature_names]
    expected = (moe.expert_coef_[:, 1] * X.std(axis=0)).T[order]
    assert_allclose(display.coefficients, expected, rtol=0.02)
    assert [label.get_text() for label in display.ax_[0].get_yticklabels()] == ["slow", "fast"]
    assert "Effect on force" in caption(display)
    with pytest.raises(ValueError, match="target must be the index of an output"):
        draw(moe, X, Y)


def test_pipelines_have_the_units_of_their_input(fitted):
    moe, X, y = fitted
    pipeline = make_pipeline(StandardScaler(), regressor()).fit(X, y)
    pair = [draw(each, X, y, standardize=False) for each in (pipeline, moe)]
    assert pair[0].feature_names == pair[1].feature_names
    assert_allclose(pair[0].coefficients, pair[1].coefficients, rtol=1e-4)
    assert_allclose(pair[0].intervals, pair[1].intervals, rtol=1e-4)


def test_axes_may_be_given(fitted):
    moe, X, y = fitted
    figure, three = plt.subplots(1, 3)
    display = draw(moe, X, y, ax=three)
    assert_array_equal(display.ax_, three)
    figure, ax = plt.subplots()
    display = draw(moe, X, y, ax=ax)
    assert display.figure_ is figure
    assert "Effect on y" in display.ax_[-1].get_xlabel()
    with pytest.raises(ValueError, match="or one for each of the 3 panels; got 2"):
        draw(moe, X, y, ax=plt.subplots(1, 2)[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "row"}, "by must be one of"),
        ({"level": 95}, r"level must be in \(0, 1\)"),
        ({"max_features": 0}, "max_features must be an integer"),
        ({"standardize": 1}, "standardize must be True or False"),
        ({"features": ["depth"]}, "X has none"),
        ({"expert_names": ["one"]}, "one name for each of the 2 experts"),
    ],
)
def test_bad_requests(fitted, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        draw(moe, X, y, **options)


def test_experts_without_coefficients_are_refused(fitted):
    _, X, y = fitted
    trees = quiet(regressor(expert="tree", max_iter=2), X, y)
    with pytest.raises(
        ValueError, match=r"linear predictors; got expert='tree'.*ImportanceDisplay"
    ):
        draw(trees, X, y)


def test_experts_with_intercepts_only_are_refused(fitted):
    _, X, y = fitted
    moe = quiet(regressor(expert_features=[]), X, y)
    with pytest.raises(ValueError, match="these have intercepts only"):
        draw(moe, X, y)


@pytest.mark.parametrize("by", ["feature", "expert"])
@pytest.mark.parametrize("n_experts", [1, 12])
def test_names_and_captions_stay_inside_the_figure(by, n_experts):
    X, y = two_regimes(400, n_features=14)
    names = [f"a very long name of feature {j} that goes on and on" for j in range(14)]
    frame = pd.DataFrame(X, columns=names)
    moe = quiet(regressor(n_experts, max_iter=3), frame, y)
    display = draw(moe, frame, y, by=by, level=None)
    display.figure_.draw_without_rendering()
    edges = display.figure_.bbox
    assert len(display.ax_) == (12 if by == "feature" else n_experts)
    texts = [ax._left_title for ax in display.ax_] + display.ax_[0].get_yticklabels()
    for text in [*texts, display.figure_._supxlabel]:
        box = text.get_window_extent()
        assert edges.x0 <= box.x0
        assert box.x1 <= edges.x1
    rows = [label.get_window_extent() for label in display.ax_[0].get_yticklabels()]
    for upper, lower in pairwise(rows):
        assert lower.y1 < upper.y0 + 2.0


@pytest.mark.parametrize("n_experts", [1, 2, 5])
def test_headings_of_several_lines_have_room(n_experts):
    rng = np.random.default_rng(2)
    names = ["a", "b", "number of previous hospital visits in the last twelve months"]
    X = pd.DataFrame(rng.normal(size=(160, 3)), columns=names)
    y = np.where(rng.uniform(size=160) < 0.5, 1.0 + X["a"], 2.0 - X["a"])
    moe = quiet(MixtureOfExpertsRegressor(n_experts, n_init=1, random_state=0), X, y)
    display = CoefficientsDisplay.from_estimator(moe, X, y, by="feature")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display.figure_.canvas.draw()
    heights = [cells.get_window_extent().height for cells in display.ax_]
    assert min(heights) > 12.0 * n_experts
    plt.close("all")
