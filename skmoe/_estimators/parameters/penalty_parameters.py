"""Validation of the penalties: given numbers, or found by the evidence."""

from __future__ import annotations

from typing import Any, NamedTuple

from skmoe._data.checks import check_real, shown
from skmoe._mixture.evidence import Penalty
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.gates._registry import GATES
from skmoe.gates._softmax import DEFAULT_GATE_ALPHA
from skmoe.protocols import Experts, SupportsDispersionEvidence, SupportsEvidence

# Kinds of search: for one number, and for one number for each feature.
SEARCHES = ("auto", "ard")

# Search of a penalty that is not given: "auto", or none if gate or experts have no need of it.
DEFAULT_SEARCH = "default"


class PenaltyParameter(NamedTuple):
    """A parameter of estimators that is a penalty."""

    part: str  # gate or experts
    fields: tuple[str, ...]  # of the part, that have the penalty
    default: float | None  # where a search starts, and near which it stays; None: the estimator's
    searches: tuple[str, ...]
    capability: type  # what a search needs


# In the order in which a fit stores the searches.
PENALTIES = {
    "gate_alpha": PenaltyParameter(
        "gate", ("alpha",), DEFAULT_GATE_ALPHA, SEARCHES, SupportsEvidence
    ),
    "alpha": PenaltyParameter(
        "experts", ("alpha", "predictor_squares"), None, SEARCHES, SupportsEvidence
    ),
    "dispersion_alpha": PenaltyParameter(
        "experts", ("dispersion_alpha",), 1.0, SEARCHES[:1], SupportsEvidence
    ),
    "dispersion_prior": PenaltyParameter(
        "experts",
        ("dispersion_prior", "noise_variance"),
        10.0,
        SEARCHES[:1],
        SupportsDispersionEvidence,
    ),
}


def check_penalties(estimator: Any, default_alphas: tuple[float, float]) -> dict[str, Penalty]:
    """Penalties by parameter: None for the default, the name of a search, or a number from zero.

    `default_alphas` are those of `alpha` without and with a base. Which penalties are found depends
    on gate and experts, by `decided_penalties`.
    """
    alpha = default_alphas[getattr(estimator, "base", None) is not None]
    penalties = {}
    for name, (part, fields, default, searches, _) in PENALTIES.items():
        value = getattr(estimator, name, 0.0)  # a classifier has no dispersions
        number = alpha if default is None else default
        search = DEFAULT_SEARCH if value is None else ""
        if isinstance(value, str):
            search = value
            if value not in searches:
                names = " or ".join(f'"{one}"' for one in searches)
                raise ValueError(
                    f"{name} must be {names}, or a number of at least 0; got {shown(value)}."
                )
        elif value is not None:
            number = check_real(name, value)
        penalties[name] = Penalty(part, fields, number, search)
    return penalties


def _has_penalty(part: Any, name: str, capability: type) -> bool:
    """Whether the penalty of experts or gate can be found by the evidence."""
    if not (hasattr(part, "experts_of") or hasattr(part, "gate_of")):
        return part is CrossFittedExperts  # with a family about their means
    if name == "dispersion_prior":  # counts have no scale that could have a prior
        return bool(part.has_scale)
    return hasattr(part, "alpha")


def decided_penalties(
    penalties: dict[str, Penalty], estimator: Any, n_experts: int, family: Experts | None
) -> tuple[Penalty, ...]:
    """The penalties with the searches that are made; ValueError if one is not possible.

    `family` are its parametric experts, and its gate is valid; a single expert has no gate. Experts
    that are objects have a penalty of their own, and so have gates with a number, unless the search
    is explicit. By default there is a search with parametric experts that have no base.
    """
    is_named = isinstance(estimator.gate, str)
    gate = GATES.get(estimator.gate) if is_named else estimator.gate
    is_open = is_named or estimator.gate.has_open_penalty
    parameter, expert = estimator._expert_parameter
    entries = expert if isinstance(expert, list | tuple) else [expert]
    experts = family if all(isinstance(entry, str) for entry in entries) else None
    without_base = experts is not None and estimator.base is None
    decided = []
    has_dispersion_slopes = getattr(estimator, "dispersion_features", None) is not None
    for name, penalty in penalties.items():
        if name == "dispersion_alpha" and not has_dispersion_slopes:
            continue
        search, is_gate = penalty.search, penalty.part == "gate"
        capability = PENALTIES[name].capability
        part: Any = gate if is_gate else experts
        if name == "dispersion_prior" and parameter == "expert" and family is None:
            part = CrossFittedExperts  # estimators, around whose means there is a family
        can_search = part is not None and _has_penalty(part, name, capability)
        if search == DEFAULT_SEARCH:
            search = "auto" if can_search and without_base and (is_open or not is_gate) else ""
        elif search and not can_search and name == "dispersion_prior" and parameter == "expert":
            search = ""  # experts of one's own have their own prior, if any
        elif search and not can_search:
            what, example = ("gate", "softmax") if is_gate else ("expert", "linear")
            given = f"gate={estimator.gate!r}" if is_gate else f"{parameter}={expert!r}"
            raise ValueError(
                f'{name}="{search}" needs {what}s with a penalty that can be found (see '
                f'skmoe.protocols.{capability.__name__}), such as {what}="{example}"; got '
                f"{given}. Leave {name} at its default."
            )
        decided.append(penalty._replace(search="" if is_gate and n_experts == 1 else search))
    return tuple(decided)
