"""Validation of the parameters `expert`, `gate` and `base`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from skmoe._data.checks import check_instance
from skmoe._data.sklearn_adapter import (
    LOSSES,
    final_estimator,
    may_accept_missing_values,
    scores_without_weights,
    takes_weights,
)
from skmoe._estimators.parameters.conflicts import (
    NO_LOG_LINK,
    OFFSET,
    PARAMETRIC,
    check_conflicts,
    selects_number,
)
from skmoe._estimators.parameters.tasks import Task
from skmoe._mixture.evidence import Penalty
from skmoe.experts._linear import EXPERTS, LinearExperts
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.families import FAMILIES, Family, Normal
from skmoe.gates._constant import ConstantGate
from skmoe.gates._registry import GATES
from skmoe.gates._softmax import SoftmaxGate
from skmoe.protocols import Experts, Gate

# What the estimators take without being asked.
DEFAULT_EXPERT, DEFAULT_GATE = "linear", "softmax"


def resolve_experts(
    expert: Any,
    families: tuple[Family, ...],
    n_experts: int,
    task: Task,
    options: Mapping[str, Any],
    *,
    is_plain: bool,
) -> tuple[Experts | None, list[Any] | None, MeanFamily | None]:
    """Parametric experts with their hyper-parameters, or names or estimators and their family.

    There is one name or estimator for each expert, or a single one for all of them. Their family
    is None for normal noise. Those in a list of "linear" are estimators, which take data frames, if
    they are plain: each has all slopes for itself, and a dispersion that is the same for all rows.
    """
    is_list = isinstance(expert, list | tuple)
    entries = expert if is_list else [expert]
    check_length("expert", expert, n_experts)
    first, is_normal = entries[0], families == (Normal(),)
    is_plain = is_list and is_plain and is_normal and options.get("covariance_type") != "full"
    is_linear = all(isinstance(entry, str) and entry in EXPERTS for entry in entries)
    if is_linear and not is_plain and not task.is_classification:
        experts = from_options(LinearExperts, {**options, "families": families})
        experts.check_options()
        return experts, None, None
    mean_family = None if is_normal else MeanFamily(families[:1])
    of_one_kind = is_family(first) and not _is_estimator_name(first)
    of_one_kind = of_one_kind and all(
        type(entry) is type(first) and bool(entry == first) for entry in entries
    )
    if not is_list or of_one_kind:
        family = resolve_family(first, task.name, options)
        if family is not None:
            return family, None, None
    if is_list:
        chosen = [check_list_entry(f"expert[{k}]", e, task.name) for k, e in enumerate(expert)]
    else:
        chosen = [check_estimator("expert", expert, task.name, _expert_names())]
    return None, chosen, mean_family


def check_length(name: str, value: Any, n_experts: int) -> None:
    """A list must have one entry for each expert."""
    if isinstance(value, list | tuple) and len(value) != n_experts:
        raise ValueError(
            f"{name} as a list must have one entry for each expert; got {len(value)} for "
            f"n_experts={n_experts}, whose default is 4. Pass n_experts={len(value)}, or a list of "
            f"{n_experts}."
        )


def resolve_families(value: Any, n_experts: int) -> tuple[Family, ...]:
    """The conditional distribution of all experts, or of each if they differ."""
    values = value if isinstance(value, list | tuple) else [value]
    check_length("family", value, n_experts)
    families = tuple(_family(entry) for entry in values)
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


def measure_of_families(families: Iterable[Family]) -> str:
    """What distributions have: densities, or probabilities, or both, in words."""
    families = tuple(families)
    atoms = sorted({atom for family in families for atom in family.atoms})
    if not any(family.is_continuous for family in families):
        return "probabilities of values"
    if not atoms:
        return "a density"
    values = ", ".join(f"{atom:g}" for atom in atoms)
    return f"a density and the probability of {values}"


def name_of_density(expert: Any, family: Any) -> str:
    """The parameter that chooses the conditional distribution of y, for messages."""
    first = expert[0] if isinstance(expert, list | tuple) and expert else expert
    own = is_family(first) and first != DEFAULT_EXPERT
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


def resolve_family(expert: Any, task: str, options: Mapping[str, Any]) -> Experts | None:
    """The parametric family of a registered name or object; None for estimators."""
    if isinstance(expert, PARAMETRIC):
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
    return _check_blocks(from_options(EXPERTS[expert][task], options))


def _check_blocks(experts: Any) -> Any:
    """The experts, if all fields of their parameters are in blocks or are declared as others."""
    if not isinstance(experts, Experts):
        return experts
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
    if isinstance(expert, PARAMETRIC):
        return expert
    return EXPERTS.get(expert, {}).get(task) if isinstance(expert, str) else None


def from_options(kind: Any, options: Mapping[str, Any]) -> Any:
    """Experts or gate with those of the options that the dataclass has as fields."""
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in options.items() if name in known})


def needs_all_rows(expert: Any, task: str) -> bool:
    """Whether the experts need all rows in memory."""
    return family_of(expert, task) is None


def is_family(expert: Any) -> bool:
    """Whether a value is a parametric family or the name of one."""
    return isinstance(expert, PARAMETRIC) or (isinstance(expert, str) and expert in EXPERTS)


def holds_out_rows(n_experts: Any) -> bool:
    """Whether the number of experts is selected by held-out rows: "auto", or candidates."""
    return selects_number(n_experts) and (not isinstance(n_experts, str) or n_experts == "auto")


def uses_groups(estimator: Any) -> bool:
    """Whether the fit uses `groups` (cross-fitted experts or a base model)."""
    return estimator.base is not None or not is_family(estimator.expert)


def _is_estimator_name(expert: Any) -> bool:
    return isinstance(expert, str) and expert in NAMED_ESTIMATORS


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
    return check_estimator(name, entry, task, sorted(NAMED_ESTIMATORS), weighted)


def check_estimator(
    name: str, estimator: Any, task: str, names: Sequence[str] = (), weighted: bool = True
) -> Any:
    """An estimator of the task that takes weights, if it must; or one of some names."""
    if _is_estimator_name(estimator) and names:
        return estimator
    check_instance(name, estimator)
    if not (hasattr(estimator, "fit") and _offers(estimator, "predict")):
        remedy = LOSSES.get(estimator, "") if isinstance(estimator, str) else ""
        rule = f"one of {sorted(names)}, a scikit-learn estimator or a list of these"
        rule = rule if names else "None or a scikit-learn estimator"
        raise ValueError(f"{name} must be {rule}; got {estimator!r}. {remedy}".rstrip())
    kind = is_regressor if task == "regressor" else is_classifier
    rule = "accept sample_weight in fit, which carries the responsibilities"
    if not kind(estimator):
        rule, remedy = f"be a {task}, as the mixture is", f"Use the {task} of the same kind."
    elif weighted and not takes_weights(estimator):
        remedy = "Choose an estimator that does."
    elif weighted and scores_without_weights(estimator):
        rule += "; the scores of a search do not use it"
        remedy = (
            'Search over the mixture instead, as in GridSearchCV(mixture, {"expert": [...]}), or '
            "give the estimator alone."
        )
    elif task == "classifier" and not _offers(estimator, "predict_proba"):
        rule = "have predict_proba"
        remedy = "Choose a classifier that has, or wrap it in CalibratedClassifierCV."
    else:
        return estimator
    raise ValueError(f"{name} must {rule}; got {estimator!r}. {remedy}")


def _offers(estimator: Any, method: str) -> bool:
    """Whether a fitted estimator, or the last one of pipelines and searches, has a method.

    A stack of scikit-learn has the methods of its final estimator, which is None for the default.
    """
    final = final_estimator(estimator)
    is_stack = getattr(final, "final_estimator", final) is None
    return hasattr(type(final) if is_stack else final, method)


def check_takes_offset(parameter: str, expert: Any, density: Experts | MeanFamily | None) -> None:
    """An offset needs experts with a log link, under which it is the log of an exposure."""
    if density is None or not density.takes_offset:
        link = "" if density is None else density.link
        has = f"the link {link!r}" if link else "no log link"
        check_conflicts({OFFSET: "offset", NO_LOG_LINK: f"{parameter}={expert!r}, which has {has}"})


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


def resolve_gate(gate: Any, penalty: Penalty, n_experts: int) -> Any:
    """The gate of a registered name or object; a single expert needs no other than constant.

    A number that is given replaces that of an object, from which a search starts otherwise.
    """
    if isinstance(gate, str) and gate in GATES:
        resolved = from_options(GATES[gate], {"alpha": penalty.value})
    elif isinstance(gate, Gate | SoftmaxGate | ConstantGate):
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
