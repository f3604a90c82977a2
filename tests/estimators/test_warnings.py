"""Fits that end early, lose experts, or are silently wrong warn, at the line of the caller."""

import pickle
import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    GammaRegressor,
    LinearRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._numerics.probability import is_collapsed
from skmoe.data import RowBlocks
from skmoe.exceptions import CollapsedExpertsWarning
from skmoe.families import Ordinal, Uniform
from skmoe.gates import SoftmaxGate
from support.fits import CLASSES, UNITS, X, Y, classifier, fit_quietly, regressor
from support.own_gates import PriorGate, WorseGate
from support.stacks import stack_of

SHORT = {"n_init": 1, "max_iter": 2, "random_state": 0, "alpha": 0.1, "gate_alpha": 1.0}
POSITIVE = np.exp(0.3 * Y) + 1.0
SINGLE = regressor(n_experts=1, n_init=1, max_iter=2)


def warnings_of(action, *data, **given):
    """Categories, texts and files of the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action(*data, **given)
    return [(found.category, str(found.message), found.filename) for found in caught]


def texts(action, *data, part="", **given):
    return [text for _, text, _ in warnings_of(action, *data, **given) if part in text]


# --- convergence ------------------------------------------------------------------------------


def test_the_remaining_gain_is_estimated_from_the_last_ones():
    options = {"tol": 1e-12, "warm_start": True, "dispersion_prior": 10.0}
    moe = regressor(n_experts=3, gate=PriorGate(), n_init=1, max_iter=15, **options)
    ((category, text, _),) = warnings_of(moe.fit, X, Y)
    assert category is ConvergenceWarning
    assert "max_iter=15 iterations" in text
    estimate, bounds = float(re.search(r"about (\S+) nats", text)[1]), moe.lower_bounds_
    assert texts(moe.set_params(max_iter=500).fit, X, Y) == []
    assert moe.lower_bound_ - bounds[-1] < estimate < bounds[-1] - bounds[0]


def test_fits_that_converge_or_may_go_on_do_not_warn():
    moe = regressor(n_experts=2, n_init=1, max_iter=300)
    assert texts(moe.fit, X, Y) == []
    n_iter = moe.n_iter_
    assert len(texts(clone(moe).set_params(max_iter=10).fit, X, Y)) == 1
    assert texts(clone(moe).set_params(max_iter=n_iter).fit, X, Y) == []


def test_one_iteration_has_no_estimate_of_the_gain():
    """A tolerance may be any number, such as a fraction."""
    tol = Fraction(1, 10**6)
    found = texts(regressor(n_experts=2, n_init=1, max_iter=1, tol=tol).fit, X, Y)
    assert len(found) == 1
    assert "cannot be estimated" in found[0]


def test_a_step_that_lowers_the_bound_is_told():
    moe = regressor(n_experts=2, n_init=1, gate=WorseGate())
    found = texts(moe.fit, X, Y, part="no step increases")
    assert len(found) == 1
    assert "m_step" in found[0]


# --- experts ----------------------------------------------------------------------------------


def test_experts_without_rows_are_named_with_their_rows():
    moe = regressor(n_experts=5, n_init=1, gate_alpha=0.01, max_iter=100)
    (warned,) = texts(moe.fit, X[:20], Y[:20], part="collapsed")
    assert "fewer experts (n_experts)" in warned
    found = collapsed_note(moe)
    mass = moe.responsibilities(X[:20], Y[:20]).sum(axis=0)
    assert 0 < is_collapsed(mass).sum() < 5
    named = {
        int(k): float(rows) for k, rows in re.findall(r"expert (\d) \((\S+) of 20 rows", found)
    }
    assert list(named) == np.flatnonzero(is_collapsed(mass)).tolist()
    assert_allclose(list(named.values()), mass[list(named)], rtol=0.05, atol=1e-2)
    moe.set_expert_names(list("abcde"))
    assert f"{'abcde'[next(iter(named))]} (" in collapsed_note(moe)


def collapsed_note(moe):
    """The note on collapsed experts in the summary for the rows of the fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        (note,) = [text for text in moe.summary(X[:20], Y[:20]).notes if "collapsed" in text]
    return note


def test_a_cross_validation_warns_once_of_collapsed_experts():
    """Of each category, whatever experts and gains its fits have; a second one warns again."""
    moe = regressor(n_experts=7, n_init=1, max_iter=2)
    folds = [(np.arange(20), np.arange(20, 40))]
    search = GridSearchCV(moe, {"gate_alpha": [0.01, 0.02], "n_experts": [4, 5]}, cv=folds)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n_times in (1, 2):
            search.fit(X[:40], Y[:40])
            cross_val_score(moe, X[:40], Y[:40], cv=2)
            found = [warning.category for warning in caught]
            assert found.count(CollapsedExpertsWarning) == n_times
            assert found.count(ConvergenceWarning) == 2 * n_times
    assert {warning.filename for warning in caught} == {__file__}


def test_a_fit_of_too_many_experts_does_not_advise_more_iterations():
    """Experts that nearly equal others are split from them slowly, and for no gain."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 2))
    y = np.where(table[:, 0] > 0.0, 3.0, -3.0) * table[:, 1] + 0.3 * rng.normal(size=400)
    few, many = (
        MixtureOfExpertsRegressor(n, n_init=1, random_state=0, max_iter=n_iter, tol=1e-12)
        for n, n_iter in ((2, 4), (5, 12))
    )
    (found,) = texts(few.fit, table, y, part="did not converge")
    assert "Increase max_iter" in found
    (found,) = texts(many.fit, table, y, part="did not converge")
    assert "Increase max_iter" not in found
    assert 'n_experts="auto"' in found


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0), (0.5, 0.5)])
def test_an_expert_without_noise_beside_one_with_noise_is_named(left, right):
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.uniform(-3, -1, size=40), rng.uniform(1, 3, size=40)])[:, None]
    y = np.sign(features[:, 0]) + np.repeat([left, right], 40) * rng.normal(size=80)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, dispersion_prior=0.0, alpha=0.1)
    found = texts(moe.fit, features, y, part="at its floor")
    named = [text.split("floor: ")[1].split(".")[0] for text in found]
    exact = f"expert {moe.noise_variance_.argmin()}"
    assert named == ([exact] if left != right else [])
    if left != right:
        moe.set_expert_names(["small", "large"]).set_params(warm_start=True)
        (found,) = texts(moe.fit, features, y, part="at its floor")
        assert f"floor: {moe.expert_names_[moe.noise_variance_.argmin()]}." in found


@pytest.mark.parametrize(
    ("expert", "loss", "remedy"),
    [
        (PoissonRegressor(), "poisson", 'family="poisson"'),
        (make_pipeline(StandardScaler(), PoissonRegressor()), "poisson", 'family="poisson"'),
        (GammaRegressor(), "gamma", 'family="gamma"'),
        (TweedieRegressor(power=1.5), "tweedie", 'family=["zero", "gamma"]'),
        (HistGradientBoostingRegressor(loss="gamma", max_iter=2), "gamma", 'family="gamma"'),
        (GradientBoostingRegressor(loss="quantile", n_estimators=2), "quantile", "predict_quant"),
        (["tree", Ridge(), QuantileRegressor(alpha=0.0)], "QuantileRegressor", "predict_quantile"),
        ([Ridge(), PoissonRegressor(), Ridge()], "poisson", 'family="poisson"'),
    ],
)
def test_losses_of_other_densities_than_the_normal_warn(expert, loss, remedy):
    n_experts = 3 if isinstance(expert, list) else 2
    moe = MixtureOfExpertsRegressor(n_experts, expert=expert, cross_fit=False, **SHORT)
    (found,) = texts(moe.fit, X[:60], POSITIVE[:60], part="normal noise")
    assert loss in found
    assert remedy in found


@pytest.mark.parametrize("expert", [Ridge(), "tree", "linear", SINGLE, [Ridge(), "tree"]])
def test_losses_of_the_mean_and_densities_do_not_warn(expert):
    moe = MixtureOfExpertsRegressor(2, expert=expert, **SHORT)
    assert texts(moe.fit, X[:40], POSITIVE[:40], part="normal noise") == []


def test_stacks_and_classifiers_have_no_loss_of_normal_noise():
    stack = stack_of(SINGLE, Ridge())
    assert texts(stack.fit, X[:60], Y[:60], part="normal noise") == []
    trees = MixtureOfExpertsClassifier(2, expert="tree", **SHORT)
    assert texts(trees.fit, X[:60], CLASSES[:60], part="normal noise") == []


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


def fit_blocks(given):
    rows = [X, COUNTS, *map(given.get, ("sample_weight", "offset", "units", "known_experts"))]
    cuts = slice(0, 150), slice(150, None)  # between two units
    blocks = [tuple(v if v is None else v[cut] for v in rows) for cut in cuts]
    return fit_quietly(clone(OF_COUNTS), RowBlocks(lambda: iter(blocks)))


def fit_stream(given):
    moe = clone(OF_COUNTS).partial_fit(X, COUNTS)
    return moe.partial_fit(X, COUNTS, **given).partial_fit(X, COUNTS)


@pytest.mark.parametrize("method", [*OF_FIT, *OF_ROWS, *OF_DISTRIBUTIONS, "score", *SILENT])
def test_arguments_of_the_fit_that_are_left_out_are_named(method):
    moe = fit_in_memory(GIVEN)
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
    moe = fit({name: GIVEN[name]})
    for read in (moe, pickle.loads(pickle.dumps(moe))):
        (found,) = texts(read.bic, X, COUNTS, part="unlike the fit")
        assert found.startswith(f"bic got no {name}")
    if name in NEUTRAL:
        assert texts(fit({name: NEUTRAL[name]}).bic, X, COUNTS, part="unlike the fit") == []


# --- where warnings point, and what they are not ----------------------------------------------


def not_converged():
    regressor(max_iter=1).fit(X, Y)


def collapsed():
    regressor(n_experts=9, n_init=1, gate_alpha=0.01).fit(X[:20], Y[:20])


def special_loss():
    regressor(n_experts=2, expert=PoissonRegressor(), max_iter=2).fit(X[:60], POSITIVE[:60])


def in_a_pipeline():
    make_pipeline(StandardScaler(), regressor(max_iter=1)).fit(X, Y)


def of_a_classifier():
    classifier(max_iter=1).fit(X, CLASSES)


@pytest.mark.parametrize(
    "fit", [not_converged, collapsed, special_loss, in_a_pipeline, of_a_classifier]
)
def test_warnings_point_at_the_line_of_the_user(fit):
    files = {filename for _, _, filename in warnings_of(fit)}
    assert files == {__file__}


@pytest.mark.parametrize("weight", [1e-12, 1e12, 1e100])
def test_extreme_weights_do_not_warn_of_numbers(weight):
    """More columns than rows: the penalty of the noise estimate must keep its size."""
    rng = np.random.default_rng(0)
    wide, y = rng.normal(size=(20, 60)), rng.normal(size=20)
    moe = MixtureOfExpertsRegressor(1)
    found = texts(moe.fit, wide, y, sample_weight=np.full(20, weight))
    assert [text for text in found if "collapsed" not in text] == []
    assert np.isfinite(moe.predict(wide)).all()


POINTS = {
    "beta": "shares",
    "poisson": "counts",
    "negative_binomial": "counts",
    "student_t": "numbers",
}
FEW = {"n_experts": 2, "n_init": 1, "max_iter": 5}
STRICT = [
    (regressor(**FEW | {"n_experts": 3}, gate=SoftmaxGate(top_k=2)), "numbers"),
    (MixtureOfExpertsRegressor(3, n_init=1, max_iter=5, random_state=0), "outputs"),
    (regressor(**FEW, expert=LinearRegression()), "numbers"),
    *(
        (regressor(**FEW, family=name), POINTS.get(name, "positive"))
        for name in ("poisson", "gamma", "student_t", "tweedie", "beta")
    ),
    (regressor(**FEW, family=Ordinal(values=(0.0, 1.0, 2.0, 3.0))), "ratings"),
    (regressor(**FEW, family=["zero", "poisson"]), "counts"),
    (regressor(**FEW, family=["normal", Uniform((-50.0,), (50.0,))]), "numbers"),
    (classifier(**FEW), "classes"),
]


@pytest.mark.parametrize(("moe", "task"), STRICT)
def test_no_floating_point_error_is_raised_where_numpy_raises_them(moe, task):
    rows = X[:60]
    target = {
        "numbers": Y,
        "outputs": np.column_stack([Y, X[:, 1]]),
        "counts": np.abs(np.round(Y)),
        "ratings": np.minimum(np.abs(np.round(Y)), 3.0),
        "positive": POSITIVE,
        "shares": POSITIVE / (1.0 + POSITIVE),
        "classes": CLASSES,
    }[task][:60]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = clone(moe).fit(rows, target)
        for method in ("predict", "predict_gate", "predict_experts", "explain"):
            getattr(moe, method)(rows)
        for method in ("score", "score_samples", "responsibilities"):
            getattr(moe, method)(rows, target)
        moe.summary(*((rows, target) if task in ("numbers", "classes") else ()))
        if hasattr(moe, "partial_fit"):
            clone(moe).partial_fit(
                rows, target, **({"classes": [0, 1]} if task == "classes" else {})
            )
        if task != "classes":
            few = slice(0, 60, 6)
            distribution = moe.predict_dist(rows[few])
            values = [distribution.mean, distribution.std, distribution.mode]
            values += [distribution.ppf(0.3)]
            values += [distribution.cdf(target[few]), distribution.crps(target[few])]
            assert all(np.isfinite(value).all() for value in values)
