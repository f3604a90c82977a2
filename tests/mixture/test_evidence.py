"""Penalties found by the evidence: what they are, and which features are dropped."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from support.expert_kinds import KINDS, draw, n_dispersions, options_of
from support.fits import fit_quietly
from support.tables import regimes_of, two_regimes

ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}
AUTO = {"alpha": "auto", "gate_alpha": "auto", "n_init": 1, "random_state": 0}
ARD = AUTO | {"alpha": "ard", "gate_alpha": "ard"}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **AUTO | options)


# --- the penalties ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "task", "kind"),
    [(*kind, "ard") for kind in KINDS] + [("linear", task, "auto") for task in ESTIMATORS],
)
def test_the_lower_bound_never_falls_after_the_search(name, task, kind):
    X, y = regimes_of(name, task)
    options = options_of(name) | AUTO | {"alpha": kind, "gate_alpha": kind}
    moe = fit_quietly(ESTIMATORS[task](2, **options), X, y)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-9
    assert moe.n_iter_ > len(moe.lower_bounds_)
    assert np.shape(moe.alpha_) == np.shape(moe.gate_alpha_) == ((3,) if kind == "ard" else ())
    assert np.min(moe.alpha_) > 0.0 < np.min(moe.gate_alpha_)
    assert kind == "auto" or np.isposinf(moe.gate_alpha_[2])  # of no use


def test_a_useless_gate_has_a_larger_penalty_than_one_that_separates():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    found = []
    for separating in (X[:, 0], rng.normal(size=200)):
        y = np.where(separating > 0, 1.0, -1.0) * (1.0 + X[:, 1]) + 0.1 * rng.normal(size=200)
        moe = regressor(gate_features=[0, 2, 3], expert_features=[1]).fit(X, y)
        found.append(moe.gate_alpha_)
    assert found[0] < 0.1
    assert found[1] > 2.0


def test_less_noise_has_a_smaller_penalty():
    X, _ = two_regimes(150)
    noise = np.random.default_rng(1).normal(size=150)
    moe = regressor(init=np.eye(2)[(X[:, 0] > 0).astype(int)], dispersion_prior=0.0)
    alphas = [
        fit_quietly(moe, X, np.where(X[:, 0] > 0, 5 + X[:, 1], -X[:, 2]) + y).alpha_
        for y in (0.0, 0.1 * noise, noise)
    ]
    assert alphas[0] <= alphas[1] < 0.1 * alphas[2]


def test_penalties_of_shared_slopes_are_those_of_one_regression_without_intercepts():
    """Most rows belong to one expert, but the rows of all determine the slopes."""
    rng, n_rows, n_features, n_experts = np.random.default_rng(0), 120, 15, 3
    X = rng.normal(size=(n_rows, n_features))
    regime = rng.permutation(np.repeat(range(n_experts), [108, 6, 6]))
    y = X @ (0.1 * rng.normal(size=n_features)) + 40.0 * regime + rng.normal(size=n_rows)
    options = {"gate": "constant", "dispersion": "shared", "tol": 1e-9, "max_iter": 500}
    options |= {"init": np.eye(n_experts)[regime], "shared_features": list(range(n_features))}
    moe = fit_quietly(MixtureOfExpertsRegressor(n_experts, **options), X, y)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    gram = np.zeros((n_features, n_features))
    for k in range(n_experts):
        own = scaled[regime == k] - scaled[regime == k].mean(axis=0)
        gram += own.T @ own
    coef = moe.expert_coef_[0] * X.std(axis=0)
    inverse = np.linalg.inv(gram + moe.alpha_ * np.eye(n_features))
    n_determined = n_features - moe.alpha_ * np.trace(inverse)
    squares = np.square(coef).sum() / moe.noise_variance_.ravel()[0]
    # MacKay's fixed point; the default penalty counts as 0.3 slopes of 15.
    expected = (n_determined + 0.3) / (squares + 0.3 / (15 * 0.1))
    assert_allclose(moe.alpha_, expected, rtol=0.06)


def test_penalties_of_classes_are_the_default_ones_where_those_predict_better():
    """The evidence wants larger ones of separable classes, and is right where classes overlap."""
    options = {"n_init": 1, "random_state": 0}
    X, y = make_blobs(80, 8, centers=4, cluster_std=3.0, random_state=0)
    default = fit_quietly(MixtureOfExpertsClassifier(2, **options), X, y)
    assert (default.alpha_, default.gate_alpha_) == (1.0, 1.0)
    given = MixtureOfExpertsClassifier(2, alpha=1.0, gate_alpha=1.0, **options)
    given = fit_quietly(given, X, y)
    assert_allclose(default.predict_proba(X), given.predict_proba(X), atol=0.01)
    assert default.n_iter_ > given.n_iter_
    X, y = make_blobs(60, 8, centers=2, cluster_std=20.0, random_state=0)
    found = fit_quietly(MixtureOfExpertsClassifier(2, **options), X, y)
    assert found.alpha_ > 2.0


@pytest.mark.parametrize("family", ["gamma", "lognormal"])
def test_experts_without_a_scale_do_not_affect_the_prior_of_scales(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.exp(np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, 1] + 0.3 * rng.normal(size=300))
    is_zero = rng.random(300) < 0.3
    options = {"dispersion_prior": "auto", "alpha": 0.1, "gate_alpha": 1.0}
    alone = fit_quietly(regressor(family=[family] * 2, **options), X[~is_zero], y[~is_zero])
    moe = regressor(3, family=[family, family, "zero"], **options)
    moe = fit_quietly(moe, X, np.where(is_zero, 0.0, y))
    assert_allclose(moe.dispersion_prior_, alone.dispersion_prior_, rtol=0.15)


@pytest.mark.parametrize("family", [name for name, one in FAMILIES.items() if one.has_scale])
@pytest.mark.filterwarnings("ignore::UserWarning", "error::RuntimeWarning")
def test_targets_with_little_noise_can_be_fitted(family):
    """Experts can lose all rows, which leaves nothing but errors of round-off in their steps."""
    rng = np.random.default_rng(19)
    X = rng.normal(size=(50, 4))
    y = np.exp(3.0 * X[:, 0] + 1e-3 * rng.normal(size=50))
    y = y / (1.0 + y) if family == "beta" else y
    moe = MixtureOfExpertsRegressor(4, family=family, n_init=1, max_iter=30, random_state=0)
    assert np.isfinite(moe.fit(X, y).lower_bounds_).all()


def test_more_columns_than_rows():
    """Hessians are not formed there."""
    rng = np.random.default_rng(0)
    X = sparse.random(60, 1100, density=0.05, random_state=0, format="csr")
    y = np.asarray(X[:, :3].sum(axis=1)).ravel() + 0.1 * rng.normal(size=60)
    moe = fit_quietly(regressor(max_iter=30), X, y)
    assert np.isfinite([moe.alpha_, moe.gate_alpha_]).all()
    assert moe.alpha_ > 1.0


# --- features that are dropped ----------------------------------------------------------------


@pytest.fixture(scope="module")
def selected():
    """A mixture whose gate needs feature 0 and whose experts need 1 and 2, of 6."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    slopes = np.where(rng.uniform(size=300) < 1 / (1 + np.exp(-6 * X[:, 0])), 1.5, -1.5)
    y = slopes * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=300)
    return X, y, MixtureOfExpertsRegressor(2, **ARD).fit(X, y)


def test_the_features_at_work_are_found(selected):
    X, _, moe = selected
    assert_array_equal(np.flatnonzero(np.isfinite(moe.alpha_)), [1, 2])
    assert_array_equal(np.flatnonzero(np.isfinite(moe.gate_alpha_)), [0])
    assert not moe.expert_coef_[:, [0, 3, 4, 5]].any()
    assert not moe.gate_coef_[:, 1:].any()
    assert moe.n_parameters_ == 2 * (3 + 1) + 2
    other = X.copy()
    other[:, 3:] = np.random.default_rng(1).normal(size=(300, 3))
    assert_array_equal(moe.predict(other), moe.predict(X))


def test_dropped_features_are_named(selected):
    X, y, moe = selected
    summary = str(moe.summary(X, y))
    for names, part in (("x0, x3, x4, x5", "experts"), ("x1, x2, x3, x4, x5", "gate")):
        assert f"Dropped by the {part}: {names}." in summary
    inference = moe.inference(X, y)
    dropped = {
        (term.part == "gate", term.name)
        for term, reason in zip(inference.terms, inference.reasons, strict=True)
        if reason == "dropped"
    }
    assert dropped == {(False, f"x{j}") for j in (0, 3, 4, 5)} | {
        (True, f"x{j}") for j in range(1, 6)
    }


def test_columns_that_gate_or_experts_do_not_use_have_no_penalty():
    X, y = two_regimes(100)
    moe = MixtureOfExpertsRegressor(2, **ARD, expert_features=[0, 2], gate_features=[0]).fit(X, y)
    assert_array_equal(np.isnan(moe.alpha_), [False, True, False])
    assert_array_equal(np.isnan(moe.gate_alpha_), [False, True, True])
    without = MixtureOfExpertsRegressor(2, **ARD, expert_features=[]).fit(X, y)
    assert np.isnan(without.alpha_).all()
    assert "Dropped by the experts" not in str(without.summary())


# Three features beside eight that are constant.
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(120, 3))
WITH_CONSTANTS = np.hstack([FEATURES, np.ones((120, 8))])
TARGET = np.abs(FEATURES[:, 0]) + 0.3 * RNG.normal(size=120)


def target_of(name):
    if name == "linear":
        return TARGET
    return draw(name, 0.5 * FEATURES[:, 0], np.random.default_rng(1), (0.3, 5.0))


@pytest.mark.parametrize(
    ("name", "task"),
    [("linear", task) for task in ESTIMATORS]
    + [(name, "regressor") for name in ("student_t", "poisson", "ordinal")],
)
def test_constant_and_dropped_columns_have_no_parameters(name, task):
    y = TARGET > 0.8 if task == "classifier" else target_of(name)
    moe = ESTIMATORS[task](2, **ARD, **options_of(name))
    moe = fit_quietly(moe, WITH_CONSTANTS, y)
    varies = np.ptp(WITH_CONSTANTS, axis=0) > 0.0
    kept, gate_kept = ((np.isfinite(a) & varies).sum() for a in (moe.alpha_, moe.gate_alpha_))
    n_own = 1 + (0 if task == "classifier" else n_dispersions(name))
    assert moe.n_parameters_ == 2 * (kept + n_own) + gate_kept + 1


@pytest.mark.parametrize("task", ESTIMATORS)
def test_constant_features_do_not_affect_which_features_are_kept(task):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 4))
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=150) > 0, 1.0, -1.0)
    y = slope * X[:, 1] + 0.5 * rng.normal(size=150)
    y = y if task == "regressor" else y > 0.3 * rng.normal(size=150)
    few = fit_quietly(ESTIMATORS[task](2, **ARD), X, y)
    many = fit_quietly(ESTIMATORS[task](2, **ARD), np.column_stack([X, np.ones((150, 20))]), y)
    for name in ("alpha_", "gate_alpha_"):
        assert_allclose(getattr(many, name)[:4], getattr(few, name), rtol=1e-6)
        assert np.isinf(getattr(many, name)[4:]).all()


def test_the_feature_of_a_sharp_border_is_kept():
    """The Hessian of a separated gate is small, so that its slope seems to be of no use."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = np.where(X[:, 0] > 0.0, 2.0, -1.0) * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=300)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **ARD), X, y)
    assert np.isfinite(moe.gate_alpha_[0])


def test_the_features_of_sharp_classes_are_kept_in_small_tables():
    """A search that goes round in circles would drop the feature, and find it again."""
    losses = []
    for seed in range(3):
        X = np.random.default_rng(seed).normal(size=(660, 8))
        classes = (X[:, 0] > 0.0) ^ (X[:, 1] > 0.0)
        moe = MixtureOfExpertsClassifier(2, **ARD | {"n_init": 3})
        moe = fit_quietly(moe, X[:60], classes[:60])
        losses.append(-moe.score_samples(X[60:], classes[60:]).mean())
    assert np.median(losses) < 0.15


# --- gate objects and blocks -------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gate_alpha": 7.0},
        {"base": Ridge()},
        {"expert": "tree", "cross_fit": False, "max_iter": 5},
    ],
    ids=str,
)
def test_a_gate_object_without_a_penalty_is_that_of_its_name(options):
    X, y = two_regimes(100)
    named = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options), X, y)
    of_object = fit_quietly(clone(named).set_params(gate=SoftmaxGate()), X, y)
    assert of_object.gate_alpha_ == named.gate_alpha_
    assert_array_equal(of_object.predict(X), named.predict(X))
    assert of_object.gate == SoftmaxGate()


def test_row_blocks_find_the_penalties_of_rows_in_memory():
    X, y = two_regimes(300)
    blocks = RowBlocks(lambda: ((X[i : i + 100], y[i : i + 100]) for i in range(0, 300, 100)))
    for options in (AUTO, ARD):
        in_memory = MixtureOfExpertsRegressor(2, **options).fit(X, y)
        in_blocks = MixtureOfExpertsRegressor(2, **options).fit(blocks)
        assert_allclose(in_blocks.alpha_, in_memory.alpha_, rtol=0.02)
        assert_allclose(in_blocks.gate_alpha_, in_memory.gate_alpha_, rtol=0.02)


# --- variances beside found penalties ---------------------------------------------------------


def coverage(family, n_rows=150, n_columns=50, **options):
    """Coverage of the 90 % intervals of new rows, by one expert with many small slopes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows + 1000, n_columns))
    y = draw(family, 0.7 * X @ rng.normal(size=n_columns) / n_columns**0.5, rng)
    moe = MixtureOfExpertsRegressor(1, family=family, random_state=0, **options)
    fit_quietly(moe, X[:n_rows], y[:n_rows])
    low, high = moe.predict_interval(X[n_rows:], 0.9).T
    return np.mean((low <= y[n_rows:]) & (y[n_rows:] <= high))


@pytest.mark.parametrize("family", [name for name, one in FAMILIES.items() if one.has_scale])
def test_intervals_cover_with_many_features_if_alpha_is_found(family):
    assert 0.86 < coverage(family) < 0.94


def test_variances_with_found_penalties_are_those_of_new_rows():
    """Squares of residuals and slopes over the rows that coefficients leave, or over all rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 15))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = X @ rng.normal(size=15) + 2.0 * rng.normal(size=80)
    options = {"dispersion_prior": 0.0, "random_state": 0}
    found = MixtureOfExpertsRegressor(1, **options).fit(X, y)
    given = MixtureOfExpertsRegressor(1, alpha=found.alpha_, **options).fit(X, y)
    gram = X.T @ X
    n_determined = 1.0 + np.trace(np.linalg.solve(gram + found.alpha_ * np.eye(15), gram))
    squares = np.square(y - given.predict(X)).sum()
    squares += found.alpha_ * np.square(given.expert_coef_).sum()
    assert_allclose(given.noise_variance_, squares / 80, rtol=1e-9)
    assert_allclose(found.noise_variance_, squares / (80 - n_determined), rtol=2e-3)
