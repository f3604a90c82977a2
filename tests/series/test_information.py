"""Standard errors of series are those of numerical derivatives of their log-likelihood."""

import re
import warnings
from functools import cache, cached_property

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from scipy.stats import norm

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import MarkovGate
from support.fits import fit_quietly
from support.series import (
    PLAIN,
    Chain,
    chain_of,
    regressor,
    rows_of_series,
    table,
    with_holes,
)

STEP, SEED = 1e-4, 3
# Series that are short, cut into pieces, with holes, and with weights and three regimes.
KINDS = ("short", "long", "missing y", "weights", "three regimes", "constant transitions")
KINDS += ("stationary", "stationary, three regimes")


class Problem:
    """A fit to the maximum of its likelihood, and this as a function of the listed coefficients."""

    def __init__(self, kind):
        self.n_experts = 3 if "three regimes" in kind else 2
        self.is_stationary = kind.startswith("stationary")
        sizes = (230, 15, 20, 60) if kind == "long" else (60, 50, 45, 40, 35, 30, 25, 20, 15, 10)
        self.data = table(sizes, self.n_experts, seed=SEED)
        self.y = with_holes(self.data.y) if kind == "missing y" else self.data.y
        self.given = dict(self.data.series)
        self.weight = np.ones(len(self.y))
        if kind == "weights":
            self.weight = 1.0 + np.isin(self.data.units, ["u1", "u3"])
            self.given["sample_weight"] = self.weight
        options = {"gate_features": []} if kind == "constant transitions" else {}
        if self.is_stationary:
            options = {"gate_features": [], "gate": MarkovGate(initial="stationary")}
        self.moe = regressor(self.n_experts, **PLAIN | options)
        fit_quietly(self.moe, self.data.X, self.y, **self.given)
        self.inference = self.moe.inference(self.data.X, self.y, **self.given)
        self.names = self.moe.expert_names_

    def chains(self, thetas):
        """Chains of vectors of coefficients (M, D) in the order of the terms, with an axis more."""
        values = dict(zip(map(tuple, self.inference.terms), thetas.T[..., None], strict=True))
        K, X, nothing = self.n_experts, self.data.X, np.zeros((len(thetas), 1))
        logs, logits = np.zeros((len(thetas), len(X), K)), np.zeros((len(thetas), len(X), K, K))
        initial = np.zeros((len(thetas), K))
        for k, name in enumerate(self.names):
            mean = values[name, "", "(Intercept)"] + values[name, "", "x1"] * X[:, 1]
            std = np.exp(0.5 * values[name, "", "log(noise variance)"])
            logs[..., k] = norm.logpdf(np.nan_to_num(self.y), mean, std)
            initial[:, k] = values.get(("first rows", name, "(Intercept)"), nothing)[:, 0]
            for j, other in enumerate(self.names):
                part = f"transitions from {name}", other
                slope = values.get((*part, "x0"), nothing)
                logits[..., k, j] = values.get((*part, "(Intercept)"), nothing) + slope * X[:, 0]
        logs[:, np.isnan(self.y)] = 0.0
        initial, moves = softmax(initial, axis=1), softmax(logits, axis=3)
        if self.is_stationary:  # what a thousand transitions lead to
            initial = np.linalg.matrix_power(moves[:, 0], 1000)[:, 0]
        return Chain(initial, moves, logs)

    def log_likelihoods(self, thetas):
        """Of each series, times its weight, (M, n_series)."""
        chain, found = self.chains(thetas), []
        for rows in rows_of_series(self.data.units, self.data.time).values():
            state, total = chain.initial, 0.0
            for place, row in enumerate(rows):
                if place:
                    state = np.einsum("mj,mjk->mk", state, chain.moves[:, row])
                state = state * np.exp(chain.logs[:, row])
                scale = state.sum(axis=1)
                state, total = state / scale[:, None], total + np.log(scale)
            found.append(self.weight[rows[0]] * total)
        return np.stack(found, axis=1)

    @cached_property
    def theta(self):
        return np.array(self.inference.estimates)

    @cached_property
    def scores(self):
        """Gradients of the log-likelihood of each series, (n_series, n_terms)."""
        units = STEP * np.eye(len(self.theta))
        ends = [self.log_likelihoods(self.theta + sign * units) for sign in (1.0, -1.0)]
        return (ends[0] - ends[1]).T / (2.0 * STEP)

    @cached_property
    def hessian(self):
        size = len(self.theta)
        units = STEP * np.eye(size)
        i, j = np.tril_indices(size)
        one, other = units[i], units[j]
        shifts = [one + other, -one - other, one - other, other - one]
        ends = [self.log_likelihoods(self.theta + shift).sum(axis=1) for shift in shifts]
        found = np.zeros((size, size))
        found[i, j] = found[j, i] = (ends[0] + ends[1] - ends[2] - ends[3]) / (4.0 * STEP**2)
        return found


problem = cache(Problem)


@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_are_those_of_numerical_derivatives(kind):
    own = problem(kind)
    assert all(not reason for reason in own.inference.reasons)
    expected = np.linalg.inv(-own.hessian)
    errors = np.sqrt(expected.diagonal())
    assert_allclose(own.inference.standard_errors, errors, rtol=1e-3)
    assert_allclose(
        own.inference.covariance / np.outer(errors, errors),
        expected / np.outer(errors, errors),
        atol=2e-3,
    )
    # The coefficients are at the maximum, to small fractions of their errors.
    assert (np.abs(own.scores.sum(axis=0) * errors) < 1e-4).all()


@pytest.mark.parametrize("kind", ["short", "missing y", "weights"])
def test_sandwich_is_that_of_independent_series(kind):
    own = problem(kind)
    found = own.moe.inference(own.data.X, own.y, method="sandwich", **own.given)
    scores, weight = own.scores, np.ones(len(own.scores))
    if kind == "weights":  # copies of a series are independent
        units = rows_of_series(own.data.units, own.data.time).values()
        weight = np.array([own.weight[rows[0]] for rows in units])
    inverse = np.linalg.inv(-own.hessian)
    expected = inverse @ (scores.T / weight @ scores) @ inverse
    factors = found.standard_errors**2 / expected.diagonal()
    # But for a correction of the number of series.
    assert_allclose(factors, factors[0], rtol=2e-3)
    assert 1.0 - 1e-3 < factors[0] < 1.5


def test_clusters_hold_series():
    own = problem("short")
    cluster = np.isin(own.data.units, ["u0", "u1", "u2"]) + 2 * (own.data.units == "u3")
    found = own.moe.inference(own.data.X, own.y, method="sandwich", cluster=cluster, **own.given)
    labels = [cluster[rows[0]] for rows in rows_of_series(own.data.units, own.data.time).values()]
    scores = np.stack([own.scores[np.array(labels) == c].sum(axis=0) for c in range(3)])
    inverse = np.linalg.inv(-own.hessian)
    expected = (inverse @ (scores.T @ scores) @ inverse).diagonal()
    factors = found.standard_errors**2 / expected
    assert_allclose(factors, factors[0], rtol=1e-2)


@pytest.mark.parametrize("kind", ["missing y", "weights"])
def test_bootstrap_draws_paths_of_series(kind):
    own = problem(kind)
    found, few = (
        own.moe.inference(
            own.data.X, own.y, method="bootstrap", n_bootstrap=n, random_state=0, **own.given
        )
        for n in (12, 2)
    )
    assert_allclose(few.replicates, found.replicates[:2])
    ratio = found.standard_errors / own.inference.standard_errors
    # Refits whose series all begin with one expert have none of the other.
    others = [term.part != "first rows" for term in found.terms]
    assert ((ratio[others] > 0.6) & (ratio[others] < 1.7)).all()
    bias = (found.replicates.mean(axis=0) - own.theta) / own.inference.standard_errors
    assert (np.abs(bias[others]) < 1.0).all()


def test_expected_durations_have_intervals_of_the_log_odds_of_leaving():
    own = problem("constant transitions")
    text = str(own.moe.summary(own.data.X, own.y, **own.given))
    for k, name in enumerate(own.names):
        stays = own.moe.transition_matrix_[k, k]
        number = next(
            i for i, t in enumerate(own.inference.terms) if t.part == f"transitions from {name}"
        )
        estimate, error = own.inference.estimates[number], own.inference.standard_errors[number]
        assert np.exp(-estimate) == pytest.approx(stays / (1.0 - stays), rel=1e-6)
        low, high = 1.0 + np.exp(-estimate + 1.959964 * error * np.array([-1.0, 1.0]))
        numbers = re.search(rf"{name} .*\n  lasts ([\d.]+) rows .* ([\d.]+) to ([\d.]+)\)", text)
        assert_allclose(
            [*map(float, numbers.groups())], [1.0 / (1.0 - stays), low, high], rtol=5e-3
        )


def test_durations_of_regimes_that_features_separate_have_no_upper_end():
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(60, 2))
    y = np.where(X[:, 0] > 0, 5.0 + X[:, 1], -5.0 - X[:, 1]) + rng.normal(scale=0.3, size=60)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, gate="markov", gate_alpha=1e-8), X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = str(moe.summary(X, y))
    assert len(re.findall(r"lasts .* interval 1\.00 to inf\)", text)) == 2


def test_summary_names_the_regimes_that_follow_and_counts_rows_without_y():
    own = problem("three regimes")
    y = with_holes(own.y)
    moe = fit_quietly(regressor(3, n_init=4), own.data.X, y, **own.given)
    summary = moe.summary(own.data.X, y, **own.given)
    n_missing = np.isnan(y).sum()
    facts = {"series": "10", "rows": f"{len(y) - n_missing}", "rows without y": f"{n_missing}"}
    assert {name: summary.facts[name] for name in facts} == facts
    text = " ".join(str(summary).split())
    matrix, names = moe.transition_matrix_, moe.expert_names_
    for k in range(3):
        others = [j for j in np.argsort(-matrix[k]) if j != k]
        shares = 100.0 * matrix[k, others] / matrix[k, others].sum()
        nexts = " ".join(
            rf"{names[j]} \({s:.0f} %\),?" for j, s in zip(others, shares, strict=True)
        )
        expected = f"lasts {1.0 / (1.0 - matrix[k, k]):.3g}"
        assert re.search(rf"{names[k]} .*{expected}0? rows on average .*, then {nexts}", text), text


def test_listed_estimates_and_attributes_are_the_same_chain():
    own = problem("three regimes")
    ours, other = own.chains(own.theta[None]), chain_of(own.moe, own.data.X, own.y)
    for one, same in zip(ours, other, strict=True):
        assert_allclose(one[0], same, atol=1e-8)
