"""Maxima of fits of every kind, with their standard errors and predictions: see `fits.json`.

    python tests/golden/test_fits.py [CASE ...]

writes the file again, or some cases of it. A change of the code that should change no answer
changes no value here. All fits go from given responsibilities to the maximum of the likelihood with
given penalties, so neither starts nor a search of penalties has a part in them. The prior of the
dispersions, whose scale is estimated from the data, is in cases of its own.
"""

import json
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, interval_censored, left_censored, right_censored
from skmoe.experts import EXPERTS
from skmoe.families import FAMILIES, StudentT
from skmoe.gates import GATES, SoftmaxGate
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.expert_kinds import GENERALIZED, draw, example, n_dispersions
from support.fits import is_routed

FILE = Path(__file__).with_name("fits.json")
COMMAND = "python tests/golden/test_fits.py"

# Relative tolerances of log-likelihoods and of estimates; those of a coefficient near zero are
# relative to its standard error.
LOGLIK_RTOL, RTOL = 1e-6, 1e-4
# Estimators as experts have no common maximum: where EM ends depends on its steps.
OF_ESTIMATORS = {"rtol": 1e-2, "loglik_rtol": 1e-3}

ATTRIBUTES = (
    "alpha_",
    "df_",
    "dispersion_",
    "dispersion_alpha_",
    "dispersion_prior_",
    "expert_coef_",
    "expert_covariance_",
    "expert_dispersion_coef_",
    "expert_dispersion_intercept_",
    "expert_intercept_",
    "gate_alpha_",
    "gate_coef_",
    "gate_intercept_",
    "initial_probabilities_",
    "noise_variance_",
    "random_covariance_",
    "threshold_steps_",
    "transition_coef_",
    "transition_intercept_",
    "transition_matrix_",
    "weights_",
)


# What predictions of series know.
PAST = ("y", "units", "time")


class Case(NamedTuple):
    """A mixture, its data, further arguments of its fit, and options of its standard errors."""

    moe: object
    X: object
    y: object
    given: dict | None = None
    inference: dict | None = None


# --- data ---

N_ROWS = 150
ROWS = np.arange(N_ROWS)
UNITS = ROWS // 3
rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, 2))
# The first feature is that of the gate, and the same for all rows of a unit.
X[:, 0] = X[::3, 0][UNITS]
IS_SECOND = np.repeat(rng.random(N_ROWS // 3) < 1.0 / (1.0 + np.exp(-3.0 * X[::3, 0])), 3)
PREDICTOR = np.where(IS_SECOND, 1.2 - 0.6 * X[:, 1], -0.4 + 0.5 * X[:, 1] + 0.3 * X[:, 0])
IS_THIRD = IS_SECOND & (X[:, 1] > 0.0)
THREE_REGIMES = np.where(IS_THIRD, -1.8 + 0.5 * X[:, 1], PREDICTOR)
NOISE = rng.normal(size=(N_ROWS, 3))
Y = PREDICTOR + 0.4 * NOISE[:, 0]
Y_OF_PEOPLE = Y + 0.8 * np.repeat(NOISE[::3, 1], 3) + 0.5 * np.repeat(NOISE[::3, 2], 3) * X[:, 1]
Y_OF_THREE = THREE_REGIMES + 0.3 * NOISE[:, 0]
JOINT = np.column_stack([Y, 2.0 * PREDICTOR + 0.5 * Y, X[:, 1] - PREDICTOR])
JOINT[:, 1:] += [0.3, 0.5] * NOISE[:, 1:]
WEIGHT = rng.integers(0, 4, size=N_ROWS).astype(float)
OFFSET = np.log(rng.integers(1, 5, size=N_ROWS))
KNOWN = np.where(ROWS % 6 < 2, IS_SECOND.astype(int), -1)
KNOWN_OF_UNITS = np.where(UNITS % 4 == 0, IS_SECOND.astype(int), -1)
SOME_KNOWN = {"known_experts": KNOWN}
# The experts that are possible in each row.
POSSIBLE = np.column_stack([ROWS % 5 > 0, (ROWS % 5 == 0) | (ROWS % 2 > 0), ROWS >= 0])
TWO = np.where(IS_SECOND[:, None], [0.2, 0.8], [0.8, 0.2])
# Regimes that persist, in series whose rows are in descending order of time.
IS_LATER = ROWS // 10 % 2 > 0
RUNS = np.where(IS_LATER, 1.2 - 0.6 * X[:, 1], -0.4 + 0.5 * X[:, 1])
Y_OF_RUNS = RUNS + 0.4 * NOISE[:, 0]
CLASSES_OF_RUNS = (2.0 * RUNS - 0.5 + NOISE[:, 1] > 0.0).astype(int)
SERIES = {"units": ROWS // 30, "time": -ROWS}
OF_RUNS = {"gate": "markov", "init": np.where(IS_LATER[:, None], [0.2, 0.8], [0.8, 0.2])}
THREE = 0.1 + 0.7 * np.eye(3)[IS_SECOND.astype(int) + IS_THIRD]
STARTS = {1: np.ones((N_ROWS, 1)), 2: TWO, 3: THREE}
LOGIT = np.where(IS_SECOND, 2.5 * X[:, 1] + 0.5, -2.5 * X[:, 1]) + rng.logistic(size=N_ROWS)
CLASSES = (LOGIT > 0.0).astype(int)
THREE_CLASSES = np.array(["no", "perhaps", "yes"])[np.digitize(LOGIT, [-0.8, 0.8])]
# Dispersions of the targets of some families; that of others is 0.15.
DISPERSIONS = {"student_t": (0.15, 2.5), "negative_binomial": (0.8,), "ordinal": (1.5, 1.5)}
BASE = {"alpha": 0.3, "gate_alpha": 0.7, "tol": 1e-9, "max_iter": 1000, "random_state": 0}


def regressor(n_experts=2, **options):
    options = BASE | {"dispersion_prior": 0.0, "init": STARTS[n_experts]} | options
    return MixtureOfExpertsRegressor(n_experts, **options)


def classifier(n_experts=2, **options):
    options = BASE | {"init": STARTS[n_experts]} | options
    return MixtureOfExpertsClassifier(n_experts, **options)


@cache
def target_of(name, offset=False, three=False):
    """A target of a family."""
    predictor = (THREE_REGIMES if three else PREDICTOR) + (OFFSET if offset else 0.0)
    return draw(name, predictor, np.random.default_rng(1), DISPERSIONS.get(name, (0.15,)))


def of_family(name, y=None, given=None, **options):
    """A fit of a family to a target of it, or to another."""
    family = example(name) if name == "ordinal" else name
    y = target_of(name) if y is None else y
    return Case(regressor(family=family, **options), X, y, given)


def of_list(*families, y, given=None, **options):
    return Case(regressor(len(families), family=list(families), **options), X, y, given)


def with_zeros(y, values=0.0):
    """A target of which the rows of the first regime are mostly equal."""
    return np.where(IS_SECOND | (ROWS % 4 == 0), y, values)


def censored(y, kind):
    """Half of a target is known only in part."""
    known = ROWS % 2 == 0
    width = np.abs(y) if y.max() > 1.0 else np.minimum(y, 1.0 - y)  # of shares
    lower, upper = (np.where(known, y, y + change * width) for change in (-0.3, 0.3))
    if (y == np.round(y)).all():
        lower, upper = np.floor(lower), np.ceil(upper)
    if kind == "right":
        return right_censored(lower, known)
    return left_censored(upper, known) if kind == "left" else interval_censored(lower, upper)


# --- kinds of experts, families and gates ---

CASES = {"linear, regressor": Case(regressor(), X, Y)}
CASES |= {name: of_family(name) for name in GENERALIZED}
CASES |= {
    "gamma, one expert": of_family("gamma", n_experts=1),
    "one expert": Case(regressor(1), X, Y),
    "three experts": Case(regressor(3), X, Y_OF_THREE),
    "linear, classifier": Case(classifier(), X, CLASSES),
    "three classes": Case(classifier(), X, THREE_CLASSES),
    "three classes, one expert": Case(classifier(1), X, THREE_CLASSES),
    "student_t of four degrees of freedom": of_family(StudentT(df=4.0), target_of("student_t")),
    "zero, poisson": of_list("zero", "poisson", y=with_zeros(target_of("poisson"))),
    "zero, gamma": of_list("zero", "gamma", y=with_zeros(target_of("gamma"))),
    "one, negative_binomial": of_list(
        "one", "negative_binomial", y=with_zeros(target_of("poisson"), 1.0)
    ),
    "uniform, normal": of_list("uniform", "normal", y=Y),
    "zero, one, beta": of_list(
        "zero", "one", "beta", y=with_zeros(target_of("beta"), (ROWS % 3 > 0).astype(float))
    ),
    "never, weibull": of_list("never", "weibull", y=censored(target_of("weibull"), "right")),
    "student_t, normal": of_list("student_t", "normal", y=Y),
    "gamma, lognormal, weibull": of_list("gamma", "lognormal", "weibull", y=target_of("gamma")),
    "poisson, negative_binomial": of_list("poisson", "negative_binomial", y=target_of("poisson")),
}
CASES |= {f"gate {name}": Case(regressor(3, gate=name), X, Y_OF_THREE) for name in GATES}
CASES |= {
    "gate constant, poisson": of_family("poisson", gate="constant"),
    "gate constant, classes": Case(classifier(gate="constant", alpha=2.0), X, CLASSES),
    "gate markov": Case(regressor(**OF_RUNS), X, Y_OF_RUNS, SERIES),
    "gate markov, missing y": Case(
        regressor(**OF_RUNS),
        X,
        np.where(ROWS % 7 == 3, np.nan, Y_OF_RUNS),
        SERIES | {"sample_weight": 1.0 + (SERIES["units"] == 1)},
    ),
    "gate markov, poisson": Case(
        regressor(family="poisson", gate_features=[], **OF_RUNS),
        X,
        draw("poisson", RUNS, np.random.default_rng(1)),
        SERIES,
    ),
    "gate markov, classes": Case(classifier(**OF_RUNS), X, CLASSES_OF_RUNS, SERIES),
}

# --- what belongs to the rows ---

CASES |= {
    "weights": Case(regressor(), X, Y, {"sample_weight": WEIGHT}),
    "weights, gamma": of_family("gamma", given={"sample_weight": WEIGHT}),
    "weights, classes": Case(classifier(), X, CLASSES, {"sample_weight": WEIGHT}),
    "offset, poisson": of_family("poisson", target_of("poisson", offset=True), {"offset": OFFSET}),
    "offset, gamma": of_family("gamma", target_of("gamma", offset=True), {"offset": OFFSET}),
    "units": Case(regressor(gate_features=[0]), X, Y, {"units": UNITS}),
    "units, poisson": of_family("poisson", given={"units": UNITS}, gate_features=[0]),
    "units, classes": Case(classifier(gate_features=[0]), X, CLASSES, {"units": UNITS}),
    "random intercepts": Case(
        regressor(gate_features=[0], random_features=[], dispersion_prior=5.0),
        X,
        Y_OF_PEOPLE,
        {"units": UNITS, "sample_weight": 1.0 + UNITS % 2},
    ),
    "random slopes of each expert, missing y": Case(
        regressor(gate_features=[0], random_features=[1], random_covariance="per_expert"),
        X,
        np.where(ROWS % 7 == 3, np.nan, Y_OF_PEOPLE),
        {"units": UNITS},
    ),
    "known experts": Case(regressor(), X, Y, SOME_KNOWN),
    "possible experts": Case(regressor(3), X, Y_OF_THREE, {"known_experts": POSSIBLE}),
    "known experts, student_t": of_family("student_t", given=SOME_KNOWN),
    "known experts, classes": Case(classifier(), X, CLASSES, SOME_KNOWN),
    "known experts of units, weights": Case(
        regressor(gate_features=[0]),
        X,
        Y,
        {"units": UNITS, "known_experts": KNOWN_OF_UNITS, "sample_weight": 1.0 + UNITS % 2},
    ),
    "sparse features": Case(regressor(), csr_array(np.where(np.abs(X) < 0.4, 0.0, X)), Y),
}
for name in ("normal", *GENERALIZED):
    is_of_each_kind = name in ("normal", "weibull", "negative_binomial")
    for kind in ("right", "left", "interval") if is_of_each_kind else ("right",):
        if FAMILIES[name]().takes_bounds:
            y = Y if name == "normal" else target_of(name)
            given = SOME_KNOWN if name == "negative_binomial" else {}
            CASES[f"{kind}-censored, {name}"] = of_family(name, censored(y, kind), given)
CASES |= {
    "censored, units, weights": of_family(
        "weibull",
        censored(target_of("weibull"), "right"),
        {"units": UNITS, "sample_weight": WEIGHT + 1.0},
        gate_features=[0],
    ),
    "censored, offset": of_family(
        "exponential", censored(target_of("exponential", offset=True), "right"), {"offset": OFFSET}
    ),
}

# --- coefficients that are shared, absent or of a sign ---

OF_SOME = {"expert_features": [[1], [0, 1], [0]], "shared_features": {1: [0, 1]}}
CASES |= {
    "shared slopes": Case(regressor(shared_features=[0]), X, Y),
    "shared slopes, poisson": of_family("poisson", shared_features=[0]),
    "shared slopes, student_t": of_family("student_t", shared_features=[0, 1]),
    "shared slopes, classes": Case(classifier(shared_features=[0]), X, THREE_CLASSES),
    "absent slopes": Case(regressor(expert_features=[[1], [0, 1]]), X, Y),
    "absent slopes, gamma": of_family("gamma", expert_features=[[], [1]]),
    "absent slopes, classes": Case(classifier(expert_features=[[1], []]), X, CLASSES),
    "slopes of some experts": Case(regressor(3, **OF_SOME), X, Y_OF_THREE),
    "slopes of some experts, weibull": of_family(
        "weibull", target_of("weibull", three=True), n_experts=3, **OF_SOME
    ),
    "features of the gate and of the experts": Case(
        regressor(gate_features=[0], expert_features=[1]), X, Y
    ),
    "signs": Case(regressor(monotonic_cst=[0, 1]), X, Y),
    "signs, gamma": of_family("gamma", monotonic_cst=[-1, 1]),
    "signs, classes": Case(classifier(monotonic_cst=[0, 1]), X, CLASSES, SOME_KNOWN),
    "signs, shared slopes": of_family("poisson", monotonic_cst=[1, -1], shared_features=[0]),
}

# --- dispersions and several outputs ---

NOISY = {"dispersion_features": [1], "alpha": 0.8}
WITH_DISPERSION = [name for name in GENERALIZED if n_dispersions(name) and name != "ordinal"]
CASES |= {f"dispersion on features, {n}": of_family(n, **NOISY) for n in WITH_DISPERSION}
CASES |= {
    "dispersion on features": Case(regressor(**NOISY), X, Y),
    "dispersion on other features": Case(
        regressor(dispersion_features=[0], alpha=3.0, expert_features=[1]), X, Y
    ),
    "dispersion on features, shared": of_family("gamma", dispersion="shared", **NOISY),
    "dispersion on features, list": of_list("student_t", "normal", y=Y, **NOISY),
    "dispersion on features, censored": of_family(
        "weibull", censored(target_of("weibull"), "interval"), **NOISY
    ),
    "shared dispersion": Case(regressor(dispersion="shared"), X, Y),
    "two outputs": Case(regressor(), X, JOINT[:, :2]),
    "two outputs, shared dispersion": Case(regressor(dispersion="shared"), X, JOINT[:, :2]),
    "two outputs, poisson": of_family(
        "poisson", np.column_stack([target_of("poisson"), target_of("negative_binomial")])
    ),
    "two outputs, dispersion on features": Case(regressor(**NOISY), X, JOINT[:, :2]),
    "two joint outputs": Case(regressor(covariance_type="full"), X, JOINT[:, :2]),
    "three joint outputs": Case(regressor(covariance_type="full"), X, JOINT),
    "joint outputs, shared covariance": Case(
        regressor(covariance_type="full", dispersion="shared"), X, JOINT
    ),
    "joint outputs, lognormal": of_family(
        "lognormal", np.exp(JOINT[:, :2]), covariance_type="full"
    ),
    "joint outputs, units": Case(
        regressor(covariance_type="full", gate_features=[0]), X, JOINT[:, :2], {"units": UNITS}
    ),
}
# Outcomes of three families, of which some are missing.
OUTCOMES = np.column_stack([Y, CLASSES, target_of("poisson")])
SOME_MISSING = np.where(np.random.default_rng(2).random(OUTCOMES.shape) < 0.2, np.nan, OUTCOMES)
OF_OUTCOMES = {"family": {0: "normal", 1: "binary", 2: "poisson"}}
CASES |= {
    "outcomes": Case(regressor(**OF_OUTCOMES), X, OUTCOMES),
    "outcomes, missing": Case(regressor(**OF_OUTCOMES), X, SOME_MISSING, {"sample_weight": WEIGHT}),
    "outcomes, features of each": Case(
        regressor(expert_features={0: [1], 1: [], 2: [0, 1]}, **OF_OUTCOMES), X, SOME_MISSING
    ),
    "outcomes, units": Case(
        regressor(gate_features=[0], **OF_OUTCOMES), X, SOME_MISSING, {"units": UNITS}
    ),
    "outcomes, gate markov": Case(regressor(**OF_OUTCOMES, **OF_RUNS), X, SOME_MISSING, SERIES),
    "joint outputs, missing": Case(
        regressor(covariance_type="full"),
        X,
        np.where(np.random.default_rng(2).random(JOINT.shape) < 0.2, np.nan, JOINT),
    ),
}
CASES |= {f"shared dispersion, {n}": of_family(n, dispersion="shared") for n in WITH_DISPERSION}

# --- penalties ---

CASES |= {
    "large penalties": Case(regressor(alpha=20.0, gate_alpha=10.0), X, Y),
    "large penalties, poisson": of_family("poisson", alpha=20.0, gate_alpha=10.0),
    "large penalties, shared slopes": of_family(
        "gamma", alpha=20.0, gate_alpha=10.0, shared_features=[0]
    ),
    "large penalties, classes": Case(
        classifier(alpha=5.0, gate_alpha=10.0), X, THREE_CLASSES, SOME_KNOWN
    ),
    "no penalties": Case(regressor(alpha=0.0, gate_alpha=0.0), X, Y),
    "prior of dispersions": Case(regressor(dispersion_prior=6.0), X, Y),
    "prior of a shared dispersion": Case(
        regressor(dispersion_prior=6.0, dispersion="shared"), X, Y
    ),
    "prior of covariances": Case(regressor(dispersion_prior=6.0, covariance_type="full"), X, JOINT),
    "prior of dispersions on features": Case(regressor(dispersion_prior=6.0, **NOISY), X, Y),
    "balance": Case(regressor(3, gate=SoftmaxGate(balance=0.5)), X, Y_OF_THREE),
    "balance, classes": Case(classifier(gate=SoftmaxGate(balance=0.5)), X, CLASSES),
}
CASES |= {
    f"prior of dispersions, {name}": of_family(name, dispersion_prior=6.0)
    for name in WITH_DISPERSION
}

# --- other parts of a fit ---

CASES |= {
    "balanced classes": Case(classifier(class_weight="balanced"), X, CLASSES),
    "weights of classes": Case(
        classifier(class_weight={"no": 2.0, "perhaps": 1.0, "yes": 0.5}), X, THREE_CLASSES
    ),
    "routing": Case(regressor(3, gate=SoftmaxGate(top_k=2)), X, Y_OF_THREE),
    "base": Case(regressor(base=Ridge()), X, Y),
    "base, poisson": of_family("poisson", base=DecisionTreeRegressor(max_depth=2)),
    "estimators": Case(regressor(expert=Ridge(1.0)), X, Y),
    "trees": Case(regressor(expert=DecisionTreeRegressor(max_depth=2)), X, Y, SOME_KNOWN),
    "trees, gamma": of_family("gamma", None, SOME_KNOWN, expert=DecisionTreeRegressor(max_depth=1)),
    "trees without folds": Case(
        regressor(expert=DecisionTreeRegressor(max_depth=1), cross_fit=False), X, Y, SOME_KNOWN
    ),
    "trees and lines": Case(
        regressor(expert=[Ridge(), DecisionTreeRegressor(max_depth=2)]), X, Y, SOME_KNOWN
    ),
    "estimators, classes": Case(classifier(expert=LogisticRegression(tol=1e-10)), X, CLASSES),
    "stack": Case(
        GatedStackingRegressor(
            [("line", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2))],
            gate_alpha=1.0,
            random_state=0,
        ),
        X,
        Y,
    ),
    "stack, classes": Case(
        GatedStackingClassifier(
            [("one", LogisticRegression(C=0.01)), ("two", LogisticRegression(C=100.0))],
            gate_alpha=1.0,
            random_state=0,
        ),
        X,
        CLASSES,
    ),
    "sandwich": Case(regressor(), X, Y, {}, {"method": "sandwich"}),
    "sandwich, clusters": of_family("poisson")._replace(
        inference={"method": "sandwich", "cluster": UNITS}
    ),
    "sandwich, units": Case(
        regressor(gate_features=[0]), X, Y, {"units": UNITS}, {"method": "sandwich"}
    ),
    "reference of the gate": Case(regressor(3), X, Y_OF_THREE, {}, {"gate_reference": 1}),
    "most options": of_family(
        "gamma",
        target_of("gamma", offset=True),
        {
            "units": UNITS,
            "known_experts": KNOWN_OF_UNITS,
            "sample_weight": 1.0 + UNITS % 2,
            "offset": OFFSET,
        },
        gate_features=[0],
        shared_features=[0],
        dispersion_prior=2.0,
        gate=SoftmaxGate(balance=0.1),
        **NOISY,
    ),
}

# Fits to the same rows in blocks, which have the values of the case of this name.
IN_BLOCKS = ["weights", "units, poisson", "right-censored, weibull", "linear, classifier"]


# --- values ---


def fit_to_rows(case):
    return clone(case.moe).fit(case.X, case.y, **case.given or {})


def fit_to_blocks(case):
    """The maximum of the same rows in blocks, after three iterations on the whole table."""
    moe, given = clone(case.moe).set_params(warm_start=True, max_iter=3), case.given or {}
    moe.fit(case.X, case.y, **given)

    def blocks():
        for rows in np.split(ROWS, [45, 90]):
            arguments = {name: values[rows] for name, values in given.items()}
            rest = [arguments.get(name) for name in ("sample_weight", "offset", "units")]
            yield (case.X[rows], case.y[rows], *rest)

    return moe.set_params(init="auto", max_iter=1000).fit(RowBlocks(blocks))


def values_of(case, fit=fit_to_rows):
    """What is kept of a fit."""
    X, y, given = case.X, case.y, case.given or {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = fit(case)
        found = {"lower_bound": float(moe.lower_bound_)}
        if np.isfinite(getattr(moe, "n_parameters_", np.nan)):
            found["n_parameters"] = moe.n_parameters_
            found["log_likelihood"] = moe.n_parameters_ - 0.5 * moe.aic(X, y, **given)
            found["bic"] = moe.bic(X, y, **given)
        scored = {name: value for name, value in given.items() if name != "sample_weight"}
        found["score_samples"] = float(moe.score_samples(X, y, **scored).sum())
        found["coefficients"] = coefficients_of(moe, case)
    attributes = {name: getattr(moe, name, None) for name in ATTRIBUTES}
    found["attributes"] = {name: flat(v) for name, v in attributes.items() if v is not None}
    return found | {"predictions": predictions_of(moe, y, given)}


def coefficients_of(moe, case):
    """Estimate and standard error of each term, where there are any."""
    if not hasattr(moe, "expert_coef_") or moe.base is not None or is_routed(moe):
        return {}
    inference = moe.inference(case.X, case.y, **case.given or {}, **case.inference or {})
    columns = flat(inference.estimates), flat(inference.standard_errors)
    names = [" / ".join(filter(None, term)) for term in inference.terms]
    return dict(zip(names, map(list, zip(*columns, strict=True)), strict=True))


def predictions_of(moe, y, given):
    """Of some rows, which in series know earlier ones."""
    rows = slice(None, None, N_ROWS // 4)
    new = X[rows]
    offset = {"offset": given["offset"][rows]} if "offset" in given else {}
    past = {}
    if "time" in given:
        past = {name: values[rows] for name, values in {"y": y, **given}.items() if name in PAST}
    found = {"gate": moe.predict_gate(new, **past)}
    if hasattr(moe, "predict_proba"):
        found |= {"probability": moe.predict_proba(new, **past)}
    else:
        found |= {"interval": moe.predict_interval(new, 0.8, **offset, **past)}
        if "never" not in moe.expert_kinds_:
            found |= {"mean": moe.predict(new, **offset, **past)}
    return {name: flat(values) for name, values in found.items()}


def flat(values):
    """Numbers of eight digits, those that are not finite as texts."""
    numbers = [float(f"{value:.8g}") for value in np.ravel(values)]
    return [value if np.isfinite(value) else str(value) for value in numbers]


def assert_values(found, expected, rtol=RTOL, loglik_rtol=LOGLIK_RTOL):
    assert found.keys() == expected.keys()
    for name in set(expected) - {"coefficients", "attributes", "predictions"}:
        assert_close(name, found[name], expected[name], loglik_rtol, 1.0)
    assert found["coefficients"].keys() == expected["coefficients"].keys()
    for name, values in expected["coefficients"].items():
        error = float(values[1])
        scale = error if np.isfinite(error) else 0.0
        assert_close(name, found["coefficients"][name], values, rtol, scale)
    for part in ("attributes", "predictions"):
        assert found[part].keys() == expected[part].keys()
        for name, values in expected[part].items():
            scale = np.abs(np.array(values, dtype=float))
            scale = scale[np.isfinite(scale)].max(initial=0.0)
            assert_close(name, found[part][name], values, rtol, scale)


def assert_close(name, found, expected, rtol, scale):
    """Within a relative tolerance, of which `scale` is the least size of a number."""
    found, expected = np.array(found, dtype=float), np.array(expected, dtype=float)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale, err_msg=name)


@cache
def golden():
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def test_the_file_has_all_cases():
    assert set(golden()) == set(CASES), f"Write the cases by `{COMMAND} CASE`."


def test_all_kinds_have_a_case():
    """Experts of a registry, families and gates."""
    for name in EXPERTS:
        assert {f"{name}, {task}" for task in EXPERTS[name]} <= set(CASES)
    words = {word for name in CASES for word in name.replace(",", " ").split()}
    assert words >= {*FAMILIES, *GATES}


@pytest.mark.parametrize("name", CASES)
def test_fits_have_the_values_of_the_file(name):
    assert_values(values_of(CASES[name]), golden()[name], **tolerances_of(name))


@pytest.mark.parametrize("name", IN_BLOCKS)
def test_fits_to_blocks_have_the_values_of_the_file(name):
    assert_values(values_of(CASES[name], fit_to_blocks), golden()[name])


def tolerances_of(name):
    has_estimators = name.startswith(("estimators", "trees", "stack"))
    return OF_ESTIMATORS if has_estimators else {}


def main():
    found = dict(golden())
    for name in sys.argv[1:] or CASES:
        found[name] = values_of(CASES[name])
    lines = [f"{json.dumps(name)}: {json.dumps(found[name])}" for name in CASES]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
