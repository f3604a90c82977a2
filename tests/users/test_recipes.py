"""The recipes: ordinary estimators, made of the parts of the package."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier

from skmoe import recipes
from support.fits import fit_quietly
from support.tables import flipping_classes, two_regimes

ROOT = Path(__file__).parents[2]

REGRESSORS = [recipes.strong_regressor, recipes.readable_regressor]
CLASSIFIERS = [recipes.strong_classifier, recipes.readable_classifier]


@pytest.mark.parametrize("recipe", [*REGRESSORS, *CLASSIFIERS])
def test_recipes_are_estimators_that_can_be_copied_and_changed(recipe):
    moe = recipe(random_state=3, n_jobs=1, verbose=1)
    family = ["family"] * (recipe is recipes.readable_regressor)
    names = [*family, "random_state", "n_jobs", "verbose"]
    assert list(inspect.signature(recipe).parameters) == names
    assert (moe.random_state, moe.n_jobs, moe.verbose) == (3, 1, 1)
    assert str(clone(moe).get_params()) == str(moe.get_params())
    assert clone(moe).set_params(gate_alpha=2.0).gate_alpha == 2.0
    assert is_classifier(moe) == (recipe in CLASSIFIERS)


@pytest.mark.parametrize("recipe", [recipes.readable_regressor, recipes.readable_classifier])
def test_readable_estimators_select_the_number_of_their_experts(recipe):
    assert recipe().n_experts == "auto"
    assert recipe().max_n_experts == 6
    assert recipe().expert == "linear"
    assert recipe().alpha == recipe().gate_alpha == "auto"


@pytest.mark.parametrize("recipe", [recipes.strong_regressor, recipes.strong_classifier])
def test_mixtures_of_strong_estimators_do_not_leave_their_penalties_open(recipe):
    """A default may change, and would not be what the models were chosen with."""
    mixtures = [model for _, model in recipe().estimators if hasattr(model, "gate_alpha")]
    assert mixtures
    for moe in mixtures:
        assert moe.base is not None or None not in (moe.alpha, moe.gate_alpha)


NUMBERS = {
    word: i for i, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight"], 2)
}


@pytest.mark.parametrize("recipe", [recipes.strong_regressor, recipes.strong_classifier])
def test_strong_estimators_have_the_models_that_they_describe(recipe):
    text, models = " ".join(recipe.__doc__.split()), dict(recipe().estimators).values()
    (n_models,) = re.findall(r"stack of (\w+) models", text)
    assert NUMBERS[n_models] == len(models)
    sizes = re.findall(r"mixture of (\w+) (?:linear experts|logistic regressions)", text)
    assert [NUMBERS[word] for word in sizes] == [
        model.n_experts for model in models if hasattr(model, "n_experts")
    ]


def test_the_strong_regressor_learns_and_can_be_repeated():
    X, y = two_regimes(n_rows=60)
    moe = recipes.strong_regressor(random_state=0).set_params(cv=2)
    fit_quietly(moe, X, y)
    assert moe.score(X, y) > 0.7
    low, high = moe.predict_interval(X).T
    assert ((low < y) & (high > y)).mean() > 0.75
    assert np.isfinite(moe.predict_dist(X).crps(y)).all()
    # Models without a random state of their own get one of the stack.
    assert all(model.random_state is not None for (model,) in moe.experts_)
    assert moe.experts_[1][0].base.random_state is not None


def test_the_strong_classifier_learns():
    X, y = flipping_classes(n_rows=80)
    moe = recipes.strong_classifier(random_state=0).set_params(cv=2)
    assert fit_quietly(moe, X, y).score(X, y) > 0.7


# --- the published comparison -------------------------------------------------------------------


@pytest.fixture(scope="module")
def candidates():
    """The classifiers that were compared, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
        return dict(importlib.import_module("stacks").candidates())


def params_of(model):
    """Parameters that decide on the fit; "auto" is the default of penalties without a base."""
    left_out = ("random_state", "expert", "base", "verbose", "n_jobs")
    params = model.get_params(deep=False)
    params |= {name: "auto" for name in ("alpha", "gate_alpha") if params.get(name, 0) is None}
    return type(model), {name: value for name, value in params.items() if name not in left_out}


def test_models_of_the_strong_classifier_were_compared(candidates):
    mixture, *boosting = dict(recipes.strong_classifier().estimators).values()
    assert params_of(mixture) == params_of(candidates["mixture of 3"])
    names = ("columns drawn", "trees of two splits", "many steps")
    assert [params_of(model) for model in boosting] == [
        params_of(candidates[f"boosting, {name}"]) for name in names
    ]


def test_mixtures_of_the_strong_regressor_run_like_those_compared(candidates):
    alone, on_boosting, _ = dict(recipes.strong_regressor().estimators).values()
    for model, name in ((alone, "mixture of 3"), (on_boosting, "mixture of 3 on boosting")):
        assert (model.n_init, model.tol) == (candidates[name].n_init, candidates[name].tol)
    assert on_boosting.n_experts == candidates["mixture of 3 on boosting"].n_experts


def test_models_are_those_of_the_published_page():
    text = (ROOT / "docs" / "benchmarks" / "defaults.md").read_text()
    text = text[text.index("## Models of the strong recipes") :]
    linear, on_boosting, trees = dict(recipes.strong_regressor().estimators).values()
    (n_trees,) = re.findall(r"randomised trees instead of (\d+)", text)
    assert trees.n_estimators == int(n_trees)
    assert linear.alpha == linear.gate_alpha == re.findall(r'instead of `"(\w+)"`', text)[0]
    assert "averaged over two starts" in text
    assert linear.n_init == 2
    (share,) = re.findall(r"draws (\d+) % of the columns", text)
    assert recipes.strong_classifier().estimators[1][1].max_features == int(share) / 100
    assert not is_classifier(on_boosting.base)
