"""Panels and captions of coefficients and profiles that are made of given arrays."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.inspection import CoefficientsDisplay, SegmentProfileDisplay
from skmoe.inspection._coefficients import MAX_NAMED, _as_ratios, _panels_for
from skmoe.inspection._segment_tables import CoefficientTable
from skmoe.inspection._style import colour

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")

VALUES = np.array([[1.0, -2.0], [0.5, 0.25], [4.0, 3.0]])
ENDS = np.stack([VALUES - 0.5, VALUES + 1.0], axis=-1)
FEATURES, EXPERTS = ["height", "weight", "age"], ["calm", "wild"]


def coefficients(**options):
    given = {"feature_names": FEATURES, "expert_names": EXPERTS, "coefficients": VALUES}
    return CoefficientsDisplay(**given | options)


def dots(ax):
    """Points with a filled or hollow marker, by their height."""
    return {
        line.get_ydata()[0]: line.get_xdata()[0]
        for line in ax.lines
        if line.get_marker() not in ("", "None", "x", "<", ">", None)
    }


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


@pytest.mark.parametrize("by", ["feature", "expert"])
@pytest.mark.parametrize("step", ["SD", "unit"])
def test_each_panel_has_the_coefficients_of_its_feature_or_expert(by, step):
    display = coefficients(by=by, step=step, intervals=ENDS, level=0.8).plot()
    tables = VALUES if by == "feature" else VALUES.T
    headings, rows = (FEATURES, EXPERTS) if by == "feature" else (EXPERTS, FEATURES)
    assert [ax.get_title(loc="left") for ax in display.ax_] == headings
    for i, ax in enumerate(display.ax_):
        assert dots(ax) == dict(enumerate(tables[i]))
        assert ticks(ax) == (rows if i == 0 else [""] * len(rows))
    for (i, k), point in np.ndenumerate(display.points_):
        assert point.get_xdata()[0] == VALUES[i, k]
        assert point.get_color() == colour(k)
        assert_allclose(display.lines_[i, k].get_xdata(), ENDS[i, k])
    limits = {ax.get_xlim() for ax in display.ax_}
    assert len(limits) == (1 if by == "expert" or step == "SD" else 3)
    for ax in display.ax_:
        assert ax.get_xlim()[0] < 0.0 < ax.get_xlim()[1]
    caption = display.figure_._supxlabel.get_text().split("\n")
    assert caption[0] == f"Coefficient, per {step} of the feature"
    assert caption[1] == "Lines: 80 % intervals."


def test_ratios_have_axes_of_their_own():
    display = coefficients(by="expert", is_ratio=np.array([False, True])).plot()
    plain, ratio = display.ax_
    assert (plain.get_xscale(), ratio.get_xscale()) == ("linear", "log")
    assert dots(plain) == dict(enumerate(VALUES[:, 0]))
    found = dots(ratio)
    assert_allclose([found[i] for i in range(3)], np.exp(VALUES[:, 1]))
    assert_allclose(plain.get_xlim(), (-0.24, 4.24))
    assert_allclose(np.log(ratio.get_xlim()), (-2.3, 3.3))


@pytest.mark.parametrize("by", ["feature", "expert"])
@pytest.mark.parametrize("n_dropped", [0, 1, 3])
def test_dropped_features_are_named_or_crossed_out(by, n_dropped):
    dropped = np.arange(3) < n_dropped
    values = np.where(dropped[:, None], np.nan, VALUES)
    display = coefficients(by=by, coefficients=values, dropped=dropped).plot()
    caption = display.figure_._supxlabel.get_text().replace("\n", " ")
    crosses = sum(line.get_marker() == "x" for ax in display.ax_ for line in ax.lines)
    if by == "expert":
        assert ("Crosses: dropped features." in caption) == (n_dropped > 0)
        assert crosses == 2 * n_dropped
        wanted = [
            name + " (dropped)" * bool(gone) for name, gone in zip(FEATURES, dropped, strict=True)
        ]
        assert ticks(display.ax_[0]) == wanted
        return
    names = FEATURES[:n_dropped]
    assert (f"Dropped: {', '.join(names)}." in caption) == (n_dropped > 0)
    assert "Crosses" not in caption
    # If all are dropped there is nothing else to draw.
    shown = FEATURES if n_dropped == 3 else FEATURES[n_dropped:]
    assert [ax.get_title(loc="left") for ax in display.ax_] == shown
    assert crosses == (6 if n_dropped == 3 else 0)


@pytest.mark.parametrize("n_dropped", [MAX_NAMED, MAX_NAMED + 1, MAX_NAMED + 4])
def test_dropped_features_are_counted_if_they_are_many(n_dropped):
    n = n_dropped + 1
    display = coefficients(
        feature_names=[f"f{j}." for j in range(n)],
        coefficients=np.ones((n, 2)),
        dropped=np.arange(n) < n_dropped,
        n_columns=99,
        feature_note="features are others",
    )
    text = " ".join(display._caption())
    assert [f"f{j}." for j in range(n) if f"f{j}." in text] == [f"f{j}." for j in range(MAX_NAMED)]
    left = n_dropped - MAX_NAMED
    assert (f"and {left} more." in text) == (left > 0)
    assert f"{n} of 99 features, with the largest coefficients." in text
    assert text.endswith("The features are others.")
    plain = " ".join(coefficients()._caption())
    assert plain == "Coefficient, per SD of the feature"


def test_captions_tell_of_points_without_interval_only_if_there_are_some():
    missing = ENDS.copy()
    missing[1, 0] = np.nan
    for intervals, values, hollow in (
        (ENDS, VALUES, False),
        (missing, VALUES, True),
        (missing, np.where(np.isnan(missing[..., 0]), np.nan, VALUES), False),
    ):
        display = coefficients(coefficients=values, intervals=intervals, level=0.9)
        assert display._caption()[1] == "Lines: 90 % intervals." + " Hollow: no interval." * hollow
    assert len(coefficients(intervals=ENDS)._caption()) == 1
    assert len(coefficients(level=0.9)._caption()) == 1


def test_panels_are_of_features_unless_some_coefficients_are_ratios_only():
    def table(is_ratio, known=(True, True)):
        estimates = np.where(np.array(known)[:, None], 1.0, np.nan) * np.ones((2, 3))
        return CoefficientTable(estimates, None, np.array(is_ratio), "Log odds of class 1", 0.1)

    for is_ratio in ([True, True], [False, False]):
        assert _panels_for(None, table(is_ratio)) == "feature"
        assert _panels_for("expert", table(is_ratio)) == "expert"
        assert _panels_for("feature", table(is_ratio)) == "feature"
    mixed = table([True, False])
    assert _panels_for(None, mixed) == "expert"
    assert _panels_for("expert", mixed) == "expert"
    with pytest.raises(ValueError, match='Use by="expert"'):
        _panels_for("feature", mixed)
    # Experts without linear predictor have no say.
    assert _panels_for(None, table([True, False], (True, False))) == "feature"
    with pytest.raises(ValueError, match="by must be one of"):
        _panels_for("row", mixed)
    plain = SimpleNamespace(classes_=[0, 1, 2], __sklearn_tags__=None)
    from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

    assert _as_ratios(mixed, MixtureOfExpertsRegressor()) is mixed
    for classes, changes in (([0, 1], True), (plain.classes_, False)):
        moe = MixtureOfExpertsClassifier()
        moe.classes_ = np.array(classes)
        found = _as_ratios(mixed, moe)
        assert found.is_ratio.all() == changes
        assert found.name == ("Odds ratio" if changes else "Log odds") + " of class 1"


def profile(**options):
    given = {
        "feature_names": FEATURES,
        "expert_names": EXPERTS,
        "shares": np.array([0.3, 0.7]),
        "profile": VALUES / 4.0,
    }
    return SegmentProfileDisplay(**given | options)


@pytest.mark.parametrize("of_units", [False, True])
@pytest.mark.parametrize("n_columns", [None, 9])
def test_profiles_have_a_panel_for_each_table_and_a_note(of_units, n_columns):
    display = profile(
        coefficients=1e7 * VALUES,
        gate_effects=VALUES / 10.0,
        coefficient_name="Effect on y",
        step="unit",
        n_columns=n_columns,
        of_units=of_units,
        feature_note="a note",
    ).plot()
    headings = [ax.get_title(loc="left") for ax in display.ax_]
    assert headings == [
        "Mean minus that of all rows,\nin SDs of the feature",
        "Effect on y, in 1e+06\nper unit of the feature",
        "Gate: log odds\nper unit of the feature",
    ]
    counted = "units" if of_units else "rows"
    note = f"%: share of the {counted}"
    if n_columns:
        note += "\n3 of 9 features:\nthose with the largest effects"
    assert display.ax_[0].get_xlabel() == f"{note}\na note"
    assert [ax.get_xlabel() for ax in display.ax_[1:]] == ["", ""]
    assert [ticks(ax) for ax in display.ax_] == [FEATURES, [""] * 3, [""] * 3]
    for ax in display.ax_:
        assert [text.get_text() for text in ax.get_xticklabels()] == ["calm\n30 %", "wild\n70 %"]
    found = [[text.get_text() for text in texts.ravel()] for texts in display.texts_]
    assert found[0] == [f"{value:+.2f}" for value in (VALUES / 4.0).ravel()]
    assert found[1] == [f"{10.0 * value:+.1f}" for value in VALUES.ravel()]
    assert found[2] == [f"{value:+.2f}" for value in (VALUES / 10.0).ravel()]
    for mesh, table in zip(display.meshes_, (VALUES / 4, 1e7 * VALUES, VALUES / 10), strict=True):
        assert_array_equal(mesh.get_array().reshape(3, 2), table)


def test_pale_colours_of_profiles_are_those_of_small_effects():
    small = profile(profile=VALUES / 100.0, gate_effects=VALUES / 100.0).plot()
    assert [mesh.get_clim()[1] for mesh in small.meshes_] == [0.5, 0.25]
    ranged = profile(coefficients=VALUES, coefficient_range=50.0).plot()
    assert ranged.meshes_[1].get_clim()[1] == 50.0
    plain = profile(coefficients=VALUES).plot()
    assert plain.meshes_[1].get_clim()[1] == 4.0
    assert plain.ax_[1].get_title(loc="left") == "Coefficient\nper SD of the feature"
    assert plain.ax_[0].get_xlabel() == "%: share of the rows"
    ratios = profile(coefficients=np.log(np.abs(VALUES)), is_ratio=np.array([True, True])).plot()
    texts = [text.get_text()[1:] for text in ratios.texts_[1].ravel()]
    assert texts == [f"{value:.2f}" for value in np.abs(VALUES).ravel()]
    # Intervals need more place.
    wide = profile(coefficients=VALUES, intervals=ENDS, level=0.9).plot()
    assert "90 % intervals" in wide.ax_[1].get_title(loc="left")
    assert (wide.figure_.get_size_inches() > plain.figure_.get_size_inches()).all()
