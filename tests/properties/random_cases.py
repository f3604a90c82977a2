"""Random estimators and tables, each made of a seed: parts are drawn from the registries."""

import textwrap
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import MaxAbsScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored
from skmoe.experts import EXPERTS
from skmoe.families import FAMILIES
from skmoe.gates import GATES
from support.expert_kinds import example_target

INITIALIZATIONS = ("linear_tree", "kmeans", "tree", "random")
KINDS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}
TREES = {"regressor": DecisionTreeRegressor, "classifier": DecisionTreeClassifier}
MAX_ROWS, MAX_ROWS_FOR_SELECTION = 250, 40


# --- containers of the features -----------------------------------------------------------------


def read_only(values):
    values = values.copy()
    values.setflags(write=False)
    return values


def frame_of(library, values):
    return library.DataFrame({f"c{j}": column.copy() for j, column in enumerate(values.T)})


CONTAINERS = {
    "array": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "list": np.ndarray.tolist,
    "pandas": partial(frame_of, pd),
    "polars": partial(frame_of, pl),
    "float32": lambda values: values.astype(np.float32),
    "csr_array": sparse.csr_array,
    "csc_matrix": sparse.csc_matrix,
    "coo_array": sparse.coo_array,
}
FRAMES = ("pandas", "polars")
SPARSE = ("csr_array", "csc_matrix", "coo_array")


# --- cases --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An estimator and the table that it is fitted to."""

    seed: int
    estimator: Any
    values: Any  # of the features, dense
    y: Any
    given: dict  # further arguments of its fit
    container: str
    traits: tuple[str, ...]  # of the table

    @property
    def X(self):
        return CONTAINERS[self.container](self.values)

    @property
    def task(self):
        return next(task for task, kind in KINDS.items() if isinstance(self.estimator, kind))

    @property
    def family(self):
        """The parametric family as a class or object; None for experts that are estimators."""
        expert = self.estimator.expert
        if isinstance(expert, str):
            return EXPERTS.get(expert, {}).get(self.task)
        return expert if hasattr(expert, "in_support") else None

    @property
    def weight(self):
        return self.given.get("sample_weight")

    @property
    def of_rows(self):
        """Units, times and known experts, which methods take that see the target."""
        return {name: v for name, v in self.given.items() if name != "sample_weight"}

    @property
    def is_series(self):
        """Whether the gate depends on the rows before."""
        return self.estimator.gate == "markov"

    @property
    def of_predictions(self):
        """Units and times of series, which all methods take."""
        series = {"units", "time"} if self.is_series else set()
        return {name: values for name, values in self.given.items() if name in series}

    def take(self, rows):
        """The rows at some indices."""
        given = {name: values[rows] for name, values in self.given.items()}
        return replace(self, values=self.values[rows], y=self.y[rows], given=given)

    def __str__(self):
        given = {name: str(values.dtype) for name, values in self.given.items()}
        table = f"{self.values.shape}, y {self.y.shape}, {self.container}, {given}"
        traits = ", ".join(self.traits) or "nothing special"
        text = f"{self.estimator!r}\n{table}: {traits}"
        return (
            f"{textwrap.indent(text, '    ')}\n    repeated by: PYTHONPATH=tests python -c "
            f'"from properties.checks import check; check({self.seed})"'
        )


class Draw:
    """Random choices."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def chance(self, probability):
        return self.rng.uniform() < probability

    def one(self, *options):
        return options[self.rng.integers(len(options))]

    def usually(self, value, *others, probability=0.75):
        return value if self.chance(probability) else self.one(*others)

    def power(self, lowest, highest):
        return float(10.0 ** self.rng.uniform(lowest, highest))


def is_plain(estimator):
    """Whether slopes and dispersions of linear experts are free, and the same for all rows."""
    given = estimator.dispersion_features, estimator.monotonic_cst, estimator.shared_features
    return all(value is None for value in given)


def make_case(seed):
    """The case of a seed."""
    draw = Draw(seed)
    task = draw.one("regressor", "regressor", "classifier")
    n_experts = draw.usually(int(draw.rng.integers(1, 7)), "auto", "bic", "icl", probability=0.9)
    n_rows = draw.usually(int(draw.power(1.0, np.log10(MAX_ROWS))), int(draw.rng.integers(1, 12)))
    if isinstance(n_experts, str):
        n_rows = min(n_rows, MAX_ROWS_FOR_SELECTION)
    values, traits = make_features(draw, n_rows)
    expert, parametric = make_expert(draw, task, n_experts)
    params = make_parameters(draw, task, n_experts, parametric, values.shape)
    y, traits_of_y = make_target(draw, task, values, n_outputs_allowed=parametric)
    if task == "regressor" and parametric:
        y = supported(draw, expert, task, y)
    container = draw.usually("array", *CONTAINERS, probability=0.5)
    if expert == "tree" and container not in SPARSE and draw.chance(0.3):
        values[draw.rng.uniform(size=values.shape) < 0.1] = np.nan
        traits += ["missing values"]
    if expert == "linear" and task == "regressor":  # of draws that change no others
        params["dispersion_features"] = make_dispersion_columns(Draw([seed, 1]), values.shape[1])
    estimator = KINDS[task](n_experts, expert=expert, random_state=seed, **params)
    if isinstance(expert, str) and parametric and params.get("base") is None:
        estimator.set_params(monotonic_cst=make_signs(Draw([seed, 2]), params, values.shape[1]))
    if expert == "linear" and task == "regressor" and is_plain(estimator):
        covariance_type = Draw([seed, 3]).usually("diag", "full")
        estimator.set_params(covariance_type=covariance_type)
        if covariance_type == "diag" and params.get("base") is None:
            y = with_bounds(Draw([seed, 4]), y)
    traits = (*traits, *traits_of_y)
    given = make_weight(draw, n_rows)
    if isinstance(n_experts, int):
        given = make_regimes(Draw([seed, 5]), estimator, given, n_rows)
        if task == "regressor" and expert == "linear" and y.ndim == 1 and is_plain(estimator):
            y = make_outcomes(Draw([seed, 6]), estimator, y)
    return Case(seed, estimator, values, y, given, container, traits)


# --- tables -------------------------------------------------------------------------------------


def make_features(draw, n_rows):
    rng = draw.rng
    n_columns = draw.usually(int(rng.integers(1, 6)), 25, n_rows + 3, probability=0.92)
    n_columns = min(n_columns, 60)
    X, traits = rng.normal(size=(n_rows, n_columns)), []
    column, row = rng.integers(n_columns), rng.integers(n_rows)

    def spoil(trait, probability=0.1):
        spoiled = draw.chance(probability)
        traits.extend([trait] * spoiled)
        return spoiled

    if spoil("counts"):
        X = rng.poisson(1.0, size=X.shape).astype(float)
    if spoil("zeros", 0.2):
        X[rng.uniform(size=X.shape) < 0.6] = 0.0
    if spoil("repeated rows"):
        X = X[rng.integers(n_rows // 3 + 1, size=n_rows)]
    if spoil("constant column"):
        X[:, column] = draw.one(0.0, 1.0, 0.1, -1e6)
    if spoil("rare column"):
        X[:, column] = 0.0
        X[row, column] = 1.0
    if spoil("collinear columns") and n_columns > 1:
        X[:, column] = X[:, column - 1] * 2.0 + draw.one(0.0, 1.0)
    if spoil("nearly collinear columns", 0.05) and n_columns > 1:
        X[:, column] = X[:, column - 1] + 1e-9 * rng.normal(size=n_rows)
    if spoil("outlier"):
        X[row] *= draw.one(1e2, 1e4, 1e8)
    if spoil("heavy tails", 0.05):
        X = X * np.abs(rng.standard_cauchy(size=X.shape))
    if spoil("scales"):
        X = X * 10.0 ** rng.uniform(-9, 9, size=n_columns)
    if spoil("offset", 0.05):
        X = X + draw.one(1.0, -1.0) * draw.power(0, 9)
    return X, traits


def make_target(draw, task, X, n_outputs_allowed):
    rng, traits = draw.rng, []
    n_rows = len(X)
    center, spread = np.median(X, axis=0), X.std(axis=0)
    unit = (X - center) / np.where(spread > 0, spread, 1.0)
    side = unit[:, 0] > draw.one(0.0, 0.7)
    signal = np.where(side, unit @ rng.normal(size=X.shape[1]), 1.0 - unit[:, -1])
    signal = signal + draw.one(0.0, 0.1, 1.0) * rng.normal(size=n_rows)
    kind = draw.usually("ordinary", "constant", "rare value", "outlier", "few values", "noise")
    traits.extend([f"y: {kind}"] * (kind != "ordinary"))
    if task == "classifier":
        return make_labels(draw, kind, signal), traits
    y = {
        "ordinary": signal,
        "constant": np.full(n_rows, draw.one(0.0, 3.0, 1e9)),
        "rare value": (np.arange(n_rows) == rng.integers(n_rows)) * 1.0,
        "outlier": np.where(np.arange(n_rows) == rng.integers(n_rows), draw.one(1e3, 1e8), signal),
        "few values": np.round(signal),
        "noise": rng.standard_cauchy(size=n_rows),
    }[kind]
    if n_outputs_allowed and draw.chance(0.15):
        y = np.column_stack([y, draw.one(signal, -y, rng.normal(size=n_rows))])
    if draw.chance(0.15):
        y = y * draw.power(-9, 9) + draw.one(0.0, 0.0, 1.0, -1e9)
        traits.append("scale of y")
    return y, traits


def with_bounds(draw, y):
    """Sometimes a target of which some values are known by bounds only."""
    side = draw.rng.choice(4, size=y.shape, p=[0.7, 0.1, 0.1, 0.1])
    width = np.abs(y) * draw.power(-12, 0)
    if draw.chance(0.5) or not (side == 0).any():
        return y
    return interval_censored(
        np.where(side == 1, -np.inf, y - np.where(side == 3, width, 0.0)),
        np.where(side == 2, np.inf, y),
    )


def make_labels(draw, kind, signal):
    n_classes = draw.one(2, 2, 3, 4)
    codes = np.digitize(signal, np.linspace(-1.0, 1.0, n_classes + 1)[1:-1])
    if kind == "constant":
        codes = np.zeros_like(codes)
    if kind in ("rare value", "outlier"):
        codes = (np.arange(len(codes)) == draw.rng.integers(len(codes))) * 1
    if kind == "noise":
        codes = draw.rng.integers(n_classes, size=len(codes))
    names = draw.one(np.arange(4), np.array([-7, 0, 5, 12]), np.array(["no", "yes", "a b", "<c>"]))
    return names[codes]


def supported(draw, expert, task, y):
    """A target in the support of a family, as near to y as can be."""
    family = EXPERTS[expert][task]() if isinstance(expert, str) else expert
    for candidate in (y, np.abs(y), np.round(np.abs(np.clip(y, -1e3, 1e3)))):
        if family.in_support(np.atleast_2d(candidate.T)).all():
            return candidate
    return example_target(family, draw.rng, len(y))[0]


def make_weight(draw, n_rows):
    rng = draw.rng
    kinds = {
        "counts": lambda: rng.integers(1, 4, size=n_rows),
        "zeros": lambda: rng.integers(0, 3, size=n_rows),
        "fractions": lambda: rng.uniform(size=n_rows),
        "powers": lambda: 10.0 ** rng.uniform(-3, 3, n_rows),
    }
    kind = draw.usually("none", *kinds, probability=0.5)
    return {} if kind == "none" else {"sample_weight": kinds[kind]()}


def make_outcomes(draw, estimator, y):
    """Sometimes outcomes of several families, of which some values are missing."""
    if y.dtype.names or estimator.base is not None or draw.chance(0.3):
        return y
    names = [draw.one(*FAMILIES) for _ in range(draw.one(1, 2))]
    others = [example_target(FAMILIES[name](), draw.rng, len(y))[0] for name in names]
    y = np.column_stack([y, *others])
    y[draw.rng.uniform(size=y.shape) < draw.one(0.0, 0.2)] = np.nan
    estimator.set_params(family=dict(enumerate(["normal", *names])), covariance_type="diag")
    return y


def make_regimes(draw, estimator, given, n_rows):
    """Sometimes units whose rows have one expert, series, or known experts of some rows."""
    params = estimator.get_params()
    kinds = "units", "effects of units", "series", "series of units", "known_experts"
    kind = draw.usually("none", *kinds, probability=0.4)
    units = draw.rng.integers(2 + n_rows // 3, size=n_rows)
    if kind in ("units", "effects of units"):
        estimator.set_params(gate="constant")
        may_have_effects = "random_features" in params and params["expert"] == "linear"
        if kind == "effects of units" and may_have_effects and is_plain(estimator):
            estimator.set_params(random_features=draw.one([], [0]), base=None)
        return given | {"units": units}
    if kind in ("series", "series of units"):
        estimator.set_params(gate="markov")
        if "class_weight" in params:
            estimator.set_params(class_weight=None)
        time = {"time": draw.rng.permutation(n_rows) * 0.5} if draw.chance(0.7) else {}
        if kind == "series":
            return time
        weights = {name: values[units % n_rows] for name, values in given.items()}
        return weights | time | {"units": units}
    if kind == "known_experts":
        is_known = draw.rng.uniform(size=n_rows) < draw.one(0.1, 0.5, 1.0)
        experts = draw.rng.integers(estimator.n_experts, size=n_rows)
        return given | {"known_experts": np.where(is_known, experts, -1)}
    return given


# --- estimators ---------------------------------------------------------------------------------


def make_expert(draw, task, n_experts):
    """Experts, and whether they are a parametric family."""
    families = [name for name, row in EXPERTS.items() if task in row]
    kind = draw.usually("name", "object", "named estimator", "estimator", "list", probability=0.6)
    if kind == "name":
        return draw.one(*families), True
    if kind == "object":
        return EXPERTS[draw.one(*families)][task](), True
    if kind == "named estimator":
        return "tree", False
    linear = {"regressor": Ridge(), "classifier": LogisticRegression(max_iter=1000)}[task]
    tree = TREES[task](max_depth=2, random_state=0)
    nested = KINDS[task](2, n_init=1, max_iter=3, tol=1.0, random_state=0)
    if kind == "estimator" or isinstance(n_experts, str):
        return draw.one(linear, tree, tree, nested), False
    return [draw.one("tree", "linear", tree) for _ in range(n_experts)], False


# Gates of rows that are independent of each other.
GATES_OF_ROWS = [name for name, gate in GATES.items() if not gate.persists]


def make_gate(draw):
    name = draw.one(*GATES_OF_ROWS)
    if draw.chance(0.7):
        return name
    gate = GATES[name]()
    if "transformer" in {field.name for field in fields(gate)} and draw.chance(0.3):
        gate = replace(gate, transformer=MaxAbsScaler())
    return gate


def make_columns(draw, n_columns, allow_empty):
    mask = draw.rng.uniform(size=n_columns) < 0.5
    mask[0] = True
    empty = [[]] if allow_empty else []
    return draw.usually(None, [0], [-1], mask, np.flatnonzero(mask), *empty, probability=0.85)


def make_signs(draw, params, n_columns):
    """Signs of slopes, mostly of those that the experts have."""
    signs = draw.rng.integers(-1, 2, size=n_columns)
    columns = params["expert_features"]
    if columns is not None and draw.chance(0.9):
        signs[np.setdiff1d(np.arange(n_columns), np.arange(n_columns)[columns])] = 0
    return draw.usually(None, signs.tolist())


def make_dispersion_columns(draw, n_columns):
    return draw.usually(None, [0], make_columns(draw, n_columns, False), probability=0.6)


def make_parameters(draw, task, n_experts, parametric, shape):
    n_rows, n_columns = shape
    is_number = isinstance(n_experts, int)
    params = {
        "gate": draw.usually("softmax", make_gate(draw)),
        "alpha": draw.usually(None, 0.0, 1e-12, 1e-3, 1.0, 1e6, 1e12),
        "gate_alpha": draw.usually(1.0, 0.0, 1e-12, 1e-3, 1e6, 1e12),
        "top_k": draw.usually(None, 1, n_experts if is_number else 2, probability=0.85),
        "balance": draw.usually(0.0, 0.01, 1.0, 100.0, probability=0.9),
        "gate_features": make_columns(draw, n_columns, False),
        "expert_features": make_columns(draw, n_columns, parametric),
        "init": draw.usually("auto", *INITIALIZATIONS),
        "n_init": draw.one(1, 1, 2, 3, 4),
        "max_iter": draw.one(1, 5, 20, 100),
        "tol": draw.usually(1e-4, 0.0, 1e-9, 0.1),
        "cross_fit": draw.usually("auto", 2, False),
    }
    options = {name: params.pop(name) for name in ("top_k", "balance")}
    if options != {"top_k": None, "balance": 0.0}:
        gate = params["gate"]
        params["gate"] = replace(GATES[gate]() if isinstance(gate, str) else gate, **options)
    if params["init"] == "random" and is_number and draw.chance(0.3):
        params["init"] = draw.rng.dirichlet(np.ones(n_experts), size=n_rows)
    if not parametric:
        params["max_iter"] = min(params["max_iter"], 5)
        params["n_init"] = min(params["n_init"], 2)
    if draw.chance(0.12):
        linear = {"regressor": LinearRegression(), "classifier": LogisticRegression(max_iter=1000)}
        params["base"] = draw.one(linear[task], TREES[task](max_depth=3, random_state=0))
    if task == "regressor":
        params["dispersion"] = draw.usually("per_expert", "shared")
        params["dispersion_prior"] = draw.usually(10.0, 0.0, 1e-6, 1.0, 1e6)
    else:
        params["class_weight"] = draw.usually(None, "balanced")
    return params
