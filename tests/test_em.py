"""The loop: it never falls, it ends where it should, and it says so when it cannot."""

import pickle
import threading
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import crossing_lines, flipping_classes, quiet, two_regimes

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset, split_into_blocks, subset
from skmoe._mixture import em
from skmoe._mixture.acceleration import AITKEN_STRIDE, aitken_gap
from skmoe._mixture.e_step import e_step_block
from skmoe._mixture.em import EMOptions, EMStart, run_em
from skmoe._mixture.initialization import smooth_labels
from skmoe._mixture.m_step import params_from_responsibilities
from skmoe._mixture.model import MixtureModel, log_joint
from skmoe._numerics.probability import keep_top_k, log_normalise
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.gates import ConstantGate, SoftmaxGate

X, Y = two_regimes()
DESIGN = np.column_stack([X, np.ones(len(X))])
ROWS = Dataset(DESIGN, DESIGN, ((Y - Y.mean()) / Y.std())[None], np.ones(len(Y)))
LABELS = (X[:, 1] > 0).astype(int)
CLASS_X, CLASSES = flipping_classes(n_classes=3)
CLASS_DESIGN = np.column_stack([CLASS_X, np.ones(len(CLASS_X))])
CLASS_ROWS = Dataset(CLASS_DESIGN, CLASS_DESIGN, CLASSES, np.ones(len(CLASSES)))

PARTS = [
    (MixtureModel(gate, experts, 2), rows)
    for gate in (SoftmaxGate(), SoftmaxGate(alpha=0.0), ConstantGate())
    for experts, rows in [
        (LinearExperts(), ROWS),
        (LinearExperts(alpha=0.0, shared_dispersion=True, dispersion_prior=0.0), ROWS),
        (LogisticExperts(n_classes=3), CLASS_ROWS),
    ]
]


def never(n_iter, run):
    return False


def climb(parts, rows, n_plain=5, on_iteration=never, **options):
    params = params_from_responsibilities(parts, rows, smooth_labels(LABELS, 2), 5)
    options = EMOptions(**{"max_iter": 300, "tol": 1e-7, "n_plain_iter": n_plain} | options)
    return run_em(parts, split_into_blocks(rows, 100), EMStart(params), options, on_iteration)


def test_the_bound_of_many_classes_never_falls_and_ends_where_exact_hessians_lead(monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 12, size=400)
    X = rng.normal(size=(12, 2, 3))[y, rng.integers(0, 2, size=400)] + 0.5 * rng.normal(
        size=(400, 3)
    )

    def fit():
        options = {"alpha": 1.0, "gate_alpha": 1.0, "tol": 1e-8, "max_iter": 2000}
        moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0, **options)
        return quiet(moe, X, y)

    found = fit()
    assert min(np.diff(found.lower_bounds_)) > -1e-10
    monkeypatch.setattr("skmoe._numerics.multinomial.FEW_CLASSES", 10**6)
    assert_allclose(found.lower_bound_, fit().lower_bound_, atol=1e-4)


@pytest.mark.parametrize(("parts", "rows"), PARTS)
@pytest.mark.parametrize("n_plain", [3, 10**6])
def test_the_bound_never_falls(parts, rows, n_plain):
    run = climb(parts, rows, n_plain)
    assert not run.line_search_failed
    assert min(np.diff(run.lower_bounds)) > -1e-10


@pytest.mark.parametrize(("parts", "rows"), PARTS)
def test_the_bound_is_the_penalised_log_likelihood_of_the_parameters(parts, rows):
    run = climb(parts, rows, max_iter=7)
    _, joint = log_joint(parts, run.params, rows)
    penalty = parts.gate.penalty(run.params.gate) + parts.experts.penalty(run.params.experts)
    expected = (log_normalise(joint)[1].sum() - penalty) / len(rows.weight)
    assert run.lower_bounds[-1] == pytest.approx(expected, abs=1e-12)


def test_acceleration_reaches_the_same_optimum_in_fewer_iterations():
    parts = MixtureModel(ConstantGate(), LinearExperts(alpha=1e-8), 2)
    plain, fast = climb(parts, ROWS, 10**6, tol=1e-9), climb(parts, ROWS, 3, tol=1e-9)
    assert fast.lower_bounds[-1] == pytest.approx(plain.lower_bounds[-1], abs=1e-7)
    assert len(fast.lower_bounds) < len(plain.lower_bounds)


def test_a_converged_fit_is_within_its_tolerance_of_the_optimum():
    for tol in (1e-3, 1e-5):
        parts = MixtureModel(SoftmaxGate(), LinearExperts(), 2)
        gap = (
            climb(parts, ROWS, tol=1e-10).lower_bounds[-1]
            - climb(parts, ROWS, tol=tol).lower_bounds[-1]
        )
        assert gap < 3 * tol


def test_gain_left_is_aitkens_estimate():
    bounds = [-(0.9**t) for t in range(40)]
    assert aitken_gap(bounds) == pytest.approx(0.9**39, rel=1e-6)  # all that is left
    slow = [-(0.999**t) for t in range(200)]
    assert aitken_gap(slow) == pytest.approx(0.999**199, rel=1e-6)
    # Where a stride gains more than is left, its gain is the estimate.
    fast = [-(0.6**t) for t in range(15)]
    assert aitken_gap(fast) == pytest.approx(fast[-1] - fast[-1 - AITKEN_STRIDE])
    assert aitken_gap(fast) > 0.6**14
    assert aitken_gap(bounds[:5]) == np.inf  # too short to tell
    assert aitken_gap([*range(30)]) == np.inf  # no sign of an end
    assert aitken_gap([-1.0, -0.5, -0.5, -0.5]) == 0.0  # a fixed point


def test_a_gate_step_that_is_too_long_is_shortened():
    @dataclass(frozen=True)
    class Reckless(SoftmaxGate):
        """Steps sixty times too far."""

        def m_step(self, statistics, factor, params, step):
            return super().m_step(statistics, factor, params, 60.0 * step)

    run = climb(MixtureModel(Reckless(), LinearExperts(), 2), ROWS, 10**6)
    assert not run.line_search_failed
    assert min(np.diff(run.lower_bounds)) > -1e-10


@dataclass(frozen=True)
class Sinking(LinearExperts):
    """A family whose M-step lowers its objective, whatever the step."""

    def m_step(self, statistics, factor, params, step):
        return params._replace(log_variance=params.log_variance + 0.5)


def test_a_part_that_lowers_the_bound_is_stopped():
    run = climb(MixtureModel(ConstantGate(), Sinking(), 2), ROWS)
    assert run.line_search_failed
    assert not run.converged
    assert all(later >= earlier for earlier, later in pairwise(run.lower_bounds))


def test_extrapolation_respects_the_floor_of_the_variances(monkeypatch):
    experts = LinearExperts(dispersion_prior=0.0, variance_floor=(0.02,))
    evaluated, extrapolated = [], []
    evaluate, squarem_step = em.evaluate, em.squarem_step

    def listening_evaluate(model, blocks, params, *args, **options):
        evaluated.append(params.experts.log_variance.min())
        return evaluate(model, blocks, params, *args, **options)

    def falling_squarem_step(*args):
        """Extrapolation far below the floor."""
        (*arrays, log_variance), step = squarem_step(*args)
        extrapolated.append(log_variance.min() - 3.0)
        return [*arrays, log_variance - 3.0], step

    monkeypatch.setattr(em, "evaluate", listening_evaluate)
    monkeypatch.setattr(em, "squarem_step", falling_squarem_step)
    climb(MixtureModel(SoftmaxGate(), experts, 2), ROWS, 1)
    assert min(extrapolated) < np.log(0.02) - 1.0
    assert min(evaluated) == np.log(0.02)  # the floor is felt, and held


def test_the_longest_step_shrinks_where_extrapolations_fail(monkeypatch):
    """It grows where they do not fail, and is never shorter than at the start."""
    succeeds = [False, True, True, False, False, True, False, False, False]
    longest = []

    def arranged_squarem_step(start, first, second, step_max):
        """The next plain iterate as if by the longest step, or parameters that fit badly."""
        longest.append(step_max)
        good = succeeds[(len(longest) - 1) % len(succeeds)]
        return [values + (0.0 if good else 100.0) for values in second], step_max

    monkeypatch.setattr(em, "squarem_step", arranged_squarem_step)
    climb(MixtureModel(SoftmaxGate(), LinearExperts(), 2), ROWS, 0, tol=0.0, max_iter=20)
    expected = [1.0, 1.0, 4.0, 16.0, 8.0, 4.0, 16.0, 8.0, 4.0]
    assert_allclose(np.array(longest[: len(expected)]) / em.INITIAL_STEP_MAX, expected)


def test_a_listener_can_end_the_climb():
    heard = []

    def listen(iteration, run):
        heard.append(iteration)
        return iteration == 4

    run = climb(MixtureModel(SoftmaxGate(), LinearExperts(), 2), ROWS, on_iteration=listen)
    assert heard == [1, 2, 3, 4]
    assert len(run.lower_bounds) == 4
    assert not run.converged


@pytest.mark.filterwarnings("ignore:Experts have collapsed")  # five experts for two regimes
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_experts", [2, 5])
@pytest.mark.parametrize("fixed", [{}, {"alpha": 0.1, "gate_alpha": 1.0}])
def test_lower_bounds_of_the_estimators_never_fall(seed, n_experts, fixed):
    X, y = crossing_lines(seed=seed)
    classes = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    # Five experts for two regimes are barely identified, and may converge slowly.
    options = {"random_state": seed, "tol": 1e-6, "max_iter": 2000} | fixed
    for moe, target in [
        (MixtureOfExpertsRegressor(n_experts, **options), y),
        (MixtureOfExpertsClassifier(n_experts, **options), classes),
    ]:
        moe.fit(X, target)
        assert np.diff(moe.lower_bounds_).min() > -1e-10
        assert moe.lower_bounds_[-1] == moe.lower_bound_
        # Iterations with other penalties are counted, and have no comparable bounds.
        n_earlier = moe.n_iter_ - len(moe.lower_bounds_)
        assert n_earlier == 0 if fixed else n_earlier > 0 or n_experts == 5  # new experts
        assert moe.n_iter_ <= moe.max_iter


@pytest.mark.parametrize(("parts", "rows"), PARTS)
def test_threads_change_nothing(parts, rows, monkeypatch):
    used = set()

    def look(*args):
        used.add(threading.get_ident())
        return one_look(*args)

    one_look = e_step_block
    monkeypatch.setattr("skmoe._mixture.e_step.e_step_block", look)
    alone, few = climb(parts, rows, 2), climb(parts, rows, 2, n_threads=3)
    assert used == {threading.get_ident()}  # so few coefficients are not worth threads
    monkeypatch.setattr("skmoe._mixture.em.MIN_SIZE_FOR_THREADS", 0)
    together = climb(parts, rows, 2, n_threads=3)
    assert len(used) > 1
    assert alone.lower_bounds == few.lower_bounds == together.lower_bounds
    assert_same_params(alone, together)


def assert_same_params(one, other):
    for part, same in zip(one.params, other.params, strict=True):
        for ours, theirs in zip(part, same, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_routing_keeps_the_first_of_equals(top_k):
    values = np.random.default_rng(0).integers(0, 3, size=(5, 200)).astype(float)
    values[3] = -np.inf
    kept = np.isfinite(keep_top_k(values, top_k))
    order = np.argsort(-values, axis=0, kind="stable")[:top_k]
    expected = np.zeros_like(kept)
    np.put_along_axis(expected, order, True, axis=0)
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(("parts", "rows"), PARTS)
@pytest.mark.parametrize("n_plain", [2, 10])
def test_a_climb_goes_on_as_if_it_had_not_ended(parts, rows, n_plain):
    """Wherever it was cut, before an extrapolation or after it, with old factors or new ones."""
    through = climb(parts, rows, n_plain, max_iter=24, tol=0.0)
    for cut in range(1, 24, 2 if n_plain == 2 else 5):
        first = climb(parts, rows, n_plain, max_iter=cut, tol=0.0)
        rest = run_em(
            parts,
            split_into_blocks(rows, 100),
            pickle.loads(pickle.dumps(first.continuation)),
            EMOptions(max_iter=24 - cut, tol=0.0, n_plain_iter=0),
            never,
        )
        assert rest.lower_bounds == through.lower_bounds, cut
        assert_same_params(rest, through)


def test_a_place_on_other_rows_tells_nothing():
    parts, other = MixtureModel(SoftmaxGate(), LinearExperts(), 2), subset(ROWS, slice(100))
    first = climb(parts, ROWS, tol=1e-9)
    fresh, led = (
        run_em(
            parts,
            split_into_blocks(other),
            EMStart(first.params, resume_state=resume_state),
            EMOptions(max_iter=20, tol=0.0, n_plain_iter=3),
            never,
        )
        for resume_state in (None, first.resume_state)
    )
    assert fresh.lower_bounds == led.lower_bounds


def test_a_resumed_run_ends_where_the_whole_run_ends():
    parts = MixtureModel(SoftmaxGate(), LinearExperts(), 2)
    whole = climb(parts, ROWS)
    assert whole.converged
    for left in (1, 2, 3):
        first = climb(parts, ROWS, max_iter=len(whole.lower_bounds) - left)
        start = EMStart(first.params, resume_state=first.resume_state)
        options = EMOptions(max_iter=300, tol=1e-7, n_plain_iter=5)
        second = run_em(parts, split_into_blocks(ROWS, 100), start, options, never)
        assert second.converged
        assert second.lower_bounds == whole.lower_bounds[-left:]


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_the_gate_of_a_balanced_fit_has_its_pseudo_observations(balance):
    """A constant gate has a closed form: responsibilities and pseudo-rows, which are uniform."""
    X, y = two_regimes()
    moe = MixtureOfExpertsRegressor(
        3, gate="constant", balance=balance, tol=1e-13, max_iter=5000, random_state=0
    )
    resp = quiet(moe, X, y).responsibilities(X, y).mean(axis=0)
    assert_allclose(moe.predict_gate(X[:1])[0], (resp + balance / 3) / (1 + balance), atol=1e-4)
