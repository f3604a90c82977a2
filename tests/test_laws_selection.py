"""The search for the number of experts: what is tried, held out and compared."""

from types import SimpleNamespace

import numpy as np
import pytest
from cases import CLASSES, N_ROWS, UNITS, X, Y, classifier, regressor
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet

from skmoe._estimators import n_experts_selection as selection
from skmoe._estimators.n_experts_selection import (
    IncrementalFitter,
    select_by_criterion,
    select_by_holdout,
)
from skmoe._estimators.selection_data import SelectionData
from skmoe._numerics.collapse import is_collapsed


def rows_of(n_rows, extras=None, y=None):
    y = np.arange(n_rows, dtype=float) if y is None else y
    return SelectionData(np.zeros((n_rows, 1)), y, np.ones(n_rows), extras or {})


# --- what is compared ---------------------------------------------------------------------------


def test_numbers_up_to_the_largest_are_tried():
    found = select_by_criterion(lambda number: -number, maximum=4)
    assert found.tried.tolist() == [1, 2, 3, 4]
    assert found.n_experts == 4
    held_out = select_by_holdout(lambda number: np.full(5, number), np.ones(5), maximum=4)
    assert held_out.tried.tolist() == [1, 2, 3, 4]
    assert held_out.n_experts == 4


def test_the_search_ends_after_some_numbers_that_are_no_better():
    found = select_by_criterion(lambda number: abs(number - 3), maximum=50)
    assert found.tried.tolist() == list(range(1, 4 + selection.PATIENCE))
    assert found.n_experts == 3
    assert_array_equal(found.scores, [-2, -1, 0, -1, -2][: len(found.tried)])


@pytest.mark.parametrize("rows_per_score", [1.0, 4.0])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_gains_below_those_of_round_off_do_not_count(rows_per_score, factor):
    """Units gain as much as all of their rows; without noise there is no standard error."""
    gain = factor * selection.MIN_GAIN * rows_per_score
    found = select_by_holdout(
        lambda number: np.full(8, gain * (number == 2)), np.ones(8), 3, rows_per_score
    )
    assert found.n_experts == (1 if factor < 1.0 else 2)
    assert_allclose(found.errors, 0.0, atol=1e-15)


def test_numbers_whose_experts_collapse_end_the_search():
    scores = {1: np.zeros(4), 2: np.ones(4)}
    found = select_by_holdout(scores.get, np.ones(4), maximum=9)
    assert found.tried.tolist() == [1, 2]


def test_experts_collapse_where_one_of_several_has_no_rows():
    fitter = IncrementalFitter(regressor(), rows_of(100), np.arange(100), 0)
    for weights in ([1.0], [0.5, 0.5], [1.0 - 1e-9, 1e-9], [0.4, 0.6 - 1e-9, 1e-9]):
        fitter.fitted = SimpleNamespace(weights_=np.array(weights))
        assert fitter.has_collapsed() == (min(weights) < 1e-6)
        assert fitter.has_collapsed() == is_collapsed(100 * np.array(weights)).any()


# --- what is held out ---------------------------------------------------------------------------

N_USED = 80


def spied(monkeypatch, moe, y, **given):
    """The parameters and rows of the trial fits, and what is compared, in a selection."""
    trials, compared = [], []
    select = selection.select_by_holdout
    cls = type(moe)
    fit = cls._fit

    def spy(self, rows, **options):
        if self.n_experts != "auto":
            trials.append((self.get_params(deep=False), rows))
        return fit(self, rows, **options)

    def compare(score, weight, maximum, rows_per_score=1.0):
        compared.append((weight, rows_per_score))
        return select(score, weight, maximum, rows_per_score)

    monkeypatch.setattr(cls, "_fit", spy)
    monkeypatch.setattr(selection, "select_by_holdout", compare)
    monkeypatch.setattr(selection, "PATIENCE", 2)  # so that three experts are tried
    monkeypatch.setattr(selection, "N_SELECTION_FOLDS", 2)
    quiet(moe, X[:N_USED], y[:N_USED], **{name: rows[:N_USED] for name, rows in given.items()})
    return trials, compared[0]


SELECTIONS = {
    "regressor": (regressor, Y, {}),
    "classifier": (classifier, CLASSES, {}),
    "weights": (regressor, Y, {"sample_weight": np.linspace(0.5, 2.0, N_ROWS)}),
    "units": (regressor, Y, {"units": UNITS}),
}


@pytest.mark.parametrize(
    ("case", "max_iter"), [(case, 10**4 if case == "regressor" else 3) for case in SELECTIONS]
)
def test_trials_are_short_fits_of_one_start(case, max_iter, monkeypatch, capsys):
    kind, y, given = SELECTIONS[case]
    options = {"gate_aggregate": "mean"} if case == "units" else {}
    moe = kind(n_experts="auto", max_iter=max_iter, tol=1e-2, verbose=1, top_k=2, **options)
    trials, (weight, rows_per_score) = spied(monkeypatch, moe, y, **given)
    # Trials print nothing.
    labels = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert set(labels) <= {"start 0", "start 1", "EM"}
    assert labels.count("start 0") == 1
    total = given.get("sample_weight", np.ones(N_ROWS))[:N_USED]
    assert max(parameters["n_experts"] for parameters, _ in trials[:-1]) > 2
    for parameters, _ in trials[:-1]:
        assert parameters["n_init"] == 1
        assert parameters["verbose"] == 0
        assert parameters["combine"] == "best"
        assert parameters["max_iter"] <= min(max_iter, selection.TRIAL_MAX_ITER)
        assert parameters["top_k"] == min(2, parameters["n_experts"])
        assert parameters["tol"] >= 1e-2
    if case == "units":
        assert rows_per_score == pytest.approx(2.0)
        assert_array_equal(weight, np.ones(N_USED // 2))
    else:
        assert rows_per_score == 1.0
        assert weight.sum() == pytest.approx(total.sum())


@pytest.mark.parametrize("with_units", [False, True])
@pytest.mark.parametrize("is_large", [False, True])
def test_each_row_is_held_out_once_with_its_unit(with_units, is_large, monkeypatch):
    """Of many rows one fold is held out, and classes of few rows never are."""
    n_rows = 90
    monkeypatch.setattr(selection, "SINGLE_HOLDOUT_ROWS", 1 if is_large else 10**6)
    units = np.repeat(np.arange(30), 3)
    y = np.where(np.arange(n_rows) < 2, "rare", np.where(np.arange(n_rows) % 2, "a", "b"))
    data = rows_of(n_rows, {"units": units} if with_units else {}, y)
    held_out = selection._held_out(classifier(n_experts="auto"), data, 0)
    assert len(held_out) == (1 if is_large else selection.N_SELECTION_FOLDS)
    index = np.concatenate(held_out)
    assert len(np.unique(index)) == len(index)
    never = np.flatnonzero(units == 0) if with_units else np.arange(2)
    assert not np.isin(never, index).any()
    if not is_large:
        assert_array_equal(np.sort(index), np.setdiff1d(np.arange(n_rows), never))
    if with_units:
        for rows in held_out:
            assert len(rows) == 3 * len(np.unique(units[rows]))


# --- where experts are split --------------------------------------------------------------------


def test_enough_rows_and_units_of_several_values_can_be_split():
    n_rows, n_units = selection.MIN_ROWS_TO_SPLIT, selection.MIN_UNITS_TO_SPLIT
    can_split = selection._can_split
    assert can_split(rows_of(n_rows))
    assert not can_split(rows_of(n_rows - 1))
    assert not can_split(rows_of(n_rows, y=np.zeros(n_rows)))
    assert can_split(rows_of(n_rows, {"units": np.arange(n_rows) % n_units}))
    assert not can_split(rows_of(n_rows, {"units": np.arange(n_rows) % (n_units - 1)}))


def test_rows_of_units_are_summed_and_repeated():
    units, values = np.array(["b", "a", "b", "c"]), np.array([1.0, 2.0, 4.0, 8.0])
    of_units = SelectionData(
        X[:4], Y[:4], values, {"units": units, "offset": values, "cost": values}
    )
    assert_array_equal(of_units.sum_over_units(values), [2.0, 5.0, 8.0])
    assert_array_equal(of_units.of_rows(np.array([2.0, 5.0, 8.0])), [5.0, 2.0, 5.0, 8.0])
    assert set(of_units.of_methods) == {"units", "offset", "sample_weight"}
    of_rows = of_units._replace(extras={"offset": values, "cost": values})
    assert_array_equal(of_rows.sum_over_units(values), values)
    assert_array_equal(of_rows.of_rows(values), values)
    assert set(of_rows.of_methods) == {"offset"}
    taken = of_units.take(np.array([2, 0]))
    assert_array_equal(taken.weight, [4.0, 1.0])
    assert_array_equal(taken.extras["cost"], [4.0, 1.0])


def test_the_chosen_number_is_fitted_with_the_parameters_of_the_user():
    moe = quiet(regressor(n_experts="bic", top_k=3, max_iter=5), X[:N_USED], X[:N_USED, 0])
    assert moe.n_experts_ < 3
    assert moe.predict_gate(X).shape == (N_ROWS, moe.n_experts_)
    assert len(moe.start_traces_) == 2
