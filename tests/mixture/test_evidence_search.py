"""When the search of penalties within EM updates them, when it ends, and what an update is."""

import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset
from skmoe._mixture.model import MixtureModel, Params, Penalty
from skmoe._mixture.penalties import updated_penalties
from skmoe._mixture.steps import e_step
from skmoe._numerics import dispersion_prior as prior
from skmoe._numerics.evidence import DROPPED, PRIOR_COEFFICIENTS, SPARSITY_FACTOR
from skmoe.experts import EXPERTS, LinearExperts
from skmoe.gates import ConstantGate
from skmoe.protocols import Slopes
from support.fits import fit_quietly
from support.tables import crossing_lines

# --- when penalties are updated ---------------------------------------------------------------

X, Y = crossing_lines(100)
START = np.eye(2)[(X[:, 0] > 0).astype(int)]
DEFAULT = 0.1  # penalty of linear experts at which a search begins


class Scripted(LinearExperts):
    """Linear experts whose slopes make the search find given penalties in turn.

    Each slope is determined, and they are so large that the next penalty is found.
    """

    script: ClassVar[list[float]]
    updates: ClassVar[list[float]]

    def penalised_slopes(self, params, statistics, hessian):
        wanted = self.script[min(len(self.updates), len(self.script) - 1)]
        self.updates.append(self.alpha)
        print("update")
        n_slopes = params.coef[..., :-1].size
        expected = DEFAULT * (params.coef.shape[-1] - 1)
        squares = (n_slopes + PRIOR_COEFFICIENTS) / wanted - PRIOR_COEFFICIENTS / expected
        values = np.full(params.coef[:, 0, :-1].shape, np.sqrt(squares / n_slopes))
        tiny = np.tile(1e-12 * np.eye(values.shape[1]), (len(values), 1, 1))
        return {"alpha": Slopes(values, tiny, values * np.asarray(self.alpha))}


class Printed(NamedTuple):
    """A fit, its iterations before each update and after the last, and the penalties before."""

    fit: MixtureOfExpertsRegressor
    rounds: list[int]
    last: int
    alphas: list[float]


@pytest.fixture
def search(monkeypatch, capsys):
    """A function that fits experts whose penalties are found in turn."""

    def fitted(penalties, **options):
        experts = type("Experts", (Scripted,), {"script": penalties, "updates": []})
        monkeypatch.setitem(EXPERTS, "scripted", {"regressor": experts})
        options = {"tol": 1e-10, "init": START, "n_init": 1, "gate_alpha": 1.0} | options
        options["dispersion_prior"] = 10.0
        moe = MixtureOfExpertsRegressor(2, expert="scripted", alpha="auto", verbose=2, **options)
        capsys.readouterr()
        fit_quietly(moe, X, Y)
        # The first iterations are those of the start.
        lines = capsys.readouterr().out.splitlines()
        is_iteration = [re.match(r"  EM: +\d", line) is not None for line in lines]
        first = is_iteration.index(True)
        rounds = [0]
        for line, counts in zip(lines[first:], is_iteration[first:], strict=True):
            rounds[-1] += counts
            rounds += [0] * line.startswith("update")
        return Printed(moe, rounds[:-1], rounds[-1], experts.updates)

    return fitted


SETTLED = 0.05  # a penalty that stays after it was found


def test_rounds_become_longer_until_penalties_settle(search):
    found = search([0.01, 0.2, 0.02, 0.2, SETTLED, SETTLED])
    assert_allclose(found.alphas, [DEFAULT, 0.01, 0.2, 0.02, 0.2, SETTLED, SETTLED])
    assert 2 <= found.rounds[0] <= 5
    assert (np.diff(found.rounds[:6]) >= 0).all()
    assert found.rounds[5] > found.rounds[0]
    assert found.fit.alpha_ == pytest.approx(SETTLED)
    assert found.fit.converged_
    assert found.fit.n_iter_ == sum(found.rounds) + found.last


def test_small_changes_have_settled(search):
    """By a factor of at most 1.15 between rounds, and of 1.3 after EM has converged."""
    moved = search([1.2 * DEFAULT, 1.2 * DEFAULT])
    small = search([1.1 * DEFAULT, 1.2 * 1.1 * DEFAULT])
    assert small.fit.alpha_ == pytest.approx(1.1 * DEFAULT)
    assert len(small.rounds) == 2
    assert moved.fit.alpha_ == pytest.approx(1.2 * DEFAULT)
    assert len(moved.rounds) == 3
    # A larger change after EM has converged is followed by another run.
    again = search([DEFAULT, 0.5 * DEFAULT, 0.5 * DEFAULT])
    assert again.fit.alpha_ == pytest.approx(0.5 * DEFAULT)
    assert len(again.rounds) == 3


def test_penalties_that_never_settle_are_taken_as_they_are(search):
    """After twelve rounds EM converges three times."""
    found = search([0.02, 0.2] * 50)
    assert found.fit.converged_
    assert len(found.rounds) == 12 + 2
    assert (np.diff(found.rounds[:12]) >= 0).all()
    assert len(found.fit.lower_bounds_) == found.last


def test_em_converges_at_most_three_times(search):
    found = search([DEFAULT, 0.05, 0.01, 0.2])
    assert_allclose(found.alphas, [DEFAULT, DEFAULT, 0.05])
    assert found.fit.alpha_ == pytest.approx(0.01)


def test_penalties_that_gain_less_than_the_tolerance_have_settled(search):
    """Whatever their factor is."""
    found = search([0.02, 0.2] * 50, tol=1e3)
    assert len(found.rounds) == 2


@pytest.mark.parametrize("max_iter", [5, 18, 30])
def test_all_iterations_of_a_search_count(max_iter, search):
    found = search([0.02, 0.2] * 50, max_iter=max_iter, tol=0.0)
    assert found.fit.n_iter_ == max_iter
    assert not found.fit.converged_
    assert len(found.fit.lower_bounds_) < max_iter


def test_iterations_are_numbered_from_the_first(capsys):
    moe = MixtureOfExpertsRegressor(2, n_init=2, tol=1e-9, random_state=0, verbose=2).fit(X, Y)
    printed = capsys.readouterr().out
    numbers = [int(number) for number in re.findall(r"^  EM: +(\d+) ", printed, re.MULTILINE)]
    assert numbers == list(range(numbers[0], moe.n_iter_ + 1))
    assert numbers[0] > 2  # those of the starts come before
    assert f"{moe.n_iter_} iterations" in printed.splitlines()[-1]


def test_a_search_takes_few_times_the_iterations_of_a_fit():
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, Y)
    given = {"alpha": moe.alpha_, "gate_alpha": moe.gate_alpha_}
    fixed = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **given).fit(X, Y)
    assert fixed.n_iter_ < moe.n_iter_ <= 4 * fixed.n_iter_
    with pytest.warns(ConvergenceWarning, match="max_iter=4 iterations"):
        MixtureOfExpertsRegressor(2, n_init=1, max_iter=4, random_state=0).fit(X, Y)


# --- what an update is ------------------------------------------------------------------------


@cache
def regression():
    """Centred features and target of one regression, as a design with a column of ones."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    y = features @ [0.5, 0.0, 0.1] + 0.8 * rng.normal(size=40)
    return features, y - y.mean()


def found_by(kind):
    """The penalty of the slopes of the experts, by a kind of search."""
    return Penalty("experts", ("alpha",), 0.1, kind)


def model_and_rows(alpha, weight=None, **options):
    features, y = regression()
    design = np.column_stack([features, np.ones(40)])
    weight = np.ones(40) if weight is None else weight
    options = {"noise_variance": (0.8,), "variance_floor": (1e-6,)} | options
    experts = LinearExperts(alpha=alpha, **options)
    rows = Dataset(design, design, y[None], weight)
    return MixtureModel(ConstantGate(), experts, 1), rows


def params_at(model, rows, variance):
    """Parameters of one expert at the maximum of the penalised likelihood for a given variance."""
    experts = model.experts
    hessian = experts.hessian(None, rows.expert_design, rows.y, rows.weight[None])
    params = experts.init_params(1, 4)._replace(log_dispersion=np.log([[[variance]]]))
    statistics = experts.statistics(params, rows.expert_design, rows.y, rows.weight[None])
    params = experts.m_step(statistics, experts.factorize(hessian), params, 1.0)
    return Params(
        ConstantGate().init_params(1, 4), params._replace(log_dispersion=np.log([[[variance]]]))
    )


def update_at(penalties, default, model, blocks, params):
    """Other penalties from an E-step of row blocks at the parameters."""
    total = e_step(model, blocks, params, with_hessian=True)
    return updated_penalties(penalties, default, model, total, params)


def log_marginal(alphas, variance):
    """Log density of the target, without the slopes, whose prior variance is variance / alpha."""
    features, y = regression()
    covariance = variance * (np.eye(40) + features / alphas @ features.T)
    return stats.multivariate_normal.logpdf(y, np.zeros(40), covariance)


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_the_evidence_of_an_update_is_that_of_a_regression_without_its_slopes(kind):
    """Up to a constant; of penalties of each feature the prior of keeping them is counted."""
    found, expected = [], []
    for alpha in (0.5, 4.0):
        model, rows = model_and_rows(alpha)
        params = params_at(model, rows, 0.6)
        update = update_at([found_by(kind)], model, model, [rows], params)
        found.append(40 * update.log_evidence)
        expected.append(log_marginal(np.full(3, alpha), 0.6))
        best = update.model.experts.alpha
        gain = log_marginal(np.broadcast_to(best, 3), 0.6) - expected[-1]
        if kind == "auto":  # the gain is that of each slope alone; features are nearly independent
            assert_allclose(40 * update.gain, gain, atol=0.1)
        else:
            assert update.before.experts.alpha == (alpha,) * 3
            assert np.shape(best) == (3,)
            kept = np.array(best) < DROPPED
            assert kept[0]
            assert not kept[1]
            of_prior = SPARSITY_FACTOR * np.log(3) * (~kept).sum()
            assert_allclose(40 * update.gain, gain + of_prior, atol=0.4)
    assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6)


@dataclass(frozen=True)
class TwoBlocks(LinearExperts):
    """Linear experts of which the last slope is a block with a penalty of its own."""

    last_alpha: float = 1.0

    def penalised_slopes(self, params, statistics, hessian):
        (slopes,) = super().penalised_slopes(params, statistics, hessian).values()
        values, covariances, gradient, _ = slopes
        blocks = {"alpha": slice(2), "last_alpha": slice(2, 3)}
        return {
            field: Slopes(values[:, own], covariances[:, own, own], gradient[:, own])
            for field, own in blocks.items()
        }


def test_another_block_of_coefficients_has_a_penalty_of_its_own():
    one, rows = model_and_rows(0.5)
    params = params_at(one, rows, 0.6)
    experts = TwoBlocks(0.5, noise_variance=(0.8,), variance_floor=(1e-6,), last_alpha=0.5)
    model = one._replace(experts=experts)
    of_last = Penalty("experts", ("last_alpha",), 0.5, "auto")
    both = update_at([found_by("ard"), of_last], model, model, [rows], params)
    alone = [update_at([p], model, model, [rows], params) for p in (found_by("ard"), of_last)]
    slopes = one.experts.penalised_slopes(
        params.experts,
        *(
            make(params.experts, rows.expert_design, rows.y, rows.weight[None])
            for make in (one.experts.statistics, one.experts.hessian)
        ),
    )["alpha"]
    n_determined = 1.0 - 0.5 * slopes.covariances[0, 2, 2]
    expected = (n_determined + PRIOR_COEFFICIENTS) / (
        slopes.values[0, 2] ** 2 + PRIOR_COEFFICIENTS / 0.5
    )
    found = both.model.experts
    assert len(found.alpha) == 2
    assert_allclose(found.last_alpha, expected)
    assert found.alpha == alone[0].model.experts.alpha
    assert both.model.experts.last_alpha == alone[1].model.experts.last_alpha
    assert_allclose(both.gain, sum(update.gain for update in alone))
    assert both.factor == max(update.factor for update in alone)


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_equal_penalties_of_each_feature_are_one_penalty(kind):
    model, rows = model_and_rows(0.5)
    params = params_at(model, rows, 0.6)
    search = [found_by(kind)]
    one = update_at(search, model, model, [rows], params)
    tuple_model, _ = model_and_rows((0.5,) * 3)
    if kind == "ard":
        assert one == update_at(search, model, tuple_model, [rows], params)
    assert one.model.gate is model.gate
    # The evidence is per unit of weight.
    heavy = rows._replace(weight=np.full(40, 2.0))
    doubled = update_at(search, model, model, [rows, rows], params)
    assert_allclose(update_at(search, model, model, [heavy], params)[2:], doubled[2:], rtol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
def test_the_prior_of_dispersions_is_found_from_residuals_and_their_freedom(shared):
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(50, 2)), np.ones(50)])
    y = rng.normal(size=(2, 50))
    own = {"shared_dispersion": shared, "dispersion_prior": 4.0}
    experts = LinearExperts(alpha=0.7, noise_variance=(0.8, 1.3), **own, variance_floor=(1e-6,) * 2)
    gate = ConstantGate()
    params = Params(gate.init_params(3, 3), experts.init_params(3, 3))
    model, rows = MixtureModel(gate, experts, 3), Dataset(design, design, y, np.ones(50))
    # All experts are alike, and so are the responsibilities.
    resp = np.full((3, 50), 1 / 3)
    hessian = experts.hessian(None, design, y, resp)
    statistics = experts.statistics(params.experts, design, y, resp)
    coef = experts.m_step(statistics, experts.factorize(hessian), params.experts, 1.0)
    statistics = experts.statistics(coef, design, y, resp)
    params = params._replace(
        experts=experts.m_step(statistics, experts.factorize(hessian), coef, 1.0)
    )
    default = model._replace(
        experts=LinearExperts(0.7, noise_variance=(0.1, 0.2), **own | {"dispersion_prior": 9.0})
    )
    of_scales = Penalty("experts", ("dispersion_prior", "noise_variance"), 10.0, "auto")
    update = update_at([of_scales], default, model, [rows], params)
    ridge, weight = np.diag([0.7, 0.7, 0.0]), 50 / 3
    gram = design.T @ design / 3
    n_slopes = np.trace(np.linalg.solve(gram + ridge, gram)) - 1.0  # the intercept is free
    coef = params.experts.coef[0]
    squares = np.square(y - coef @ design.T).sum(axis=1) / 3 + np.einsum(
        "md,d,md->m", coef, np.diag(ridge), coef
    )
    squares, freedom = np.tile(squares, (3, 1)), np.full((3, 2), weight - n_slopes)
    if shared:
        squares, freedom = (values.sum(axis=0, keepdims=True) for values in (squares, freedom))
    defaults = 9.0, np.array([0.1, 0.2])
    strength, scale = prior.dispersion_prior(squares, freedom, defaults)
    found = update.model.experts
    assert_allclose(found.dispersion_prior, strength, rtol=1e-6)
    assert_allclose(found.noise_variance, scale, rtol=1e-6)
    assert found.alpha == 0.7
    gain = prior.dispersion_gain(
        (4.0, np.array([0.8, 1.3])), (strength, scale), squares, freedom, defaults
    )
    assert_allclose(50 * update.gain, gain, rtol=1e-6)
    assert_array_equal(update.before.experts.noise_variance, experts.noise_variance)
