"""What whole models predict: densities, or probabilities, or both."""

import pytest
from cases import classifier, regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe._estimators.member_parameters import _measure, resolve_members
from skmoe.families import Gamma, Normal, Poisson, Zero

DENSITY, VALUES = "a density", "probabilities of values"
MIXED = "a density and the probability of 0"


def moe(**options):
    return MixtureOfExpertsRegressor(**options)


COUNTS = moe(family="poisson")

# A member, and what it predicts where the families of the stack are normal.
MEMBERS = [
    ("tree", DENSITY),
    (Ridge(), DENSITY),
    (moe(), DENSITY),
    (COUNTS, VALUES),
    (moe(family=Poisson()), VALUES),
    (moe(family=["zero", "gamma"]), MIXED),
    (moe(family=("zero", "gamma")), MIXED),
    (moe(expert="tree", family="poisson"), VALUES),
    (moe(expert=Ridge(), family="gamma"), DENSITY),
    (moe(expert=["tree", Ridge()], family="poisson"), VALUES),
    (moe(expert=[COUNTS, moe(family="negative_binomial")], specialize=False), VALUES),
    (moe(expert=("tree", COUNTS), specialize=False), VALUES),
    (moe(expert=COUNTS), VALUES),
    (make_pipeline(StandardScaler(), COUNTS), VALUES),
]


@pytest.mark.parametrize(("member", "predicted"), MEMBERS)
def test_members_predict_what_their_families_do(member, predicted):
    assert _measure(member, (Normal(),)) == predicted


def test_members_without_a_density_have_the_families_of_the_stack():
    for member in ("tree", Ridge(), make_pipeline(StandardScaler(), Ridge())):
        assert _measure(member, (Poisson(), Poisson())) == VALUES
        assert _measure(member, (Zero(), Gamma())) == MIXED
    assert _measure(COUNTS, (Gamma(),)) == VALUES


@pytest.mark.parametrize("second", range(len(MEMBERS)))
def test_densities_of_members_can_be_compared_or_are_refused(second):
    for first in (0, 3, 5):
        pair = [MEMBERS[first], MEMBERS[second]]
        members, predicted = zip(*pair, strict=True)
        stack = regressor(n_experts=2, expert=list(members), specialize=False)
        if predicted[0] == predicted[1]:
            assert resolve_members(stack, "regressor").estimators == list(members)
        else:
            with pytest.raises(ValueError, match=rf"expert\[0\].*{predicted[0]}.*expert\[1\]"):
                resolve_members(stack, "regressor")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": Ridge()}, "must be a list"),
        ({"expert": "tree"}, "must be a list"),
        ({"expert": [Ridge()]}, "at least two entries .* got 1"),
        ({"expert": []}, "at least two entries .* got 0"),
        ({"n_experts": 3}, "list of 2 models; got 3"),
        ({"cross_fit": False}, "cross_fit must be the number of folds"),
        ({"cross_fit": "oob"}, "cross_fit must be the number of folds"),
        ({"init": "kmeans"}, "init must be 'auto'"),
        ({"combine": "average"}, "combine must be 'best'"),
        ({"warm_start": True}, "warm_start must be False"),
        ({"warm_start": 0}, "warm_start must be False"),
        ({"base": Ridge()}, "base must be None"),
        ({"shared_features": [0]}, "shared_features must be None"),
        ({"expert": [COUNTS, COUNTS], "family": "gamma"}, "without a density of their own"),
    ],
)
def test_options_that_stacks_do_not_have_are_refused_by_name(options, message):
    stack = moe(**{"expert": ["tree", Ridge()], "specialize": False} | options)
    with pytest.raises(ValueError, match=message):
        resolve_members(stack, "regressor")


@pytest.mark.parametrize("options", [{}, {"cross_fit": 3}, {"n_experts": 2}, {"n_experts": 4}])
def test_stacks_have_their_members_and_a_family_for_those_without_a_density(options):
    members = ["tree", Ridge()]
    found = resolve_members(moe(expert=members, specialize=False, **options), "regressor")
    assert (found.estimators, found.mean_family) == (members, None)
    counts = moe(expert=["tree", COUNTS], family="poisson", specialize=False, **options)
    assert resolve_members(counts, "regressor").mean_family is not None
    labels = classifier(n_experts=2, expert=[LogisticRegression(), classifier()], specialize=False)
    assert resolve_members(labels, "classifier").mean_family is None
