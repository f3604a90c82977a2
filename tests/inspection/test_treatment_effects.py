"""Effects of a treatment by regime and row, and what they are worth in held-out rows."""

import pickle
from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from benchmarks.treatments import share_covered
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.inspection import average_effects, treatment_effects
from skmoe.model_selection import likelihood_ratio_test
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

mpl.use("Agg")

# Penalties near zero, so that estimates are those of maximum likelihood.
UNPENALISED = {"alpha": 1e-8, "gate_alpha": 1e-6}
FREE = UNPENALISED | {"dispersion_prior": 0.0}
GATE = {"gate_features": ["age", "dose"], "random_state": 0, "n_init": 1}
FOLDS = KFold(2, shuffle=True, random_state=0)


@cache
def trial(n_rows=300):
    """A treatment that helps the old and harms the young; visits, and whether there are many."""
    rng = np.random.default_rng(1)
    age, dose = rng.normal(size=(2, n_rows))
    drug = rng.integers(2, size=n_rows)
    X = pd.DataFrame({"age": age, "drug": drug, "dose": dose})
    is_old = age + 0.3 * rng.logistic(size=n_rows) > 0
    effect = np.where(is_old, 2.0 + dose, -1.0)
    y = np.where(is_old, 4.0, 2.0) + effect * drug + dose + rng.normal(size=n_rows)
    return X, pd.Series(y, name="score")


X, Y = trial()
COUNTS = np.floor(np.exp(0.4 * np.clip(Y, -3.0, 4.0)))
IS_HIGH = np.where(Y > 3.0, "high", "low")
UNITS = np.arange(len(X)) // 3
IS_TREATED = X["drug"].to_numpy() == 1


@cache
def mixture(**options):
    moe = MixtureOfExpertsRegressor(2, alpha=0.1, gate_alpha=0.5, **GATE | options)
    return fit_quietly(moe, X, Y)


@cache
def compared(**options):
    """Effects in the trial, and in its held-out rows."""
    return treatment_effects(mixture(), X, Y, treatment="drug", cv=FOLDS, **options)


# --- one regime -----------------------------------------------------------------------------------


def with_interactions(table):
    """The columns and their products, with a constant."""
    columns = np.asarray(table, dtype=float).T
    pairs = [first * second for first, second in combinations(columns, 2)]
    return np.column_stack([np.ones(len(table)), *columns, *pairs])


def at(value):
    return X.assign(drug=value)


def insured():
    """Health insurance drawn by lot: whether people paid a part, and visits to a doctor."""
    table = sm.datasets.randhie.load_pandas().data
    pays = (table["lncoins"] > 0) | (table["idp"] > 0)
    return table[["disea", "physlm", "hlthg"]].assign(drug=pays.astype(float)), table["mdvis"]


def seizures():
    """Progabide against epileptic seizures (Thall and Vail 1990)."""
    path = Path(sm.__file__).parent / "genmod" / "tests" / "results" / "epil.csv"
    if not path.exists():
        pytest.skip("statsmodels is installed without this table")
    table = pd.read_csv(path)
    return table[["lbase", "age"]].assign(drug=(table["trt"] == "progabide") + 0.0), table["y"]


def poisson():
    return MixtureOfExpertsRegressor(1, family="poisson", **FREE)


# The family of statsmodels, the model of skmoe, and the trial.
SINGLE = {
    "least squares": (sm.families.Gaussian(), MixtureOfExpertsRegressor(1, **FREE), lambda: (X, Y)),
    "Poisson": (sm.families.Poisson(), poisson(), lambda: (X, COUNTS)),
    "logistic": (
        sm.families.Binomial(),
        MixtureOfExpertsClassifier(1, **UNPENALISED),
        lambda: (X, IS_HIGH),
    ),
    "health insurance": (sm.families.Poisson(), poisson(), insured),
    "seizures": (sm.families.Poisson(), poisson(), seizures),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_regime_is_a_regression_with_interactions(name):
    family, moe, trial_of = SINGLE[name]
    table, y = trial_of()
    numbers = (y == "low").astype(float) if name == "logistic" else np.asarray(y)
    peer = sm.GLM(numbers, with_interactions(table), family=family).fit(tol=1e-12)
    ends = [with_interactions(table.assign(drug=value)) for value in (0, 1)]
    means = [peer.predict(end) for end in ends]
    slopes = [family.link.inverse_deriv(end @ peer.params)[:, None] * end for end in ends]
    gradient = (slopes[1] - slopes[0]).mean(axis=0)
    covariance = peer.cov_params()
    if name == "least squares":  # maximum likelihood divides by the number of rows
        covariance = covariance * peer.df_resid / len(table)
    pipeline = make_pipeline(PolynomialFeatures(2, interaction_only=True, include_bias=False), moe)
    found = treatment_effects(pipeline.fit(table, y), table, y, treatment="drug")
    assert [term.name for term in found.terms] == ["mixture"]
    assert found.terms[0].part == "drug: 0 to 1"
    assert found.equality is None
    assert_allclose(found.row_effects, means[1] - means[0], rtol=1e-5, atol=1e-6)
    assert_allclose(found.estimates, [np.mean(means[1] - means[0])], rtol=1e-5)
    errors = np.sqrt([gradient @ covariance @ gradient])
    assert_allclose(found.standard_errors, errors, rtol=1e-4)


# --- regimes and rows -----------------------------------------------------------------------------


def test_effects_of_rows_are_those_of_experts_by_their_probabilities():
    moe, found = mixture(), compared()
    gate = moe.predict_gate(X)
    tau = moe.predict_experts(at(1)) - moe.predict_experts(at(0))
    assert_allclose(found.row_effects, (gate * tau).sum(axis=1), atol=1e-12)
    expected = [found.row_effects.mean(), *(gate * tau).sum(axis=0) / gate.sum(axis=0)]
    assert_allclose(found.estimates, expected)
    assert_allclose(found.share_helped, np.mean(found.row_effects > 0.0))
    assert_allclose(np.sort(expected)[[0, -1]], [-1.0, 2.0], atol=0.5)


def test_effects_have_the_errors_of_average_effects_and_one_test():
    moe, found = mixture(), compared()
    own = average_effects(moe, X, features="drug", inference=moe.inference(X, Y))
    assert [term.name for term in found.terms] == ["mixture", *moe.expert_names_]
    assert_allclose(found.covariance, own.covariance[:3, :3])
    contrast = np.array([1.0, -1.0])
    variance = contrast @ own.covariance[1:3, 1:3] @ contrast
    assert_allclose(found.equality.statistic, (contrast @ own.estimates[1:3]) ** 2 / variance)
    assert (found.equality.df, found.equality.p_value < 1e-4) == (1, True)


def test_another_inference_has_its_own_errors():
    moe = mixture()
    of_bootstrap = moe.inference(X, Y, method="bootstrap", n_bootstrap=5, random_state=0)
    found = treatment_effects(moe, X, treatment="drug", inference=of_bootstrap)
    assert found.replicates.shape == (5, 3)
    assert_allclose(found.covariance, np.cov(found.replicates.T))
    assert np.isfinite(found.equality.p_value)
    without = treatment_effects(moe, X, treatment="drug")
    assert without.equality is None
    assert np.isnan(without.standard_errors).all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "array", "sparse"])
def test_tables_of_all_kinds_have_the_same_effects(kind):
    tables = {
        "pandas": X.set_index(np.arange(len(X)) + 7),
        "polars": pl.from_pandas(X),
        "array": X.to_numpy(),
        "sparse": sparse.csr_array(X.to_numpy()),
    }
    names = {"gate_features": [0, 2]} if kind in ("array", "sparse") else {}
    table, treatment = tables[kind], 1 if names else "drug"
    moe = fit_quietly(clone(mixture()).set_params(**names), table, Y)
    found = treatment_effects(moe, table, Y, treatment=treatment, cv=FOLDS)
    assert_allclose(found.estimates, compared().estimates, rtol=1e-5)
    assert_allclose(found.held_out_effects, compared().held_out_effects, rtol=1e-4, atol=1e-6)


def test_experts_in_another_order_have_their_own_effects():
    resp = mixture().responsibilities(X, Y)
    moe = mixture()
    swapped = clone(moe).set_params(init=resp[:, ::-1].copy(), alpha=0.1, gate_alpha=0.5)
    same = clone(swapped).set_params(init=resp)
    found = [
        treatment_effects(fit_quietly(m, X, Y), X, Y, treatment="drug") for m in (same, swapped)
    ]
    order = [0, 1, 2]
    if np.sign(found[0].estimates[1]) != np.sign(found[1].estimates[1]):
        order = [0, 2, 1]
    assert_allclose(found[1].estimates[order], found[0].estimates, rtol=1e-4)
    assert_allclose(found[1].equality.statistic, found[0].equality.statistic, rtol=1e-3)
    assert_allclose(found[1].row_effects, found[0].row_effects, rtol=1e-3, atol=1e-4)


def test_the_other_value_as_the_treatment_turns_all_signs():
    other = X.assign(drug=1 - X["drug"])
    moe = fit_quietly(clone(mixture()), other, Y)
    found = treatment_effects(moe, other, Y, treatment="drug", cv=FOLDS)
    assert_allclose(found.estimates, -compared().estimates, rtol=1e-4)
    assert_allclose(found.standard_errors, compared().standard_errors, rtol=1e-3)
    assert_allclose(found.share_helped, 1.0 - compared().share_helped)
    assert_allclose(found.policies.mean, compared().policies.mean[[0, 2, 1]], rtol=1e-6)
    assert_allclose(found.calibration.observed, -compared().calibration.observed[::-1], rtol=1e-6)


def test_losses_are_gains_of_the_other_sign_in_other_units():
    losses = -100.0 * Y
    found = treatment_effects(
        fit_quietly(clone(mixture()), X, losses),
        X,
        losses,
        treatment="drug",
        better="lower",
        cv=FOLDS,
    )
    same = compared()
    assert_allclose(found.estimates, -100.0 * same.estimates, rtol=1e-4)
    assert_allclose(found.standard_errors, 100.0 * same.standard_errors, rtol=1e-3)
    assert_allclose(found.equality.statistic, same.equality.statistic, rtol=1e-3)
    assert_allclose(found.share_helped, same.share_helped)
    assert_allclose(found.policies.mean, -100.0 * same.policies.mean, rtol=1e-6)
    assert_allclose(
        found.policies.difference_error, 100.0 * same.policies.difference_error, rtol=1e-6
    )
    assert "negative" in repr(found)


def test_steps_of_a_pipeline_carry_the_treatment():
    """Text is encoded, and interactions are made, before the mixture."""
    table = X.assign(drug=np.where(IS_TREATED, "verum", "placebo"))
    encoded = make_column_transformer(
        (OneHotEncoder(drop="first", categories=[["placebo", "verum"]]), ["drug"]),
        remainder="passthrough",
    )
    steps = encoded, PolynomialFeatures(2, interaction_only=True, include_bias=False)
    last = clone(mixture()).set_params(gate_features=[1, 2])
    pipeline = fit_quietly(make_pipeline(*steps, StandardScaler(), last), table, Y)
    folds = KFold(2, shuffle=True, random_state=0)
    found = treatment_effects(pipeline, table, Y, treatment="drug", cv=folds)
    ends = [pipeline.predict(table.assign(drug=value)) for value in ("placebo", "verum")]
    assert_allclose(found.row_effects, ends[1] - ends[0])
    assert found.terms[0].part == "drug: placebo to verum"
    assert (found.standard_errors > 0.0).all()
    search = GridSearchCV(pipeline, {"mixtureofexpertsregressor__alpha": [0.1]}, cv=2)
    of_search = treatment_effects(
        fit_quietly(search, table, Y), table, Y, treatment="drug", cv=folds
    )
    assert_allclose(of_search.policies.mean, found.policies.mean)


def test_classes_have_differences_of_probabilities():
    moe = MixtureOfExpertsClassifier(2, alpha=0.1, gate_alpha=0.5, **GATE)
    fit_quietly(moe, X, IS_HIGH)
    found = treatment_effects(moe, X, IS_HIGH, treatment="drug", better="lower", cv=FOLDS)
    low = [moe.predict_proba(at(value))[:, 1] for value in (0, 1)]
    assert moe.classes_[1] == "low"
    assert_allclose(found.row_effects, low[1] - low[0])
    is_low = IS_HIGH == "low"
    assert_allclose(
        found.policies.mean[1:], [is_low[IS_TREATED].mean(), is_low[~IS_TREATED].mean()]
    )
    helps = found.held_out_effects < 0.0
    assert_allclose(found.policies.share, [helps.mean(), 1.0, 0.0])


def test_mixtures_without_standard_errors_have_effects():
    moe = MixtureOfExpertsRegressor(2, expert="tree", max_iter=3, **GATE)
    found = treatment_effects(fit_quietly(moe, X, Y), X, Y, treatment="drug")
    assert found.equality is None
    assert_allclose(found.row_effects, moe.predict(at(1)) - moe.predict(at(0)))
    assert "std. error" not in repr(found)
    assert found.plot().ax_.shape == (1,)


# --- held-out rows --------------------------------------------------------------------------------


def test_held_out_effects_are_those_of_fits_to_the_other_folds():
    given = {
        "units": UNITS,
        "offset": np.linspace(-0.5, 0.5, len(X)),
        "sample_weight": 1.0 + IS_TREATED,
    }
    options = {"family": "poisson", "gate": "constant", "alpha": 0.1, "n_init": 1}
    moe = MixtureOfExpertsRegressor(2, random_state=0, **options)
    fit_quietly(moe, X, COUNTS, **given)
    found = treatment_effects(moe, X, COUNTS, treatment="drug", cv=3, **given)
    for train, test in GroupKFold(3).split(X, groups=UNITS):
        of_train = {name: values[train] for name, values in given.items()}
        refit = fit_quietly(clone(moe), X.iloc[train], COUNTS[train], **of_train)
        offset = given["offset"][test]
        low, high = (refit.predict(at(v).iloc[test], offset=offset) for v in (0, 1))
        assert_allclose(found.held_out_effects[test], high - low, rtol=1e-6)


def mean_and_error(y, chance):
    """A mean by inverse probability weights, by hand."""
    weight = 1.0 / chance
    mean = np.average(y, weights=weight)
    return mean, np.sqrt(np.sum((weight * (y - mean)) ** 2)) / weight.sum()


@pytest.mark.parametrize("propensity", [None, 0.4, "of age"])
def test_values_are_means_by_inverse_probability_weights(propensity):
    chance = np.full(len(X), propensity or IS_TREATED.mean()) if propensity != "of age" else 0
    if propensity == "of age":
        chance = propensity = 1.0 / (1.0 + np.exp(-0.5 * X["age"].to_numpy()))
    found = (
        compared()
        if propensity is None
        else treatment_effects(mixture(), X, Y, treatment="drug", cv=FOLDS, propensity=propensity)
    )
    own, y = np.where(IS_TREATED, chance, 1.0 - chance), Y.to_numpy()
    helps = found.held_out_effects > 0.0
    rules = helps, np.ones(len(X), bool), np.zeros(len(X), bool)
    assert_allclose(found.policies.share, [helps.mean(), 1.0, 0.0])
    for i, rule in enumerate(rules):
        kept = rule == IS_TREATED
        expected = mean_and_error(y[kept], own[kept])
        assert_allclose((found.policies.mean[i], found.policies.mean_error[i]), expected)
    gains = found.policies.mean[0] - found.policies.mean
    assert_allclose(found.policies.difference, [np.nan, *gains[1:]])
    # Rows that both rules treat alike count less for the difference than for the values.
    assert (found.policies.difference_error[1:] < 1.5 * found.policies.mean_error.max()).all()


def test_differences_have_the_errors_of_resampled_rows():
    found, y = compared(), Y.to_numpy()
    helps = found.held_out_effects > 0.0
    rng, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        i = rng.integers(len(y), size=len(y))
        own = np.where(IS_TREATED[i], IS_TREATED.mean(), 1.0 - IS_TREATED.mean())
        means = [
            np.average(y[i], weights=(rule[i] == IS_TREATED[i]) / own)
            for rule in (helps, np.ones_like(helps), np.zeros_like(helps))
        ]
        drawn.append(means[0] - np.array(means))
    assert_allclose(found.policies.difference_error[1:], np.std(drawn, axis=0)[1:], rtol=0.06)


def test_fifths_of_each_fold_are_compared_with_the_observed_effects():
    found, y = compared(), Y.to_numpy()
    group = np.zeros(len(X), dtype=int)
    for _, test in FOLDS.split(X):
        rank = found.held_out_effects[test].argsort().argsort()
        group[test] = 5 * (rank + 0.5) / len(test)
    assert_allclose(found.calibration.share, np.bincount(group) / len(X))
    assert found.calibration.fifth.tolist() == [1, 2, 3, 4, 5]
    for g in range(5):
        arms = [y[(group == g) & (treated == IS_TREATED)] for treated in (True, False)]
        assert_allclose(found.calibration.predicted[g], found.held_out_effects[group == g].mean())
        assert_allclose(found.calibration.observed[g], arms[0].mean() - arms[1].mean())
        error = np.sqrt(sum(arm.var() / len(arm) for arm in arms))
        assert_allclose(found.calibration.observed_error[g], error)
    assert found.calibration.observed[[0, -1]].round() == pytest.approx([-1.0, 2.0])


@pytest.mark.parametrize("has_units", [False, True])
def test_a_weight_of_two_is_the_row_twice(has_units):
    """In units it is the row twice in its unit."""
    weight, found = 1.0 + (np.arange(len(X)) % 4 == 0), []
    for rows, given in (
        (np.arange(len(X)), {"sample_weight": weight}),
        (np.repeat(np.arange(len(X)), weight.astype(int)), {}),
    ):
        table, y = X.iloc[rows].reset_index(drop=True), Y.iloc[rows].to_numpy()
        moe = clone(mixture())
        if has_units:
            given, moe = given | {"units": UNITS[rows]}, moe.set_params(gate="constant")
            moe.set_params(gate_features=None)
        fit_quietly(moe, table, y, **given)
        cv = list(PredefinedSplit(UNITS[rows] % 2).split())
        found.append(treatment_effects(moe, table, y, treatment="drug", cv=cv, **given))
    weighted, repeated = found
    assert_allclose(weighted.estimates, repeated.estimates, rtol=1e-4)
    assert_allclose(weighted.standard_errors, repeated.standard_errors, rtol=1e-3)
    assert_allclose(weighted.share_helped, repeated.share_helped)
    for table, of_repeated in (
        (weighted.policies, repeated.policies),
        (weighted.calibration, repeated.calibration),
    ):
        for name in list(table)[1:]:
            assert_allclose(table[name], of_repeated[name], rtol=1e-4)


def test_with_random_effects_a_weight_of_two_is_the_unit_twice():
    weight = 1.0 + (UNITS % 4 == 0)
    copies = np.append(np.arange(len(X)), np.flatnonzero(weight == 2.0))
    other = np.append(UNITS, 1000 + UNITS[weight == 2.0])
    moe = MixtureOfExpertsRegressor(
        1, random_features=[], alpha=0.1, dispersion_prior=0.0, max_iter=50
    )
    found = []
    for rows, given in (
        (np.arange(len(X)), {"units": UNITS, "sample_weight": weight}),
        (copies, {"units": other}),
    ):
        table, y = X.iloc[rows].reset_index(drop=True), Y.to_numpy()[rows]
        own = fit_quietly(clone(moe), table, y, **given)
        cv = list(PredefinedSplit(UNITS[rows] % 2).split())
        found.append(treatment_effects(own, table, y, treatment="drug", cv=cv, **given))
    weighted, repeated = found
    assert_allclose(weighted.policies.mean, repeated.policies.mean)
    for name in ("mean_error", "difference_error"):
        assert_allclose(weighted.policies[name], repeated.policies[name])
    errors = [each.calibration.observed_error for each in found]
    assert_allclose(*errors)


def test_held_out_rows_whose_y_is_missing_contribute_nothing():
    is_missing = np.arange(len(X)) % 7 == 0
    moe = MixtureOfExpertsRegressor(1, random_features=[], alpha=0.1, max_iter=50)
    found = []
    for rows in (np.arange(len(X)), np.flatnonzero(~is_missing)):
        table, y = X.iloc[rows], Y.mask(is_missing).to_numpy()[rows]
        own = fit_quietly(clone(moe), table, y, units=UNITS[rows])
        given = {"units": UNITS[rows], "cv": list(PredefinedSplit(UNITS[rows] % 2).split())}
        found.append(treatment_effects(own, table, y, treatment="drug", **given))
    with_holes, known = found
    for name in ("mean", "mean_error", "difference", "difference_error"):
        assert_allclose(with_holes.policies[name], known.policies[name], rtol=1e-6)
    for name in ("observed", "observed_error"):
        assert_allclose(with_holes.calibration[name], known.calibration[name], rtol=1e-6)
    assert np.isfinite(with_holes.policies.mean).all()


def test_rows_of_a_unit_count_together():
    """Units of equal rows have the errors of one row each."""
    index = np.repeat(np.arange(len(X)), 2)
    table, y = X.iloc[index].reset_index(drop=True), Y.to_numpy()[index]
    folds = [tuple(np.flatnonzero(np.isin(index, part)) for part in f) for f in FOLDS.split(X)]
    given = {"treatment": "drug", "better": "higher", "cv": folds, "units": index}
    moe = MixtureOfExpertsRegressor(1, alpha=0.1).fit(table, y, units=index)
    twice = treatment_effects(moe, table, y, **given)
    once = treatment_effects(clone(moe).fit(X, Y), X, Y, treatment="drug", cv=FOLDS)
    assert_allclose(twice.policies.mean_error, once.policies.mean_error)
    assert_allclose(twice.calibration.observed_error, once.calibration.observed_error)


def test_equal_effects_are_one_group():
    line = MixtureOfExpertsRegressor(1, **FREE).fit(X, Y)
    found = treatment_effects(line, X, Y, treatment="drug", cv=FOLDS)
    assert found.calibration.share.tolist() == [1.0]
    assert found.calibration.fifth.tolist() == [3]
    assert_allclose(found.calibration.observed, Y[IS_TREATED].mean() - Y[~IS_TREATED].mean())
    assert found.plot().ax_.shape == (2,)


# --- refusals -------------------------------------------------------------------------------------

SHORT = {"n_init": 1, "max_iter": 3, "alpha": 0.1, "gate_alpha": 0.5, "random_state": 0}
SHORT_OF_GATE = SHORT | {"gate_features": GATE["gate_features"]}


def uses_treatment():
    return fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, Y)


def interactions_in_the_gate():
    steps = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    last = MixtureOfExpertsRegressor(2, gate_features=[0, 3], **SHORT)
    return fit_quietly(make_pipeline(steps, last), X, Y)


def base_in_the_gate():
    moe = MixtureOfExpertsRegressor(2, base=LinearRegression(), **SHORT_OF_GATE)
    return fit_quietly(moe, X, Y)


def of_outputs():
    moe = MixtureOfExpertsRegressor(2, **SHORT_OF_GATE)
    return fit_quietly(moe, X, np.column_stack([Y, -Y + X["age"]]))


def of_three_classes():
    moe = MixtureOfExpertsClassifier(2, **SHORT_OF_GATE)
    return fit_quietly(moe, X, np.digitize(Y, [1.0, 4.0]))


def of_series():
    return fit_quietly(MixtureOfExpertsRegressor(2, gate="markov", **SHORT), X, Y)


def of_units():
    moe = MixtureOfExpertsRegressor(2, gate="constant", **SHORT)
    return fit_quietly(moe, X, Y, units=UNITS)


def of_trees():
    moe = MixtureOfExpertsRegressor(2, expert="tree", cross_fit=False, **SHORT_OF_GATE)
    return fit_quietly(moe, MISSING, Y)


MISSING = X.assign(drug=X["drug"].where(X.index > 3))
TIMES = right_censored(np.exp(Y), Y < 3.0)

# The estimator, changes of the arguments, and what the message has.
REFUSED = {
    "the gate": (uses_treatment, {}, ["gate_features must leave", "drug", "['age', 'dose']"]),
    "its columns": (interactions_in_the_gate, {}, ["gate_features must leave", "steps make"]),
    "its base": (base_in_the_gate, {}, ["gate_features must leave", "without base"]),
    "outputs": (of_outputs, {"y": None}, ["y must be one output", "average_effects"]),
    "classes": (of_three_classes, {"y": None}, ["y must be one output", "one class against"]),
    "series": (of_series, {}, ["treatment_effects needs", "markov", "average_effects"]),
    "no mixture": (lambda: LinearRegression().fit(X, Y), {}, ["estimator must be a mixture"]),
    "two columns": (
        mixture,
        {"treatment": ["drug", "dose"]},
        ["treatment must be the name", "dose"],
    ),
    "no column": (mixture, {"treatment": "dru"}, ["treatment must name columns", "age"]),
    "numbers": (
        mixture,
        {"treatment": "dose"},
        ["treatment must have two values", "two at a time"],
    ),
    "one value": (mixture, {"X": at(1)}, ["treatment must have two values", "['1']"]),
    "missing": (of_trees, {"X": MISSING}, ["treatment must have two values", "missing values"]),
    "censored": (mixture, {"y": TIMES}, ["y must not be censored", "restricted_mean"]),
    "length": (mixture, {"y": Y[:9]}, ["y must have a value for each of the 300 rows"]),
    "no y": (mixture, {"y": None, "cv": 3}, ["y must be given with cv"]),
    "direction": (mixture, {"better": "larger"}, ["better must be one of"]),
    "no folds": (mixture, {"propensity": 0.5}, ["propensity needs held-out rows", "cv=5"]),
    "certain": (mixture, {"cv": 3, "propensity": 1.0}, ["propensity must be in (0, 1)", "1.0"]),
    "chances": (mixture, {"cv": 3, "propensity": [0.5]}, ["propensity must be in (0, 1)", "[0.5]"]),
    "folds": (mixture, {"cv": [([0], [1])]}, ["cv must hold each row out once", "KFold"]),
    "cut units": (
        of_units,
        {"cv": list(FOLDS.split(X)), "units": UNITS},
        ["cv must keep", "a unit", "GroupKFold"],
    ),
    "weights": (mixture, {"sample_weight": -(Y**2)}, ["sample_weight must be finite"]),
    "units": (mixture, {"units": UNITS[:9]}, ["units must have one entry for each"]),
    "inference": (mixture, {"inference": 1}, ["inference must be that of this mixture"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused(case):
    estimator, changed, (name, *words) = REFUSED[case]
    given = {"X": X, "y": Y, "treatment": "drug"} | changed
    message = refusal(treatment_effects, estimator(), **given)
    assert_refused(message, name, *words)


# --- results --------------------------------------------------------------------------------------


def test_a_text_and_tables_have_all_that_was_found():
    found = compared()
    text, frame = repr(found), found.to_frame()
    assert frame.index.get_level_values("term").tolist() == ["mixture", "expert 0", "expert 1"]
    assert_allclose(frame["lower"], found.conf_int()[:, 0])
    policies, fifths = pd.DataFrame(found.policies), pd.DataFrame(found.calibration)
    assert policies["treated"].tolist() == ["where it helps", "all", "nobody"]
    assert_array_equal(fifths["observed"], found.calibration.observed)
    for words in ("drug: 0 to 1", "Wald statistic", "where it helps", "observed", "positive in"):
        assert words in text
    assert max(map(len, text.split("\n"))) <= 88
    assert repr(pickle.loads(pickle.dumps(found))) == text
    assert "Held-out" not in repr(treatment_effects(mixture(), X, treatment="drug"))


def test_a_picture_has_the_effects_and_their_calibration():
    found = compared()
    left, right = found.plot().ax_
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "mixture",
        "expert 0",
        "expert 1",
    ]
    assert_allclose(left.lines[0].get_xdata(), found.estimates)
    assert_allclose(right.lines[0].get_xdata(), found.calibration.predicted)
    assert_allclose(right.lines[0].get_ydata(), found.calibration.observed)


def test_intervals_of_the_regimes_hold_the_true_effects():
    assert 0.85 <= share_covered(n_simulations=4, n_rows=400).mean() <= 1.0


@cache
def of_censored_times():
    """A fit to times of which those beyond four are censored."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.normal(size=300), rng.integers(0, 2, size=300)])
    time = np.exp(1.0 + table @ [0.5, 0.4]) * rng.weibull(1.5, size=300)
    y = right_censored(np.minimum(time, 4.0), time <= 4.0)
    options = {"family": "weibull", "gate_features": [0], "n_init": 1, "random_state": 0}
    return MixtureOfExpertsRegressor(2, **options).fit(table, y), table, y


@pytest.mark.parametrize(
    ("what", "name"), [("restricted_mean", "restricted_mean"), ("survival", "sf")]
)
def test_effects_on_censored_times_are_those_until_a_time(what, name):
    moe, table, y = of_censored_times()
    found = treatment_effects(moe, table, y, treatment=1, what=what, time=3.0)
    ends = [np.column_stack([table[:, 0], np.full(300, value)]) for value in (0.0, 1.0)]
    low, high = (getattr(moe.predict_dist(own), name)(3.0) for own in ends)
    assert_allclose(found.row_effects, high - low)
    assert_allclose(found.estimates[0], (high - low).mean(), rtol=1e-6)
    assert np.isfinite(found.standard_errors).all()
    message = refusal(treatment_effects, moe, table, y, treatment=1, what=what, time=4.5)
    assert_refused(message, "time must not be beyond 4", "4.5", "earlier")


@pytest.mark.parametrize("what", ["restricted_mean", "survival"])
def test_held_out_times_count_for_those_that_were_observed_as_long(what):
    """Weights are the inverse of the probability of an observation until then."""
    rng = np.random.default_rng(2)
    table = np.column_stack([rng.normal(size=300), rng.integers(0, 2, size=300)])
    time = np.exp(1.0 + table @ [0.5, 0.4]) * rng.weibull(1.5, size=300)
    limit = rng.uniform(0.5, 6.0, size=300)
    end, event = np.minimum(time, limit), time <= limit
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(table, right_censored(end, event))
    given = {"treatment": 1, "cv": 2, "what": what, "time": 3.0}
    found = treatment_effects(moe, table, right_censored(end, event), **given)
    until = np.minimum(end, 3.0)
    weight = np.zeros(300)
    for i in np.flatnonzero(event | (end > 3.0)):
        lost = np.flatnonzero(~event & (end < until[i]))
        weight[i] = 1.0 / np.prod([1.0 - 1.0 / (end >= end[j]).sum() for j in lost])
    y = until if what == "restricted_mean" else end > 3.0
    for rule, treated in (("all", 1.0), ("nobody", 0.0)):
        rows = table[:, 1] == treated
        expected = np.average(y[rows], weights=weight[rows])
        row = ["where it helps", "all", "nobody"].index(rule)
        assert found.policies.mean[row] == pytest.approx(expected)
    # Of times that are all seen, the means are those of the times until then.
    whole = treatment_effects(moe, table, time, **given)
    y = np.minimum(time, 3.0) if what == "restricted_mean" else time > 3.0
    assert whole.policies.mean[1] == pytest.approx(y[table[:, 1] == 1.0].mean())


def test_equal_ratios_are_not_called_equal_effects():
    """Where levels differ, their differences differ: the text names the test of ratios."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.normal(size=400), rng.integers(0, 2, size=400)])
    y = rng.poisson(np.exp(np.where(table[:, 0] > 0, 2.0, 0.5) + 0.5 * table[:, 1]))
    options = {"family": "poisson", "gate_features": [0], "n_init": 1, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options).fit(table, y)
    found = treatment_effects(moe, table, y, treatment=1)
    assert found.equality.p_value < 0.01
    assert "likelihood_ratio_test, with the treatment in shared_features" in " ".join(
        repr(found).split()
    )
    same = MixtureOfExpertsRegressor(2, **options, shared_features=[1])
    assert likelihood_ratio_test(same, moe, table, y).p_value > 0.05
    assert "ratios" not in repr(compared())
