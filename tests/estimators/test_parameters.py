"""Constructor parameters: what each accepts, what it refuses, and which cannot be combined."""

import inspect
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.families import FAMILIES, Gamma, Normal, Poisson, StudentT
from skmoe.gates import GATES, ConstantGate, SoftmaxGate
from support.expert_kinds import OF_VALUES, example
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import two_regimes

BOTH = [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier]
N_ROWS = 40
X, Y = two_regimes(n_rows=N_ROWS)
CLASSES = (Y > 0).astype(int)
COUNTS = 1.0 + np.round(np.abs(Y))
FRAME = pd.DataFrame(X, columns=["age", "income", "height"])
SHORT = {"n_init": 1, "max_iter": 2, "random_state": 0}


def target(make):
    return COUNTS if make is MixtureOfExpertsRegressor else CLASSES


# --- values of one parameter ------------------------------------------------------------------

NO_NUMBERS = ["1", [1], {}, 1j]
NO_INTEGERS = [*NO_NUMBERS, 1.0, 1.5, True, False, np.True_]
NO_REALS = [*NO_NUMBERS, np.nan, np.inf, -np.inf, -1e-9]
NO_FLAGS = [0, 1, "yes", None, 1.0]
PENALTIES = [None, 0, 2.5, "auto"]

# What are no experts that share a slope, the last three in place of a mask.
NO_SHARING = [[1], [1, 1], [0, 4], 1, ["a", 1]]
NO_SHARING += [[True, False, False, False], [True, False], [True, 2]]

# Values of each parameter that are accepted, up to its bounds, and values that are refused.
PARAMETERS = {
    "n_experts": (
        [2, np.int64(5), [1], range(1, 3), np.array([2, 1])],
        [0, -3, None, 10**400, *(value for value in NO_INTEGERS if value != [1])],
    ),
    "n_init": ([1, 2], [0, 10_001, None, *NO_INTEGERS]),
    "max_iter": ([1, 3], [0, -1, None, "many", *NO_INTEGERS]),
    "verbose": ([0, False], [-1, None, *NO_NUMBERS, 1.0, 1.5]),
    "n_jobs": ([None, 1], [0, "all", *NO_INTEGERS]),
    "tol": ([0, 0.0, 1.0, 1e300], [None, 10**400, *NO_REALS]),
    "alpha": ([*PENALTIES, "ard", Fraction(1, 4)], ["found", Fraction(-1, 3), 10**400, *NO_REALS]),
    "gate_alpha": ([*PENALTIES, "ard", np.float32(0.5)], ["found", *NO_REALS]),
    "dispersion_prior": (PENALTIES, ["ard", "found", *NO_REALS]),
    "warm_start": ([True, False, np.True_], NO_FLAGS),
    "cross_fit": (["auto", False, np.int64(7)], [True, 0, 1, -2, 2.0, "oob", None, [3]]),
    "gate": (
        [*GATES, SoftmaxGate(top_k=5), ConstantGate(balance=1e100)],
        ["wide", None, 3, Ridge(), SoftmaxGate],
    ),
    "expert": (["linear"], ["trees", None, 3, Ridge, [], ["linear"], LinearExperts]),
    "base": ([None], ["linear", 3, Ridge]),
    "init": (
        ["auto", "random", np.full((N_ROWS, 4), 0.25 * (1.0 + 0.9e-6))],
        ["k-means", None, 3, [], {}],
    ),
    "random_state": ([None, 0, 2**32 - 1, np.random.RandomState(0)], [-1, 2**32, "a", 0.5]),
    "gate_features": (
        [None, [0], [-1], np.array([True, False, True])],
        [[], [3], [-4], [0, 0], [0, -3], [0.5], [True, False], [False] * 3, ["age"], "x0", [[0]]],
    ),
    "expert_features": (
        [None, [0], [], [[0], [0, 2], [False, True, True], []]],
        [[3], [0, 0], [[0], [0, 1]], [[0, 1]], [[0], [1], [2], [3]], ["age"]],
    ),
    "shared_features": (
        [None, [0], {0: [0, 1]}, {0: (3, 1), 2: np.array([0, 2])}, {0: [True, True, False, True]}],
        [[3], ["age"], {"age": [0, 1]}, *({0: sharing} for sharing in NO_SHARING)],
    ),
    "dispersion_features": ([None, [0], [False, True, False]], [[3], [], ["age"]]),
    "monotonic_cst": (
        [None, [1, 0, -1], np.array([0, 1, 0])],
        [[1], [1, 0, 2], [1, 0, 0.5], [1, 0, "1"], [True, False, False], 1, {"age": 1}],
    ),
    "family": (
        ["poisson", Normal(), StudentT(df=4), ["normal"] * 4, ("gamma",) * 4],
        ["normals", None, 3, ["normal"], ["normal"] * 5, Gamma],
    ),
    "dispersion": (["per_expert", "shared"], ["each", None, True]),
    "covariance_type": (["diag", "full"], ["tied", None, True]),
    "random_features": ([None], [[7], ["size"], [[0], [1]], 3.5]),
    "random_covariance": (["shared", "per_expert"], ["full", None, True]),
    "class_weight": (
        [None, "balanced", {0: 1.0, 1: 0.0}],
        ["even", 3, {0: -1.0, 1: 1.0}, {0: "a", 1: 1}, {5: 1.0}],
    ),
}


@pytest.mark.parametrize("make", BOTH)
def test_every_parameter_has_a_row(make):
    assert set(inspect.signature(make).parameters) <= set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_accepted_values_give_a_fit(name):
    make = BOTH[name == "class_weight"]
    for value in PARAMETERS[name][0]:
        moe = make(**{"n_experts": 4} | SHORT | {name: value})
        fit_quietly(moe, X, target(make))
        assert np.isfinite(moe.predict_gate(X)).all()
        assert moe.get_params()[name] is value


@pytest.mark.parametrize("name", PARAMETERS)
def test_other_values_are_refused_by_name(name):
    """Before experts are fitted, and classifiers check their parameters in the same place."""
    log, values = Log(), PARAMETERS[name][1]
    own = BOTH[name == "class_weight"]
    for make, value in [(own, value) for value in values] + [(BOTH[1], values[0])] * bool(values):
        if name in inspect.signature(make).parameters:
            shown = [value] if isinstance(value, int | float | str) and value != 10**400 else []
            shown = [] if name in ("gate_features", "expert_features", "init") else shown
            moe = make(**{"n_experts": 4} | SHORT | {name: value})
            assert_fit_refused(moe, (X, target(make)), name, *shown)
    if values and own is BOTH[0] and name not in ("expert", "base"):
        options = {"n_experts": 4, "expert": RecordingRegressor(log)} | SHORT
        refusal(own(**options | {name: values[-1]}).fit, X, Y)
        assert log == []


# --- parameters with each other and with the data ---------------------------------------------

GATES_OF_OPTIONS = [
    (kind, name, value)
    for kind in (SoftmaxGate, ConstantGate)
    for name, values in {"top_k": [0, 1.0, "1"], "balance": [None, 1.001e100, -1.0]}.items()
    for value in values
]
NORMAL, LABELS = LinearExperts(alpha=3.0), LogisticExperts(alpha=3.0)

# Parameters of a regressor, and the name, the value, and words of rule and remedy of the message.
REFUSED = [
    ({"n_experts": N_ROWS + 1}, "n_experts", "number of rows", N_ROWS),
    ({"n_experts": 10**5000}, "n_experts", "fewer experts"),
    ({"expert": ["tree"]}, "expert as a list", "n_experts=2", "got 1"),
    ({"expert": ["tree", NORMAL]}, "expert[1]", "LinearExperts", "same family"),
    ({"expert": [NORMAL, LinearExperts(alpha=4.0)]}, "expert[0]", "LinearExperts"),
    ({"expert": [NORMAL, "linear"]}, "expert[0]", "LinearExperts"),
    ({"expert": ["tree", "forest"]}, "expert[1]", "'forest'", "'tree'"),
    ({"expert": [Ridge, "tree"]}, "expert[0]", "instance", "Ridge()"),
    ({"expert": ["tree", KNeighborsRegressor()]}, "expert[1]", "sample_weight"),
    ({"expert": KNeighborsRegressor()}, "expert", "sample_weight", "KNeighborsRegressor"),
    ({"expert": LogisticRegression()}, "expert", "regressor", "LogisticRegression"),
    ({"expert": LABELS}, "expert", "family for a regressor", "LogisticExperts"),
    ({"expert": "gamma"}, "expert", "'gamma'", 'family="gamma"'),
    ({"expert": "poisson"}, "expert", "'poisson'", 'family="poisson"'),
    ({"expert": MixtureOfExpertsRegressor(), "family": "gamma"}, "family=", "density of its own"),
    ({"expert": ["linear"] * 3, "family": "poisson"}, "expert as a list", "n_experts=2", "got 3"),
    ({"expert": "tree", "cross_fit": 1}, "cross_fit", "at least 2"),
    ({"expert": LinearExperts(alpha=-1.0)}, "expert.alpha", "-1.0"),
    ({"expert": LinearExperts(alpha="a")}, "expert.alpha", "'a'"),
    ({"expert": LinearExperts(dispersion_prior=-1)}, "expert.dispersion_prior", "-1"),
    ({"expert": LinearExperts(shared_dispersion="no")}, "expert.shared_dispersion", "'no'"),
    ({"expert": LinearExperts(alpha=np.nan)}, "expert.alpha", "nan"),
    ({"family": ["normal"]}, "family as a list", "n_experts=2", "got 1"),
    ({"family": ["normal", 5]}, "family", "got 5", "StudentT"),
    ({"family": StudentT(df=-1.0)}, "", "df", "-1.0"),
    ({"family": ["normal", "poisson"]}, "family", "compared"),
    ({"base": LogisticRegression()}, "base", "regressor", "LogisticRegression"),
    ({"base": KNeighborsRegressor()}, "base", "sample_weight"),
    ({"gate": SoftmaxGate(alpha=-5.0)}, "gate.alpha", "-5"),
    ({"gate": SoftmaxGate(alpha=-5.0), "n_experts": 1}, "gate.alpha", "-5"),
    ({"gate": SoftmaxGate(alpha="1")}, "gate.alpha", "'1'"),
    ({"gate": SoftmaxGate(transformer=3)}, "gate.transformer", "transformer of"),
    ({"gate": SoftmaxGate(transformer=Ridge())}, "gate.transformer", "no method transform"),
    ({"gate": SoftmaxGate(transformer=Ridge)}, "gate.transformer", "instance"),
    ({"gate_features": ["size"]}, "gate_features", "X has none"),
    ({"gate_features": "x0"}, "gate_features", "gate_features=[0]"),
    ({"n_experts": "waic"}, "n_experts", "'aic'", "'bic'"),
    ({"n_experts": "auto", "random_state": -1}, "random_state", "-1"),
    ({"n_experts": "auto", "tol": "a"}, "tol", "'a'"),
    *(({"gate": kind(**{name: v})}, f"gate.{name}", str(v)) for kind, name, v in GATES_OF_OPTIONS),
    ({"expert": "tree", "alpha": "auto"}, "alpha=", 'expert="linear"', "'tree'"),
    ({"expert": NORMAL, "alpha": "ard"}, "alpha=", 'expert="linear"'),
    ({"gate": "constant", "gate_alpha": "auto"}, "gate_alpha=", 'gate="softmax"'),
    ({"gate": ConstantGate(), "gate_alpha": "ard"}, "gate_alpha=", "default"),
]
REFUSED_BY_CLASSIFIERS = [
    ({"expert": NORMAL}, "expert", "family for a classifier", "LinearExperts"),
    ({"expert": Ridge()}, "expert", "classifier", "Ridge()"),
    ({"expert": LinearSVC()}, "expert", "predict_proba", "CalibratedClassifierCV"),
    ({"expert": LogisticExperts(alpha=np.inf)}, "expert.alpha", "inf"),
    ({"base": Ridge()}, "base", "classifier"),
    ({"class_weight": {0: 1e308, 1: 1e308}}, "sample_weight", "class_weight", "1e+140"),
    ({"class_weight": {5: 1.0}}, "class_weight", "[0, 1]", "{5: 1.0}"),
]


@pytest.mark.parametrize(
    ("make", "row"),
    [*((BOTH[0], row) for row in REFUSED), *((BOTH[1], row) for row in REFUSED_BY_CLASSIFIERS)],
)
def test_combinations_are_refused_with_a_remedy(make, row):
    options, name, *words = row
    moe = make(**{"n_experts": 2} | SHORT | options)
    assert_fit_refused(moe, (X, target(make)), name, *words)


# --- initial responsibilities -----------------------------------------------------------------

START = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]] * 4)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ([["a", "b"]] * 12, ["array of responsibilities"]),
        ([[1.0], [0.5, 0.5]], ["array of responsibilities"]),
        (START[:5], ["(12, 2)", "(5, 2)"]),
        (START.T, ["(2, 12)"]),
        (START[:, 0], ["(12,)"]),
        (np.where(START == 1.0, np.nan, START), ["finite"]),
        (np.where(START == 1.0, np.inf, START), ["finite"]),
        (START + np.outer(np.arange(12) == 1, [1.0, -1.0]), ["non-negative"]),
        (START * np.where(np.arange(12) == 4, 1.1, 1.0)[:, None], ["row 4", "1.1", "Divide"]),
        (START * (1.0 + 1.1e-6), ["sum to 1"]),
        (START * (1.0 - 1.1e-6), ["sum to 1"]),
    ],
)
def test_initial_responsibilities_must_be_probabilities(init, words):
    moe = MixtureOfExpertsRegressor(2, init=init, **SHORT)
    assert_fit_refused(moe, (X[:12], Y[:12]), "init", *words)


# --- what values stand for --------------------------------------------------------------------


EQUAL = {
    "a list of equal objects": ([NORMAL, LinearExperts(alpha=3.0)], NORMAL, "expert"),
    "a list of equal families": (["poisson", Poisson()], "poisson", "family"),
    "a family and its name": (example("gamma"), "gamma", "family"),
}


@pytest.mark.parametrize("case", EQUAL)
def test_lists_of_equal_entries_are_the_entry(case):
    *values, name = EQUAL[case]
    fits = [
        fit_quietly(MixtureOfExpertsRegressor(2, **SHORT | {name: value}), X, COUNTS)
        for value in values
    ]
    assert_array_equal(fits[0].predict(X), fits[1].predict(X))
    assert fits[0].n_parameters_ == fits[1].n_parameters_


@pytest.mark.parametrize("name", OF_VALUES)
def test_a_family_is_advised_that_takes_the_refused_value(name):
    """The message on a target outside the support names only families that have it inside."""
    for value in (-1.5, 0.0):
        other = {"zero": 0.0, "one": 1.0, "beta": 0.5}.get(name, 3.0)
        y = np.where(np.arange(N_ROWS) == 1, value, other)
        moe = MixtureOfExpertsRegressor(1, family=example(name), **SHORT)
        try:
            fit_quietly(moe, X, y)
        except ValueError as error:
            message = str(error)
            assert f"row 1 holds {value:g}" in message
            advised = [n for n in FAMILIES if f'"{n}"' in message.split("or use")[1]]
            inside = [bool(example(n).in_support(y[None, 1:2, None]).all()) for n in advised]
            # Of a list with zeros one family takes them.
            assert inside
            assert any(inside) if "zero" in advised else all(inside)


# --- metadata ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "takes_groups", "takes_others"),
    [
        ({}, False, False),
        ({"expert": NORMAL}, False, False),
        ({"base": Ridge()}, True, False),
        ({"expert": "tree"}, True, False),
        ({"expert": ["tree", "linear"]}, True, False),
        ({"expert": ["tree", RecordingRegressor(Log())]}, True, True),
    ],
)
def test_metadata_are_refused_where_nothing_uses_them(options, takes_groups, takes_others):
    groups, cost = np.arange(N_ROWS) // 4, np.ones(N_ROWS)
    moe = MixtureOfExpertsRegressor(2, **SHORT | options)
    for name, values, takes in (("groups", groups, takes_groups), ("cost", cost, takes_others)):
        if takes:
            fit_quietly(clone(moe), X, Y, **{name: values})
        else:
            remedy = "estimators as experts"
            assert_fit_refused(moe, (X, Y), f"{name} cannot be used", remedy, **{name: values})


@pytest.mark.parametrize("n_experts", ["bic", "icl"])
def test_criteria_of_the_fit_itself_have_no_groups(n_experts):
    moe = MixtureOfExpertsRegressor(n_experts, **SHORT)
    message = refusal(moe.fit, X, Y, groups=np.arange(N_ROWS) // 4)
    assert_refused(message, "groups", "n_experts")
    assert not hasattr(moe, "n_experts_")


@pytest.mark.parametrize("criterion", ["auto", "bic", "icl"])
def test_a_number_of_experts_is_selected_from_enough_rows(criterion):
    """Twenty rows are needed, counted by their weights, and ten more for each expert."""
    moe = MixtureOfExpertsRegressor(criterion, **SHORT)
    weight = np.full(N_ROWS, 19.5 / N_ROWS)
    message = refusal(moe.fit, X, Y, sample_weight=weight)
    assert_refused(message, "n_experts", "20 rows", "19.5", "integer")
    if criterion != "auto":
        fit_quietly(moe, X, Y, sample_weight=20.0 / 19.5 * weight * (1.0 + 1e-12))
        assert max(moe.n_experts_tried_) <= 2
