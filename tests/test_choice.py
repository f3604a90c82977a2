"""The number of experts: regimes that are there are counted."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.n_experts_selection import n_experts_grid, select_by_holdout
from skmoe.experts import LinearExperts
from skmoe.experts._variance_prior import estimate_noise_variance


def steps(n_regimes, n_rows=600, seed=0):
    """Linear regressions that change with the first feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    regime = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(1, n_regimes) / n_regimes))
    coef, intercept = 2 * rng.normal(size=(n_regimes, 3)), 3 * rng.normal(size=n_regimes)
    y = intercept[regime] + (X * coef[regime]).sum(axis=1) + 0.3 * rng.normal(size=n_rows)
    return X, y


@cache
def fitted_to_steps(n_experts, n_regimes):
    """A mixture that no test changes."""
    moe = MixtureOfExpertsRegressor(n_experts, random_state=0)
    return moe.fit(*steps(n_regimes))


@pytest.mark.parametrize("n_regimes", [1, 2, 3, 4])
@pytest.mark.parametrize("how", ["auto", "bic", "icl"])
def test_regimes_are_counted(n_regimes, how):
    X, _ = steps(n_regimes)
    moe = fitted_to_steps(how, n_regimes)
    assert moe.n_experts_ == n_regimes == len(moe.expert_coef_)
    assert moe.n_experts == how
    assert_array_equal(moe.n_experts_tried_[:n_regimes], np.arange(1, n_regimes + 1))
    assert len(moe.n_experts_scores_) == len(moe.n_experts_tried_)
    fixed = fitted_to_steps(n_regimes, n_regimes)
    assert_array_equal(moe.predict(X), fixed.predict(X))


def test_regimes_of_classes_are_counted():
    X, y = flipping_classes(n_rows=1200)
    moe = MixtureOfExpertsClassifier("auto", random_state=0).fit(X, np.array(["no", "yes"])[y])
    assert moe.n_experts_ == 2
    assert set(moe.predict(X)) == {"no", "yes"}


def test_the_smallest_number_within_a_standard_error_is_chosen():
    rng = np.random.default_rng(0)
    noise, jitter = rng.normal(size=(2, 400))
    rows = {1: noise - 1, 2: noise, 3: noise + 0.01 * (jitter - jitter.mean()) + 1e-4}

    def score(number):
        return rows.get(number, noise - 2)

    choice = select_by_holdout(score, np.ones(400), maximum=100)
    assert choice.n_experts == 2
    assert list(choice.tried) == [1, 2, 3, 4, 5]
    assert select_by_holdout(score, np.ones(400), maximum=1).n_experts == 1


def test_numbers_whose_experts_collapse_are_no_candidates():
    scores = {1: np.zeros(10), 2: np.ones(10), 3: None}
    choice = select_by_holdout(scores.__getitem__, np.ones(10), maximum=100)
    assert choice.n_experts == 2
    assert list(choice.tried) == [1, 2]


def test_the_selected_number_has_no_collapsed_experts():
    """With more experts than two the penalties change, and with them the score of these rows."""
    wine = load_wine(as_frame=True).frame.drop(columns="target")
    X, y = wine.drop(columns="color_intensity"), wine["color_intensity"]
    X, _, y, _ = train_test_split(X, y, test_size=0.3, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
    assert moe.n_experts_ == 2
    assert moe.weights_.min() > 0.1


def test_numbers_grow_by_a_quarter():
    found = [number for number, _ in zip(n_experts_grid(), range(12), strict=False)]
    assert found == [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24]


def test_rows_of_no_weight_are_absent():
    X, y = steps(2, n_rows=300)
    weight = np.ones(330)
    weight[300:] = 0
    X_more, y_more = np.vstack([X, 9 * X[:30]]), np.append(y, -50 + y[:30])
    moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
    same = clone(moe)
    same.fit(X_more, y_more, sample_weight=weight)
    assert_array_equal(moe.n_experts_scores_, same.n_experts_scores_)
    assert_array_equal(moe.predict(X), same.predict(X))


@pytest.mark.filterwarnings("ignore")
def test_trees_frames_and_groups():
    X, y = two_regimes(n_rows=60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "up", "down"))
    groups = np.arange(60) // 4
    moe = MixtureOfExpertsRegressor("auto", expert="tree", cross_fit=2, n_init=1, max_iter=2)
    moe.fit(frame, y, groups=groups)
    assert len(moe.experts_) == moe.n_experts_
    assert list(moe.n_experts_tried_[:3]) == [1, 2, 3]
    assert moe.n_experts_ in moe.n_experts_tried_
    assert np.isfinite(moe.n_experts_scores_).all()
    # What is held out are whole groups: a tree knows the rows of a group that it has seen.
    X, y = np.repeat(X[::4], 4, axis=0), np.repeat(y[::4], 4) + 1e-3 * np.arange(60)
    small = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
    moe.set_params(expert=small, dispersion_prior=0.1)
    apart = clone(moe).fit(X, y, groups=groups)
    known = clone(moe).fit(X, y, groups=np.arange(60) % 15)
    assert known.n_experts_scores_[0] > apart.n_experts_scores_[0] + 0.5


def test_groups_are_held_out_together():
    """Rows that stand five times over are no news to a fit that knows one of them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    X, y = np.repeat(X, 5, axis=0), np.repeat(y, 5)
    X = X + 1e-6 * rng.normal(size=X.shape)
    moe = MixtureOfExpertsRegressor("auto", dispersion_prior=0.1, n_init=1, random_state=0)
    alone = quiet(moe, X, y).n_experts_scores_.max()
    together = quiet(moe, X, y, groups=np.arange(150) // 5).n_experts_scores_.max()
    assert together < alone - 0.2
    with pytest.raises(ValueError, match="at least 2 groups; got 1"):
        moe.fit(X, y, groups=np.zeros(150))


def test_rare_classes_are_always_fitted():
    X, y = flipping_classes(n_rows=300)
    y = y.copy()
    y[:2] = 7
    moe = MixtureOfExpertsClassifier("auto", random_state=0).fit(X, y)
    assert list(moe.classes_) == [0, 1, 7]


def test_users_paths():
    X, y = steps(2)
    moe = MixtureOfExpertsRegressor("auto", random_state=0)
    assert clone(moe).n_experts == "auto"
    assert cross_val_score(make_pipeline(StandardScaler(), moe), X, y, cv=3).min() > 0.9
    average = clone(moe).set_params(combine="average", n_init=2).fit(X.tolist(), y.tolist())
    assert average.n_experts_ == 4
    average.set_params(n_experts=2, combine="best").fit(X, y)
    assert not hasattr(average, "n_experts_tried_")
    routed = clone(moe).set_params(top_k=2).fit(X, y)
    assert routed.n_experts_ == 2


def test_trials_estimate_the_noise_once_and_find_the_same(monkeypatch):
    X, y = steps(3)
    calls = []

    def estimate(*args):
        calls.append(args)
        return estimate_noise_variance(*args)

    monkeypatch.setattr("skmoe._estimators.tasks.estimate_noise_variance", estimate)
    moe = MixtureOfExpertsRegressor("bic", random_state=0)
    once, n_once = clone(moe).fit(X, y), len(calls)
    monkeypatch.setattr(LinearExperts, "estimates", {})
    anew, n_anew = clone(moe).fit(X, y), len(calls) - n_once
    assert n_anew - n_once == len(once.n_experts_tried_) - 1  # of the first trial, splits, the fit
    assert_array_equal(once.n_experts_scores_, anew.n_experts_scores_)


@pytest.mark.parametrize(
    ("parameters", "n_rows", "message"),
    [
        ({"n_experts": "many"}, 100, r"or one of \['auto', 'bic', 'icl'\]; got 'many'"),
        ({"expert": ["linear", "tree"]}, 100, "a list is one of each"),
        ({"init": np.full((100, 2), 0.5)}, 100, "responsibilities are of a given number"),
        ({"warm_start": True}, 100, "it continues with the previous number"),
        ({}, 15, "needs at least 20 rows, counted by their weights; got 15"),
        ({"alpha": -1.0}, 100, "alpha must be a finite number"),
        ({"top_k": 2.5}, 20, "top_k must be an integer of at least 1; got 2.5"),
    ],
)
def test_bad_input(parameters, n_rows, message):
    X, y = two_regimes(n_rows=n_rows)
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor(**{"n_experts": "auto"} | parameters).fit(X, y)


def test_errors_of_scores_are_those_of_differences_from_the_best():
    rng = np.random.default_rng(0)
    rows = {number: rng.normal(size=400) + gain for number, gain in enumerate([0.0, 5.0, 4.9], 1)}
    rows |= {4: rows[2] - 0.1, 5: rows[2] - 0.2}
    weight = rng.integers(1, 4, size=400).astype(float)
    found = select_by_holdout(lambda number: rows[number], weight, maximum=5)
    best = int(np.argmax(found.scores))
    for score, error, number in zip(found.scores, found.errors, found.tried, strict=True):
        repeated = np.repeat(rows[found.tried[best]] - rows[number], weight.astype(int))
        assert found.scores[best] - score == pytest.approx(repeated.mean())
        assert error == pytest.approx(repeated.std() / np.sqrt(weight.sum()), abs=1e-9)
    reaches = found.scores + found.errors >= found.scores[best]
    assert found.n_experts == found.tried[np.argmax(reaches)]


def test_criteria_have_no_standard_errors():
    moe = MixtureOfExpertsRegressor("bic", n_init=1, random_state=0).fit(*steps(1, n_rows=60))
    assert not hasattr(moe, "n_experts_score_errors_")


def test_standard_errors_of_scores_are_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    from skmoe.inspection import NumberOfExpertsDisplay

    moe = fitted_to_steps("auto", 2)
    display = NumberOfExpertsDisplay.from_estimator(moe)
    assert len(moe.n_experts_score_errors_) == len(moe.n_experts_scores_)
    assert moe.n_experts_score_errors_[np.argmax(moe.n_experts_scores_)] == 0.0
    (bars,) = display.error_bars_.lines[2]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert_allclose(ends.mean(axis=1), moe.n_experts_scores_)
    assert_allclose(np.ptp(ends, axis=1) / 2, moe.n_experts_score_errors_)
    assert display.ax_.get_ylabel() == "Mean log density of held-out rows"
    assert MixtureOfExpertsRegressor.from_dict(moe.to_dict()).n_experts_score_errors_.shape


def test_the_choice_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    from skmoe.inspection import NumberOfExpertsDisplay

    X, y = steps(3)
    moe = MixtureOfExpertsRegressor("bic", combine="average", n_init=2, random_state=0).fit(X, y)
    display = NumberOfExpertsDisplay.from_estimator(moe, color="black")
    assert display.chosen == 3
    assert_array_equal(display.line_.get_xdata(), moe.n_experts_tried_)
    assert_array_equal(display.line_.get_ydata(), moe.n_experts_scores_)
    assert display.mark_.get_xdata() == [3]
    assert display.line_.get_color() == "black"
    assert display.ax_.get_ylabel() == "-BIC"
    assert display.error_bars_ is None
    fixed = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="chose its number of experts; got n_experts=2"):
        NumberOfExpertsDisplay.from_estimator(fixed)
