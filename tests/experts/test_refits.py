"""When experts that are estimators are refitted, and when a refit is kept: a simulation of EM."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from skmoe.experts._cross_fitted import CrossFittedExperts, FirstValues, Fits, Learned
from skmoe.families import Normal
from support.expert_kinds import draw, example
from support.mixtures import raw_data

N_ROWS, N_EXPERTS = 60, 3
FOLD = np.arange(N_ROWS) % 3

# Changes of the responsibilities of an expert, relative to their sum, above which it is refitted,
# and above which it is if it waits; and the last change of all, relative to that since their fits,
# below which they have settled.
REFIT, REFIT_OF_WAITING, SETTLED = 0.01, 0.05, 0.05

# Of the noise: rows of its prior, scales of the prior, and floor.
PRIOR, SCALE, FLOOR = 4.0, np.array([0.8, 1.3]), 0.05


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


def make_turns(n_outputs, seed, n_turns=12):
    """A target, predictions of each turn and expert, and responsibilities that change and rest."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n_outputs, N_ROWS))
    spread = rng.uniform(0.2, 1.5, size=(N_EXPERTS, n_turns, 1, 1))
    spread[:, 0] = 1.6  # later fits can be better
    values = y + spread * rng.normal(size=(N_EXPERTS, n_turns, n_outputs, N_ROWS))
    resp = rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T
    all_resp = []
    for kind in rng.choice(["same", "little", "one", "new"], size=n_turns):
        other = rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T
        if kind in ("little", "new"):
            resp = resp + (0.005 if kind == "little" else 1.0) * (other - resp)
        elif kind == "one":  # the last expert keeps its rows
            both = resp[0] + resp[1]
            resp = np.stack([0.8 * resp[0], both - 0.8 * resp[0], resp[2]])
        all_resp.append(resp)
    return y, values, all_resp


def noise_of(predictions, y, resp, shared):
    """Noise variances (K, m) of greatest likelihood with an inverse-gamma prior."""
    squares = np.einsum("kmn,kn->km", np.square(y - predictions), resp)
    mass = resp.sum(axis=1, keepdims=True)
    if shared:
        squares, mass = np.tile(squares.sum(axis=0), (N_EXPERTS, 1)), mass.sum()
    return np.maximum((squares + PRIOR * SCALE[: len(y)]) / (mass + PRIOR), FLOOR)


def objective(k, prediction, y, resp, shared):
    """Log-likelihood of an expert less the penalty of its variances, of which shared ones stay."""
    variance = shared
    if variance is None:
        variance = noise_of(prediction[None], y, resp[None], False)[[0] * N_EXPERTS]
    logs = stats.norm.logpdf(y, prediction, np.sqrt(variance[k])[:, None])
    ratio = variance[k] / SCALE[: len(y)]
    return logs.sum(axis=0) @ resp - 0.5 * PRIOR * (np.log(ratio) + 1.0 / ratio).sum()


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
    y, values, all_resp = make_turns(n_outputs, seed)
    scripts = [Script(own) for own in values]
    estimators = tuple(map(Scripted, scripts))
    fits = Fits(estimators, np.zeros((N_EXPERTS, 3), dtype=int), ({},) * N_EXPERTS)
    zeros, ones = np.zeros((n_outputs, 1)), np.ones(n_outputs)
    outputs = FirstValues(Normal(), [zeros[0]] * n_outputs, ones, FLOOR * ones, zeros)
    penalties = {"dispersion_prior": PRIOR, "noise_variance": tuple(SCALE[:n_outputs])}
    experts = CrossFittedExperts(fits, outputs, penalties, shared)
    data = raw_data(np.arange(N_ROWS)[:, None] * 1.0, y, FOLD if cross_fit else None)
    theta, variance = experts.start, np.ones((N_EXPERTS, n_outputs))
    model_turn = [None] * N_EXPERTS  # of the model of each expert
    at_fit, last = np.full((N_EXPERTS, N_ROWS), -1.0), None
    waits, kept = [False] * N_EXPERTS, []
    for turn, resp in enumerate(all_resp):
        change = np.abs(resp - at_fit).sum(axis=1)
        settled = last is not None and np.abs(resp - last).sum() <= SETTLED * change.sum()
        for k, script in enumerate(scripts):
            script.turn = turn
            due = change[k] > (REFIT_OF_WAITING if waits[k] else REFIT) * resp[k].sum()
            if not due or (waits[k] and not settled):
                continue
            at_fit[k], before = resp[k], model_turn[k]
            is_better = (
                before is not None
                and np.subtract(
                    *(
                        objective(k, values[k, t], y, resp[k], variance if shared else None)
                        for t in (turn, before)
                    )
                )
                >= 0.0
            )
            waits[k] = cross_fit and not is_better
            kept.append(is_better)
            if before is None or is_better:
                model_turn[k] = turn
        predictions = np.stack([values[k, model_turn[k]] for k in range(N_EXPERTS)])
        variance, last = noise_of(predictions, y, resp, shared), resp
        experts, theta = experts.refitted(theta, data, resp)
        models = experts.learned.models
        assert_array_equal([own[0].turn_ for own in models], model_turn)
        assert {len(own) for own in models} == {3 if cross_fit else 1}
        assert_allclose(np.exp(theta[experts.scale_index]), variance, rtol=1e-6)
        ratio = variance / SCALE[:n_outputs]
        penalties = 0.5 * PRIOR * (np.log(ratio) + 1.0 / ratio).sum(axis=1)
        expected = penalties[0] if shared else penalties.sum()
        assert_allclose(experts.prior.penalty(theta), expected, rtol=1e-6)
        at_floor = (variance <= FLOOR).any(axis=1)
        assert_array_equal(experts.dispersion_at_bound(theta), at_floor)
    assert set(kept) == {True, False}
    # Each fit is on the rows of the other folds, with their responsibilities as weights.
    for k, script in enumerate(scripts):
        for i, (turn, rows, target, weight) in enumerate(script.fits):
            assert not cross_fit or (FOLD[rows] != i % 3).all()
            assert_allclose(weight, all_resp[turn][k, rows])
            assert_allclose(target.reshape(len(rows), -1).T, y[:, rows])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["gamma", "student_t", "negative_binomial"])
def test_dispersions_maximise_the_penalised_likelihood_from_any_start(name, shared):
    rng, family = np.random.default_rng(5), example(name)
    y = draw(name, 1.0 + rng.normal(size=200), rng, (0.2, 5.0))[None]
    mean = np.exp(1.0 + 0.3 * rng.normal(size=(2, 1, 200)))
    resp = rng.dirichlet([1.0, 1.0], size=200).T
    fits = Fits((Scripted(),) * 2, np.zeros((2, 1), dtype=int), ({},) * 2)
    start = [family.start(y[0], np.ones(200))[1:]]
    outputs = FirstValues(family, start, np.ones(1), np.array([1e-6]), np.ones((1, 1)))
    penalties = {"dispersion_prior": 40.0 * family.has_scale, "noise_variance": (0.1,)}
    experts = CrossFittedExperts(fits, outputs, penalties, shared)
    experts = experts.changed(learned=Learned((), mean, np.zeros((2, 200))))
    data, found = raw_data(np.zeros((200, 1)), y), []
    for fraction in (0.02, 0.5, 0.98):
        start = experts.lower + fraction * (experts.upper - experts.lower)
        best, value = experts.with_best_dispersions(start, data, resp, 200)
        found.append(value.sum())
        for coordinate in range(len(experts.first)):
            for change in (1e-3, -1e-3):
                moved = np.where(experts.free == coordinate, best + change, best)
                moved = np.clip(moved, experts.lower, experts.upper)
                other = experts.with_best_dispersions(moved, data, resp, 0)[1]
                assert other.sum() <= value.sum() + 1e-9
    assert_allclose(found, found[0], rtol=1e-8)
