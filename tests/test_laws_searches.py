"""Searches for a number of experts, against brute force: scores, splits, starts and ratios."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from cases import classifier, regressor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from skmoe._estimators import likelihood_ratio
from skmoe._estimators import n_experts_selection as selection
from skmoe._estimators.likelihood_ratio import Candidate, LikelihoodRatioTest
from skmoe._estimators.likelihood_ratio_checks import _counts
from skmoe._estimators.n_experts_selection import (
    IncrementalFitter,
    n_experts_grid,
    select_by_criterion,
    select_by_holdout,
)
from skmoe._estimators.parameters import (
    MIN_ROWS_FOR_SELECTION,
    MIN_ROWS_PER_EXPERT,
    max_selected_n_experts,
)
from skmoe._estimators.selection_data import SelectionData
from skmoe.model_selection import _warn_failed


def rows_of(n_rows, y=None, **extras):
    y = np.arange(n_rows, dtype=float) if y is None else y
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=n_rows)
    return SelectionData(np.arange(n_rows, dtype=float)[:, None], y, weight, extras)


# --- numbers and scores ---------------------------------------------------------------------------


def test_numbers_are_tried_one_by_one_and_then_in_steps_of_a_quarter():
    grid = np.array(list(itertools.islice(n_experts_grid(), 25)))
    assert_array_equal(grid[:6], np.arange(1, 7))
    steps = grid[6:] / grid[5:-1]
    # Rounded to whole numbers.
    assert (np.abs(steps - 1.25) * grid[5:-1] < 0.5 + 1e-9).all()


@pytest.mark.parametrize("n_rows", [MIN_ROWS_FOR_SELECTION, 29.9, 30, 1000.5])
def test_there_are_enough_rows_for_each_expert_of_a_search(n_rows):
    most = max_selected_n_experts("auto", n_rows)
    assert isinstance(most, int)
    assert most * MIN_ROWS_PER_EXPERT <= n_rows < (most + 1) * MIN_ROWS_PER_EXPERT
    with pytest.raises(ValueError, match=r'n_experts="bic" needs at least .* rows'):
        max_selected_n_experts("bic", MIN_ROWS_FOR_SELECTION - 1e-6)


def tried_numbers(scores, maximum):
    """The numbers that a search tries: until some are no better than the best before them."""
    tried = []
    for number in n_experts_grid():
        found = [scores[k] for k in tried]
        since = len(found) - 1 - found.index(max(found)) if found else 0
        if number > maximum or since >= selection.PATIENCE:
            return tried
        tried.append(number)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("maximum", [1, 4, 9])
def test_searches_end_at_the_best_of_the_numbers_that_they_try(seed, maximum):
    scores = dict(enumerate(np.random.default_rng(seed).integers(0, 5, size=40).astype(float)))
    tried = tried_numbers(scores, maximum)
    found = select_by_criterion(lambda number: -scores[number], maximum)
    assert found.tried.tolist() == tried
    assert_array_equal(found.scores, [scores[k] for k in tried])
    assert found.n_experts == max(tried, key=lambda k: (scores[k], -k))
    assert found.errors is None


@pytest.mark.parametrize("seed", range(12))
def test_the_smallest_number_within_an_error_of_the_best_is_chosen(seed):
    """The error is that of the mean difference of rows, of which some are several."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, size=25)
    table = rng.normal(size=(40, 25)) * 0.3 + np.minimum(np.arange(40), 5)[:, None] * 0.05
    found = select_by_holdout(lambda number: table[number], counts.astype(float), 9)
    repeated = np.repeat(table, counts, axis=1)
    means = repeated.mean(axis=1)
    tried = tried_numbers(means, 9)
    assert found.tried.tolist() == tried
    assert_allclose(found.scores, means[tried])
    best = max(tried, key=lambda k: means[k])
    differences = repeated[best] - repeated[tried]
    errors = differences.std(axis=1) / np.sqrt(counts.sum())
    assert_allclose(found.errors, errors, atol=1e-12)
    allowed = np.maximum(errors, selection.MIN_GAIN)
    expected = [k for k, gap, most in zip(tried, differences.mean(axis=1), allowed, strict=True)
                if gap <= most]  # fmt: skip
    assert found.n_experts == min(expected)


# --- experts that are split -----------------------------------------------------------------------


def fitter_of(data, resp, log_density):
    """A fitter whose last fit has given responsibilities and densities, of rows or units."""
    fitter = IncrementalFitter(regressor(), data, np.arange(len(data.y)), 0)
    of_fit = resp.copy() if data.units is None else SimpleNamespace(proba=resp)
    fitter.fitted = SimpleNamespace(
        responsibilities=lambda X, y, **given: of_fit,
        score_samples=lambda X, y, **given: log_density,
    )
    return fitter


@pytest.mark.parametrize("n_new", [1, 2, 3])
@pytest.mark.parametrize("with_units", [False, True])
def test_experts_are_split_whose_rows_fall_short(with_units, n_new, monkeypatch):
    """Rows of a unit have the mean density of their unit; halves sum to the whole."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(12), 3)
    data = rows_of(36, **({"units": units} if with_units else {}))
    resp = rng.dirichlet(np.ones(3), size=12 if with_units else 36)
    log_density = rng.normal(size=len(resp)) * 3.0
    fitter = fitter_of(data, resp, log_density)
    of_rows, density = resp, log_density
    if with_units:
        of_rows, density = resp[units], (log_density / 3.0)[units]
    shortfall = np.quantile(density, selection.REFERENCE_QUANTILE) - density
    shortfall[shortfall < 0.0] = 0.0
    loss = [data.weight @ (shortfall * of_rows[:, k]) for k in range(3)]
    split = sorted(range(3), key=lambda k: -loss[k])[:n_new]
    fraction, asked = rng.uniform(size=36), []

    def halves(self, column):
        asked.append(column.copy())
        return fraction

    monkeypatch.setattr(IncrementalFitter, "_split", halves)
    init = fitter.split_responsibilities(3 + n_new)
    assert init.shape == (36, 3 + n_new)
    assert_allclose(init.sum(axis=1), 1.0)
    for j, k in enumerate(split):
        assert_allclose(asked[j], of_rows[:, k])
        assert_allclose(init[:, 3 + j], of_rows[:, k] * fraction)
        assert_allclose(init[:, k] + init[:, 3 + j], of_rows[:, k])
    for k in set(range(3)) - set(split):
        assert_allclose(init[:, k], of_rows[:, k])


class Pair(BaseEstimator):
    """Two experts: the second has the rows whose feature is large."""

    def predict_gate(self, X):
        second = X[:, 0] / 100.0
        return np.column_stack([1.0 - second, second])

    def responsibilities(self, X, y, units=None, **given):
        resp = self.predict_gate(X) ** 2
        resp /= resp.sum(axis=1, keepdims=True)
        if units is None:
            return resp
        return SimpleNamespace(proba=np.array([resp[units == u].mean(axis=0) for u in set(units)]))


class PairOfRegressions(RegressorMixin, Pair):
    pass


class PairOfClasses(ClassifierMixin, Pair):
    pass


@pytest.mark.parametrize("n_kept", [selection.MIN_ROWS_TO_SPLIT, selection.MIN_ROWS_TO_SPLIT - 1])
@pytest.mark.parametrize("is_classes", [False, True])
def test_an_expert_is_split_on_the_rows_that_it_has(is_classes, n_kept, monkeypatch):
    """Or on all rows if it has few; rows of classes that are not fitted are split by the gate."""
    resp = np.where(np.arange(60) < n_kept, 0.5, selection.MIN_SPLIT_RESPONSIBILITY)
    labels = np.where(np.arange(60) < 40, "a", "b")
    labels[::3] = "c"
    data = rows_of(60, labels if is_classes else None)
    pair = (PairOfClasses if is_classes else PairOfRegressions)()
    pair.classes_ = np.array(["a", "c"])
    fits = []

    def fit(self, *given, **options):
        fits.append((*given, options))
        return pair

    monkeypatch.setattr(IncrementalFitter, "_fit", fit)
    make = classifier if is_classes else regressor
    second = IncrementalFitter(make(), data, np.arange(60), 0)._split(resp)
    (fitted, weight, number, options) = fits[0]
    n_fitted = n_kept if n_kept >= selection.MIN_ROWS_TO_SPLIT else 60
    assert_array_equal(fitted.X[:, 0], np.arange(n_fitted))
    expected = data.weight * (resp if n_fitted < 60 else 1.0)
    assert_allclose(weight, expected[:n_fitted])
    assert number == 2
    assert options == {"max_iter": selection.SPLIT_MAX_ITER}
    expected = pair.responsibilities(data.X, data.y)[:, 1]
    if is_classes:
        expected = np.where(labels == "b", pair.predict_gate(data.X)[:, 1], expected)
    assert_allclose(second, expected)


def test_rows_of_a_unit_are_split_alike(monkeypatch):
    units = np.repeat(np.arange(20), 3)
    data = rows_of(60, np.tile(["a", "b", "c"], 20), units=units)
    pair = PairOfClasses()
    pair.classes_ = np.array(["a", "b", "c"])
    monkeypatch.setattr(IncrementalFitter, "_fit", lambda self, *given, **options: pair)
    second = IncrementalFitter(classifier(), data, np.arange(60), 0)._split(np.ones(60))
    of_unit = pair.responsibilities(data.X, data.y, units=units).proba[:, 1]
    assert_allclose(second, of_unit[units])


@pytest.mark.parametrize("is_large", [0, 1, 2, 3])
def test_numbers_have_no_score_if_experts_collapse_in_most_fits(is_large):
    data = rows_of(9)
    held_out = [np.arange(0, 3), np.arange(3, 6), np.arange(6, 9)]
    fitters = []
    for j in range(3):
        fitter = SimpleNamespace(collapses=j < is_large)
        fitter.fit = lambda number: SimpleNamespace(
            score_samples=lambda X, y, **given: number * X[:, 0]
        )
        fitters.append(fitter)
    original = IncrementalFitter.has_collapsed
    IncrementalFitter.has_collapsed = lambda self: self.collapses
    try:
        scores = selection._score(fitters, data, held_out, 2)
    finally:
        IncrementalFitter.has_collapsed = original
    if is_large >= 2:
        assert scores is None
    else:
        assert_array_equal(scores, 2 * np.arange(9))


# --- likelihood ratios ----------------------------------------------------------------------------

N_ROWS = 40


def planned(n_experts, log_likelihoods, monkeypatch, n_init=3, tolerance=0.5):
    """A test whose fits have given log-likelihoods, and the arguments of its fits."""
    test = LikelihoodRatioTest(regressor(n_init=n_init), n_experts, N_ROWS)
    test.tolerance = tolerance
    given = iter(log_likelihoods)
    asked = []

    def best_fit(data, number, starts, seed, noise=None):
        asked.append((number, list(starts), seed))
        return Candidate(SimpleNamespace(converged_=len(asked) < 2), next(given))

    test._best_fit = best_fit
    noise = SimpleNamespace(estimates={})
    monkeypatch.setattr(
        likelihood_ratio,
        "IncrementalFitter",
        lambda *given: SimpleNamespace(
            split_responsibilities=lambda number: f"split into {number}", noise_variance=noise
        ),
    )
    return test, asked


@pytest.mark.parametrize("n_init", [1, 3, 20])
@pytest.mark.parametrize("n_experts", [1, 2, 4])
def test_several_experts_of_the_null_hypothesis_have_many_different_starts(
    n_experts, n_init, monkeypatch
):
    test, asked = planned(n_experts, [0.0], monkeypatch, n_init)
    test.fit_null(rows_of(N_ROWS), 5)
    ((number, starts, seed),) = asked
    assert (number, seed) == (n_experts, 5)
    wanted = 1 if n_experts == 1 else max(n_init, likelihood_ratio.MIN_STARTS_OF_NULL)
    assert len(starts) == wanted
    named = [name for name in starts if name != "random"]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("null", [-3.0, 0.0, 7.0])
@pytest.mark.parametrize("gains", [[2.0], [0.25], [-0.5], [-1.0, 3.0], [-1.0, -0.25], [-2.0, -1.0],
                                   [-1.0, -2.0]])  # fmt: skip
def test_a_ratio_is_twice_the_best_gain_or_nothing(gains, null, monkeypatch):
    """A search is repeated, with other starts, exactly if it fails."""
    test, asked = planned(2, [null + gain for gain in gains], monkeypatch)
    start = SimpleNamespace(converged_=True)
    found = test.ratio(Candidate(start, null), rows_of(N_ROWS), 5)
    best = max(gains)
    assert len(asked) == len(gains)
    assert found.statistic == (2.0 * best if best > test.tolerance else 0.0)
    assert found.is_failed == (best < -test.tolerance)
    assert found.log_likelihoods == (null, null + best)
    assert found.converged == (gains.index(best) == 0)
    (number, starts, seed), *repeated = asked
    assert (number, starts[0], len(starts), seed) == (3, "split into 3", 3, 5)
    for number, starts, other in repeated:
        assert (number, starts) == (3, ["random"] * 6)
        assert other != seed


def test_the_missing_likelihood_of_a_test_is_small_for_any_number_of_rows():
    for n_rows in (10, 10**6):
        for tol in (1e-3, 1e-9):
            test = LikelihoodRatioTest(regressor(tol=tol, n_jobs=2, verbose=1), 1, n_rows)
            assert test.options["tol"] * n_rows <= 1.001 * likelihood_ratio.MAX_MISSING_LIKELIHOOD
            assert test.options["tol"] <= tol
            assert_allclose(test.tolerance, test.options["tol"] * n_rows)
            assert (test.options["n_jobs"], test.options["verbose"]) == (1, 0)
            assert test.options["tol"] == tol or test.tolerance == pytest.approx(0.02)


def test_weights_of_tests_count_rows():
    assert_array_equal(_counts(np.array([0.0, 2.0, 1.0])), [0, 2, 1])
    with pytest.raises(ValueError, match=r"row 1 has weight 0\.5"):
        _counts(np.array([1.0, 0.5, 0.25]))


def test_searches_that_fail_in_more_than_half_of_the_samples_are_named():
    for n_drawn in range(1, 12):
        for n_failed in range(n_drawn + 1):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                _warn_failed(n_failed, n_drawn)
            assert [str(w.message).split(" bootstrap")[0] for w in caught] == (
                [f"In {n_failed} of {n_drawn}"] if 2 * n_failed > n_drawn else []
            )
