"""Numbers that measure how much there is to read, and that may only fall: see `ratchet.json`.

    python tests/architecture/test_ratchet.py

lowers the numbers of the file to those of the code, and names what has risen. A rise is decided
upon, not written by a command: such a number is edited by hand.
"""

import json
import sys
from functools import cache
from importlib import import_module
from inspect import isabstract, isclass, signature
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import skmoe
from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import EXPERTS
from support.executed import executed, files_of
from support.sources import MOVED, PACKAGE, SyntaxTrees, n_lines_of_code

FILE = Path(__file__).with_name("ratchet.json")
COMMAND = "python tests/architecture/test_ratchet.py"

# Modules, or functions of a module, of what a default fit does not use.
FEATURES = {
    "censored targets": [
        "_data/censored_targets.py",
        "_numerics/event_times.py",
        "families/_censored.py",
    ],
    "units": ["_data/units.py", "_inference/inference.py:UnitResponsibilities.rows"],
    "correlation within units": [
        "_mixture/dependence.py",
        "_inference/labels.py:describe_dependence",
    ],
    "blocks of rows": ["_data/blocks.py", "_estimators/rows/first_pass.py"],
    "signs and shared slopes": ["_numerics/signed_steps.py"],
    "slopes of some experts": ["_estimators/parameters/parts.py:expert_columns"],
    "dispersion on features": [
        "_mixture/mixture.py:Group.set_limits",
        "_mixture/mixture.py:Group.within_limits",
        "_mixture/mixture.py:Group.excess_of_rows",
        "_mixture/mixture.py:Group.room_of_rows",
        "_mixture/mixture.py:outermost_rows",
    ],
    "routing": ["_numerics/probability.py:keep_top_k", "_numerics/probability.py:normalised_top_k"],
    "estimators as experts": [
        "_data/sklearn_adapter.py",
        "experts/_cross_fitted.py",
        "experts/_named_estimators.py",
        "experts/_stacking.py",
    ],
    "experts and gates of users": ["_mixture/own.py", "protocols.py"],
    "many coefficients": ["_numerics/linalg.py:conjugate_gradients"],
    "comparisons of models": ["model_selection/_n_experts.py", "model_selection/_nested.py"],
    "targets drawn from a fit": ["_estimators/methods/draws.py"],
    "conformal distributions": ["distributions/_conformal.py"],
    "streams": ["_mixture/stream.py", "_estimators/fitting/partial_fit.py"],
    "callbacks": ["_estimators/fitting/callbacks.py"],
    "warm starts": [
        "_estimators/fitting/problem.py:_continue",
        "_estimators/fitting/problem.py:_warm_start",
    ],
    "versions of files": [
        "_estimators/rows/training_data.py:TrainingState.__reduce__",
        "_estimators/rows/training_data.py:_read_state",
    ],
    "averages": [
        "_data/checks.py:check_var_weights",
        "_estimators/parameters/parts.py:check_takes",
    ],
    "data sets": ["datasets/__init__.py"],
    "designs of samples": [
        "_inference/designs.py:clusters_of",
        "_mixture/information.py:Clusters.products",
    ],
    "metadata": ["_estimators/rows/training_data.py:make_routes"],
    "outcomes of different kinds, and missing y": [
        "_data/outcomes.py",
        "distributions/_outcomes.py",
        "families/_product.py",
        "_estimators/parameters/parts.py:with_outcomes",
        "_estimators/parameters/parameters.py:_target_of_outcomes",
        "_estimators/rows/training_data.py:_check_outcomes",
    ],
    "random effects": ["families/_random_effects.py"],
    "joint outputs": [
        "_numerics/covariances.py",
        "_mixture/joint_prior.py",
        "families/_joint_normal.py",
    ],
}


def table():
    """Four regimes of 500 rows with ten features, neither separated nor rare."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 10))
    means = [1.0 + X[:, 2], 2.0 - 2.0 * X[:, 2], X[:, 3] - 2.0, -1.0 - X[:, 3]]
    of_gate = X[:, :2] + rng.logistic(scale=0.4, size=(500, 2)) > 0.0
    mean = np.choose(of_gate @ [2, 1], means)
    return X, mean + 0.3 * rng.normal(size=500)


@cache
def executed_by():
    """Functions that a default fit, and methods of it, execute."""
    X, y = table()
    moe = MixtureOfExpertsRegressor(random_state=0)
    calls = {
        "fit": lambda: moe.fit(X, y),
        "fit of four experts": lambda: MixtureOfExpertsRegressor(4, random_state=0).fit(X, y),
        "summary": lambda: moe.summary(X, y),
        "predict": lambda: moe.predict(X),
        "predict_dist": lambda: moe.predict_dist(X),
    }
    return {name: set(executed(call)) for name, call in calls.items()}


def public_modules():
    found = [getattr(skmoe, name) for name in skmoe.__all__ if not name.startswith("__")]
    return [skmoe, *(import_module(each.__name__) for each in found if not isclass(each))]


def public_names(module):
    """Those in `__all__`, or without it what the module itself defines."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = [
        name
        for name, value in public.items()
        if getattr(value, "__module__", "") == module.__name__
    ]
    return getattr(module, "__all__", own)


def public_estimators():
    for module in public_modules():
        for name in public_names(module):
            kind = getattr(module, name)
            if isclass(kind) and issubclass(kind, BaseEstimator) and not isabstract(kind):
                yield name, kind


@cache
def numbers():
    """The numbers as they are."""
    found = {}
    for name, functions in executed_by().items():
        found[f"functions of {name}"] = len(functions)
        found[f"files of {name}"] = len(files_of(functions))
    trees = SyntaxTrees(PACKAGE, ("_moved.py", *MOVED))
    found["lines of code"] = sum(n_lines_of_code(PACKAGE / name) for name in trees)
    found["modules"] = len(trees)
    found["public modules"] = len(public_modules()) - 1
    found["public names"] = len(
        {name for module in public_modules() for name in public_names(module)}
    )
    for name, kind in public_estimators():
        found[f"parameters of {name}"] = len(signature(kind).parameters)
    members = dir(EXPERTS["linear"]["regressor"]())
    found["members of linear experts"] = len([n for n in members if not n.startswith("__")])
    return found


def idle():
    """Functions of features that a default fit executes although it does not use them."""
    fit = executed_by()["fit"]
    return {
        name: sorted(function for function in fit if function.startswith(tuple(places)))
        for name, places in FEATURES.items()
    }


def bounds():
    """The contents of the file; without it, the command writes all numbers."""
    if not FILE.exists():
        return {"numbers": {}, "idle": {}}
    return json.loads(FILE.read_text("utf-8"))


def assert_not_risen(name, value, bound):
    assert value <= bound, (
        f"{name}: {value}, and it was {bound}. Lower another part of the same number, or use the "
        f"seat that was there. If the rise has been decided, edit {FILE.name}."
    )
    assert value >= bound, f"{name} has fallen from {bound} to {value}: write it by `{COMMAND}`."


def test_the_file_has_all_numbers():
    assert set(bounds()["numbers"]) == set(numbers()), f"Write the file again by `{COMMAND}`."


@pytest.mark.parametrize("name", bounds()["numbers"])
def test_numbers_only_fall(name):
    if name in numbers():
        assert_not_risen(name, numbers()[name], bounds()["numbers"][name])


@pytest.mark.parametrize("name", FEATURES)
def test_a_default_fit_does_not_execute_what_it_does_not_use(name):
    """The functions in the file are those that were there; there should be none."""
    found, allowed = set(idle()[name]), set(bounds()["idle"].get(name, []))
    assert found <= allowed, (
        f"A default fit does not use {name}, but executes {sorted(found - allowed)}. "
        "Ask once, where the arguments are checked, whether the feature is used."
    )
    gone = sorted(allowed - found)
    assert not gone, f"A default fit no longer executes {gone}: write it by `{COMMAND}`."


def test_the_places_of_features_exist():
    for places in FEATURES.values():
        for place in places:
            name, _, function = place.partition(":")
            path, message = PACKAGE / name, f"{place} has gone: name in FEATURES where it is now."
            assert path.exists(), message
            function = function.rpartition(".")[2]
            assert not function or f"def {function}(" in path.read_text("utf-8"), message


def main():
    before = bounds()
    risen, lowered = [], {}
    for name, value in numbers().items():
        bound = before["numbers"].get(name, value)
        lowered[name] = min(value, bound)
        risen += [f"{name}: {value}, and it was {bound}"] * (value > bound)
    exceptions = {}
    for name, functions in idle().items():
        allowed = before["idle"].get(name, []) if before["idle"] else functions
        exceptions[name] = [function for function in functions if function in allowed]
        risen += [f"{name}: {each}" for each in functions if each not in allowed]
    exceptions = {name: functions for name, functions in exceptions.items() if functions}
    FILE.write_text(json.dumps({"numbers": lowered, "idle": exceptions}, indent=1) + "\n", "utf-8")
    if risen:
        sys.exit("\n".join(["These have risen, and were not written:", *risen]))


if __name__ == "__main__":
    main()
