"""Experts that are estimators: their fits in turn, their noise, and what they are made of."""

import numpy as np
import pandas as pd
import pytest
from kinds import example
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe._data.rows import RawFeatures
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._cross_fitted_families import CrossFittedFamilyExperts
from skmoe.experts._estimator_params import (
    REFIT_TOL,
    REFIT_TOL_OF_WAITING,
    SETTLED_FRACTION,
    EstimatorParams,
)
from skmoe.experts._mean_family import MAX_CHANGE, RELATIVE_MEAN_FLOOR, MeanFamily
from skmoe.experts._named_estimators import resolve_estimators
from skmoe.experts._variance_prior import estimate_noise_variance
from skmoe.families import FAMILIES

N_ROWS, N_EXPERTS = 60, 3
FOLD = np.arange(N_ROWS) % 3
WITH_MEANS = [name for name, family in FAMILIES.items() if family.link and example(name).takes_mean]


# --- fits in turn -------------------------------------------------------------------------------


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


def normal_objective(prediction, y, resp, prior, scale, floor, variance=None):
    """Log-likelihood of one expert less the penalty of its variances, and the best variances."""
    squares = np.square(y - prediction) @ resp
    if variance is None:
        variance = (squares + prior * scale) / (resp.sum() + prior)
        variance = np.maximum(variance, floor)
    logs = stats.norm.logpdf(y, prediction, np.sqrt(variance)[:, None])
    penalty = 0.5 * prior * (np.log(variance / scale) + scale / variance).sum()
    return logs.sum(axis=0) @ resp - penalty, variance


def turns(n_turns, n_outputs, seed):
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


@pytest.mark.parametrize("cross_fit", [True, False])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("n_outputs", "seed"), [(1, 0), (1, 1), (2, 2), (1, 3)])
def test_refits_are_taken_where_they_do_not_lower_the_objective(cross_fit, shared, n_outputs, seed):
    """A simulation of all turns has the same models, noise and rows that wait."""
    n_turns = 12
    y, values, all_resp = turns(n_turns, n_outputs, seed)
    scripts = [Script(own) for own in values]
    prior, scale, floor = 4.0, np.array([0.8, 1.3])[:n_outputs], np.full(n_outputs, 0.05)
    experts = CrossFittedExperts(
        tuple(Scripted(script) for script in scripts),
        np.zeros((N_EXPERTS, 3), dtype=int),
        ({},) * N_EXPERTS,
        shared_dispersion=shared,
        dispersion_prior=prior,
        noise_variance=tuple(scale),
        variance_floor=tuple(floor),
    )
    features = RawFeatures(np.arange(N_ROWS)[:, None] * 1.0, FOLD if cross_fit else None)
    params = experts.init_params(N_EXPERTS, 1)
    model_turn = [None] * N_EXPERTS  # of the model of each expert
    at_fit = [np.full(N_ROWS, -1.0)] * N_EXPERTS
    waits, last, taken = [False] * N_EXPERTS, None, []
    variance = np.ones((N_EXPERTS, n_outputs))
    for turn, resp in enumerate(all_resp):
        change = np.array([np.abs(resp[k] - at_fit[k]).sum() for k in range(N_EXPERTS)])
        settled = last is not None and np.abs(resp - last).sum() <= SETTLED_FRACTION * change.sum()
        for script in scripts:
            script.turn = turn
        # What a refit is judged by: the variances of each, or the last ones if they are shared.
        none, last_variance = np.zeros((N_EXPERTS, N_ROWS)), np.log(variance)
        objective = experts._objective(values[:, turn], none, last_variance, y, resp)
        for k in range(N_EXPERTS):
            given = variance[k] if shared else None
            expected, _ = normal_objective(values[k, turn], y, resp[k], prior, scale, floor, given)
            assert_allclose(objective[k], expected, rtol=1e-10)
        expected_variance = variance.copy()
        for k in range(N_EXPERTS):
            due = change[k] > REFIT_TOL * resp[k].sum()
            if waits[k]:
                due = due and settled and change[k] > REFIT_TOL_OF_WAITING * resp[k].sum()
            if not due:
                continue
            at_fit[k] = resp[k]
            given = variance[k] if shared else None
            new, _ = normal_objective(values[k, turn], y, resp[k], prior, scale, floor, given)
            is_better = model_turn[k] is not None and (
                new
                >= normal_objective(
                    values[k, model_turn[k]], y, resp[k], prior, scale, floor, given
                )[0]
            )
            waits[k] = cross_fit and not is_better
            taken.append(is_better)
            if model_turn[k] is None or is_better:
                model_turn[k] = turn
        for k in range(N_EXPERTS):
            _, expected_variance[k] = normal_objective(
                values[k, model_turn[k]], y, resp[k], prior, scale, floor
            )
        if shared:
            squares = sum(
                np.square(y - values[k, model_turn[k]]) @ resp[k] for k in range(N_EXPERTS)
            )
            pooled = (squares + prior * scale) / (resp.sum() + prior)
            expected_variance[:] = np.maximum(pooled, floor)
        variance, last = expected_variance, resp
        params = experts.m_step(experts.statistics(params, features, y, resp), None, params, 1.0)
        assert_array_equal([models[0].turn_ for models in params.models], model_turn)
        assert {len(models) for models in params.models} == {3 if cross_fit else 1}
        expected = [values[k, model_turn[k]] for k in range(N_EXPERTS)]
        assert_allclose(params.oof_predictions, expected)
        assert_allclose(np.exp(params.log_variance), variance, rtol=1e-10)
        assert_array_equal(params.waits, waits)
        assert_array_equal(params.resp_at_last_fit, at_fit)
        assert_array_equal(params.last_resp, resp)
        logs = experts.log_prob(params, features, y)
        for k in range(N_EXPERTS):
            std = np.sqrt(variance[k])[:, None]
            of_outputs = stats.norm.logpdf(y, values[k, model_turn[k]], std)
            assert_allclose(logs[k], of_outputs.sum(axis=0))
    assert set(taken) == {True, False}
    # Each fit is on the rows of the other folds, with their responsibilities as weights.
    for k, script in enumerate(scripts):
        for i, (turn, rows, target, weight) in enumerate(script.fits):
            expected = np.flatnonzero(i % 3 != FOLD) if cross_fit else np.arange(N_ROWS)
            assert set(rows) <= set(expected)
            assert_allclose(weight, all_resp[turn][k, rows])
            assert_allclose(target.reshape(len(rows), -1).T, y[:, rows])


# --- families around means ----------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_MEANS)
def test_means_of_zero_are_raised_where_they_are_impossible_only(name):
    """Under a log link, to a fraction of the mean of each output; other means stay."""
    family = MeanFamily(example(name), target_mean=(2.0, 5.0))
    means = np.array([[0.0, 1.0, 1e-9], [3.0, 0.0, 7.0]])
    raised = family.raise_zeros(means)
    if family.link == "identity":
        assert_array_equal(raised, means)
        assert_array_equal(family.raise_zeros(-means), -means)
    else:
        assert_array_equal(raised[means > 0.0], means[means > 0.0])
        assert_allclose(raised[means == 0.0], RELATIVE_MEAN_FLOOR * np.array([2.0, 5.0]))
        # Of a target of zeros too it is positive.
        assert (MeanFamily(example(name), target_mean=(0.0,)).raise_zeros(means[:1]) > 0.0).all()


def options_of_two_outputs(**options):
    given = {"variance_floor": (1e-3, 2e-3), "noise_variance": (0.8, 1.3)}
    return given | {"shared_dispersion": False, "dispersion_prior": 4.0} | options


@pytest.mark.parametrize("name", WITH_MEANS)
@pytest.mark.parametrize("with_exposure", [False, True])
def test_scales_begin_and_end_relative_to_the_variance_of_the_target(name, with_exposure):
    family, rng = example(name), np.random.default_rng(4)
    y = np.concatenate([family.example_target(rng, N_ROWS) for _ in range(2)])
    weight = rng.uniform(0.5, 2.0, size=N_ROWS)
    exposure = rng.uniform(0.5, 2.0, size=N_ROWS) if with_exposure else None
    fitted = MeanFamily(family).fitted_to(y, weight, options_of_two_outputs(), exposure)
    rates = y if exposure is None else y / exposure
    target = fitted.working_target(rates)
    variance = np.array([np.cov(row, ddof=0, aweights=weight) for row in target])
    low, high = (
        (np.array(ends) for ends in zip(*family.log_dispersion_bounds_of_means, strict=True))
        if (family.dispersions)
        else (np.zeros(0), np.zeros(0))
    )
    start = np.tile(family.initial_log_dispersion, (2, 1))
    low, high = np.tile(low, (2, 1)), np.tile(high, (2, 1))
    if family.has_scale:
        start[:, 0] += np.log(variance)
        low[:, 0] = np.log([1e-3, 2e-3] * variance)
        high[:, 0] += np.log(np.maximum(variance, 1.0))
    assert_allclose(fitted.low, low)
    assert_allclose(fitted.high, high)
    assert_allclose(fitted.start, np.clip(start, low, high))
    assert_allclose(fitted.initial(N_EXPERTS), np.tile(fitted.start, (N_EXPERTS, 1, 1)))
    assert_allclose(fitted.prior_scale, [0.8, 1.3] * variance)
    assert fitted.prior == (4.0 if family.has_scale else 0.0)
    total = weight.sum() if exposure is None else weight @ exposure
    assert_allclose(fitted.target_mean, y @ weight / total)


@pytest.mark.parametrize("name", WITH_MEANS)
def test_the_prior_of_a_scale_is_inverse_gamma(name):
    """Of its logarithm, up to a constant; there is none without a scale."""
    family = MeanFamily(example(name), prior=6.0, prior_scale=(0.7, 2.0))
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(N_EXPERTS, 2, len(family.family.dispersions)))
    found = family.penalties(theta)
    assert found.shape == (N_EXPERTS, 2)
    if not family.family.has_scale:
        assert not found.any()
        return
    scale = np.exp(theta[..., 0])
    logs = stats.invgamma(3.0, scale=3.0 * np.array([0.7, 2.0])).logpdf(scale) + np.log(scale)
    for output in range(2):
        assert_allclose(np.diff(found[:, output]), -np.diff(logs[:, output]))


@pytest.mark.parametrize("name", WITH_MEANS)
def test_scales_at_their_floor_are_those_of_any_output(name):
    family = example(name)
    y = np.concatenate([family.example_target(np.random.default_rng(0), N_ROWS)] * 2)
    experts = MeanFamily(family).fitted_to(y, np.ones(N_ROWS), options_of_two_outputs())
    theta = experts.initial(N_EXPERTS)
    assert not experts.at_floor(theta).any()
    if family.has_scale:
        theta[1, 1, 0] = experts.low[1][0]
    assert_array_equal(
        experts.at_floor(theta), np.arange(N_EXPERTS) == 1 if family.has_scale else False
    )


@pytest.mark.parametrize("name", WITH_MEANS)
def test_densities_stay_finite_at_means_beyond_any_bound(name):
    """The linear predictor of a mean is bounded as that of coefficients is."""
    family, rng = example(name), np.random.default_rng(0)
    y = family.example_target(rng, N_ROWS)
    experts = MeanFamily(family).fitted_to(
        y, np.ones(N_ROWS), options_of_two_outputs(variance_floor=(1e-3,), noise_variance=(1.0,))
    )
    theta = experts.initial(2)
    for mean in (1e-300, 1e300) if family.link == "log" else (-1e100, 1e100):
        means = np.full((2, 1, N_ROWS), mean)
        logs = experts.log_prob(means, theta, y)
        assert np.isfinite(logs).all()
        assert logs.sum() < experts.log_prob(np.full(means.shape, y.mean()), theta, y).sum()
        if family.link == "log":
            bound = family.max_predictor
            at_bound = np.full((1, N_ROWS), np.sign(np.log(mean)) * bound)
            arrays = np.moveaxis(theta[0], -1, 0)[..., None]
            assert_allclose(logs[0], family.log_prob(y, at_bound, arrays))


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", WITH_MEANS)
def test_shared_dispersions_count_and_are_penalised_once(name, shared, n_outputs):
    family = example(name)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    y = np.concatenate([family.example_target(rng, N_ROWS) for _ in range(n_outputs)])
    options = options_of_two_outputs(
        variance_floor=(1e-3,) * n_outputs,
        noise_variance=(1.0,) * n_outputs,
        shared_dispersion=shared,
    )
    experts = CrossFittedFamilyExperts(
        (Ridge(),) * N_EXPERTS,
        np.zeros((N_EXPERTS, 1)),
        ({},) * N_EXPERTS,
        shared_dispersion=shared,
        mean_family=MeanFamily(family).fitted_to(y, np.ones(N_ROWS), options),
    )
    model = Ridge().fit(X, y.T)
    params = experts.init_params(N_EXPERTS, 2)
    moves = np.array(0.1 if shared else [[[0.1]], [[0.2]], [[0.3]]])
    theta = params.log_variance + moves
    params = EstimatorParams(((model,),) * N_EXPERTS, theta, None, None, None)
    n_different = (1 if shared else N_EXPERTS) * n_outputs * len(family.dispersions)
    of_models = N_EXPERTS * (model.coef_.size + model.intercept_.size)
    assert experts.n_parameters(params) == of_models + n_different
    each = experts.mean_family.penalties(theta).sum(axis=1)
    assert_allclose(experts.penalty(params), each[0] if shared else each.sum())
    # Each expert has the attributes of its dispersions, for each output.
    found = experts.attributes(params, None)
    assert found["families_"] == [family] * N_EXPERTS
    assert found["experts_"] == [[model]] * N_EXPERTS
    for t, dispersion in enumerate(family.dispersions):
        values = np.exp(theta[..., t])
        expected = values[:, 0] if n_outputs == 1 else values
        assert_allclose(found[dispersion.attribute], expected)
    assert not experts.dispersion_at_bound(params).any()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_noise_of_estimators_is_reported_in_units_of_y(n_outputs, shared):
    class Units:
        class target_scaling:  # noqa: N801
            scale = np.array([2.0, 5.0])[:n_outputs]

    experts = CrossFittedExperts(
        (Ridge(),) * N_EXPERTS,
        np.zeros((N_EXPERTS, 1)),
        ({},) * N_EXPERTS,
        shared_dispersion=shared,
        dispersion_prior=4.0,
        noise_variance=(1.0,) * n_outputs,
        variance_floor=(0.5,) * n_outputs,
    )
    rng = np.random.default_rng(0)
    model = Ridge().fit(rng.normal(size=(20, 2)), rng.normal(size=(20, n_outputs)))
    variance = np.full((N_EXPERTS, n_outputs), 0.9)
    variance[1 if not shared else slice(None), -1] = 0.5
    params = EstimatorParams(((model,),) * N_EXPERTS, np.log(variance), None, None, None)
    found = experts.attributes(params, Units)["noise_variance_"]
    expected = variance * Units.target_scaling.scale**2
    assert_allclose(found, expected[:, 0] if n_outputs == 1 else expected)
    at_floor = np.full(N_EXPERTS, True) if shared else np.arange(N_EXPERTS) == 1
    assert_array_equal(experts.dispersion_at_bound(params), at_floor)
    n_variances = (1 if shared else N_EXPERTS) * n_outputs
    assert experts.n_parameters(params) == N_EXPERTS * 3 * n_outputs + n_variances
    # Penalties are those of inverse gamma densities, relative to the scale of the prior.
    prior = stats.invgamma(2.0, scale=2.0)
    logs = prior.logpdf(variance) + np.log(variance)
    at_one = prior.logpdf(1.0) + 2.0
    total = (at_one - logs)[: 1 if shared else None].sum()
    assert_allclose(experts.penalty(params), total)
    moved = experts.reorder(params, np.array([2, 0, 1]))
    assert_array_equal(moved.log_variance, params.log_variance[[2, 0, 1]])


WITH_DISPERSIONS = [name for name in WITH_MEANS if example(name).dispersions]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", WITH_DISPERSIONS)
def test_steps_of_dispersions_lead_upward_and_not_beyond_their_bounds(name, shared):
    """Wherever they begin, also where the objective is not concave."""
    family, rng = example(name), np.random.default_rng(2)
    y = np.concatenate([family.example_target(rng, N_ROWS) for _ in range(2)])
    options = options_of_two_outputs(shared_dispersion=shared)
    experts = MeanFamily(family).fitted_to(y, np.ones(N_ROWS), options)
    mean = np.abs(y).mean(axis=1)[:, None] * rng.uniform(0.5, 2.0, size=(N_EXPERTS, 2, N_ROWS))
    resp = rng.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T
    low, high = np.array(experts.low), np.array(experts.high)
    lengths = []
    for part in (0.0, 0.03, 0.3, 0.6, 0.97, 1.0):
        theta = np.tile(low + part * (high - low), (N_EXPERTS, 1, 1))
        step = experts._newton_step(mean, theta, y, resp)
        assert np.isfinite(step).all()
        lengths.append(np.abs(step).max(axis=-1))
        if shared:
            assert_allclose(step, np.broadcast_to(step[:1], step.shape), rtol=1e-9, atol=1e-12)
        if part in (0.0, 1.0):
            assert (step * (1.0 if part else -1.0) <= 1e-12).all()
            continue
        before = experts._value(mean, theta, y, resp)
        after = experts._value(mean, theta + 1e-3 * step, y, resp)
        assert (after >= before - 1e-9 * np.abs(before)).all()
        assert (after > before).mean() > 0.8  # but for round-off where it is flat
    # Long steps have the largest length, for each output and expert by itself.
    lengths = np.array(lengths)
    assert lengths.max() <= MAX_CHANGE * (1.0 + 1e-12)
    assert np.isclose(lengths, MAX_CHANGE).any() or lengths.max() < MAX_CHANGE


# --- the prior of the noise ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["line", "steps", "both"])
def test_the_noise_of_a_target_is_that_of_the_better_of_a_line_and_a_tree(kind):
    """For each output, from predictions of rows that the models have not seen."""
    rng, n_rows = np.random.default_rng(1), 150
    X, weight = rng.normal(size=(n_rows, 2)), rng.uniform(0.2, 3.0, size=n_rows)
    of_line, of_steps = X[:, 0] + X[:, 1], 2.0 * (X[:, 0] > 0.0)
    Y = np.stack({"line": [of_line], "steps": [of_steps], "both": [of_line, of_steps]}[kind])
    Y = Y + 0.3 * rng.normal(size=Y.shape)
    Y = (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)
    # All rows of a fold of its own are one unit.
    units = np.arange(n_rows) % 3
    found = estimate_noise_variance(X, Y, weight, units)
    errors = []
    relative = {"sample_weight": weight / weight.mean()}
    for model in (Ridge(alpha=1e-3), DecisionTreeRegressor(min_samples_leaf=3, random_state=0)):
        predicted = cross_val_predict(model, X, Y.T, cv=PredefinedSplit(units), params=relative)
        errors.append(np.square(Y - predicted.reshape(Y.T.shape).T) @ weight / weight.sum())
    assert_allclose(found, np.minimum(np.minimum(*errors), 1.0), rtol=0.05)
    best = np.argmin(errors, axis=0)
    assert_array_equal(best, {"line": [0], "steps": [1], "both": [0, 1]}[kind])
    assert_allclose(estimate_noise_variance(X, Y, 7.0 * weight, units), found)


def test_too_few_rows_have_all_of_the_variance_as_noise():
    X = np.arange(6.0)[:, None]
    assert_allclose(estimate_noise_variance(X[:5], X[:5].T, np.ones(5)), 1.0)
    assert estimate_noise_variance(X, (X.T - 2.5) / X.std(), np.ones(6))[0] < 0.1


# --- experts with names -------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.01, 3.0])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
@pytest.mark.parametrize("is_missing", [False, True])
def test_linear_experts_beside_others_are_penalised_on_standardised_features(
    task, alpha, is_missing
):
    """Categories have indicators; missing numbers have the mean and an indicator."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"number": 5.0 * rng.normal(size=90), "kind": rng.choice([*"abc"], size=90)})
    if is_missing:
        X.loc[::7, "number"] = np.nan
    side = X["number"].fillna(0.0) + 2.0 * (X["kind"] == "b") + rng.normal(size=90)
    y = side.to_numpy() if task == "regressor" else (side > 1.0).to_numpy().astype(int)
    linear, tree, own = resolve_estimators(["linear", "tree", Ridge()], task, alpha, X, [1])
    columns = [*(X["kind"] == kind for kind in "abc"), X["number"].fillna(X["number"].mean())]
    if is_missing:
        columns.append(X["number"].isna())
    table = np.column_stack(columns).astype(float)
    scaled = table / table.std(axis=0)
    if task == "regressor":
        expected = Ridge(alpha=alpha).fit(scaled, y).predict(scaled)
        assert_allclose(linear.fit(X, y).predict(X), expected)
    else:
        model = LogisticRegression(C=1.0 / alpha, max_iter=1000).fit(scaled, y)
        assert_allclose(linear.fit(X, y).predict_proba(X), model.predict_proba(scaled), atol=1e-6)
    assert type(own) is Ridge
    kind = DecisionTreeRegressor if task == "regressor" else DecisionTreeClassifier
    assert type(tree.steps[-1][1]) is kind
    assert len(tree.steps) == 2
    # Rows that no fit has seen have no indicator of their category.
    other = X.assign(kind="never seen")
    assert np.isfinite(linear.predict(other)).all()


def test_trees_of_numbers_are_trees():
    (tree, linear) = resolve_estimators(["tree", "linear"], "regressor", 2.0, np.ones((5, 2)), [])
    assert type(tree) is DecisionTreeRegressor
    assert isinstance(linear, Pipeline)
    assert linear.steps[-1][1].alpha == 2.0
    (strong,) = resolve_estimators(["linear"], "classifier", 0.0, np.ones((5, 2)), [])
    assert 1e10 < strong.steps[-1][1].C < np.inf
