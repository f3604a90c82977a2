"""An interrupt finds the attributes of the fit before, or those of the new one: never a part."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from skmoe.stacking import GatedStackingClassifier
from support.fits import CLASSES, X, Y, classifier, fit_quietly, regressor
from support.stacks import stack_of

SHORT = {"n_experts": 2, "max_iter": 2, "n_init": 1}
WHERE = ("_estimators", "stacking.py")

MAKERS = {
    "regressor": lambda: (regressor(**SHORT), Y),
    "classifier": lambda: (classifier(**SHORT), CLASSES),
    "warm start": lambda: (regressor(**SHORT, warm_start=True), Y),
    "base": lambda: (regressor(**SHORT, base=LinearRegression()), Y),
    "selected number": lambda: (regressor(n_experts=[1, 2], max_iter=2), Y),
    "stack": lambda: (stack_of(LinearRegression(), LinearRegression(), max_iter=2), Y),
    "stack of classifiers": lambda: (
        stack_of(*[LogisticRegression()] * 2, kind=GatedStackingClassifier, max_iter=2),
        CLASSES,
    ),
}


@contextmanager
def observed_states(estimator):
    """Attributes of an estimator before each line of the code that could replace them."""
    states, former = [vars(estimator).copy()], sys.gettrace()

    def at_line(frame, event, argument):
        now, last = vars(estimator), states[-1]
        if not same(now, last, {*now, *last}):
            states.append(now.copy())
        return at_line

    def at_call(frame, event, argument):
        return at_line if any(part in frame.f_code.co_filename for part in WHERE) else None

    sys.settrace(at_call)
    try:
        yield states
    finally:
        sys.settrace(former)


def same(state, other, names):
    """Whether the attributes of these names are the same objects, or are missing in both."""
    missing = object()
    return all(state.get(name, missing) is other.get(name, missing) for name in names)


def assert_replaced_at_once(moe, action):
    with observed_states(moe) as states:
        action()
    before, after = states[0], vars(moe).copy()
    names = {*before, *after}
    assert not same(before, after, names)
    for state in states:
        assert same(state, before, names) or same(state, after, names)


@pytest.mark.parametrize("case", MAKERS)
def test_a_fit_replaces_all_attributes_at_once(case):
    moe, y = MAKERS[case]()
    fit_quietly(moe, X, y)
    assert_replaced_at_once(moe, lambda: fit_quietly(moe, X, y[::-1]))


@pytest.mark.parametrize("case", ["regressor", "classifier"])
def test_a_batch_replaces_all_attributes_at_once(case):
    moe, y = MAKERS[case]()
    fit_quietly(moe, X, y)
    assert_replaced_at_once(moe, lambda: moe.partial_fit(X, y[::-1]))


def test_new_names_replace_the_former_ones_at_once():
    moe = fit_quietly(regressor(**SHORT), X, np.abs(Y)).set_expert_names(["low", "high"])
    assert_replaced_at_once(moe, lambda: moe.set_expert_names(["falls", "rises"]))
