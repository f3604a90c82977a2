"""Which starts go on, for how long, and what happens to experts that lose their rows.

Runs of EM are replaced by ones whose bounds and ends are arranged, and compared with a plain
account of what should have been run.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._data.rows import Dataset
from skmoe._data.units import make_units
from skmoe._mixture import multistart, runs
from skmoe._mixture.em import EMResult, EMStart, ResumeState
from skmoe._mixture.evidence import (
    FINAL_ROUND,
    ITERATIONS_BETWEEN_UPDATES,
    EvidenceSearch,
    SearchStage,
)
from skmoe._mixture.initialization import (
    INITIALIZERS,
    LABEL_SMOOTHING,
    InitData,
    init_schedule,
    make_init_data,
    smooth_labels,
)
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior
from skmoe._mixture.multistart import (
    AVERAGE_RELAXATION,
    N_ITER_FIRST_ROUND,
    N_ITER_FIRST_ROUND_ESTIMATORS,
    fit_best_start,
    fit_starts,
)
from skmoe._mixture.runs import MAX_REINITIALIZATIONS, N_INITIAL_M_STEPS, N_PLAIN_ITER, EMProblem
from skmoe._numerics.collapse import MIN_EXPERT_WEIGHT, MIN_WEIGHT_FRACTION, is_collapsed
from skmoe._numerics.evidence import PenaltySearch
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

RNG = np.random.default_rng(0)
N_ROWS = 60
DESIGN = np.column_stack([RNG.normal(size=(N_ROWS, 2)), np.ones(N_ROWS)])
Y = RNG.normal(size=(1, N_ROWS))
WEIGHT = RNG.uniform(0.5, 2.0, size=N_ROWS)
ROWS = Dataset(DESIGN, DESIGN, Y, WEIGHT)
INIT_DATA = make_init_data(ROWS, Y)
LINEAR = LinearExperts()
FOUND = EvidenceSearch(experts=PenaltySearch("auto"))


class Estimators(LinearExperts):
    """Experts whose iterations are expensive."""

    needs_all_rows = True


class Log:
    """An observer that writes down what it hears."""

    def __init__(self):
        self.heard = []

    def start(self):
        self.heard.append("start")

    def __call__(self, n_iter, run):
        return False

    def end(self, run):
        self.heard.append(run)


def problem(n_starts, experts=LINEAR, n_experts=2, **options):
    model = MixtureModel(SoftmaxGate(), experts, n_experts)
    given = {"init": "auto", "max_iter": 1000, "tol": 1e-6} | options
    seeds = np.random.SeedSequence(0).spawn(n_starts)
    rows = given.pop("rows", INIT_DATA.rows)
    return EMProblem(model, rows, INIT_DATA, seeds=seeds, **given)


class Arranged:
    """Runs of EM whose start has a number: their bounds, and the iteration at which they end."""

    def __init__(self, monkeypatch, bounds, ends):
        self.bounds, self.ends, self.calls, self.n_starts = bounds, ends, [], 0
        monkeypatch.setattr(multistart, "params_from_responsibilities", self.first)
        monkeypatch.setattr(multistart, "run_em_of_problem", self.run)
        for module in (multistart, runs):
            monkeypatch.setattr(module, "run_to_convergence", self.to_the_end)
        monkeypatch.setattr(multistart, "with_reinitialized_experts", self.offered)
        monkeypatch.setattr(multistart, "collapsed_experts", lambda problem, run: np.zeros(0))

    def first(self, model, rows, resp, n_steps):
        assert n_steps == N_INITIAL_M_STEPS
        self.n_starts += 1
        return self.n_starts - 1

    def run(self, problem, start, max_iter, n_plain_iter, monitor):
        """Bounds rise to that of the start, and cross those of others on their way."""
        number, before = start.params, list(start.lower_bounds)
        self.calls.append((number, len(before), max_iter, n_plain_iter))
        n_iter = min(len(before) + max_iter, max(self.ends[number], len(before)))
        new = [self.bound(number, i + 1) for i in range(len(before), n_iter)]
        converged = n_iter >= self.ends[number]
        return EMResult(number, before + new, converged, False)

    def bound(self, number, n_iter):
        return self.bounds[number] - ((number * 7) % 5 + 1.0) / n_iter

    def to_the_end(self, problem, start, monitor):
        self.calls.append((start.params, len(start.lower_bounds), "to the end", problem.search))
        return EMResult(start.params, [*start.lower_bounds, 100.0], True, False)

    def offered(self, problem, run, monitor):
        self.calls.append((run.params, len(run.lower_bounds), "offered other rows", None))
        return run


def account(bounds, ends, first, max_iter, bound):
    """Iterations of each start, and the calls, of a race of the starts."""
    n_starts = len(bounds)
    length = [min(first, max_iter, end) for end in ends]
    calls = [(i, 0, min(first, max_iter), first) for i in range(n_starts)]
    n_iter, left = first, n_starts
    while left > 2:
        n_iter, left = 2 * n_iter, -(-left // 2)
        order = sorted(range(n_starts), key=lambda i: (-bound(i, length[i]), i))[:left]
        for i in order:
            if length[i] < ends[i] and length[i] < max_iter:
                allowed = min(n_iter, max_iter - length[i])
                calls.append((i, length[i], allowed, N_PLAIN_ITER))
                length[i] = min(length[i] + allowed, ends[i])
    return length, calls


@pytest.mark.parametrize("search", [EvidenceSearch(), FOUND], ids=["given", "found"])
@pytest.mark.parametrize("max_iter", [10, 40, 1000])
@pytest.mark.parametrize("experts", [LinearExperts(), Estimators()], ids=["plain", "estimators"])
@pytest.mark.parametrize("n_starts", [1, 2, 3, 5, 8])
def test_the_race_of_the_starts_is_as_it_is_described(
    n_starts, experts, max_iter, search, monkeypatch
):
    rng = np.random.default_rng(n_starts)
    bounds, ends = rng.normal(size=n_starts), rng.choice([7, 33, 70, 10**6], size=n_starts)
    arranged, monitors, monitor = Arranged(monkeypatch, bounds, ends), [], Log()
    monitors = [Log() for _ in range(n_starts)]
    given = problem(n_starts, experts, max_iter=max_iter, search=search)
    best, found = fit_best_start(given, monitors, monitor, None)
    first = N_ITER_FIRST_ROUND_ESTIMATORS if experts.needs_all_rows else N_ITER_FIRST_ROUND
    length, calls = account(bounds, ends, first, max_iter, arranged.bound)
    assert [len(run.lower_bounds) for run in found] == length
    winner = max(range(n_starts), key=lambda i: arranged.bound(i, length[i]))
    is_left = length[winner] < max_iter
    has_more = is_left and (bool(search) or length[winner] < ends[winner])
    if has_more:
        calls.append((winner, length[winner], "to the end", search))
    assert arranged.calls == calls
    assert best.params == winner
    assert best.lower_bound == (100.0 if has_more else found[winner].lower_bound)
    assert monitor.heard == (["start", best] if has_more else [])
    for heard, run in zip(monitors, found, strict=True):
        assert heard.heard == ["start", run]


@pytest.mark.parametrize("max_iter", [10, 1000])
def test_the_winner_goes_on_if_its_experts_have_collapsed_or_on_all_rows(max_iter, monkeypatch):
    arranged, given = Arranged(monkeypatch, [0.0, 1.0], [5, 6]), problem(2, max_iter=max_iter)
    fit_best_start(given, [Log(), Log()], Log(), None)
    assert len(arranged.calls) == 2
    monkeypatch.setattr(multistart, "collapsed_experts", lambda problem, run: np.zeros(1))
    arranged.n_starts = 0
    fit_best_start(given, [Log(), Log()], Log(), None)
    assert arranged.calls[-1] == (1, 6, "offered other rows", None)
    # On other rows the iterations of the sample do not count.
    arranged.n_starts = 0
    fit_best_start(given._replace(rows=ROWS._replace()), [Log(), Log()], Log(), None)
    assert arranged.calls[-1][:3] == (1, 0, "to the end")


@pytest.mark.parametrize("combine", ["best_converged", "average"])
@pytest.mark.parametrize("search", [EvidenceSearch(), FOUND], ids=["given", "found"])
def test_all_starts_go_on_to_their_ends(combine, search, monkeypatch):
    """Each start of an average searches its penalties; else the best one does, in the end."""
    arranged = Arranged(monkeypatch, [0.0, 2.0, 1.0], [5, 400, 30])
    given, monitor, monitors = problem(3, search=search), Log(), [Log() for _ in range(3)]
    best, found = fit_starts(given, combine, monitors, monitor, None)
    relaxed = search._replace(relaxation=AVERAGE_RELAXATION)
    of_starts = relaxed if combine == "average" else EvidenceSearch()
    lengths = {0: 5, 1: N_ITER_FIRST_ROUND, 2: N_ITER_FIRST_ROUND}
    for i, length in lengths.items():
        # The first start has converged, so that only a search goes on.
        goes_on = i > 0 or bool(of_starts)
        assert ((i, length, "to the end", of_starts) in arranged.calls) == goes_on
        assert ((i, length, "offered other rows", None) in arranged.calls) != goes_on
    assert [run.lower_bound for run in found][1:] == [100.0, 100.0]
    assert best.params == (0 if of_starts else 1)  # the first of equals
    if combine == "best_converged" and search:
        assert arranged.calls[-1] == (1, len(found[1].lower_bounds), "to the end", search)
        assert monitor.heard == ["start", best]
    else:
        assert best is found[best.params]
        assert monitor.heard == []
    for heard, run in zip(monitors, found, strict=True):
        assert heard.heard == ["start", run]


@pytest.mark.parametrize("init", ["auto", "kmeans", "random"])
def test_initializers_get_the_rows_and_from_the_second_time_on_random_weights(init, monkeypatch):
    """Each start has the generator of its own seed."""
    Arranged(monkeypatch, np.zeros(6), [1] * 6)
    given, seen = problem(6, init=init, n_experts=3), []
    for name in INITIALIZERS:

        def spy(X, Y, weight, n_experts, rng, name=name):
            seen.append((name, X, Y, weight, n_experts))
            return np.arange(N_ROWS) % n_experts

        monkeypatch.setitem(INITIALIZERS, name, spy)
    fit_best_start(given, [Log() for _ in range(6)], Log(), None)
    names = init_schedule(init, 3, 6)
    assert [name for name, *_ in seen] == names
    for i, (name, X, Y, weight, n_experts) in enumerate(seen):
        assert n_experts == 3
        assert_array_equal(X, INIT_DATA.X)
        assert_array_equal(Y, INIT_DATA.Y)
        if name in names[:i]:
            draws = np.random.default_rng(given.seeds[i]).exponential(size=N_ROWS)
            assert_allclose(weight, WEIGHT * draws)
        else:
            assert_array_equal(weight, WEIGHT)


# --- given starts -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_array", [True, False])
def test_a_given_start_is_the_only_one(is_array, monkeypatch):
    arranged = Arranged(monkeypatch, [0.0], [5])
    labels = smooth_labels(np.arange(N_ROWS) % 2, 2)
    init = labels if is_array else Params("gate", "experts")
    state = ResumeState(None, 0, None, 0, 0, 16.0)
    given = problem(4, init=init, previous_lower_bounds=[1.0, 2.0], resume_state=state)
    seen, to_the_end = [], multistart.run_to_convergence

    def spy(problem, start, monitor):
        seen.append(start)
        return to_the_end(problem, start, monitor)

    for module in (multistart, runs):
        monkeypatch.setattr(module, "run_to_convergence", spy)
    monitor = Log()
    for combine in ("best", "best_converged", "average"):
        best, found = fit_starts(given, combine, [], monitor, None)
        assert found == [best]
        assert monitor.heard[-2:] == ["start", best]
        start = seen[-1]
        assert list(start.lower_bounds) == [1.0, 2.0]
        assert start.resume_state is state
        assert isinstance(start.params, int) if is_array else start.params is init
    assert arranged.n_starts == (3 if is_array else 0)


# --- experts that lose their rows ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "n_calls", "n_kept"),
    [([1.0, 1.0, 1.0], 2, 2), ([1.0, -1.0], 2, 1), ([0.0], 1, 0), ([-1.0], 1, 0), ([None], 1, 0)],
)
def test_new_starts_of_experts_are_kept_while_they_are_better(gains, n_calls, n_kept, monkeypatch):
    assert MAX_REINITIALIZATIONS == 2
    made = [EMResult("start", [0.0], True, False)]

    def again(problem, run, monitor):
        gain = gains[len(made) - 1]
        bound = None if gain is None else run.lower_bound + gain
        made.append(None if gain is None else EMResult(len(made), [bound], True, False))
        return made[-1]

    monkeypatch.setattr(runs, "_reinitialize_collapsed", again)
    found = runs.with_reinitialized_experts(None, made[0], None)
    assert len(made) == 1 + n_calls
    assert found is made[n_kept]


def collapsed_problem(with_units):
    """Four experts of which two have next to no rows; parameters at which this is so."""
    experts = LinearExperts()
    rows = ROWS
    if with_units:
        units = make_units(np.arange(N_ROWS) // 2)
        weight = np.repeat(WEIGHT[::2], 2)
        rows = Dataset(DESIGN[units.starts], DESIGN, Y, weight, units)
    model = MixtureModel(SoftmaxGate(), experts, 4)
    gate = model.gate.init_params(4, 3)
    gate.coef[:, -1] = [3.0, -12.0, 3.0, -12.0]
    coef = np.random.default_rng(1).normal(size=(4, 1, 3))
    params = Params(gate, experts.init_params(4, 3)._replace(coef=coef))
    data = InitData(rows, INIT_DATA.X, INIT_DATA.Y, INIT_DATA.outputs)
    given = problem(1, n_experts=4)._replace(model=model, rows=rows, init_data=data)
    return given, EMResult(params, [0.0], True, False)


@pytest.mark.parametrize("with_units", [False, True])
def test_collapsed_experts_share_the_rows_that_are_explained_worst(with_units, monkeypatch):
    """Those rows have the share of the weight that the experts are of all experts."""
    given, run = collapsed_problem(with_units)
    seen = []
    monkeypatch.setattr(
        runs,
        "params_from_responsibilities",
        lambda model, rows, resp, n_steps: seen.append((resp, n_steps)) or "new",
    )
    monkeypatch.setattr(runs, "run_em_of_problem", lambda *arguments: arguments)
    assert_array_equal(runs.collapsed_experts(given, run), [1, 3])
    found = runs._reinitialize_collapsed(given, run, None)
    assert found[0] is given
    assert found[1] == EMStart("new")
    assert found[2:4] == (given.max_iter, N_PLAIN_ITER)
    joint = log_joint(given.model, run.params, given.rows)[1]
    resp, log_density = posterior(given.model, joint)
    weight, order = given.rows.unit_weight, np.argsort(log_density)
    total, worst = 0.0, []
    for row in order:
        total += weight[row]
        if total > 0.5 * weight.sum():
            break
        worst.append(row)
    expected = resp.copy()
    for i, row in enumerate(worst):
        expected[:, row] *= 1.0 - LABEL_SMOOTHING
        expected[[1, 3][i % 2], row] += LABEL_SMOOTHING
    assert_allclose(seen[0][0], expected, atol=1e-12)
    assert seen[0][1] == N_INITIAL_M_STEPS
    assert_allclose(expected.sum(axis=0), 1.0)
    # A run that has failed is left as it is, and so is one whose experts have rows.
    assert runs._reinitialize_collapsed(given, run._replace(line_search_failed=True), None) is None
    even = run.params._replace(gate=given.model.gate.init_params(4, 3))
    assert runs._reinitialize_collapsed(given, run._replace(params=even), None) is None


def test_a_single_heavy_row_is_given_to_collapsed_experts(monkeypatch):
    """Also if it has more than their share of the weight."""
    given, run = collapsed_problem(False)
    joint = log_joint(given.model, run.params, given.rows)[1]
    worst = np.argmin(posterior(given.model, joint)[1])
    weight = np.where(np.arange(N_ROWS) == worst, 1e4, WEIGHT)
    rows = given.rows._replace(weight=weight)
    given = given._replace(rows=rows, init_data=given.init_data._replace(rows=rows))
    seen = []
    monkeypatch.setattr(
        runs,
        "params_from_responsibilities",
        lambda model, rows, resp, n_steps: seen.append(resp) or "new",
    )
    monkeypatch.setattr(runs, "run_em_of_problem", lambda *arguments: arguments)
    monkeypatch.setattr(runs, "collapsed_experts", lambda problem, run: np.array([3]))
    runs._reinitialize_collapsed(given, run, None)
    assert_array_equal(np.flatnonzero(seen[0][3] > 0.5), [worst])


def test_an_expert_at_the_bounds_of_a_collapse_has_not_collapsed():
    """Neither with the least weight, nor with the least fraction of all weight."""
    assert not is_collapsed(np.array([MIN_EXPERT_WEIGHT, 10.0])).any()
    total = 8.0 / MIN_WEIGHT_FRACTION
    for own, expected in ((8.0, False), (np.nextafter(8.0, 0.0), True)):
        mass = np.array([own, total - own])
        assert mass.sum() == total
        assert_array_equal(is_collapsed(mass), [expected, False])


# --- runs to convergence ------------------------------------------------------------------------


@pytest.mark.parametrize("needs_all_rows", [False, True])
def test_a_run_has_the_iterations_that_are_left_and_no_state_of_estimators(
    needs_all_rows, monkeypatch
):
    given = problem(1, Estimators() if needs_all_rows else LinearExperts(), max_iter=50, tol=0.25)
    given, seen, state = given._replace(n_threads=3), [], ResumeState(None, 0, None, 0, 0, 16.0)

    def run_em(model, blocks, start, options, on_iteration):
        seen.append((start, options))
        return EMResult("params", [0.0], True, False, state)

    monkeypatch.setattr(runs, "run_em", run_em)
    monkeypatch.setattr(runs, "with_reinitialized_experts", lambda problem, run, monitor: run)
    start = EMStart("params", [0.0] * 20)
    run = runs.run_to_convergence(given, start, Log())
    ((found, options),) = seen
    assert found is start
    assert (options.max_iter, options.tol, options.n_threads) == (30, 0.25, 3)
    # Models cannot be extrapolated, and are too large to be kept with the state.
    assert options.n_plain_iter == (50 if needs_all_rows else N_PLAIN_ITER)
    assert run.resume_state is (None if needs_all_rows else state)


def test_a_run_after_a_re_initialisation_goes_on_to_convergence(monkeypatch):
    given = problem(1)._replace(search=FOUND)
    state = ResumeState(None, 0, None, 0, 0, 16.0)
    found, better = (EMResult("params", [bound], False, False, state) for bound in (0.0, 1.0))
    monkeypatch.setattr(runs, "run_with_evidence", lambda *arguments: found)
    monkeypatch.setattr(runs, "with_reinitialized_experts", lambda *arguments: better)
    run = runs.run_to_convergence(given, EMStart("start"), None)
    assert run.lower_bounds == [1.0]
    assert run.resume_state.search_round == FINAL_ROUND


def test_runs_of_a_search_know_what_was_done_before(monkeypatch):
    """Each run begins with the counts of earlier ones, and can be resumed in its round."""
    given = problem(1, max_iter=500)._replace(search=FOUND, n_threads=2)
    seen, heard, state = [], [], ResumeState(None, 0, None, 0, 0, 16.0)

    def run_em(model, blocks, start, options, on_iteration):
        seen.append((model, start, options))
        run = EMResult("params", [0.0] * options.max_iter, True, False, state)
        on_iteration(1, run)
        return run

    def run_with_evidence(search, model, blocks, start, max_iter, run_with):
        exact = FOUND._replace(tol=given.tol)
        assert (search, model, max_iter) == (exact, given.model, 500)
        assert len(blocks) == 1
        other = model._replace(experts=LinearExperts(alpha=3.0))
        short = run_with(other, EMStart("a"), 7, SearchStage(4, 0, 2))
        assert short.n_earlier_iter == 4
        assert short.resume_state.search_round == 2
        last = run_with(other, EMStart("b"), 90, SearchStage(11, 1, FINAL_ROUND))
        assert last.n_earlier_iter == last.resume_state.n_earlier_iter == 11
        assert (last.resume_state.n_earlier_runs, last.resume_state.search_round) == (
            1,
            FINAL_ROUND,
        )
        return last._replace(model=other)

    monkeypatch.setattr(runs, "run_em", run_em)
    monkeypatch.setattr(runs, "run_with_evidence", run_with_evidence)
    offered = []
    monkeypatch.setattr(
        runs,
        "with_reinitialized_experts",
        lambda problem, run, monitor: offered.append(problem) or run,
    )
    runs.run_to_convergence(given, EMStart("start"), lambda *heard_of: heard.append(heard_of))
    (_, _, short), (model, start, last) = seen
    assert (short.max_iter, short.tol, short.n_exact_iter) == (7, 0.0, 0)
    # No iteration of a round is extrapolated, also if the round was interrupted.
    assert short.n_plain_iter >= max(ITERATIONS_BETWEEN_UPDATES)
    assert short.n_threads == last.n_threads == 2
    assert (last.max_iter, last.n_plain_iter, start.params) == (90, N_PLAIN_ITER, "b")
    assert model.experts.alpha == offered[0].model.experts.alpha == 3.0
    assert [n_iter for n_iter, _ in heard] == [4 + 1, 11 + 1]
    for (_, run), stage in zip(heard, [(4, 0, 2), (11, 1, FINAL_ROUND)], strict=True):
        state = run.resume_state
        assert (state.n_earlier_iter, state.n_earlier_runs, state.search_round) == stage
        assert run.n_earlier_iter == stage[0]
