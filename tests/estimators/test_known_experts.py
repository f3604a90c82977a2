"""Experts that are known for some rows: their numbers and likelihood, paths of fits, refusals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from properties.small_fits import N, problem, statements
from support.expert_kinds import KINDS_OF_FITS
from support.fits import (
    ALL_CASES,
    KNOWN,
    KNOWN_OF_UNITS,
    OTHER_CASES,
    REGIMES,
    UNITS,
    X,
    Y,
    fit_quietly,
    fitted_case,
    regressor,
)

KNOWN_CASES = [case for case in OTHER_CASES if "known_experts" in OTHER_CASES[case][2]]
# All fits to which experts can be known.
PLAIN_CASES = [f"{name}-{task}" for name, task in KINDS_OF_FITS]
PLAIN_CASES += ["softmax gate", "constant gate", "trees", "outputs"]
PLAIN_CASES += ["joint outputs", "balance", "shared noise", "shared slopes", "signs", "units"]
PLAIN_CASES += ["dispersion features", "found penalties", "weights", "base"]


def plain_arguments(case):
    """The first rows of a case, and what is known of them."""
    given = {name: values[:N] for name, values in ALL_CASES[case][2].items()}
    known = KNOWN_OF_UNITS if "units" in given else KNOWN
    known = np.where(known < 0, -1, known % ALL_CASES[case][0].n_experts)
    return (X[:N], ALL_CASES[case][1][:N]), given, known[:N]


def joint_of(case, **given):
    """Log densities of rows, or units, and responsibilities."""
    moe, y = fitted_case(case), ALL_CASES[case][1]
    resp = moe.responsibilities(X, y, **given)
    return moe.score_samples(X, y, **given), getattr(resp, "proba", resp)


# --- what is known ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "trees", "units"])
def test_nothing_known_is_the_same_fit(case):
    data, given, _ = plain_arguments(case)
    plain, units = problem(case).fit, problem(case).units
    other = fit_quietly(clone(plain), *data, known_experts=np.full(N, -1), **given)
    assert_array_equal(statements(other, **units), statements(plain, **units))
    assert not hasattr(other, "n_known_")


@pytest.mark.parametrize("case", PLAIN_CASES)
def test_known_rows_are_of_their_expert(case):
    (features, y), given, known = plain_arguments(case)
    n_experts = problem(case).fit.n_experts
    moe = fit_quietly(clone(problem(case).fit), features, y, known_experts=known, **given)
    units = problem(case).units
    resp = moe.responsibilities(features, y, known_experts=known, **units)
    if units:
        resp, known = resp.proba, known[::2]
    assert_allclose(resp[known >= 0], np.eye(n_experts)[known[known >= 0]])
    gains = np.diff(moe.lower_bounds_)
    assert (gains >= -1e-9 * (1.0 + np.abs(moe.lower_bound_))).all()


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "trees", "units"])
def test_flags_of_possible_experts_say_what_numbers_say(case):
    data, given, known = plain_arguments(case)
    flags = (known[:, None] == np.arange(problem(case).fit.n_experts)) | (known < 0)[:, None]
    by_numbers, by_flags = (
        fit_quietly(clone(problem(case).fit), *data, known_experts=form, **given)
        for form in (known, flags)
    )
    units = problem(case).units
    assert_array_equal(statements(by_numbers, **units), statements(by_flags, **units))


@pytest.mark.parametrize("case", KNOWN_CASES)
def test_the_likelihood_of_a_known_row_is_that_of_its_expert(case):
    given = dict(ALL_CASES[case][2])
    known = given.pop("known_experts")
    plain, resp = joint_of(case, **given)
    informed, _ = joint_of(case, known_experts=known, **given)
    known = known[::2] if "units" in given else known
    assert fitted_case(case).n_known_ == (known >= 0).sum()
    share = np.where(known < 0, 1.0, resp[np.arange(len(known)), known])
    assert_allclose(informed, plain + np.log(share), atol=1e-9)


def test_a_unit_is_known_by_one_of_its_rows():
    moe, y, given = ALL_CASES["known experts of units"]
    known = np.where(np.arange(len(X)) % 2, given["known_experts"], -1)
    other = fit_quietly(clone(moe), X, y, units=UNITS, known_experts=known)
    same = fitted_case("known experts of units")
    assert_array_equal(other.predict_gate(X, units=UNITS), same.predict_gate(X, units=UNITS))


def test_all_known_rows_are_separate_fits():
    moe = regressor(alpha=1e-9, gate_alpha=1e-9, dispersion_prior=0.0)
    moe.fit(X, Y, known_experts=REGIMES)
    for k in range(3):
        own = k == REGIMES
        design = np.column_stack([X[own], np.ones(own.sum())])
        coef, (square,), *_ = np.linalg.lstsq(design, Y[own], rcond=None)
        assert_allclose(moe.expert_coef_[k], coef[:2], atol=1e-6)
        assert_allclose(moe.noise_variance_[k], square / own.sum(), rtol=1e-6)
    labels = fit_quietly(
        regressor(gate_alpha=1.0), X, Y, known_experts=np.where(X[:, 1] > 0, REGIMES, 1)
    )
    logit = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-10)
    logit.fit((X - X.mean(axis=0)) / X.std(axis=0), np.where(X[:, 1] > 0, REGIMES, 1))
    expected = logit.predict_proba((X - X.mean(axis=0)) / X.std(axis=0))
    assert_allclose(labels.predict_gate(X), expected, atol=1e-4)


# --- paths of fits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"init": "search", "n_init": 1, "max_iter": 2},
        {"alpha": "auto", "gate_alpha": "ard"},
        {"init": "kmeans", "n_init": 1},
        {"init": "linear_tree", "n_init": 1},
        {"init": "random", "n_init": 3},
    ],
)
def test_few_known_rows_keep_the_numbers(options):
    known = np.where(np.arange(120) % 10 == 0, REGIMES[:120], -1)
    moe = fit_quietly(regressor(**options), X[:120], Y[:120], known_experts=known)
    own = moe.responsibilities(X, Y).argmax(axis=1)
    assert (own == REGIMES).mean() > 0.8


@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_a_number_is_selected_among_those_that_have_all_known_experts(criterion):
    moe = fit_quietly(regressor(n_experts=criterion), X, Y, known_experts=KNOWN)
    assert moe.n_experts_tried_[0] == 3
    assert (moe.responsibilities(X, Y).argmax(axis=1) == REGIMES).mean() > 0.8


def test_a_warm_start_continues_with_the_numbers_that_were_seen():
    moe = fit_quietly(regressor(max_iter=500, warm_start=True), X, Y)
    before = moe.predict_gate(X)
    seen = moe.responsibilities(X, Y).argmax(axis=1)
    fit_quietly(moe, X, Y, known_experts=np.where(KNOWN >= 0, seen, -1))
    assert_allclose(moe.predict_gate(X), before, atol=0.1)
    again = moe.predict_gate(X)
    fit_quietly(moe, X, Y)
    assert_allclose(moe.predict_gate(X), again, atol=0.1)


def test_a_stream_keeps_the_numbers():
    rng = np.random.default_rng(0)
    moe, plain = regressor(), regressor()
    for _ in range(12):
        features = rng.normal(size=(100, 2))
        regime = np.select([features[:, 0] < -0.85, features[:, 0] < 0.5], [1, 2], 0)
        slopes = np.array([[0.0, 0.0], [0.0, -1.0], [0.0, 2.0]])[regime]
        y = np.array([-1.0, 1.0, 0.0])[regime] + (slopes * features).sum(axis=1)
        y = y + 0.2 * rng.normal(size=100)
        moe.partial_fit(features, y, known_experts=np.where(np.arange(100) < 20, regime, -1))
        plain.partial_fit(features, y, known_experts=np.full(100, -1))
    assert moe.n_known_ == 240
    assert not hasattr(plain, "n_known_")
    assert (moe.responsibilities(X, Y).argmax(axis=1) == REGIMES).mean() > 0.8


def test_few_known_rows_of_many_number_the_experts():
    """Starts on a sample of the rows see them."""
    X, y, regime = overlapping(30_000)
    known = np.where(np.arange(len(y)) % 1500 == 0, regime, -1)
    moe = regressor(n_experts=2, n_init=1)
    moe = fit_quietly(moe, X, y, known_experts=known)
    assert_allclose(moe.expert_coef_.ravel(), [-1.0, 1.0], atol=0.2)


def overlapping(n_rows, seed=0):
    """Two regressions that cross, of which the rows of each are hard to see."""
    rng = np.random.default_rng(seed)
    X, regime = rng.normal(size=(n_rows, 1)), rng.integers(2, size=n_rows)
    y = np.where(regime == 1, 1.0, -1.0) * X[:, 0] + rng.normal(size=n_rows)
    return X, y, regime
