"""Maximum-likelihood fits of several outputs with a full covariance, which two programs agree on.

The tables are published measurements (tests/reference/README.md).
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly

PATH = Path(__file__).parents[1] / "reference" / "joint_v3.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
MODELS = {model["name"]: model for model in REFERENCE["models"]}

# Starts of models with several maxima, of which few starts find the greatest.
N_STARTS = {"diabetes_joint3_k2": 100, "penguins_joint_k3": 20}


def described(model):
    """The mixture that a reference describes, its data, and the names of the columns of X."""
    structure, columns = model["model"], REFERENCE["datasets"][model["dataset"]]["columns"]
    names = [name.split(":")[1] for name in structure["responses"][0]["coefficients"]]
    experts = [name for name in dict.fromkeys(names) if name != "intercept"]
    gate = [name for name in structure["gate"] or [] if name != "intercept"]
    gate = [name if name in columns else f"gate:{name}" for name in gate]
    outputs = [response["y"] for response in structure["responses"]]
    features = list(dict.fromkeys(experts + gate)) or outputs[:1]
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        covariance_type="full",
        dispersion="shared" if structure["joint"]["covariance"] == "shared" else "per_expert",
        gate="softmax" if gate else "constant",
        expert_features=[features.index(name) for name in experts],
        gate_features=[features.index(name) for name in gate] or None,
        dispersion_prior=0.0,
        alpha=1e-9,
        gate_alpha=1e-9,
        n_init=N_STARTS.get(model["name"], 8),
        max_iter=5000,
        tol=1e-11,
        random_state=0,
    )
    X, Y = (np.array([columns[name] for name in chosen]).T for chosen in (features, outputs))
    return moe, X, Y, features


def covariance_with_error(moe, inference, k, i, j):
    """A covariance of outputs, and its standard error by the delta method."""
    terms = {tuple(term): number for number, term in enumerate(inference.terms)}
    value = moe.expert_covariance_[k, i, j]
    gradient, part = np.zeros(len(terms)), moe.expert_names_[k]
    for output in (i, j):
        gradient[terms[part, f"y{output}", "log(noise variance)"]] += 0.5 * value
    if i != j:
        number = terms[part, f"y{i}, y{j}", "atanh(correlation)"]
        std = np.sqrt(moe.noise_variance_[k, i] * moe.noise_variance_[k, j])
        assert inference.estimates[number] == pytest.approx(np.arctanh(value / std))
        gradient[number] = std * (1.0 - (value / std) ** 2)
    return value, np.sqrt(gradient @ inference.covariance @ gradient)


def found(moe, inference, features, name, order):
    """The estimate and standard error of a parameter, by its name in the reference."""
    part, term = name.split(":")
    if "cov" in term:
        i, j = map(int, term[4:-1].split(","))
        return covariance_with_error(moe, inference, order[int(part[1:])], i, j)
    terms = {tuple(term): number for number, term in enumerate(inference.terms)}
    ours = "(Intercept)" if term == "intercept" else f"x{features.index(term)}"
    response, component = part.split(".")
    number = terms[moe.expert_names_[order[int(component[1:])]], response, ours]
    return inference.estimates[number], inference.standard_errors[number]


@pytest.mark.parametrize("name", MODELS)
def test_maximum_likelihood_and_standard_errors_are_reached(name):
    model = MODELS[name]
    moe, X, Y, features = described(model)
    fit_quietly(moe, X, Y)
    assert moe.score_samples(X, Y).sum() == pytest.approx(model["loglik"], abs=1e-4)
    assert moe.n_parameters_ == model["df"]
    assert moe.bic(X, Y) == pytest.approx(model["bic"], abs=2e-4)
    inference, misfits = moe.inference(X, Y), []
    parameters = [p for p in model["parameters"] if not p["name"].startswith("gate")]
    expected = np.array([(p["estimate"], p["se"]) for p in parameters])
    for order in itertools.permutations(range(moe.n_experts_)):
        names = [p["name"].replace("all:", "c0:") for p in parameters]
        ours = np.array([found(moe, inference, features, one, order) for one in names])
        misfits.append((np.abs((ours - expected)[:, 0] / expected[:, 1]).max(), ours[:, 1]))
    distance, errors = min(misfits, key=lambda misfit: misfit[0])
    assert distance < 1e-3
    assert_allclose(errors, expected[:, 1], rtol=1e-3)
