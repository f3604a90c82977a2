"""A weight counts rows: two is the row twice, and zero is no row, for every kind of fit."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import SplineTransformer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from properties.small_fits import N, arguments, fit_on, statements, target, units_of
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.metrics import log_density_scorer, neg_crps_scorer
from skmoe.stacking import GatedStackingClassifier
from support.expert_kinds import (
    DISTRIBUTIONS,
    GENERALIZED,
    KINDS,
    draw,
    maximum_likelihood,
    options_of,
)
from support.fits import ALL_CASES, CLASSES, FIXED, FIXED_OF_CLASSES, X, Y, fit_quietly
from support.refusals import assert_fit_refused
from support.stacks import stack_of

WEIGHT = np.random.default_rng(7).integers(0, 4, size=N)
REPEATED = np.random.default_rng(8).permutation(np.arange(N).repeat(WEIGHT))


def short_fit_on(case, rows, weight=None):
    """Equally many iterations, of which trees and trials of several numbers take fewer."""
    few = case in ("selected number", "a list of estimators") or "trees" in case
    return fit_on(case, rows, weight, max_iter=2 if few else 4)


@cache
def weighted_fit(case):
    return short_fit_on(case, np.arange(N), WEIGHT.astype(float))


# --- weights are numbers of rows ----------------------------------------------------------------


@pytest.mark.parametrize("case", ALL_CASES)
def test_weight_two_equals_two_rows(case):
    weighted, repeated = weighted_fit(case), short_fit_on(case, REPEATED)
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-8)
    units = units_of(case)
    assert_allclose(
        statements(weighted, **units), statements(repeated, **units), rtol=1e-6, atol=1e-8
    )
    for name in ("aic", "bic", "icl"):
        if hasattr(weighted, name):
            given = arguments(case, np.arange(N), WEIGHT.astype(float))
            found = getattr(weighted, name)(X[:N], target(case, np.arange(N)), **given)
            of_rows = getattr(repeated, name)(
                X[REPEATED], target(case, REPEATED), **arguments(case, REPEATED)
            )
            assert_allclose(found, of_rows, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", [f"{name}-{task}" for name, task in KINDS])
def test_weight_zero_equals_absence(case):
    """To more digits than above, where rows without weight are absent from the repeated ones."""
    kept = np.flatnonzero(WEIGHT)
    weighted, without = weighted_fit(case), short_fit_on(case, kept, WEIGHT[kept].astype(float))
    assert_allclose(weighted.lower_bound_, without.lower_bound_, rtol=1e-10)
    units = units_of(case)
    assert_allclose(
        statements(weighted, **units), statements(without, **units), rtol=1e-8, atol=1e-10
    )


def test_balanced_classes_count_weights():
    moe = MixtureOfExpertsClassifier(
        2, class_weight="balanced", n_init=1, random_state=0, **FIXED_OF_CLASSES
    )
    y = np.digitize(Y[:N], [-1.0, 0.5])
    weighted = fit_quietly(clone(moe), X[:N], y, sample_weight=WEIGHT)
    repeated = fit_quietly(clone(moe), X[REPEATED], y[REPEATED])
    assert_allclose(statements(weighted), statements(repeated), rtol=1e-6, atol=1e-8)


OF_CLASSES = {
    "one expert": {"n_experts": 1},
    "constant gate": {"gate": "constant"},
    "gate with a transformer": {"gate": SoftmaxGate(transformer=SplineTransformer())},
    "base": {"base": LogisticRegression()},
    "base of trees": {"base": DecisionTreeClassifier(max_depth=2)},
    "trees": {"expert": "tree"},
    "a list": {"expert": ["tree", "linear"]},
    "found penalties": {"alpha": None, "gate_alpha": "auto"},
    "selected number": {"n_experts": "bic"},
    "units": {"gate": "constant"},
    "stack": None,
}


@pytest.mark.parametrize("class_weight", [{0: 0.3, 1: 2.0, 2: 1.1}, "balanced"], ids=str)
@pytest.mark.parametrize("case", OF_CLASSES)
def test_class_weights_are_weights_of_the_rows_of_every_fit(case, class_weight):
    """Of all parts of a fit: starts, standardisation, base, transformer, folds and trials."""
    y, weight = np.digitize(Y[:N], [-1.0, 0.5]), 1.0 + WEIGHT
    totals = np.bincount(y, weight)
    factors = totals.sum() / (3 * totals) if class_weight == "balanced" else class_weight
    if case == "stack":
        models = LogisticRegression(), DecisionTreeClassifier(max_depth=2)
        moe = stack_of(*models, kind=GatedStackingClassifier, random_state=0)
    else:
        options = {"n_experts": 2, "n_init": 1, "max_iter": 4, "random_state": 0} | FIXED_OF_CLASSES
        moe = MixtureOfExpertsClassifier(**options | OF_CLASSES[case])
    given = {"units": np.arange(N) // 2} if case == "units" else {}
    by_rows = weight * np.array([factors[label] for label in y])
    by_class = clone(moe).set_params(class_weight=class_weight)
    fit_quietly(by_class, X[:N], y, sample_weight=weight, **given)
    fit_quietly(moe, X[:N], y, sample_weight=by_rows, **given)
    assert_allclose(by_class.predict_proba(X), moe.predict_proba(X), rtol=1e-7)
    assert_allclose(by_class.lower_bound_, moe.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_are_classes_with_equal_total_weight(weighted):
    y, weight = CLASSES[:N], np.where(WEIGHT > 1, 3.0, 1.0) if weighted else np.ones(N)
    totals = np.bincount(y, weight)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0, **FIXED_OF_CLASSES)
    balanced, given = (
        clone(moe).set_params(class_weight=value)
        for value in ("balanced", dict(enumerate(weight.sum() / 2 / totals)))
    )
    for other in (balanced, given):
        fit_quietly(other, X[:N], y, sample_weight=weight)
    by_rows = fit_quietly(moe, X[:N], y, sample_weight=(weight * weight.sum() / 2 / totals[y]))
    assert_allclose(statements(balanced), statements(given), rtol=1e-6, atol=1e-8)
    assert_allclose(statements(balanced), statements(by_rows), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("with_groups", [False, True], ids=["", "groups"])
def test_a_selected_number_of_experts_counts_weights(with_groups):
    """Also in the folds, where copies of a row are held out together."""
    options = {"n_init": 1, "max_iter": 2, "random_state": 1} | FIXED
    moe = MixtureOfExpertsRegressor([1, 2], **options)
    groups, fits = np.arange(16) // 2, []
    repeated = np.random.default_rng(1).permutation(np.arange(16).repeat(WEIGHT[:16]))
    for rows, weight in ((np.arange(16), WEIGHT[:16]), (repeated, None)):
        given = {"groups": groups[rows]} if with_groups else {}
        fits.append(fit_quietly(clone(moe), X[rows], Y[rows], sample_weight=weight, **given))
    assert fits[0].n_experts_tried_.tolist() == fits[1].n_experts_tried_.tolist()
    assert_allclose(fits[0].n_experts_scores_, fits[1].n_experts_scores_, rtol=1e-6)
    assert_allclose(statements(fits[0]), statements(fits[1]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_no_more_experts_are_tried_than_the_weights_allow(criterion):
    """Nor than distinct rows: four copies of a row with a quarter of the weight are one row."""
    moe = MixtureOfExpertsRegressor(criterion, n_init=1, max_iter=2, random_state=0, **FIXED)
    largest = []
    for rows, weight in (
        (np.arange(20), 1.0),
        (np.tile(np.arange(20), 4), 0.25),
    ):
        fit_quietly(moe, X[rows], Y[rows], sample_weight=np.full(len(rows), weight))
        largest.append(moe.n_experts_tried_.max())
    assert largest[0] == largest[1] < 20
    few, words = {"sample_weight": np.full(20, 1 / 20)}, ["counted by their weights", "mean"]
    assert_fit_refused(moe, (X[:20], Y[:20]), "n_experts", *words, **few)


def test_classes_of_two_rows_cannot_be_held_out():
    rows, y = np.arange(24.0)[:, None], np.repeat(np.arange(12), 2)
    moe = MixtureOfExpertsClassifier("auto")
    assert_fit_refused(moe, (rows, y), "n_experts", "distinct rows", '"bic"')


def test_copies_of_few_distinct_rows_are_held_out_apart():
    """Classes that do not depend on the only feature, of two values, are one regime."""
    rows, y = np.tile([[0.0], [1.0], [0.0], [1.0]], (30, 1)), np.tile([0, 1, 1, 0], 30)
    moe = MixtureOfExpertsClassifier([1, 2], n_init=1, random_state=0)
    assert fit_quietly(moe, rows, y).n_experts_ == 1


# --- rows without weight may hold anything ------------------------------------------------------

# Options, and a target that the experts cannot have.
IMPOSSIBLE = {
    "ordinal": ({"family": "ordinal"}, 99.0),
    "poisson": ({"family": "poisson"}, -5.0),
    "gamma": ({"family": "gamma"}, -1.0),
    "zero and uniform": ({"family": ["zero", "uniform"]}, 1e6),
    "normal": ({}, 1e6),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_row_without_weight_changes_no_score(name):
    options, impossible = IMPOSSIBLE[name]
    rng = np.random.default_rng(0)
    rows = X[:40]
    y = np.exp(0.5 * rows[:, 0]) * rng.gamma(2.0, size=40) + 0.1
    y = {"ordinal": np.clip(np.round(y), 1, 4), "poisson": np.round(y)}.get(name, y)
    if name == "zero and uniform":
        y = np.where(rows[:, 1] > 0.5, 0.0, y)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, max_iter=60, **FIXED, **options)
    fit_quietly(moe, rows, y)
    more = np.vstack([rows, [[0.5, -0.5]]]), np.append(y, impossible)
    given = {"sample_weight": np.append(np.ones(40), 0.0)}
    again = fit_quietly(clone(moe), *more, **given)
    assert_allclose(again.predict(rows), moe.predict(rows), rtol=1e-8)
    for criterion in (moe.aic, moe.bic, moe.icl):
        assert_allclose(criterion(*more, **given), criterion(rows, y))
    for scorer in (log_density_scorer, neg_crps_scorer):
        assert_allclose(scorer(moe, *more, **given), scorer(moe, rows, y))
    if name != "ordinal":  # whose standard errors take long
        assert str(moe.summary(*more, **given)) == str(moe.summary(rows, y))
    if name in ("normal", "poisson"):
        found, expected = moe.inference(*more, **given), moe.inference(rows, y)
        assert_allclose(found.standard_errors, expected.standard_errors)


# --- copies of a row are on one side of every fold ----------------------------------------------


class Priced:
    """Its fit takes metadata, with which rows are kept apart."""

    def fit(self, X, y, sample_weight=None, price=None):
        return super().fit(X, y, sample_weight=sample_weight)


class PricedRidge(Priced, Ridge):
    pass


class PricedTree(Priced, DecisionTreeRegressor):
    pass


class PricedLogistic(Priced, LogisticRegression):
    pass


class PricedTreeClassifier(Priced, DecisionTreeClassifier):
    pass


# Deep trees have ties between splits of few rows, which round-off decides.
SHALLOW = {"max_depth": 2, "random_state": 0}
REGRESSORS = [PricedRidge(), PricedTree(**SHALLOW)]
CLASSIFIERS = [PricedLogistic(), PricedTreeClassifier(**SHALLOW)]
STACK = stack_of(*REGRESSORS)
OF_ESTIMATORS = {
    "stack": STACK,
    "stack of classifiers": stack_of(*CLASSIFIERS, kind=GatedStackingClassifier),
    "experts": MixtureOfExpertsRegressor(2, expert=REGRESSORS, max_iter=2),
    "classifiers": MixtureOfExpertsClassifier(2, expert=CLASSIFIERS, max_iter=2),
    "base": MixtureOfExpertsRegressor(2, base=DecisionTreeRegressor(**SHALLOW), max_iter=4),
}
KEPT_APART = [(kind, "metadata") for kind in OF_ESTIMATORS if kind != "base"]
KEPT_APART += [(kind, "responsibilities") for kind in OF_ESTIMATORS if "stack" not in kind]


@pytest.mark.parametrize(("kind", "way"), KEPT_APART)
def test_weight_two_equals_two_rows_that_are_kept_apart(kind, way):
    moe = clone(OF_ESTIMATORS[kind]).set_params(random_state=0)
    if "stack" not in kind:
        moe.set_params(n_init=1)
    y = (CLASSES if "class" in kind else Y)[:N]
    resp = np.where(X[:N, :1] > 0.0, [0.9, 0.1], [0.2, 0.8])
    order = np.random.default_rng(2).permutation(N)
    fits = []
    for rows, weight in ((order, WEIGHT[order]), (REPEATED, None)):
        own, given = clone(moe), {}
        if way == "responsibilities":
            own.set_params(init=resp[rows])
        else:
            given["price"] = X[rows, 0]
        fits.append(fit_quietly(own, X[rows], y[rows], sample_weight=weight, **given))
    assert_allclose(fits[1].lower_bound_, fits[0].lower_bound_, rtol=1e-7)
    assert_allclose(statements(fits[1]), statements(fits[0]), rtol=1e-5, atol=1e-5)


def test_copies_of_a_row_are_held_out_together():
    """A deep tree repeats the targets of copies, if it has seen any."""
    rng = np.random.default_rng(0)
    y = Y[:N] + rng.normal(size=N)
    deep = stack_of(PricedRidge(), PricedTree(random_state=0), dispersion_prior=10.0)
    for rows in (np.arange(N), np.tile(np.arange(N), 2)):
        moe = fit_quietly(clone(deep), X[rows], y[rows], price=X[rows, 0])
        assert moe.noise_variance_[1] > 1.0


# --- one expert is the single model -------------------------------------------------------------


def single_table(name):
    """Features, target and fractional weights; heavy rows follow another rule than light ones."""
    rng = np.random.default_rng(0)
    rows, weight = rng.uniform(-1, 1, size=(40, 2)), rng.uniform(0.1, 5.0, size=40)
    signal = np.where(weight > 2.5, 1.0, -1.0) * rows[:, 0] + 0.5 * rows[:, 1]
    if name in GENERALIZED:
        return rows, draw(name, 1.0 + signal, rng), weight
    return rows, signal + 0.3 * rng.normal(size=40), weight


def single_model(name, rows, y, weight):
    """Means under the maximum of the weighted likelihood, by scipy."""
    coef, log_dispersion = maximum_likelihood(
        "normal" if name == "linear" else name, rows, y, weight
    )
    predictor = rows @ coef[:-1] + coef[-1]
    distribution = DISTRIBUTIONS["normal" if name == "linear" else name]
    return distribution(predictor, *np.exp(log_dispersion)).mean()


@pytest.mark.parametrize("name", [name for name, task in KINDS if task == "regressor"])
def test_one_expert_is_the_weighted_maximum_of_the_likelihood(name):
    rows, y, weight = single_table(name)
    expected = single_model(name, rows, y, weight)
    moe = MixtureOfExpertsRegressor(
        1, alpha=1e-9, tol=1e-10, dispersion_prior=0.0, gate_alpha=1.0, n_init=1, **options_of(name)
    )
    found = moe.fit(rows, y, sample_weight=weight).predict(rows)
    assert_allclose(found, expected, atol=2e-4)
    assert np.abs(moe.fit(rows, y).predict(rows) - found).max() > 0.05


def test_one_classifier_is_the_weighted_logistic_regression():
    rows, y, weight = single_table("linear")
    y = (y > 0).astype(int)
    scale = np.sqrt(np.cov(rows.T, aweights=weight, ddof=0).diagonal())
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
    expected = model.fit(rows / scale, y, sample_weight=weight).predict_proba(rows / scale)
    moe = MixtureOfExpertsClassifier(1, alpha=1.0, gate_alpha=1.0, n_init=1, tol=1e-12).fit(
        rows, y, sample_weight=weight
    )
    assert_allclose(moe.predict_proba(rows), expected, atol=1e-5)
