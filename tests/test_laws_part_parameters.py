"""Experts, gates and bases: what each value of the parameters stands for."""

import numpy as np
import pytest
from cases import regressor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators import part_parameters as parts
from skmoe._estimators.penalty_parameters import PenaltyOption
from skmoe.experts import EXPERTS, LinearExperts, LogisticExperts
from skmoe.families import FAMILIES, Normal, Poisson, StudentT
from skmoe.gates import GATES, ConstantGate, SoftmaxGate

OBJECT, LABELS = LinearExperts(alpha=3.0), LogisticExperts(alpha=3.0)


def resolved(kind=MixtureOfExpertsRegressor, **options):
    """The family, the estimators and their family."""
    params = kind(**{"n_experts": 2} | options)._validate_parameters()
    return params.family, params.estimators, params.mean_family


# --- families ---------------------------------------------------------------------------------


def test_families_are_names_objects_or_lists():
    assert parts.resolve_families("normal", 3) is None
    assert parts.resolve_families(Normal(), 3) is None
    assert parts.resolve_families(["normal", Normal()], 2) is None
    assert parts.resolve_families("poisson", 3) == (Poisson(),)
    assert parts.resolve_families(["poisson", Poisson()], 2) == (Poisson(),)
    assert parts.resolve_families(("normal", "student_t"), 2) == (Normal(), StudentT())
    assert parts.resolve_families([StudentT(df=4), StudentT(df=5)], 2) is not None
    assert len(parts.resolve_families([StudentT(df=4), StudentT(df=5)], 2)) == 2
    for name, family in FAMILIES.items():
        partner = Normal() if family.is_continuous or family().atoms else Poisson()
        found = parts.resolve_families([name, partner], 2)
        assert found in (None, (partner,), (family(), partner))
        if isinstance(partner, Poisson):
            with pytest.raises(ValueError, match="whose densities can be compared"):
                parts.resolve_families([name, "normal"], 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("other", "family must be one of"),
        (Poisson, "family must be one of"),
        (None, "family must be one of"),
        (["normal"], "one entry for each of the n_experts=2 experts; got 1"),
        (["normal"] * 3, "got 3"),
        ([], "got 0"),
        (["normal", 5], "got 5"),
        (StudentT(df=-1.0), "df"),
    ],
)
def test_other_families_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        parts.resolve_families(value, 2)


@pytest.mark.parametrize(
    ("expert", "family", "name"),
    [
        ("linear", "poisson", 'family="poisson"'),
        ("tree", "gamma", 'family="gamma"'),
        (OBJECT, "normal", f"expert={OBJECT!r}"),
        ([OBJECT, OBJECT], "normal", f"expert={[OBJECT, OBJECT]!r}"),
        (["linear", "tree"], ["zero", "gamma"], "family=['zero', 'gamma']"),
        ([], "normal", 'family="normal"'),
        (Ridge(), StudentT(), f"family={StudentT()!r}"),
    ],
)
def test_messages_name_the_parameter_that_chooses_the_density(expert, family, name):
    assert parts.name_of_density(expert, family) == name


# --- experts ----------------------------------------------------------------------------------


def test_names_and_objects_are_families_and_others_estimators():
    assert resolved()[1:] == (None, None)
    assert isinstance(resolved()[0], LinearExperts)
    assert resolved(expert=OBJECT) == (OBJECT, None, None)
    assert resolved(expert=[OBJECT, OBJECT]) == (OBJECT, None, None)
    assert resolved(expert=[OBJECT, LinearExperts(alpha=3.0)]) == (OBJECT, None, None)
    assert resolved(MixtureOfExpertsClassifier, expert=LABELS) == (LABELS, None, None)
    for expert in ("tree", Ridge()):
        assert resolved(expert=expert) == (None, [expert], None)
        with_family = resolved(expert=expert, family="gamma")
        assert with_family[:2] == (None, [expert])
        assert with_family[2].family.name == "gamma"
    mixed = ["linear", Ridge()]
    assert resolved(expert=mixed) == (None, mixed, None)
    assert resolved(expert=tuple(mixed)) == (None, mixed, None)
    assert resolved(family="poisson")[1:] == (None, None)
    assert resolved(expert=["linear", "linear"], family=["zero", "poisson"])[1:] == (None, None)
    assert resolved(shared_features=[0])[1:] == (None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": LABELS}, "must be a family for a regressor"),
        ({"expert": LinearExperts(alpha=-1.0)}, "alpha"),
        ({"expert": "forest"}, r"expert must be one of \['linear', 'tree'\]"),
        ({"expert": "poisson"}, 'For counts use family="poisson"'),
        ({"expert": None}, "expert must be one of"),
        ({"expert": Ridge}, "expert"),
        ({"expert": LogisticRegression()}, "expert must be a regressor"),
        ({"expert": KNeighborsRegressor()}, "expert must accept sample_weight"),
        ({"expert": ["tree"]}, "one entry for each of the n_experts=2 experts; got 1"),
        ({"expert": ["tree", OBJECT]}, r"expert\[1\] must be .*got the family LinearExperts"),
        ({"expert": [OBJECT, LinearExperts(alpha=4.0)]}, r"expert\[0\] .*got the family"),
        ({"expert": ["tree", "forest"]}, r"expert\[1\] must be one of"),
        ({"expert": ["tree", KNeighborsRegressor()]}, r"expert\[1\] must accept sample_weight"),
        ({"expert": OBJECT, "family": "poisson"}, r"family='poisson' needs expert=.linear."),
        ({"expert": OBJECT, "shared_features": [0]}, 'shared_features needs expert="linear"'),
        ({"expert": "tree", "shared_features": [0]}, 'shared_features needs expert="linear"'),
        ({"expert": ["linear"] * 3, "family": "poisson"}, "n_experts=2 experts; got 3"),
        ({"dispersion": "shared", "family": ["normal", "student_t"]}, "one family for all"),
        ({"expert": "tree", "family": ["zero", "gamma"]}, "one family in common"),
        ({"expert": "tree", "family": "ordinal"}, "no mean that estimators could predict"),
        ({"expert": regressor(), "family": "gamma"}, "has a density of its own"),
        ({"cross_fit": "oob", "expert": Ridge()}, "oob_score=True; expert 0 is Ridge"),
        (
            {"cross_fit": "oob", "expert": [RandomForestRegressor(oob_score=True), "tree"]},
            "expert 1 is 'tree'",
        ),
    ],
)
def test_other_experts_are_refused_by_name(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        resolved(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": OBJECT}, "must be a family for a classifier"),
        ({"expert": Ridge()}, "must be a classifier"),
        ({"expert": LinearSVC()}, "must have predict_proba"),
        ({"base": Ridge()}, "base must be a classifier"),
    ],
)
def test_other_experts_of_classifiers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resolved(MixtureOfExpertsClassifier, **options)


def test_out_of_bag_predictions_need_estimators_that_make_them():
    forest = RandomForestRegressor(oob_score=True)
    assert resolved(expert=forest, cross_fit="oob")[1] == [forest]
    assert resolved(cross_fit="oob")[1] is None
    assert resolved(expert=Ridge(), cross_fit="auto")[1] is not None


def test_families_are_known_before_they_are_validated():
    for name, row in EXPERTS.items():
        for task in ("regressor", "classifier"):
            assert parts.family_of(name, task) is row.get(task)
        assert parts.is_family(name)
    assert parts.family_of(OBJECT, "regressor") is OBJECT
    assert parts.is_family(OBJECT)
    for other in ("tree", "other", Ridge(), None, [OBJECT]):
        assert parts.family_of(other, "regressor") is None
        assert not parts.is_family(other)


class Strict(RegressorMixin, BaseEstimator):
    """A regressor that says nothing about missing values."""

    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("expert", "accepts"),
    [
        ("linear", False),
        ("tree", True),
        ("other", False),
        (OBJECT, False),
        (Ridge(), False),
        (Strict(), False),
        (DecisionTreeRegressor(), True),
        (["tree", DecisionTreeRegressor()], True),
        (("tree", Ridge()), False),
        ([Ridge(), "tree"], False),
        ([], False),
        (None, False),
        (5, False),
    ],
)
def test_missing_values_need_experts_that_all_accept_them(expert, accepts):
    assert parts.accepts_missing(expert) is accepts


# --- bases and offsets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "works"),
    [
        ({}, True),
        ({"family": "poisson"}, True),
        ({"family": "student_t"}, True),
        ({"family": "ordinal"}, False),
        ({"expert": "tree"}, True),
        ({"expert": "tree", "family": "gamma"}, False),
        ({"expert": "tree", "family": "student_t"}, True),
    ],
)
def test_a_base_needs_experts_that_add_to_its_predictions(options, works):
    if works:
        assert resolved(base=Ridge(), **options)
    else:
        with pytest.raises(ValueError, match="base needs experts"):
            resolved(base=Ridge(), **options)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("tree", "base must be None or a scikit-learn estimator"),
        (5, "base must be None or a scikit-learn estimator"),
        (LogisticRegression(), "base must be a regressor"),
        (KNeighborsRegressor(), "base must accept sample_weight"),
    ],
)
def test_other_bases_are_refused(base, message):
    with pytest.raises(ValueError, match=message):
        resolved(base=base)


def test_offsets_need_a_log_link_and_estimators_take_one():
    for family, remedy in (("normal", "Subtract it from y"), ("ordinal", "without offset")):
        params = regressor(family=family)._validate_parameters()
        with pytest.raises(ValueError, match=f"offset needs experts with a log link.*{remedy}"):
            parts.check_takes_offset("linear", params.density)
    for family in ("poisson", "gamma", "negative_binomial"):
        parts.check_takes_offset("linear", regressor(family=family)._validate_parameters().density)
    with pytest.raises(ValueError, match=r"which has no log link.*Choose such a family"):
        parts.check_takes_offset("tree", None)
    for offset in (None, np.zeros(3)):
        parts.check_one_exposure("tree", offset)
    with pytest.raises(ValueError, match=r"got shape \(3, 2\)"):
        parts.check_one_exposure("tree", np.zeros((2, 3)))


# --- gates ------------------------------------------------------------------------------------

FOUND, GIVEN = PenaltyOption(1.0, "auto", is_default=True), PenaltyOption(2.0)


def test_gates_have_the_penalty_that_is_given_or_their_own():
    for name, kind in GATES.items():
        assert type(parts.resolve_gate(name, GIVEN, 2)) is kind
    for option in (FOUND, GIVEN):
        assert parts.resolve_gate("softmax", option, 2).alpha == option.value
        assert parts.resolve_gate(SoftmaxGate(), option, 2).alpha == option.value
    assert parts.resolve_gate(SoftmaxGate(alpha=5.0), GIVEN, 2).alpha == 2.0
    own = SoftmaxGate(alpha=5.0)
    assert parts.resolve_gate(own, FOUND, 2) is own
    for gate in ("softmax", own, ConstantGate()):
        assert parts.resolve_gate(gate, FOUND, 1) == ConstantGate()
    for bad in ("other", None, 5, LinearRegression()):
        with pytest.raises(ValueError, match="gate must be one of"):
            parts.resolve_gate(bad, FOUND, 2)
    with pytest.raises(ValueError, match="alpha"):
        parts.resolve_gate(SoftmaxGate(alpha=-1.0), FOUND, 2)


def test_transformers_are_those_of_gate_objects():
    transformer = object()
    assert parts.gate_transformer(SoftmaxGate(transformer=transformer)) is transformer
    for gate in ("softmax", SoftmaxGate(), None, 5):
        assert parts.gate_transformer(gate) is None
