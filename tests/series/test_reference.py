"""Maximum-likelihood fits of series, which two independent programs agree on.

The tables are published measurements (tests/reference/README.md).
"""

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import MarkovGate
from support.fits import fit_quietly

PATH = Path(__file__).parents[1] / "reference" / "sequences.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
FAMILIES = {"gaussian": "normal", "poisson": "poisson", "gamma": "gamma", "binomial": "ordinal"}

# Gates by what the first rows of series have.
GATES = {
    "free": "markov",
    "stationary": MarkovGate(initial="stationary"),
}

# Models of which the default starts find the greatest maximum, and few starts often end at another.
DEFAULT_STARTS = ("fedfunds_hmm_k2_free_transition", "sleepstudy_hmm_k2_shared")
DEFAULT_STARTS += ("discoveries_hmm_k2_free", "mk_pbcseq_gamma_k3_stationary")

# Our terms of the dispersions of the reference, and factors of these.
DISPERSIONS = {"log_sigma": ("log(noise variance)", 2.0), "log_shape": ("log(dispersion)", -1.0)}


def is_supported(model):
    """A start that does not depend on features."""
    series = model["model"]["sequence"]
    return not series.get("initial_features") and series["initial"] in GATES


MODELS = {model["name"]: model for model in REFERENCE["models"] if is_supported(model)}


class Found(NamedTuple):
    """A fit to the data of a reference."""

    moe: Any
    X: pd.DataFrame
    y: pd.Series
    given: dict
    weight: np.ndarray
    inferences: dict  # by the reference of the gate


def fitted(model):
    """The mixture that a reference describes, from the default starts where it needs them."""
    structure, columns = model["model"], REFERENCE["datasets"][model["dataset"]]["columns"]
    table, series = pd.DataFrame(columns), structure["sequence"]
    [response, *others] = responses = structure["responses"]
    terms = [name.split(":") for own in responses for name in own["coefficients"]]
    features = list(dict.fromkeys(name for _, name in terms if name != "intercept"))
    family, target = FAMILIES[response["family"]], response["y"]
    if others:
        family = {own["y"]: FAMILIES[own["family"]] for own in responses}
        target = list(family)
    of_gate = [name for name in series["transition"] if name != "intercept"]
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        family=family,
        gate=GATES[series["initial"]],
        gate_features=of_gate,
        expert_features=features,
        shared_features=[name for part, name in terms if part == "all"] or None,
        dispersion="shared" if response["dispersion"] == "shared" else "per_expert",
        dispersion_prior=0.0,
        alpha=0.0,
        gate_alpha=0.0,
        n_init="auto" if model["name"] in DEFAULT_STARTS else 4,
        max_iter=2000,
        tol=1e-12,
        random_state=0,
    )
    X = table[list(dict.fromkeys(features + of_gate)) or [series["time"]]]
    given = {"units": table[series["unit"]], "time": table[series["time"]]}
    weight = np.ones(len(X))
    if structure["weights"]:
        weight = table[structure["weights"]].to_numpy(float)
        given["sample_weight"] = weight
    fit_quietly(moe, X, table[target], **given)
    return Found(moe, X, table[target], given, weight, {})


def of_reference(found, order):
    """Estimates and standard errors by the names of the reference, with experts in an order.

    Its transitions are log odds against component 0, and ours are against staying.
    """
    names = [found.moe.expert_names_[k] for k in order]
    if order[0] not in found.inferences:
        found.inferences[order[0]] = found.moe.inference(
            found.X, found.y, gate_reference=order[0], **found.given
        )
    inference = found.inferences[order[0]]
    units = dict(zip(map(tuple, inference.terms), np.eye(len(inference.terms)), strict=True))
    zero = np.zeros(len(inference.terms))
    slopes, features = {}, {name for _, _, name in units}
    outputs = getattr(found.moe, "output_names_", [])
    prefixes = {name: f"y{j}." for j, name in enumerate(outputs)} | {"": ""}
    for c, name in enumerate(names):
        for (part, response, term), own in units.items():
            ours, prefix = "intercept" if term == "(Intercept)" else term, prefixes.get(response)
            if part == name:
                slopes[f"{prefix}c{c}:{ours}"] = own
            if part == "all experts":
                slopes[f"{prefix}all:{ours}"] = own
        for (theirs, (ours, factor)), (response, prefix) in itertools.product(
            DISPERSIONS.items(), prefixes.items()
        ):
            if (name, response, ours) in units:
                own = units[name, response, ours] / factor
                slopes[f"{prefix}c{c}:{theirs}"] = slopes[f"{prefix}all:{theirs}"] = own
        slopes[f"init{c}"] = units.get(("first rows", name, "(Intercept)"), zero)
        for (b, to), term in itertools.product(enumerate(names), features):
            part = f"transitions from {name}"
            own, first = (units.get((part, other, term), zero) for other in (to, names[0]))
            slopes[f"trans{c}>{b}:{'intercept' if term == '(Intercept)' else term}"] = own - first
    # Also of coefficients that are marked, such as those of transitions that hardly occur.
    covariance = inference.full_covariance
    return {
        name: (slope @ inference.estimates, np.sqrt(slope @ covariance @ slope))
        for name, slope in slopes.items()
    }


def best_order(found, model):
    """The order of the experts in which the estimates are nearest to those of the reference."""

    def distance(order):
        values = of_reference(found, order)
        return max(abs(values[p["name"]][0] - p["estimate"]) / p["se"] for p in model["parameters"])

    return min(itertools.permutations(range(model["model"]["K"])), key=distance)


@pytest.mark.parametrize("name", MODELS)
def test_starts_reach_maximum_with_its_standard_errors_and_past(name):
    model = MODELS[name]
    found = fitted(model)
    moe, X, y, given, weight, _ = found
    series = {name: given[name] for name in ("units", "time")}
    densities = moe.score_samples(X, y, **given)
    assert weight @ densities == pytest.approx(model["loglik"], abs=1e-6)
    assert moe.lower_bound_ * weight.sum() == pytest.approx(model["loglik"], abs=1e-6)
    assert moe.n_parameters_ == model["df"]
    order = best_order(found, model)
    values = of_reference(found, order)
    for parameter in model["parameters"]:
        estimate, error = values[parameter["name"]]
        assert abs(estimate - parameter["estimate"]) < 1e-5 * parameter["se"], parameter["name"]
        assert error == pytest.approx(parameter["se"], rel=1e-3), parameter["name"]
    if "transition_matrix" in model and model["model"]["K"] > 1:
        assert_allclose(
            moe.transition_matrix_[np.ix_(order, order)], model["transition_matrix"], atol=1e-5
        )
    if "past" in model:
        # Estimates of several outcomes are known less exactly, and those of a chain of gammas.
        past, tol = model["past"], 1e-8 if y.ndim == 1 else 1e-5
        tol = 1e-6 if name == "mk_pbcseq_gamma_k3_stationary" else tol
        assert_allclose(densities, past["predictive_log_density"], atol=tol)
        kinds = {"predicted": "past", "filtered": "now", "smoothed": "all"}
        for of_reference_, ours in kinds.items():
            proba = moe.responsibilities(X, y, given=ours, **series)[:, order]
            assert_allclose(proba, past[of_reference_], atol=tol)
