"""Fits of every kind for tests: families, gates, estimators, and options that change a fit."""

import warnings
from functools import cache
from inspect import isclass, signature

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
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
# Three regimes with about 20, 50 and 30 % of the rows.
PREDICTOR = np.select([X[:, 0] < -0.85, X[:, 0] < 0.5], [1 - X[:, 1], 2 * X[:, 1]], -1.0)
Y = PREDICTOR + 0.2 * np.random.default_rng(1).normal(size=N_ROWS)
# Outputs with dependent noise.
JOINT = np.column_stack([Y, 2.0 * Y + X[:, 0], X[:, 0] - Y])
JOINT += np.random.default_rng(2).normal(size=(N_ROWS, 3)) * [0.1, 0.2, 0.3]
CLASSES = (PREDICTOR + 0.3 * np.random.default_rng(1).logistic(size=N_ROWS) > 0).astype(int)
UNITS = np.arange(N_ROWS) // 2
# The regimes of some rows, whose numbers are not those by share.
REGIMES = np.select([X[:, 0] < -0.85, X[:, 0] < 0.5], [1, 2], 0)
KNOWN = np.where(np.arange(N_ROWS) % 6 < 2, REGIMES, -1)
KNOWN_OF_UNITS = np.where(UNITS % 6 < 2, REGIMES[::2][UNITS], -1)

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
    return draw(name, 0.5 * PREDICTOR, np.random.default_rng(1), (0.05, 5.0))


# A mixture, its target, and further arguments of its fit.
CASES = {
    f"{name}-{task}": (
        (regressor if task == "regressor" else classifier)(**options_of(name)),
        CLASSES if task == "classifier" else Y if name == "linear" else target_of(name),
        {},
    )
    for name, task in KINDS
}
CASES |= {f"{name} gate": (regressor(gate=name), Y, {}) for name in GATES}
CASES |= {
    "trees": (regressor(expert="tree", max_iter=10), Y, {}),
    "trees of classes": (classifier(expert="tree", max_iter=10), CLASSES, {}),
    "gamma trees": (regressor(expert="tree", family="gamma", max_iter=5), np.exp(Y), {}),
    "outputs": (regressor(), np.column_stack([Y, X[:, 0]]), {}),
    "joint outputs": (regressor(covariance_type="full"), JOINT, {}),
    "joint lognormal outputs": (
        regressor(covariance_type="full", family="lognormal", dispersion="shared"),
        np.exp(JOINT[:, :2]),
        {},
    ),
    "routing": (regressor(gate=SoftmaxGate(top_k=1)), Y, {}),
    "balance": (regressor(gate=SoftmaxGate(balance=1.0)), Y, {}),
    "shared noise": (regressor(dispersion="shared"), Y, {}),
    "shared slopes": (regressor(family="student_t", shared_features=[0]), Y, {}),
    "signs": (regressor(monotonic_cst=[-1, 1]), Y, {}),
    "signs of shared slopes": (
        regressor(family="gamma", shared_features=[0], monotonic_cst=[-1, 1]),
        target_of("gamma"),
        {},
    ),
    "signs of classes": (classifier(monotonic_cst=[1, -1]), CLASSES, {}),
    "signs and found penalties": (regressor(alpha="auto", monotonic_cst=[-1, 1]), Y, {}),
    "dispersion features": (regressor(dispersion_features=[1], alpha=1.0), Y, {}),
    "dispersion features of times": (
        regressor(family="weibull", dispersion_features=[0, 1], n_experts=2),
        target_of("weibull"),
        {},
    ),
    "dispersion of another feature": (
        regressor(expert_features=[1], dispersion_features=[0], alpha=1.0),
        Y,
        {},
    ),
    "found penalties": (regressor(alpha="auto", gate_alpha="ard"), Y, {}),
    "two starts": (regressor(n_init=2), Y, {}),
    "selected number": (regressor(n_experts="bic"), Y, {}),
    "units": (regressor(gate="constant"), Y, {"units": UNITS}),
    "weights": (regressor(), Y, {"sample_weight": np.where(X[:, 0] < -0.85, 5.0, 1.0)}),
    "base": (regressor(base=Ridge()), Y, {}),
}


# These number their experts in another order than by share.
OTHER_CASES = {
    "one expert": (regressor(n_experts=1), Y, {}),
    "two experts": (regressor(n_experts=2), Y, {}),
    "a list of estimators": (regressor(expert=["tree", "linear", Ridge()], max_iter=4), Y, {}),
    "slopes of some experts": (
        regressor(expert_features=[[1], [0, 1], [1]], shared_features={1: [0, 2]}),
        Y,
        {},
    ),
    "slopes of some experts of classes": (
        classifier(expert_features=[[1], [0, 1], []], shared_features=[1]),
        CLASSES,
        {},
    ),
    "a list of families": (regressor(family=["student_t", "normal", "uniform"]), Y, {}),
    "dispersion features of a list": (
        regressor(family=["student_t", "normal", "normal"], dispersion_features=[0, 1]),
        Y,
        {},
    ),
    "stacking": (
        stack_of(LinearRegression(), Ridge(10.0), gate_alpha=1.0, random_state=0),
        Y,
        {},
    ),
    "a feature that is dropped": (regressor(n_experts=1, alpha="ard"), X[:, 0], {}),
    "known experts": (regressor(), Y, {"known_experts": KNOWN}),
    "known experts of classes": (classifier(), CLASSES, {"known_experts": KNOWN}),
    "known experts of trees": (regressor(expert="tree", max_iter=4), Y, {"known_experts": KNOWN}),
    "known experts of units": (
        regressor(gate="constant"),
        Y,
        {"units": UNITS, "known_experts": KNOWN_OF_UNITS},
    ),
    "default penalties": (regressor(alpha=None, gate_alpha=None), Y, {}),
}
ALL_CASES = CASES | OTHER_CASES
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
