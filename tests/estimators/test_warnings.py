"""Fits that end early, lose experts, or are silently wrong warn, at the line of the caller."""

import pickle
import re
import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    GammaRegressor,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.exceptions import CollapsedExpertsWarning, FitMismatchWarning
from skmoe.families import Ordinal, Uniform
from skmoe.gates import SoftmaxGate
from support.fits import CLASSES, UNITS, X, Y, classifier, fit_quietly, regressor
from support.own_gates import PriorGate, WorseGate
from support.stacks import stack_of

POSITIVE, SINGLE = np.exp(0.3 * Y) + 1.0, regressor(n_experts=1, n_init=1, max_iter=2)
SHORT = {"n_init": 1, "max_iter": 2, "alpha": 0.1, "gate_alpha": 1.0}


def warnings_of(action, *data, part="", **given):
    """The warnings of a call whose text has a part."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action(*data, **given)
    return [found for found in caught if part in str(found.message)]


def texts(action, *data, **given):
    return [str(found.message) for found in warnings_of(action, *data, **given)]


# --- convergence ------------------------------------------------------------------------------


def test_the_remaining_gain_is_estimated_from_the_last_ones():
    options = {"tol": 1e-12, "warm_start": True, "dispersion_prior": 10.0}
    moe = regressor(n_experts=3, gate=PriorGate(), n_init=1, max_iter=15, **options)
    (found,) = warnings_of(moe.fit, X, Y)
    assert found.category is ConvergenceWarning
    assert "max_iter=15 iterations" in str(found.message)
    estimate, bounds = (
        float(re.search(r"about (\S+) nats", str(found.message))[1]),
        moe.lower_bounds_,
    )
    assert texts(moe.set_params(max_iter=500).fit, X, Y) == []
    assert moe.lower_bound_ - bounds[-1] < estimate < bounds[-1] - bounds[0]
    (found,) = texts(regressor(n_experts=2, n_init=1, max_iter=1).fit, X, Y)
    assert "cannot be estimated" in found


def test_fits_that_converge_do_not_warn():
    moe = regressor(n_experts=2, n_init=1, max_iter=300)
    assert texts(moe.fit, X, Y) == []
    assert texts(clone(moe).set_params(max_iter=moe.n_iter_).fit, X, Y) == []


def test_a_step_that_lowers_the_bound_is_told():
    (found,) = texts(
        regressor(n_experts=2, n_init=1, gate=WorseGate()).fit, X, Y, part="no step increases"
    )
    assert "m_step" in found


def test_a_fit_of_too_many_experts_does_not_advise_more_iterations():
    """Experts that nearly equal others are split from them slowly, and for no gain."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 2))
    y = np.where(table[:, 0] > 0.0, 3.0, -3.0) * table[:, 1] + 0.3 * rng.normal(size=400)
    for n_experts, n_iter, advice in ((2, 4, "Increase max_iter"), (5, 12, 'n_experts="auto"')):
        moe = regressor(n_experts=n_experts, n_init=1, max_iter=n_iter, tol=1e-12)
        (found,) = texts(moe.fit, table, y, part="did not converge")
        assert ("Increase max_iter" in found) is (n_experts == 2)
        assert advice in found


# --- experts ----------------------------------------------------------------------------------


def test_experts_without_rows_are_named_with_their_rows():
    moe = regressor(n_experts=5, n_init=1, gate_alpha=0.01, max_iter=100)
    (warned,) = texts(moe.fit, X[:20], Y[:20], part="collapsed")
    assert "fewer experts (n_experts)" in warned
    mass = moe.responsibilities(X[:20], Y[:20]).sum(axis=0)
    lost = np.flatnonzero(mass < 2.0).tolist()
    moe.set_expert_names(list("abcde"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        (note,) = [text for text in moe.summary(X[:20], Y[:20]).notes if "collapsed" in text]
    named = dict(re.findall(r"(\w) \((\S+) of 20 rows", note))
    assert 0 < len(lost) < 5
    assert list(named) == ["abcde"[k] for k in lost]
    assert_allclose([float(n) for n in named.values()], mass[lost], rtol=0.05, atol=1e-2)


def test_a_cross_validation_warns_once_of_collapsed_experts():
    """Of each category, whatever experts and gains its fits have; a second one warns again."""
    moe = regressor(n_experts=7, n_init=1, max_iter=2)
    search = GridSearchCV(moe, {"gate_alpha": [0.01, 0.02], "n_experts": [6, 7]}, cv=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n_times in (1, 2):
            search.fit(X[:40], Y[:40])
            found = [warning.category for warning in caught]
            assert found.count(CollapsedExpertsWarning) == n_times
            assert found.count(ConvergenceWarning) == n_times
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0), (0.5, 0.5)])
def test_an_expert_without_noise_beside_one_with_noise_is_named(left, right):
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.uniform(-3, -1, size=40), rng.uniform(1, 3, size=40)])[:, None]
    y = np.sign(features[:, 0]) + np.repeat([left, right], 40) * rng.normal(size=80)
    moe = regressor(n_experts=2, n_init=1, dispersion_prior=0.0, alpha=0.1, max_iter=300)
    found = texts(moe.fit, features, y, part="at its floor")
    assert len(found) == (left != right)
    for text in found:
        assert f"floor: expert {moe.noise_variance_.argmin()}. They" in text
        moe.set_expert_names(["small", "large"]).set_params(warm_start=True)
        (text,) = texts(moe.fit, features, y, part="at its floor")
        assert f"floor: {moe.expert_names_[moe.noise_variance_.argmin()]}." in text


MIXED = [Ridge(), QuantileRegressor(alpha=0.0)]
# Experts, and words of the warning of their loss; none where the loss is that of the mean.
LOSSES = [
    (PoissonRegressor(), "poisson", 'family="poisson"'),
    (make_pipeline(StandardScaler(), PoissonRegressor()), "poisson", 'family="poisson"'),
    (GammaRegressor(), "gamma", 'family="gamma"'),
    (TweedieRegressor(power=1.5), "tweedie", 'family=["zero", "gamma"]'),
    (HistGradientBoostingRegressor(loss="gamma", max_iter=2), "gamma", 'family="gamma"'),
    (GradientBoostingRegressor(loss="quantile", n_estimators=2), "quantile", "predict_quant"),
    (MIXED, "QuantileRegressor", "predict_quantile"),
    *((expert, None, None) for expert in (Ridge(), "tree", "linear", SINGLE, [Ridge(), "tree"])),
]


@pytest.mark.parametrize(("expert", "loss", "remedy"), LOSSES)
def test_losses_of_other_densities_than_the_normal_warn(expert, loss, remedy):
    moe = regressor(n_experts=2, expert=expert, cross_fit=False, **SHORT)
    found = texts(moe.fit, X[:60], POSITIVE[:60], part="normal noise")
    assert len(found) == (loss is not None)
    assert all(loss in text and remedy in text for text in found)


def test_stacks_and_classifiers_have_no_loss_of_normal_noise():
    trees = MixtureOfExpertsClassifier(2, expert="tree", **SHORT)
    for moe, y in ((stack_of(SINGLE, Ridge()), Y), (trees, CLASSES)):
        assert texts(moe.fit, X[:60], y[:60], part="normal noise") == []


# --- arguments of the fit ---------------------------------------------------------------------

# Methods that need an argument of the fit again: those of the rows of the fit need all. Means are
# per unit of exposure without an offset, and new rows have weights of their own.
OF_FIT = ("aic", "bic", "icl", "inference", "summary")
OF_ROWS = ("responsibilities", "score_samples")
OF_DISTRIBUTIONS = ("predict_dist", "predict_interval", "predict_quantile", "sample")
MISSED = {
    "sample_weight": OF_FIT,
    "known_experts": OF_FIT,
    "units": (*OF_FIT, *OF_ROWS),
    "offset": (*OF_FIT, *OF_ROWS, *OF_DISTRIBUTIONS, "score"),
}
SILENT = ("predict", "predict_experts", "predict_gate", "explain", "apply", "is_outside_range")
GIVEN = {
    "sample_weight": np.resize([1.0, 2.0], len(Y)),
    "offset": np.resize([-1.0, 0.0, 0.5], len(Y)),
    "units": UNITS,
    "known_experts": np.where(UNITS == 3, 0, -1),
}
# Values without which the fit is the same.
NEUTRAL = {"sample_weight": np.ones(len(Y)), "offset": np.zeros(len(Y))}
COUNTS = np.round(POSITIVE)
OF_COUNTS = regressor(n_experts=2, gate="constant", family="poisson", max_iter=3, n_init=1)


def fit_in_memory(given):
    return fit_quietly(clone(OF_COUNTS), X, COUNTS, **given)


@cache
def fitted_with_all():
    return fit_in_memory(GIVEN)


def fit_blocks(given):
    rows = [X, COUNTS, *map(given.get, ("sample_weight", "offset", "units", "known_experts"))]
    cuts = slice(0, 150), slice(150, None)  # between two units
    blocks = [tuple(v if v is None else v[cut] for v in rows) for cut in cuts]
    return fit_quietly(clone(OF_COUNTS), RowBlocks(lambda: iter(blocks)))


def fit_stream(given):
    moe = clone(OF_COUNTS).partial_fit(X, COUNTS).partial_fit(X, COUNTS, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitMismatchWarning)  # of the last batch, which lacks them
        return moe.partial_fit(X, COUNTS)


@pytest.mark.parametrize("method", [*OF_FIT, *OF_ROWS, *OF_DISTRIBUTIONS, "score", *SILENT])
def test_arguments_of_the_fit_that_are_left_out_are_named(method):
    moe = fitted_with_all()
    y = (COUNTS,) if method in (*OF_FIT, *OF_ROWS, "score") else ()
    found = texts(getattr(moe, method), X, *y, part="unlike the fit")
    wanted = [name for name, methods in MISSED.items() if method in methods]
    for name in wanted:
        (text,) = (text for text in found if text.startswith(f"{method} got no {name}, "))
        assert f"{method}({'X, y' if y else 'X'}, {name}=...)" in text
    assert len(found) == len(wanted)
    given = {name: GIVEN[name] for name in wanted}
    assert texts(getattr(moe, method), X, *y, **given, part="unlike the fit") == []


@pytest.mark.parametrize("fit", [fit_in_memory, fit_blocks, fit_stream])
@pytest.mark.parametrize("name", GIVEN)
def test_every_fit_knows_its_arguments(fit, name):
    (found,) = texts(pickle.loads(pickle.dumps(fit({name: GIVEN[name]}))).bic, X, COUNTS)
    assert found.startswith(f"bic got no {name}")
    if name in NEUTRAL:
        assert texts(fit({name: NEUTRAL[name]}).bic, X, COUNTS) == []


# --- where warnings point, and what they are not ----------------------------------------------

POINTING = {
    "not converged": lambda: regressor(max_iter=1).fit(X, Y),
    "collapsed": lambda: regressor(n_experts=9, n_init=1, gate_alpha=0.01).fit(X[:20], Y[:20]),
    "special loss": lambda: regressor(expert=PoissonRegressor(), **FEW).fit(X[:60], POSITIVE[:60]),
    "pipeline": lambda: make_pipeline(StandardScaler(), regressor(max_iter=1)).fit(X, Y),
    "classifier": lambda: classifier(max_iter=1).fit(X, CLASSES),
}


@pytest.mark.parametrize("fit", POINTING)
def test_warnings_point_at_the_line_of_the_user(fit):
    assert {found.filename for found in warnings_of(POINTING[fit])} == {__file__}


@pytest.mark.parametrize("weight", [1e-12, 1e12, 1e100])
def test_extreme_weights_do_not_warn_of_numbers(weight):
    """More columns than rows: the penalty of the noise estimate must keep its size."""
    rng = np.random.default_rng(0)
    wide, y = rng.normal(size=(20, 60)), rng.normal(size=20)
    moe = MixtureOfExpertsRegressor(1)
    found = texts(moe.fit, wide, y, sample_weight=np.full(20, weight))
    assert [text for text in found if "collapsed" not in text] == []
    assert np.isfinite(moe.predict(wide)).all()


COUNTED, FEW = np.abs(np.round(Y)), {"n_experts": 2, "n_init": 1, "max_iter": 5}
# Estimators and targets.
STRICT = [
    ({"n_experts": 3, "gate": SoftmaxGate(top_k=2)}, Y),
    ({"n_experts": 3}, np.column_stack([Y, X[:, 1]])),
    ({"expert": Ridge()}, Y),
    ({"family": "student_t"}, Y),
    ({"family": "poisson"}, COUNTED),
    *(({"family": name}, POSITIVE) for name in ("gamma", "tweedie")),
    ({"family": "beta"}, POSITIVE / (1.0 + POSITIVE)),
    ({"family": Ordinal(values=(0.0, 1.0, 2.0, 3.0))}, np.minimum(COUNTED, 3.0)),
    ({"family": ["zero", "poisson"]}, COUNTED),
    ({"family": ["normal", Uniform((-50.0,), (50.0,))]}, Y),
    ({}, CLASSES),
]


@pytest.mark.parametrize(("options", "target"), STRICT)
def test_no_floating_point_error_is_raised_where_numpy_raises_them(options, target):
    rows, target, of_classes = X[:60], target[:60], target is CLASSES
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = (classifier if of_classes else regressor)(**FEW | options).fit(rows, target)
        for method in ("predict", "predict_gate", "predict_experts", "explain"):
            getattr(moe, method)(rows)
        for method in ("score", "score_samples", "responsibilities"):
            getattr(moe, method)(rows, target)
        moe.summary()
        if hasattr(moe, "partial_fit"):
            clone(moe).partial_fit(rows, target, **({"classes": [0, 1]} if of_classes else {}))
        if not of_classes:
            few = slice(0, 60, 6)
            dist = moe.predict_dist(rows[few])
            values = [dist.mean, dist.std, dist.ppf(0.3)]
            values += [dist.cdf(target[few]), dist.crps(target[few])]
            assert all(np.isfinite(value).all() for value in values)
