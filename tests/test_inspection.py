"""Pictures and descriptions say what the public methods of the estimator say."""

import re
import sys
import warnings
from dataclasses import dataclass

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from regimes import crossing_lines, flipping_classes, two_regimes
from scipy import sparse, stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.distributions import GammaComponents, PointMassComponents, predictive_distribution
from skmoe.experts import EXPERTS, LinearExperts
from skmoe.inspection import (
    CalibrationDisplay,
    CoefficientsDisplay,
    ConvergenceDisplay,
    ExpertsDisplay,
    GateDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)

matplotlib.use("Agg")
NAMES = ["depth", "width", "height"]


@pytest.fixture(scope="module")
def regression():
    X, y = two_regimes()
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, y), X, y


@pytest.fixture(scope="module")
def classification():
    X, codes = flipping_classes(n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    return MixtureOfExpertsClassifier(2, random_state=0).fit(X, y), X, y


@pytest.fixture(scope="module")
def trees():
    X, y = two_regimes(n_rows=200)
    frame = pd.DataFrame(X, columns=NAMES)
    frame["kind"] = pd.Categorical(np.where(X[:, 1] > -0.5, "often", "rare"))
    frame.loc[3, "width"] = np.nan
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return moe.fit(frame, y), frame, y


@pytest.fixture(scope="module")
def outputs():
    X, y = two_regimes()
    Y = np.column_stack([y, 5.0 - 2.0 * y])
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y), X, Y


def held(X, column, values):
    """Rows at the medians of X but for one column."""
    rows = np.tile(np.median(X, axis=0), (len(values), 1))
    rows[:, column] = values
    return rows


def drawn(line):
    return np.asarray(line.get_ydata())


# --- the gate ---------------------------------------------------------------------------------


def test_gate_over_one_feature(regression):
    moe, X, _ = regression
    display = GateDisplay.from_estimator(moe, X, 1, grid_resolution=30)
    grid = np.linspace(X[:, 1].min(), X[:, 1].max(), 30)
    assert_allclose(display.values[0], grid)
    assert_allclose(display.gate, moe.predict_gate(held(X, 1, grid)))
    assert_allclose(np.transpose([drawn(line) for line in display.lines_]), display.gate)
    assert_allclose(display.deciles[0], np.quantile(X[:, 1], np.arange(1, 10) / 10))
    assert display.ax_.get_xlabel() == "x1"
    labels = [text.get_text() for text in display.legend_.get_texts()]
    assert labels[:2] == ["expert 0", "expert 1"]


def test_gate_over_two_features(regression):
    moe, X, _ = regression
    display = GateDisplay.from_estimator(moe, X, (2, 0), grid_resolution=20)
    across, up = display.values
    rows = held(X, 2, across)
    rows[:, 0] = up[4]
    assert_allclose(display.gate[4], moe.predict_gate(rows))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x2", "x0")
    assert display.image_.get_extent() == pytest.approx([across[0], across[-1], up[0], up[-1]])
    assert display.image_.origin == "lower"
    for k, label in enumerate(display.labels_):
        i, j = (
            np.argmin(np.abs(v - p))
            for v, p in zip(display.values, label.get_position(), strict=True)
        )
        assert display.gate[j, i].argmax() == int(label.get_text()) == k


def test_regions_are_pale_where_the_gate_is_uncertain():
    gate = np.array([[[0.5, 0.5], [1.0, 0.0], [0.1, 0.9]]] * 2)
    display = GateDisplay(
        feature_names=["a", "b"], values=[np.arange(3.0), np.arange(2.0)], gate=gate
    ).plot()
    ink = 1.0 - np.asarray(display.image_.get_array())[0]
    for point, colour in [(1, "#0072B2"), (2, "#E69F00")]:
        own = 1.0 - np.array(to_rgb(colour))
        assert_allclose(ink[point] / ink[point].sum(), own / own.sum())
    assert 0.0 < ink[0].sum() < 0.3 * ink[1].sum()


def test_features_by_name_in_frames_of_any_kind(regression):
    moe, X, y = regression
    expected = GateDisplay.from_estimator(moe, X, 1).gate
    for make in (pd.DataFrame, pl.DataFrame):
        frame = make(dict(zip(NAMES, X.T, strict=True)))
        named = MixtureOfExpertsRegressor(2, random_state=0).fit(frame, y)
        display = GateDisplay.from_estimator(named, frame, "width")
        assert_allclose(display.gate, expected)
        assert display.ax_.get_xlabel() == "width"
    display = GateDisplay.from_estimator(moe, X, "width", feature_names=NAMES)
    assert_allclose(display.gate, expected)
    assert display.ax_.get_xlabel() == "width"


def test_sparse_rows_are_held_at_their_medians(regression):
    _, X, y = regression
    X = X.copy()
    X[X[:, 1] < 0.5, 1] = 0.0  # most of the column
    X[:, 2] = np.where(np.arange(len(X)) % 7, X[:, 2] + 3.0, 0.0)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(sparse.csr_array(X), y)
    display = GateDisplay.from_estimator(moe, sparse.csr_array(X), 0)
    assert_allclose(display.gate, moe.predict_gate(held(X, 0, display.values[0])))
    assert np.median(X[:, 2]) > 1.0


def test_categories_are_held_at_the_most_frequent(trees):
    moe, frame, _ = trees
    display = GateDisplay.from_estimator(moe, frame, "width")
    rows = frame.iloc[[0] * len(display.values[0])].reset_index(drop=True)
    for name in ("depth", "height"):
        rows[name] = frame[name].median()
    rows["width"] = display.values[0]
    rows["kind"] = pd.Categorical(["often"] * len(rows), categories=["often", "rare"])
    assert_allclose(display.gate, moe.predict_gate(rows))
    with pytest.raises(ValueError, match="'kind' holds categories"):
        GateDisplay.from_estimator(moe, frame, ("width", "kind"))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((0, 1, 2), "features must be one feature or two.*got \\(0, 1, 2\\).*two at a time"),
        ([], "features must not be empty"),
        ([0, (0, 1, 2)], "features must be one feature or two"),
        (3, "features must hold column indices of X, from 0 to 2; got 3"),
        ("width", "X has none"),
        ((1, 1), "must not name a feature twice"),
        (1.5, "features must be"),
    ],
)
def test_features_that_cannot_be_drawn(regression, features, message):
    moe, X, _ = regression
    with pytest.raises(ValueError, match=message):
        GateDisplay.from_estimator(moe, X, features)


# --- the experts ------------------------------------------------------------------------------


def test_experts_of_a_regressor(regression):
    moe, X, y = regression
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, grid_resolution=25, coverage=0.8)
    rows = held(X, 1, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows))
    assert_allclose(display.gate, moe.predict_gate(rows))
    assert_allclose(drawn(display.line_), moe.predict(rows))
    assert_allclose(display.band, moe.predict_interval(rows, 0.8))
    assert (display.band[:, 0] < display.mean).all()
    assert (display.band[:, 1] > display.mean).all()
    assert_allclose(display.x, X[:, 1])
    assert_allclose(display.y, y)
    assert_array_equal(display.assigned_expert, moe.responsibilities(X, y).argmax(axis=1))
    assert "80 % interval" in [text.get_text() for text in display.legend_.get_texts()]


def test_curves_are_as_opaque_as_the_gate(regression):
    moe, X, y = regression
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    assert display.band_ is None
    for curve, gate in zip(display.curves_, display.gate.T, strict=True):
        opacity = curve.get_colors()[:, 3]
        assert_array_equal(np.argsort(opacity), np.argsort(gate[1:] + gate[:-1]))
        assert opacity.min() > 0.0
        assert opacity.max() == pytest.approx(1.0, abs=0.01)


def test_rows_have_the_colour_of_their_expert(regression):
    moe, X, y = regression
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    colours = display.scatter_.get_facecolors()[:, :3]
    lines = [curve.get_colors()[0, :3] for curve in display.curves_]
    for k in range(2):
        own = colours[display.assigned_expert == k]
        assert len(own) > 0
        assert_allclose(own, np.broadcast_to(lines[k], own.shape))


def test_adjusted_rows_are_residuals_about_their_expert(regression):
    moe, X, y = regression
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None, adjust=True)
    each = np.arange(len(X))
    residual = y - moe.predict_experts(X)[each, display.assigned_expert]
    curve = moe.predict_experts(held(X, 0, X[:, 0]))[each, display.assigned_expert]
    assert_allclose(display.y, curve + residual)
    assert "other features at medians" in display.ax_.get_ylabel()


def test_rows_are_adjusted_for_the_output_that_is_shown(regression):
    _, X, y = regression
    Y = np.column_stack([y, 3.0 * y + X[:, 1]])
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, Y)
    display = ExpertsDisplay.from_estimator(moe, X, Y, 0, target=1, coverage=None, adjust=True)
    each = np.arange(len(X))
    residual = Y[:, 1] - moe.predict_experts(X)[each, display.assigned_expert, 1]
    curve = moe.predict_experts(held(X, 0, X[:, 0]))[each, display.assigned_expert, 1]
    assert_allclose(display.y, curve + residual)


def test_a_sample_of_the_rows_is_shown(regression):
    moe, X, y = regression
    display = ExpertsDisplay.from_estimator(
        moe, X, y, 0, coverage=None, subsample=50, random_state=0
    )
    assert len(display.x) == len(display.y) == len(display.assigned_expert) == 50
    rows = np.searchsorted(np.sort(X[:, 0]), display.x)
    order = np.argsort(X[:, 0])[rows]
    assert_allclose(y[order], display.y)


def test_experts_of_a_classifier(classification):
    moe, X, y = classification
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, target="red")
    c = list(moe.classes_).index("red")
    rows = held(X, 1, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows)[:, :, c])
    assert_allclose(drawn(display.line_), moe.predict_proba(rows)[:, c])
    assert_array_equal(display.y, y == "red")
    heights = display.scatter_.get_offsets()[:, 1]
    assert (heights[y == "red"] > 1.0).all()
    assert (heights[y != "red"] < 0.0).all()
    assert display.band is None
    assert display.ax_.get_ylabel() == "Probability of class red"


def test_two_classes_show_the_second():
    X, y = flipping_classes()
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    display = ExpertsDisplay.from_estimator(moe, X, y, 1)
    assert_allclose(display.mean, moe.predict_proba(held(X, 1, display.grid))[:, 1])


def test_experts_of_several_outputs(outputs):
    moe, X, Y = outputs
    display = ExpertsDisplay.from_estimator(moe, X, Y, 0, target=1, coverage=None)
    rows = held(X, 0, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows)[:, :, 1])
    assert_allclose(display.mean, moe.predict(rows)[:, 1])
    assert_allclose(display.y, Y[:, 1])
    assert display.ax_.get_ylabel() == "y1"
    display = ExpertsDisplay.from_estimator(
        moe, X, pd.DataFrame(Y, columns=["speed", "force"]), 0, target=1, coverage=None
    )
    assert display.ax_.get_ylabel() == "force"


def test_the_band_of_several_outputs(outputs):
    moe, X, Y = outputs
    for i in (0, 1):
        display = ExpertsDisplay.from_estimator(moe, X, Y, 0, target=i)
        rows = held(X, 0, display.grid)
        assert_allclose(display.band, moe.predict_interval(rows, 0.9)[:, :, i])


def test_experts_that_are_trees(trees):
    moe, frame, y = trees
    display = ExpertsDisplay.from_estimator(moe, frame, pd.Series(y, name="yield"), "width")
    assert display.ax_.get_ylabel() == "yield"
    assert len(display.x) == len(frame) - 1  # the hole is not drawn
    assert np.isfinite(display.curves).all()
    assert_allclose(display.y, np.delete(y, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": (0, 1)}, "features must be one feature.*each at a time"),
        ({"coverage": 1.0}, r"coverage must be a probability in \(0, 1\); got 1.0"),
        ({"coverage": "wide"}, "coverage must be a probability"),
        ({"grid_resolution": 1}, "grid_resolution must be an integer of at least 2"),
        ({"subsample": 0}, "subsample must be an integer of at least 2"),
        ({"adjust": "yes"}, "adjust must be True or False"),
        ({"target": 1}, "target must be the index of an output, from 0 to 0; got 1"),
        ({"feature_names": ["a"]}, "feature_names must have one name for each of the 3"),
        ({"feature_names": "abc"}, "feature_names must be a list of names"),
    ],
)
def test_bad_requests_of_experts(regression, options, message):
    moe, X, y = regression
    with pytest.raises(ValueError, match=message):
        ExpertsDisplay.from_estimator(moe, X, y, **({"features": 0, "coverage": None} | options))


def test_the_output_or_class_must_be_named(outputs, classification):
    moe, X, Y = outputs
    with pytest.raises(ValueError, match="target must be the index of an output, from 0 to 1"):
        ExpertsDisplay.from_estimator(moe, X, Y, 0)
    moe, X, y = classification
    with pytest.raises(ValueError, match=r"target must be one of the classes.*got None"):
        ExpertsDisplay.from_estimator(moe, X, y, 0)


def test_a_constant_feature_cannot_be_drawn(regression):
    moe, X, _ = regression
    same = X[np.zeros(5, dtype=int)]
    with pytest.raises(ValueError, match="must vary in X to be drawn; 'x0' does not"):
        GateDisplay.from_estimator(moe, same)


@dataclass(frozen=True)
class UnnamedDensity(LinearExperts):
    """Linear experts without a predictive distribution."""

    components = None


@pytest.fixture
def other_family(monkeypatch):
    monkeypatch.setitem(EXPERTS, "unnamed", {"regressor": UnnamedDensity})
    X, y = two_regimes()
    return MixtureOfExpertsRegressor(2, expert="unnamed", random_state=0).fit(X, y), X, y


def test_experts_without_intervals(other_family):
    moe, X, y = other_family
    with pytest.raises(ValueError, match=r"UnnamedDensity.*coverage=None"):
        ExpertsDisplay.from_estimator(moe, X, y, 0)
    assert ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None).band is None
    assert export_text(moe).count("  y = ") == 2


# --- convergence, responsibilities, calibration -----------------------------------------------


def test_convergence_shows_every_start(regression):
    moe, _, _ = regression
    display = ConvergenceDisplay.from_estimator(moe, color="black")
    assert_allclose(drawn(display.line_), moe.lower_bounds_)
    assert display.line_.get_color() == "black"
    assert len(display.start_lines_) == moe.n_init == 4
    for line, trace in zip(display.start_lines_, moe.start_traces_, strict=True):
        assert_allclose(drawn(line), trace)
    converged = moe.start_converged_
    assert 0 < converged.sum() < 4
    assert_allclose(drawn(display.start_ends_), moe.start_lower_bounds_[converged])
    assert_allclose(drawn(display.dropped_ends_), moe.start_lower_bounds_[~converged])
    assert display.dropped_ends_.get_fillstyle() == "none"
    labels = [text.get_text() for text in display.legend_.get_texts()]
    assert labels == ["kept run", "starts", "converged", "dropped before"]
    assert display.ax_.get_ylim()[1] > moe.lower_bound_


@pytest.mark.parametrize("max_iter", [1, 2])
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_convergence_of_short_fits(max_iter):
    X, y = crossing_lines()
    moe = MixtureOfExpertsRegressor(2, max_iter=max_iter, n_init=1, random_state=0).fit(X, y)
    display = ConvergenceDisplay.from_estimator(moe)
    low, high = display.ax_.get_ylim()
    assert low <= moe.lower_bound_ <= high


def test_responsibilities_are_counted(regression):
    moe, X, y = regression
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    assert_allclose(display.responsibilities, resp)
    assert_allclose(display.usage, resp.mean(axis=0))
    assigned = resp.argmax(axis=1)
    assert_allclose(display.assigned_share, [(assigned == k).mean() for k in range(2)])
    for k in range(2):
        assert_allclose(display.certainty[k], resp[assigned == k, k])
    assert_allclose([bar.get_height() for bar in display.usage_bars_], display.usage)
    assert_allclose([bar.get_height() for bar in display.assigned_bars_], display.assigned_share)
    assert len(display.ax_) == len(display.boxes_) == 2


def test_an_expert_without_rows_has_no_box():
    display = ResponsibilitiesDisplay.from_predictions([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    assert_allclose(display.assigned_share, [0.5, 0.5, 0.0])
    assert len(display.boxes_) == 2
    assert len(display.usage_bars_) == 3


@pytest.mark.parametrize(
    ("responsibilities", "message"),
    [
        ([0.5, 0.5], r"must have shape \(n_samples, n_experts\)"),
        ([[0.5, 0.5], [0.5, 0.6]], "row 1 is"),
        ([[1.5, -0.5]], "must be non-negative"),
        ([[np.nan, 1.0]], "row 0 is"),
    ],
)
def test_bad_responsibilities(responsibilities, message):
    with pytest.raises(ValueError, match=message):
        ResponsibilitiesDisplay.from_predictions(responsibilities)


def test_calibration_of_a_regressor(regression):
    moe, X, y = regression
    display = CalibrationDisplay.from_estimator(moe, X, y, n_bins=8)
    pit = moe.predict_dist(X).cdf(y)
    assert_allclose(display.pit, pit)
    level = list(np.round(display.nominal, 10)).index(0.9)
    low, high = moe.predict_interval(X, 0.9).T
    assert_allclose(display.coverage[level], ((low <= y) & (y <= high)).mean(), atol=1e-12)
    assert len(display.density) == 8


def test_calibration_of_one_output(outputs):
    moe, X, Y = outputs
    display = CalibrationDisplay.from_estimator(moe, X, Y, target=1)
    assert_allclose(display.pit, moe.predict_dist(X).cdf(Y)[:, 1])
    with pytest.raises(ValueError, match="target must be the index of an output"):
        CalibrationDisplay.from_estimator(moe, X, Y)


def test_calibration_of_counts_spreads_rows_over_their_steps():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 1))
    y = rng.poisson(np.exp(X[:, 0] - 1))  # most are zero or one
    moe = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)
    display = CalibrationDisplay.from_estimator(moe, X, y)
    assert_allclose(display.coverage, display.nominal, atol=0.03)
    assert_allclose(display.density, 1.0, atol=0.15)
    dist = moe.predict_dist(X)
    assert_array_equal(display.pit, dist.cdf(y))
    assert_array_equal(display.pit_left, dist.cdf(y - 1))
    # What is drawn is the mean of what randomised transforms give.
    uniform = rng.uniform(size=(400, len(y)))
    pit = display.pit_left + uniform * (display.pit - display.pit_left)
    counts = np.histogram(pit, 10, (0.0, 1.0))[0] / len(uniform)
    assert_allclose(display.density, 10 * counts / len(y), rtol=0.01)


def test_calibration_of_distributions_with_a_point_mass():
    zero, gamma = np.zeros((1, 1, 3000)), np.full((1, 1, 3000), 2.0)
    one = np.ones((1, 3000))
    parts = [PointMassComponents(one, zero), GammaComponents(one, gamma, gamma)]
    dist = predictive_distribution(parts, np.tile([[0.3], [0.7]], 3000), True)
    y = dist.rvs(random_state=0)
    assert (y == 0).any()
    display = CalibrationDisplay.from_predictions(dist.cdf(y), pit_left=dist.cdf_left(y))
    assert_allclose(display.coverage, display.nominal, atol=0.03)
    assert_allclose(display.density, 1.0, atol=0.2)
    without = CalibrationDisplay.from_predictions(dist.cdf(y))
    assert_allclose(without.density[:2], 0.0)


def test_calibration_of_given_distributions():
    pit = np.r_[np.full(30, 0.5), np.full(10, 0.02)]
    display = CalibrationDisplay.from_predictions(pit, n_bins=4)
    assert_allclose(display.density, [1.0, 0.0, 3.0, 0.0])
    assert_allclose(display.coverage, np.where(display.nominal >= 0.96, 1.0, 0.75))
    assert_allclose(display.stairs_.get_data().values, display.density)
    assert_allclose(drawn(display.line_), display.coverage)


def test_chance_allows_what_it_should():
    """Uniform PITs leave the grey band as often as it says."""
    display = CalibrationDisplay.from_predictions(np.linspace(0.0, 1.0, 100))
    heights = display.bands_[1].get_paths()[0].vertices
    for nominal in (0.25, 0.9):
        expected = stats.binom.ppf([0.025, 0.975], 100, nominal) / 100
        at = heights[np.isclose(heights[:, 0], nominal), 1]
        assert_allclose([at.min(), at.max()], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("pit", "message"),
    [
        ([[0.5]], "pit must be one-dimensional"),
        ([], "pit must be one-dimensional"),
        ([0.5, 1.5], "pit must lie between 0 and 1.*got 1.5"),
        ([0.5, np.nan], "pit must lie between 0 and 1.*got nan"),
    ],
)
def test_bad_pits(pit, message):
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions(pit)


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ([0.1], r"pit_left must have the shape of pit, \(2,\); got \(1,\)"),
        ([0.1, 0.7], "pit_left must lie between 0 and pit.*got 0.7 for 0.6"),
        ([-0.1, 0.1], "pit_left must lie between 0 and pit.*got -0.1"),
        ([0.1, np.nan], "pit_left must lie between 0 and pit.*got nan"),
    ],
)
def test_bad_limits_of_pits(left, message):
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions([0.5, 0.6], pit_left=left)


def test_bins_must_be_a_number():
    with pytest.raises(ValueError, match="n_bins must be an integer of at least 2"):
        CalibrationDisplay.from_predictions([0.5], n_bins=1)


def test_calibration_of_classes_is_elsewhere(classification):
    moe, X, y = classification
    with pytest.raises(TypeError, match=r"sklearn\.calibration\.CalibrationDisplay"):
        CalibrationDisplay.from_estimator(moe, X, y)


# --- what all displays share ------------------------------------------------------------------

DISPLAYS = {
    "gate": lambda moe, X, y, **options: GateDisplay.from_estimator(moe, X, **options),
    "experts": lambda moe, X, y, **options: ExpertsDisplay.from_estimator(
        moe, X, y, coverage=None, **options
    ),
    "convergence": lambda moe, X, y, **options: ConvergenceDisplay.from_estimator(moe, **options),
    "calibration": lambda moe, X, y, **options: CalibrationDisplay.from_estimator(
        moe, X, y, **options
    ),
    "responsibilities": lambda moe, X, y, **options: ResponsibilitiesDisplay.from_estimator(
        moe, X, y, **options
    ),
    "coefficients": lambda moe, X, y, **options: CoefficientsDisplay.from_estimator(
        moe, X, y, level=None, **options
    ),
    "regimes": lambda moe, X, y, **options: RegimesDisplay.from_estimator(moe, X, y, **options),
    "prediction": lambda moe, X, y, **options: PredictionDisplay.from_estimator(
        moe, X, y, **options
    ),
    "importance": lambda moe, X, y, **options: ImportanceDisplay.from_estimator(
        moe, X, y, n_repeats=1, **options
    ),
    "profile": lambda moe, X, y, **options: SegmentProfileDisplay.from_estimator(
        moe, X, y, level=None, **options
    ),
}


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_axes_are_those_given_and_a_display_draws_again(regression, draw):
    plt.close("all")  # what tests elsewhere, and examples of docstrings, have left open
    figure, ax = plt.subplots()
    display = draw(*regression, ax=ax)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_only_fitted_mixtures_are_drawn(regression, draw):
    moe, X, y = regression
    with pytest.raises(NotFittedError):
        draw(MixtureOfExpertsRegressor(), X, y)
    with pytest.raises(TypeError, match="estimator must be a mixture of experts; got Ridge"):
        draw(Ridge().fit(X, y), X, y)
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X, y)
    with pytest.raises(TypeError, match=r"got Ridge.*pipeline or search that ends in one"):
        draw(pipeline, X, y)
    search = GridSearchCV(moe, {"n_experts": [1]}, cv=2, refit=False)
    with pytest.raises(NotFittedError):
        draw(search, X, y)
    with pytest.raises(TypeError, match=r"got GridSearchCV.*refit=True"):
        draw(search.fit(X, y), X, y)
    transformed = TransformedTargetRegressor(moe).fit(X, y)
    with pytest.raises(TypeError, match="Pass its regressor_"):
        draw(transformed, X, y)


@pytest.mark.parametrize("draw", DISPLAYS.values(), ids=DISPLAYS)
def test_without_matplotlib_the_extra_is_named(regression, draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ImportError, match=r"Display\.from_estimator needs matplotlib,.*skmoe\[plot\]"
    ):
        draw(*regression)


def test_boxes_of_experts_stand_over_their_names():
    responsibilities = np.array([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.1, 0.0, 0.9]])
    for names in (None, ["one", "two", "three"]):
        display = ResponsibilitiesDisplay.from_predictions(responsibilities, expert_names=names)
        labels = names or ["0", "1", "2"]
        for ax in display.ax_:
            ticks = [label.get_text() for label in ax.get_xticklabels()]
            assert dict(zip(ax.get_xticks(), ticks, strict=True)) == dict(enumerate(labels))
        centres = [box.get_path().vertices[:4, 0].mean() for box in display.boxes_]
        assert_allclose(centres, [1.0, 2.0])  # the first expert has no rows


def test_two_axes_may_be_given(regression):
    moe, X, y = regression
    _, pair = plt.subplots(1, 2)
    assert_array_equal(ResponsibilitiesDisplay.from_estimator(moe, X, y, ax=pair).ax_, pair)
    _, three = plt.subplots(1, 3)
    with pytest.raises(ValueError, match="ax must be one matplotlib axes, or two; got 3"):
        ResponsibilitiesDisplay.from_estimator(moe, X, y, ax=three)


def test_many_experts_stay_apart():
    gate = np.full((5, 20), 0.05)
    display = GateDisplay(feature_names=["x"], values=[np.arange(5.0)], gate=gate).plot()
    styles = {(line.get_color(), line.get_linestyle()) for line in display.lines_}
    assert len(styles) == 20


# --- text, diagram, notebook ------------------------------------------------------------------


def numbers_after(text, name):
    return float(re.search(rf"{name} ([+-]?[\d.]+)", text)[1])


def test_text_of_gate_and_equation(regression):
    moe, X, _ = regression
    text = export_text(moe, NAMES, X=X, decimals=6)
    blocks = text.split("\n\n")[1:]
    assert len(blocks) == 2
    for k, block in enumerate(blocks):
        head, gate, equation, noise = block.splitlines()
        assert head == f"expert {k} (linear), {100 * moe.weights_[k]:.0f} % of the rows"
        assert "log odds per standard deviation" in gate
        log_odds = (moe.gate_coef_[k] - moe.gate_coef_[1 - k]) * X.std(axis=0)
        for j, name in enumerate(NAMES):
            assert numbers_after(gate, name) == pytest.approx(log_odds[j], abs=1e-6)
            sign = "-" if moe.expert_coef_[k, j] < 0 else "+"
            assert f"{sign} {abs(moe.expert_coef_[k, j]):.6f} {name}" in equation
        assert equation.strip().startswith(f"y = {moe.expert_intercept_[k]:.6f}")
        assert f"{np.sqrt(moe.noise_variance_[k]):.6f}" in noise
        assert gate.index("depth") < gate.index("width")  # the first feature chooses


def test_text_names_the_largest_only(regression):
    moe, _, _ = regression
    text = export_text(moe, max_features=1)
    gate = text.splitlines()[3]
    assert "log odds per unit: x0" in gate
    assert gate.endswith("and 2 more")
    assert "x1" not in gate
    assert "more" not in export_text(moe, max_features=None)


def test_text_of_classes(classification):
    text = export_text(classification[0])
    for label in ("red", "green", "blue"):
        assert text.count(f"logit of class {label} = ") == 2
    X, y = flipping_classes()
    text = export_text(MixtureOfExpertsClassifier(2, random_state=0).fit(X, y))
    assert text.count("log odds of class 1 = ") == 2
    assert "noise" not in text


def test_text_of_several_outputs(outputs):
    text = export_text(outputs[0])
    assert text.count("y0 = ") == text.count("y1 = ") == 2
    deviations = ", ".join(f"{value:.2f}" for value in np.sqrt(outputs[0].noise_variance_[0]))
    assert f"noise: standard deviation {deviations}" in text


def test_text_of_estimators(trees):
    moe, frame, _ = trees
    text = export_text(moe, X=frame, max_features=None)
    assert "expert 0 (DecisionTreeRegressor)" in text
    assert "average of 5 models" in text
    leaves = [pipeline[-1].get_n_leaves() for pipeline in moe.experts_[0]]
    same = min(leaves) == max(leaves)
    assert f"{leaves[0] if same else f'{min(leaves)} to {max(leaves)}'} leaves" in text
    # The gate sees categories as numbers.
    named = [f" {name} " in text for name in moe.gate_feature_names_]
    assert sum(named) == frame.shape[1]  # as many as there are features
    assert moe.gate_coef_[:, named].all()
    assert "effects" not in export_mermaid(moe, X=frame)


@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_text_of_importances_and_nested_mixtures():
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(
        2,
        expert=["tree", MixtureOfExpertsRegressor(2, n_init=1)],
        n_init=1,
        max_iter=3,
        random_state=0,
    ).fit(X, y)
    first, second = export_text(moe, NAMES).split("\n\n")[1:]
    importance = np.mean([tree.feature_importances_ for tree in moe.experts_[0]], axis=0)
    best = int(np.argmax(importance))
    assert f"feature importances: {NAMES[best]} {importance[best]:.2f}" in first
    assert "itself a mixture of 2 experts" in second
    assert "noise" in first
    assert "noise" not in second  # its density is its own
    assert export_mermaid(moe).count("noise") == 1
    assert [bool(row[4]) for row in cells(html(moe))] == [True, False]


def test_text_of_gates_without_features():
    X, y = crossing_lines()
    assert "gate: the same for all rows" in export_text(
        MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y)
    )
    alone = export_text(MixtureOfExpertsRegressor(1).fit(X, y))
    assert "1 expert," in alone
    assert "gate:" not in alone


@pytest.mark.parametrize("options", [{"max_features": 0}, {"decimals": -1}])
def test_bad_wishes_of_text(regression, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer"):
        export_text(regression[0], **options)


def test_mermaid_shows_the_routing(regression):
    moe, X, _ = regression
    lines = export_mermaid(moe, NAMES, X=X, max_features=1).splitlines()
    assert lines[0] == "flowchart LR"
    assert '"softmax gate<br/>largest effects: depth"' in lines[1]
    for k in range(2):
        share = f"{100 * moe.weights_[k]:.0f} %"
        assert f'gate -->|"{share}"| expert{k}["expert {k}<br/>' in lines[2 + k]
        assert f"expert{k} --> output" in lines[4 + k]
    assert '(["mean of y"])' in lines[4]
    assert "effects" not in export_mermaid(moe)


def test_mermaid_escapes_names(regression):
    moe, X, _ = regression
    names = ['say "hi"', "a<b>|c]}", "x`#1;\ny"]
    diagram = export_mermaid(moe, names, X=X)
    gate = diagram.splitlines()[1]
    inside = re.fullmatch(r' *input\["3 features"\] --> gate\{"([^"]*)"\}', gate)[1]
    for character in "<>|]}`\n":
        assert character not in inside.replace("<br/>", "")
    decoded = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), inside)
    for name in names:
        assert " ".join(name.split()) in decoded


def test_mermaid_of_trees_and_classes(trees, classification):
    assert "expert 0<br/>DecisionTreeRegressor<br/>noise " in export_mermaid(trees[0])
    assert "probabilities of the classes" in export_mermaid(classification[0])


def html(estimator):
    bundle = estimator._repr_mimebundle_()
    assert bundle["text/plain"] == repr(estimator)
    return bundle["text/html"]


def cells(page):
    table = page[page.index('class="skmoe-experts"') :]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


def test_notebooks_show_the_experts(regression, trees, classification):
    moe = regression[0]
    for page in (html(moe), moe._repr_html_()):
        assert "sk-top-container" in page  # scikit-learn's own
        for k, row in enumerate(cells(page)):
            assert row[:2] == [f"expert {k}", "linear"]
            assert row[2].endswith(f"{100 * moe.weights_[k]:.0f} %")
            assert row[3] == f"{moe.load_[k]:.6g}"
            assert row[4] == f"{np.sqrt(moe.noise_variance_[k]):.3g}"
        assert len(cells(page)) == 2
    assert cells(html(trees[0]))[0][1] == "DecisionTreeRegressor"
    assert len(cells(html(classification[0]))[0]) == 4


@pytest.mark.parametrize(
    ("family", "columns"),
    [
        ("gamma", ["dispersion_"]),
        (["gamma", "zero"], ["dispersion_"]),
        ("student_t", ["dispersion_", "df_"]),
        (["normal", "student_t"], ["noise_variance_", "dispersion_", "df_"]),
        ("poisson", []),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_notebooks_and_diagrams_show_dispersions(family, columns, n_outputs):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 2))
    y = rng.gamma(3.0, np.exp(1 + X)[:, :n_outputs])
    if family == "poisson":
        y = np.floor(y)
    if "zero" in family:
        y[::3] = 0.0
    moe = MixtureOfExpertsRegressor(2, family=family, n_init=1, random_state=0)
    moe = moe.fit(X, y if n_outputs == 2 else y[:, 0])
    words = {"dispersion_": "dispersion", "df_": "degrees of freedom"}
    page, diagram = moe._repr_html_(), export_mermaid(moe)
    for name, word in words.items():
        assert (f">{word}</th>" in page) == (name in columns)
        assert (word in diagram) == (name in columns)
    for k, row in enumerate(cells(page)):
        [box] = [line for line in diagram.splitlines() if f'["expert {k}<br/>' in line]
        assert len(row) == 4 + len(columns)
        for name, cell in zip(columns, row[4:], strict=True):
            values = np.atleast_1d(getattr(moe, name)[k])
            values = np.sqrt(values) if name == "noise_variance_" else values
            shown = ", ".join(f"{value:.3g}" for value in values)
            assert cell == ("" if np.isnan(values).all() else shown)
            if cell:
                assert f"<br/>{words.get(name, 'noise')} {cell}" in box


def test_notebooks_before_the_fit_and_inside_pipelines(regression):
    _, X, y = regression
    assert "skmoe-experts" not in html(MixtureOfExpertsRegressor())
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, n_init=1))
    for estimator in (pipeline, pipeline.fit(X, y)):
        assert "MixtureOfExpertsRegressor" in html(estimator)
    assert "skmoe-experts" in html(pipeline[-1])


def test_notebooks_that_want_text_get_text(regression):
    with sklearn.config_context(display="text"):
        assert not hasattr(regression[0], "_repr_html_")
        assert "text/html" not in regression[0]._repr_mimebundle_()
