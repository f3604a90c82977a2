"""Slopes with signs: predictions are monotonic, and inference takes slopes at zero as known."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import lsq_linear

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from skmoe.inspection import CoefficientsDisplay, export_text
from support.displays import caption_of
from support.expert_kinds import draw, options_of
from support.fits import FIXED, FIXED_OF_CLASSES, X, Y, fit_quietly, fixed_penalties

SHORT = {"n_init": 2, "random_state": 0}
GIVEN = FIXED | SHORT
WITH_PREDICTOR = [name for name in FAMILIES if FAMILIES[name].link]
GRID = np.linspace(-3.0, 3.0, 21)


def table(name):
    """Two regimes by the first feature; the effect of the second has another sign in each."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(300, 3))
    effect = np.where(X[:, 0] < 0.0, X[:, 1], -X[:, 1])
    return X, draw(name, 1.0 + effect + 0.6 * X[:, 2], rng, (0.1, 4.0))


def along(column):
    """Rows in which one feature rises, for some values of the others."""
    others = np.random.default_rng(1).uniform(-2, 2, size=(10, 1, 3))
    rows = np.repeat(others, len(GRID), axis=1)
    rows[:, :, column] = GRID
    return rows.reshape(-1, 3)


@pytest.mark.parametrize(
    ("name", "sign"), [(name, (-1) ** i) for i, name in enumerate(WITH_PREDICTOR)]
)
def test_predictions_are_monotonic_where_the_gate_does_not_see_the_feature(name, sign):
    X, y = table(name)
    options = {**GIVEN, "n_init": 6, "gate_features": [0], "monotonic_cst": [0, sign, 0]}
    options |= options_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert np.sort(moe.expert_coef_[:, 1] == 0.0).tolist() == [False, True]
    if "zero" in str(moe.family) or not hasattr(moe, "predict"):
        return
    changes = np.diff(moe.predict(along(1)).reshape(-1, len(GRID)), axis=1)
    assert (sign * changes >= -1e-9 * np.abs(changes).max()).all()
    assert (sign * changes).max() > 0.0


def test_probabilities_of_the_second_class_are_monotonic():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(400, 3))
    effect = np.where(X[:, 0] < 0.0, 3.0 * X[:, 1], -3.0 * X[:, 1])
    y = np.where(effect + rng.logistic(size=400) > 0.0, "yes", "no")
    options = FIXED_OF_CLASSES | SHORT | {"gate_features": [0], "monotonic_cst": [0, 1, 0]}
    moe = MixtureOfExpertsClassifier(2, **options).fit(X, y)
    assert np.sort(moe.expert_coef_[:, 1] == 0.0).tolist() == [False, True]
    changes = np.diff(moe.predict_proba(along(1))[:, 1].reshape(-1, len(GRID)), axis=1)
    assert (changes >= -1e-12).all()
    reasons = moe.inference(X, y).to_frame().reason
    assert (reasons == "at its bound").sum() == 1


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_one_expert_is_bounded_least_squares(alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4)) @ rng.normal(size=(4, 4))
    y = X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=80)
    signs = [-1, 0, 1, 1]
    options = {"alpha": alpha, "dispersion_prior": 0.0, "random_state": 0}
    moe = MixtureOfExpertsRegressor(1, monotonic_cst=signs, **options).fit(X, y)
    scale = X.std(axis=0)
    Z = np.vstack([(X - X.mean(axis=0)) / scale, np.sqrt(alpha) * np.eye(4)])
    bounds = (
        np.where(np.array(signs) > 0, 0.0, -np.inf),
        np.where([s < 0 for s in signs], 0.0, np.inf),
    )
    best = lsq_linear(Z, np.append(y - y.mean(), np.zeros(4)), bounds, method="bvls", tol=1e-14)
    assert_allclose(moe.expert_coef_[0], best.x / scale, atol=1e-7)
    assert_array_equal(moe.expert_coef_[0] == 0.0, np.abs(best.x) < 1e-12)
    assert (moe.expert_coef_ == 0.0).any()


@pytest.mark.parametrize("name", WITH_PREDICTOR)
def test_signs_that_the_data_have_change_nothing(name):
    X, y = table(name)
    options = GIVEN | {"gate_features": [0], "max_iter": 500, "tol": 1e-8} | options_of(name)
    free = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    signs = [0, 0, int(np.sign(free.expert_coef_[0, 2]))]
    assert (signs[2] * free.expert_coef_[:, 2] > 0.0).all()
    moe = MixtureOfExpertsRegressor(2, monotonic_cst=signs, **options).fit(X, y)
    assert_allclose(moe.lower_bound_, free.lower_bound_, atol=1e-7)
    assert_allclose(moe.expert_coef_, free.expert_coef_, rtol=1e-3, atol=1e-4)
    errors, expected = (one.inference(X, y).standard_errors for one in (moe, free))
    assert_allclose(errors, expected, rtol=1e-2)


@pytest.mark.parametrize("name", ["normal", "poisson", "gamma", "student_t"])
def test_a_slope_at_zero_is_known_in_inference(name):
    """The other estimates and errors are those of a fit without the feature."""
    X, y = table(name)
    options = GIVEN | {"alpha": 0.0, "dispersion_prior": 0.0} | options_of(name)
    free = MixtureOfExpertsRegressor(1, **options).fit(X, y)
    signs = [0, 0, 0]
    signs[1] = -int(np.sign(free.expert_coef_[0, 1]))
    moe = MixtureOfExpertsRegressor(1, monotonic_cst=signs, **options).fit(X, y)
    without = MixtureOfExpertsRegressor(1, expert_features=[0, 2], **options).fit(X, y)
    assert moe.n_parameters_ == without.n_parameters_ + 1 == free.n_parameters_
    assert_allclose(moe.lower_bound_, without.lower_bound_, atol=1e-9)
    ours, theirs = moe.inference(X, y).to_frame(), without.inference(X, y).to_frame()
    held = ours.index.get_level_values("term") == "x1"
    assert ours.reason[held].tolist() == ["at its bound"]
    assert_allclose(ours["standard error"][~held], theirs["standard error"], rtol=1e-4)
    assert "\nat its bound: " in str(moe.summary(X, y))


@pytest.mark.parametrize("seed", [9, 18, 50, 55])
def test_a_slope_leaves_its_bound_where_the_likelihood_rises(seed):
    """Also at the end of a fit, after EM that has stopped early."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4))
    is_first = rng.uniform(size=150) < 0.5
    y = np.where(is_first, X @ rng.normal(size=4), X @ rng.normal(size=4)) + rng.normal(size=150)
    signs = [1, 1, -1, -1]
    options = GIVEN | {"gate": "constant", "tol": 10.0, "n_init": 1}
    moe = MixtureOfExpertsRegressor(2, monotonic_cst=signs, **options).fit(X, y)
    residual = (y[:, None] - moe.predict_experts(X)) / moe.noise_variance_
    derivatives = (moe.responsibilities(X, y) * residual).T @ X
    held = moe.expert_coef_ == 0.0
    assert held.any()
    assert ((signs * derivatives)[held] < 1e-3).all()


def test_text_and_forest_plot_show_slopes_at_their_bound():
    X, y = table("gamma")
    options = GIVEN | {"gate_features": [0], "monotonic_cst": [0, 1, -1]}
    moe = MixtureOfExpertsRegressor(2, family="gamma", **options).fit(X, y)
    assert (moe.expert_coef_[:, 2] == 0.0).all()
    shown = [line.split(": ")[1] for line in export_text(moe).splitlines() if "its bound" in line]
    assert sorted(shown) == ["x1, x2", "x2"]
    assert_array_equal(moe.slopes_at_bound_, (moe.expert_coef_ == 0.0) & [False, True, True])
    display = CoefficientsDisplay.from_estimator(moe, X, y, max_features=3)
    row = display.feature_names.index("x2")
    assert_array_equal(display.coefficients[row], 0.0)
    assert np.isnan(display.intervals[row]).all()
    assert "On the vertical line: dropped, or at their bound." in caption_of(display.figure_)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_slopes_that_an_expert_lacks_are_not_at_their_bound(make):
    X, y = table("normal")
    y = y if make is MixtureOfExpertsRegressor else (y > np.median(y)).astype(int)
    options = fixed_penalties(make) | SHORT
    options |= {"expert_features": [[0, 2], [0, 1, 2]], "gate_features": [0]}
    moe = make(2, monotonic_cst=[0, 1, -1], **options).fit(X, y)
    assert_array_equal(moe.slopes_at_bound_[:, 2], [True, True])
    assert not moe.slopes_at_bound_[:, 0].any()
    assert not moe.slopes_at_bound_[0, 1]
    reasons = moe.inference(X, y).to_frame().reason
    assert (reasons == "at its bound").sum() == moe.slopes_at_bound_.sum()


def test_names_of_features_have_signs():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b"])
    by_name = fit_quietly(MixtureOfExpertsRegressor(2, monotonic_cst={"b": -1}, **GIVEN), frame, Y)
    by_number = fit_quietly(MixtureOfExpertsRegressor(2, monotonic_cst=[0, -1], **GIVEN), X, Y)
    assert_array_equal(by_name.expert_coef_, by_number.expert_coef_)
    assert (by_name.expert_coef_[:, 1] <= 0.0).all()
    inference = by_name.inference(frame, Y, method="bootstrap", n_bootstrap=3, random_state=0)
    held = [term.name == "b" for term in inference.terms]
    slopes = inference.replicates[:, held][:, : by_name.n_experts_]
    assert (slopes <= 0.0).all()


@pytest.mark.parametrize(
    ("options", "seen"),
    [({}, "x0, x1"), ({"gate_features": [1]}, "x1"), ({"gate": "constant"}, "")],
)
def test_a_gate_that_uses_the_feature_is_reported(options, seen):
    moe = MixtureOfExpertsRegressor(2, monotonic_cst=[1, -1], **GIVEN, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe.fit(X, Y)
    messages = [str(w.message) for w in caught if "monotonic_cst" in str(w.message)]
    assert len(messages) == bool(seen)
    assert all(f"monotonic_cst: {seen}. " in message for message in messages)
