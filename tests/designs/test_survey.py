"""Standard errors of samples with weights, strata and clusters: those of R's svyglm and svymle.

The tables are published measurements (tests/reference/README.md).
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import average_effects
from skmoe.model_selection import likelihood_ratio_test, n_experts_test
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

PATH = Path(__file__).parents[1] / "reference" / "designs.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
MODELS = {model["name"]: model for model in REFERENCE["models"] if model["kind"] == "survey"}
FAMILIES = {"gaussian": "normal", "poisson": "poisson", "binomial": "ordinal"}
WITHOUT_PENALTY = {"alpha": 0.0, "dispersion_prior": 0.0}

# Standard errors of svyglm in the survey package of R.
SVYGLM = {
    "sv_apistrat_normal_k1": [10.256490, 0.397707, 0.288300, 0.402691],
    "sv_apiclus1_normal_k1": [21.605095, 0.327263, 0.280880, 0.449393],
}


@cache
def fitted(name):
    """A fit to the table of a reference: mixture, features, outcome, its arguments and design."""
    model = MODELS[name]
    structure, table = model["model"], REFERENCE["datasets"][model["dataset"]]["columns"]
    table, [response] = pd.DataFrame(table), structure["responses"]
    terms = [term.split(":")[1] for term in response["coefficients"]]
    features = list(dict.fromkeys(term for term in terms if term != "intercept"))
    of_gate = [term for term in structure["gate"] or () if term != "intercept"]
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        family=FAMILIES[response["family"]],
        gate="softmax" if of_gate else "constant",
        gate_features=of_gate or None,
        expert_features=features,
        dispersion="shared" if response["dispersion"] == "shared" else "per_expert",
        dispersion_prior=0.0,
        alpha=0.0,
        gate_alpha=0.0,
        max_iter=2000,
        tol=1e-12,
        random_state=0,
    )
    data = table[list(dict.fromkeys(features + of_gate))], table[response["y"]]
    given = {"sample_weight": table[structure["weights"]]}
    if "offset" in response:
        given["offset"] = table[response["offset"]]
    survey = structure["survey"]
    design = {
        name: table[survey[field]]
        for name, field in (("strata", "strata"), ("cluster", "clusters"))
        if survey[field]
    }
    return fit_quietly(moe, *data, **given), data, given, design


def of_reference(name):
    """Estimates and standard errors of a fit by the names of the reference."""
    moe, data, given, design = fitted(name)
    order = np.argsort(moe.expert_intercept_)
    theirs = {p["name"]: p["estimate"] for p in MODELS[name]["parameters"]}
    intercepts = [theirs[f"c{k}:intercept"] for k in range(len(order))]
    order = order[np.argsort(np.argsort(intercepts))]
    options = {"gate_reference": int(order[0]), "method": "sandwich"}
    inference = moe.inference(*data, **given, **design, **options)
    found = {}
    for i, (part, response, term) in enumerate(inference.terms):
        who = response if part == "gate" else part
        number = order.tolist().index(int(who.split()[1]))
        start = f"gate{number}" if part == "gate" else f"c{number}"
        factor = 0.5 if "variance" in term else 1.0
        start = "all" if factor == 0.5 and "all:log_sigma" in theirs else start
        term = "log_sigma" if factor == 0.5 else term
        term = "intercept" if term == "(Intercept)" else term
        found[f"{start}:{term}"] = factor * np.array(
            [inference.estimates[i], inference.standard_errors[i]]
        )
    return inference, found


@pytest.mark.parametrize("name", MODELS)
def test_fits_and_errors_are_those_of_the_reference(name):
    model, (moe, data, given, _) = MODELS[name], fitted(name)
    log_likelihood = given["sample_weight"] @ moe.score_samples(
        *data, **{key: values for key, values in given.items() if key == "offset"}
    )
    assert_allclose(log_likelihood, model["loglik"], rtol=1e-8)
    _, found = of_reference(name)
    for parameter in model["parameters"]:
        estimate, error = found[parameter["name"]]
        assert_allclose(estimate, parameter["estimate"], rtol=1e-3, err_msg=parameter["name"])
        assert_allclose(error, parameter["design_se"], rtol=1e-3, err_msg=parameter["name"])


@pytest.mark.parametrize("name", SVYGLM)
def test_errors_are_those_of_svyglm(name):
    inference, _ = of_reference(name)
    assert_allclose(inference.standard_errors[:4], SVYGLM[name], rtol=1e-4)


def test_summaries_name_the_design():
    moe, data, given, design = fitted("sv_nhanes_logit_k1")
    summary = moe.summary(*data, **given, **design, method="sandwich")
    assert summary.facts["weights"] == "sampling"
    top = str(summary).partition("expert 0")[0]
    assert "sampling" in top
    n_clusters, n_strata = design["cluster"].nunique(), design["strata"].nunique()
    assert f"{n_clusters} clusters, {n_strata} strata" in " ".join(summary.notes)
    assert "sampling weights" in " ".join(summary.notes)
    inference = moe.inference(*data, **given, **design, method="sandwich")
    assert_allclose(summary.inference.standard_errors, inference.standard_errors)


def test_average_effects_have_the_errors_of_the_design():
    """The effect of a linear regression is its slope."""
    moe, (X, y), given, design = fitted("sv_apistrat_normal_k1")
    inference = moe.inference(X, y, **given, **design, method="sandwich")
    effects = average_effects(moe, X, inference=inference, **given, features=["meals"])
    assert_allclose(effects.standard_errors, inference.standard_errors[2], rtol=1e-6)


def errors(moe, X, y, **given):
    return moe.inference(X, y, method="sandwich", **given).standard_errors


def sample(n_rows=240):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    strata = np.arange(n_rows) % 3
    y = X[:, 0] + strata + rng.normal(size=n_rows)
    cluster = np.arange(n_rows) // 3 % 20
    return X, y, {"sample_weight": rng.uniform(1.0, 30.0, n_rows)}, strata, cluster


@pytest.fixture(scope="module")
def linear():
    X, y, given, _, _ = sample()
    return fit_quietly(MixtureOfExpertsRegressor(1, **WITHOUT_PENALTY), X, y, **given)


def test_errors_depend_neither_on_the_unit_of_weights_nor_on_labels_nor_on_the_order(linear):
    X, y, given, strata, cluster = sample()
    expected = errors(linear, X, y, **given, strata=strata, cluster=cluster)
    weight = given["sample_weight"]
    other = fit_quietly(
        MixtureOfExpertsRegressor(1, **WITHOUT_PENALTY),
        X,
        y,
        sample_weight=7 * weight,
    )
    scaled = errors(other, X, y, sample_weight=7.0 * weight, strata=strata, cluster=cluster)
    assert_allclose(scaled, expected, rtol=1e-6)
    unique = [f"{s}-{c}" for s, c in zip(strata, cluster, strict=True)]
    assert_allclose(errors(linear, X, y, **given, strata=strata, cluster=unique), expected)
    order = np.random.default_rng(1).permutation(len(y))
    design = {"strata": strata[order], "cluster": cluster[order]}
    found = errors(linear, X[order], y[order], sample_weight=weight[order], **design)
    assert_allclose(found, expected)


def test_without_clusters_rows_are_clusters_and_without_strata_there_is_one(linear):
    X, y, given, strata, _ = sample()
    rows, one = np.arange(len(y)), np.zeros(len(y))
    assert_allclose(
        errors(linear, X, y, **given, strata=strata),
        errors(linear, X, y, **given, strata=strata, cluster=rows),
    )
    assert_allclose(
        errors(linear, X, y, **given, strata=one), errors(linear, X, y, **given, cluster=rows)
    )


def test_units_are_clusters_that_strata_keep_together():
    X, y, *_ = sample()
    units = np.arange(len(y)) // 4
    moe = MixtureOfExpertsRegressor(1, **WITHOUT_PENALTY)
    fit_quietly(moe, X, y, units=units)
    strata = units % 2
    of_units = errors(moe, X, y, units=units, strata=strata)
    of_clusters = errors(moe, X, y, units=units, strata=strata, cluster=units)
    assert_allclose(of_units, of_clusters)
    message = refusal(
        moe.inference, X, y, units=units, method="sandwich", strata=np.arange(len(y)) % 2
    )
    assert_refused(message, "strata", "unit", "row 1", "coarser")


def test_designs_of_classifications():
    X, y, given, strata, cluster = sample()
    moe = fit_quietly(MixtureOfExpertsClassifier(1, alpha=0.0), X, y > 1.0, **given)
    found = errors(moe, X, y > 1.0, **given, strata=strata, cluster=cluster)
    ordinal = MixtureOfExpertsRegressor(1, family="ordinal", alpha=0.0)
    fit_quietly(ordinal, X, 1.0 * (y > 1.0), **given)
    other = errors(ordinal, X, 1.0 * (y > 1.0), **given, strata=strata, cluster=cluster)
    assert_allclose(found, other, rtol=1e-3)


REFUSED = {
    "a stratum of one cluster": (
        {"method": "sandwich", "strata": ["b"] * 239 + ["a"]},
        ("strata", "two distinct clusters", "a", "Join"),
    ),
    "another method": ({"strata": np.arange(240) % 3}, ("strata", "sandwich", "observed")),
    "missing labels": (
        {"method": "sandwich", "strata": [None] * 120 + ["a"] * 120},
        ("strata", "missing"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_designs(linear, case):
    X, y, given, _, _ = sample()
    options, words = REFUSED[case]
    assert_refused(refusal(linear.inference, X, y, **given, **options), *words)


def test_likelihood_ratios_need_frequencies():
    X, y, given, _, _ = sample()
    smaller, larger = (
        MixtureOfExpertsRegressor(1, expert_features=columns) for columns in ([0], [0, 1])
    )
    words = "sample_weight", "frequencies", "wald_test", "sandwich", "strata", "var_weights"
    message = refusal(likelihood_ratio_test, smaller, larger, X, y, **given)
    assert_refused(message, *words)
    assert_refused(refusal(n_experts_test, larger, X, y, **given), *words)
