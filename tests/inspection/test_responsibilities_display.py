"""ResponsibilitiesDisplay: usage of the experts, assigned rows or units, and certainty."""

import numpy as np
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ResponsibilitiesDisplay
from support.displays import CASES, expert_colour, texts
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import panel


def test_responsibilities_are_those_of_the_mixture():
    moe, X, y, _ = CASES["outputs"]()
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    assert_array_equal(display.responsibilities, resp)
    assert_allclose(display.usage, resp.mean(axis=0))
    assigned = resp.argmax(axis=1)
    assert_allclose(display.assigned_share, np.bincount(assigned, minlength=3) / len(y))
    for k in range(3):
        assert_array_equal(display.certainty[k], resp[assigned == k, k])


@pytest.mark.parametrize("of_units", [False, True])
def test_bars_and_boxes_are_those_of_the_table(of_units):
    resp = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], size=200)
    resp = np.column_stack([resp, np.zeros(200)])
    display = ResponsibilitiesDisplay(responsibilities=resp, of_units=of_units).plot()
    best = resp.argmax(axis=1)
    for k in range(4):
        usage, assigned = display.usage_bars_[k], display.assigned_bars_[k]
        # Side by side over the expert.
        assert_allclose(usage.get_x() + usage.get_width(), k, atol=1e-12)
        assert_allclose(assigned.get_x(), k, atol=1e-12)
        assert_allclose([usage.get_width(), assigned.get_width()], 0.38)
        assert_allclose(usage.get_height(), resp[:, k].mean())
        assert_allclose(assigned.get_height(), np.mean(best == k))
        assert colors.to_hex(usage.get_facecolor()) == expert_colour(k)
        assert colors.to_hex(assigned.get_facecolor()) == "#ffffff"
        assert colors.to_hex(assigned.get_edgecolor()) == expert_colour(k)
        assert assigned.get_hatch()
    shares, certainties = display.ax_
    assert len(display.boxes_) == 3  # the last expert has no rows
    for k, box in enumerate(display.boxes_):
        own = resp[best == k, k]
        vertices = box.get_path().vertices
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
    assert {line.get_marker() for line in certainties.lines} <= {"", "None"}  # no single rows
    assert certainties.get_ylim()[0] == 0.0
    assert 1.0 < certainties.get_ylim()[1] < 1.1
    counted = "units" if of_units else "rows"
    assert shares.get_ylabel() == f"Share of the {counted}"
    assert certainties.get_ylabel() == f"Responsibility for assigned {counted}"


@pytest.mark.parametrize("names", [None, ["one", "two", "three"]])
def test_boxes_stand_over_the_names_of_their_experts(names):
    resp = np.array([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.1, 0.0, 0.9]])
    display = ResponsibilitiesDisplay.from_predictions(resp, expert_names=names)
    for ax in display.ax_:
        found = dict(zip(ax.get_xticks(), texts(ax.get_xticklabels()), strict=True))
        assert found == dict(enumerate(names or ["0", "1", "2"]))
    centres = [box.get_path().vertices[:4, 0].mean() for box in display.boxes_]
    assert_allclose(centres, [1.0, 2.0])  # the first expert has no rows


@pytest.mark.parametrize(
    ("responsibilities", "words"),
    [
        ([0.5, 0.5], ["(n_samples, n_experts)", "(2,)"]),
        ([[[1.0]]], ["(n_samples, n_experts)"]),
        (np.empty((0, 2)), ["at least one row", "(0, 2)"]),
        ([[0.5, 0.5], [0.5, 0.5 + 1e-4], [0.1, 0.1]], ["sum to 1", "row 1"]),
        ([[1.5, -0.5]], ["non-negative", "row 0"]),
        ([[np.nan, 1.0]], ["row 0"]),
    ],
)
def test_responsibilities_must_be_probabilities(responsibilities, words):
    message = refusal(ResponsibilitiesDisplay.from_predictions, responsibilities)
    assert_refused(message, "responsibilities must", *words)


def test_round_off_of_responsibilities_is_accepted():
    display = ResponsibilitiesDisplay.from_predictions([[0.5, 0.5 + 5e-7], [1.0, 0.0]])
    assert_allclose(display.usage, [0.75, 0.25], atol=1e-6)


@pytest.fixture(scope="module")
def of_units():
    X, y, units, _ = panel(40, 4, 2)
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, n_init=1, max_iter=20)
    return fit_quietly(moe, X, y, units=units), X, y, units


def test_units_are_counted_once(of_units):
    moe, X, y, units = of_units
    kept = (units % 2 == 0) | (np.arange(len(y)) % 3 > 0)  # some units have fewer rows
    X, y, units = X[kept], y[kept], units[kept]
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert display.of_units
    assert_allclose([bar.get_height() for bar in display.usage_bars_], table.proba.mean(axis=0))
    n_assigned = np.bincount(table.proba.argmax(axis=1), minlength=2)
    assert [len(values) for values in display.certainty] == n_assigned.tolist()
    assert n_assigned.sum() == len(set(units))
    assert np.abs(table.rows(units).mean(axis=0) - display.usage).max() > 1e-4


def test_a_table_of_units_is_drawn_as_one(of_units):
    moe, X, y, units = of_units
    table = moe.responsibilities(X, y, units=units)
    display = ResponsibilitiesDisplay.from_predictions(table)
    assert_array_equal(display.responsibilities, table.proba)
    assert display.ax_[0].get_ylabel() == "Share of the units"
    assert display.expert_names == list(moe.expert_names_)
    of_rows = ResponsibilitiesDisplay.from_predictions(table.proba)
    assert of_rows.ax_[0].get_ylabel() == "Share of the rows"
    table.proba[0] = 0.7
    assert "sum to 1" in refusal(ResponsibilitiesDisplay.from_predictions, table)
