"""Maximum-likelihood fits of families, which two independent programs agree on.

The tables are published measurements (tests/reference/README.md).
"""

import itertools
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import comb

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored
from support.expert_kinds import example

FOLDER = Path(__file__).parents[1] / "reference"
FILES = [
    json.loads((FOLDER / name).read_text(encoding="utf-8"))
    for name in (
        "families.json",
        "families_v3.json",
        "known.json",
        "dispersion_v3.json",
        "constraints.json",
        "censored.json",
        "nested.json",
    )
]
REFERENCE = {
    "datasets": {name: table for file in FILES for name, table in file["datasets"].items()},
    "models": [model for file in FILES for model in file["models"]],
}
FAMILIES = {
    "gaussian": "normal",
    "poisson": "poisson",
    "negbin": "negative_binomial",
    "gamma": "gamma",
    "t": "student_t",
    "beta": "beta",
    "weibull": "weibull",
    "exponential": "exponential",
    "lognormal": "lognormal",
    "tweedie": "tweedie",
    "invgauss": "inverse_gaussian",
    "binomial": "ordinal",  # of the values 0 and 1
}
# Our log dispersion, from the names of the reference: factor and attribute.
DISPERSIONS = {
    "log_sigma": (0.5, ("dispersion_", "noise_variance_")),
    "log_shape": (-1.0, ("dispersion_",)),
    "log_size": (-1.0, ("dispersion_",)),
    "log_nu": (1.0, ("df_",)),
    "log_phi": (1.0, ("dispersion_",)),  # of beta the precision: minus our logarithm
    "log_scale": (0.5, ("dispersion_",)),
    "log_lambda": (-1.0, ("dispersion_",)),
}

# Models with several maxima, of which few starts find the greatest, and one for which 30 do not.
MANY_STARTS = ("patent_fixed_k3", "seizure_poisson_offset_k2", "penguins_pair_k3")
MANY_STARTS += ("co2_const_k2", "co2_gate_k2", "co2_gate_k2_shared", "penguins_known_one_k2")
SEARCHED = ("biochem_nested_k2",)

# A gate that separates its table, with infinite slopes, has a higher likelihood than the reference.
SEPARABLE = ("cpus_invgauss_k2_gate",)

# A model of which most starts find a higher maximum, and starts that find that of the reference.
HIGHER = "boston_normal_k2_disp_gate"
STARTS_OF_HIGHER = {"n_init": 2, "random_state": 2}


def is_supported(model):
    """Families of one response without censoring."""
    (first, *others) = model["model"]["responses"]
    possible = first["family"] in FAMILIES and "event" not in first
    return not others and possible and model["name"] not in SEPARABLE


# Estimates without a standard error, as of slopes with signs, have this one; columns are near one.
NO_ERROR = 1e-2

MODELS = {model["name"]: model for model in REFERENCE["models"] if is_supported(model)}


def has_shared_dispersion(response):
    """Whether all experts have the same dispersion, which may depend on features."""
    coefficients = response.get("dispersion_coefficients") or []
    of_all = [name for name in coefficients if name.startswith("all:")]
    return response["dispersion"] == "shared" or bool(of_all)


def described(model):
    """The mixture that a reference describes, its data, and the names of its columns."""
    structure, (response, *_) = model["model"], model["model"]["responses"]
    columns = REFERENCE["datasets"][model["dataset"]]["columns"]
    terms = [name.split(":", 1) for name in response["coefficients"]]
    terms = [term for term in terms if term[1] != "intercept"]
    experts = list(dict.fromkeys(name for _, name in terms))
    atoms = {k: "zero" for k in structure["degenerate_at_zero"]}
    atoms |= {k: "never" for k in structure.get("never_event", [])}
    K = structure["K"]
    sharing = {part: range(K) if part == "all" else numbers(part) for part, _ in terms}
    shared = {name: list(sharing[part]) for part, name in terms if len(sharing[part]) > 1}
    own = [[name for part, name in terms if k in sharing[part]] for k in range(K)]
    is_same = all(k in atoms or len(names) == len(experts) for k, names in enumerate(own))
    named = [name.split(":", 1)[1] for name in response.get("dispersion_coefficients") or []]
    of_dispersion = [name for name in dict.fromkeys(named) if name != "intercept"]
    gate = [name for name in structure["gate"] or [] if name != "intercept"]
    gate = [name if name in columns else f"gate:{name}" for name in gate]
    features = list(dict.fromkeys(experts + gate)) or [response["y"] or "lower"]
    X = np.array([columns[name] for name in features], dtype=float).T
    if response["y"] is None:
        lower, upper = (np.array(columns[response[name]], float) for name in ("lower", "upper"))
        y = interval_censored(lower, upper)
    else:
        y = np.array(columns[response["y"]], dtype=float)
    weight = np.array(columns[structure["weights"]], float) if structure["weights"] else None
    family = FAMILIES[response["family"]]
    columns_of = [[features.index(name) for name in names] for names in [experts, *own]]
    shared = {features.index(name): which for name, which in shared.items()}
    n_init = 1 if model["name"] in SEARCHED else 3 if is_same else 4
    n_init = 30 if model["name"] in MANY_STARTS else n_init
    moe = MixtureOfExpertsRegressor(
        K,
        family=[atoms.get(k, family) for k in range(K)] if atoms else family,
        gate="softmax" if gate else "constant",
        expert_features=columns_of[0] if is_same else columns_of[1:],
        gate_features=[features.index(name) for name in gate] or None,
        shared_features=(list(shared) if atoms else shared) or None,
        dispersion="shared" if has_shared_dispersion(response) else "per_expert",
        dispersion_features=[features.index(name) for name in of_dispersion] or None,
        monotonic_cst=signs_of(structure, features),
        dispersion_prior=0.0,
        alpha=1e-9,
        gate_alpha=1e-9,
        init="search" if model["name"] in SEARCHED else "auto",
        n_init=n_init,
        max_iter=5000,
        tol=1e-11,
        random_state=0,
    )
    given = {} if "offset" not in response else {"offset": np.array(columns[response["offset"]])}
    if structure.get("known"):
        given["known_experts"] = np.array(columns[structure["known"]], dtype=int)
    if structure["groups"]:
        given["units"] = np.array(columns[structure["groups"]])
    if response["family"] == "binomial":
        trials = np.array(columns[response["trials"]], dtype=float)
        X, y, weight, given["units"] = successes_and_failures(X, y, trials, given.get("units"))
    return moe, (X, y, weight, given), features


def signs_of(structure, features):
    """Signs of the slopes of the features; None if none has one."""
    signs = {
        c["feature"]: {">=0": 1, "<=0": -1}[c["sign"]] for c in structure.get("constraints") or []
    }
    return [signs.get(name, 0) for name in features] if signs else None


def numbers(part):
    """The numbers of the components that a name such as "c0,1" has."""
    return [int(number) for number in part[1:].split(",")]


@cache
def fitted(name):
    """The fitted mixture that a reference describes, its data, and the names of its columns."""
    moe, (X, y, weight, given), features = described(MODELS[name])
    moe.set_params(**STARTS_OF_HIGHER if name == HIGHER else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # maximum likelihood may collapse or crawl
        moe.fit(X, y, sample_weight=weight, **given)
    return moe, (X, y, weight, given), features


def test_a_higher_maximum_than_that_of_the_reference_is_regular():
    """Nearly all starts find it, and its errors are finite."""
    model = MODELS[HIGHER]
    moe, (X, y, _, _), _ = described(model)
    moe.set_params(n_init=8).fit(X, y)
    assert moe.converged_
    assert moe.score_samples(X, y).sum() > model["loglik"] + 2.0
    assert np.isfinite(moe.inference(X, y).standard_errors).all()


def successes_and_failures(X, successes, trials, units):
    """Two rows for each count, with numbers as weights, and their units: by default the counts."""
    units = np.arange(len(X)) if units is None else units
    happened = np.repeat([1.0, 0.0], len(X))
    numbers = np.concatenate([successes, trials - successes])
    return np.vstack([X, X]), happened, numbers, np.concatenate([units, units])


def log_coefficients(model):
    """Sum of the logarithms of binomial coefficients, which single trials do not have."""
    (response,) = model["model"]["responses"]
    if response["family"] != "binomial":
        return 0.0
    columns = REFERENCE["datasets"][model["dataset"]]["columns"]
    trials, successes = (np.array(columns[name]) for name in (response["trials"], response["y"]))
    return np.log(comb(trials, successes)).sum()


def found(moe, inference, features, order):
    """Estimates and standard errors by the names of the reference, with experts in an order."""
    values = {}
    number = {f"expert {k}": f"c{i}" for i, k in enumerate(order)} | {"all experts": "all"}
    for term, estimate, error in zip(
        inference.terms, inference.estimates, inference.standard_errors, strict=True
    ):
        block, separator, name = term.name.rpartition(": ")
        name = "intercept" if name == "(Intercept)" else name
        if name.startswith("x"):
            name = features[int(name[1:])].removeprefix("gate:")
        name = block + separator + name
        if term.part == "gate":
            part = f"gate{number[term.response][1:]}"
        elif term.part in number:
            part = number[term.part]
        else:  # of some experts
            part = "c" + ",".join(sorted(number[one][1:] for one in term.part.split(", ")))
        values[f"{part}:{name}"] = (estimate, error)
    return values


def expected(model):
    """Names of our terms, estimates and errors of the reference in our units."""
    family = FAMILIES[model["model"]["responses"][0]["family"]]
    attribute_terms = {d.attribute: d.term for d in example(family).dispersions}
    for parameter in model["parameters"]:
        part, name = parameter["name"].split(":", 1)
        factor, (kind, *feature) = 1.0, name.split(":")
        if kind in DISPERSIONS:
            factor, attributes = DISPERSIONS[kind]
            factor = -factor if family == "beta" else factor
            term = next(attribute_terms[a] for a in attributes if a in attribute_terms)
            name = ": ".join([term, *feature])
            part = "c0" if part == "all" else part  # it is listed with every expert
        error = parameter["se"] or NO_ERROR
        yield f"{part}:{name}", parameter["estimate"] / factor, error / abs(factor)


@pytest.mark.parametrize("name", MODELS)
def test_maximum_likelihood_and_standard_errors_are_reached(name):
    model = MODELS[name]
    moe, (X, y, weight, given), features = fitted(name)
    weights = np.ones(len(y)) if weight is None else weight
    if "units" in given:
        log_likelihood = moe.score_samples(X, y, sample_weight=weight, **given).sum()
    else:
        log_likelihood = weights @ moe.score_samples(X, y, **given)
    constant = log_coefficients(model)
    assert log_likelihood + constant == pytest.approx(model["loglik"], abs=1e-4)
    assert moe.n_parameters_ == model["df"]
    aic = moe.aic(X, y, sample_weight=weight, **given) - 2 * constant
    assert aic == pytest.approx(model["aic"], abs=2e-4)
    if "units" not in given:  # the reference counts rows, and we count units
        assert moe.bic(X, y, sample_weight=weight, **given) == pytest.approx(model["bic"], abs=2e-4)
    misfits = []
    references = range(moe.n_experts_)
    inferences = [
        moe.inference(X, y, sample_weight=weight, gate_reference=reference, **given)
        for reference in references
    ]
    orders = itertools.permutations(range(moe.n_experts_))
    if "known_experts" in given:  # which have the numbers of the user
        orders = [tuple(range(moe.n_experts_))]
    for order in orders:
        ours = found(moe, inferences[order[0]], features, order)
        if not {key for key, *_ in expected(model)} <= set(ours):
            continue  # a point mass in the place of a regression
        pairs = [(ours[key], (value, error)) for key, value, error in expected(model)]
        distance = max(abs(a[0] - b[0]) / b[1] for a, b in pairs)
        misfits.append((distance, [(a[1], b[1]) for a, b in pairs]))
    distance, errors = min(misfits, key=lambda misfit: misfit[0])
    assert distance < 1e-2
    if moe.monotonic_cst is None:
        ours, theirs = np.transpose(errors)
        assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in MODELS if "multipliers" in MODELS[name]])
def test_the_likelihood_falls_away_from_slopes_that_are_zero_by_their_sign(name):
    """The derivatives by such slopes are those of the reference; all others are zero."""
    model = MODELS[name]
    moe, (X, y, *_), _ = fitted(name)
    resp = moe.responsibilities(X, y)
    mean = moe.predict_experts(X)
    variance = getattr(moe, "noise_variance_", np.ones(moe.n_experts_))
    derivatives = -(resp * (y[:, None] - mean) / variance).T @ X
    held = (moe.expert_coef_ == 0.0) & (np.array(moe.monotonic_cst) != 0)
    assert_allclose(derivatives[~held & (moe.expert_coef_ != 0.0)], 0.0, atol=1e-3)
    assert_allclose(np.sort(derivatives[held]), sorted(model["multipliers"].values()), rtol=1e-4)
    reasons = moe.inference(X, y).to_frame().reason
    assert (reasons == "at its bound").sum() == held.sum() == len(model["multipliers"])


BINOMIAL = [
    name for name, model in MODELS.items() if model["model"]["responses"][0]["family"] == "binomial"
]


@pytest.mark.parametrize("name", BINOMIAL)
def test_a_classifier_has_the_maximum_of_binomial_counts(name):
    model = MODELS[name]
    moe, (X, y, weight, given), _ = described(model)
    options = moe.get_params()
    wanted = {*MixtureOfExpertsClassifier().get_params()} & set(options)
    classifier = MixtureOfExpertsClassifier(**{name: options[name] for name in wanted})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        classifier.fit(X, y, sample_weight=weight, **given)
    aic = classifier.aic(X, y, sample_weight=weight, **given) - 2 * log_coefficients(model)
    assert aic == pytest.approx(model["aic"], abs=2e-4)
    assert classifier.n_parameters_ == model["df"]
