"""Rootograms: bars and line are those of probabilities and rows counted anew."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import RootogramDisplay

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")


def table(n_rows=600):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    counts = rng.poisson(np.exp(1 + X[:, 0]))
    return X, np.where(rng.uniform(size=n_rows) < 0.3, 0, counts)


@pytest.fixture(scope="module")
def inflated():
    X, y = table()
    return MixtureOfExpertsRegressor(2, family=["zero", "poisson"], random_state=0).fit(X, y), X, y


def bars(display):
    """Ends of the bars, from below."""
    return np.array([[bar.get_y(), bar.get_y() + bar.get_height()] for bar in display.bars_])


def test_frequencies_are_those_of_the_rows_and_of_the_mixture(inflated):
    moe, X, y = inflated
    display = RootogramDisplay.from_estimator(moe, X, y)
    gate, rate = moe.predict_gate(X), np.exp(moe.expert_intercept_[1] + X @ moe.expert_coef_[1])
    for count in range(y.max() + 1):
        probability = gate[:, 0] * (count == 0) + gate[:, 1] * stats.poisson(rate).pmf(count)
        assert_allclose(display.expected[count], probability.sum())
        assert display.observed[count] == (y == count).sum()
    assert_array_equal(display.counts, np.arange(y.max() + 1))
    assert_allclose(bars(display)[:, 1], np.sqrt(display.expected))
    assert_allclose(bars(display)[:, 0], display.deviation)
    assert_allclose(display.line_.get_ydata(), np.sqrt(display.expected))


def test_excess_zeros_are_seen(inflated):
    moe, X, y = inflated
    plain = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)
    assert RootogramDisplay.from_estimator(plain, X, y).deviation[0] < -3
    assert abs(RootogramDisplay.from_estimator(moe, X, y).deviation[0]) < 1


def test_styles_and_a_second_drawing(inflated):
    display = RootogramDisplay.from_estimator(*inflated, style="standing", color="black")
    assert_allclose(bars(display)[:, 0], 0.0)
    assert_allclose(bars(display)[:, 1], np.sqrt(display.observed))
    assert display.bars_[0].get_facecolor() == (0.0, 0.0, 0.0, 1.0)
    figure, ax = plt.subplots()
    again = display.plot(ax, style="suspended")
    assert again is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert_allclose(bars(display)[:, 1], display.deviation)
    assert_allclose(display.line_.get_ydata(), 0.0)


def test_ticks_are_counts(inflated):
    ax = RootogramDisplay.from_estimator(*inflated, max_count=15).ax_
    ax.figure.set_size_inches(4, 4)
    ax.figure.canvas.draw()
    assert (ax.get_xticks() % 1 == 0).all()


def test_outputs_offsets_and_the_largest_count():
    X, y = table()
    Y = np.column_stack([y, y[::-1]])
    exposure = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    moe = MixtureOfExpertsRegressor(2, family="negative_binomial", random_state=0)
    moe = moe.fit(X, Y, offset=np.log(exposure))
    display = RootogramDisplay.from_estimator(
        moe, X, Y, target=1, max_count=3, offset=np.log(exposure)
    )
    pmf = moe.predict_dist(X, np.log(exposure)).pmf(2.0)
    assert len(display.counts) == 4
    assert_allclose(display.expected[2], pmf[:, 1].sum())
    assert display.observed[2] == (Y[:, 1] == 2).sum()
    with pytest.raises(ValueError, match="target must be the index of an output"):
        RootogramDisplay.from_estimator(moe, X, Y, offset=np.log(exposure))


def test_what_has_no_rootogram(inflated):
    moe, X, y = inflated
    normal = MixtureOfExpertsRegressor(1).fit(X, y)
    with pytest.raises(ValueError, match="families of counts; got family='normal'"):
        RootogramDisplay.from_estimator(normal, X, y)
    classes = MixtureOfExpertsClassifier(1).fit(X, y > 0)
    with pytest.raises(ValueError, match="families of counts"):
        RootogramDisplay.from_estimator(classes, X, y > 0)
    with pytest.raises(TypeError, match="estimator must be a mixture of experts"):
        RootogramDisplay.from_estimator(object(), X, y)
    for invalid, message in [
        (y + 0.5, "y must hold counts, .*; row 0 holds "),
        (-1.0 - y, "y must hold counts"),
        (y[:-1], r"a count for each of the 600 rows of X; got shape \(599,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            RootogramDisplay.from_estimator(moe, X, invalid)
    with pytest.raises(ValueError, match="style must be one of"):
        RootogramDisplay.from_estimator(moe, X, y, style="flying")
    with pytest.raises(ValueError, match="max_count must be an integer of at least 0"):
        RootogramDisplay.from_estimator(moe, X, y, max_count=-1)
    for expected in ([[1.0]], [], [-1.0], [np.nan]):
        with pytest.raises(ValueError, match="expected must be one-dimensional"):
            RootogramDisplay.from_predictions(y, expected)
