"""The recipes: ordinary estimators, made of the parts of the package."""

import inspect
import re

import numpy as np
import pytest
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone, is_classifier

from skmoe import recipes

REGRESSORS = [recipes.strong_regressor, recipes.readable_regressor]
CLASSIFIERS = [recipes.strong_classifier, recipes.readable_classifier]


@pytest.mark.parametrize("recipe", [*REGRESSORS, *CLASSIFIERS])
def test_recipes_are_estimators_that_can_be_copied_and_changed(recipe):
    moe = recipe(random_state=3, n_jobs=1, verbose=1)
    assert list(inspect.signature(recipe).parameters) == ["random_state", "n_jobs", "verbose"]
    assert (moe.random_state, moe.n_jobs, moe.verbose) == (3, 1, 1)
    assert str(clone(moe).get_params()) == str(moe.get_params())
    assert clone(moe).set_params(gate_alpha=2.0).gate_alpha == 2.0
    assert is_classifier(moe) == (recipe in CLASSIFIERS)


@pytest.mark.parametrize("recipe", [recipes.readable_regressor, recipes.readable_classifier])
def test_readable_estimators_select_the_number_of_their_experts(recipe):
    assert recipe().n_experts == "auto"
    assert recipe().expert == "linear"
    assert recipe().alpha == recipe().gate_alpha == "auto"


@pytest.mark.parametrize("recipe", [recipes.strong_regressor, recipes.strong_classifier])
def test_members_of_strong_estimators_do_not_leave_their_penalties_open(recipe):
    """A default may change, and would not be what the members were chosen with."""
    members = [model for model in recipe().expert if hasattr(model, "gate_alpha")]
    assert members
    for member in members:
        assert member.base is not None or None not in (member.alpha, member.gate_alpha)


NUMBERS = {
    word: i for i, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight"], 2)
}


@pytest.mark.parametrize("recipe", [recipes.strong_regressor, recipes.strong_classifier])
def test_strong_estimators_have_the_members_that_they_describe(recipe):
    text, members = " ".join(recipe.__doc__.split()), recipe().expert
    (n_models,) = re.findall(r"stack (?:\([^)]*\) )?of (\w+) models", text)
    assert NUMBERS[n_models] == len(members)
    sizes = re.findall(r"mixture of (\w+) (?:linear experts|logistic regressions)", text)
    assert [NUMBERS[word] for word in sizes] == [
        model.n_experts for model in members if hasattr(model, "n_experts")
    ]


def test_the_strong_regressor_learns_and_repeats_itself():
    X, y = two_regimes(n_rows=60)
    moe = recipes.strong_regressor(random_state=0).set_params(cross_fit=2)
    one, two = (quiet(clone(moe), X, y) for _ in range(2))
    assert (one.predict(X) == two.predict(X)).all()
    assert one.score(X, y) > 0.7
    low, high = one.predict_interval(X).T
    assert ((low < y) & (high > y)).mean() > 0.75
    assert np.isfinite(one.predict_dist(X).crps(y)).all()
    # Members without a random state of their own get one of the stack.
    assert all(model.random_state is not None for (model,) in one.experts_)
    assert one.experts_[1][0].base.random_state is not None


def test_the_strong_classifier_learns():
    X, y = flipping_classes(n_rows=80)
    moe = quiet(recipes.strong_classifier(random_state=0), X, y)
    assert moe.score(X, y) > 0.7
