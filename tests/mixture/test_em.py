"""The loop of EM: it never falls, ends at a maximum, and says so when it cannot."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._mixture.em import aitken_gap, squarem_step
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from support.em import (
    dataset,
    e_step_block,
    flat,
    mixture,
    run,
    soft_labels,
    start_from,
)
from support.fits import ALL_CASES, fit_quietly, fitted_case
from support.tables import crossing_lines, flipping_classes, two_regimes

MODELS = {
    "normal, softmax gate": mixture(SoftmaxGate()),
    "normal, no penalty": mixture(SoftmaxGate(alpha=0.0), LinearExperts(0.0, True, 0.0)),
    "normal, constant gate": mixture(ConstantGate()),
    "classes, softmax gate": mixture(SoftmaxGate(), LogisticExperts(n_classes=3)),
    "classes, constant gate": mixture(ConstantGate(), LogisticExperts(n_classes=3)),
    "balance": mixture(SoftmaxGate(), balance=0.5),
    "routing": mixture(SoftmaxGate(), n_experts=3, top_k=2),
}


def problem(name, n_rows=240):
    """A model, rows that fit it, and parameters from a partition that is not the best."""
    model = MODELS[name] if isinstance(name, str) else name
    rng = np.random.default_rng(0)
    if isinstance(model.experts, LogisticExperts):
        X, y = flipping_classes(n_rows, n_classes=3)
    else:
        X, y = two_regimes(n_rows)
        y = ((y - y.mean()) / y.std())[None]
    rows = dataset(X, y, rng.uniform(0.5, 2.0, size=n_rows))
    labels = np.digitize(X[:, 1], [0.0] if model.n_experts == 2 else [-0.5, 0.5])
    return model, rows, start_from(model, rows, soft_labels(labels, model.n_experts))


# --- the lower bound ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_plain_iter", [3, 10**6], ids=["extrapolated", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_lower_bound_never_falls(name, n_plain_iter):
    given = problem(name, n_rows=150)
    found = run(*given, n_plain_iter=n_plain_iter, block_rows=100, max_iter=60)
    assert not found.line_search_failed
    assert min(np.diff(found.lower_bounds)) > -1e-10


@pytest.mark.parametrize("case", ALL_CASES)
def test_lower_bound_of_estimators_never_falls(case):
    """But for estimators as experts, whose fits do not maximise the likelihood."""
    moe = fitted_case(case)
    assert moe.lower_bounds_[-1] == moe.lower_bound_
    assert len(moe.lower_bounds_) <= moe.n_iter_ <= moe.max_iter
    assert np.isfinite(moe.lower_bounds_).all()
    assert (np.diff(moe.lower_bounds_) > -1e-9).all()
    for trace in moe.start_traces_:
        assert (np.diff(trace) > -1e-9).all()


def test_lower_bound_of_many_classes_never_falls():
    """Their Hessians are replaced by bounds."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 12, size=150)
    X = rng.normal(size=(12, 2, 3))[y, rng.integers(0, 2, size=150)] + rng.normal(size=(150, 3))
    options = {"alpha": 1.0, "gate_alpha": 1.0, "max_iter": 100, "n_init": 1, "random_state": 0}
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **options), X, y)
    assert min(np.diff(moe.lower_bounds_)) > -1e-10


def test_iterations_with_other_penalties_have_no_comparable_lower_bounds():
    X, y = crossing_lines(150)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, max_iter=500).fit(X, y)
    assert moe.n_iter_ > len(moe.lower_bounds_)
    assert min(np.diff(moe.lower_bounds_)) > -1e-10


@pytest.mark.parametrize("name", MODELS)
def test_lower_bound_is_the_penalised_log_likelihood_per_row(name):
    model, rows, params = problem(name)
    found = run(model, rows, params, max_iter=7, tol=0.0, block_rows=100)
    log_gate = model.gate.log_prob(found.params.gate, rows.gate_design)
    joint = log_gate + model.experts.log_prob(found.params.experts, rows.expert_design, rows.y)
    if model.top_k:  # only the most probable experts of each row take part
        joint = np.sort(joint, axis=0)[-model.top_k :]
    total = rows.weight @ logsumexp(joint, axis=0)
    usage = np.exp(log_gate) @ rows.weight / rows.weight.sum()
    total += model.balance * rows.weight.sum() * np.log(usage).mean()
    total -= model.gate.penalty(found.params.gate) + model.experts.penalty(found.params.experts)
    assert_allclose(found.lower_bounds[-1], total / rows.weight.sum(), rtol=1e-10)
    start = run(model, rows, params, max_iter=0)
    assert len(start.lower_bounds) == 1
    assert not start.converged
    assert_array_equal(flat(start.params), flat(params))
    assert start.lower_bound < found.lower_bound


@pytest.mark.parametrize("dispersion", ["shared", "per_expert"])
def test_lower_bound_of_a_regressor_counts_each_prior_once(dispersion):
    X, y = two_regimes(120, 2)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=120)
    given = {"dispersion": dispersion, "alpha": 3.0, "gate_alpha": 2.0, "balance": 0.3}
    given |= {"tol": 1e-12, "max_iter": 2000, "n_init": 1, "random_state": 0}
    fits = {
        prior: fit_quietly(
            MixtureOfExpertsRegressor(2, dispersion_prior=prior, **given),
            X,
            y,
            sample_weight=weight,
        )
        for prior in (0.0, 25.0)
    }
    spread = np.sqrt(np.cov(X.T, aweights=weight, ddof=0).diagonal())

    def without_prior(moe):
        log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
        means = X @ moe.expert_coef_.T + moe.expert_intercept_
        joint = log_gate + norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))
        usage = np.average(np.exp(log_gate), axis=0, weights=weight)
        total = weight @ (logsumexp(joint, axis=1) + 0.3 * np.log(usage).mean())
        slopes = np.square(moe.expert_coef_ * spread).sum(axis=1) / moe.noise_variance_
        return total - np.square(moe.gate_coef_ * spread).sum() - 1.5 * slopes.sum()

    assert_allclose(fits[0.0].lower_bound_, without_prior(fits[0.0]) / weight.sum(), atol=1e-9)
    # The prior of a variance is inverse gamma: log v + s / v for one scale s of all experts.
    moe = fits[25.0]
    variance = np.unique(moe.noise_variance_)
    assert len(variance) == (1 if dispersion == "shared" else 2)
    of_prior = without_prior(moe) - moe.lower_bound_ * weight.sum()
    unit = np.cov(y, aweights=weight, ddof=0)
    scale = (2.0 * of_prior / 25.0 - np.log(variance / unit).sum()) / (1.0 / variance).sum()
    assert 0.05 < scale / moe.noise_variance_.mean() < 10.0
    share = weight @ moe.responsibilities(X, y)
    residual = y[:, None] - X @ moe.expert_coef_.T - moe.expert_intercept_
    resp = moe.responsibilities(X, y) * weight[:, None]
    squares = (resp * residual**2).sum(axis=0)
    squares += 3.0 * np.square(moe.expert_coef_ * spread).sum(axis=1)
    if dispersion == "shared":
        squares, share = squares.sum(keepdims=True), share.sum(keepdims=True)
    assert_allclose(variance, np.sort((squares + 25.0 * scale) / (share + 25.0)), rtol=1e-4)


def test_constant_gate_of_a_balanced_fit_has_pseudo_rows_of_each_expert():
    """It has a closed form: mean responsibilities, and pseudo-rows."""
    X, y = two_regimes(150)
    given = {"alpha": 0.1, "n_init": 1, "tol": 1e-12, "max_iter": 5000, "random_state": 0}
    for balance in (0.0, 0.5):
        moe = MixtureOfExpertsRegressor(2, gate="constant", balance=balance, **given)
        resp = fit_quietly(moe, X, y).responsibilities(X, y).mean(axis=0)
        expected = (resp + balance / 2) / (1 + balance)
        assert_allclose(moe.predict_gate(X[:1])[0], expected, atol=1e-4)


# --- extrapolation and stopping -----------------------------------------------------------------


def test_extrapolation_reaches_the_same_maximum_in_fewer_iterations():
    given = problem(mixture(ConstantGate(), LinearExperts(alpha=1e-8)))
    plain, fast = (run(*given, n_plain_iter=n, tol=1e-9, max_iter=2000) for n in (10**6, 3))
    assert_allclose(fast.lower_bound, plain.lower_bound, atol=1e-7)
    assert len(fast.lower_bounds) < len(plain.lower_bounds)


def test_first_iterations_are_not_extrapolated():
    given = problem("normal, softmax gate")
    plain = run(*given, n_plain_iter=10**6, max_iter=12, tol=0.0).lower_bounds
    for n_plain_iter in (0, 4):
        found = run(*given, n_plain_iter=n_plain_iter, max_iter=12, tol=0.0).lower_bounds
        assert found[: n_plain_iter + 1] == plain[: n_plain_iter + 1]
        assert found[n_plain_iter + 1] != plain[n_plain_iter + 1]


def test_squarem_step_is_that_of_varadhan_and_roland():
    """Scheme S3 of a linear map is exact in one dimension, and no shorter than two iterations."""
    limit, rate = 3.0, 0.9
    path = [[np.array([limit + rate**t])] for t in range(3)]
    (found,), step = squarem_step(*path, 1e6)
    assert_allclose(found, limit, atol=1e-10)
    assert_allclose(step, 1.0 / (1.0 - rate))
    rng = np.random.default_rng(0)
    start, first, second = ([rng.normal(size=3), rng.normal(size=(2, 2))] for _ in range(3))
    r = [b - a for a, b in zip(start, first, strict=True)]
    v = [c - 2 * b + a for a, b, c in zip(start, first, second, strict=True)]
    ratio = np.sqrt(sum((x**2).sum() for x in r) / sum((x**2).sum() for x in v))
    for longest in (1.0, 16.0):
        step = min(max(ratio, 1.0), longest)
        found, used = squarem_step(start, first, second, longest)
        assert_allclose(used, step)
        for a, x, w, values in zip(start, r, v, found, strict=True):
            assert_allclose(values, a + 2 * step * x + step**2 * w)
    turning = [[np.array([value])] for value in (0.0, 1.0, -1.0)]
    assert squarem_step(*turning, 16.0) == ([-1.0], 1.0)


def test_remaining_gain_is_the_estimate_of_aitken():
    for rate in (0.9, 0.999):
        bounds = [-(rate**t) for t in range(200)]
        assert_allclose(aitken_gap(bounds), rate**199, rtol=1e-6)  # all that is left
    fast = [-(0.6**t) for t in range(15)]
    assert_allclose(aitken_gap(fast), fast[-1] - fast[-7])  # at least the last gain
    assert aitken_gap(bounds[:5]) == np.inf  # too short to tell
    assert aitken_gap([*range(30)]) == np.inf  # no sign of an end
    gains = np.array([3.0, 2.0, 0.5, 0.4, 0.1])
    for stride in (1, 2):
        bounds = np.cumsum(gains)
        last, gain = bounds[-1] - bounds[-1 - stride], bounds[-1 - stride] - bounds[-1 - 2 * stride]
        expected = max(last**2 / (gain - last), last)
        assert_allclose(aitken_gap(list(bounds), 1e-11, stride), expected)


@pytest.mark.parametrize("level", [-1000.0, 0.0, 1000.0])
def test_a_gain_of_two_iterations_within_round_off_is_none(level):
    """The round-off is relative to the bound, or absolute where the bound is small."""
    for rtol in (1e-9, 1e-6):
        allowed = rtol * (1.0 + abs(level))
        for gain, gap in ((0.9 * allowed, 0.0), (1.2 * allowed, np.inf)):
            assert aitken_gap([level - 1.0, level - gain, level - 0.4 * gain, level], rtol) == gap
            assert aitken_gap([level - gain, level - 0.4 * gain, level], rtol) == gap
        assert aitken_gap([level - 0.1 * allowed, level], rtol) == np.inf


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_a_converged_run_is_within_its_tolerance_of_the_maximum(tol):
    given = problem("normal, softmax gate")
    found, best = run(*given, tol=tol), run(*given, tol=1e-10, max_iter=2000)
    assert found.converged
    assert 0.0 <= best.lower_bound - found.lower_bound < 3 * tol


def test_single_precision_converges():
    """What is taken for round-off of the bound is that of the design."""
    X, y = two_regimes(200)
    rows = dataset(X, ((y - y.mean()) / y.std())[None])
    design = rows.gate_design.astype(np.float32)
    rows = rows._replace(gate_design=design, expert_design=design)
    model = mixture()
    params = start_from(model, rows, soft_labels(X[:, 1] > 0))
    assert run(model, rows, params, tol=1e-9).converged


# --- the line search ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reckless(SoftmaxGate):
    """A gate whose steps are too long by a factor."""

    length: float = 60.0

    def m_step(self, statistics, factor, params, step):
        return super().m_step(statistics, factor, params, self.length * step)


@dataclass(frozen=True)
class Sinking(LinearExperts):
    """Experts whose M-step lowers the likelihood, whatever its length."""

    def m_step(self, statistics, factor, params, step):
        return params._replace(log_dispersion=params.log_dispersion + 0.5)


@pytest.mark.parametrize("length", [60.0, 1e6])
def test_a_step_that_is_too_long_is_shortened(length):
    """To nothing in the end, where only the experts move."""
    model, rows, _ = problem("normal, softmax gate")
    params = start_from(model, rows, soft_labels(rows.gate_design[:, 1] > 0))
    found = run(mixture(Reckless(length=length)), rows, params, n_plain_iter=10**6, max_iter=30)
    assert not found.line_search_failed
    assert min(np.diff(found.lower_bounds)) > -1e-10
    assert found.lower_bounds[-1] > found.lower_bounds[0]


def test_experts_that_lower_the_likelihood_end_the_run():
    model, rows, params = problem("normal, constant gate")
    found = run(mixture(ConstantGate(), Sinking()), rows, params)
    assert found.line_search_failed
    assert not found.converged
    before = run(model, rows, params, max_iter=0)
    assert found.lower_bounds == before.lower_bounds
    assert_array_equal(flat(found.params), flat(params))


@dataclass(frozen=True)
class Floored(LinearExperts):
    """Experts whose variances must not be evaluated below 0.02."""

    alpha: float = 1e-6
    variance_floor: tuple = (0.02,)
    dispersion_prior: float = 0.0

    def log_prob(self, params, design, y):
        assert params.log_dispersion.min() >= np.log(0.02) - 1e-12
        return super().log_prob(params, design, y)


def test_extrapolated_parameters_are_valid():
    """The variance of a regime without noise falls fast towards its floor."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 1))
    y = np.where(X[:, 0] > 0, 2.0 * X[:, 0], -X[:, 0] + 0.3 * rng.normal(size=120))
    rows, model = dataset(X, y[None]), mixture(experts=Floored())
    params = start_from(model, rows, soft_labels(X[:, 0] > 0, certainty=0.9), 1)
    found = run(model, rows, params, n_plain_iter=0, tol=1e-10)
    assert_allclose(np.exp(found.params.experts.log_dispersion).min(), 0.02)


class CountingGate(SoftmaxGate):
    """A gate that counts its Hessians."""

    def hessian(self, params, design, resp, log_prob):
        self.counts.append(1)
        return super().hessian(params, design, resp, log_prob)


def test_curvatures_are_kept_for_several_iterations_after_the_first():
    _, rows, params = problem("normal, softmax gate")
    n_hessians, counted = [], []
    gate = CountingGate()
    object.__setattr__(gate, "counts", counted)

    def observe(n_iter, state):
        n_hessians.append(len(counted))
        return False

    run(mixture(gate), rows, params, n_plain_iter=10**6, max_iter=20, tol=0.0, observe=observe)
    assert n_hessians[:3] == [2, 3, 4]  # one of the start
    assert n_hessians[-1] - n_hessians[2] <= 3


# --- observers, threads, blocks and continuation ------------------------------------------------


def test_an_observer_can_end_a_run():
    heard = []

    def observe(n_iter, state):
        heard.append((n_iter, len(state.lower_bounds)))
        return n_iter == 4

    found = run(*problem("normal, softmax gate"), observe=observe)
    assert heard == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert found.stopped
    assert not found.converged


class Witness(LinearExperts):
    """Experts that write down the threads by which they are evaluated."""

    def log_prob(self, params, design, y):
        self.threads.add(threading.get_ident())
        return super().log_prob(params, design, y)


@pytest.mark.parametrize(("n_features", "uses_threads"), [(2, False), (63, True)])
def test_threads_change_no_bit(n_features, uses_threads):
    """They are used where coefficients are many, and not to read streams."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, n_features))
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.1 * rng.normal(size=200)
    experts = Witness(alpha=1.0)
    object.__setattr__(experts, "threads", set())
    rows, model = dataset(X, y[None]), mixture(experts=experts)
    params = start_from(model, rows, soft_labels(X[:, 1] > 0))
    options = {"max_iter": 8, "tol": 0.0, "n_plain_iter": 2, "block_rows": 50}
    alone = run(model, rows, params, **options)
    assert experts.threads == {threading.get_ident()}
    together = run(model, rows, params, n_threads=3, **options)
    assert (len(experts.threads) > 1) == uses_threads
    assert alone.lower_bounds == together.lower_bounds
    assert_array_equal(flat(alone.params), flat(together.params))


@pytest.mark.parametrize("name", MODELS)
def test_blocks_of_rows_change_a_run_by_round_off(name):
    given = problem(name)
    whole, parts = (run(*given, block_rows=n, tol=0.0, max_iter=6) for n in (10**6, 37))
    # Some curvatures have single precision, which the length of a step inherits.
    assert_allclose(parts.lower_bounds, whole.lower_bounds, atol=1e-5)


@pytest.mark.parametrize("name", ["normal, softmax gate", "classes, softmax gate", "balance"])
def test_a_run_that_goes_on_ends_at_the_same_maximum(name):
    given = problem(name)
    whole = run(*given, max_iter=2000, tol=1e-11)
    for n_first in (1, 4, 11):
        first = run(*given, max_iter=n_first, tol=0.0)
        rest = run(*given, previous=first.continuation, max_iter=2000, tol=1e-11)
        assert rest.lower_bounds[:n_first] == first.lower_bounds
        assert min(np.diff(rest.lower_bounds)) > -1e-10
        assert_allclose(rest.lower_bound, whole.lower_bound, atol=1e-8)


def test_a_run_that_has_converged_makes_no_further_iteration():
    given = problem("normal, softmax gate")
    first = run(*given, tol=1e-4)
    again = run(*given, tol=1e-4, previous=first.continuation)
    assert first.converged
    assert again.converged
    assert again.lower_bounds == first.lower_bounds
    stricter = run(*given, tol=1e-10, previous=first.continuation)
    assert len(stricter.lower_bounds) > len(first.lower_bounds)


def test_e_step_of_the_parameters_has_the_bound_of_the_run():
    model, rows, params = problem("normal, softmax gate")
    found = run(model, rows, params, max_iter=3, tol=0.0)
    total = e_step_block(model, found.params, False, rows).log_likelihood
    total -= model.gate.penalty(found.params.gate) + model.experts.penalty(found.params.experts)
    assert_allclose(found.lower_bound, total / rows.weight.sum(), rtol=1e-12)
