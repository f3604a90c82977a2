"""Fits of every kind for tests: families, gates, estimators, and options that change a fit."""

import warnings
from functools import cache
from inspect import isclass, signature
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import GATES, SoftmaxGate
from support.expert_kinds import KINDS, KINDS_OF_FITS, draw, options_of
from support.stacks import stack_of


def fit_quietly(moe, *data, **options):
    """Fit without the warnings that short fits of small tables give."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return moe.fit(*data, **options)


N_ROWS = 300
UNITS = np.arange(N_ROWS) // 2


class Tables(NamedTuple):
    """Features, and targets of three regimes with about 20, 50 and 30 % of the rows."""

    seed: int
    X: np.ndarray
    predictor: np.ndarray
    regimes: np.ndarray  # whose numbers are not those by share
    y: np.ndarray
    joint: np.ndarray  # outputs with dependent noise
    classes: np.ndarray

    def of_family(self, name):
        """A target of a family of distributions."""
        rng = np.random.default_rng(self.seed + 1)
        return draw(name, 0.5 * self.predictor, rng, (0.05, 5.0))


@cache
def tables(seed=0):
    X = np.random.default_rng(seed).normal(size=(N_ROWS, 2))
    is_first, is_second = X[:, 0] < -0.85, X[:, 0] < 0.5
    predictor = np.select([is_first, is_second], [1 - X[:, 1], 2 * X[:, 1]], -1.0)
    y = predictor + 0.2 * np.random.default_rng(seed + 1).normal(size=N_ROWS)
    joint = np.column_stack([y, 2.0 * y + X[:, 0], X[:, 0] - y])
    joint += np.random.default_rng(seed + 2).normal(size=(N_ROWS, 3)) * [0.1, 0.2, 0.3]
    noise = np.random.default_rng(seed + 1).logistic(size=N_ROWS)
    regimes = np.select([is_first, is_second], [1, 2], 0)
    return Tables(seed, X, predictor, regimes, y, joint, (predictor + 0.3 * noise > 0).astype(int))


_, X, _, REGIMES, Y, _, CLASSES = tables()

# Penalties of a regressor, so that none is sought, and optima are the same to the last digit.
FIXED_OF_CLASSES = {"alpha": 0.1, "gate_alpha": 1.0}
FIXED = FIXED_OF_CLASSES | {"dispersion_prior": 10.0}
BASE = {"n_experts": 3, "random_state": 0, "max_iter": 60}


def fixed_penalties(mixture):
    """Those that a mixture, or its class, has."""
    parameters = signature(mixture if isclass(mixture) else type(mixture)).parameters
    return {name: value for name, value in FIXED.items() if name in parameters}


def regressor(**options):
    return _mixture(MixtureOfExpertsRegressor, options)


def classifier(**options):
    return _mixture(MixtureOfExpertsClassifier, options)


def _mixture(make, options):
    """From one start, if no other number is given."""
    return make(**BASE | fixed_penalties(make) | {"n_init": 1} | options)


def is_routed(moe):
    """Whether not every expert sees every row."""
    return isinstance(moe.gate, SoftmaxGate) and moe.gate.top_k is not None


def ends_of_starts(moe):
    """Lower bound of each start when it was dropped or selected."""
    return np.array([trace[-1] for trace in moe.start_traces_])


def loads(moe):
    """Weight of the rows that are routed to each expert."""
    return np.array([expert.load for expert in moe.summary().experts])


def target_of(name):
    return tables().of_family(name)


@cache
def cases_of(seed=0):
    """Mixtures, their targets, and further arguments of their fits, by name."""
    data = tables(seed)
    y, joint, classes = data.y, data.joint, data.classes
    weight = np.where(data.X[:, 0] < -0.85, 5.0, 1.0)
    known = np.where(np.arange(N_ROWS) % 6 < 2, data.regimes, -1)
    known_of_units = np.where(UNITS % 6 < 2, data.regimes[::2][UNITS], -1)
    cases = {
        f"{name}-{task}": (
            (regressor if task == "regressor" else classifier)(**options_of(name)),
            classes if task == "classifier" else y if name == "linear" else data.of_family(name),
            {},
        )
        for name, task in KINDS
    }
    cases |= {f"{name} gate": (regressor(gate=name), y, {}) for name in GATES}
    cases |= {
        "trees": (regressor(expert="tree", max_iter=10), y, {}),
        "trees of classes": (classifier(expert="tree", max_iter=10), classes, {}),
        "gamma trees": (regressor(expert="tree", family="gamma", max_iter=5), np.exp(y), {}),
        "outputs": (regressor(), np.column_stack([y, data.X[:, 0]]), {}),
        "joint outputs": (regressor(covariance_type="full"), joint, {}),
        "joint lognormal outputs": (
            regressor(covariance_type="full", family="lognormal", dispersion="shared"),
            np.exp(joint[:, :2]),
            {},
        ),
        "routing": (regressor(gate=SoftmaxGate(top_k=1)), y, {}),
        "balance": (regressor(gate=SoftmaxGate(balance=1.0)), y, {}),
        "shared noise": (regressor(dispersion="shared"), y, {}),
        "shared slopes": (regressor(family="student_t", shared_features=[0]), y, {}),
        "signs": (regressor(monotonic_cst=[-1, 1]), y, {}),
        "signs of shared slopes": (
            regressor(family="gamma", shared_features=[0], monotonic_cst=[-1, 1]),
            data.of_family("gamma"),
            {},
        ),
        "signs of classes": (classifier(monotonic_cst=[1, -1]), classes, {}),
        "signs and found penalties": (regressor(alpha="auto", monotonic_cst=[-1, 1]), y, {}),
        "dispersion features": (regressor(dispersion_features=[1], alpha=1.0), y, {}),
        "dispersion features of times": (
            regressor(family="weibull", dispersion_features=[0, 1], n_experts=2),
            data.of_family("weibull"),
            {},
        ),
        "dispersion of another feature": (
            regressor(expert_features=[1], dispersion_features=[0], alpha=1.0),
            y,
            {},
        ),
        "found penalties": (regressor(alpha="auto", gate_alpha="ard"), y, {}),
        "two starts": (regressor(n_init=2), y, {}),
        "selected number": (regressor(n_experts="bic"), y, {}),
        "units": (regressor(gate="constant"), y, {"units": UNITS}),
        "weights": (regressor(), y, {"sample_weight": weight}),
        "base": (regressor(base=Ridge()), y, {}),
    }

    # These number their experts in another order than by share.
    others = {
        "one expert": (regressor(n_experts=1), y, {}),
        "two experts": (regressor(n_experts=2), y, {}),
        "a list of estimators": (regressor(expert=["tree", "linear", Ridge()], max_iter=4), y, {}),
        "slopes of some experts": (
            regressor(expert_features=[[1], [0, 1], [1]], shared_features={1: [0, 2]}),
            y,
            {},
        ),
        "slopes of some experts of classes": (
            classifier(expert_features=[[1], [0, 1], []], shared_features=[1]),
            classes,
            {},
        ),
        "a list of families": (regressor(family=["student_t", "normal", "uniform"]), y, {}),
        "dispersion features of a list": (
            regressor(family=["student_t", "normal", "normal"], dispersion_features=[0, 1]),
            y,
            {},
        ),
        "stacking": (
            stack_of(LinearRegression(), Ridge(10.0), gate_alpha=1.0, random_state=0),
            y,
            {},
        ),
        "a feature that is dropped": (regressor(n_experts=1, alpha="ard"), data.X[:, 0], {}),
        "known experts": (regressor(), y, {"known_experts": known}),
        "known experts of classes": (classifier(), classes, {"known_experts": known}),
        "known experts of trees": (
            regressor(expert="tree", max_iter=4),
            y,
            {"known_experts": known},
        ),
        "known experts of units": (
            regressor(gate="constant"),
            y,
            {"units": UNITS, "known_experts": known_of_units},
        ),
        "default penalties": (regressor(alpha=None, gate_alpha=None), y, {}),
    }
    return cases, others


CASES, OTHER_CASES = cases_of()
ALL_CASES = CASES | OTHER_CASES
KNOWN, KNOWN_OF_UNITS = (
    ALL_CASES[case][2]["known_experts"] for case in ("known experts", "known experts of units")
)
# Experts of rows that depend on other rows.
OF_SERIES = ["markov gate"]
# Without the families whose fits go the same way as that of another.
DISTINCT_CASES = [f"{name}-{task}" for name, task in KINDS_OF_FITS]
DISTINCT_CASES += [case for case in ALL_CASES if case not in [f"{n}-{task}" for n, task in KINDS]]


@cache
def fitted_case(case):
    """A fit that tests read only."""
    return fitted(case)


@cache
def short_fit(case):
    """A fit of a few iterations that tests read only."""
    return fitted(case, max_iter=4)


def fitted(case, **options):
    """A fit with other options, which a test may change."""
    moe, y, given = ALL_CASES[case]
    return fit_quietly(clone(moe).set_params(**options), X, y, **given)
