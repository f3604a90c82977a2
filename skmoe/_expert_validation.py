"""The door for experts that are estimators: what they must offer, and what they may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skmoe._em import Parts
from skmoe._encoding import Encoder, numbers_of
from skmoe._fitting import count_parameters, says_density, says_normals
from skmoe._numerics import Array
from skmoe.protocols import NormalExperts, SmoothExperts, SmoothGate


def check_experts(
    expert: Any, n_experts: int, task: str, families: Sequence[str], names: Sequence[str]
) -> str | list[Any]:
    """The name of a parametric family, or K names or estimators."""
    if isinstance(expert, str) and expert in families:
        return expert
    if isinstance(expert, list | tuple):
        if len(expert) != n_experts:
            raise ValueError(
                f"expert as a list must have one entry for each of the n_experts={n_experts} "
                f"experts; got {len(expert)}."
            )
        return [
            _check_estimator(f"expert[{k}]", entry, task, names) for k, entry in enumerate(expert)
        ]
    return [_check_estimator("expert", expert, task, names)] * n_experts


def _check_estimator(name: str, estimator: Any, task: str, names: Sequence[str]) -> Any:
    if isinstance(estimator, str) and estimator in names:
        return estimator
    if isinstance(estimator, type) or not (
        hasattr(estimator, "fit") and hasattr(estimator, "predict")
    ):
        raise ValueError(
            f"{name} must be one of {sorted(names)}, a scikit-learn estimator or a list of these; "
            f"got {estimator!r}."
            if names
            else f"{name} must be None or a scikit-learn estimator; got {estimator!r}."
        )
    kind = is_regressor if task == "regressor" else is_classifier
    if not kind(estimator):
        raise ValueError(
            f"{name} must be a {task}, as the mixture is; got {estimator!r}. "
            f"Use the {task} of the same kind."
        )
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"{name} must accept sample_weight in fit, which carries the responsibilities; "
            f"{estimator!r} does not. Choose an estimator that does."
        )
    if task == "classifier" and not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"{name} must have predict_proba; {estimator!r} has not. Choose a classifier that has, "
            "or wrap it in CalibratedClassifierCV."
        )
    return estimator


def check_base(base: Any, task: str) -> None:
    """A base is an estimator of the same task, or None."""
    if base is not None:
        _check_estimator("base", base, task, ())


def check_transformed(transformer: Any, table: Any, n_rows: int) -> None:
    """A transformer of the gate makes a table of finite numbers, row by row."""
    shape: tuple[int, ...] = getattr(table, "shape", ())
    if len(shape) != 2 or shape[0] != n_rows:
        raise ValueError(
            f"The transformer of the gate must keep the {n_rows} rows that it is given, as a "
            f"table; {transformer!r} made shape {shape}. Choose one that transforms features."
        )
    values = table.data if sparse.issparse(table) else np.asarray(table)
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
        raise ValueError(
            f"The transformer of the gate must make finite numbers; {transformer!r} made others. "
            "Impute or encode before it, in a pipeline."
        )


def accepts_missing(expert: Any) -> bool:
    """Whether all experts take rows with missing values; False for what is no expert at all."""
    if isinstance(expert, str):
        return expert == "tree"
    if isinstance(expert, list | tuple):
        return len(expert) > 0 and all(
            entry == "linear" or accepts_missing(entry) for entry in expert
        )
    try:
        return bool(get_tags(expert).input_tags.allow_nan)
    except Exception:  # not an estimator: the door refuses it
        return False


def check_cross_fit(value: Any) -> int | str | bool:
    """A number of folds, "auto", "oob" or False."""
    if value is False or (isinstance(value, str) and value in ("auto", "oob")):
        return value
    whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if whole and int(value) >= 2:
        return int(value)
    raise ValueError(
        f'cross_fit must be "auto", "oob", False or an integer of at least 2; got {value!r}.'
    )


def check_out_of_bag(cross_fit: Any, experts: str | list[Any]) -> None:
    """Out-of-bag predictions, if they are asked for, from every expert."""
    if cross_fit != "oob" or isinstance(experts, str):
        return
    for k, expert in enumerate(experts):
        if not getattr(expert, "oob_score", False):
            raise ValueError(
                f'cross_fit="oob" needs experts with oob_score=True; expert {k} is {expert!r}. '
                'Set oob_score=True where the estimator has it, or use cross_fit="auto".'
            )


def refuse_uncounted(criterion: str, models: Sequence[Sequence[Any]]) -> None:
    """No information criterion without a number of parameters."""
    for k, (model, *_) in enumerate(models):
        if np.isnan(count_parameters(model)):
            raise ValueError(
                f"{criterion} needs experts whose parameters can be counted; expert {k} "
                f"({type(model).__name__}) has no such number. Compare models by the log density "
                "of held-out rows (score_samples) instead."
            )


def check_normal(experts: Any) -> None:
    """Predictive distributions need densities that are made of normals."""
    if not isinstance(experts, NormalExperts):
        raise ValueError(
            f"This needs experts whose density is made of normals; {type(experts).__name__} has no "
            "method `normals` (see skmoe.protocols.NormalExperts). Log densities of observed rows "
            "are at hand: score_samples."
        )
    for k, expert in enumerate(getattr(experts, "estimators", ())):
        if says_density(expert) and not says_normals(expert):
            raise ValueError(
                f"This needs experts whose density is made of normals; expert {k} "
                f"({type(expert).__name__}) has a density of its own and no method predict_dist. "
                "Log densities of observed rows are at hand: score_samples."
            )


def is_smooth(parts: Parts) -> bool:
    """Whether gate and experts have coefficients with standard errors."""
    return isinstance(parts.experts, SmoothExperts) and isinstance(parts.gate, SmoothGate)


def check_no_base(base: Any) -> None:
    """A base is not known out of the folds of its fit, where the mixture was fitted."""
    if base is not None:
        raise ValueError(
            f"inference needs a mixture without a base; got base={base!r}, whose predictions out "
            "of fold, to which the mixture was fitted, are not kept. Fit with base=None."
        )


def check_smooth(parts: Parts, most_terms: int, n_terms: float) -> None:
    """Standard errors need smooth parts that see all rows."""
    for kind, part, protocol in (
        ("experts", parts.experts, SmoothExperts),
        ("a gate", parts.gate, SmoothGate),
    ):
        if not isinstance(part, protocol):
            raise ValueError(
                f"inference needs {kind} with smooth coefficients; {type(part).__name__} has none. "
                'Linear and logistic experts have (expert="linear"); one of your own must follow '
                f"skmoe.protocols.{protocol.__name__}."
            )
    if parts.top_k is not None:
        raise ValueError(
            f"inference needs every expert to see every row; got top_k={parts.top_k}. Fit with "
            "top_k=None."
        )
    if n_terms > most_terms:
        raise ValueError(
            f"inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {most_terms}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )


def check_folds(
    n_folds: int, n_rows: int, smallest_class: int | None, n_groups: int | None
) -> None:
    """No more folds than rows, groups, or members of a class."""
    for what, most in (
        ("rows", n_rows),
        ("groups", n_groups),
        ("rows of the smallest class", smallest_class),
    ):
        if most is not None and n_folds > most:
            raise ValueError(
                f"cross_fit={n_folds} must not exceed the number of {what}, {most}. Use at most "
                f'{max(most, 2)} folds, cross_fit="auto", or cross_fit=False.'
            )


def check_numbers(estimator: Any, X: Any, encoder: Encoder) -> None:
    """No infinite numbers, and no missing ones but for experts that take them."""
    numbers = numbers_of(encoder, X)
    if np.isinf(numbers).any():
        raise ValueError("Input X contains infinity: replace it by missing or finite values.")
    if not encoder.takes_missing and np.isnan(numbers).any():
        raise ValueError(
            f"Input X contains NaN, which not every expert of {type(estimator).__name__} accepts. "
            "Impute it in a pipeline, or use experts that do, such as "
            "HistGradientBoostingRegressor."
        )


def check_frame(encoder: Encoder) -> None:
    """Categories come in data frames, as in the fit."""
    if encoder.categories:
        raise ValueError(
            "X must be a data frame with the columns of the fit, of which those at positions "
            f"{encoder.categories} hold categories; got an array. Pass a data frame."
        )


def check_unused(metadata: Mapping[str, Any], experts: str | list[Any], has_base: bool) -> None:
    """No metadata where no expert can use it; groups are for whatever is cross-fitted."""
    parametric = isinstance(experts, str)
    if not all(isinstance(expert, str) for expert in experts):
        return
    unused = [name for name in metadata if name != "groups" or (parametric and not has_base)]
    if unused:
        what = f'expert="{experts}"' if parametric else "experts that are given by name"
        raise ValueError(
            f"{', '.join(unused)} cannot be used: {what} take no metadata"
            f"{' and no folds' if parametric else ''}. Leave it out, or use estimators as experts."
        )


def check_several_groups(what: str, fold: Array) -> None:
    """Rows that are told out of fold need two folds at least."""
    if not fold.any():
        raise ValueError(
            f"{what} needs rows that are left out of its fits: at least 2 groups; got 1. Leave "
            "groups out, or give finer ones."
        )


def check_metadata(metadata: Mapping[str, Any], n_rows: int) -> dict[str, Array]:
    """Metadata of the experts: one entry for each row."""
    arrays = {name: np.asarray(values) for name, values in metadata.items() if values is not None}
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) != n_rows:
            raise ValueError(
                f"{name} must have one entry for each of the {n_rows} rows of X; got shape "
                f"{values.shape}."
            )
    return arrays
