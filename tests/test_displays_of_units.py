"""Pictures and texts of fits with units count units, and draw their rows together."""

import re
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, ResponsibilitiesDisplay, export_mermaid, export_text
from skmoe.inspection._style import colour

matplotlib.use("Agg")


def customers(seed=0):
    """Customers of one to seven rows, of which the first kind has many and the second few."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(size=80) < 0.4
    size = np.where(first, rng.integers(5, 8, size=80), rng.integers(1, 4, size=80))
    units = np.repeat([f"customer {i}" for i in range(80)], size)
    order = rng.permutation(len(units))
    kind = np.repeat(first, size)[order]
    X = rng.normal(size=(len(units), 2))
    y = np.where(kind, 1.0 + X[:, 0], -1.0 - X[:, 0]) + 0.7 * rng.normal(size=len(units))
    return X, y, units[order]


@pytest.fixture(scope="module")
def fitted():
    X, y, units = customers()
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, n_init=2)
    return quiet(moe, X, y, units=units), X, y, units


# --- responsibilities -----------------------------------------------------------------------------


def test_bars_count_units(fitted):
    moe, X, y, units = fitted
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assigned = table.proba.argmax(axis=1)
    assert display.of_units
    assert_allclose([bar.get_height() for bar in display.usage_bars_], table.proba.mean(axis=0))
    share = np.bincount(assigned, minlength=2) / 80
    assert_allclose([bar.get_height() for bar in display.assigned_bars_], share)
    assert [len(values) for values in display.certainty] == np.bincount(assigned).tolist()
    assert [ax.get_ylabel() for ax in display.ax_] == [
        "Share of the units",
        "Responsibility for assigned units",
    ]
    of_rows = table.rows(units).mean(axis=0)
    assert np.abs(of_rows - display.usage).max() > 0.1


def test_a_table_of_units_is_drawn_as_one(fitted):
    moe, X, y, units = fitted
    table = moe.responsibilities(X, y, units=units)
    display = ResponsibilitiesDisplay.from_predictions(table)
    assert_array_equal(display.responsibilities, table.proba)
    assert display.ax_[0].get_ylabel() == "Share of the units"
    of_rows = ResponsibilitiesDisplay.from_predictions(table.proba)
    assert of_rows.ax_[0].get_ylabel() == "Share of the rows"
    table.proba[0] = 0.7
    with pytest.raises(ValueError, match="rows that sum to 1"):
        ResponsibilitiesDisplay.from_predictions(table)


def test_a_fit_with_units_is_drawn_by_rows_with_a_warning(fitted):
    moe, X, y, _ = fitted
    with pytest.warns(UserWarning, match="responsibilities got no units"):
        display = ResponsibilitiesDisplay.from_estimator(moe, X, y)
    assert display.ax_[0].get_ylabel() == "Share of the rows"


# --- experts over a feature -----------------------------------------------------------------------


def test_the_rows_of_a_unit_are_one_line_in_the_colour_of_its_expert(fitted):
    moe, X, y, units = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, units=pd.Series(units), max_units=None)
    table = moe.responsibilities(X, y, units=units)
    assert_array_equal(display.units, units)
    assert_array_equal(display.assigned_expert, table.rows(units).argmax(axis=1))
    lines = {}
    for segment, ink in zip(
        display.unit_lines_.get_segments(), display.unit_lines_.get_colors(), strict=True
    ):
        lines[tuple(map(tuple, segment))] = ink[:3]
    assert len(lines) == 80
    for label, proba in zip(table.labels, table.proba, strict=True):
        own = units == label
        order = np.argsort(X[own, 0])
        line = np.column_stack([X[own, 0], y[own]])[order]
        assert_allclose(lines[tuple(map(tuple, line))], to_rgba(colour(proba.argmax()))[:3])


def test_whole_units_are_shown_the_same_ones_each_time(fitted):
    moe, X, y, units = fitted
    order = np.random.default_rng(3).permutation(len(y))
    first = ExpertsDisplay.from_estimator(moe, X, y, 0, units=units, max_units=10)
    again = ExpertsDisplay.from_estimator(
        moe, X[order], y[order], 0, units=units[order], max_units=10
    )
    chosen = set(first.units)
    assert len(chosen) == len(first.unit_lines_.get_segments()) == 10
    assert set(again.units) == chosen
    assert len(first.x) == np.isin(units, list(chosen)).sum()
    others = ExpertsDisplay.from_estimator(moe, X, y, 0, units=units, max_units=10, random_state=1)
    assert set(others.units) != chosen
    default = ExpertsDisplay.from_estimator(moe, X, y, 0, units=units, subsample=2)
    assert len(default.unit_lines_.get_segments()) == 50
    with pytest.raises(ValueError, match="max_units must be an integer of at least 2; got 1"):
        ExpertsDisplay.from_estimator(moe, X, y, 0, units=units, max_units=1)


def test_rows_without_units_have_no_lines(fitted):
    moe, X, y, _ = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        display = ExpertsDisplay.from_estimator(moe, X, y, 0)
    assert display.unit_lines_ is None
    assert display.units is None


def test_rows_of_classes_have_the_colour_of_their_unit_and_no_lines():
    X, y, units = customers()
    moe = MixtureOfExpertsClassifier(2, gate="constant", random_state=0, n_init=1)
    quiet(moe, X, y > 0, units=units)
    display = ExpertsDisplay.from_estimator(moe, X, y > 0, 0, units=units, max_units=None)
    expected = moe.responsibilities(X, y > 0, units=units).rows(units).argmax(axis=1)
    assert_array_equal(display.assigned_expert, expected)
    assert display.unit_lines_ is None


def experts_in_notebook(moe):
    page = moe._repr_html_()
    return page[page.index('class="skmoe-experts"') :]


# --- words ----------------------------------------------------------------------------------------


def test_shares_of_a_fit_with_units_are_those_of_units(fitted):
    moe, X, y, units = fitted
    summary = moe.summary(X, y, units=units)
    assert summary.facts["units"] == "80"
    assert summary.facts["rows"] == str(len(y))
    for k, text in enumerate(re.findall(r"Expert \d .*", str(summary))):
        rows = moe.responsibilities(X, y, units=units).rows(units)[:, k].sum()
        share = 100 * moe.weights_[k]
        assert f": {share:.1f} % of the units, {rows:.5g} effective rows" in text
    assert {expert.gate_description for expert in summary.experts} == {
        "the same probability for every unit"
    }
    without_data = str(moe.summary())
    assert moe.summary().facts["units"] == "80"
    assert "summary(X, y, units=units)" in without_data
    for text in (str(summary), without_data, export_text(moe), experts_in_notebook(moe)):
        assert "of the rows" not in text
        assert "of the units" in text
    assert export_text(moe).count("gate: the same for all units") == 2
    assert "%" in export_mermaid(moe)


def test_one_expert_is_used_for_every_unit():
    X, y, units = customers()
    moe = MixtureOfExpertsRegressor(1).fit(X, y, units=units)
    assert moe.summary().experts[0].gate_description == "used for every unit"
    assert "expert 0 (linear): 100.0 % of the units" in str(moe.summary())


def test_shares_of_other_fits_are_those_of_rows():
    X, y, _ = customers()
    moe = quiet(MixtureOfExpertsRegressor(2, gate="constant", random_state=0, n_init=1), X, y)
    for text in (str(moe.summary(X, y)), export_text(moe), experts_in_notebook(moe)):
        assert "of the rows" in text
        assert "of the units" not in text
    assert "units" not in moe.summary(X, y).facts
    assert moe.summary().experts[0].gate_description == "the same probability for every row"
