"""Short fits of every case of `support/fits.py`, and of some more, on few rows of a seed."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import SplineTransformer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe.data import interval_censored, right_censored
from skmoe.gates import SoftmaxGate
from skmoe.stacking import GatedStackingClassifier
from support.expert_kinds import KINDS_OF_FITS
from support.fits import OF_SERIES, X, cases_of, classifier, fit_quietly, regressor, tables
from support.stacks import stack_of

N = 60
MAX_ITER = 8
OF_ROWS = ("sample_weight", "offset", "units", "known_experts", "groups", "price")


class Priced:
    """Its fit takes metadata, with which equal rows are no copies."""

    def fit(self, X, y, sample_weight=None, price=None):
        return super().fit(X, y, sample_weight=sample_weight)


class PricedRidge(Priced, Ridge):
    pass


class PricedTree(Priced, DecisionTreeRegressor):
    pass


@dataclass(frozen=True)
class Problem:
    """A mixture, its rows, and further arguments of its fit."""

    moe: Any
    X: Any
    y: np.ndarray
    given: dict
    name: str = ""  # of the case

    def take(self, rows):
        """The problem of some rows."""
        given = {name: values[rows] for name, values in self.given.items()}
        moe, init = self.moe, getattr(self.moe, "init", None)
        if isinstance(init, np.ndarray):
            moe = clone(moe).set_params(init=init[rows])
        return replace(self, moe=moe, X=self.X[rows], y=self.y[rows], given=given)

    def with_(self, options=None, **values):
        """The problem with other options of the mixture, features, target or arguments."""
        given = self.given | {name: values.pop(name) for name in OF_ROWS if name in values}
        moe = clone(self.moe).set_params(**options) if options else self.moe
        return replace(self, moe=moe, given=given, **values)

    @cached_property
    def fit(self):
        """Fitted, which tests read only."""
        return fit_quietly(clone(self.moe), self.X, self.y, **self.given)

    @property
    def units(self):
        """Units, for methods that take them."""
        return {name: self.given[name] for name in ("units",) if name in self.given}


def balanced_classes(seed):
    """Two regimes, and three equally frequent classes; one column is symmetric."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.permutation(np.repeat([-1.0, 1.0], N // 2)), rng.normal(size=N)])
    score = np.where(X[:, 0] > 0.0, 2.0, -1.0) * X[:, 1] + 0.5 * rng.normal(size=N)
    return np.argsort(np.argsort(score)) * 3 // N, {"X": X}


def more_cases(seed):
    """Units with experts of every kind, parts that are fitted to other rows, and classes."""
    data = tables(seed)
    y, few = data.y, {"max_iter": 2}
    three, balanced = np.digitize(y, [-1.0, 0.5]), balanced_classes(seed)
    counts, times, ends = data.of_family("poisson"), data.of_family("weibull"), data.X[:, 1] < 0.5
    units, price = np.arange(len(y)) % 20, data.X[:, 0]
    resp = np.where(data.X[:N, :1] > 0.0, [0.9, 0.1], [0.2, 0.8])
    kinds = cases_of(seed)[0]
    holes = np.where(np.arange(900).reshape(-1, 3) % 7, data.joint, np.nan)
    shallow = {"max_depth": 2, "random_state": 0}
    trees, logistics = DecisionTreeClassifier(**shallow), LogisticRegression()
    priced = [PricedRidge(), PricedTree(**shallow)]
    stack = {"kind": GatedStackingClassifier, "random_state": 0}
    cases = {
        f"units, {name}-{task}": (
            clone(kinds[f"{name}-{task}"][0]).set_params(gate="constant", n_experts=2),
            kinds[f"{name}-{task}"][1],
            {"units": units},
        )
        for name, task in KINDS_OF_FITS
    }
    cases |= {
        "held-out rows": (regressor(n_experts=[1, 2], **few), y, {}),
        "held-out groups": (regressor(n_experts=[2, 1], **few), y, {"groups": np.arange(300) // 4}),
        "priced stack": (stack_of(*priced, random_state=0), y, {"price": price}),
        "priced experts": (regressor(n_experts=2, expert=priced, **few), y, {"price": price}),
        "known responsibilities": (
            regressor(n_experts=2, base=DecisionTreeRegressor(**shallow), init=resp, **few),
            y,
            {},
        ),
        "offset": (regressor(family="poisson"), counts, {"offset": 0.5 * price}),
        "offset of trees": (
            regressor(expert="tree", family="poisson", **few),
            counts,
            {"offset": 0.5 * price},
        ),
        "censored": (regressor(family="weibull"), right_censored(times, ends), {}),
        "censored, shared noise": (
            regressor(dispersion="shared"),
            interval_censored(y - 0.5 * ~ends, y),
            {},
        ),
        "missing outputs": (regressor(), holes, {}),
        "three classes": (classifier(n_experts=2), three, {}),
        "three classes, gate of splines": (
            classifier(n_experts=2, gate=SoftmaxGate(transformer=SplineTransformer())),
            three,
            {},
        ),
        "three classes, found penalties": (
            classifier(n_experts=2, alpha="auto", gate_alpha="auto"),
            three,
            {},
        ),
        "three classes, selected number": (classifier(n_experts="bic", **few), three, {}),
        "three classes, a base": (classifier(n_experts=2, base=GaussianNB()), three, {}),
        "three classes, a base of trees": (classifier(n_experts=2, base=trees), three, {}),
        "three classes, stack": (stack_of(logistics, trees, **stack), three, {}),
        "balanced classes": (classifier(n_init=10), *balanced),
        "balanced classes, trees": (classifier(n_experts=2, expert=trees, **few), *balanced),
        "balanced classes, a list": (
            classifier(n_experts=2, expert=[logistics, trees], **few),
            *balanced,
        ),
    }
    return cases


@cache
def all_cases(seed=0):
    """Mixtures with targets and further arguments of all rows."""
    cases, others = cases_of(seed)
    cases = {name: case for name, case in cases.items() if name not in OF_SERIES}
    return cases | others | more_cases(seed)


@cache
def problem(case, seed=0):
    """The first rows of a case, with few iterations."""
    moe, y, given = all_cases(seed)[case]
    given = {name: values[:N] for name, values in given.items()}
    moe = clone(moe).set_params(max_iter=min(MAX_ITER, moe.max_iter))
    features = given.pop("X", tables(seed).X[:N])
    return Problem(moe, features, y[:N], given, case)


def plain_fit(case):
    """The fit of a case on its first rows, which tests read only."""
    return problem(case).fit


def units_of(case):
    """Units of the first rows, for methods that take them."""
    return problem(case).units


def statements(moe, features=None, **given):
    """All that a mixture says of rows, with experts in their order."""
    features = X[:N] if features is None else features
    mean = moe.predict_proba(features) if is_classifier(moe) else moe.predict(features)
    gate = moe.predict_gate(features, **given)
    return np.column_stack([np.reshape(mean, (len(mean), -1)), gate])
