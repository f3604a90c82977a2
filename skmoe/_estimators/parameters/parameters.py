"""Validation of the constructor parameters: one rule for each, and the parts that they choose.

The task, regression or classification, decides how the target is scaled and passed to experts. The
scale of the variance prior, and lower bounds of the noise variances, are estimated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.censored_targets import is_unknown, point_values, simplified
from skmoe._data.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_real,
    has_bounds,
    shown,
)
from skmoe._data.preprocessing import Standardization, fit_standardization
from skmoe._data.rows import Rows, by_output, check_two_classes, class_weights
from skmoe._estimators.parameters import parts
from skmoe._estimators.parameters.conflicts import (
    NORMAL,
    PARAMETERS_OF_OPTIONS,
    PARAMETRIC,
    check_conflicts,
    chosen_options,
    is_for_each_expert,
    listed,
)
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.partitions import INITIALIZERS, InitData
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array
from skmoe.distributions._mixtures import check_random_state
from skmoe.experts._cross_fitted import CrossFittedExperts, MeanFamily
from skmoe.experts._linear import EXPERTS, are_by_output, of_one_output
from skmoe.families import Family
from skmoe.gates import DEFAULT_GATE_ALPHA, ConstantGate, MarkovGate, SoftmaxGate
from skmoe.protocols import Experts

# Folds and maximum number of rows for the estimate of the noise variance. A rough estimate is
# enough: a search of the prior begins there, and the prior has the weight of few rows.
N_NOISE_FOLDS = 3
MAX_NOISE_ROWS = 2000

# Penalty on the slopes of a ridge regression, which makes it unique.
NOISE_RIDGE = 1e-3

# Lower bound of the noise variance of a standardised output.
RELATIVE_FLOOR = 1e-6

# Largest lower bound from rounding: the values of an output that are rarely different are many
# standard deviations apart, and an expert must be able to be better than no model.
MAX_ROUNDING_FLOOR = 0.25


def estimate_noise_variance(X: Array, Y: Array, weight: Array, units: Array | None = None) -> Array:
    """Estimate of the residual variance of standardised outputs Y (m, n) given X, (m,).

    Rows with the same number in `units` are in one fold.

    It is the smaller of the out-of-fold mean squared errors of a ridge regression and of a
    regression tree, since the regression function can be smooth or piecewise constant. Both are
    without the checks of scikit-learn. The rows are those of `distinct_rows`, so that the folds do
    not depend on the user's order.
    """
    rng = np.random.default_rng(0)
    sample = rng.permutation(np.flatnonzero(weight))[:MAX_NOISE_ROWS]
    fold = np.arange(len(sample)) % N_NOISE_FOLDS
    if units is not None:
        fold = np.unique(units[sample], return_inverse=True)[1].ravel() % N_NOISE_FOLDS
    if len(sample) < 2 * N_NOISE_FOLDS or not fold.any():
        return np.ones(len(Y))
    X, Y, weight = X[sample], Y[:, sample], weight[sample]
    # Relative weights: the small ridge penalty must keep its size beside them.
    weight = weight / weight.mean()
    squares, single = np.zeros((2, len(Y))), X.astype(np.float32)
    for held_out in np.unique(fold):
        train, test = fold != held_out, fold == held_out
        rows, outputs, row_weight = X[train], Y[:, train].T, weight[train]
        center = np.average(rows, axis=0, weights=row_weight)
        level, root = np.average(outputs, axis=0, weights=row_weight), np.sqrt(row_weight)[:, None]
        design, target = root * (rows - center), root * (outputs - level)
        ridge = NOISE_RIDGE * np.eye(design.shape[1])
        coef = np.linalg.solve(design.T @ design + ridge, design.T @ target)
        tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
        tree.fit(single[train], outputs, sample_weight=row_weight, check_input=False)
        by_tree = tree.predict(single[test], check_input=False)
        predicted = level + (X[test] - center) @ coef, by_tree.reshape(len(by_tree), -1)
        for total, values in zip(squares, predicted, strict=True):
            total += np.square(Y[:, test] - values.T) @ weight[test]
    # The noise variance is at most the marginal variance, which is one.
    return np.minimum((squares / weight.sum()).min(axis=0), 1.0)


class TrainingTarget(NamedTuple):
    """The target of a fit, in the units of the experts."""

    y: Array  # outputs (m, n), or class codes (n,)
    init_targets: Array  # standardised outputs or class indicators (m, n), for initialisation
    scaling: Standardization | None  # of the outputs; None for classes


@dataclass(frozen=True)
class Task:
    """Regression, of one or several numeric outputs, or classification of one label for each row.

    Classes have weights, which are None where those of the rows contain them already.
    """

    is_classification: bool
    class_weight: Any = None
    shared_dispersion: bool = False
    dispersion_prior: float = 0.0

    @property
    def name(self) -> str:
        """That of scikit-learn's estimators."""
        return "classifier" if self.is_classification else "regressor"

    def row_weights(self, y: Array, classes: Array | None, weight: Array) -> Array:
        """Weights of the rows times those of their classes."""
        return weight if classes is None else class_weights(self.class_weight, classes, y, weight)


def make_target(
    rows: Rows,
    experts: Experts | MeanFamily | None,
    classes: Array | None,
    scaling: Standardization | None,
) -> TrainingTarget:
    """Class codes, or outputs (m, n) by a known standardisation, if there is one.

    Parametric experts decide whether y is standardised; it is not for estimators (None).
    """
    if classes is not None:
        check_two_classes(classes)
        indicators = (np.arange(len(classes))[:, None] == rows.y).astype(np.float64)
        return TrainingTarget(rows.y, indicators, None)
    targets, weight = rows.y.reshape(rows.n_rows, -1), rows.weight
    if targets.shape[1] > 1 and are_by_output(experts, targets):
        return _target_of_outcomes(targets, rows, experts)
    censored = has_bounds(targets)
    outputs = point_values(targets) if censored else targets
    if scaling is None:
        scaling = fit_standardization(outputs, weight, of_constant=1.0)
    standard = np.ascontiguousarray(((outputs - scaling.center) / scaling.scale).T)
    # Censored rows have probabilities, which do not depend on the units of y.
    if experts is not None and experts.standardizes_target and not censored:
        working = experts.working_target(standard)
        if working is not standard:
            working = _standardised(working, weight)
        return TrainingTarget(standard, working, scaling)
    y, values = np.ascontiguousarray(targets.T), np.ascontiguousarray(outputs.T)
    if rows.offset is not None:
        standard = _standardised(_relative_target(values, by_output(rows.offset), weight), weight)
    elif experts is not None:
        standard = _standardised(experts.working_target(values), weight)
    return TrainingTarget(y, standard, identity_scaling(outputs.shape[1]))


def _target_of_outcomes(targets: Array, rows: Rows, experts: Any) -> TrainingTarget:
    """The target of outputs (n, m) in their own units, each by itself, where it is observed."""
    found = np.zeros(targets.T.shape)
    for j, values in enumerate(targets.T):
        values = simplified(values) if has_bounds(values) else values
        known, own = np.flatnonzero(~is_unknown(values)), of_one_output(experts, j)
        given = Rows(values[known, None], values[known], rows.weight[known])
        if rows.offset is not None and own.takes_offset:
            offset = np.broadcast_to(rows.offset.T, targets.T.shape)[j]
            given = given._replace(offset=offset[known])
        found[j, known] = make_target(given, own, None, None).init_targets[0]
    return TrainingTarget(by_output(targets), found, identity_scaling(len(found)))


def estimates(
    names: Sequence[str], init_data: InitData, dispersion_prior: float, noise: Array | None
) -> dict[str, Any]:
    """Options of experts that are estimated from the data, see `Experts.estimated_options`.

    They are the number of classes, the noise variance of the standardised outputs, unless it is
    given, its lower bound, and the mean of the outputs.

    With rounded outputs the likelihood can be inflated by near-zero variance on one grid value.
    So if there are at most half as many values as rows, the lower bound is the variance of the
    rounding error for a grid with the median gap between values.
    """
    rows = init_data.rows
    found: dict[str, Any] = {}
    if "n_classes" in names:
        found["n_classes"] = len(init_data.Y)
    if "noise_variance" in names:
        if noise is None and dispersion_prior == 0.0:  # not needed without a prior
            noise = np.ones(len(init_data.Y))
        elif noise is None:
            units = None if rows.units is None else rows.units.codes
            noise = estimate_noise_variance(init_data.X, init_data.Y, rows.weight, units)
            noise = noise[init_data.outputs]
        found["noise_variance"] = tuple(noise.tolist())
    if "variance_floor" in names:
        floors = np.full(len(init_data.Y), RELATIVE_FLOOR)
        for output, y in enumerate(init_data.Y):
            values = np.unique(y)
            if 1 < len(values) <= len(y) / 2:
                rounding = np.median(np.diff(values)) ** 2 / 12.0
                floors[output] = np.clip(rounding, RELATIVE_FLOOR, MAX_ROUNDING_FLOOR)
        found["variance_floor"] = tuple(floors[init_data.outputs].tolist())
    if "target_mean" in names:
        mean = _mean_at_zero_offset(rows.y, split_offset(rows.expert_design)[1], rows.weight)
        found["target_mean"] = tuple(mean.tolist())
    return found


def _mean_at_zero_offset(y: Array, offset: Array | float, weight: Array) -> Array:
    """Mean of each output (m,), under a log link per unit of the exposure exp(offset)."""
    if not isinstance(offset, np.ndarray):
        return y @ weight / weight.sum()
    return y @ weight / (np.exp(offset) @ weight)


def _relative_target(y: Array, offset: Array, weight: Array) -> Array:
    """Logs (m, n) of y relative to means that are proportional to the exposures exp(offset).

    Half of the smallest positive y, which is 1/2 for counts, is added to both: it keeps logs of
    zeros finite, and rows of little exposure, whose rates are least exact, near zero.
    """
    mean = _mean_at_zero_offset(y, offset, weight)[:, None] * np.exp(offset)
    half = 0.5 * np.where(y > 0.0, y, np.inf).min(axis=1, keepdims=True)
    half = np.where(np.isfinite(half), half, 0.5)
    return np.log((y + half) / (mean + half))


def _standardised(values: Array, weight: Array) -> Array:
    """Rows (m, n) of weighted mean zero and variance one."""
    center, scale = fit_standardization(values.T, weight, of_constant=1.0)
    return (values - center[:, None]) / scale[:, None]


def identity_scaling(n_outputs: int) -> Standardization:
    """The identity map, for families that model y in its original units."""
    return Standardization(np.zeros(n_outputs), np.ones(n_outputs))


# What the estimators take without being asked.
DEFAULT_EXPERT, DEFAULT_GATE = "linear", "softmax"

# Default number of starts of estimators as experts, and of starts that all run to convergence.
N_COSTLY_STARTS = 4

# Largest number of starts, each of which has a seed and a trace.
MAX_N_INIT = 10_000

# Names of initialisations.
INITS = ["auto", "search", *INITIALIZERS]

# Tolerance on the sums of given initial responsibilities.
INIT_SUM_TOL = 1e-6

# --- parameters by themselves -----------------------------------------------------------------


def _check_name_or(
    name: str,
    value: Any,
    names: Sequence[str],
    other: str,
    rule: Callable[[str, Any], Any] = lambda _, value: value,
) -> Any:
    """Validate one of some names, or what another rule accepts."""
    if isinstance(value, str) and value not in names:
        of_names = ", ".join(f'"{one}"' for one in names)
        raise ValueError(f"{name} must be {of_names} or {other}; got {shown(value)}.")
    return value if isinstance(value, str) else rule(name, value)


def _check_penalty(name: str, value: Any) -> float | None:
    return None if value is None else check_real(name, value)


def _check_folds(name: str, value: Any) -> int | bool:
    return False if value is False else check_integer(name, value, least=2)


def check_verbose(name: str, value: Any) -> int:
    """Validate a verbosity level; booleans count as 0 and 1."""
    return check_integer(name, int(value) if isinstance(value, bool) else value, least=0)


# What validates the values of a parameter other than its default, which costs no check. Parameters
# that are not here are validated with the parts that they choose, or with the rows.
A_NUMBER_OF_STARTS = partial(check_integer, least=1, most=MAX_N_INIT)
AUTO_OR = partial(_check_name_or, names=("auto",))
A_NUMBER: dict[str, Any] = {"other": "a number of at least 0", "rule": _check_penalty}
RULES: dict[str, Callable[[str, Any], Any]] = {
    "n_experts": partial(check_integer, least=1),
    "alpha": partial(_check_name_or, names=("auto", "ard"), **A_NUMBER),
    "gate_alpha": partial(_check_name_or, names=("auto", "ard"), **A_NUMBER),
    "dispersion": partial(check_choice, choices=("per_expert", "shared")),
    "covariance_type": partial(check_choice, choices=("diag", "full")),
    "random_covariance": partial(check_choice, choices=("shared", "per_expert")),
    "dispersion_prior": partial(AUTO_OR, **A_NUMBER),
    "cross_fit": partial(AUTO_OR, other="False or a number of folds", rule=_check_folds),
    "cv": partial(check_integer, least=2),
    "init": partial(_check_name_or, names=INITS, other="an array of responsibilities"),
    "n_init": partial(AUTO_OR, other="an integer", rule=A_NUMBER_OF_STARTS),
    "max_iter": partial(check_integer, least=1),
    "tol": check_real,
    "warm_start": check_flag,
    "random_state": lambda name, value: check_random_state(value),
    "n_jobs": lambda name, value: check_n_jobs(value),
    "verbose": check_verbose,
}


class FitParameters(NamedTuple):
    """Validated constructor parameters, and the parts of the mixture that they choose."""

    task: Task
    n_experts: int
    expert: Any  # as given
    family_option: Any  # as given
    # Without parametric experts, names or estimators: one for all experts, or one for each.
    estimators: list[Any] | None
    family: Any  # parametric experts, before estimates from the data; None for estimators
    mean_family: MeanFamily | None  # of estimators; None for normal noise
    gate: Any
    penalties: tuple[Penalty, ...]
    alpha: float
    gate_features: Any
    n_init: int | None  # None for the default, by the size of the table
    max_iter: int
    tol: float
    random_state: Any
    n_jobs: int | None
    # Whether the experts are estimators of scikit-learn.
    uses_estimators: bool
    # What defines the values of y that are possible; None for normal noise of estimators.
    density: Any
    # Whether no parameter is an option in the table of conflicts.
    is_plain: bool
    # What a stack does not choose.
    expert_features: Any = None
    base: Any = None
    shared_features: Any = None
    dispersion_features: Any = None
    monotonic_cst: Any = None
    random_features: Any = None
    random_covariance: str = "shared"
    cross_fit: int | str | bool | None = None
    init: Any = "auto"
    warm_start: bool = False
    # The parameter that `expert` was given by, for messages.
    expert_parameter: str = "expert"
    # The class of experts that are estimators.
    estimator_experts: type[CrossFittedExperts] = CrossFittedExperts

    @property
    def family_name(self) -> str:
        """The parameter that chooses the conditional distribution of y, for messages."""
        is_own = isinstance(next(iter(listed(self.expert)), None), PARAMETRIC)
        name, value = ("expert", self.expert) if is_own else ("family", self.family_option)
        return f'{name}="{value}"' if isinstance(value, str) else f"{name}={value!r}"

    @property
    def standardizes_target(self) -> bool:
        """Whether the experts are fitted to a standardised target."""
        return self.family is not None and self.family.standardizes_target


def validate_parameters(estimator: Any, models: list[Any] | None = None) -> FitParameters:
    """Validate the constructor parameters, and resolve the parts that they choose.

    `models` are those of a stack, in the place of experts.
    """
    values, is_plain = {}, True  # without options of the table of conflicts
    for field in fields(estimator):
        name, default, value = field.name, field.default, getattr(estimator, field.name)
        if value is not default and (type(value) is not type(default) or value != default):
            is_plain &= name not in PARAMETERS_OF_OPTIONS
            value = RULES[name](name, value) if name in RULES else value
        values[name] = value
    n_experts = values["n_experts"] if models is None else len(models)
    families, option = NORMAL, values["family"]
    if not (isinstance(option, str) and option == "normal"):
        families = parts.resolve_families(option, n_experts)
    if not is_plain and models is None:
        check_conflicts(chosen_options(estimator, families))
        parts.check_length("expert", values["expert"], n_experts)
        if is_for_each_expert(values["expert_features"]):
            parts.check_length("expert_features", values["expert_features"], n_experts)
    gate, expert = values["gate"], values.get("expert", models)
    has_default_gate = isinstance(gate, str) and gate == DEFAULT_GATE and n_experts > 1
    if isinstance(gate, str) and gate == DEFAULT_GATE and n_experts == 1:
        gate = ConstantGate()
    elif not has_default_gate:
        gate = parts.resolve_gate(gate, values["gate_alpha"], n_experts)
    is_classification = isinstance(estimator, ClassifierMixin)
    task_name = "classifier" if is_classification else "regressor"
    kinds = EXPERTS.get(expert, {}) if isinstance(expert, str) else {}
    if models is None and not isinstance(expert, str) and _is_linear_list(values, families):
        kinds = EXPERTS[DEFAULT_EXPERT]
    kind = kinds.get(task_name)
    penalties = _penalties(values, estimator._default_alphas, gate, kind, families)
    numbers = {name: penalty.value for name, penalty in penalties.items()}
    if has_default_gate:
        gate = SoftmaxGate(numbers["gate_alpha"])
    is_shared, prior = values["dispersion"] == "shared", numbers["dispersion_prior"]
    task = Task(is_classification, values["class_weight"], is_shared, prior)
    experts, estimators = None, models
    if kind is not None:
        options = values | numbers | {"families": families, "shared_dispersion": is_shared}
        own = {field.name for field in fields(kind)} & options.keys()
        experts = kind(**{name: options[name] for name in own})
        if isinstance(experts, Experts):
            parts.check_blocks(experts)
    elif models is None:
        experts, estimators = parts.resolve_experts(expert, task_name)
    if values.get("base") is not None:
        parts.check_estimator("base", values["base"], task_name)
    mean_family = None if experts is not None or families == NORMAL else MeanFamily(families[:1])
    # A stack has one start; the seeds of its models are those after the seeds of a mixture.
    n_init = values.get("n_init", N_COSTLY_STARTS)
    if n_init == "auto":
        n_init = None if estimators is None else N_COSTLY_STARTS
        is_search = isinstance(values["init"], str) and values["init"] == "search"
        if n_experts == 1 or (is_search and estimators is None):
            n_init = 1
    if values.get("dispersion_features") is None:
        del penalties["dispersion_alpha"]
    resolved = {
        "task": task,
        "n_experts": n_experts,
        "expert": expert,
        "family_option": option,
        "estimators": estimators,
        "family": experts,
        "mean_family": mean_family,
        "density": mean_family if experts is None else experts,
        "gate": gate,
        "penalties": tuple(penalties.values()),
        "alpha": numbers["alpha"],
        "n_init": n_init,
        "random_state": estimator.random_state,  # whose validated form is no seed
        "uses_estimators": experts is None,
        "is_plain": is_plain,
    }
    given = {name: values[name] for name in FitParameters._fields if name in values}
    return FitParameters(**given | resolved)


def _is_linear_list(values: dict[str, Any], families: tuple[Family, ...]) -> bool:
    """Whether the experts are a list of "linear" that needs linear experts.

    Otherwise these are estimators, which take data frames: each has all slopes for itself, and a
    dispersion that is the same for all rows.
    """
    entries = listed(values["expert"])
    if not all(isinstance(entry, str) and entry == DEFAULT_EXPERT for entry in entries):
        return False
    needs = values["covariance_type"] != "diag" or is_for_each_expert(values["expert_features"])
    given = [values[f"{name}_features"] for name in ("shared", "dispersion", "random")]
    return needs or families != NORMAL or any(features is not None for features in given)


# --- penalties: given numbers, or found by the evidence ---------------------------------------

# Penalties in the order in which a fit stores the searches: their parameter, gate or experts, the
# fields of these that have the penalty, and where a search starts, and near which it stays; None is
# a default of `alpha`, which is the parameter of all slopes of the experts.
PENALTIES: dict[str, tuple[str, str, tuple[str, ...], float | None]] = {
    "gate_alpha": ("gate_alpha", "gate", ("alpha",), DEFAULT_GATE_ALPHA),
    "alpha": ("alpha", "experts", ("alpha", "predictor_squares"), None),
    "dispersion_alpha": ("alpha", "experts", ("dispersion_alpha",), 1.0),
    "dispersion_prior": (
        *("dispersion_prior", "experts"),
        *(("dispersion_prior", "noise_variance"), 10.0),
    ),
}


def _penalties(
    values: dict[str, Any],
    alphas: tuple[float, float],
    gate: Any,
    kind: Any,
    families: tuple[Family, ...],
) -> dict[str, Penalty]:
    """The penalties, with the searches that are made; ValueError if one is not possible.

    The number is that which is given, or else where a search starts. `alphas` are the default
    values of `alpha` without and with a base model, and `kind` is that of experts with a name.
    Experts that are objects have a penalty of their own, and so have gates with a number, unless
    the search is explicit. By default there is a search with linear experts.
    """
    on_base = values.get("base") is not None
    is_linear = kind is not None and not issubclass(kind, Experts)
    has_prior = is_linear and any(family.has_scale for family in families)
    of_mixture = "expert" in values
    if kind is None and of_mixture:  # of estimators, which have a family in common
        has_prior = not isinstance(listed(values["expert"])[0], PARAMETRIC)
    keeps_own = not isinstance(values["gate"], str) and not values["gate"].has_open_penalty
    has_slopes = isinstance(gate, str | SoftmaxGate | MarkovGate)
    possible = {"gate_alpha": has_slopes, "dispersion_prior": has_prior}
    penalties = {}
    for name, (parameter, part, own_fields, start) in PENALTIES.items():
        given, search, can_search = values.get(parameter), "", possible.get(name, is_linear)
        if given is None and is_linear and can_search:
            search = "" if part == "gate" and keeps_own else "auto"
        elif isinstance(given, str) and can_search:
            search = given if name == parameter else "auto"
        elif isinstance(given, str) and not (
            # Experts of one's own have their own prior, if any, and a single one has no gate.
            (name == "dispersion_prior" and of_mixture)
            or (part == "gate" and values.get("n_experts") == 1)
        ):
            what, example = ("gate", "softmax") if part == "gate" else ("expert", "linear")
            raise ValueError(
                f'{parameter}="{given}" needs {what}s with a penalty that can be found, such as '
                f'{what}="{example}"; got {what}={values.get(what)!r}. Leave {parameter} at its '
                "default."
            )
        number: Any = given
        if given is None or isinstance(given, str):
            of_alpha = start is None or (on_base and name != parameter)
            number = alphas[on_base] if of_alpha else start
        penalties[name] = Penalty(part, own_fields, number, search)
    return penalties


# --- probabilities of the experts -------------------------------------------------------------


def check_probabilities(name: str, values: Array, n_rows: int, n_experts: int) -> None:
    """Probabilities of the experts (n, K) must sum to one in each row."""
    if values.shape != (n_rows, n_experts):
        raise ValueError(
            f"{name} must have shape (n_samples, n_experts) = {(n_rows, n_experts)}; got shape "
            f"{values.shape}. Pass one row for each row of X, and one column for each expert."
        )
    with np.errstate(invalid="ignore"):  # of infinities, which are refused
        sums = values.sum(axis=1)
    is_valid = (values >= 0.0).all(axis=1) & (np.abs(sums - 1.0) <= INIT_SUM_TOL)
    if not is_valid.all():
        row = int(is_valid.argmin())
        raise ValueError(
            f"{name} must hold finite, non-negative numbers that sum to 1 in each row; row {row} "
            f"holds {values[row].tolist()} with the sum {sums[row]:g}. Divide each row by its sum."
        )
