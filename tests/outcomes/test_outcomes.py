"""Outcomes of different families in one mixture, of which some values are missing."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from outcomes.conftest import FAMILIES, N_ROWS, mixture
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.inspection import CalibrationDisplay, RootogramDisplay, export_html, export_text
from skmoe.metrics import log_density_scorer, make_interval_scorers, neg_crps_scorer
from skmoe.model_selection import n_experts_test
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

NAMES = list(FAMILIES)


def log_densities(moe, X, y):
    """Log densities (n, K, m) of outcomes under each expert, by SciPy; zero where y is missing."""
    X, y = np.asarray(X), np.asarray(y)
    found = np.zeros((len(y), moe.n_experts_, 4))
    for k in range(moe.n_experts_):
        eta = moe.expert_intercept_[k] + X @ moe.expert_coef_[k].T
        shape = 1.0 / np.sqrt(moe.dispersion_[k, 3])
        found[:, k] = np.column_stack(
            [
                stats.norm.logpdf(y[:, 0], eta[:, 0], np.sqrt(moe.noise_variance_[k, 0])),
                stats.bernoulli.logpmf(y[:, 1], 1.0 / (1.0 + np.exp(-eta[:, 1]))),
                stats.poisson.logpmf(y[:, 2], np.exp(eta[:, 2])),
                stats.weibull_min.logpdf(y[:, 3], shape, scale=np.exp(eta[:, 3])),
            ]
        )
    return np.where(np.isnan(y)[:, None], 0.0, found)


def test_densities_are_those_of_the_outcomes_that_are_observed(moe, patients):
    logs = log_densities(moe, patients.X, patients.y).sum(axis=2)
    joint = np.log(moe.predict_gate(patients.X)) + logs
    total = np.logaddexp.reduce(joint, axis=1)
    assert_allclose(moe.score_samples(patients.X, patients.y), total, rtol=1e-9)
    resp = np.exp(joint - total[:, None])
    assert_allclose(moe.responsibilities(patients.X, patients.y), resp, atol=1e-9)
    assert moe.lower_bound_ * N_ROWS == pytest.approx(total.sum(), rel=1e-9)
    dist = moe.predict_dist(patients.X)
    assert_allclose(dist.joint_logpdf(patients.y), total, rtol=1e-9)


def test_predictions_know_the_outcomes_that_are_seen(moe, patients):
    X, seen = patients.X, patients.complete.assign(survival=np.nan)
    gate = moe.responsibilities(X, seen)
    logs = log_densities(moe, X, seen).sum(axis=2)
    joint = np.log(moe.predict_gate(X)) + logs
    assert_allclose(gate, np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]), atol=1e-9)
    assert_allclose(moe.predict_gate(X, y=seen), gate)
    assert_allclose(moe.predict(X, y=seen), np.einsum("nk,nkm->nm", gate, moe.predict_experts(X)))
    dist = moe.predict_dist(X, y=seen)
    assert_allclose(dist.mean, moe.predict(X, y=seen))
    assert_allclose(moe.predict_interval(X, y=seen), dist.interval(0.9))
    shape, scale = 1.0 / np.sqrt(moe.dispersion_[:, 3]), moe.expert_coef_[:, 3] @ X.T.to_numpy()
    scale = np.exp(scale + moe.expert_intercept_[:, [3]])
    alive = (gate * stats.weibull_min.sf(2.0, shape[:, None], scale=scale).T).sum(axis=1)
    for output in ("survival", 3):
        assert_allclose(dist.marginal(output).sf(2.0), alive)
    # It is a better prediction of what is not seen.
    own = {"survival": patients.complete["survival"].to_numpy()}
    known, unknown = (
        d.marginal("survival").logpdf(own["survival"]).mean() for d in (dist, moe.predict_dist(X))
    )
    assert known > unknown + 0.03


def test_distributions_treat_each_outcome_by_itself(moe, patients):
    X, y = patients.X[:20], patients.complete[:20].to_numpy()
    dist = moe.predict_dist(X)
    marginals = [dist.marginal(name) for name in NAMES]
    for name in ("logpdf", "pdf", "cdf", "cdf_left", "sf", "logcdf", "logsf", "crps", "pmf"):
        expected = [getattr(own, name)(v) for own, v in zip(marginals, y.T, strict=True)]
        assert_allclose(getattr(dist, name)(y), np.transpose(expected), err_msg=name)
    for name in ("mean", "var", "std", "median"):
        expected = [getattr(own, name) for own in marginals]
        assert_allclose(getattr(dist, name), np.transpose(expected), err_msg=name)
    assert_allclose(dist.ppf([0.2, 0.6])[..., 2], marginals[2].ppf([0.2, 0.6]))
    assert_allclose(dist[3:5].mean, dist.mean[3:5])
    assert dist[3:5].marginal("visits").is_count
    assert "4 outputs" in repr(dist)
    draws = moe.predict_dist(patients.X[:2]).rvs(4000, random_state=0)
    assert draws.shape == (2, 4000, 4)
    assert_allclose(draws.mean(axis=1), dist.mean[:2], rtol=0.1)
    # Outcomes of a draw are those of one expert.
    resp = moe.responsibilities(pd.concat([X[:1]] * 4000), draws[0]).argmax(axis=1)
    assert abs(resp.mean() - moe.predict_gate(X[:1])[0, 1]) < 0.05
    assert_refused(refusal(dist.marginal, "weight"), "output", NAMES, "weight")


def test_joint_densities_of_several_values_are_those_of_each(moe, patients):
    dist, y = moe.predict_dist(patients.X[:20]), patients.y[:20].to_numpy()
    several = np.stack([y, y + 1.0, 2.0 * y], axis=1)
    every = dist.joint_logpdf(several)
    assert every.shape == (20, 3)
    for j in range(3):
        assert_allclose(dist.joint_logpdf(several[:, j]), every[:, j])
    assert_allclose(dist.joint_logpdf(several[:1]), dist.joint_logpdf(several[:1].repeat(20, 0)))
    assert_allclose(dist.cdf(several)[:, 1], dist.cdf(several[:, 1]))
    for method in ("joint_logpdf", "cdf", "crps"):
        assert_allclose(getattr(dist, method)(1.0), getattr(dist, method)(np.ones((20, 4))))
    for method in ("joint_logpdf", "cdf", "crps", "energy_score"):
        for wrong in (y[:, :3], y[:10], y.T):
            message = refusal(getattr(dist, method), wrong)
            assert_refused(message, "y must", "shape (20, 4)", wrong.shape, "y[None]")


def test_scores_of_a_dict_are_those_of_its_columns(moe, patients):
    y = {name: patients.complete[name].to_numpy() for name in NAMES}
    for scorer in (neg_crps_scorer, log_density_scorer, make_interval_scorers()["coverage"]):
        score = scorer(moe, patients.X, patients.complete)
        assert scorer(moe, patients.X, y) == pytest.approx(score)
    some = np.arange(N_ROWS) % 2
    scores = [
        neg_crps_scorer(moe, patients.X, own, sample_weight=some) for own in (y, patients.complete)
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_marginals_of_outputs_of_one_family(patients):
    y = patients.complete[["bmi", "survival"]]
    for options in ({}, {"covariance_type": "full"}, {"family": "student_t"}):
        moe = fit_quietly(mixture(**{"family": "normal"} | options), patients.X, y)
        dist = moe.predict_dist(patients.X[:5])
        for j, name in enumerate(y):
            own = dist.marginal(name)
            assert_allclose(own.mean, dist.mean[:, j])
            assert_allclose(own.cdf(3.0), dist.cdf(3.0)[:, j])


# --- equal fits -----------------------------------------------------------------------------------


def test_one_expert_is_a_regression_for_each_outcome(patients):
    moe = fit_quietly(mixture(1), patients.X, patients.y)
    result = moe.inference(patients.X, patients.y)
    errors = dict(zip(result.terms, result.standard_errors, strict=True))
    total = 0.0
    for j, name in enumerate(NAMES):
        kept = patients.y[name].notna()
        X, y = patients.X[kept], patients.y.loc[kept, name]
        alone = fit_quietly(mixture(1, family=FAMILIES[name]), X, y)
        total += alone.score_samples(X, y).sum()
        assert_allclose(moe.expert_coef_[0, j], alone.expert_coef_[0], rtol=1e-5, atol=1e-7)
        own = alone.inference(X, y)
        listed = [errors[term._replace(response=name)] for term in own.terms]
        assert_allclose(listed, own.standard_errors, rtol=1e-5)
    assert moe.score_samples(patients.X, patients.y).sum() == pytest.approx(total, abs=1e-6)


def assert_same(moe, other, X, y, order=slice(None), rtol=1e-6):
    """Two fits of the same maximum."""
    assert_allclose(other.score_samples(X, y), moe.score_samples(X, y), rtol=rtol, atol=1e-6)
    assert_allclose(other.expert_coef_[:, order], moe.expert_coef_, rtol=1e-4, atol=1e-5)


def test_order_of_outcomes_rows_and_starts_make_no_difference(moe, patients):
    X, y = patients.X, patients.y
    swapped = fit_quietly(mixture(), X, y[NAMES[::-1]])
    assert swapped.output_names_ == NAMES[::-1]
    assert_allclose(swapped.score_samples(X, y[NAMES[::-1]]), moe.score_samples(X, y), rtol=1e-6)
    assert_allclose(swapped.expert_coef_[:, ::-1], moe.expert_coef_, rtol=1e-4, atol=1e-5)
    index = np.random.default_rng(1).permutation(N_ROWS)
    assert_same(moe, fit_quietly(mixture(), X.iloc[index], y.iloc[index]), X, y)
    assert_same(moe, fit_quietly(mixture(random_state=1), X, y), X, y)


def test_weight_two_is_the_row_twice(moe, patients):
    X, y = patients.X, patients.y
    weight = 1.0 + (np.arange(N_ROWS) % 3 == 0)
    index = np.repeat(np.arange(N_ROWS), weight.astype(int))
    weighted = fit_quietly(mixture(), X, y, sample_weight=weight)
    repeated = fit_quietly(mixture(), X.iloc[index], y.iloc[index])
    assert_same(weighted, repeated, X, y)
    assert weighted.bic(X, y, sample_weight=weight) == pytest.approx(
        repeated.bic(X.iloc[index], y.iloc[index])
    )


def test_an_outcome_that_is_certain_in_a_regime_is_named_and_has_no_standard_error():
    """The others of the regime have theirs, as has the outcome in the other regime."""
    rng = np.random.default_rng(0)
    regime, X = rng.integers(2, size=400), rng.normal(size=(400, 1))
    smokes = np.where(regime == 1, rng.integers(2, size=400), 0)
    y = np.column_stack([8.0 * regime + X[:, 0] + rng.normal(size=400), smokes])
    moe = MixtureOfExpertsRegressor(2, family={0: "normal", 1: "binary"}, random_state=0)
    inference = moe.fit(X, y).inference(X, y)
    certain = moe.expert_names_[int(np.argmin(moe.expert_intercept_[:, 0]))]
    found = {term[:2] for term, why in zip(inference.terms, inference.reasons, strict=True) if why}
    assert found == {(certain, "y1")}
    assert set(inference.reasons) == {"", "separated"}
    known = np.array(inference.reasons) == ""
    assert (inference.standard_errors[known] < 1.0).all()


def test_units_of_measurement_make_no_difference(moe, patients):
    scaled = patients.y.assign(
        bmi=1e4 + 1e3 * patients.y["bmi"], survival=365.0 * patients.y["survival"]
    )
    other = fit_quietly(mixture(), 1e3 * patients.X, scaled)
    shift = patients.y[["bmi", "survival"]].notna() @ np.log([1e3, 365.0])
    densities = moe.score_samples(patients.X, patients.y)
    assert_allclose(other.score_samples(1e3 * patients.X, scaled), densities - shift, rtol=1e-5)
    default = {"alpha": None, "gate_alpha": None, "dispersion_prior": "auto"}
    one, two = (
        fit_quietly(mixture(**default), patients.X, y).responsibilities(patients.X, y)
        for y in (patients.y, scaled)
    )
    assert_allclose(one, two, atol=1e-3)


def test_rows_without_any_outcome_say_nothing(moe, patients):
    empty = pd.DataFrame(np.nan, index=range(30), columns=NAMES)
    X = pd.concat([patients.X, patients.X[:30]])
    y = pd.concat([patients.y, empty])
    other = fit_quietly(mixture(), X, y)
    assert_same(moe, other, patients.X, patients.y)
    assert other.bic(X, y) == pytest.approx(moe.bic(patients.X, patients.y))
    errors = [
        m.inference(*d).standard_errors
        for m, d in ((moe, (patients.X, patients.y)), (other, (X, y)))
    ]
    assert_allclose(*errors, rtol=1e-4)
    # Nothing is known of them but the features.
    assert_allclose(other.responsibilities(X[-3:], y[-3:]), other.predict_gate(X[-3:]))
    assert_allclose(other.score_samples(X[-3:], y[-3:]), 0.0, atol=1e-12)


def test_rows_of_units_are_predicted_without_their_own_y_where_it_rules_an_expert_out():
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(30), 4)
    X = rng.normal(size=30)[units][:, None]
    y = rng.poisson(0.6, size=120) * (units % 2.0)
    moe = fit_quietly(
        MixtureOfExpertsRegressor(2, family=["zero", "poisson"], n_init=2, random_state=0),
        *(X, y),
        units=units,
    )
    gate = moe.predict_gate(X, y=y, units=units)
    for row in np.flatnonzero(y)[:8]:
        without = np.where(np.arange(120) == row, np.nan, y)
        assert_allclose(gate[row], moe.predict_gate(X, y=without, units=units)[row])


def test_missing_classes_of_units_contribute_nothing():
    rng = np.random.default_rng(0)
    units, X = np.repeat(np.arange(30), 4), rng.normal(size=(120, 1))
    y = np.where(X[:, 0] + 2.0 * (units % 2) + rng.normal(size=120) > 1.0, "a", "b").astype(object)
    missing = rng.random(120) < 0.2
    known = np.where(missing, None, y)
    moe = MixtureOfExpertsClassifier(2, gate="constant", n_init=2, random_state=0)
    left_out = clone(moe).fit(X[~missing], y[~missing], units=units[~missing])
    moe.fit(X, known, units=units)
    assert_allclose(moe.expert_coef_, left_out.expert_coef_)
    gate = moe.responsibilities(X, known, units=units).rows(units)
    predicted = moe.predict_proba(X, y=known, units=units)
    assert_allclose(predicted[missing], moe.predict_proba(X, gate_proba=gate)[missing])


def test_units_have_several_courses(patients):
    units = np.arange(N_ROWS) // 4
    X, y = patients.X, patients.y.copy()
    y.iloc[::7] = np.nan
    given = {"gate": "constant"}
    moe = fit_quietly(mixture(**given), X, y, units=units)
    kept = y.notna().any(axis=1).to_numpy()
    other = fit_quietly(mixture(**given), X[kept], y[kept], units=units[kept])
    assert_allclose(moe.expert_coef_, other.expert_coef_, rtol=1e-4, atol=1e-5)
    doubled = fit_quietly(
        mixture(**given), pd.concat([X, X]), pd.concat([y, y]), units=np.append(units, 1000 + units)
    )
    assert_allclose(moe.expert_coef_, doubled.expert_coef_, rtol=1e-4, atol=1e-5)
    # A single y may be missing in some rows of a unit.
    one = fit_quietly(mixture(family="normal", **given), X, y["bmi"], units=units)
    known = y["bmi"].notna().to_numpy()
    two = fit_quietly(
        mixture(family="normal", **given), X[known], y["bmi"][known], units=units[known]
    )
    assert_allclose(one.expert_coef_, two.expert_coef_, rtol=1e-5, atol=1e-6)
    assert "rows without y" in str(one.summary(X, y["bmi"], units=units))
    # Predictions of the rows of a unit know its observed rows.
    gate = moe.responsibilities(X, y, units=units).rows(units)
    assert_allclose(moe.predict(X, y=y, units=units), moe.predict(X, gate_proba=gate))
    # Of a single y a row's own value is left out.
    gate = one.responsibilities(X, y["bmi"], units=units).rows(units)
    predicted = one.predict(X, y=y["bmi"], units=units)
    assert_allclose(predicted[~known], one.predict(X, gate_proba=gate)[~known])
    row = int(np.flatnonzero(known)[5])
    without = y["bmi"].where(y.index != row)
    assert predicted[row] == pytest.approx(one.predict(X, y=without, units=units)[row])


def test_features_of_outcomes(patients):
    X, y = patients.X, patients.complete[["bmi", "visits"]]
    features = {"bmi": ["dose"], "visits": []}
    family = {"bmi": "normal", "visits": "poisson"}
    moe = fit_quietly(mixture(family=family, expert_features=features), X, y)
    assert (moe.expert_coef_[:, 0, 0] == 0.0).all()
    assert (moe.expert_coef_[:, 1] == 0.0).all()
    assert moe.n_parameters_ == 2 * (2 + 1 + 1) + 3
    listed = {term[1:] for term in moe.inference(X, y).terms if term.part != "gate"}
    assert listed == {
        ("bmi", "(Intercept)"),
        ("bmi", "dose"),
        ("visits", "(Intercept)"),
        ("bmi", "log(noise variance)"),
    }
    by_number = fit_quietly(
        mixture(family={0: "normal", 1: "poisson"}, expert_features={0: [1], 1: []}),
        X.to_numpy(),
        y.to_numpy(),
    )
    assert_allclose(by_number.expert_coef_, moe.expert_coef_, rtol=1e-6, atol=1e-9)
    assert by_number.output_names_ == ["y0", "y1"]


def test_dispersions_of_outcomes_have_features_of_their_own(patients):
    """They are those of separate fits."""
    X, y = patients.X, patients.complete[["bmi", "visits", "survival"]]
    family = {name: FAMILIES[name] for name in y}
    own = {"bmi": ["age"], "visits": [], "survival": []}
    options = {"family": family, "dispersion_features": own}
    moe = fit_quietly(mixture(1, **options), X, y)
    alone = fit_quietly(mixture(1, family="normal", dispersion_features=["age"]), X, y["bmi"])
    assert_allclose(moe.expert_dispersion_coef_[0, 0], alone.expert_dispersion_coef_[0], rtol=1e-4)
    assert (moe.expert_dispersion_coef_[0, 2] == 0.0).all()
    assert moe.n_parameters_ == 3 * 3 + 2 + 1
    inference, of_one = moe.inference(X, y), alone.inference(X, y["bmi"])
    found = {term[1:]: i for i, term in enumerate(inference.terms)}
    assert {term for response, term in found if response == "survival"} == {
        *("(Intercept)", "age", "dose", "log(dispersion): (Intercept)")
    }
    listed = [found["bmi", term.name] for term in of_one.terms]
    assert_allclose(inference.standard_errors[listed], of_one.standard_errors, rtol=1e-4)
    same = fit_quietly(mixture(1, **options | {"dispersion_features": ["age"]}), X, y)
    assert same.n_parameters_ == moe.n_parameters_ + 1


def test_offsets_belong_to_outcomes_with_a_log_link(patients):
    X, y, exposure = patients.X, patients.complete[["bmi", "visits"]], np.linspace(1.0, 3.0, N_ROWS)
    family, offset = {"bmi": "normal", "visits": "poisson"}, np.log(exposure)
    moe = fit_quietly(mixture(1, family=family), X, y, offset=offset)
    alone = fit_quietly(mixture(1, family="poisson"), X, y["visits"], offset=offset)
    assert_allclose(moe.expert_coef_[0, 1], alone.expert_coef_[0], rtol=1e-6)
    assert_allclose(moe.predict(X, offset=offset)[:, 1], alone.predict(X, offset=offset))
    both = np.column_stack([0.0 * offset, offset])
    assert_allclose(
        fit_quietly(mixture(1, family=family), X, y, offset=both).predict(X, offset=both),
        moe.predict(X, offset=offset),
    )
    message = refusal(mixture(1, family=family).fit, X, y, offset=both[:, ::-1])
    assert_refused(message, "offset", "log link")


# --- names, texts and tools -----------------------------------------------------------------------


def test_names_of_columns_are_in_tables_and_texts(moe, patients):
    text = export_text(moe)
    for words in (
        "bmi =",
        "log odds of smoker > 0 =",
        "expected visits = exp(",
        "scale of survival",
        "noise of bmi",
        "dispersion of survival",
    ):
        assert words in text
    summary = moe.summary(patients.X, patients.y)
    n_missing = patients.y.isna().sum()
    assert summary.facts["missing values"] == ", ".join(
        f"{name} {n_missing[name]}" for name in NAMES
    )
    assert moe.n_missing_ == dict(n_missing)
    printed = " ".join(str(summary).split())
    for words in ("nan", "y0", "y1"):
        assert words not in printed
    for words in ("Odds ratio", "Rate ratio", "Time ratio"):
        assert words in printed
    frame = summary.to_frame()
    assert set(frame.index.get_level_values("response")) >= set(NAMES)
    assert moe.expert_kinds_ == ["normal, binary, poisson, weibull"] * 2


def test_names_of_outputs_of_one_family(patients):
    y = patients.complete[["bmi", "survival"]]
    moe = fit_quietly(mixture(family="normal"), patients.X, y)
    assert moe.output_names_ == ["bmi", "survival"]
    assert "survival =" in export_text(moe)
    frame = moe.summary().to_frame("experts")
    assert {"noise sd of bmi", "noise sd of survival"} <= set(frame.columns)
    assert fit_quietly(mixture(family="normal"), patients.X, y.to_numpy()).output_names_ == [
        "y0",
        "y1",
    ]


@pytest.mark.parametrize("form", [lambda y: y, dict, pl.from_pandas])
def test_columns_of_new_rows_go_by_name(form, moe, patients):
    X, y, reordered = patients.X, patients.y, form(patients.y[NAMES[::-1]])
    for method in (moe.score_samples, moe.responsibilities, moe.bic, moe.predict_gate, moe.predict):
        assert_allclose(method(X, y=reordered), method(X, y=y), err_msg=method.__name__)
    assert moe.score(X, y[NAMES[::-1]]) == pytest.approx(moe.score(X, y.to_numpy()))
    other = form(patients.y.rename(columns={"bmi": "weight"}))
    for method in (moe.score_samples, moe.score, moe.predict):
        message = refusal(method, X, y=other)
        assert_refused(message, "y must", NAMES, "missing are ['bmi']", "unknown ['weight']")


def test_columns_of_new_rows_may_have_names_where_those_of_the_fit_had_none(patients):
    X, y = patients.X, patients.complete[["bmi", "survival"]]
    moe = fit_quietly(mixture(family="normal", max_iter=5), X, y.to_numpy())
    assert_allclose(moe.score_samples(X, y), moe.score_samples(X, y.to_numpy()))


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_a_dict_of_numbers_is_a_frame(covariance_type, patients):
    X, y = patients.X, patients.y[["bmi", "visits"]]
    options = {"family": "normal", "covariance_type": covariance_type, "max_iter": 5}
    moe, same = (fit_quietly(mixture(**options), X, given) for given in (dict(y), y))
    assert moe.n_missing_ == same.n_missing_ == y.isna().sum().to_dict()
    assert moe.score(X, dict(y)) == pytest.approx(same.score(X, y))
    known = patients.complete[["bmi", "visits"]]
    assert_allclose(moe.predict(X, y=dict(known)), same.predict(X, y=known))


def test_scores_and_displays_take_columns_by_name(patients):
    X, y = patients.X, patients.complete[["bmi", "visits"]]
    moe = fit_quietly(mixture(1, family={"bmi": "normal", "visits": "poisson"}), X, y)
    reordered = y[["visits", "bmi"]]
    expected = RootogramDisplay.from_estimator(moe, X, y, target="visits").observed
    pit = CalibrationDisplay.from_estimator(moe, X, y, target="bmi").pit
    for own in (dict(y), reordered, dict(reordered)):
        assert neg_crps_scorer(moe, X, own) == pytest.approx(neg_crps_scorer(moe, X, y))
        shown = RootogramDisplay.from_estimator(moe, X, own, target="visits")
        assert_allclose(shown.observed, expected)
        assert_allclose(CalibrationDisplay.from_estimator(moe, X, own, target="bmi").pit, pit)


def test_reports_take_a_dict_of_outcomes(moe, patients, tmp_path):
    """The row is checked after y."""
    given = patients.X, dict(patients.complete), tmp_path / "report.html"
    assert_refused(refusal(export_html, moe, *given, target="bmi", row=N_ROWS), "row", N_ROWS)


def test_tools_of_scikit_learn(moe, patients):
    X, y = patients.X, patients.y
    loaded = pickle.loads(pickle.dumps(moe))
    assert_allclose(loaded.predict(X), moe.predict(X))
    assert clone(moe).family == FAMILIES
    pipeline = fit_quietly(make_pipeline(StandardScaler(), mixture(max_iter=20)), X, y)
    assert pipeline.predict(X).shape == (N_ROWS, 4)
    search = GridSearchCV(mixture(n_init=1, max_iter=20), {"n_experts": [1, 2]}, cv=3)
    assert np.isfinite(fit_quietly(search, X, y).best_score_)
    frames = pl.from_pandas(X), pl.from_pandas(y)
    of_polars = fit_quietly(mixture(), *frames)
    assert of_polars.output_names_ == NAMES
    assert_allclose(of_polars.predict(frames[0]), moe.predict(X))
    nullable = y.assign(smoker=y["smoker"].astype("boolean"), visits=y["visits"].astype("Int64"))
    assert_allclose(fit_quietly(mixture(), X, nullable).predict(X), moe.predict(X))
    scores = []
    for j, name in enumerate(NAMES):
        kept, predicted = y[name].notna(), moe.predict(X)[:, j]
        residual = ((y[name] - predicted)[kept] ** 2).sum()
        scores.append(1.0 - residual / ((y[name] - y[name].mean())[kept] ** 2).sum())
    assert moe.score(X, y) == pytest.approx(np.mean(scores))


def test_numbers_of_experts_are_selected_and_tested(patients):
    X, y = patients.X[:120], patients.y[:120]
    default = {"alpha": None, "gate_alpha": None, "dispersion_prior": "auto", "n_init": 1}
    for number in ("auto", "bic"):
        assert fit_quietly(mixture(number, **default), X, y).n_experts_ == 2
    test = n_experts_test(mixture(1, max_iter=50), X, y, n_bootstrap=1, random_state=0)
    assert test.p_value == pytest.approx(0.5)


def test_bootstrap_leaves_out_what_is_missing(moe, patients):
    X, y = patients.X, patients.y
    observed = moe.inference(X, y).standard_errors
    drawn = moe.inference(X, y, method="bootstrap", n_bootstrap=16, random_state=0).standard_errors
    assert 0.8 < np.median(drawn / observed) < 1.25


def test_default_penalties_are_found_for_outcomes(patients):
    moe = fit_quietly(
        MixtureOfExpertsRegressor(2, family=FAMILIES, random_state=0), patients.X, patients.y
    )
    assert moe.dispersion_prior_ != 10.0
    assert 0.8 < np.sqrt(moe.noise_variance_[:, 0]).mean() < 1.25


@pytest.mark.parametrize("name", ["binary", "bernoulli", "logistic"])
def test_binary_is_a_logistic_regression(patients, name):
    X, y = patients.X, patients.complete["smoker"]
    moe = fit_quietly(mixture(family=name), X, y)
    other = fit_quietly(mixture(family="ordinal"), X, y)
    assert_allclose(moe.expert_coef_, other.expert_coef_)
    assert moe.expert_kinds_ == [name] * 2  # as the user called it
    assert f"expert 0 ({name})" in export_text(moe)
    message = refusal(mixture(family=name).fit, X, 1.0 + y)
    assert_refused(message, "y must hold the values 0, 1", "row")
    # Several outcomes of one family that has one output.
    several = np.column_stack([y, 1.0 - y])
    assert fit_quietly(mixture(family=name), X, several).predict(X).shape == (N_ROWS, 2)


# --- joint noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_missing_outputs_with_joint_noise_have_the_marginal_density(family, patients):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N_ROWS, 3)) @ [[1.0, 0.6, 0.2], [0.0, 0.8, -0.5], [0.0, 0.0, 0.7]]
    y = np.where(patients.X[["age"]] > 0.0, 3.0, -3.0) + noise
    y = np.exp(0.3 * y) if family == "lognormal" else y
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    X = patients.X[["age"]].to_numpy()
    moe = fit_quietly(mixture(family=family, covariance_type="full", gate_alpha=1.0), X, y)
    values = np.log(y) if family == "lognormal" else y
    means = moe.expert_intercept_[:, None] + X @ np.swapaxes(moe.expert_coef_, 1, 2)
    joint = np.log(moe.predict_gate(X))
    for (i, k), _ in np.ndenumerate(joint):
        seen = ~np.isnan(y[i])
        if seen.any():
            covariance = moe.expert_covariance_[k][np.ix_(seen, seen)]
            own = stats.multivariate_normal(means[k, i, seen], covariance)
            joint[i, k] += own.logpdf(values[i, seen])
            joint[i, k] -= values[i, seen].sum() * (family == "lognormal")
    assert_allclose(moe.score_samples(X, y), np.logaddexp.reduce(joint, axis=1), rtol=1e-7)
    # At the maximum the score is zero: standard errors know how far it is.
    assert moe.inference(X, y).max_shift < 1e-3
    message = refusal(moe.predict, X, y=y)
    assert_refused(message, "predictions do not take y", 'covariance_type="diag"')


# --- refusals -------------------------------------------------------------------------------------

CASES = {
    "a column without a family": (
        {"family": {"bmi": "normal"}},
        ("family as a dict", "each column of y", "smoker"),
    ),
    "a family without a column": (
        {"family": FAMILIES | {"weight": "normal"}},
        ("family as a dict", "weight", "Name all"),
    ),
    "a list in a dict": (
        {"family": FAMILIES | {"bmi": ["normal", "student_t"]}},
        ("family as a dict", "list", "each expert"),
    ),
    "an unknown family": (
        {"family": FAMILIES | {"bmi": "gaussian"}},
        ("family must be one of", "gaussian"),
    ),
    "a point mass": (
        {"family": FAMILIES | {"bmi": "zero"}},
        ("family as a dict", "linear predictor", "zero"),
    ),
    "an empty dict": ({"family": {}}, ("family as a dict", "linear predictor", "empty")),
    "values outside": (
        {"family": FAMILIES | {"bmi": "binary"}},
        ("Column 0 of y", "the values 0, 1"),
    ),
    "joint noise": ({"covariance_type": "full"}, ("family=", 'covariance_type="diag"')),
    "trees": ({"expert": "tree"}, ("family=", 'expert="linear"')),
    "features of an unknown column": (
        {"expert_features": {"weight": ["dose"]}},
        ("expert_features as a dict", "weight"),
    ),
    "dispersions of an unknown column": (
        {"dispersion_features": {"weight": ["dose"]}},
        ("dispersion_features as a dict", "weight"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_fits_are_refused_with_the_rule_and_the_remedy(case, patients):
    options, (name, *words) = CASES[case]
    assert_fit_refused(mixture(**options), (patients.X, patients.y), name, *words)


def test_missing_values_that_nothing_replaces_are_refused(moe, patients):
    X, y = patients.X, patients.y
    words = "y must have no missing values", "row", "Drop such rows", "say nothing about the model"
    assert_fit_refused(mixture(family="normal"), (X, y["bmi"]), *words)
    assert_fit_refused(
        mixture(family="normal", expert="tree"),
        (X, y[["bmi", "survival"]]),
        "y with missing values",
        'expert="linear"',
    )
    empty = y.assign(visits=np.nan)
    assert_fit_refused(
        mixture(), (X, empty), "y must have values in some rows", "column 2", "Leave it out"
    )
    one = patients.complete["bmi"]
    assert_fit_refused(mixture(), (X, one), "family as a dict needs y of several columns")
    stream = mixture(family="normal")
    message = refusal(stream.partial_fit, X, y[["bmi", "survival"]])
    assert_refused(message, "y with missing values", "partial_fit", "drop rows")
    arrays = X.to_numpy(), y[["bmi", "survival"]].to_numpy()
    assert_refused(refusal(stream.fit, RowBlocks.from_arrays(*arrays)), "block 0", *words)
    one = fit_quietly(mixture(family="normal"), X, patients.complete["bmi"])
    assert_refused(refusal(one.score_samples, X, y["bmi"]), *words)
    assert_refused(refusal(one.score, X, y["bmi"]), *words)
    assert_refused(
        refusal(moe.predict, X, time=np.arange(N_ROWS)), "predictions take y, units and time"
    )
