"""The parts of a mixture that parameters choose: experts, families, gate, base, and slopes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from skmoe._data import sklearn_adapter as adapter
from skmoe._data.censored_targets import is_unknown
from skmoe._data.checks import check_columns, check_instance, is_integer, shown
from skmoe._data.outcomes import by_column
from skmoe._data.rows import Dataset, Rows
from skmoe._estimators.parameters.conflicts import (
    AVERAGES,
    BASE,
    EFFECTS,
    ESTIMATORS,
    FULL,
    MISSING,
    NO_LOG_LINK,
    NOT_OF_AVERAGES,
    OFFSET,
    OWN_EXPERTS,
    PARAMETRIC,
    Choice,
    check_conflicts,
    is_for_each_expert,
    listed,
    selects_number,
)
from skmoe._numerics.typing import Array
from skmoe.experts._cross_fitted import MeanFamily
from skmoe.experts._linear import EXPERTS, LinearExperts
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.families import FAMILIES, Family, Normal, Ordinal
from skmoe.families._discrete import Binary
from skmoe.families._product import Product
from skmoe.gates import GATES, ConstantGate, MarkovGate, SoftmaxGate, gate_object
from skmoe.protocols import Experts, Gate

# Largest number of rows after rows are repeated by their weights.
MAX_REPEATED_ROWS = 10_000_000

# Other names of a family of the values 0 and 1.
NAMES_OF_BINARY = ("binary", "bernoulli", "logistic")

# Mean weight of the rows of a value of y, from which on values are counted as few.
MIN_ROWS = 5.0


def check_length(name: str, value: Any, n_experts: int) -> None:
    """A list must have one entry for each expert."""
    if isinstance(value, list | tuple) and len(value) != n_experts:
        raise ValueError(
            f"{name} as a list must have one entry for each expert; got {len(value)} for "
            f"n_experts={n_experts}. Leave n_experts out, or pass a list of {n_experts}."
        )


# --- families ---------------------------------------------------------------------------------


def resolve_families(value: Any, n_experts: int) -> tuple[Family, ...]:
    """The conditional distribution of all experts, or of each if they differ."""
    if isinstance(value, Mapping):
        return (_product(value),)
    check_length("family", value, n_experts)
    families = tuple(map(_family, listed(value)))
    # Densities cannot be compared with probabilities, except for those of atoms such as zero.
    continuous = [family for family in families if family.is_continuous]
    discrete = [family for family in families if not family.is_continuous and not family.atoms]
    if continuous and discrete:
        raise ValueError(
            "family must be a list of distributions whose densities can be compared; "
            f'"{discrete[0].name}" has probabilities of values, and "{continuous[0].name}" has a '
            'density. Use families of one kind, to which "zero" and "one" may be added.'
        )
    return families[:1] if all(family == families[0] for family in families) else families


def _family(value: Any) -> Family:
    if isinstance(value, Family):
        value.check_options()
        return value
    if isinstance(value, str) and value in FAMILIES:
        return FAMILIES[value]()
    if isinstance(value, str) and value in NAMES_OF_BINARY:
        return Binary(name=value)
    raise ValueError(
        f'family must be one of {sorted(FAMILIES)}, "binary", an object of skmoe.families such as '
        "StudentT(df=4), a list with one of these for each expert, or a dict with one for each "
        f"column of y; got {value!r}."
    )


def _product(value: Mapping[Any, Any]) -> Family:
    """The families of several outcomes, by the names or numbers of their columns."""
    for column, own in value.items():
        if isinstance(own, list | tuple):
            raise ValueError(
                f"family as a dict must have one family for each column of y; got the list "
                f"{shown(own)} for {shown(column)}. A list, with one family for each expert, is "
                "that of all columns."
            )
    families = tuple(map(_family, value.values()))
    without = [family.name for family in families if not family.link]
    if without or not families:
        raise ValueError(
            "family as a dict must have families with a linear predictor; got "
            f"{shown(without[0]) if without else 'an empty dict'}. Choose another family, such as "
            '"normal", "poisson" or "binary".'
        )
    return Product(families, tuple(value))


def with_outcomes(params: Any, y: Array, names: Sequence[str]) -> Any:
    """Parameters whose experts have a family for each output (n, m), where they need one.

    They do if families, or features, are given by output, if outputs are missing, and for families
    of one output. A multivariate normal family takes missing outputs itself.
    """
    has_missing = y.dtype.kind in "fV" and bool(is_unknown(y).any())
    experts, found = params.family, []
    if has_missing:
        others: dict[str, Any] = {MISSING: "y with missing values"}
        if not isinstance(experts, LinearExperts):
            kind = ESTIMATORS if experts is None else OWN_EXPERTS
            others[kind] = Choice(params.expert_parameter, params.expert)
        if params.base is not None:
            others[BASE] = Choice("base", params.base)
        if params.random_features is not None:
            others[EFFECTS] = Choice(EFFECTS, params.random_features)
        check_conflicts(others)
    if not isinstance(experts, LinearExperts):
        return params
    for family in experts.families:
        families: Any = family.outcomes or (family,) * len(names)
        if isinstance(family, Product) and family.names:
            given = dict(zip(family.names, families, strict=True))
            families = tuple(by_column("family", given, names))
        is_one = all(own == families[0] for own in families)
        needs = not is_one or len(names) > families[0].max_outputs
        needs |= has_missing and experts.covariance_type == "diag"
        needs |= isinstance(params.expert_features, Mapping)
        needs |= isinstance(params.dispersion_features, Mapping)
        if needs and len(names) > 1 and not families[0].link:
            raise ValueError(
                f"y must have no missing values under {params.family_name}, which has point masses "
                "or a range of all outputs. Fit each output for itself, or use other families."
            )
        found.append(Product(families) if needs and len(names) > 1 else families[0])
    experts = replace(experts, families=tuple(found))
    return params._replace(family=experts, density=experts)


# --- experts ----------------------------------------------------------------------------------


def is_parametric(expert: Any) -> bool:
    """Whether a value is an object of parametric experts or the name of some."""
    return isinstance(expert, PARAMETRIC) or (isinstance(expert, str) and expert in EXPERTS)


def resolve_experts(expert: Any, task: str) -> tuple[Any, list[Any] | None]:
    """Parametric experts that are an object, or names and estimators.

    There is one name or estimator for each expert, or a single one for all of them.
    """
    first, *others = entries = listed(expert)
    if isinstance(first, PARAMETRIC) and all(
        type(entry) is type(first) and bool(entry == first) for entry in others
    ):
        if first.is_classifier != (task == "classifier"):
            raise ValueError(
                f"expert must be a family for a {task}; got {first!r}, which models "
                f"{first.support}."
            )
        first.check_options()
        if isinstance(first, Experts):
            check_blocks(first)
        return first, None
    for k, entry in enumerate(entries):
        name = f"expert[{k}]" if isinstance(expert, list | tuple) else "expert"
        check_estimator(name, entry, task, NAMED_ESTIMATORS)
    return None, entries


def check_blocks(experts: Experts) -> None:
    """All fields of the parameters must be in blocks, or be declared as others."""
    fields = experts.init_params(1, 1)._asdict()
    declared = [*(block.params for block in experts.blocks), *experts.other_params]
    unknown = [name for name in declared if name not in fields]
    missing = [name for name in fields if name not in declared and np.size(fields[name])]
    if missing or unknown:
        reason = f"{missing[0]!r} is in none" if missing else f"there is no field {unknown[0]!r}"
        raise ValueError(
            f"expert must declare each field of its parameters in `blocks`, so that tables and "
            f"standard errors have it, or in `other_params`; of {type(experts).__name__} {reason}. "
            "Add a LinearPredictor or Dispersion of skmoe.protocols to `blocks`, or the name to "
            "`other_params` if the field holds no coefficients."
        )


def uses_groups(estimator: Any) -> bool:
    """Whether the fit uses `groups`: for a base, estimators as experts, or a number of experts.

    By a criterion no rows are held out.
    """
    number = estimator.n_experts
    holds_out = selects_number(number) and (not isinstance(number, str) or number == "auto")
    return holds_out or estimator.base is not None or not is_parametric(estimator.expert)


def check_estimator(
    name: str, estimator: Any, task: str, names: Collection[str] = (), weighted: bool = True
) -> None:
    """An estimator must be of the task, and take weights if it must; or it is one of some names."""
    if isinstance(estimator, str) and estimator in names:
        return
    check_instance(name, estimator)
    if not (hasattr(estimator, "fit") and _offers(estimator, "predict")):
        remedy = adapter.LOSSES.get(estimator, "") if isinstance(estimator, str) else ""
        if isinstance(estimator, PARAMETRIC):
            remedy = "Use the same family for all experts."
        rule = f"one of {sorted(names)}, a scikit-learn estimator or a list of these"
        rule = rule if names else "None or a scikit-learn estimator"
        raise ValueError(f"{name} must be {rule}; got {estimator!r}. {remedy}".rstrip())
    kind = is_regressor if task == "regressor" else is_classifier
    rule = "accept sample_weight in fit, which carries the responsibilities"
    if not kind(estimator):
        rule, remedy = f"be a {task}, as the mixture is", f"Use the {task} of the same kind."
    elif weighted and not adapter.takes_weights(estimator):
        remedy = "Choose an estimator that does."
    elif weighted and adapter.scores_without_weights(estimator):
        rule += "; the scores of a search do not use it"
        remedy = (
            'Search over the mixture instead, as in GridSearchCV(mixture, {"expert": [...]}), or '
            "give the estimator alone."
        )
    elif task == "classifier" and not _offers(estimator, "predict_proba"):
        rule = "have predict_proba"
        remedy = "Choose a classifier that has, or wrap it in CalibratedClassifierCV."
    else:
        return
    raise ValueError(f"{name} must {rule}; got {estimator!r}. {remedy}")


def _offers(estimator: Any, method: str) -> bool:
    """Whether a fitted estimator, or the last one of pipelines and searches, has a method.

    A stack of scikit-learn has the methods of its final estimator, which is None for the default.
    """
    final = adapter.final_estimator(estimator)
    is_stack = getattr(final, "final_estimator", final) is None
    return hasattr(type(final) if is_stack else final, method)


def check_takes_offset(parameter: str, expert: Any, density: Experts | MeanFamily | None) -> None:
    """An offset needs experts with a log link, under which it is the log of an exposure."""
    if density is None or not density.takes_offset:
        link = "" if density is None else density.link
        has = f"the link {link!r}" if link else "no log link"
        check_conflicts({OFFSET: "offset", NO_LOG_LINK: f"{parameter}={expert!r}, which has {has}"})


def check_takes(given: Rows, parameter: str, expert: Any, density: Any) -> None:
    """Experts must take an offset of rows, and averages, with the distribution of the values."""
    if given.offset is not None:
        check_takes_offset(parameter, expert, density)
    families = getattr(density, "families", ())
    is_joint = getattr(density, "covariance_type", "diag") == "full"
    is_one_kind = bool(families) and all(each.is_dispersion_model for each in families)
    if given.n_values is not None and (is_joint or not is_one_kind):
        each_own = (own for each in families for own in getattr(each, "outcomes", ()) or [each])
        names = " and ".join(dict.fromkeys(type(own).__name__ for own in each_own))
        shown = f"the family {names}" if names else f"{parameter}={expert!r}"
        check_conflicts({AVERAGES: AVERAGES, NOT_OF_AVERAGES: FULL if is_joint else shown})


def accepts_missing(expert: Any) -> bool:
    """Whether all experts may accept missing values; False for invalid values of `expert`."""
    is_list = isinstance(expert, list | tuple)

    def accepts(entry: Any) -> bool:
        if isinstance(entry, str):
            return entry in NAMED_ESTIMATORS and (is_list or entry not in EXPERTS)
        is_estimator = hasattr(entry, "get_params") and not isinstance(entry, type)
        return is_estimator and adapter.may_accept_missing_values(entry)

    return expert not in ([], ()) and all(map(accepts, listed(expert)))


# --- gate -------------------------------------------------------------------------------------


def resolve_gate(gate: Any, alpha: float | str | None, n_experts: int) -> Any:
    """The gate of a registered name or object; a single expert needs no other than constant.

    A number for `alpha` replaces that of an object. Routing to all experts is none.
    """
    resolved = gate_object(gate)
    if not isinstance(resolved, Gate | SoftmaxGate | ConstantGate | MarkovGate):
        check_instance("gate", gate)
        raise ValueError(
            f"gate must be one of {sorted(GATES)} or an object with the methods of "
            f"skmoe.protocols.Gate, from which it derives; got {gate!r}."
        )
    if resolved is gate:
        gate.check_options()
    if n_experts == 1 and not resolved.persists:
        return ConstantGate()
    options: dict[str, Any] = {} if alpha is None or isinstance(alpha, str) else {"alpha": alpha}
    if resolved.top_k is not None and resolved.top_k >= n_experts:
        options["top_k"] = None
    return resolved.with_options(options)


# --- slopes -----------------------------------------------------------------------------------


def features_of_outputs(
    name: str, given: Mapping[Any, Any], features: tuple[int, Array | None], outputs: Sequence[str]
) -> Array:
    """Features that have a slope in each output, boolean (m, p)."""
    has_slope = np.zeros((len(outputs), features[0]), dtype=bool)
    for row, own in zip(has_slope, by_column(name, given, outputs), strict=True):
        columns = check_columns(name, own, *features, True)
        row[slice(None) if columns is None else columns] = True
    return has_slope


def expert_columns(
    params: Any, n_features: int, names: Array | None
) -> tuple[Array | None, tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]:
    """Columns of X in the design matrix of the experts, slopes, and columns of two others.

    These are those of the dispersions, and of random effects, of which the first is the intercept.
    The columns of X are None for all. Slopes are numbers, as `slope_holders` takes them: () where
    each expert has its own slope of each column.
    """
    features, given = (n_features, names), params.expert_features
    for_each, may_be_empty = is_for_each_expert(given), not params.uses_estimators
    has_slope = np.zeros((params.n_experts, n_features), dtype=bool)
    columns: Array | None = None
    for k, own in enumerate(given if for_each else [given]):
        name = f"expert_features[{k}]" if for_each else "expert_features"
        columns = check_columns(name, own, *features, may_be_empty)
        of_experts = k if for_each else slice(None)
        has_slope[of_experts, slice(None) if columns is None else columns] = True
    if for_each:
        columns = np.flatnonzero(has_slope.any(axis=0))
    of_dispersion = check_columns("dispersion_features", params.dispersion_features, *features)
    of_effects = check_columns("random_features", params.random_features, *features, True)
    for others in (of_dispersion, of_effects):
        if columns is not None and others is not None:
            columns = np.union1d(columns, others).astype(int)
    numbers = np.arange(params.n_experts)[:, None]
    slopes = np.where(has_slope, numbers, -1)
    for column, sharing in _sharing_experts(params, features).items():
        lacking = [k for k in sharing if not has_slope[k, column]]
        own_sharing = [k for k in sharing if has_slope[k, column]]
        if not own_sharing or (lacking and isinstance(params.shared_features, Mapping)):
            of_expert = f" of expert {lacking[0]}" if has_slope[:, column].any() else ""
            raise ValueError(
                f"shared_features must be among the expert_features{of_expert}; column {column} is "
                "not. Add it to expert_features, or leave it out of shared_features."
            )
        slopes[own_sharing, column] = min(own_sharing)
    slopes = slopes if columns is None else slopes[:, columns]
    of_slopes = np.arange(n_features) if columns is None else columns
    is_of_dispersion = np.isin(of_slopes, () if of_dispersion is None else of_dispersion)
    random = () if of_effects is None else (-1, *np.searchsorted(of_slopes, of_effects).tolist())
    own_slopes = () if (slopes == numbers).all() else tuple(map(tuple, slopes.tolist()))
    return columns, own_slopes, tuple(np.flatnonzero(is_of_dispersion).tolist()), random


def _sharing_experts(params: Any, features: tuple[int, Array | None]) -> dict[int, list[int]]:
    """The numbers of the experts that may share the slope of each column."""
    shared, n_experts = params.shared_features, params.n_experts
    if not isinstance(shared, Mapping):
        columns = check_columns("shared_features", shared, *features)
        return {} if columns is None else {int(j): [*range(n_experts)] for j in columns}
    columns = check_columns("shared_features", list(shared), *features)
    assert columns is not None
    found = {}
    for column, sharing in zip(columns.tolist(), shared.values(), strict=True):
        numbers = list(sharing) if isinstance(sharing, Sequence | np.ndarray) else []
        if len(numbers) == n_experts and all(isinstance(k, bool | np.bool_) for k in numbers):
            numbers = np.flatnonzero(numbers).tolist()
        is_valid = all(is_integer(k) and int(k) in range(n_experts) for k in numbers)
        if not is_valid or not 2 <= len(set(numbers)) == len(numbers):
            raise ValueError(
                "shared_features as a dict must have the numbers of at least two experts for each "
                f"feature, from 0 to {n_experts - 1}, or True and False for each expert; got "
                f"{shown(sharing)}. Use a list of features for slopes that all experts share."
            )
        found[column] = [int(k) for k in numbers]
    return found


# --- models of a stack ------------------------------------------------------------------------


def check_family_of_models(
    mean_family: MeanFamily | None, option: Any, models: Sequence[Any]
) -> None:
    """The family is that of some models, and their densities can be compared."""
    if mean_family is None:
        _check_same_measure(models, Normal())
        return
    if all(not isinstance(model, str) and adapter.has_density(model) for model in models):
        raise ValueError(
            f"family={option!r} is that of models without a density of their own, of which "
            "there is none in estimators. Leave family out."
        )
    if not mean_family.family.takes_mean:
        raise ValueError(
            f"family must have a mean, which models predict; got {option!r}. Choose a family that "
            'has, such as "gamma", or put a mixture with this family into estimators.'
        )
    _check_same_measure(models, mean_family.family)


def _measure_of_families(families: Iterable[Family]) -> str:
    """What distributions have: densities, or probabilities, or both, in words."""
    families = tuple(families)
    atoms = sorted({atom for family in families for atom in family.atoms})
    if not any(family.is_continuous for family in families):
        return "probabilities of values"
    if not atoms:
        return "a density"
    values = ", ".join(f"{atom:g}" for atom in atoms)
    return f"a density and the probability of {values}"


def _check_same_measure(models: Sequence[Any], family: Family) -> None:
    """The densities of all models must be with respect to the same measure.

    Models of given values, such as ratings, join others for y with few values.
    """
    kinds = [_measure_of_families(_families(model, family)) for model in models]
    join = models_of_values(models)
    others = [k for k in range(len(models)) if not join[k]]
    if any(join) and kinds and all(kinds[k] == _measure_of_families([Normal()]) for k in others):
        kinds = [kinds[others[0]] if others else kinds[0]] * len(models)
    for k, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                "estimators must be models whose densities can be compared; estimators[0], "
                f"{models[0]!r}, predicts {kinds[0]}, and estimators[{k}], {models[k]!r}, "
                f"{kind}. Give all models families of one kind."
            )


def _families(model: Any, family: Family) -> tuple[Family, ...]:
    """The families of a model, or of the first of its own experts that has a density.

    Models without a density of their own have the given family.
    """
    if isinstance(model, str) or not adapter.has_density(model):
        return (family,)
    final = adapter.final_estimator(model)
    # A nested mixture has the measure of its own experts, if these have densities.
    named = [expert for expert in adapter.experts_of(final) if not isinstance(expert, str)]
    own = [expert for expert in named if adapter.has_density(expert)]
    if own:
        return _families(own[0], Normal())
    option = getattr(final, "family", "normal")
    return resolve_families(option, len(listed(option)))


def models_of_values(models: Iterable[Any]) -> list[bool]:
    """Whether each model predicts the probabilities of given values, such as ratings."""
    families = [_families(model, Normal()) for model in models]
    return [
        not any(one.is_continuous or one.is_count or one.atoms for one in of_model)
        for of_model in families
    ]


def few_values(y: Array, weight: Array) -> tuple[float, ...]:
    """The values of one output (m, n), if they are few; none otherwise.

    Two of them must be so frequent that every fold has both.
    """
    values, codes = np.unique(y[0], return_inverse=True)
    is_sure = (np.bincount(codes, weight) >= MIN_ROWS).sum() > 1
    few = len(y) == 1 and len(values) <= Ordinal.max_values and is_sure
    return tuple(values.tolist()) if few and weight.sum() >= MIN_ROWS * len(values) else ()


# --- the rows ---------------------------------------------------------------------------------


def check_stacked_rows(models: Sequence[Any], rows: Dataset) -> None:
    """Models have enough rows, and take an offset and weights that are no whole numbers."""
    offset, weight, fold = rows.expert_design.offset, rows.weight, rows.expert_design.fold
    n_fitted = len(weight) - int(np.bincount(fold[fold >= 0]).max())
    repeatable = (weight == np.round(weight)).all() and weight.sum() <= MAX_REPEATED_ROWS
    for k, model in enumerate(models):
        if isinstance(model, str):
            continue
        n_experts: Any = getattr(adapter.final_estimator(model), "n_experts", None)
        if is_integer(n_experts) and n_experts > n_fitted:
            raise ValueError(
                f"estimators[{k}], a mixture of {n_experts} experts, needs as many rows; without a "
                f"fold there are {n_fitted}. Give more rows, or choose a model with fewer experts."
            )
        reason = "" if adapter.takes_weights(model) else "takes no sample_weight"
        if reason and not repeatable:
            raise ValueError(
                f"estimators[{k}] takes no sample_weight, so that rows are repeated for it, and "
                f"their weights must be whole numbers of at most {MAX_REPEATED_ROWS} in total; got "
                f"{model!r} with weights such as {weight.min():g}, which come from sample_weight "
                "or class_weight. Choose an estimator that takes weights, or fit without them."
            )
        reason = "has a density of its own" if adapter.has_density(model) else reason
        if offset is not None and reason:
            raise ValueError(
                f"offset needs models that are fitted to y per unit of exposure; estimators[{k}], "
                f"{model!r}, {reason}. Leave it out of estimators, or fit without offset."
            )


def check_possible(log_density: Array, y: Array) -> None:
    """Some model must have a positive out-of-fold density at each target."""
    impossible = np.flatnonzero(np.isneginf(log_density.max(axis=0)))
    if len(impossible):
        values = ", ".join(f"{value:g}" for value in np.atleast_1d(y[..., impossible[0]]))
        raise ValueError(
            f"y must be possible under some model that was fitted without its row; y = {values} is "
            "not. Use fewer folds, or a model with a density everywhere; for ordered values name "
            "all of them, as in family=Ordinal(values=(1.0, 2.0, 3.0))."
        )
