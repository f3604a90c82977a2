"""Summaries show what the other methods of a mixture return, for fits of every kind."""

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy import nan
from numpy.testing import assert_allclose
from scipy.special import xlogy
from sklearn.ensemble import RandomForestRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.expert_kinds import GENERALIZED
from support.fits import (
    ALL_CASES,
    DISTINCT_CASES,
    UNITS,
    X,
    ends_of_starts,
    fit_quietly,
    is_routed,
    regressor,
    short_fit,
)
from support.refusals import assert_refused, refusal
from support.tables import two_regimes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}

# Those whose standard errors, at the maximum of the likelihood, do not take long.
QUICK_CASES = [
    case
    for case in DISTINCT_CASES
    if not case.startswith(("negative", "ordinal", "student", "gamma", "lognormal"))
]


def silently(function, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*data, **options)


@cache
def summarised(case):
    """A fit, its target, what else it was given, and its summary."""
    moe, (_, y, given) = short_fit(case), ALL_CASES[case]
    return moe, y, given, silently(moe.summary, X, y, **given)


def has_inference(moe):
    """Whether there is a likelihood of coefficients: all experts see all rows."""
    parametric = not hasattr(moe, "experts_")
    return parametric and not is_routed(moe) and moe.base is None


# --- facts, experts and notes -----------------------------------------------------------------


@pytest.mark.parametrize("case", QUICK_CASES)
def test_facts_are_what_the_methods_return(case):
    moe, y, given, summary = summarised(case)
    facts, maxima = summary.facts, moe.maxima_
    by_row = {name: given[name] for name in ("units", "known_experts") if name in given}
    weight = given.get("sample_weight", np.ones(len(X)))
    of_units = np.ones(len(np.unique(UNITS))) if "units" in given else weight
    is_compared = len(ends_of_starts(moe)) > 1 and maxima.n_times
    expected = {
        "experts": f"{moe.n_experts_}",
        "features": "2",
        "iterations": f"{moe.n_iter_} ({'converged' if moe.converged_ else 'not converged'})",
        "best value reached by": f"{maxima.n_times[0]} of {maxima.n_runs} starts"
        if is_compared
        else None,
        "units": f"{len(of_units)}" if "units" in given else None,
    }
    for name in ("alpha", "gate_alpha"):
        penalties = np.atleast_1d(getattr(moe, f"{name}_", np.nan))
        if not np.isnan(penalties).all():  # their range, without dropped features
            kept = penalties[np.isfinite(penalties)]
            ends = dict.fromkeys([f"{kept.min():.3g}", f"{kept.max():.3g}"]) if len(kept) else ()
            expected[name] = " to ".join(ends) or "all features dropped"
    assert {name: facts.get(name) for name in expected} == expected
    assert (str(maxima) in summary.notes) == bool(is_compared)
    known = {"given": "all"} if moe.gate == "markov" else {}
    resp = moe.responsibilities(X, y, **by_row, **known)
    resp = resp.proba if "units" in given else resp
    numbers = {
        "rows": weight.sum(),
        "lower bound per row": moe.lower_bound_,
        "log-likelihood": of_units @ moe.score_samples(X, y, **by_row),
        "entropy": -of_units @ xlogy(resp, resp).sum(axis=1),
    }
    counted = not hasattr(moe, "experts_") and np.isfinite(moe.n_parameters_)
    if counted:
        numbers["parameters"] = moe.n_parameters_
        numbers |= {n: getattr(moe, n.lower())(X, y, **given) for n in ("AIC", "BIC", "ICL")}
    assert {"parameters", "AIC", "BIC", "ICL"}.isdisjoint(facts) != counted
    for name, value in numbers.items():
        assert float(facts[name]) == pytest.approx(value, rel=1e-3, abs=1e-5), name
    for k, expert in enumerate(summary.experts):
        assert_allclose(expert.share, moe.weights_[k])
        if "units" not in given:
            assert_allclose(expert.rows, weight @ resp[:, k])
        own = of_units * (resp.argmax(axis=1) == k)
        assert_allclose(expert.mean_probability, resp[:, k] @ own / own.sum() if own.any() else nan)
        noise = np.atleast_1d(getattr(moe, "noise_variance_", np.full(moe.n_experts_, nan))[k])
        found = np.full(len(noise), nan) if expert.noise is None else expert.noise
        assert_allclose(found, np.sqrt(noise))


@pytest.mark.parametrize("case", QUICK_CASES)
def test_notes_are_about_this_fit(case):
    """Data that are needed, errors that are missing, dropped features, penalties that count."""
    moe, _, _, summary = summarised(case)
    notes, before, text = " ".join(summary.notes), " ".join(moe.summary().notes), str(summary)
    has_coefficients, known = hasattr(moe, "expert_coef_"), has_inference(moe)
    assert (summary.inference is not None) == known
    assert ("Give the data of the fit" in before) == has_coefficients
    assert "Give the data of the fit" not in notes
    assert ("No standard errors" in notes) == (has_coefficients and not known)
    dropped = any(np.isposinf(getattr(moe, name, 0.0)).any() for name in ("alpha_", "gate_alpha_"))
    assert ("Dropped by" in notes) == dropped
    assert "Other rows" not in notes
    slopes = getattr(moe, "gate_coef_", getattr(moe, "transition_coef_", np.zeros(1)))
    has_gate = slopes.any() and has_coefficients
    has_odds = has_gate or (has_coefficients and hasattr(moe, "classes_"))
    assert ("Odds ratio: " in notes) == has_odds
    penalties = [getattr(moe, f"{name}_", 0.0) for name in ("alpha", "gate_alpha")]
    if any(np.any(np.greater(penalty, 0.0)) for penalty in penalties):
        assert before.startswith("Penalised estimates (")
    elif has_coefficients:
        assert before.startswith("Maximum likelihood") == (not moe.dispersion_prior)
    widths = [len(line) for line in text.splitlines() if line.split()[:1] == ["estimate"]]
    assert text.splitlines()[0] == "=" * max([88, *widths])  # as long as the longest table
    if case == "outputs":
        assert [text.splitlines().count(f"  y{j}") for j in (0, 1)] == [moe.n_experts_] * 2


@pytest.mark.parametrize("case", ["linear-regressor", "weights", "routing", "trees"])
def test_other_rows_than_those_of_the_fit_are_noticed(case):
    """By their weight, and by the lower bound where that is of the rows themselves."""
    moe, y, given, _ = summarised(case)
    weight = given.get("sample_weight", np.ones(len(X)))
    heavier = silently(moe.summary, X, y, sample_weight=2.0 * weight)
    expected = f"their weight is {2 * weight.sum():g}, in the fit {weight.sum():g}"
    assert expected in " ".join(heavier.notes)
    nearly = silently(moe.summary, X, y, sample_weight=(1.0 + 1e-7) * weight)
    assert "their weight" not in " ".join(nearly.notes)  # sums of weights have round-off
    mirrored = " ".join(silently(moe.summary, -X, y, **given).notes)
    assert ("they have another lower bound" in mirrored) == (case != "trees")


def test_the_gate_is_described_by_its_largest_effects():
    rows, y = two_regimes(n_rows=80)
    frame = pd.DataFrame(rows, columns=["price", "age", "size"])
    moe = MixtureOfExpertsRegressor(2, **FIXED).fit(frame, y)
    up = int(np.argmax(moe.gate_coef_[:, 0]))
    experts = moe.summary().experts
    effects = (moe.gate_coef_ - moe.gate_coef_[0]) * rows.std(axis=0)
    for k, word in ((up, "high"), (1 - up, "low")):
        names, values = zip(*experts[k].gate_effects, strict=True)
        assert names == ("price", "age", "size")
        assert_allclose(values, effects[k])
        assert experts[k].gate_description == f"more likely for {word} price"
    alone = MixtureOfExpertsRegressor(1).fit(frame, y).summary().experts[0]
    assert alone.gate_description == "used for every row"
    constant = MixtureOfExpertsRegressor(2, gate="constant", **FIXED).fit(frame, y).summary()
    assert "same probability for every row" in constant.experts[0].gate_description
    assert not constant.experts[0].gate_effects
    tiny = MixtureOfExpertsRegressor(2, **FIXED).set_params(gate_alpha=1e7).fit(frame, y).summary()
    assert tiny.experts[0].gate_description == "nearly the same probability for every row"


@pytest.mark.parametrize("case", QUICK_CASES)
def test_descriptions_of_the_gate_are_true_on_average(case):
    """An expert that is more likely for a high feature has a mean probability that rises in it."""
    moe = short_fit(case)
    if list(moe.gate_feature_names_) != ["x0", "x1"]:
        return
    rows = np.array([X[unit == UNITS][0] for unit in np.unique(UNITS)]) if "unit" in case else X
    step = 1e-5 * np.eye(2)
    change = [(moe.predict_gate(rows + s) - moe.predict_gate(rows - s)).mean(axis=0) for s in step]
    for k, expert in enumerate(moe.summary().experts):
        for word, j in re.findall(r"(high|low) x([01])\b", expert.gate_description):
            if abs(change[int(j)][k]) > 1e-9:  # not where each row is routed to a single expert
                assert (word == "high") == (change[int(j)][k] > 0.0)


def test_estimators_have_no_table_of_coefficients():
    moe = fit_quietly(regressor(expert=RandomForestRegressor(2), max_iter=1), X, X[:, 0])
    summary = moe.summary()
    assert "expert 0 (RandomForestRegressor)" in str(summary)
    assert_refused(refusal(summary.to_frame), "what", "experts", "coefficients")


# --- tables of coefficients -------------------------------------------------------------------


def test_summaries_without_the_data_have_estimates_only():
    moe, *_ = summarised("two experts")
    summary = moe.summary()
    assert summary.inference is None
    assert "std. error" not in str(summary)
    assert "AIC" not in summary.facts
    frame = summary.to_frame()
    assert list(frame.columns) == ["estimate", "odds ratio", "reference"]
    assert_allclose(frame.loc[("expert 0", "", "x1"), "estimate"], moe.expert_coef_[0, 1])
    assert repr(summary) == str(summary)
    assert_refused(refusal(moe.summary, X), "summary", "X and y", "neither")
    assert_refused(refusal(moe.summary, method="sandwich"), "summary", "needs X and y")


def test_frames_and_texts_have_the_method_and_the_level_that_are_chosen():
    moe, y, _, _ = summarised("two experts")
    summary = moe.summary(X, y, level=0.5, method="sandwich")
    expected = moe.inference(X, y, method="sandwich").to_frame(0.5)
    pd.testing.assert_frame_equal(summary.to_frame(), expected)
    text = str(summary)
    assert "sandwich covariance" in text
    assert "25 %" in text
    assert_refused(refusal(summary.to_frame, "gate"), "what", "experts", "gate")


def test_the_reference_of_the_gate_is_not_listed():
    moe, y, _, _ = summarised("two experts")
    for summary in (moe.summary(X, y, gate_reference=1), moe.summary(gate_reference=1)):
        _, gate = str(summary).split("Gate: log odds against expert 1\n")
        assert "expert 0" in gate
        assert "expert 1" not in gate
        assert ("gate", "expert 1") not in summary.to_frame().index.droplevel("term")
    three = short_fit("linear-regressor")
    for k, expert in enumerate(three.summary(gate_reference=1).experts):
        slopes = three.gate_coef_[k] - three.gate_coef_[1]
        assert_allclose([value for _, value in expert.gate_effects], slopes * X.std(axis=0))
    assert "Gate" not in str(short_fit("one expert").summary())
    message = refusal(moe.summary, gate_reference=2)
    assert_refused(message, "gate_reference must be an integer from 0 to 1", 2, "gate_reference=1")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("linear-classifier", "log odds of class 1 against class 0"),
        ("poisson-regressor", "expected y = exp(linear predictor)"),
        ("base", "y = base + linear predictor"),
        ("a list of families", "expert 0: y = linear predictor"),
    ],
)
def test_the_equation_of_the_experts_is_written(case, words):
    assert words in str(short_fit(case).summary())


# --- ratios -----------------------------------------------------------------------------------


# What exponentials are: a multiple of the slope or of the log of a dispersion, whose power may be
# another factor.
RATIOS = {
    "poisson": {"rate ratio": 1.0},
    "negative_binomial": {"rate ratio": 1.0},
    "gamma": {"ratio of means": 1.0},
    "inverse_gaussian": {"ratio of means": 1.0},
    "tweedie": {"ratio of means": 1.0},
    "lognormal": {"median ratio": 1.0},
    "weibull": {"time ratio": 1.0, "hazard ratio": None, "shape": -0.5},
    "loglogistic": {"time ratio": 1.0, "odds ratio": None, "shape": -0.5},
    "gompertz": {"time ratio": 1.0},
    "exponential": {"time ratio": 1.0, "hazard ratio": -1.0},
    "ordinal": {"odds ratio": 1.0},
    "beta": {"odds ratio": 1.0},
    "student_t": {},
}


@pytest.mark.parametrize("family", GENERALIZED)
def test_ratios_are_named_for_what_they_are(family):
    """Their intervals are exponentials of those of slopes; that of a hazard by the delta method."""
    moe, y = short_fit(f"{family}-regressor"), ALL_CASES[f"{family}-regressor"][1]
    found = silently(moe.inference, X, y)
    frame, text = found.to_frame(0.8), str(moe.summary())
    of_expert = np.array([term.part == "expert 0" for term in found.terms])
    names = [name for name in frame.columns if f"{name} lower" in frame]
    assert [n for n in names if frame.loc[of_expert, n].notna().any()] == list(RATIOS[family])
    for name, factor in RATIOS[family].items():
        terms = ["log(dispersion)"] if name == "shape" else ["x0", "x1"]
        chosen = np.array([term.name in terms and term.part != "gate" for term in found.terms])
        columns = frame.loc[chosen, [name, f"{name} lower", f"{name} upper"]].to_numpy()
        if factor is None:
            shapes = np.repeat(moe.dispersion_**-0.5, 2)
            assert_allclose(columns[:, 0], np.exp(-shapes * found.estimates[chosen]))
        else:
            logs = factor * np.column_stack([found.estimates, found.conf_int(0.8)])[chosen]
            expected = np.exp(np.column_stack([logs[:, 0], np.sort(logs[:, 1:])]))
            assert_allclose(columns, expected)
        if name != "odds ratio":
            assert frame.loc[~chosen, name].isna().all()
            has_odds = frame.loc[chosen].notna()["odds ratio"].any()
            assert has_odds == (name == "time ratio" and "odds ratio" in RATIOS[family])
        assert name in text
        assert ("multiplies" in text) or name == "shape"


def test_hazard_ratios_have_the_errors_of_slope_and_shape():
    """By the delta method with numerical derivatives, and the ratio of the bootstrap's refits."""
    moe, y = short_fit("weibull-regressor"), ALL_CASES["weibull-regressor"][1]
    found = silently(moe.inference, X, y)
    slope, dispersion = (
        found.terms.index(("expert 1", "", name)) for name in ("x1", "log(dispersion)")
    )

    def log_ratio(values):
        return -values[..., slope] * np.exp(-0.5 * values[..., dispersion])

    steps = 1e-5 * np.eye(len(found.terms))
    ends = log_ratio(found.estimates + steps), log_ratio(found.estimates - steps)
    used = [slope, dispersion]
    gradient = ((ends[0] - ends[1]) / 2e-5)[used]
    error = np.sqrt(gradient @ found.covariance[np.ix_(used, used)] @ gradient)
    row = found.to_frame(0.9).iloc[slope]
    center, width = log_ratio(found.estimates), 1.6448536 * error
    columns = ["hazard ratio", "hazard ratio lower", "hazard ratio upper"]
    assert_allclose(np.log(row[columns].tolist()), center + width * np.array([0, -1, 1]))
    refits = silently(moe.inference, X, y, method="bootstrap", n_bootstrap=5, random_state=0)
    drawn = np.quantile(log_ratio(refits.replicates), [0.95, 0.05])
    row = refits.to_frame(0.9).iloc[slope]
    assert_allclose(np.log(row[columns[1:]].tolist()), 2.0 * center - drawn)


def test_a_hazard_without_a_shape_has_no_ratio():
    """Where the dispersion depends on features, hazards are not proportional."""
    moe, y = short_fit("dispersion features of times"), ALL_CASES["dispersion features of times"][1]
    frame = silently(moe.inference, X, y).to_frame()
    assert "hazard ratio" not in frame
    assert "shape" not in frame
    ratios = frame.loc[("expert 0", "", "log(dispersion): x0"), "dispersion ratio"]
    assert_allclose(ratios, np.exp(moe.expert_dispersion_coef_[0, 0]))
    assert frame["time ratio"].notna().sum() == 2 * 2


def test_classes_have_odds_ratios_against_the_first():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[np.maximum(rng.integers(0, 3, len(X)), X[:, 0] > 0)]
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **FIXED, max_iter=5), X, y)
    frame = silently(moe.inference, X, y).to_frame()
    assert "Experts: log odds of the classes against class a." in str(moe.summary())
    assert set(frame.index.get_level_values("response")) == {"b", "c", "expert 1"}
    for k, c, j in np.ndindex(2, 2, 2):
        row = frame.loc[(f"expert {k}", "bc"[c], f"x{j}")]
        slope = moe.expert_coef_[k, c + 1, j] - moe.expert_coef_[k, 0, j]
        assert_allclose(row["estimate"], slope)
        assert_allclose(row["odds ratio"], np.exp(slope))
        assert row["reference"] == "a"
    probabilities = moe.predict_experts(np.array([[0.0, 0.0], [1.0, 0.0]]))
    odds = probabilities[:, 0, 2] / probabilities[:, 0, 0]
    assert_allclose(odds[1] / odds[0], frame.loc[("expert 0", "c", "x0"), "odds ratio"])


@pytest.mark.parametrize(
    ("family", "shared", "own"),
    [
        (["poisson", "negative_binomial"], True, True),
        (["poisson", "zero"], True, True),
        (["gamma", "normal"], False, True),
        (["gamma", "lognormal"], False, True),  # ratios of other names
    ],
)
def test_a_shared_slope_is_a_ratio_if_all_experts_have_ratios(family, shared, own):
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0])) + 0.5 * ("gamma" in family)
    moe = fit_quietly(regressor(n_experts=2, family=family, shared_features=[1], max_iter=5), X, y)
    frame = moe.summary().to_frame()
    sharing = "expert 0" if "zero" in family else "all experts"
    ratio = "ratio of means" if family[0] == "gamma" else "rate ratio"
    assert bool(frame[ratio].notna()[(sharing, "", "x1")]) is shared
    assert bool(frame[ratio].notna()[("expert 0", "", "x0")]) is own
    lines = map(str.strip, str(moe.summary()).splitlines())
    heads = [line for line in lines if line in (ratio, "odds ratio")]
    assert heads[0] == ratio
    assert heads[-1] == "odds ratio"  # of the gate
    of = "mean" if family[0] == "gamma" else "expected count"
    note = f"{ratio.capitalize()}: one unit more of a feature multiplies the {of} by it."
    assert note in str(moe.summary())


def test_a_slope_shared_with_an_expert_without_slopes_is_that_of_its_own():
    y = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0] + 1.0))
    y[::3] = 0
    options = {"n_experts": 2, "family": ["poisson", "zero"], "tol": 1e-9, "max_iter": 500}
    shared = regressor(**options, shared_features=[1]).fit(X, y).inference(X, y).to_frame()
    plain = regressor(**options).fit(X, y).inference(X, y).to_frame()
    for term in ("(Intercept)", "x0", "x1"):
        error = shared.loc[("expert 0", "", term), "standard error"]
        assert_allclose(error, plain.loc[("expert 0", "", term), "standard error"], rtol=1e-3)


def test_indicators_in_the_gate_are_described_by_their_value():
    rows, y = two_regimes(n_rows=80)
    frame = pd.DataFrame({"high": (rows[:, 0] > 0).astype(float), "age": rows[:, 1]})
    moe = MixtureOfExpertsRegressor(2, **FIXED).fit(frame, y)
    up = int(np.argmax(moe.gate_coef_[:, 0]))
    for k, value in ((up, 1), (1 - up, 0)):
        start = f"more likely for high = {value}"
        assert moe.summary().experts[k].gate_description.startswith(start)


@pytest.mark.parametrize(("slope", "text"), [(1.54e-4, "1.000154"), (-0.0243, "0.9760")])
def test_ratios_near_one_have_the_digits_of_their_difference_from_it(slope, text):
    rows = np.random.default_rng(0).normal(size=(400, 1)) / 0.05
    y = np.exp(2.0 + slope * rows[:, 0])
    moe = MixtureOfExpertsRegressor(1, family="lognormal", alpha=1e-9).fit(rows, y)
    assert f" {text}" in str(moe.summary(rows, y))


def test_the_log_likelihood_of_an_impossible_target_is_minus_infinity():
    counts = np.random.default_rng(0).poisson(3.0, size=len(X)).astype(float)
    moe = MixtureOfExpertsRegressor(1, family="poisson").fit(X, counts)
    counts[0] = 2.5
    facts = silently(moe.summary, X, counts).facts
    assert (facts["log-likelihood"], facts["AIC"], facts["entropy"]) == ("-inf", "inf", "0")


def test_estimates_without_penalties_are_maximum_likelihood():
    none = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
    moe = fit_quietly(regressor(n_experts=2, max_iter=2, **none), X, X[:, 0])
    assert moe.summary().notes[0] == "Maximum likelihood estimates, in the units of the data."


def test_frames_of_experts_have_only_what_the_fit_has():
    families = fit_quietly(regressor(n_experts=2, family="poisson", max_iter=3), X, X[:, 0] > 0)
    columns = [
        list(moe.summary().to_frame("experts"))
        for moe in (short_fit("two experts"), short_fit("outputs"), families)
    ]
    first, last = ["kind", "share"], ["gate_description"]
    assert columns[0] == [*first, "noise sd", *last]
    assert columns[1] == [*first, "noise sd of y0", "noise sd of y1", *last]
    assert columns[2] == [*first, *last]
    frame = summarised("two experts")[3].to_frame("experts")
    assert {"rows", "mean_probability"} <= set(frame)
    assert frame.notna().all(axis=None)
