"""Importances are decreases of the log density when a feature is permuted in a part or in both."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse, stats
from sklearn.decomposition import PCA
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import ImportanceDisplay, permutation_importance_by_part
from skmoe.inspection._importance_by_part import log_densities
from skmoe.metrics import log_density_scorer

matplotlib.use("Agg")


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(400)
    return quiet(regressor(), X[:200], y[:200]), X[200:], y[200:]


def importances(found):
    return [found[part].importances for part in ("gate", "experts", "both")]


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
    assert_allclose(found.score, moe.score_samples(X, y).mean())
    for j in range(3):
        for repeat in range(2):
            Z = X.copy()
            Z[:, j] = X[generator.permutation(len(X)), j]
            expected = [found.score - score(*pair) for pair in ((Z, X), (X, Z), (Z, Z))]
            assert_allclose([part[j, repeat] for part in importances(found)], expected, rtol=1e-8)
    for part in ("gate", "experts", "both"):
        assert_allclose(found[part].importances_mean, found[part].importances.mean(axis=1))
        assert_allclose(found[part].importances_std, found[part].importances.std(axis=1))


def test_both_parts_together_are_the_usual_permutation_importance(fitted):
    moe, X, y = fitted
    found = permutation_importance_by_part(moe, X, y, n_repeats=60, random_state=0)
    usual = permutation_importance(
        moe, X, y, scoring=log_density_scorer, n_repeats=60, random_state=1
    )
    error = np.hypot(found.both.importances_std, usual.importances_std) / np.sqrt(60)
    distance = np.abs(found.both.importances_mean - usual.importances_mean)
    assert (distance < 4.0 * error).all()


def test_features_that_a_part_does_not_use_are_not_important_for_it():
    X, y = two_regimes(300)
    moe = quiet(regressor(gate_features=[0], expert_features=[1, 2]), X, y)
    found = permutation_importance_by_part(moe, X, y, random_state=0)
    gate, experts, both = importances(found)
    assert_allclose(gate[1:], 0.0, atol=1e-12)
    assert_allclose(experts[0], 0.0, atol=1e-12)
    assert (gate[0] > 0.1).all()
    assert (experts[1:] > 0.1).all()
    assert_allclose(both[0], gate[0])
    assert_allclose(both[1:], experts[1:])


def test_classes_have_log_probabilities():
    X, codes = flipping_classes(n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    found = permutation_importance_by_part(moe, X, y, random_state=0)
    assert_allclose(found.score, moe.score_samples(X, y).mean())
    assert found.gate.importances_mean.argmax() == 0
    assert found.experts.importances_mean.argmax() == 1


@pytest.mark.parametrize(
    "family", ["poisson", ["zero", "gamma"], ["zero", "normal"], ["zero", "student_t"], "ordinal"]
)
def test_scores_of_families_are_log_densities(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = rng.poisson(np.exp(0.5 * X[:, 1]), size=300).astype(float)
    if family[0] == "zero":
        y = np.where(X[:, 0] > 0, 0.0, rng.gamma(2.0, np.exp(0.5 * X[:, 1])))
    y = np.minimum(y, 3.0) if family == "ordinal" else y
    moe = quiet(regressor(family=family), X, y)
    found = permutation_importance_by_part(moe, X, y, n_repeats=1, random_state=0)
    assert_allclose(found.score, moe.score_samples(X, y).mean(), rtol=1e-8)


def test_several_outputs_and_offsets():
    X, y = two_regimes(300)
    Y = np.column_stack([y, 5.0 - y + np.random.default_rng(0).normal(size=300)])
    moe = quiet(regressor(), X, Y)
    found = permutation_importance_by_part(moe, X, Y, n_repeats=1, random_state=0)
    assert_allclose(found.score, moe.score_samples(X, Y).mean(), rtol=1e-8)
    offset = np.linspace(-1.0, 1.0, 300)
    counts = np.random.default_rng(0).poisson(np.exp(offset))
    moe = quiet(regressor(family="poisson"), X, counts, offset=offset)
    found = permutation_importance_by_part(moe, X, counts, n_repeats=1, offset=offset)
    assert_allclose(found.score, moe.score_samples(X, counts, offset).mean(), rtol=1e-8)


def test_many_rows_are_done_expert_by_expert(fitted, monkeypatch):
    moe, X, y = fitted
    whole = log_densities(moe, X, y, None)
    monkeypatch.setattr("skmoe.inspection._importance_by_part.ROWS_AT_ONCE", 10)
    assert_allclose(log_densities(moe, X, y, None), whole)


def test_rows_of_weight_zero_are_absent(fitted):
    moe, X, y = fitted
    more, weight = np.vstack([X, X[:3] + 1e3]), np.append(np.ones(len(y)), np.zeros(3))
    given = permutation_importance_by_part(
        moe, more, np.append(y, [1e9, -1e9, 0.0]), sample_weight=weight, random_state=0
    )
    absent = permutation_importance_by_part(moe, X, y, random_state=0)
    for found, expected in zip(importances(given), importances(absent), strict=True):
        assert_allclose(found, expected)


def test_seeds_weights_and_chosen_features(fitted):
    moe, X, y = fitted
    twice = [permutation_importance_by_part(moe, X, y, random_state=0) for _ in range(2)]
    assert_array_equal(*(each.both.importances for each in twice))
    other = permutation_importance_by_part(moe, X, y, random_state=1)
    assert not np.allclose(other.both.importances, twice[0].both.importances)
    some = permutation_importance_by_part(moe, X, y, features=[2, 0], random_state=0)
    assert_array_equal(some.features, [2, 0])
    assert some.gate.importances.shape == (2, 5)
    weight = np.arange(len(y), dtype=float)
    weighted = permutation_importance_by_part(moe, X, y, sample_weight=weight, random_state=0)
    assert_allclose(weighted.score, np.average(moe.score_samples(X, y), weights=weight))


@pytest.mark.parametrize("make", [sparse.csr_array, pd.DataFrame, pl.DataFrame], ids=str)
def test_tables_of_all_types(fitted, make):
    moe, X, y = fitted
    table = X
    if make is not sparse.csr_array:
        table = make(dict(zip(["a", "b", "c"], X.T, strict=True)))
        moe = quiet(regressor(), table, y)
    else:
        moe = quiet(regressor(), X, y)
        table = make(X)
    expected = quiet(regressor(), X, y)
    found = [
        permutation_importance_by_part(each, rows, y, n_repeats=2, random_state=0)
        for each, rows in ((moe, table), (expected, X))
    ]
    for one, other in zip(*map(importances, found), strict=True):
        assert_allclose(one, other, rtol=1e-7, atol=1e-10)


def test_categories_are_permuted():
    X, y = two_regimes(200)
    frame = pd.DataFrame(X[:, :2], columns=["depth", "width"], index=np.arange(200) * 3 + 5)
    level = np.random.default_rng(0).choice(3, 200)
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    moe = quiet(regressor(expert="tree", max_iter=2), frame, y + 9.0 * level)
    found = permutation_importance_by_part(
        moe, frame, y + 9.0 * level, features=["region"], random_state=0
    )
    assert (found.experts.importances > 0.5).all()


# --- the picture ----------------------------------------------------------------------------------


def test_bars_are_means_with_deviations_the_largest_first(fitted):
    moe, X, y = fitted
    found = permutation_importance_by_part(moe, X, y, random_state=0)
    display = ImportanceDisplay.from_estimator(moe, X, y, random_state=0)
    order = np.argsort(-found.both.importances_mean)
    assert display.feature_names == [f"x{j}" for j in order]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == display.feature_names
    for part in ("gate", "experts", "both"):
        assert_array_equal(getattr(display, part), found[part].importances[order])
        bars = display.bars_[part]
        assert_allclose([bar.get_width() for bar in bars], found[part].importances_mean[order])
        (segments,) = bars.errorbar.lines[2]
        ends = np.array([segment[:, 0] for segment in segments.get_segments()])
        assert_allclose(np.ptp(ends, axis=1) / 2, found[part].importances_std[order])
    assert display.bars_["gate"][0].get_hatch()
    heights = [bar.get_y() for bar in display.bars_["both"]]
    assert heights == sorted(heights)


def test_the_most_important_are_drawn_and_the_others_counted(fitted):
    moe, X, y = fitted
    display = ImportanceDisplay.from_estimator(moe, X, y, max_features=2, random_state=0)
    assert len(display.feature_names) == len(display.both) == 2
    assert "2 of 3 features: the most important ones" in display.ax_.get_xlabel()


def test_pipelines_and_axes(fitted):
    _, X, y = fitted
    pipeline = make_pipeline(StandardScaler(), regressor()).fit(X * 1e3, y)
    figure, ax = plt.subplots()
    display = ImportanceDisplay.from_estimator(pipeline, X * 1e3, y, random_state=0, ax=ax)
    direct = ImportanceDisplay.from_estimator(
        regressor().fit(X * 1e3, y), X * 1e3, y, random_state=0
    )
    assert_allclose(display.both, direct.both, rtol=1e-4)
    assert display.figure_ is figure
    rotated = make_pipeline(PCA(2), regressor(max_iter=20))
    display = ImportanceDisplay.from_estimator(quiet(rotated, X, y), X, y, random_state=0)
    assert set(display.feature_names) == {"pca0", "pca1"}
    assert "transformed table" in display.ax_.get_xlabel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_repeats": 0}, "n_repeats must be an integer of at least 1"),
        ({"max_features": 0}, "max_features must be an integer of at least 1"),
        ({"features": ["depth"]}, "X has none"),
        ({"y": np.zeros(7)}, "X and y must have the same number of rows"),
        ({"y": np.full(200, np.nan)}, "y contains NaN"),
    ],
)
def test_bad_requests(fitted, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        ImportanceDisplay.from_estimator(moe, X, **{"y": y} | options)


def test_unknown_classes_are_refused():
    X, y = flipping_classes(n_rows=200)
    moe = quiet(MixtureOfExpertsClassifier(2, n_init=1, random_state=0), X, y)
    with pytest.raises(ValueError, match="y must hold classes seen in fit"):
        permutation_importance_by_part(moe, X, np.where(y == y[0], y, 7))
