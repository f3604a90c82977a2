"""The number of experts chosen by held-out rows or by a criterion."""

import itertools
import re
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, train_test_split
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.selection.n_experts import Trials, n_experts_grid, select
from skmoe.data import RowBlocks
from skmoe.exceptions import NumberOfExpertsWarning
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingClassifier, RecordingRegressor
from support.refusals import assert_fit_refused
from support.tables import flipping_classes, two_regimes

QUICK = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def penalty(moe):
    """Held-out log-likelihood that a mixture must bring."""
    return moe.n_experts_ * np.clip(0.5 * moe.n_parameters_ / moe.n_experts_, 6.0, 12.0)


def regressor(n_experts="auto", **options):
    return MixtureOfExpertsRegressor(n_experts, **QUICK | options)


# --- what is tried, and what is best ----------------------------------------------------------


def tried_numbers(scores, maximum):
    """Numbers that a search tries: until two are no better than the best before them."""
    tried = []
    for number in n_experts_grid():
        found = [scores[k] for k in tried]
        since = len(found) - 1 - found.index(max(found)) if found else 0
        if number > maximum or since >= 2:
            return tried
        tried.append(number)


def test_numbers_are_tried_one_by_one_and_then_in_steps_of_a_quarter():
    found = list(itertools.islice(n_experts_grid(), 12))
    assert found == [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("maximum", [1, 4, 9])
def test_searches_end_at_the_best_of_the_numbers_that_they_try(seed, maximum):
    scores = dict(enumerate(np.random.default_rng(seed).integers(0, 5, size=40).astype(float)))
    tried = tried_numbers(scores, maximum)
    found = select(scores.get, Trials(n_experts_grid(), maximum))
    assert found.tried.tolist() == tried
    assert_array_equal(found.scores, [scores[k] for k in tried])
    assert found.n_experts == max(tried, key=lambda k: (scores[k], -k))
    assert found.errors is None
    # More experts than the maximum might be better.
    assert found.is_rising == (1 < found.n_experts == tried[-1])


@pytest.mark.parametrize("seed", range(3))
def test_the_best_score_is_selected_and_a_clearly_worse_one_ends_the_search(seed):
    """The error is that of the mean difference of rows, of which some are several."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, size=25)
    table = rng.normal(size=(40, 25)) * 0.3 + np.minimum(np.arange(40), 5)[:, None] * 0.1
    found = select(lambda number: table[number], Trials(n_experts_grid(), 9), counts.astype(float))
    repeated, is_over = np.repeat(table, counts, axis=1), False
    for n_tried in range(1, len(found.tried) + 1):
        assert not is_over
        of_tried = repeated[found.tried[:n_tried]]
        means = of_tried.mean(axis=1)
        differences = of_tried[means.argmax()] - of_tried
        errors = differences.std(axis=1) / np.sqrt(counts.sum())
        within = differences.mean(axis=1) <= 2.0 * errors
        is_over = not within[-1] or n_tried - 1 - means.argmax() == 2
    assert is_over or found.tried[-1] == 8
    assert found.n_experts == found.tried[means.argmax()]
    assert_array_equal(found.ties, found.tried[within])
    assert_allclose(found.scores, means)
    assert_allclose(found.errors, errors, atol=1e-12)


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_one_regime_has_one_expert(kind):
    """A second one predicts new rows better by chance, but seldom by much."""
    numbers = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 1))
        y = X[:, 0] + rng.logistic(size=60)
        y = y if kind is MixtureOfExpertsRegressor else y > 0.0
        numbers.append(kind(random_state=0).fit(X, y).n_experts_)
    assert numbers == [1] * 6


def test_rows_of_a_group_gain_together():
    """One regression with an effect of each person, of whom a second expert describes some."""
    numbers = []
    for seed in range(4):
        rng, person = np.random.default_rng(seed), np.repeat(np.arange(100), 7)
        X = np.column_stack([rng.normal(size=100)[person], rng.normal(size=700)])
        y = X.sum(axis=1) + rng.normal(size=100)[person] + 0.5 * rng.normal(size=700)
        numbers.append(regressor().fit(X, y, groups=person).n_experts_)
    assert numbers == [1, 1, 1, 1]


@pytest.mark.parametrize("n_rows_of_unit", [1, 2])
def test_regimes_in_five_groups_are_counted(n_rows_of_unit):
    rng, unit = np.random.default_rng(0), np.repeat(np.arange(300), n_rows_of_unit)
    X, sites = rng.normal(size=(300, 2))[unit], np.array(["a", "b", "c", "d", "e"])[unit % 5]
    y = np.where(X[:, 0] > 0.0, 2.0 + X[:, 1], -X[:, 1]) + 0.7 * rng.normal(size=len(unit))
    given = {"groups": sites} | ({"units": unit} if n_rows_of_unit > 1 else {})
    assert fit_quietly(regressor(), X, y, **given).n_experts_ == 2


def test_numbers_whose_experts_collapse_end_the_search():
    scores = {1: np.zeros(4), 2: np.ones(4)}  # None for three
    found = select(scores.get, Trials(n_experts_grid(), 9), np.ones(4))
    assert found.tried.tolist() == [1, 2]
    assert not found.is_rising


# --- regimes are counted ----------------------------------------------------------------------


def steps(n_regimes, n_rows=120, seed=0):
    """Linear regressions that change with the first feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2))
    regime = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(1, n_regimes) / n_regimes))
    slopes, levels = np.array([2.0, -3.0, 4.0, -1.0]), np.array([0.0, 6.0, -6.0, 9.0])
    return X, levels[regime] + slopes[regime] * X[:, 1] + 0.3 * rng.normal(size=n_rows)


@cache
def fitted(how, n_regimes):
    """A mixture that no test changes."""
    return regressor(how).fit(*steps(n_regimes))


def test_other_starts_are_tried_where_an_expert_that_is_split_collapses():
    """Four regimes by the signs of two of thirty features, of which two are found first."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 30))
    y = 2.0 * np.sign(X[:, 0] * X[:, 1]) * (X[:, 0] + X[:, 1]) + 0.3 * rng.normal(size=600)
    assert regressor("auto").fit(X, y).n_experts_ == 4


@pytest.mark.parametrize(("how", "n_regimes"), [("auto", 1), ("auto", 3), ("bic", 2), ("icl", 2)])
def test_regimes_are_counted(how, n_regimes):
    X, y = steps(n_regimes)
    moe = fitted(how, n_regimes)
    assert moe.n_experts_ == n_regimes == len(moe.expert_coef_)
    assert moe.n_experts == how
    assert_array_equal(moe.n_experts_tried_[:n_regimes], np.arange(1, n_regimes + 1))
    assert len(moe.n_experts_scores_) == len(moe.n_experts_tried_)
    # The fit is that with the number, by the parameters of the user.
    assert_array_equal(moe.predict(X), fitted(n_regimes, n_regimes).predict(X))
    if how == "auto":
        errors = moe.n_experts_score_errors_
        best = int(np.argmax(moe.n_experts_scores_))
        assert errors[best] == 0.0
        assert (np.delete(errors, best) > 0.0).all()
    else:
        assert not hasattr(moe, "n_experts_score_errors_")
        one = regressor(1, tol=1e-3, max_iter=50).fit(X, y)
        assert_allclose(moe.n_experts_scores_[0], -getattr(one, how)(X, y), rtol=1e-6)


def test_regimes_of_classes_are_counted():
    X, y = flipping_classes(n_rows=120)
    moe = MixtureOfExpertsClassifier(range(1, 4), **QUICK).fit(X, np.array(["no", "yes"])[y])
    assert moe.n_experts_ == 2
    assert set(moe.predict(X)) == {"no", "yes"}


def test_the_selected_number_has_no_collapsed_experts():
    """With more experts the penalties change, and with them the score of these rows."""
    wine = load_wine(as_frame=True).frame.drop(columns="target")
    X, y = wine.drop(columns="color_intensity"), wine["color_intensity"]
    X, _, y, _ = train_test_split(X, y, test_size=0.3, random_state=1)
    moe = MixtureOfExpertsRegressor("auto", n_init=1, random_state=0).fit(X, y)
    assert 2 <= moe.n_experts_ <= 3
    assert moe.weights_.min() * len(y) > 2.0


def test_each_trial_prints_its_score_and_time(capsys):
    moe = fit_quietly(regressor([1, 2], verbose=1, max_iter=30), *steps(2, n_rows=40))
    lines = capsys.readouterr().out.splitlines()
    shown = zip(lines, moe.n_experts_tried_, moe.n_experts_scores_, strict=False)
    for line, number, score in shown:
        assert re.match(rf"{number} experts?: score {score:.5f}, \d+\.\d s$", line)
    further = lines[len(moe.n_experts_tried_) :]
    assert further[len(moe.n_experts_ties_) > 1].startswith("start 0")


def test_the_number_depends_on_the_rows_and_not_on_the_seed():
    X, y = steps(3)
    other = regressor("auto", random_state=1).fit(X, y)
    assert_array_equal(other.n_experts_scores_, fitted("auto", 3).n_experts_scores_)


def test_numbers_with_about_equal_scores_are_named(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1))
    y = X[:, 0] + 0.58 * np.abs(X[:, 0]) + 0.7 * np.random.default_rng(1).normal(size=60)
    moe = fit_quietly(regressor([1, 2], verbose=1), X, y)
    differences = moe.n_experts_scores_.max() - moe.n_experts_scores_
    assert moe.n_experts_ == moe.n_experts_tried_[differences.argmin()]
    within = differences <= 2.0 * moe.n_experts_score_errors_
    assert_array_equal(moe.n_experts_ties_, moe.n_experts_tried_[within])
    assert moe.n_experts_ties_.tolist() == [1, 2]
    sentence = " experts have about equal scores."
    for text in (capsys.readouterr().out, str(moe.summary())):
        (line,) = (line for line in text.splitlines() if line.endswith(sentence))
        assert re.findall(r"\d+", line) == [str(k) for k in moe.n_experts_ties_]


@pytest.mark.parametrize("how", ["auto", "bic", [1, 2]])
def test_a_search_that_ends_at_its_limit_warns(how):
    X, y = steps(3) if isinstance(how, list) else steps(3, n_rows=29)
    words = r"n_experts=.* selected 2 experts.*larger candidates to n_experts"
    with pytest.warns(UserWarning, match=words):
        moe = regressor(how).fit(X, y)
    assert moe.n_experts_ == moe.n_experts_tried_.max() == 2


# --- candidates -------------------------------------------------------------------------------

CANDIDATES = [range(1, 6), [4, 2, 1], (3,), np.array([2, 3]), {1, 2}, range(2, 400, 7)]


@pytest.mark.parametrize("candidates", CANDIDATES, ids=repr)
def test_candidates_are_tried_in_increasing_order(candidates):
    """As by "auto", until two are no better, so far as there are ten rows for each expert."""
    X, y = steps(2, n_rows=80)
    moe = clone(regressor(candidates, max_iter=30))
    assert set(moe.get_params()["n_experts"]) == set(candidates)
    fit_quietly(moe, X, y)
    possible = [number for number in sorted(candidates) if number <= 8] or [min(candidates)]
    tried = moe.n_experts_tried_.tolist()
    assert tried == possible[: len(tried)]
    assert moe.n_experts_ in tried
    assert len(tried) <= tried.index(moe.n_experts_) + 3
    if set(tried) >= {1, 2}:
        assert moe.n_experts_ == 2


def test_repeated_rows_of_people_are_not_followed_beyond_fifteen_experts():
    """Each person is a regime where no `units` are given, and the number would rise for long."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 25)
    level, slope = np.array([3.0, 1.0])[:, None] * rng.normal(size=(2, 40))
    X = np.column_stack([np.sort(rng.normal(size=40))[person], rng.normal(size=len(person))])
    y = level[person] + slope[person] * X[:, 1] + 0.02 * rng.normal(size=len(person))
    with pytest.warns(NumberOfExpertsWarning, match="units or groups"):
        found = regressor().fit(X, y)
    assert found.n_experts_tried_[-1] == found.n_experts_ == 15


def test_a_number_that_is_clearly_worse_ends_the_trials():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(1000, 4))
    y = np.where(X[:, 0] > 0, 1.0 + X[:, 1], -2.0 - X[:, 2]) + 0.3 * rng.normal(size=1000)
    moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
    loss = moe.n_experts_scores_.max() - moe.n_experts_scores_
    is_worse = loss > 2.0 * moe.n_experts_score_errors_
    assert moe.n_experts_ == 2
    assert is_worse.tolist() == [True, False, True]


def test_a_candidate_after_a_gap_is_scored_though_its_experts_collapse():
    """Three regimes are better described by four experts, of which one has no rows, than by one."""
    moe = fit_quietly(regressor([1, 4]), *steps(3, n_rows=80))
    assert moe.n_experts_tried_.tolist() == [1, 4]
    assert moe.n_experts_ == 4


@pytest.mark.filterwarnings("ignore:n_experts=", "ignore:EM did not")
def test_a_grid_has_numbers_criteria_and_candidates():
    X, y = steps(2, n_rows=80)
    grid = {"n_experts": [1, range(1, 3), "bic"]}
    search = GridSearchCV(regressor(max_iter=20), grid, cv=2).fit(X, y)
    assert search.best_estimator_.n_experts_ == 2
    assert "range(1, 3)" in repr(regressor(range(1, 3)))


NO_CANDIDATES = [
    ([], "got []"),
    (range(0), "got range(0, 0)"),
    ({}, "got {}"),
    ([1, 2.0], "got [1, 2.0]"),
    ([True, 2], "got [True, 2]"),
    (["1"], "got ['1']"),
    ([0, 1], "got [0, 1]"),
    (np.array([[1, 2]]), "integers of at least 1"),
    (np.array([1.0, 2.0]), "integers of at least 1"),
    (iter([1, 2]), "list or range"),
]


@pytest.mark.parametrize(("candidates", "words"), NO_CANDIDATES)
def test_candidates_are_integers(candidates, words):
    assert_fit_refused(regressor(candidates), steps(2, n_rows=80), "n_experts", words, "Use ")


def test_a_candidate_that_is_listed_twice_is_tried_once():
    moe = fit_quietly(regressor([2, 1, 2], n_init=1), *steps(2, n_rows=80))
    assert_array_equal(moe.n_experts_tried_, [1, 2])


# --- what is held out -------------------------------------------------------------------------


def rows_of_first_fits(make, expert, X, y, n_fits, **given):
    """Rows of the first fits, after that to all rows, of which others are held out."""
    log = Log()
    options = {"cross_fit": False, "n_init": 1, "max_iter": 1, "gate": "constant"}
    fit_quietly(make([1, 2], expert=expert(log), random_state=0, **options), X, y, **given)
    of_fits = [set(entry["X"][:, 0].astype(int).tolist()) for entry in log.fits()]
    return of_fits[1 : n_fits + 1]


def numbered(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    X[:, 0] = np.arange(n_rows)
    return X, X[:, 1] + np.random.default_rng(1).normal(size=n_rows)


@pytest.mark.parametrize("name", ["groups", "units"])
def test_each_row_is_held_out_once_with_its_group_and_unit(name):
    X, y = numbered(30)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(15), 2))
    given = {name: labels}
    fits = rows_of_first_fits(MixtureOfExpertsRegressor, RecordingRegressor, X, y, 3, **given)
    held_out = [set(range(30)) - rows for rows in fits]
    assert sorted(itertools.chain(*held_out)) == list(range(30))
    assert all(6 <= len(rows) <= 14 for rows in held_out)
    for rows in held_out:
        own = labels[sorted(rows)]
        assert not set(own) & set(np.delete(labels, sorted(rows)))


def test_classes_of_few_rows_are_always_fitted():
    X, _ = numbered(60)
    y = np.where(np.arange(60) < 2, "rare", np.where(np.arange(60) % 2, "a", "b"))
    fits = rows_of_first_fits(MixtureOfExpertsClassifier, RecordingClassifier, X, y, 3)
    held_out = [set(range(60)) - rows for rows in fits]
    assert sorted(itertools.chain(*held_out)) == list(range(2, 60))


def test_of_many_rows_a_sample_is_used():
    """It has all classes: rows of a rare one are in all fits."""
    X, y = numbered(5100)
    labels = np.where(y > 0.0, "high", "low").astype(object)
    labels[X[:, 0] == 7.0] = "rare"
    fits = rows_of_first_fits(MixtureOfExpertsClassifier, RecordingClassifier, X, labels, 3)
    assert all(3_330 <= len(rows) <= 3_340 and 7 in rows for rows in fits)
    assert len(set.union(*fits)) in (5000, 5001)
    assert len(set.intersection(*fits)) == 1


def test_each_third_has_as_many_known_rows_of_each_expert():
    X, y = numbered(30)
    chosen = np.random.default_rng(0).permutation(30)[:6]
    known = np.full(30, -1)
    known[chosen] = np.repeat([0, 1], 3)
    log = Log()
    options = {"cross_fit": False, "n_init": 1, "max_iter": 1, "gate": "constant"}
    moe = MixtureOfExpertsRegressor("auto", expert=RecordingRegressor(log), **options)
    fit_quietly(moe, X, y, known_experts=known)
    fits = [set(entry["X"][:, 0].astype(int).tolist()) for entry in log.fits()]
    without_a_third = [rows for rows in fits if len(rows) == 20]
    assert len(without_a_third) >= 3
    for rows in without_a_third:
        assert [len(rows & set(own)) for own in chosen.reshape(2, 3).tolist()] == [2, 2]


def test_copies_of_rows_with_values_of_their_own_are_held_out_together():
    X, y = (values.repeat(3, axis=0) for values in numbered(30))
    fits = rows_of_first_fits(MixtureOfExpertsRegressor, RecordingRegressor, X, y, 3)
    assert all(len(rows) == 20 for rows in fits)


def test_one_group_cannot_be_held_out():
    X, y = numbered(40)
    assert_fit_refused(regressor(), (X, y), "n_experts", "2 groups", "1", groups=np.zeros(40))


# --- refusals ---------------------------------------------------------------------------------

BIC, FEW = {"n_experts": "bic"}, {"n_experts": [1, 2]}
REFUSED = [
    ({"n_experts": "many"}, 100, "n_experts", ("auto", "aic", "bic", "icl", "many")),
    (BIC | {"expert": ["linear", "tree"]}, 100, "n_experts", ("given number of experts", "expert")),
    (
        BIC | {"init": np.full((100, 2), 0.5)},
        100,
        "n_experts",
        ("given number", "init as an array"),
    ),
    (BIC | {"family": ["zero", "gamma"]}, 100, "n_experts", ("fit several", "bic")),
    ({"shared_features": {0: [0, 1]}}, 100, "n_experts", ("given number", "shared_features")),
    ({"n_experts": np.array([1, 2])}, 15, "n_experts", ("at least 20 rows", "15")),
    (BIC, 15, "n_experts", ("at least 20 rows", "weights", "15")),
    (FEW, 15, "n_experts", ("at least 20 rows", "weights", "15")),
    ({"alpha": -1.0}, 100, "alpha", ("finite",)),
    ({"gate": SoftmaxGate(top_k=2.5)}, 100, "gate.top_k", ("integer", 2.5)),
    ({"gate": SoftmaxGate(top_k=0)}, 100, "gate.top_k", ("at least 1", 0)),
]


@pytest.mark.parametrize(("parameters", "n_rows", "name", "words"), REFUSED)
def test_numbers_that_cannot_be_chosen_are_refused(parameters, n_rows, name, words):
    moe = MixtureOfExpertsRegressor(**parameters)
    assert_fit_refused(moe, two_regimes(n_rows=n_rows), name, *words)


# --- what "auto" is where something else has a number -----------------------------------------

IMPLIED = {
    "a list of experts": ({"expert": ["linear", "tree", "linear"]}, {}, 3),
    "a list of families": ({"family": ["normal", "student_t"]}, {}, 2),
    "features of each expert": ({"expert_features": [[0], [1], [0, 1]]}, {}, 3),
    "responsibilities": ({"init": np.full((60, 3), 1 / 3)}, {}, 3),
    "possible experts": ({}, {"known_experts": np.ones((60, 2), dtype=bool)}, 2),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("parameters", "given", "number"), IMPLIED.values(), ids=IMPLIED)
def test_what_is_of_each_expert_has_their_number(parameters, given, number):
    X, y = two_regimes(n_rows=60)
    moe = MixtureOfExpertsRegressor(**parameters, n_init=1, max_iter=5, random_state=0)
    moe.fit(X, y, **given)
    assert moe.n_experts_ == number
    assert moe.n_experts == "auto"
    assert not hasattr(moe, "n_experts_tried_")


def test_a_warm_start_goes_on_with_the_number_that_was_found():
    X, y = steps(2)
    moe = regressor(warm_start=True).fit(X, y)
    assert moe.n_experts_ == 2
    assert moe.n_experts_tried_.tolist()[:2] == [1, 2]
    moe.fit(X[:60], y[:60])
    assert moe.n_experts_ == 2
    assert not hasattr(moe, "n_experts_tried_")


@pytest.mark.parametrize("n_rows", [2, 19])
def test_few_rows_have_one_expert(n_rows):
    X, y = two_regimes(n_rows=n_rows)
    assert MixtureOfExpertsRegressor().fit(X, y).n_experts_ == 1


def test_classes_of_too_few_rows_to_hold_some_out_have_one_expert():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = np.arange(30) // 2
    moe = fit_quietly(MixtureOfExpertsClassifier(random_state=0, max_iter=10), X, y)
    assert moe.n_experts_ == 1
    words = "a class with at least 3 distinct rows", "bic"
    assert_fit_refused(clone(moe).set_params(n_experts=[1, 2]), (X, y), "n_experts", *words)


@pytest.mark.parametrize("units", [None, np.repeat(np.arange(60), 2)], ids=["rows", "units"])
def test_row_blocks_have_the_number_of_a_sample(units):
    """Here the sample are all rows, as many as they are."""
    X, y = steps(3)
    given = {"units": units}
    options = {} if units is None else {"gate": "constant"}
    in_memory = fit_quietly(regressor(**options), X, y, **given)
    in_blocks = fit_quietly(regressor(**options), RowBlocks.from_arrays(X, y, **given))
    assert in_blocks.n_experts_ == in_memory.n_experts_
    assert_array_equal(in_blocks.n_experts_tried_, in_memory.n_experts_tried_)
    assert_allclose(in_blocks.n_experts_scores_, in_memory.n_experts_scores_, rtol=1e-6)


@pytest.mark.parametrize("with_units", [False, True])
def test_scores_are_log_densities_of_rows_that_the_fits_do_not_know(with_units):
    """Those of one expert are near those of a cross-validation, and not those of its own rows.

    They are less the log-likelihood that an expert must bring.
    """
    rng = np.random.default_rng(0)
    X, units = rng.normal(size=(90, 15)), np.repeat(np.arange(45), 2) if with_units else None
    y = X[:, 0] + rng.normal(size=90)
    given = {} if units is None else {"units": units}
    moe = regressor([1, 2], gate="constant", max_iter=30)
    scores = fit_quietly(moe, X, y, **given).n_experts_scores_
    one, held_out = regressor(1), []
    for seed in range(5):
        groups = np.arange(90) if units is None else units
        fold = (np.random.default_rng(seed).permutation(90) % 3)[groups]
        for j in range(3):
            train, test = fold != j, fold == j
            fitted_to_others = clone(one).fit(X[train], y[train])
            held_out.append(fitted_to_others.score_samples(X[test], y[test]).sum())
    expected = np.sum(held_out) / 5 / len(np.unique(groups))
    of_own_rows = one.fit(X, y).score_samples(X, y).sum() / len(np.unique(groups))
    found = scores[0] + penalty(one) / len(np.unique(groups))
    assert abs(found - expected) < 0.5 * (of_own_rows - expected)


@pytest.mark.filterwarnings("ignore")
def test_estimators_have_the_scores_of_rows_that_they_do_not_know():
    """Deep trees know their own rows by heart, and would predict them without error."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = X[:, 0] + 0.5 * rng.normal(size=120)
    tree = DecisionTreeRegressor(random_state=0)
    moe = regressor([1, 2], expert=tree, alpha=None, max_iter=3).fit(X, y)
    mean = cross_val_predict(tree, X, y, cv=KFold(5, shuffle=True, random_state=0))
    noise = np.sqrt(np.mean((y - mean) ** 2))
    expected = norm.logpdf(y, mean, noise).mean() - 6.0 / 120
    assert_allclose(moe.n_experts_scores_[0], expected, atol=0.15)
