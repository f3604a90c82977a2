"""Validation of the parameters `expert`, `gate` and `base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from skmoe._data.checks import check_instance
from skmoe._data.nested_estimators import (
    may_accept_missing_values,
    scores_without_weights,
)
from skmoe._data.sklearn_adapter import LOSSES, final_estimator, has_density, takes_weights
from skmoe._estimators.parameters.comparable_densities import check_one_measure
from skmoe._estimators.parameters.tasks import Task
from skmoe._mixture.model import Penalty
from skmoe._numerics.typing import Array
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.experts._registry import ANY_FAMILY, EXPERTS
from skmoe.families import FAMILIES, Family, Normal
from skmoe.gates._constant import ConstantGate
from skmoe.gates._registry import GATES
from skmoe.protocols import Experts, Gate


def resolve_experts(
    expert: Any,
    family_option: Any,
    n_experts: int,
    task: Task,
    options: Mapping[str, Any],
    shared_features: Any = None,
) -> tuple[Experts | None, list[Any] | None, MeanFamily | None]:
    """A parametric family with its hyper-parameters, or names or estimators and their family.

    There is one name or estimator for each expert, or a single one for all of them. Their family
    is None for normal noise.
    """
    families = resolve_families(family_option, n_experts)
    if families is None and shared_features is not None:
        families = (Normal(),)
    if families is not None and (shared_features is not None or not _has_estimators(expert)):
        linear = _generalized_linear(expert, family_option, families, n_experts, options)
        return linear, None, None
    mean_family = None
    if families is not None:
        entries = expert if isinstance(expert, list | tuple) else [expert]
        mean_family = resolve_mean_family(entries, family_option, families)
    family = resolve_family(expert, task.name, options)
    if family is not None:
        return family, None, None
    if not isinstance(expert, list | tuple):
        chosen = [_check_estimator("expert", expert, task.name, _expert_names())]
        return None, chosen, mean_family
    if len(expert) != n_experts:
        raise ValueError(
            f"expert as a list must have one entry for each of the n_experts={n_experts} "
            f"experts; got {len(expert)}."
        )
    first = expert[0]
    if is_family(first) and not _is_estimator_name(first) and all(_same(first, e) for e in expert):
        return resolve_family(first, task.name, options), None, None
    chosen = [check_list_entry(f"expert[{k}]", e, task.name) for k, e in enumerate(expert)]
    return None, chosen, mean_family


def _has_estimators(expert: Any) -> bool:
    """Whether some experts are neither linear predictors nor objects with their own density."""
    entries = expert if isinstance(expert, list | tuple) else [expert]
    return not all(
        isinstance(entry, Experts) or (isinstance(entry, str) and entry in ANY_FAMILY)
        for entry in entries
    )


def resolve_mean_family(
    experts: Sequence[Any], family_option: Any, families: tuple[Family, ...]
) -> MeanFamily:
    """The family of experts that are estimators, which predict the mean of y."""
    reason = ""
    if len(families) > 1:
        reason = (
            "Experts that are estimators have one family in common: give that, or use "
            'expert="linear" for all experts'
        )
    elif not families[0].takes_mean:
        reason = (
            "It has no mean that estimators could predict: choose a family that has, such as "
            '"gamma", or use expert="linear"'
        )
    for entry in experts:
        if not isinstance(entry, str) and has_density(entry):
            reason = f"{entry!r} has a density of its own: use it without `family`"
    if reason:
        shown = experts[0] if len(experts) == 1 else experts
        raise ValueError(
            f'family={family_option!r} needs expert="linear"; got expert={shown!r}. {reason}.'
        )
    return MeanFamily(families[0])


def resolve_families(value: Any, n_experts: int) -> tuple[Family, ...] | None:
    """The conditional distribution of all experts, or of each; None if all are normal."""
    values = value if isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple) and len(values) != n_experts:
        raise ValueError(
            f"family as a list must have one entry for each of the n_experts={n_experts} experts; "
            f"got {len(values)}. Give n_experts={len(values)}, or add or remove entries."
        )
    families = tuple(_family(entry) for entry in values)
    check_one_measure(families)
    if all(family == families[0] for family in families):
        families = families[:1]
    return None if families == (Normal(),) else families


def name_of_density(expert: Any, family: Any) -> str:
    """The parameter that chooses the conditional distribution of y, for messages."""
    first = expert[0] if isinstance(expert, list | tuple) and expert else expert
    own = isinstance(first, Experts) or (isinstance(first, str) and first in EXPERTS)
    own = own and not (isinstance(first, str) and first in ANY_FAMILY)
    name, value = ("expert", expert) if own else ("family", family)
    return f'{name}="{value}"' if isinstance(value, str) else f"{name}={value!r}"


def _family(value: Any) -> Family:
    if isinstance(value, Family):
        value.check_options()
        return value
    if isinstance(value, str) and value in FAMILIES:
        return FAMILIES[value]()
    raise ValueError(
        f"family must be one of {sorted(FAMILIES)}, an object of skmoe.families such as "
        f"StudentT(df=4), or a list with one of these for each expert; got {value!r}."
    )


def _generalized_linear(
    expert: Any,
    family_option: Any,
    families: tuple[Family, ...],
    n_experts: int,
    options: Mapping[str, Any],
) -> Experts:
    """Experts with a linear predictor and given families."""
    entries = expert if isinstance(expert, list | tuple) else [expert]
    if not all(isinstance(entry, str) and entry in ANY_FAMILY for entry in entries):
        what = "shared_features" if families == (Normal(),) else f"family={family_option!r}"
        raise ValueError(
            f'{what} needs expert="linear"; got expert={expert!r}. Objects of `expert` have a '
            "density of their own: use them without `family`."
        )
    if len(entries) not in (1, n_experts):
        raise ValueError(
            f"expert as a list must have one entry for each of the n_experts={n_experts} "
            f"experts; got {len(entries)}."
        )
    if options.get("shared_dispersion") and len(families) > 1:
        raise ValueError(
            f'dispersion="shared" needs one family for all experts; got family={family_option!r}. '
            'Use dispersion="per_expert".'
        )
    chosen = {**options, "families": families}
    experts: Experts = ANY_FAMILY[entries[0]].from_options(chosen)
    return experts


def resolve_family(expert: Any, task: str, options: Mapping[str, Any]) -> Experts | None:
    """The parametric family of a registered name or object; None for estimators."""
    if isinstance(expert, Experts):
        if expert.is_classifier != (task == "classifier"):
            raise ValueError(
                f"expert must be a family for a {task}; got {expert!r}, which models "
                f"{expert.support}."
            )
        expert.check_options()
        return _check_blocks(expert)
    if not isinstance(expert, str) or expert not in EXPERTS:
        return None
    if task not in EXPERTS[expert]:
        raise ValueError(
            f'expert="{expert}" is a family for a {" or ".join(EXPERTS[expert])}; this is a '
            f"{task}. Use one of {_expert_names(task)}, or an estimator."
        )
    return _check_blocks(EXPERTS[expert][task].from_options(options))


def _check_blocks(experts: Experts) -> Experts:
    """The experts, if all fields of their parameters are in blocks or are declared as others."""
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
    return experts


def family_of(expert: Any, task: str) -> Any:
    """The class or object of a parametric family, without validation; None for other experts."""
    if isinstance(expert, Experts):
        return expert
    return EXPERTS.get(expert, {}).get(task) if isinstance(expert, str) else None


def is_family(expert: Any) -> bool:
    """Whether a value is a parametric family or the name of one."""
    return isinstance(expert, Experts) or (isinstance(expert, str) and expert in EXPERTS)


def uses_groups(estimator: Any) -> bool:
    """Whether the fit uses `groups` (cross-fitted experts or a base model)."""
    return estimator.base is not None or not is_family(estimator.expert)


def _is_estimator_name(expert: Any) -> bool:
    return isinstance(expert, str) and expert in NAMED_ESTIMATORS


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _expert_names(task: str | None = None) -> list[str]:
    """Valid names for `expert`, of one task or both."""
    return sorted(
        {name for name, row in EXPERTS.items() if task in (None, *row)} | {*NAMED_ESTIMATORS}
    )


def check_list_entry(name: str, entry: Any, task: str, weighted: bool = True) -> Any:
    """A valid entry of a list of experts: a name or an estimator.

    If `weighted` it must take weights of the rows.
    """
    if is_family(entry) and not _is_estimator_name(entry):
        raise ValueError(
            f"{name} must be one of {sorted(NAMED_ESTIMATORS)} or an estimator, as lists of "
            f"different experts are; got the family {entry!r}. Use the same family for all experts."
        )
    return _check_estimator(name, entry, task, sorted(NAMED_ESTIMATORS), weighted)


def _check_estimator(
    name: str, estimator: Any, task: str, names: Sequence[str], weighted: bool = True
) -> Any:
    if _is_estimator_name(estimator) and names:
        return estimator
    check_instance(name, estimator)
    if not (hasattr(estimator, "fit") and _offers(estimator, "predict")):
        remedy = LOSSES.get(estimator, "") if isinstance(estimator, str) else ""
        rule = f"one of {sorted(names)}, a scikit-learn estimator or a list of these"
        rule = rule if names else "None or a scikit-learn estimator"
        raise ValueError(f"{name} must be {rule}; got {estimator!r}. {remedy}".rstrip())
    kind = is_regressor if task == "regressor" else is_classifier
    if not kind(estimator):
        raise ValueError(
            f"{name} must be a {task}, as the mixture is; got {estimator!r}. "
            f"Use the {task} of the same kind."
        )
    if weighted and not takes_weights(estimator):
        raise ValueError(
            f"{name} must accept sample_weight in fit, which carries the responsibilities; "
            f"{estimator!r} does not. Choose an estimator that does."
        )
    if weighted and scores_without_weights(estimator):
        raise ValueError(
            f"{name} must accept sample_weight in fit, which carries the responsibilities; the "
            f"scores of a search do not use it, in {estimator!r}. Search over the mixture instead, "
            'as in GridSearchCV(mixture, {"expert": [...]}), or give the estimator alone.'
        )
    if task == "classifier" and not _offers(estimator, "predict_proba"):
        raise ValueError(
            f"{name} must have predict_proba; {estimator!r} has not. Choose a classifier that has, "
            "or wrap it in CalibratedClassifierCV."
        )
    return estimator


def _offers(estimator: Any, method: str) -> bool:
    """Whether a fitted estimator, or the last one of pipelines and searches, has a method.

    A stack of scikit-learn has the methods of its final estimator, which is None for the default.
    """
    final = final_estimator(estimator)
    is_stack = getattr(final, "final_estimator", final) is None
    return hasattr(type(final) if is_stack else final, method)


def check_base(
    base: Any, task: str, family: Experts | None, mean_family: MeanFamily | None
) -> None:
    """A base model must be an estimator of the same task, to whose predictions experts add."""
    if base is None:
        return
    _check_estimator("base", base, task, ())
    if mean_family is not None and mean_family.family.link != "identity":
        raise ValueError(
            f"base needs experts to whose mean its predictions are added; experts that are "
            f"estimators with family={mean_family.family.name!r} have a log link. Use base=None, "
            'or expert="linear".'
        )
    if family is None or family.is_classifier or family.link == "identity" or family.takes_offset:
        return
    raise ValueError(
        f"base needs experts with an identity link, to whose mean its predictions are added, or "
        f"with a log link and an offset; {type(family).__name__} has the link "
        f"{family.link or 'unknown'!r}. Use base=None."
    )


def check_takes_offset(parameter: str, expert: Any, density: Experts | MeanFamily | None) -> None:
    """An offset needs experts with a log link, under which it is the log of an exposure."""
    if density is not None and density.takes_offset:
        return
    link = "" if density is None else density.link
    remedy = {
        "identity": "Subtract it from y",
        "": "Choose such a family, or fit and predict without offset",
    }
    raise ValueError(
        'offset needs experts with a log link, such as family="poisson"; got '
        f"{parameter}={expert!r}, which has {f'the link {link!r}' if link else 'no log link'}. "
        f"{remedy.get(link, 'Fit and predict without offset')}."
    )


def check_one_exposure(parameter: str, expert: Any, offset: Array | None) -> None:
    """An estimator, which is fitted to all outputs at once, takes one exposure for each row."""
    if offset is not None and offset.ndim > 1:
        raise ValueError(
            f"offset must have shape (n_samples,), the same for all outputs, for experts that are "
            f"estimators; got shape {offset.shape} with {parameter}={expert!r}. Use one fit for "
            'each output, or a mixture with expert="linear".'
        )


def accepts_missing(expert: Any) -> bool:
    """Whether all experts may accept missing values; False for invalid values of `expert`."""
    if isinstance(expert, list | tuple):
        return len(expert) > 0 and all(
            _is_estimator_name(entry) or accepts_missing(entry) for entry in expert
        )
    if is_family(expert):
        return False
    if isinstance(expert, str):
        return expert in NAMED_ESTIMATORS
    try:
        return may_accept_missing_values(expert)
    except Exception:  # not an estimator: an error is raised by `resolve_experts`
        return False


def check_out_of_bag(cross_fit: Any, estimators: list[Any] | None) -> None:
    """With cross_fit="oob" every expert must compute out-of-bag predictions."""
    if cross_fit != "oob" or estimators is None:
        return
    for k, expert in enumerate(estimators):
        if not getattr(expert, "oob_score", False):
            raise ValueError(
                f'cross_fit="oob" needs experts with oob_score=True; expert {k} is {expert!r}. '
                'Set oob_score=True where the estimator has it, or use cross_fit="auto".'
            )


def resolve_gate(gate: Any, penalty: Penalty, n_experts: int) -> Gate:
    """The gate of a registered name or object; a single expert needs no other than constant.

    A number that is given replaces that of an object, from which a search starts otherwise.
    """
    if isinstance(gate, str) and gate in GATES:
        resolved = GATES[gate].from_options({"alpha": penalty.value})
    elif isinstance(gate, Gate):
        gate.check_options()
        keeps_own = penalty.search and not gate.has_open_penalty
        resolved = gate if keeps_own else gate.with_options({"alpha": penalty.value})
    else:
        check_instance("gate", gate)
        raise ValueError(
            f"gate must be one of {sorted(GATES)} or an object with the methods of "
            f"skmoe.protocols.Gate, from which it derives; got {gate!r}."
        )
    return ConstantGate() if n_experts == 1 else resolved


def gate_transformer(gate: Any) -> Any:
    """The transformer of a gate object; None for names and other values."""
    return gate.transformer if isinstance(gate, Gate) else None
