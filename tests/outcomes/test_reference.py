"""Maximum-likelihood fits of outcomes of different families, which two programs agree on.

The tables are published measurements (tests/reference/README.md).
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly

PATH = Path(__file__).parents[1] / "reference" / "outcomes.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
MODELS = {model["name"]: model for model in REFERENCE["models"]}
FAMILIES = {"gaussian": "normal", "poisson": "poisson", "binomial": "binary"}

# Starts of the model of which few find the maximum.
N_STARTS = {"out_speed_k2_missing": 8}


def without_intercept(names):
    return list(dict.fromkeys(name for name in names if name != "intercept"))


def fitted(model):
    """The mixture that a reference describes, its data and other arguments of the fit."""
    structure = model["model"]
    table = pd.DataFrame(REFERENCE["datasets"][model["dataset"]]["columns"])
    responses = structure["responses"]
    features = {
        own["y"]: without_intercept(name.split(":")[1] for name in own["coefficients"])
        for own in responses
    }
    of_gate = without_intercept(structure["gate"] or [])
    is_shared = any(own["dispersion"] == "shared" for own in responses)
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        family={own["y"]: FAMILIES[own["family"]] for own in responses},
        expert_features=features,
        gate="softmax" if of_gate else "constant",
        gate_features=of_gate or None,
        dispersion="shared" if is_shared else "per_expert",
        alpha=0.0,
        gate_alpha=0.0,
        dispersion_prior=0.0,
        max_iter=2000,
        tol=1e-12,
        random_state=0,
        n_init=N_STARTS.get(model["name"], 4),
    )
    used = without_intercept([*itertools.chain.from_iterable(features.values()), *of_gate])
    X = table[used] if used else table[["pacc"]]
    given = {}
    if structure["units"]:
        given["units"] = table[structure["units"]]
    if structure["weights"]:
        given["sample_weight"] = table[structure["weights"]]
    return fit_quietly(moe, X, table[list(features)], **given), X, table[list(features)], given


def of_reference(moe, inference, order):
    """Estimates and standard errors by the names of the reference, with experts in an order."""
    found = {}
    listed = zip(inference.terms, inference.estimates, inference.standard_errors, strict=True)
    numbers = {moe.expert_names_[k]: c for c, k in enumerate(order)}
    outputs = {name: j for j, name in enumerate(moe.output_names_)}
    for (part, response, term), *values in listed:
        ours = "intercept" if term == "(Intercept)" else term
        if part == "gate":
            found[f"gate{numbers[response]}:{ours}"] = values
        elif ours == "log(noise variance)":
            halved = [0.5 * value for value in values]
            found[f"y{outputs[response]}.c{numbers[part]}:log_sigma"] = halved
            found[f"y{outputs[response]}.all:log_sigma"] = halved
        else:
            found[f"y{outputs[response]}.c{numbers[part]}:{ours}"] = values
    return found


@pytest.mark.parametrize("name", MODELS)
def test_fits_reach_the_maximum_with_its_standard_errors(name):
    model = MODELS[name]
    moe, X, y, given = fitted(model)
    weight = given.get("sample_weight", 1.0)
    of_rows = {key: values for key, values in given.items() if key == "units"}
    log_likelihood = (weight * moe.score_samples(X, y, **of_rows)).sum()
    assert log_likelihood == pytest.approx(model["loglik"], abs=1e-6)
    assert moe.n_parameters_ == model["df"]
    assert moe.aic(X, y, **given) == pytest.approx(model["aic"], abs=1e-5)
    best = np.inf
    for order in itertools.permutations(range(model["model"]["K"])):
        inference = moe.inference(X, y, gate_reference=order[0], **given)
        values = of_reference(moe, inference, order)
        distances = [
            abs(values[p["name"]][0] - p["estimate"]) / p["se"] for p in model["parameters"]
        ]
        if max(distances) < best:
            best, found = max(distances), values
    assert best < 1e-4
    for parameter in model["parameters"]:
        assert found[parameter["name"]][1] == pytest.approx(parameter["se"], rel=1e-3)
