"""When experts that are estimators are refitted, and when a refit is kept: a simulation of EM."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from skmoe._data.rows import Dataset, RawFeatures
from skmoe._mixture.data import Data
from skmoe.experts._cross_fitted import CrossFittedExperts, FirstValues, Fits
from skmoe.families import Normal

N_ROWS, N_EXPERTS = 60, 3
FOLD = np.arange(N_ROWS) % 3

# Changes of the responsibilities of an expert, relative to their sum, above which it is refitted,
# and above which it is if it waits; and the last change of all, relative to that since their fits,
# below which they have settled.
REFIT, REFIT_OF_WAITING, SETTLED = 0.01, 0.05, 0.05


class Script:
    """What the fits of each turn predict for each row, and what they were given."""

    def __init__(self, values):
        self.values, self.turn, self.fits = values, 0, []

    def __deepcopy__(self, memo):
        return self


class Scripted(RegressorMixin, BaseEstimator):
    """Predicts what its script has for the turn of its fit; the first column numbers the rows."""

    def __init__(self, script=None):
        self.script = script

    def fit(self, X, y, sample_weight=None):
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        self.turn_ = self.script.turn
        self.script.fits.append((self.turn_, X[:, 0].astype(int), y, weight))
        return self

    def predict(self, X):
        return self.script.values[self.turn_][:, X[:, 0].astype(int)].T


def make_turns(n_turns, n_outputs, seed):
    """A target, predictions of each turn and expert, and responsibilities that change and rest."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n_outputs, N_ROWS))
    spread = rng.uniform(0.2, 1.5, size=(N_EXPERTS, n_turns, 1, 1))
    spread[:, 0] = 1.6  # later fits can be better
    values = y + spread * rng.normal(size=(N_EXPERTS, n_turns, n_outputs, N_ROWS))
    resp = rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T
    all_resp = []
    for _ in range(n_turns):
        kind = rng.choice(["same", "little", "one", "new"])
        other = rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T
        if kind == "new":
            resp = other
        elif kind == "little":
            resp = 0.995 * resp + 0.005 * other
        elif kind == "one":  # the last expert keeps its rows
            both = resp[0] + resp[1]
            resp = np.stack([0.8 * resp[0], both - 0.8 * resp[0], resp[2]])
        all_resp.append(resp)
    return y, values, all_resp


class Noise:
    """Noise variances with an inverse-gamma prior, of each expert or in common."""

    def __init__(self, n_outputs, shared):
        self.prior, self.shared = 4.0, shared
        self.scale = np.array([0.8, 1.3])[:n_outputs]
        self.floor = np.full(n_outputs, 0.05)

    def estimates(self, predictions, y, resp):
        """Those of greatest penalised likelihood, (K, m)."""
        squares = np.einsum("kmn,kn->km", np.square(y - predictions), resp)
        mass = resp.sum(axis=1, keepdims=True)
        if self.shared:
            squares, mass = np.tile(squares.sum(axis=0), (N_EXPERTS, 1)), mass.sum()
        found = (squares + self.prior * self.scale) / (mass + self.prior)
        return np.maximum(found, self.floor)

    def objective(self, k, prediction, y, resp, variance):
        """Log-likelihood of an expert less the penalty of its variances."""
        if not self.shared:
            others = np.tile(prediction, (N_EXPERTS, 1, 1))
            variance = self.estimates(others, y, np.tile(resp, (N_EXPERTS, 1)))
        logs = stats.norm.logpdf(y, prediction, np.sqrt(variance[k])[:, None])
        ratio = variance[k] / self.scale
        penalty = 0.5 * self.prior * (np.log(ratio) + 1.0 / ratio).sum()
        return logs.sum(axis=0) @ resp - penalty


@pytest.mark.parametrize(
    ("cross_fit", "shared", "n_outputs", "seed"),
    [
        (True, False, 1, 0),
        (True, True, 1, 1),
        (True, False, 2, 2),
        (True, True, 2, 3),
        (False, False, 1, 0),
        (False, True, 2, 2),
    ],
)
def test_refits_are_kept_where_they_do_not_lower_the_objective(cross_fit, shared, n_outputs, seed):
    """A simulation of all turns has the same models, noise and densities."""
    y, values, all_resp = make_turns(12, n_outputs, seed)
    scripts, noise = [Script(own) for own in values], Noise(n_outputs, shared)
    fits = Fits(
        tuple(Scripted(script) for script in scripts),
        np.zeros((N_EXPERTS, 3), dtype=int),
        ({},) * N_EXPERTS,
    )
    zeros, ones = np.zeros(n_outputs), np.ones(n_outputs)
    outputs = FirstValues(Normal(), [zeros[:1]] * n_outputs, ones, noise.floor, zeros[:, None])
    penalties = {"dispersion_prior": noise.prior, "noise_variance": tuple(noise.scale)}
    experts = CrossFittedExperts(fits, outputs, penalties, shared)
    features = RawFeatures(np.arange(N_ROWS)[:, None] * 1.0, FOLD if cross_fit else None)
    data = Data(Dataset(np.ones((N_ROWS, 1)), features, y, np.ones(N_ROWS)))
    theta = experts.start
    variance = np.ones((N_EXPERTS, n_outputs))
    model_turn = [None] * N_EXPERTS  # of the model of each expert
    at_fit = [np.full(N_ROWS, -1.0)] * N_EXPERTS
    waits, last, kept = [False] * N_EXPERTS, None, []
    for turn, resp in enumerate(all_resp):
        for script in scripts:
            script.turn = turn
        change = np.array([np.abs(resp[k] - at_fit[k]).sum() for k in range(N_EXPERTS)])
        settled = last is not None and np.abs(resp - last).sum() <= SETTLED * change.sum()
        for k in range(N_EXPERTS):
            due = change[k] > REFIT * resp[k].sum()
            if waits[k]:
                due = due and settled and change[k] > REFIT_OF_WAITING * resp[k].sum()
            if not due:
                continue
            at_fit[k] = resp[k]
            is_better = model_turn[k] is not None and (
                noise.objective(k, values[k, turn], y, resp[k], variance)
                >= noise.objective(k, values[k, model_turn[k]], y, resp[k], variance)
            )
            waits[k] = cross_fit and not is_better
            kept.append(is_better)
            if model_turn[k] is None or is_better:
                model_turn[k] = turn
        predictions = np.stack([values[k, model_turn[k]] for k in range(N_EXPERTS)])
        variance, last = noise.estimates(predictions, y, resp), resp
        experts, theta = experts.refitted(theta, data, resp)
        models = experts.learned.models
        assert_array_equal([own[0].turn_ for own in models], model_turn)
        assert {len(own) for own in models} == {3 if cross_fit else 1}
        assert_allclose(np.exp(theta[experts.scale_index]), variance, rtol=1e-6)
        ratio = variance / noise.scale
        penalties = 0.5 * noise.prior * (np.log(ratio) + 1.0 / ratio).sum(axis=1)
        expected = penalties[0] if shared else penalties.sum()
        assert_allclose(experts.prior.penalty(theta), expected, rtol=1e-6)
        at_floor = (variance <= noise.floor).any(axis=1)
        assert_array_equal(experts.dispersion_at_bound(theta), at_floor)
    assert set(kept) == {True, False}
    # Each fit is on the rows of the other folds, with their responsibilities as weights.
    for k, script in enumerate(scripts):
        for i, (turn, rows, target, weight) in enumerate(script.fits):
            expected = np.flatnonzero(i % 3 != FOLD) if cross_fit else np.arange(N_ROWS)
            assert set(rows) <= set(expected)
            assert_allclose(weight, all_resp[turn][k, rows])
            assert_allclose(target.reshape(len(rows), -1).T, y[:, rows])
