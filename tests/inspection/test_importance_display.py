"""Importance of a feature: decrease of the log density when it is permuted in a part or in both."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.inspection import permutation_importance

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ImportanceDisplay, permutation_importance_by_part
from skmoe.metrics import log_density_scorer
from support.displays import CASES, texts
from support.expert_kinds import OF_VALUES, example, options_of
from support.expert_kinds import draw as draw_target
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import two_regimes

PARTS = ("gate", "experts", "both")


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(200)
    return fit_quietly(regressor(max_iter=20), X[:100], y[:100]), X[100:], y[100:]


@pytest.fixture(scope="module")
def counts():
    X, y = two_regimes(150)
    y, offset = np.floor(np.abs(y)), np.linspace(-0.5, 0.5, 150)
    moe = regressor(family="poisson", max_iter=10)
    return fit_quietly(moe, X, y, offset=offset), X, y, offset


def importances(found):
    return np.array([found[part].importances for part in PARTS])


# --- the numbers ----------------------------------------------------------------------------------


def test_parts_are_those_of_normal_densities_by_hand(fitted):
    moe, X, y = fitted
    found = permutation_importance_by_part(moe, X, y, n_repeats=2, random_state=3)
    generator = np.random.RandomState(3)

    def score(gate_rows, expert_rows):
        density = stats.norm(moe.predict_experts(expert_rows), np.sqrt(moe.noise_variance_))
        joint = moe.predict_gate(gate_rows) * density.pdf(y[:, None])
        return np.log(joint.sum(axis=1)).mean()

    assert_allclose(found.score, score(X, X))
    for j in range(3):
        for repeat in range(2):
            Z = X.copy()
            Z[:, j] = X[generator.permutation(len(X)), j]
            expected = [found.score - score(*pair) for pair in ((Z, X), (X, Z), (Z, Z))]
            assert_allclose(importances(found)[:, j, repeat], expected, rtol=1e-8, atol=1e-12)
    for part in PARTS:
        assert_allclose(found[part].importances_mean, found[part].importances.mean(axis=1))
        assert_allclose(found[part].importances_std, found[part].importances.std(axis=1))


def test_both_parts_together_are_the_usual_permutation_importance(fitted):
    moe, X, y = fitted
    found = permutation_importance_by_part(moe, X, y, n_repeats=30, random_state=0)
    usual = permutation_importance(
        moe, X, y, scoring=log_density_scorer, n_repeats=30, random_state=1
    )
    error = np.hypot(found.both.importances_std, usual.importances_std) / np.sqrt(30)
    distance = np.abs(found.both.importances_mean - usual.importances_mean)
    assert (distance < 5.0 * error).all()


def test_features_that_a_part_does_not_use_are_not_important_for_it():
    X, y = two_regimes(150)
    moe = fit_quietly(regressor(gate_features=[0], expert_features=[1, 2], max_iter=20), X, y)
    gate, experts, both = importances(permutation_importance_by_part(moe, X, y, random_state=0))
    assert_allclose(gate[1:], 0.0, atol=1e-12)
    assert_allclose(experts[0], 0.0, atol=1e-12)
    assert (gate[0] > 0.1).all()
    assert (experts[1:] > 0.1).all()
    assert_allclose(both[0], gate[0])
    assert_allclose(both[1:], experts[1:])


def test_scores_of_classes_are_log_probabilities():
    moe, X, y, _ = CASES["classes"]()
    found = permutation_importance_by_part(moe, X, y, random_state=0, n_repeats=2)
    assert_allclose(found.score, moe.score_samples(X, y).mean())
    assert found.gate.importances_mean.argmax() == 0
    assert found.experts.importances_mean.argmax() == 1
    message = refusal(permutation_importance_by_part, moe, X, np.where(y == "red", "black", y))
    assert_refused(message, "y must hold classes seen in fit")


MIXED = [["zero", "gamma"], ["zero", "normal"], ["zero", "student_t"]]


@pytest.mark.parametrize("family", [*OF_VALUES, *MIXED], ids=str)
def test_scores_of_families_are_log_densities(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    if isinstance(family, list):
        y = np.where(X[:, 0] > 0, 0.0, rng.gamma(2.0, np.exp(0.5 * X[:, 1])))
    elif example(family).link:
        y = draw_target(family, 0.5 * X[:, 1], rng)
    else:
        y = {"zero": np.zeros(150), "one": np.ones(150)}.get(family, rng.uniform(size=150))
    options = {"family": family} if isinstance(family, list) else options_of(family)
    moe = fit_quietly(regressor(**options, max_iter=5), X, y)
    found = permutation_importance_by_part(moe, X, y, n_repeats=1, random_state=0)
    assert_allclose(found.score, moe.score_samples(X, y).mean(), rtol=1e-8, atol=1e-12)


def test_scores_count_all_outputs_and_the_offset(counts):
    moe, X, Y, _ = CASES["outputs"]()
    found = permutation_importance_by_part(moe, X, Y, n_repeats=1)
    assert_allclose(found.score, moe.score_samples(X, Y).mean(), rtol=1e-8)
    moe, X, y, offset = counts
    found = permutation_importance_by_part(moe, X, y, n_repeats=1, offset=offset)
    assert_allclose(found.score, moe.score_samples(X, y, offset=offset).mean(), rtol=1e-8)


def test_weights_count_rows(fitted):
    moe, X, y = fitted
    weight = np.arange(len(y), dtype=float)
    weighted = permutation_importance_by_part(moe, X, y, sample_weight=weight, random_state=0)
    assert_allclose(weighted.score, np.average(moe.score_samples(X, y), weights=weight))


def test_seeds_and_chosen_features(fitted):
    moe, X, y = fitted
    twice = [permutation_importance_by_part(moe, X, y, random_state=0) for _ in range(2)]
    assert_array_equal(*map(importances, twice))
    other = permutation_importance_by_part(moe, X, y, random_state=1)
    assert not np.allclose(importances(other), importances(twice[0]))
    some = permutation_importance_by_part(moe, X, y, features=[2, 0], random_state=0)
    assert_array_equal(some.features, [2, 0])
    assert some.gate.importances.shape == (2, 5)


def test_importances_of_units_are_those_of_their_densities():
    """What a unit has once is permuted over the units, so that it stays constant within each."""
    rng = np.random.default_rng(0)
    units, weight = np.repeat(np.arange(60), 4), np.resize([1.0, 2.0, 0.0], 240)
    X = np.column_stack([np.repeat(rng.normal(size=60), 4), rng.normal(size=240)])
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=240)
    moe = regressor(gate_features=[0], expert_features=[1])
    moe = fit_quietly(moe, X, y, units=units, sample_weight=weight)
    given = {"units": units, "sample_weight": weight}
    found = permutation_importance_by_part(moe, X, y, random_state=0, **given)
    assert found.score == pytest.approx(moe.score_samples(X, y, **given).mean())
    assert found.experts.importances_mean[0] == 0.0 == found.gate.importances_mean[1]
    assert_array_equal(found.both.importances[0], found.gate.importances[0])
    assert (found.both.importances_mean > 1.0).all()  # of about three rows together
    display = ImportanceDisplay.from_estimator(moe, X, y, random_state=0, **given)
    assert "per unit, permuted" in display.ax_.get_xlabel()
    by_row = fit_quietly(regressor(), X, y)
    display = ImportanceDisplay.from_estimator(by_row, X, y, random_state=0)
    assert "per row, permuted" in display.ax_.get_xlabel()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_permuted(make):
    X, y = two_regimes(90)
    level = np.random.default_rng(0).choice(3, 90)
    words = np.array(["south", "north", "east"])[level]
    frame = make({"depth": X[:, 0], "region": words.tolist()})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y + 9.0 * level)
    found = permutation_importance_by_part(
        moe, frame, y + 9.0 * level, features=["region"], random_state=0, n_repeats=2
    )
    assert (found.experts.importances > 0.5).all()


# --- the picture ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* got no offset")
def test_the_largest_importances_of_both_parts_are_drawn_first(counts):
    moe, X, y, offset = counts
    given = {
        "offset": offset,
        "sample_weight": np.arange(len(y)) % 3.0,
        "n_repeats": 2,
        "random_state": 0,
    }
    found = permutation_importance_by_part(moe, X, y, **given)
    display = ImportanceDisplay.from_estimator(moe, X, y, **given)
    order = np.argsort(-found.both.importances_mean)
    assert display.feature_names == [f"x{j}" for j in order]
    assert texts(display.ax_.get_yticklabels()) == display.feature_names
    for part in PARTS:
        assert_array_equal(getattr(display, part), found[part].importances[order])
    for left_out in ("sample_weight", "offset"):
        other = ImportanceDisplay.from_estimator(moe, X, y, **given | {left_out: None})
        assert not np.allclose(other.both, display.both)
    assert display.n_columns is None
    one = ImportanceDisplay.from_estimator(moe, X, y, max_features=1, **given)
    assert one.n_columns == 3
    assert_array_equal(one.gate, found.gate.importances[order[:1]])


def test_bars_are_means_with_deviations_one_part_above_the_other():
    rng = np.random.default_rng(0)
    parts, centres = {name: rng.normal(size=(3, 4)) for name in PARTS}, {}
    names = ["a" * 40, "weight", "age"]
    display = ImportanceDisplay(feature_names=names, **parts, n_columns=7, feature_note="a note")
    for name, bars in display.plot().bars_.items():
        mean = parts[name].mean(axis=1)
        assert_allclose([bar.get_width() for bar in bars], mean)
        centres[name] = np.array([bar.get_y() + bar.get_height() / 2 for bar in bars])
        segments = bars.errorbar.lines[2][0].get_segments()
        ends = np.array([segment[:, 0] for segment in segments])
        assert_allclose(ends.mean(axis=1), mean)
        assert_allclose(np.ptp(ends, axis=1), 2.0 * parts[name].std(axis=1))
    assert_allclose(centres["experts"], [0.0, 1.0, 2.0], atol=1e-12)
    assert_allclose(centres["both"] - centres["experts"], -0.27)
    assert_allclose(centres["gate"] - centres["experts"], 0.27)
    assert display.bars_["gate"][0].get_hatch()
    assert display.ax_.get_ylim() == (2.5, -0.5)
    assert texts(display.ax_.get_yticklabels())[1:] == names[1:]
    label = display.ax_.get_xlabel().split("\n")
    assert label[1:] == ["3 of 7 features: the most important ones", "a note"]
    assert texts(display.ax_.get_legend()) == ["both", "in the experts only", "in the gate only"]
