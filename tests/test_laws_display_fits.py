"""Numbers that displays take from fitted mixtures, against their public answers."""

import re
import warnings
from copy import copy

import numpy as np
import pytest
from cases import ALL_CASES, CLASSES, UNITS, Y, fitted_case
from cases import X as TABLE
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import (
    CoefficientsDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    SegmentProfileDisplay,
    _contributions,
    export_text,
    permutation_importance_by_part,
)
from skmoe.inspection._densities import MIN_GATE_SHOWN, row_density
from skmoe.inspection._expert_slices import experts_over, observed_rows
from skmoe.inspection._feature_axes import feature_axis
from skmoe.inspection._leading import (
    changes_over_features,
    derived_gate_columns,
    expert_effects,
    gate_effects,
    gate_log_odds,
)
from skmoe.inspection._pipelines import _names_of_output, find_mixture
from skmoe.inspection._report._formulas import Predictor, _agrees, _ordinal_formula, find_formulas
from skmoe.inspection._report._rows import starting_row
from skmoe.inspection._segment_tables import (
    coefficient_table,
    positive_rows,
    responsibilities_of_rows,
)
from skmoe.inspection._targets import slice_adjustment

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")


# --- densities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["one expert", "two experts", "gamma-regressor", "outputs"])
def test_densities_of_a_row_lie_between_extreme_quantiles_of_the_mixture(case):
    moe, row = fitted_case(case), 7
    target = 1 if case == "outputs" else 0
    found = row_density(moe, TABLE, row, target, None)
    dist = moe.predict_dist(TABLE[[row]])
    ends = np.asarray(dist.ppf(np.array([0.001, 0.999])))
    low, high = (ends[..., target] if case == "outputs" else ends).ravel()
    assert_allclose(found.grid[[0, -1]], [low, high], rtol=1e-6)
    assert len(found.values) == 0
    assert_allclose(found.gate, moe.predict_gate(TABLE[[row]])[0])
    assert len(found.grid) >= 200
    # Each expert that counts has its quantiles among the points.
    for k in np.flatnonzero(found.gate >= MIN_GATE_SHOWN):
        certain = np.eye(moe.n_experts_)[[k]]
        median = np.asarray(moe.predict_dist(TABLE[[row]], gate_proba=certain).ppf(0.5))
        median = (median[..., target] if case == "outputs" else median).ravel()[0]
        if low < median < high:
            assert np.isclose(found.grid, median, rtol=1e-6).any()
    total = found.density.sum(axis=1)
    points = np.tile(found.grid[:, None], 2) if case == "outputs" else found.grid
    repeated = moe.predict_dist(np.repeat(TABLE[[row]], len(points), axis=0))
    wanted = repeated.pdf(points)
    assert_allclose(total, wanted[:, target] if case == "outputs" else wanted, rtol=1e-6)


def test_densities_of_counts_are_probabilities_of_whole_numbers():
    moe = fitted_case("poisson-regressor")
    found = row_density(moe, TABLE, 3, 0, None)
    dist = moe.predict_dist(TABLE[[3]])
    low, high = np.asarray(dist.ppf(np.array([0.001, 0.999]))).ravel()
    assert len(found.grid) == 0
    assert set(found.values) <= set(np.arange(low, high + 1.0))
    wanted = moe.predict_dist(np.repeat(TABLE[[3]], len(found.values), axis=0)).pmf(found.values)
    assert_allclose(found.probability.sum(axis=1), wanted, rtol=1e-6)
    assert found.probability.sum() > 0.99
    moved = row_density(moe, TABLE, 3, 0, np.log(100.0))
    assert moved.values.mean() > 10.0 * found.values.mean()
    assert len(moved.values) <= 401


# --- regimes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear-regressor", "routing", "weights", "balance"])
def test_panels_of_regimes_are_in_the_order_of_the_mean_value_under_the_gate(case):
    display = RegimesDisplay.from_estimator(
        fitted_case(case), TABLE, Y, gate_feature=0, subsample=9
    )
    values, gate = display.gate.values[0], display.gate.gate
    means = [np.average(values, weights=gate[:, k]) for k in range(3)]
    assert list(display.order) == np.argsort(means).tolist()
    assert display.ax_[0].get_ylabel() == "Gate probability"
    assert len(display.ax_[0].lines) > 0
    assert display.ax_[0].get_legend() is None
    shown = [ax.get_position().x0 for ax in display.ax_[1:]]
    assert np.argsort(shown).tolist() == list(display.order)


def test_rows_of_regimes_are_residuals_about_their_own_expert():
    moe = fitted_case("linear-regressor")
    display = RegimesDisplay.from_estimator(
        moe, TABLE, Y, features=1, gate_feature=0, subsample=None
    )
    rows = np.tile(np.median(TABLE, axis=0), (len(TABLE), 1))
    rows[:, 1] = TABLE[:, 1]
    for k in range(3):
        own = moe.predict_experts(TABLE)[:, k]
        assert_allclose(display.y[k], Y - own + moe.predict_experts(rows)[:, k], atol=1e-9)
        assert_array_equal(display.x[k], TABLE[:, 1])
        grid = np.tile(np.median(TABLE, axis=0), (200, 1))
        grid[:, 1] = display.grids[k]
        assert_allclose(display.curves[k], moe.predict_experts(grid)[:, k])
    assert display.target_name == "y\n(other features at medians)"
    plain = RegimesDisplay.from_estimator(
        moe, TABLE, Y, features=1, gate_feature=0, subsample=None, adjust=False
    )
    assert_array_equal(plain.y[0], Y)
    assert plain.target_name == "y"
    best = moe.responsibilities(TABLE, Y).argmax(axis=1)
    wanted = (moe.predict_experts(rows) - moe.predict_experts(TABLE))[np.arange(len(Y)), best]
    assert_allclose(slice_adjustment(moe, TABLE, 1, 0, best), wanted)


def test_rows_with_an_exposure_are_drawn_per_unit_of_it():
    moe, y = fitted_case("poisson-regressor"), ALL_CASES["poisson-regressor"][1]
    offset = np.linspace(-0.5, 0.5, len(y))
    for given, name, observed in (
        (None, "y", y),
        (offset, "y per unit of exposure", y / np.exp(offset)),
    ):
        rows = observed_rows(moe, TABLE, y, None, given, None)
        assert (rows.name, rows.target, rows.units, rows.labels) == (name, 0, None, None)
        assert_allclose(rows.observed, observed)
        assert_allclose(rows.resp, moe.responsibilities(TABLE, y, given))
        axis = feature_axis(TABLE, 1, "x1", 5)
        for adjust in (False, True):
            found = experts_over(moe, rows, axis, None, adjust)
            assert found["target_name"] == name + " (other features at medians)" * adjust
            grid = np.tile(np.median(TABLE, axis=0), (5, 1))
            grid[:, 1] = axis.grid
            assert_allclose(found["curves"], moe.predict_experts(grid))
            assert_allclose(found["gate"], moe.predict_gate(grid))
            assert_allclose(found["mean"], moe.predict(grid))
            assert found["band"] is None
            best = rows.assigned_expert
            moved = observed + slice_adjustment(moe, TABLE, 1, 0, best) if adjust else observed
            assert_allclose(found["y"], moved)
    band = experts_over(moe, rows, axis, 0.8, False)["band"]
    assert_array_equal(band, moe.predict_interval(grid, 0.8))
    classes = fitted_case("linear-classifier")
    rows = observed_rows(classes, TABLE, CLASSES, 0, None, None)
    found = experts_over(classes, rows, axis, 0.8, True)
    assert_array_equal(found["y"], CLASSES == 0)
    assert (found["coverage"], found["band"], found["is_probability"]) == (None, None, True)
    assert found["target_name"] == "Probability of class 0"
    assert_allclose(found["curves"], classes.predict_experts(grid)[:, :, 0])
    moe = fitted_case("units")
    rows = observed_rows(moe, TABLE, Y, None, None, UNITS)
    assert_array_equal(rows.units, UNITS)
    of_units = moe.responsibilities(TABLE, Y, units=UNITS)
    assert_array_equal(rows.labels, of_units.labels)
    assert_array_equal(rows.resp, np.repeat(of_units.proba, 2, axis=0))
    assert_allclose(rows.shares, of_units.proba.mean(axis=0))


@pytest.mark.parametrize(
    ("most", "n_steps"), [(6 * 15, 15), (6 * 15 - 1, 14), (6, 10), (10**9, 40)]
)
def test_steps_of_a_path_are_fewer_if_its_rows_would_be_too_many(monkeypatch, most, n_steps):
    moe, found = fitted_case("two experts"), []

    def path(X, row, gate, experts, n_steps):
        found.append(n_steps)
        return np.zeros(2), np.zeros(2)

    monkeypatch.setattr(_contributions, "MAX_ENTRIES", most)
    monkeypatch.setattr(_contributions, "path_contributions", path)
    given = _contributions.row_contributions(moe, TABLE, 5, 0, None, 40)
    assert found == [n_steps]
    assert_allclose(given.prediction, moe.predict(TABLE[[5]])[0])
    assert_allclose(given.base_value, moe.predict(TABLE.mean(axis=0)[None])[0])


# --- effects of features --------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "outputs", "trees"])
def test_effects_on_experts_are_slopes_in_deviations_or_changes(case):
    moe = fitted_case(case)
    for index in (0, 1) if case == "outputs" else (0,):
        found = expert_effects(moe, TABLE, index)
        if case == "trees":
            wanted = changes_over_features(TABLE, moe.predict_experts)
        else:
            coef = moe.expert_coef_[:, index] if case == "outputs" else moe.expert_coef_
            wanted = np.abs(coef.reshape(3, 2).T) * TABLE.std(axis=0)[:, None]
        assert_allclose(found, wanted)
    assert derived_gate_columns(moe) is None
    spread = np.ptp(gate_log_odds(moe), axis=0) * TABLE.std(axis=0)
    assert_allclose(gate_effects(moe, TABLE), spread)


def test_gates_without_slopes_have_no_log_odds():
    for case in ("one expert", "constant gate"):
        assert gate_log_odds(fitted_case(case)) is None
        assert gate_effects(fitted_case(case), TABLE) is None


def test_bars_of_importance_are_those_of_the_function_with_weights_and_offsets():
    moe, y = fitted_case("poisson-regressor"), ALL_CASES["poisson-regressor"][1]
    given = {
        "sample_weight": np.arange(len(y)) % 3.0,
        "offset": np.linspace(-0.5, 0.5, len(y)),
        "n_repeats": 2,
        "random_state": 0,
    }
    found = permutation_importance_by_part(moe, TABLE, y, **given)
    display = ImportanceDisplay.from_estimator(moe, TABLE, y, **given)
    order = np.argsort(-found.both.importances_mean)
    assert list(display.feature_names) == [f"x{j}" for j in order]
    for part in ("both", "experts", "gate"):
        assert_array_equal(getattr(display, part), found[part].importances[order])
    for left_out in ("sample_weight", "offset"):
        other = ImportanceDisplay.from_estimator(moe, TABLE, y, **given | {left_out: None})
        assert not np.allclose(other.both, display.both)
    assert display.n_columns is None
    one = ImportanceDisplay.from_estimator(moe, TABLE, y, max_features=1, **given)
    assert one.n_columns == 2
    assert_array_equal(one.gate, found.gate.importances[order[:1]])


# --- coefficients ---------------------------------------------------------------------------------


def table_of(case, index, level, y=Y):
    moe = fitted_case(case)
    given = UNITS if case == "units" else None
    rows = positive_rows(moe, TABLE, y, None, None, given)
    return coefficient_table(moe, rows, index, level), moe


@pytest.mark.parametrize("level", [None, 0.8])
def test_coefficients_of_one_of_two_classes_are_minus_those_of_the_other(level):
    first, _ = table_of("linear-classifier", 0, level, CLASSES)
    second, moe = table_of("linear-classifier", 1, level, CLASSES)
    rtol = 1e-12 if level is None else 0.05  # inference is made at the maximum
    assert_allclose(second.estimates, moe.expert_coef_.reshape(3, 2), rtol=rtol)
    assert_allclose(first.estimates, -second.estimates)
    assert (first.intervals is None) == (level is None)
    if level is not None:
        assert_allclose(first.intervals, -second.intervals[..., ::-1])
        assert (second.intervals[..., 0] < second.estimates).all()
        assert (second.estimates < second.intervals[..., 1]).all()
    assert first.negligible == second.negligible == 0.1
    assert not first.is_ratio.any()


def test_coefficients_of_outputs_are_those_of_the_output_with_small_effects_in_its_units():
    both = ALL_CASES["outputs"][1] * [1.0, 50.0]
    for index in (0, 1):
        found, moe = table_of("outputs", index, None, both)
        assert_allclose(found.estimates, moe.expert_coef_[:, index])
        assert_allclose(found.negligible, 0.1 * both[:, index].std())
        assert found.name == f"Effect on y{index}"
    counts = ALL_CASES["poisson-regressor"][1]
    found, moe = table_of("poisson-regressor", 0, None, counts)
    assert found.is_ratio.all()
    assert found.negligible == 0.1
    mixed, moe = table_of("a list of families", 0, None)
    has_predictor = [family.link != "" for family in moe.families_]
    assert_array_equal(np.isfinite(mixed.estimates).all(axis=1), has_predictor)


def test_intervals_are_those_of_inference_with_weights_units_and_offsets():
    for case, y, weight, offset, units in (
        ("weights", Y, np.where(TABLE[:, 0] < -0.85, 5.0, 1.0), None, None),
        ("units", Y, None, None, UNITS),
        ("poisson-regressor", ALL_CASES["poisson-regressor"][1], None, np.full(len(Y), 0.1), None),
    ):
        moe = fitted_case(case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = coefficient_table(
                moe, positive_rows(moe, TABLE, y, weight, offset, units), 0, 0.8
            )
            result = moe.inference(TABLE, y, weight, offset=offset, units=units)
            plain = moe.inference(TABLE, y)
        ends = result.conf_int(0.8)
        n_found = 0
        for i, term in enumerate(result.terms):
            if term.part != "gate" and term.name in ("x0", "x1"):
                k, j = int(term.part.split()[1]), int(term.name[1])
                assert_allclose(table.estimates[k, j], result.estimates[i])
                assert_array_equal(table.intervals[k, j], ends[i])
                n_found += 1
        assert n_found == 6
        assert not np.allclose(np.ptp(ends, axis=1), np.ptp(plain.conf_int(0.8), axis=1))


def test_responsibilities_of_rows_count_units_once_and_rows_by_their_weights():
    moe = fitted_case("units")
    rows = positive_rows(moe, TABLE, Y, None, None, UNITS)
    resp, shares = responsibilities_of_rows(moe, rows)
    of_units = moe.responsibilities(TABLE, Y, units=UNITS)
    assert_allclose(shares, of_units.proba.mean(axis=0))
    assert_allclose(resp[::2], of_units.proba)
    moe = fitted_case("weights")
    weight = np.arange(1.0, len(Y) + 1.0)
    resp, shares = responsibilities_of_rows(moe, positive_rows(moe, TABLE, Y, weight, None, None))
    assert_allclose(resp, moe.responsibilities(TABLE, Y))
    assert_allclose(shares, np.average(resp, axis=0, weights=weight))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("display", [CoefficientsDisplay, SegmentProfileDisplay])
def test_coefficients_are_drawn_per_deviation_or_per_unit(display, standardize):
    moe = fitted_case("two experts")
    units = TABLE * [1.0, 1.0]
    given = {"standardize": standardize, "level": 0.8, "features": [1, 0]}
    drawn = display.from_estimator(moe, units, Y, **given)
    scale = TABLE.std(axis=0)[[1, 0], None] if standardize else np.ones((2, 1))
    assert_allclose(drawn.coefficients, moe.expert_coef_.T[[1, 0]] * scale, rtol=1e-6)
    plain, _ = table_of("two experts", 0, 0.8)
    wanted = np.moveaxis(plain.intervals, 1, 0)[[1, 0]] * scale[..., None]
    assert_allclose(drawn.intervals, wanted)
    assert drawn.step == ("SD" if standardize else "unit")
    assert drawn.n_columns is None
    one = display.from_estimator(moe, units, Y, max_features=1, standardize=standardize)
    assert len(one.feature_names) == 1
    if display is CoefficientsDisplay:
        size = np.abs(moe.expert_coef_).max(axis=0) * (TABLE.std(axis=0) if standardize else 1.0)
        assert list(one.feature_names) == [f"x{np.argmax(size)}"]
    assert one.n_columns == 2
    every = display.from_estimator(moe, units, Y, max_features=2, standardize=standardize)
    assert every.n_columns is None


def test_profiles_of_experts_without_coefficients_need_no_target():
    table, y = flipping_classes(80, 3)
    moe = MixtureOfExpertsClassifier(2, expert="tree", n_init=1, max_iter=2, random_state=0)
    display = SegmentProfileDisplay.from_estimator(quiet(moe, table, y), table, y)
    assert display.coefficients is None
    assert display.is_ratio is None
    moe = fitted_case("two experts")
    found = PredictionDisplay.from_estimator(moe, TABLE, explain=False)
    for name in ("base_value", "gate_contributions", "expert_contributions", "feature_labels"):
        assert getattr(found, name) is None
    assert found.observed is None


def test_features_that_only_some_experts_use_are_drawn():
    moe = fitted_case("a list of families")
    display = CoefficientsDisplay.from_estimator(moe, TABLE, Y, level=None)
    known = [family.link != "" for family in moe.families_]
    assert 0 < sum(known) < 3
    assert sorted(display.feature_names) == ["x0", "x1"]
    assert_array_equal(np.isfinite(display.coefficients), [known, known])


# --- formulas of reports --------------------------------------------------------------------------


def test_formulas_are_compared_with_the_mixture_to_the_last_digits():
    wanted = np.array([[1.0, -100.0]])
    for change, same in ((0.0, True), (0.9e-6, True), (1.1e-6, False), (-1.1e-6, False)):
        assert _agrees(wanted + change, wanted) == same
    zero = np.zeros((2, 2))
    assert _agrees(zero + 0.9e-8, zero)
    assert not _agrees(zero + 1.1e-8, zero)
    assert _agrees(np.empty(0), np.empty(0))


def test_predictors_hold_the_features_that_are_not_shown_at_their_start():
    rng = np.random.default_rng(0)
    predictor = Predictor(rng.normal(size=(3, 4)), rng.normal(size=3))
    start = rng.normal(size=4)
    rows = np.tile(start, (5, 1))
    rows[:, [2, 0]] = rng.normal(size=(5, 2))
    given = predictor.given(start, [2, 0])
    found = rows[:, [2, 0]] @ np.array(given["slopes"]).T + given["intercept"]
    assert_allclose(found, rows @ predictor.slopes.T + predictor.intercepts)
    assert_allclose(predictor.at(rows).T, found)


def test_there_are_formulas_only_of_what_has_coefficients_and_known_values():
    moe = fitted_case("two experts")
    start = starting_row(TABLE, None)
    found = find_formulas(moe, TABLE, start, [0, 1], 0)
    assert set(found) == {"gate", "experts"}
    assert [formula["density"] for formula in found["experts"]] == ["normal", "normal"]
    assert find_formulas(fitted_case("trees"), TABLE, start, [0], 0) is None
    missing = TABLE.copy()
    missing[0, 0] = np.nan
    assert find_formulas(moe, missing, start, [0], 0) is None
    assert find_formulas(moe, TABLE, np.array([[np.nan, 0.0]]), [0], 0) is None
    assert find_formulas(moe, TABLE[:1], TABLE[:1], [0], 0) is not None


@pytest.mark.parametrize("case", ["two experts", "linear-classifier", "poisson-regressor"])
def test_formulas_that_are_not_those_of_the_mixture_are_not_used(case):
    moe, start = fitted_case(case), starting_row(TABLE, None)
    assert find_formulas(moe, TABLE, start, [0, 1], 0) is not None
    for name in ("expert_coef_", "expert_intercept_", "gate_coef_"):
        other = copy(moe)
        setattr(
            other,
            name,
            getattr(moe, name)
            + 0.1 * np.arange(getattr(moe, name).size).reshape(getattr(moe, name).shape),
        )
        # The predictions stay those of the mixture.
        for method in ("predict_gate", "predict_experts", "predict_dist"):
            if hasattr(moe, method):
                setattr(other, method, getattr(moe, method))
        assert find_formulas(other, TABLE, start, [0, 1], 0) is None


def test_ordinal_formulas_are_differences_of_cumulative_logits():
    from skmoe.distributions import OrdinalComponents

    rng = np.random.default_rng(0)
    values, steps = rng.normal(size=(6, 2)), np.array([0.5, 1.5])
    predictor = Predictor(np.array([1.0, -2.0]), np.array(0.3))
    eta = values @ predictor.slopes + 0.3
    thresholds = np.array([0.0, 0.5, 2.0])
    up_to = 1.0 / (1.0 + np.exp(eta - thresholds[:, None]))
    probability = np.vstack([up_to[0], up_to[1] - up_to[0], up_to[2] - up_to[1], 1.0 - up_to[2]])
    levels = np.array([1.0, 2.0, 3.0, 4.0])
    part = OrdinalComponents(np.ones((1, 6)), levels, probability[None])
    found = _ordinal_formula(part, predictor, values, steps)
    assert found["values"] == levels.tolist()
    assert_allclose(found["thresholds"], thresholds)
    assert found["density"] == "ordinal"
    assert _ordinal_formula(part, predictor, values, steps[:1]) is None
    for j in range(4):
        wrong = probability.copy()
        wrong[j] += 1e-3
        assert (
            _ordinal_formula(part._replace(probabilities=wrong[None]), predictor, values, steps)
            is None
        )


# --- pipelines ------------------------------------------------------------------------------------


def test_mixtures_behind_other_steps_have_the_names_of_what_these_make():
    steps = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False))
    steps.fit(TABLE)
    names = _names_of_output([step for _, step in steps.steps])
    assert names == ["x0", "x1", "x0^2", "x0 x1", "x1^2"]
    mixture = MixtureOfExpertsRegressor(2, n_init=1, max_iter=4, random_state=0)
    quiet(mixture, steps.transform(TABLE), Y)
    pipeline = make_pipeline(*(step for _, step in steps.steps), mixture)
    subject = find_mixture(pipeline, TABLE)
    assert subject.note
    assert_allclose(subject.X, steps.transform(TABLE))
    assert list(subject.mixture.feature_names_in_) == names
    assert_allclose(subject.mixture.expert_coef_, mixture.expert_coef_)
    assert_allclose(subject.mixture.gate_coef_, mixture.gate_coef_)
    assert_allclose(subject.mixture.predict(subject.X), pipeline.predict(TABLE))
    assert find_mixture(pipeline).X is None
    plain = find_mixture(mixture, TABLE)
    assert plain.mixture is mixture
    assert plain.X is TABLE
    assert plain.note == ""


def test_searches_must_be_fitted():
    search = GridSearchCV(MixtureOfExpertsRegressor(), {"n_experts": [1]})
    with pytest.raises(NotFittedError):
        find_mixture(search, TABLE)


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e7])
def test_equations_of_linear_estimators_do_not_depend_on_the_units_of_y(scale):
    moe = MixtureOfExpertsRegressor(1, expert=Ridge(1e-9), n_init=1, max_iter=3, random_state=0)
    quiet(moe, TABLE * [1.0, 0.0], scale * (1.0 + 2.0 * TABLE[:, 0]))
    text = export_text(moe, decimals=8)
    [line] = [line for line in text.splitlines() if line.strip().startswith("y = ")]
    numbers = [float(value) for value in re.findall(r"(?<![x\w])\d[\d.e+-]*", line)]
    assert_allclose(numbers, [scale, 2.0 * scale], rtol=0.05)
    assert "x1" not in line  # it does nothing


def test_estimators_that_are_not_linear_have_no_equation():
    rows = make_pipeline(PolynomialFeatures(2), Ridge())
    moe = MixtureOfExpertsRegressor(1, expert=rows, n_init=1, max_iter=2, random_state=0)
    for scale in (1e-7, 1.0, 1e7):
        text = export_text(quiet(moe, TABLE, scale * TABLE[:, 0] ** 2))
        assert "y = " not in text
