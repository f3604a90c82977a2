"""What is valid is taken as it is, and what is not is refused by name."""

import copy

import numpy as np
import pytest
from cases import fitted_case
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe._estimators.expert_names import check_expert_names
from skmoe._estimators.metadata_routing import make_routes
from skmoe._estimators.stacking import _check_possible

# --- names of experts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [None, 2, 2.5, "ab", b"ab", {"a", "b"}, frozenset("ab"), {"a": 1, "b": 2}, ["a"], list("abc")],
)
def test_names_are_a_list_with_one_for_each_expert(names):
    with pytest.raises(ValueError, match="names must be a list with one name for each of the 2"):
        check_expert_names("names", names, 2)


@pytest.mark.parametrize("kind", [list, tuple, iter, np.array])
def test_names_come_in_any_ordered_container(kind):
    names = check_expert_names("names", kind(["low", "high"]), 2)
    assert names == ["low", "high"]
    assert {type(name) for name in names} == {str}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", 1], "must be strings; that of expert 1 is 1"),
        ([None, "a"], "must be strings; that of expert 0 is None"),
        (["a", " "], "must not be empty; that of expert 1"),
        (["gate", "a"], "that of expert 0 is"),
        (["a", "b", "a"], "experts 0 and 2 are both 'a'"),
        (["b", "a", "a"], "experts 1 and 2 are both 'a'"),
    ],
)
def test_names_can_be_read_and_told_apart(names, message):
    with pytest.raises(ValueError, match=message):
        check_expert_names("names", names, len(names))


def test_names_are_those_that_were_set_until_they_are_removed():
    moe = copy.copy(fitted_case("two experts"))
    numbered = [f"expert {k}" for k in range(2)]
    assert moe.expert_names_ == numbered
    assert moe.set_expert_names(("low", "high")).expert_names_ == ["low", "high"]
    with pytest.raises(ValueError, match="one name for each"):
        moe.set_expert_names(["low"])
    assert moe.expert_names_ == ["low", "high"]
    assert moe.set_expert_names(None).expert_names_ == numbered


# --- metadata of experts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expert", "n_experts", "routes"),
    [
        ("tree", 3, [{}] * 3),
        (Ridge(), 1, [{"extra": "extra"}]),
        (Ridge(), 3, [{"extra": "extra"}] * 3),
        (["tree", Ridge()], 2, [{}, {"extra": "extra"}]),
        ([Ridge(), "linear", Ridge()], 3, [{"extra": "extra"}, {}, {"extra": "extra"}]),
    ],
)
def test_metadata_go_to_experts_that_are_estimators(expert, n_experts, routes):
    moe = MixtureOfExpertsRegressor(n_experts, expert=expert)
    assert make_routes(moe, ["extra"], n_experts) == tuple(routes)
    assert make_routes(moe, [], n_experts) == ({},) * n_experts


# --- densities of whole models ----------------------------------------------------------------


def test_targets_are_possible_if_some_model_has_a_density_there():
    y = np.array([[1.0, 2.5, 3.0, 4.0]])
    densities = np.array([[0.0, -np.inf, -1.0, -np.inf], [-np.inf, -2.0, -1.0, -3.0]])
    _check_possible(densities, y)
    densities[:, 1] = -np.inf
    with pytest.raises(ValueError, match=r"y = 2\.5 is not"):
        _check_possible(densities, y)
    densities[:, 3] = -np.inf
    with pytest.raises(ValueError, match=r"y = 2\.5 is not"):
        _check_possible(densities, y)
    with pytest.raises(ValueError, match=r"y = 2\.5, 5 is not"):
        _check_possible(densities, np.concatenate([y, 2.0 * y]))
    with pytest.raises(ValueError, match=r"y = 2\.5 is not"):
        _check_possible(densities, y[0])
