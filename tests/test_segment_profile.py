"""Profiles of the experts are means, coefficients and slopes, computed anew by hand."""

import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import SegmentProfileDisplay
from skmoe.inspection._heat_map import _ratio

matplotlib.use("Agg")
SCALES = np.array([1e-2, 1.0, 1e3])


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    X = X * SCALES
    return quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=2), X, y), X, y


@pytest.fixture(scope="module")
def of_units():
    rng = np.random.default_rng(0)
    units = np.repeat([f"unit {i}" for i in rng.permutation(60)], rng.integers(1, 9, size=60))
    distinct, codes = np.unique(units, return_inverse=True)
    own = rng.normal(size=len(distinct))[codes]
    X = np.column_stack([rng.normal(size=len(units)) + 0.5 * own, own])
    first = (rng.uniform(size=len(distinct)) < 0.4)[codes]
    y = np.where(first, 1.0, -1.0) * X[:, 0] + 0.8 * rng.normal(size=len(units))
    moe = MixtureOfExpertsRegressor(2, gate_features=[1], random_state=0, n_init=2)
    return quiet(moe, X, y, units=units), X, y, units


def by_hand(values, resp, weight=None):
    """Means of the experts minus the mean of all rows, in standard deviations, feature by row."""
    weight = np.ones(len(values)) if weight is None else weight
    rows = []
    for column in values.T:
        mean = np.average(column, weights=weight)
        deviation = np.sqrt(np.average((column - mean) ** 2, weights=weight))
        of_experts = [np.average(column, weights=weight * r) for r in resp.T]
        rows.append((np.array(of_experts) - mean) / deviation)
    return np.array(rows)


# --- the arrays ---------------------------------------------------------------------------------


def test_the_profile_is_that_of_weighted_means(fitted):
    moe, X, y = fitted
    display = SegmentProfileDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    assert_allclose(display.profile, by_hand(X, resp), rtol=1e-9)
    assert_allclose(display.shares, resp.mean(axis=0))
    assert display.feature_names == ["x0", "x1", "x2"]
    assert np.abs(display.profile).max() > 0.5


@pytest.mark.parametrize("standardize", [True, False])
def test_coefficients_and_intervals_are_those_of_inference(fitted, standardize):
    moe, X, y = fitted
    display = SegmentProfileDisplay.from_estimator(moe, X, y, level=0.8, standardize=standardize)
    result = moe.inference(X, y)
    scale = X.std(axis=0) if standardize else np.ones(3)
    for k in range(2):
        terms = [result.terms.index((f"expert {k}", "", f"x{j}")) for j in range(3)]
        assert_allclose(display.coefficients[:, k], result.estimates[terms] * scale)
        bounds = result.conf_int(0.8)[terms] * scale[:, None]
        assert_allclose(display.intervals[:, k], bounds)
        assert_allclose(display.coefficients[:, k], moe.expert_coef_[k] * scale, rtol=0.05)
    assert "80 % intervals" in display.ax_[1].get_title(loc="left")


def test_effects_of_the_gate_are_those_of_the_summary(fitted):
    moe, X, y = fitted
    display = SegmentProfileDisplay.from_estimator(moe, X, y)
    assert_allclose(display.gate_effects, 2.0 * (moe.gate_coef_ * X.std(axis=0)).T)
    for k, expert in enumerate(moe.summary(X, y).experts):
        assert_allclose(display.gate_effects[:, k], [value for _, value in expert.gate_effects])


def test_numbers_and_colours_are_those_of_the_arrays(fitted):
    moe, X, y = fitted
    display = SegmentProfileDisplay.from_estimator(moe, X, y)
    tables = display.profile, display.coefficients, display.gate_effects
    assert len(display.ax_) == len(display.meshes_) == 3
    for ax, mesh, texts, table in zip(
        display.ax_, display.meshes_, display.texts_, tables, strict=True
    ):
        assert_allclose(mesh.get_array().reshape(table.shape), table)
        for (i, k), text in np.ndenumerate(texts):
            assert text.get_position()[0] == k
            assert round(text.get_position()[1]) == i
            assert float(text.get_text()) == pytest.approx(table[i, k], abs=0.006)
        for k, label in enumerate(ax.get_xticklabels()):
            assert label.get_text() == f"expert {k}\n{100 * display.shares[k]:.0f} %"
    assert [label.get_text() for label in display.ax_[0].get_yticklabels()] == ["x0", "x1", "x2"]


@pytest.mark.parametrize(("factor", "heading"), [(1e9, "y, in 1e+09"), (1e-7, "y, in 1e-09")])
def test_numbers_of_large_and_small_targets_are_short(fitted, factor, heading):
    _, X, y = fitted
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), X, factor * y)
    display = SegmentProfileDisplay.from_estimator(moe, X, factor * y)
    assert f"Effect on {heading}\n" in display.ax_[1].get_title(loc="left")
    power = float(heading.split()[-1])
    for (j, k), text in np.ndenumerate(display.texts_[1]):
        assert len(text.get_text()) <= 5
        assert float(text.get_text()) * power == pytest.approx(
            display.coefficients[j, k], abs=0.6 * power
        )


# --- laws ---------------------------------------------------------------------------------------


def arrays(display):
    names = ("shares", "profile", "coefficients", "intervals", "gate_effects")
    return [getattr(display, name) for name in names if getattr(display, name) is not None]


def test_a_weight_of_two_is_the_row_twice_and_zero_is_absence(fitted):
    moe, X, y = fitted
    weight = np.arange(len(y)) % 3
    twice = np.repeat(np.arange(len(y)), weight)
    draw = SegmentProfileDisplay.from_estimator
    with warnings.catch_warnings():  # the rows are not those of the fit
        warnings.simplefilter("ignore")
        weighted = draw(moe, X, y, sample_weight=weight.astype(float))
        repeated = draw(moe, X[twice], y[twice])
        listed = draw(moe, X.tolist(), y.tolist(), sample_weight=weight.tolist())
    for one, other, third in zip(*map(arrays, (weighted, repeated, listed)), strict=True):
        assert_allclose(one, other, rtol=1e-7, atol=1e-10)
        assert_allclose(one, third, rtol=1e-12)
    resp = moe.responsibilities(X, y)
    assert_allclose(weighted.profile, by_hand(X, resp, weight), rtol=1e-9)


def test_units_share_their_responsibilities(of_units):
    moe, X, y, units = of_units
    display = SegmentProfileDisplay.from_estimator(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert_allclose(display.shares, table.proba.mean(axis=0))
    resp = np.array([table.proba[list(table.labels).index(label)] for label in units])
    assert_allclose(display.profile, by_hand(X, resp))
    assert abs(resp.mean(axis=0)[0] - display.shares[0]) > 0.001
    assert display.ax_[0].get_xlabel() == "%: share of the units"
    result = moe.inference(X, y, units=units)
    index = result.terms.index(("expert 1", "", "x0"))
    assert_allclose(display.intervals[0, 1], result.conf_int()[index] * X[:, 0].std())


def test_a_weight_of_zero_is_absence_from_the_unit(of_units):
    moe, X, y, units = of_units
    kept = np.arange(len(y)) % 3 > 0
    kept &= units != units[0]  # a unit without rows is no unit
    draw = SegmentProfileDisplay.from_estimator
    with warnings.catch_warnings():  # the rows are not those of the fit
        warnings.simplefilter("ignore")
        series = pd.Series(units, index=np.arange(len(y)) + 7)
        weighted = draw(moe, X, y, sample_weight=kept.astype(float), units=series)
        absent = draw(moe, X[kept], y[kept], units=units[kept])
    for one, other in zip(*map(arrays, (weighted, absent)), strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_the_order_of_rows_and_columns_does_not_matter(of_units):
    moe, X, y, units = of_units
    order = np.random.default_rng(1).permutation(len(y))
    draw = SegmentProfileDisplay.from_estimator
    first, second = draw(moe, X, y, units=units), draw(moe, X[order], y[order], units=units[order])
    for one, other in zip(arrays(first), arrays(second), strict=True):
        assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    swapped = draw(moe, X, y, units=units, features=["x1", "x0"], feature_names=["x0", "x1"])
    assert swapped.feature_names == ["x1", "x0"]
    for one, other in zip(arrays(first)[1:], arrays(swapped)[1:], strict=True):
        assert_array_equal(one, other[::-1])


def test_tables_of_any_kind_give_the_same(fitted):
    _, X, y = fitted
    names, pictures = ["depth", "width", "height"], []
    for make in (pd.DataFrame, pl.DataFrame):
        frame = make(dict(zip(names, X.T, strict=True)))
        moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=2), frame, y)
        pictures.append(SegmentProfileDisplay.from_estimator(moe, frame, y))
        assert pictures[-1].feature_names == names
    for one, other in zip(*map(arrays, pictures), strict=True):
        assert_allclose(one, other)
    cut = np.where(np.abs(X) < SCALES / 2, 0.0, X)
    matrix = sparse.csr_array(cut)
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), matrix, y)
    weight = (np.arange(len(y)) % 2).astype(float)
    display = SegmentProfileDisplay.from_estimator(moe, matrix, y, sample_weight=weight, level=None)
    assert_allclose(display.profile, by_hand(cut, moe.responsibilities(matrix, y), weight))


# --- mixtures of all kinds ----------------------------------------------------------------------


def test_a_log_link_is_shown_as_ratios():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = rng.poisson(np.exp(np.where(X[:, 1] > 0, 1.0 + 0.5 * X[:, 0], 0.2 - 0.5 * X[:, 0])))
    y[::4] = 0
    moe = MixtureOfExpertsRegressor(
        3, family=["zero", "poisson", "poisson"], expert_features=[0], random_state=0, n_init=1
    )
    display = SegmentProfileDisplay.from_estimator(quiet(moe, X, y), X, pd.Series(y, name="visits"))
    assert_array_equal(display.is_ratio, [False, True, True])
    assert_array_equal(np.isnan(display.coefficients), [[True, False, False], [True] * 3])
    assert_allclose(display.coefficients[0, 1:], moe.expert_coef_[1:, 0] * X[:, 0].std(), rtol=0.05)
    texts = display.texts_[1]
    for k in (1, 2):
        shown = texts[0, k].get_text()
        assert shown[0] == "\N{MULTIPLICATION SIGN}"
        assert float(shown[1:]) == pytest.approx(np.exp(display.coefficients[0, k]), abs=0.006)
    assert texts[0, 0].get_text() == texts[1, 2].get_text() == "\N{EN DASH}"
    assert display.ax_[1].get_title(loc="left").startswith("Ratio of the mean of visits\n")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_coefficients_of_a_class(n_classes):
    X, codes = flipping_classes(400, n_classes)
    y = np.array(["red", "green", "blue"])[codes]
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    classes, scale = moe.classes_.tolist(), X.std(axis=0)
    for label in classes:
        display = SegmentProfileDisplay.from_estimator(moe, X, y, target=label)
        result, c = moe.inference(X, y), classes.index(label)
        sign = -1.0 if n_classes == 2 and c == 0 else 1.0
        for k in range(2):
            response = label if n_classes == 3 else ""
            index = [result.terms.index((f"expert {k}", response, f"x{j}")) for j in range(3)]
            assert_allclose(display.coefficients[:, k], sign * result.estimates[index] * scale)
            bounds = np.sort(sign * result.conf_int()[index], axis=1)
            assert_allclose(display.intervals[:, k], bounds * scale[:, None])
        assert f"of class {label}" in display.ax_[1].get_title(loc="left")


def test_one_of_several_outputs(fitted):
    _, X, y = fitted
    Y = np.column_stack([y, 5.0 - 2.0 * y])
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), X, Y)
    pictures = [SegmentProfileDisplay.from_estimator(moe, X, Y, target=i) for i in (0, 1)]
    for i, display in enumerate(pictures):
        expected = (moe.expert_coef_[:, i] * X.std(axis=0)).T
        assert_allclose(display.coefficients, expected, rtol=0.05, atol=0.02)
    with pytest.raises(ValueError, match="target must be the index of an output, from 0 to 1"):
        SegmentProfileDisplay.from_estimator(moe, X, Y)


def test_shared_slopes_are_those_of_all_experts(fitted):
    _, X, y = fitted
    moe = MixtureOfExpertsRegressor(2, shared_features=[1], random_state=0, n_init=1)
    display = SegmentProfileDisplay.from_estimator(quiet(moe, X, y), X, y)
    assert_allclose(display.coefficients[1, 0], display.coefficients[1, 1])
    assert_allclose(display.intervals[1, 0], display.intervals[1, 1])
    assert np.isfinite(display.intervals).all()


def test_trees_with_categories_have_a_profile_and_a_gate():
    X, y = two_regimes(200)
    frame = pd.DataFrame(X, columns=["depth", "width", "height"])
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "up", "down"))
    frame.loc[3, "width"] = np.nan
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(frame, y)
    display = SegmentProfileDisplay.from_estimator(moe, frame, y)
    assert display.feature_names == ["depth", "width", "height", "kind_down", "kind_up"]
    assert display.coefficients is None
    assert len(display.ax_) == 2
    resp = moe.responsibilities(frame, y)
    up = (X[:, 0] > 0).astype(float)
    assert_allclose(display.profile[4], by_hand(up[:, None], resp)[0])
    known = np.delete(np.arange(200), 3)
    assert_allclose(display.profile[1], by_hand(X[known, 1:2], resp[known])[0])
    names = moe.gate_feature_names_.tolist()
    slopes = moe.gate_coef_[:, [names.index("depth"), names.index("kind_up")]]
    expected = 2.0 * slopes.T * [[X[:, 0].std()], [up.std()]]
    assert_allclose(display.gate_effects[[0, 4]], expected)


def test_a_mixture_without_standard_errors_or_slopes_of_the_gate(fitted):
    _, X, y = fitted
    routed = quiet(MixtureOfExpertsRegressor(2, top_k=1, random_state=0, n_init=1), X, y)
    display = SegmentProfileDisplay.from_estimator(routed, X, y)
    assert display.intervals is None
    assert_allclose(display.coefficients, (routed.expert_coef_ * X.std(axis=0)).T)
    constant = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, n_init=1)
    display = SegmentProfileDisplay.from_estimator(quiet(constant, X, y), X, y, level=None)
    assert display.gate_effects is None
    assert display.intervals is None
    assert len(display.ax_) == 2
    one = SegmentProfileDisplay.from_estimator(MixtureOfExpertsRegressor(1).fit(X, y), X, y)
    assert_allclose(one.profile, 0.0, atol=1e-9)


def test_the_features_with_the_largest_effects_are_drawn():
    X, y = two_regimes(400, n_features=20)
    X[:, 7] = 1.0  # a constant feature has no effect
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), X, y)
    every = SegmentProfileDisplay.from_estimator(moe, X, y, max_features=20)
    assert every.n_columns is None
    assert_allclose(every.profile[7], 0.0)
    tables = every.profile, every.coefficients, every.gate_effects
    score = np.max([np.nan_to_num(abs(t)).max(axis=1) / np.nanmax(abs(t)) for t in tables], axis=0)
    display = SegmentProfileDisplay.from_estimator(moe, X, y, max_features=4)
    assert display.feature_names == [f"x{j}" for j in np.sort(np.argsort(-score)[:4])]
    assert "4 of 20 features" in display.ax_[0].get_xlabel()
    mask = np.isin(np.arange(20), [2, 5])
    chosen = SegmentProfileDisplay.from_estimator(moe, X, y, features=mask, max_features=1)
    assert_array_equal(chosen.profile, every.profile[[2, 5]])
    assert len(SegmentProfileDisplay.from_estimator(moe, X, y).feature_names) == 12


# --- drawing ------------------------------------------------------------------------------------


def test_axes_and_options_of_the_user(fitted):
    moe, X, y = fitted
    figure, outer = plt.subplots()
    display = SegmentProfileDisplay.from_estimator(
        moe, X, y, ax=outer, cmap="PuOr", expert_names=["calm", "a name of several words"]
    )
    assert display.figure_ is figure
    assert {mesh.cmap.name for mesh in display.meshes_} == {"PuOr"}
    first, second = (label.get_text() for label in display.ax_[1].get_xticklabels())
    assert first.startswith("calm\n")
    assert second.startswith("a name of\nseveral\nwords\n")
    figure, axes = plt.subplots(1, 3)
    assert_array_equal(display.plot(ax=axes).ax_, axes)
    with pytest.raises(
        ValueError, match="ax must be one matplotlib axes, or one for each of the 3"
    ):
        display.plot(ax=plt.subplots(1, 2)[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "width"}, "features .*X has none"),
        ({"features": [3]}, "features must hold column indices of X, from 0 to 2; got 3"),
        ({"max_features": 0}, "max_features must be an integer of at least 1"),
        ({"level": 95}, r"level must be in \(0, 1\), or None.*got 95.*use 0.95"),
        ({"standardize": 1}, "standardize must be True or False"),
        ({"expert_names": ["a"]}, "expert_names must be a list with one name for each of the 2"),
        ({"expert_names": "ab"}, "expert_names must be a list"),
        ({"feature_names": ["a"]}, "feature_names must have one name for each of the 3"),
        ({"target": 1}, "target must be the index of an output, from 0 to 0; got 1"),
        ({"sample_weight": [1.0]}, "sample_weight must have one entry for each of the 300 rows"),
        ({"units": [1, 2]}, "units"),
    ],
)
def test_bad_requests(fitted, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        SegmentProfileDisplay.from_estimator(moe, X, y, **options)


def test_other_estimators_are_refused(fitted):
    with pytest.raises(TypeError, match="estimator must be a mixture of experts"):
        SegmentProfileDisplay.from_estimator(object(), *fitted[1:])


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.10"), (9.994, "9.99"), (10.0, "10"), (0.01234, "0.0123")]
)
def test_ratios_have_about_three_digits(value, text):
    assert _ratio(value) == text
