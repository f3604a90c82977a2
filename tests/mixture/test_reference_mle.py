"""Exact maximum-likelihood fits that public R packages reproduce (tests/reference/README.md)."""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

MODELS = {
    model["name"]: model
    for model in json.loads(
        (Path(__file__).parents[1] / "reference" / "mle.json").read_text(encoding="utf-8")
    )["models"]
}
EXACT = [name for name, model in MODELS.items() if model["kind"] == "mle"]

# Penalties and prior that leave maximum likelihood, and a search that finds the maximum.
MAXIMUM_LIKELIHOOD = {
    "alpha": 1e-10,
    "gate_alpha": 1e-10,
    "max_iter": 5000,
    "tol": 1e-11,
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
    """The mixture that a reference describes, its features, target and their names."""
    columns, y = load(model)
    structure = model["model"]
    names = list(dict.fromkeys(structure["expert_features"] + structure["gate_features"]))
    X = np.column_stack([columns[name] for name in names])
    common = MAXIMUM_LIKELIHOOD | {
        "n_experts": structure["K"],
        "gate_features": [names.index(name) for name in structure["gate_features"]],
        "expert_features": [names.index(name) for name in structure["expert_features"]],
        "n_init": 20 if "co2" in model["name"] else 8,
    }
    if structure["family"] == "gaussian":
        dispersion = structure["variance"].replace("-", "_")
        moe = MixtureOfExpertsRegressor(
            **common | {"dispersion": dispersion, "dispersion_prior": 0.0} | parameters
        )
    else:
        moe = MixtureOfExpertsClassifier(**common | parameters)
    return moe, X, y, names


def fit(model, **parameters):
    """The fitted mixture that a reference describes, its features, target and their names."""
    moe, X, y, names = described(model, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # maximum likelihood may collapse or crawl
        return moe.fit(X, y), X, y, names


def log_likelihood(moe, X, y):
    return moe.score_samples(X, y).sum()


def by_name(names, slopes, intercept):
    return dict(zip(names, slopes, strict=True)) | {"intercept": intercept}


def largest_error(moe, names, model, order):
    """Largest error of a coefficient in standard errors, with experts in an order."""
    errors = []
    for expert, k in zip(model["experts"], order, strict=True):
        found = by_name(names, moe.expert_coef_[k], moe.expert_intercept_[k])
        errors += [
            abs(found[name] - value) / expert["coef_se"][name]
            for name, value in expert["coef"].items()
        ]
        if "sigma" in expert:
            error = 0.5 * np.log(moe.noise_variance_[k]) - np.log(expert["sigma"])
            errors.append(abs(error) / expert["log_sigma_se"])
    base = order[0]
    for label, coef in model["gate"]["coef"].items():
        k = order[int(label)]
        found = by_name(
            names,
            moe.gate_coef_[k] - moe.gate_coef_[base],
            moe.gate_intercept_[k] - moe.gate_intercept_[base],
        )
        errors += [
            abs(found[name] - value) / model["gate"]["coef_se"][label][name]
            for name, value in coef.items()
        ]
    return max(errors)


@pytest.mark.parametrize("name", EXACT)
def test_maximum_likelihood_is_reached(name):
    model = MODELS[name]
    moe, X, y, names = fit(model)
    assert log_likelihood(moe, X, y) == pytest.approx(model["loglik"], abs=1e-4)
    assert moe.aic(X, y) == pytest.approx(model["aic"], abs=2e-4)
    assert moe.bic(X, y) == pytest.approx(model["bic"], abs=2e-4)
    orders = itertools.permutations(range(moe.n_experts))
    assert min(largest_error(moe, names, model, order) for order in orders) < 1e-2


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_separating_gate_approaches_its_supremum(scale):
    model = MODELS["tempanomalies_k2_bounds"]
    columns, y = load(model)
    X = columns["Year"][:, None] * scale
    moe = MixtureOfExpertsRegressor(
        **MAXIMUM_LIKELIHOOD | {"max_iter": 500}, n_experts=2, dispersion_prior=0.0, n_init=10
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe.fit(X, y)
    assert model["loglik_min"] <= log_likelihood(moe, X, y) <= model["loglik_max"]
    for values in (moe.expert_coef_, moe.expert_intercept_, moe.gate_coef_, moe.gate_intercept_):
        assert np.isfinite(values).all()


def test_restarts_find_a_good_optimum():
    model = MODELS["mcycle_k4_restarts"]
    moe, X, y, _ = fit(model, n_init=20, max_iter=1000, tol=1e-7, dispersion_prior=0.01)
    # A prior of a hundredth of a row keeps variances from zero, where the likelihood is unbounded.
    assert (np.sqrt(moe.noise_variance_) > 0.02 * np.std(y)).all()
    assert log_likelihood(moe, X, y) >= model["best_of_20_restarts_min"]
