"""Short fits of every case of `support/fits.py`, and of some more, on few rows of a seed.

They are the public grid of all that a mixture is made of: experts, gates, rows, units, series.
"""

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
MAX_ITER = 5
OF_ROWS = ("sample_weight", "offset", "units", "time", "known_experts", "groups", "price")


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
        """Units, for methods that take them, and the time of series."""
        return {name: self.given[name] for name in ("units", "time") if name in self.given}

    @property
    def knows_others(self):
        """Whether predictions of a row know the y of other rows: of its past, or of its unit."""
        given = self.moe.get_params(deep=False)
        return given.get("gate") == "markov" or given.get("random_features") is not None

    @property
    def known(self):
        """What predictions take."""
        return self.units | ({"y": self.y} if self.knows_others else {})


def balanced_classes(seed):
    """Two regimes, and three equally frequent classes; one column is symmetric."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.permutation(np.repeat([-1.0, 1.0], N // 2)), rng.normal(size=N)])
    score = np.where(X[:, 0] > 0.0, 2.0, -1.0) * X[:, 1] + 0.5 * rng.normal(size=N)
    return np.argsort(np.argsort(score)) * 3 // N, {"X": X}


def series_and_effects(seed):
    """Series, and random effects, of units whose rows are in no order."""
    data, rng = tables(seed), np.random.default_rng(seed)
    y, counts, few = data.y, data.of_family("poisson"), {"max_iter": 2}
    # Folds are of units in the order of their sizes, which differ among the first rows.
    sizes = rng.permutation(np.repeat(np.arange(6), [18, 13, 10, 8, 6, 5]))
    unit = np.tile(sizes, len(y) // N)
    given = {"units": unit, "time": rng.permutation(len(y)) * 0.5}
    of_series = {"gate": "markov", "gate_features": [0], "expert_features": [1], "n_experts": 2}
    known = {"known_experts": np.where(np.arange(len(y)) % 4, -1, (data.regimes == 2) * 1)}
    missing = np.where(np.arange(len(y)) % 5 == 0, np.nan, y)
    start = {"init": np.where(y[:N, None] > 0.0, [0.9, 0.1], [0.2, 0.8])}
    effects = {"n_experts": 2, "gate": "constant", "random_features": [1]}
    targets = {
        "series": (y, {}),
        "series, missing y": (missing, {}),
        "series, outputs": (np.column_stack([y, data.X[:, 0]]), {}),
        "series, known experts": (y, known),
        "series, weights": (y, {"sample_weight": 1.0 + (unit == 2)}),
    }
    cases = {
        name: (regressor(**of_series), target, given | more)
        for name, (target, more) in targets.items()
    }
    return cases | {
        "series, starts": (regressor(**of_series, n_init=3, init="random"), y, given),
        "series, poisson": (
            regressor(**of_series, family="poisson"),
            counts,
            given | {"offset": 0.5 * data.X[:, 0]},
        ),
        "series, known responsibilities": (regressor(**of_series | few | start), y, given),
        "series, classes": (classifier(**of_series), data.classes, given),
        "series, trees": (regressor(**of_series | few | {"expert": "tree"}), y, given),
        "series, held-out groups": (
            regressor(**of_series | few | {"n_experts": [1, 2]}),
            y,
            given | {"groups": np.maximum(unit, 2)},
        ),
        "random effects": (regressor(**effects), y, {"units": unit}),
        "random effects, missing y": (
            regressor(**effects, random_covariance="per_expert"),
            missing,
            {"units": unit},
        ),
    }


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
    stumps = DecisionTreeClassifier(max_depth=1)  # their splits are not those of two features
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
        "censored, delayed entry": (
            regressor(family="weibull", n_experts=2),
            right_censored(times, ends, entry=0.5 * times * (data.X[:, 0] > 0.0)),
            {},
        ),
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
        "three classes, stack": (stack_of(logistics, stumps, **stack), three, {}),
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
    return cases | others | more_cases(seed) | series_and_effects(seed)


@cache
def problem(case, seed=0):
    """The first rows of a case, with few iterations."""
    moe, y, given = all_cases(seed)[case]
    given = {name: values[:N] for name, values in given.items()}
    moe = clone(moe).set_params(max_iter=min(MAX_ITER, moe.max_iter))
    features = given.pop("X", tables(seed).X[:N])
    return Problem(moe, features, y[:N], given, case)


def statements(moe, features=None, **given):
    """All that a mixture says of rows, with experts in their order."""
    features = X[:N] if features is None else features
    past = given if "y" in given else {}  # means of rows that know no others take no units
    mean = (moe.predict_proba if is_classifier(moe) else moe.predict)(features, **past)
    gate = moe.predict_gate(features, **given)
    return np.column_stack([np.reshape(mean, (len(mean), -1)), gate])
