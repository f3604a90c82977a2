"""Exact maximum-likelihood fits that public R packages reproduce (tests/reference/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly

MODELS = {
    model["name"]: model
    for model in json.loads(
        (Path(__file__).parents[1] / "reference" / "mle.json").read_text(encoding="utf-8")
    )["models"]
}
# Those that are not in `families.json` as well, where their coefficients are compared.
EXACT = [name for name in MODELS if name.startswith(("diabetes", "breast_cancer"))]

# Penalties and prior that leave maximum likelihood, and a search that finds the maximum.
MAXIMUM_LIKELIHOOD = {
    "alpha": 1e-10,
    "gate_alpha": 1e-10,
    "max_iter": 5000,
    "tol": 1e-11,
    "n_init": 8,
    "random_state": 0,
}


def load(model):
    """Features by name, as the reference scales them, and the target."""
    data = model["data"]
    if data["inline"]:
        columns = {name: np.array(values, dtype=float) for name, values in data["columns"].items()}
        if "times^2" in data.get("derived", {}):
            columns["times^2"] = columns["times"] ** 2
        return columns, columns[model["target"]]
    bunch = (
        datasets.load_diabetes(scaled=False, as_frame=True)
        if "diabetes" in data["loader"]
        else datasets.load_breast_cancer(as_frame=True)
    )
    columns = {name: bunch.data[name].to_numpy(dtype=float) for name in data["columns"]}
    columns = {name: (v - v.mean()) / v.std() for name, v in columns.items()}
    return columns, bunch.target.to_numpy()


def described(model, **parameters):
    """The mixture that a reference describes, its features and its target."""
    (columns, y), structure = load(model), model["model"]
    names = list(dict.fromkeys(structure["expert_features"] + structure["gate_features"]))
    X = np.column_stack([columns[name] for name in names])
    options = MAXIMUM_LIKELIHOOD | {
        "n_experts": structure["K"],
        "gate_features": [names.index(name) for name in structure["gate_features"]],
        "expert_features": [names.index(name) for name in structure["expert_features"]],
    }
    if structure["family"] == "gaussian":
        options |= {"dispersion": structure["variance"].replace("-", "_"), "dispersion_prior": 0.0}
        return MixtureOfExpertsRegressor(**options | parameters), X, y
    return MixtureOfExpertsClassifier(**options | parameters), X, y


def fit(model, **parameters):
    """The fitted mixture that a reference describes, its features and its target."""
    moe, X, y = described(model, **parameters)
    return fit_quietly(moe, X, y), X, y


@pytest.mark.parametrize("name", EXACT)
def test_maximum_likelihood_is_reached(name):
    model = MODELS[name]
    moe, X, y = fit(model)
    assert moe.score_samples(X, y).sum() == pytest.approx(model["loglik"], abs=1e-4)
    assert moe.aic(X, y) == pytest.approx(model["aic"], abs=2e-4)
    assert moe.bic(X, y) == pytest.approx(model["bic"], abs=2e-4)


def test_separating_gate_approaches_its_supremum():
    model = MODELS["tempanomalies_k2_bounds"]
    moe, X, y = fit(model, max_iter=500, n_init=10)
    assert model["loglik_min"] <= moe.score_samples(X, y).sum() <= model["loglik_max"]
    for values in (moe.expert_coef_, moe.expert_intercept_, moe.gate_coef_, moe.gate_intercept_):
        assert np.isfinite(values).all()


def test_restarts_find_a_good_optimum():
    model = MODELS["mcycle_k4_restarts"]
    moe, X, y = fit(model, n_init=20, max_iter=1000, tol=1e-7, dispersion_prior=0.01)
    # A prior of a hundredth of a row keeps variances from zero, where the likelihood is unbounded.
    assert (np.sqrt(moe.noise_variance_) > 0.02 * np.std(y)).all()
    assert moe.score_samples(X, y).sum() >= model["best_of_20_restarts_min"]


def test_searches_end_at_the_same_maximum():
    """Without restarts the first of them ends at a lower one."""
    moe, X, y = described(MODELS["mcycle_k4_restarts"], init="search", n_init=1, tol=1e-9)
    moe.set_params(dispersion_prior=0.01)
    bounds = [
        fit_quietly(clone(moe).set_params(random_state=seed), X, y).lower_bound_ * len(y)
        for seed in (0, 3)
    ]
    assert max(bounds) - min(bounds) < 0.05
