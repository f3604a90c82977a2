"""Constructor parameters: what each accepts, what it refuses, and which cannot be combined."""

import inspect
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
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
from support.own_gates import PriorGate
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
    "alpha": ([*PENALTIES, "ard"], ["found", Fraction(-1, 3), 10**400, *NO_REALS]),
    "gate_alpha": ([*PENALTIES, "ard"], ["found", *NO_REALS]),
    "dispersion_prior": (PENALTIES, ["ard", "found", *NO_REALS]),
    "warm_start": ([True, False, np.True_], NO_FLAGS),
    "cross_fit": (["auto", False, np.int64(7)], [True, 0, 1, -2, 2.0, "oob", None, [3]]),
    "gate": ([*GATES, SoftmaxGate(), ConstantGate()], ["wide", None, 3, Ridge(), SoftmaxGate]),
    "expert": (["linear"], ["trees", None, 3, Ridge, [], ["linear"], LinearExperts]),
    "base": ([None], ["linear", 3, Ridge]),
    "init": (["auto", "random", np.full((N_ROWS, 4), 0.25)], ["k-means", None, 3, [], {}]),
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
    "class_weight": (
        [None, "balanced", {0: 1.0, 1: 0.0}],
        ["even", 3, {0: -1.0, 1: 1.0}, {0: "a", 1: 1}, {5: 1.0}],
    ),
}


@pytest.mark.parametrize("make", BOTH)
def test_every_parameter_has_a_row(make):
    assert set(inspect.signature(make).parameters) <= set(PARAMETERS)


def test_parameters_of_both_are_in_the_order_in_which_they_are_tuned():
    regressor, classifier = (list(inspect.signature(make).parameters) for make in BOTH)
    assert regressor[:4] == ["n_experts", "expert", "family", "gate"]
    assert [name for name in regressor if name in classifier] == [
        name for name in classifier if name != "class_weight"
    ]


@pytest.mark.parametrize("name", PARAMETERS)
def test_accepted_values_give_a_fit(name):
    make = BOTH[name == "class_weight"]
    for value in PARAMETERS[name][0]:
        moe = make(**{"n_experts": 4} | SHORT | {name: value})
        fit_quietly(moe, X, target(make))
        assert np.isfinite(moe.predict_gate(X)).all()
        assert moe.get_params()[name] is value


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("make", BOTH)
def test_other_values_are_refused_by_name(make, name):
    if name not in inspect.signature(make).parameters:
        return
    values = PARAMETERS[name][1]
    # Classifiers check their parameters in the same place.
    for value in values if make is BOTH[0] or name == "class_weight" else values[:1]:
        shown = [value] if isinstance(value, int | float | str) and value != 10**400 else []
        shown = [] if name in ("gate_features", "expert_features", "init") else shown
        moe = make(**{"n_experts": 4} | SHORT | {name: value})
        assert_fit_refused(moe, (X, target(make)), name, *shown)


@pytest.mark.parametrize("make", BOTH)
def test_a_refusal_keeps_the_previous_fit(make):
    moe = fit_quietly(make(4, **SHORT), X, target(make))
    before, attributes = moe.predict(X), set(vars(moe))
    for name, (_, refused) in PARAMETERS.items():
        if refused and name in moe.get_params(deep=False):
            good = getattr(moe, name)
            refusal(moe.set_params(**{name: refused[0]}).fit, X, target(make))
            moe.set_params(**{name: good})
    assert_array_equal(moe.predict(X), before)
    assert set(vars(moe)) == attributes


@pytest.mark.parametrize("name", [name for name, row in PARAMETERS.items() if row[1]])
def test_parameters_are_checked_before_experts_are_fitted(name):
    log = Log()
    options = {"n_experts": 4, "expert": RecordingRegressor(log), "base": None} | SHORT
    if name not in inspect.signature(MixtureOfExpertsRegressor).parameters or name == "expert":
        return
    refusal(MixtureOfExpertsRegressor(**options | {name: PARAMETERS[name][1][-1]}).fit, X, Y)
    assert log == []


def test_integers_of_numpy_and_fractions_are_numbers():
    for name, value, same in (
        ("alpha", Fraction(1, 4), 0.25),
        ("gate_alpha", np.float32(0.5), 0.5),
        ("n_experts", np.int64(2), 2),
    ):
        fits = [
            fit_quietly(MixtureOfExpertsRegressor(**{"n_experts": 2} | SHORT | {name: v}), X, Y)
            for v in (value, same)
        ]
        assert_array_equal(fits[0].predict(X), fits[1].predict(X))


@pytest.mark.parametrize("kind", [SoftmaxGate, ConstantGate])
@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("top_k", [None, 1, 4, 5], [0, *NO_INTEGERS]),
        ("balance", [0, 0.0, 2.5, 1e100], [None, 1.001e100, *NO_REALS]),
    ],
)
def test_options_of_a_gate_have_bounds(kind, name, accepted, refused):
    for value in accepted:
        moe = MixtureOfExpertsRegressor(4, gate=kind(**{name: value}), **SHORT)
        assert np.isfinite(fit_quietly(moe, X, Y).predict_gate(X)).all()
    for value in refused:
        moe = MixtureOfExpertsRegressor(4, gate=kind(**{name: value}), **SHORT)
        assert_fit_refused(moe, (X, Y), f"gate.{name}")


# --- parameters with each other and with the data ---------------------------------------------

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
]


@pytest.mark.parametrize(("options", "name", "words"), [(r[0], r[1], r[2:]) for r in REFUSED])
def test_combinations_are_refused_with_a_remedy(options, name, words):
    moe = MixtureOfExpertsRegressor(**{"n_experts": 2} | SHORT | options)
    assert_fit_refused(moe, (X, COUNTS), name, *words)


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
    ("options", "name", "words"), [(r[0], r[1], r[2:]) for r in REFUSED_BY_CLASSIFIERS]
)
def test_combinations_are_refused_by_classifiers(options, name, words):
    moe = MixtureOfExpertsClassifier(**{"n_experts": 2} | SHORT | options)
    assert_fit_refused(moe, (X, CLASSES), name, *words)


@pytest.mark.parametrize("name", ["gate_features", "expert_features"])
def test_names_of_columns_must_be_those_of_the_frame(name):
    for value, words in (
        (["size"], ["'size'", "columns of X"]),
        (["age", 1], ["columns of X"]),
        (["age", "age"], ["twice"]),
    ):
        moe = MixtureOfExpertsRegressor(2, **SHORT, **{name: value})
        assert_fit_refused(moe, (FRAME, Y), name, *words)
    by_name, by_index = (
        fit_quietly(MixtureOfExpertsRegressor(2, **SHORT, **{name: value}), FRAME, Y)
        for value in (["height", "age"], [2, 0])
    )
    assert_array_equal(by_name.predict(FRAME), by_index.predict(FRAME))


@pytest.mark.parametrize("other", [[-1, 0], [False, True, True]])
def test_columns_are_counted_from_the_end_or_marked(other):
    wanted = {3: [1, 2], 2: [2, 0]}[len(other)]
    one, same = (
        fit_quietly(MixtureOfExpertsRegressor(2, gate_features=columns, **SHORT), X, Y)
        for columns in (other, wanted)
    )
    assert_array_equal(one.predict_gate(X), same.predict_gate(X))


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


def test_initial_responsibilities_sum_to_one_within_round_off():
    fits = [
        fit_quietly(MixtureOfExpertsRegressor(2, init=init, **SHORT), X[:12], Y[:12])
        for init in (START, START.tolist(), START * (1.0 + 0.9e-6), START * (1.0 - 0.9e-6))
    ]
    for moe in fits[1:]:
        assert_allclose(moe.predict_gate(X), fits[0].predict_gate(X), atol=1e-4)


# --- what values stand for --------------------------------------------------------------------


@dataclass(frozen=True)
class GateWithPenalty(PriorGate):
    """A gate of a user, which has a penalty of its own."""

    alpha: float = 3.0

    @property
    def penalties(self):
        return {"alpha": self.alpha}


EQUAL = {
    "a list of equal objects": ([NORMAL, LinearExperts(alpha=3.0)], NORMAL, "expert"),
    "a list of equal families": (["poisson", Poisson()], "poisson", "family"),
    "a tuple of normal families": (("normal", Normal()), "normal", "family"),
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


def test_families_with_other_options_are_others():
    equal, other = (
        fit_quietly(
            MixtureOfExpertsRegressor(2, family=[StudentT(df=3.0), StudentT(df=df)], **SHORT), X, Y
        )
        for df in (3.0, 30.0)
    )
    densities = [moe.predict_dist(X).logpdf(Y) for moe in (equal, other)]
    assert not np.allclose(*densities)


@pytest.mark.parametrize(
    ("gate", "gate_alpha", "expected"),
    [
        ("softmax", 7.0, 7.0),
        (SoftmaxGate(), 7.0, 7.0),
        (SoftmaxGate(alpha=3.0), None, 3.0),
        (SoftmaxGate(alpha=3.0), 7.0, 7.0),
        (GateWithPenalty(), None, 3.0),
        (GateWithPenalty(), 7.0, 7.0),
    ],
)
def test_a_number_replaces_the_penalty_of_a_gate(gate, gate_alpha, expected):
    moe = MixtureOfExpertsRegressor(2, gate=gate, gate_alpha=gate_alpha, **SHORT)
    assert fit_quietly(moe, X, Y).gate_alpha_ == expected
    assert np.isnan(fit_quietly(clone(moe).set_params(n_experts=1), X, Y).gate_alpha_)


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


def test_top_k_may_exceed_a_selected_number_of_experts():
    for top_k in (1, 5):
        gate = SoftmaxGate(1.0, top_k=top_k)
        moe = MixtureOfExpertsRegressor("bic", gate=gate, alpha=0.1, **SHORT)
        fit_quietly(moe, X[:30], Y[:30])
        assert ((moe.predict_gate(X) > 0.0).sum(axis=1) <= top_k).all()
        assert moe.n_experts_ in moe.n_experts_tried_
