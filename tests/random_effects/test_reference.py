"""Maximum-likelihood fits with random effects, which two independent programs agree on.

The tables are published measurements (tests/reference/README.md).
"""

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from skmoe import MixtureOfExpertsRegressor

PATH = Path(__file__).parents[1] / "reference" / "random.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
MODELS = {model["name"]: model for model in REFERENCE["models"]}


@cache
def fitted(name):
    """The mixture that a reference describes, from the default start, and its data."""
    structure, table = MODELS[name]["model"], REFERENCE["datasets"][MODELS[name]["dataset"]]
    table, [response] = pd.DataFrame(table["columns"]), structure["responses"]
    terms = [term.split(":") for term in response["coefficients"]]
    features = list(dict.fromkeys(term for _, term in terms if term != "intercept"))
    of_gate = [term for term in structure["gate"] or [] if term != "intercept"]
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        gate="softmax" if of_gate else "constant",
        gate_features=of_gate or None,
        expert_features=features,
        shared_features=[term for part, term in terms if part == "all"] or None,
        random_features=[term for term in structure["random"]["terms"] if term != "intercept"],
        random_covariance=structure["random"]["covariance"]
        .replace(" ", "_")
        .replace("component", "expert"),
        dispersion="shared" if response["dispersion"] == "shared" else "per_expert",
        dispersion_prior=0.0,
        alpha=0.0,
        gate_alpha=0.0,
        random_state=0,
    )
    y, given = table[response["y"]].astype(float), {"units": table[structure["units"]]}
    if structure["weights"]:
        given["sample_weight"] = table[structure["weights"]]
    X = table[features + of_gate]
    return moe.fit(X, y, **given), X, y, given


def ours(name, names):
    """Part and term of a coefficient of a reference, and its factor, with experts by number."""
    part, term = name.split(":")
    if part.startswith("gate"):
        return ("gate", names[int(part[4:])], "(Intercept)" if term == "intercept" else term), 1.0
    part = names[int(part[1:])] if part != "all" else "all experts"
    if term == "log_sigma":
        return (part if part in names else names[0], "", "log(noise variance)"), 2.0
    if term.startswith("re_cov"):
        one, other = term.removeprefix("re_cov(").removesuffix(")").split(",")
        term = f"var({one})" if one == other else f"cov({one}, {other})"
        part = part if len(names) > 1 else names[0]
        return (part, "", term), 1.0
    return (part, "", "(Intercept)" if term == "intercept" else term), 1.0


def estimates(name, order):
    """Estimates and standard errors in the order of the reference, with experts in an order."""
    moe, X, y, given = fitted(name)
    inference = moe.inference(X, y, gate_reference=order[0], **given)
    index = {tuple(term): i for i, term in enumerate(inference.terms)}
    names = [moe.expert_names_[k] for k in order]
    pairs = [ours(parameter["name"], names) for parameter in MODELS[name]["parameters"]]
    at, factors = [index[term] for term, _ in pairs], np.array([factor for _, factor in pairs])
    return np.array([inference.estimates[at], inference.standard_errors[at]]) / factors


@pytest.mark.parametrize("name", MODELS)
def test_default_start_reaches_maximum_with_its_standard_errors(name):
    model = MODELS[name]
    moe, X, y, given = fitted(name)
    expected = np.array([[p["estimate"], p["se"]] for p in model["parameters"]]).T
    orders = itertools.permutations(range(moe.n_experts_))
    found = min(
        (estimates(name, order) for order in orders),
        key=lambda values: np.abs((values[0] - expected[0]) / expected[1]).max(),
    )
    assert_allclose((found[0] - expected[0]) / expected[1], 0.0, atol=1e-3)
    assert_allclose(found[1], expected[1], rtol=1e-3)
    weight = np.asarray(given.get("sample_weight", np.ones(len(y))), dtype=float)
    of_units = pd.Series(weight)[y.notna().to_numpy()].groupby(given["units"]).first()
    kept = y.notna() & given["units"].isin(of_units.index)
    densities = moe.score_samples(X[kept], y[kept], units=given["units"][kept])
    assert of_units.to_numpy() @ densities == pytest.approx(model["loglik"], abs=1e-6)
    assert moe.lower_bound_ * weight[kept].sum() == pytest.approx(model["loglik"], abs=1e-6)
    assert moe.n_parameters_ == model["df"]
    assert moe.aic(X, y, **given) == pytest.approx(2 * (model["df"] - model["loglik"]), abs=2e-6)


def test_predictions_of_held_out_rows_from_the_other_rows_of_their_units():
    name = "re_sleepstudy_k2_intercept"
    moe, X, y, given = fitted(name)
    past = MODELS[name]["past"]
    rows, held_out = past["held_out_rows"], y.copy()
    held_out.iloc[rows] = np.nan
    known = given | {"y": held_out}
    expected = past["rows"]
    order = np.argsort(moe.expert_coef_[:, 0])[::-1]  # component 0 rises faster
    gate, means = moe.predict_gate(X, **known)[rows], moe.explain(X, **known)["experts"][rows]
    assert_allclose(gate[:, order], [row["regime_probabilities"] for row in expected], atol=1e-6)
    assert_allclose(means[:, order], [row["regime_means"] for row in expected], rtol=1e-6)
    assert_allclose(moe.predict(X, **known)[rows], [row["mean"] for row in expected], rtol=1e-6)
    distribution = moe.predict_dist(X, **known)
    logs = np.log(distribution.pdf(y.to_numpy()))[rows]
    assert_allclose(logs, [row["log_density"] for row in expected], atol=1e-6)
    by_components = gate * norm.pdf(
        y.to_numpy()[rows, None],
        means,
        np.sqrt(np.array([row["regime_variances"] for row in expected])[:, order]),
    )
    assert_allclose(np.log(by_components.sum(axis=1)), logs, atol=1e-6)
    joint = moe.score_samples(X, y, **given) - moe.score_samples(X, held_out, **given)
    of_rows = joint[np.searchsorted(np.unique(given["units"]), given["units"].iloc[rows])]
    key = "log_density_of_the_units_held_out_rows"
    assert_allclose(of_rows, [row[key] for row in expected], atol=1e-6)
