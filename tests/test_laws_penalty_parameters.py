"""Which penalties are found, and which are numbers, as the documentation of the parameters says."""

import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.penalty_parameters import check_penalties, with_penalties_of
from skmoe._mixture.evidence import EvidenceSearch
from skmoe._mixture.model import MixtureModel
from skmoe._numerics.evidence import PenaltySearch
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from skmoe.protocols import Experts, Gate

OBJECT = LinearExperts(alpha=3.0)

# Options, and the kinds of search for the gate, the slopes of the experts and their dispersions.
SEARCHES = [
    ({}, "auto", "auto", False),
    ({"alpha": 0.1}, "auto", "", False),
    ({"gate_alpha": 0.1}, "", "auto", False),
    ({"alpha": "ard"}, "auto", "ard", False),
    ({"gate_alpha": "ard", "dispersion_prior": "auto"}, "ard", "auto", True),
    ({"base": Ridge()}, "", "", False),
    ({"base": Ridge(), "alpha": "auto"}, "", "auto", False),
    ({"base": Ridge(), "gate_alpha": "ard", "dispersion_prior": "auto"}, "ard", "", True),
    ({"expert": "tree"}, "", "", False),
    ({"expert": Ridge(), "gate_alpha": "auto"}, "auto", "", False),
    ({"expert": ["tree", Ridge()]}, "", "", False),
    ({"expert": ["linear", "linear"], "gate_alpha": "ard"}, "ard", "", False),
    ({"expert": OBJECT}, "", "", False),
    ({"expert": OBJECT, "gate_alpha": "auto"}, "auto", "", False),
    ({"expert": OBJECT, "base": Ridge()}, "", "", False),
    ({"expert": OBJECT, "gate": SoftmaxGate()}, "", "", False),
    ({"expert": [OBJECT, OBJECT]}, "", "", False),
    ({"gate": SoftmaxGate()}, "auto", "auto", False),
    ({"gate": SoftmaxGate(), "base": Ridge()}, "", "", False),
    ({"gate": SoftmaxGate(alpha=2.0)}, "", "auto", False),
    ({"gate": SoftmaxGate(alpha=2.0), "gate_alpha": "auto"}, "auto", "auto", False),
    ({"gate": "constant"}, "", "auto", False),
    ({"gate": ConstantGate()}, "", "auto", False),
    ({"family": "student_t", "shared_features": [0]}, "auto", "auto", False),
    ({"family": ["normal", "student_t"], "alpha": "ard"}, "auto", "ard", False),
    ({"expert": ["linear"] * 2, "family": ["zero", "poisson"]}, "auto", "auto", False),
    ({"expert": ("linear", "linear"), "family": ("zero", "poisson")}, "auto", "auto", False),
]


@pytest.mark.parametrize(("options", "gate", "slopes", "dispersions"), SEARCHES)
def test_penalties_are_found_where_the_documentation_says(options, gate, slopes, dispersions):
    moe = MixtureOfExpertsRegressor(2, **options)
    expected = EvidenceSearch(PenaltySearch(gate), PenaltySearch(slopes, dispersions))
    assert moe._validate_parameters().search == expected


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"expert": "tree", "alpha": "auto"}, "alpha"),
        ({"expert": OBJECT, "alpha": "ard"}, "alpha"),
        ({"expert": OBJECT, "dispersion_prior": "auto"}, "dispersion_prior"),
        ({"gate": "constant", "gate_alpha": "auto"}, "gate_alpha"),
        ({"gate": ConstantGate(), "gate_alpha": "ard"}, "gate_alpha"),
    ],
)
def test_searches_of_parts_without_a_penalty_are_refused(options, name):
    with pytest.raises(ValueError, match=rf"^{name}=.* needs (expert|gate)s with a penalty"):
        MixtureOfExpertsRegressor(2, **options)._validate_parameters()


def test_a_penalty_for_each_feature_is_not_shared():
    for alpha in ("auto", 1.0, None):
        moe = MixtureOfExpertsRegressor(2, shared_features=[0], alpha=alpha)
        assert moe._validate_parameters().search.experts.slopes != "ard"
    with pytest.raises(ValueError, match="cannot be used with shared_features"):
        moe.set_params(alpha="ard")._validate_parameters()


@pytest.mark.parametrize("base", [None, LinearRegression()])
@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_searches_start_from_the_defaults_and_numbers_are_kept(kind, base):
    without, with_base = kind._default_alphas
    default = without if base is None else with_base
    given = check_penalties(kind(base=base), kind._default_alphas)
    assert (given.alpha.value, given.gate_alpha.value) == (default, 1.0)
    assert given.initial_values() == {"alpha": default, "gate_alpha": 1.0}
    options = {"alpha": 2.5, "gate_alpha": "ard"}
    given = check_penalties(kind(base=base, **options), kind._default_alphas)
    assert tuple(given.alpha) == (2.5, "", False)
    assert tuple(given.gate_alpha) == (1.0, "ard", False)
    assert given.initial_values() == {"gate_alpha": 1.0}


def test_parts_keep_what_is_not_searched():
    class Plain(Gate):
        init_params = log_prob = statistics = m_step = n_parameters = None

    class PlainExperts(Experts):
        init_params = log_prob = mean = statistics = m_step = n_parameters = None

    model = MixtureModel(Plain(), PlainExperts(), 2)
    found = MixtureModel(SoftmaxGate(alpha=5.0), LinearExperts(alpha=7.0), 2)
    kept = with_penalties_of(model, found, EvidenceSearch())
    assert kept.gate is model.gate
    assert kept.experts is model.experts
    search = EvidenceSearch(PenaltySearch("auto"), PenaltySearch("auto"))
    new = MixtureModel(SoftmaxGate(alpha=1.0), LinearExperts(alpha=1.0), 2)
    assert with_penalties_of(new, found, search)[:2] == found[:2]
    assert with_penalties_of(new, found, EvidenceSearch()) == new
    only_gate = with_penalties_of(new, found, search._replace(experts=PenaltySearch()))
    assert (only_gate.gate.alpha, only_gate.experts.alpha) == (5.0, 1.0)


@pytest.mark.parametrize(
    ("options", "gate", "slopes"),
    [
        ({}, "auto", "auto"),
        ({"alpha": "ard", "gate_alpha": 1.0}, "", "ard"),
        ({"base": LogisticRegression()}, "", ""),
        ({"expert": LogisticRegression()}, "", ""),
        ({"gate": "constant"}, "", "auto"),
    ],
)
def test_penalties_of_classifiers_are_found_alike(options, gate, slopes):
    search = MixtureOfExpertsClassifier(2, **options)._validate_parameters().search
    assert search == EvidenceSearch(PenaltySearch(gate), PenaltySearch(slopes))
