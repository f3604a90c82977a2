"""Validation of the penalties: given numbers, or found by the evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from skmoe._data.checks import check_real, shown
from skmoe._mixture.evidence import EvidenceSearch, found_options
from skmoe._mixture.model import MixtureModel
from skmoe._numerics.evidence import PenaltySearch
from skmoe.gates._registry import GATES
from skmoe.gates._softmax import DEFAULT_GATE_ALPHA
from skmoe.protocols import Experts, SupportsDispersionEvidence, SupportsEvidence
from skmoe.protocols._capabilities import missing_methods

# Kinds of search for `alpha` and `gate_alpha`. For `dispersion_prior` there is "auto" only.
SEARCHES = ("auto", "ard")

# Where a search for the prior starts, and near which it stays on small data sets.
DEFAULT_DISPERSION_PRIOR = 10.0


class PenaltyOption(NamedTuple):
    """A penalty as a number, which is where a search starts, and the kind of search."""

    value: float
    search: str = ""
    is_default: bool = False  # there is a search only for parts that support it


def check_penalty_option(
    name: str, value: Any, default: float, searches: tuple[str, ...] = SEARCHES
) -> PenaltyOption:
    """Validate a penalty: None for the default, the name of a search, or a number from zero."""
    if value is None:
        return PenaltyOption(default, "auto", is_default=True)
    if isinstance(value, str):
        if value not in searches:
            names = " or ".join(f'"{search}"' for search in searches)
            raise ValueError(
                f"{name} must be {names}, or a number of at least 0; got {shown(value)}."
            )
        return PenaltyOption(default, value)
    return PenaltyOption(check_real(name, value))


class PenaltyOptions(NamedTuple):
    """The penalties of an estimator."""

    alpha: PenaltyOption
    gate_alpha: PenaltyOption
    dispersion_prior: PenaltyOption

    def initial_values(self) -> dict[str, float]:
        """Numbers for the options that can be found, by name: those from which a search starts."""
        options = self._asdict()
        return {name: option.value for name, option in options.items() if option.search}

    def search(self, estimator: Any, family: Experts | None) -> EvidenceSearch:
        """The searches for the parts of an estimator; ValueError if a part has no penalty.

        `family` are its parametric experts, and its gate is valid. Experts that are objects have a
        penalty of their own, and so have gates with a number, unless the search is explicit. By
        default there is a search with parametric experts that have no base.
        """
        is_named = isinstance(estimator.gate, str)
        gate = GATES.get(estimator.gate) if is_named else estimator.gate
        is_open = is_named or estimator.gate.has_open_penalty
        is_list = isinstance(estimator.expert, list | tuple)
        entries = estimator.expert if is_list else [estimator.expert]
        experts = family if all(isinstance(entry, str) for entry in entries) else None
        without_base = experts is not None and estimator.base is None
        kinds = {}
        for name, what, part, capability, by_default in (
            ("gate_alpha", "gate", gate, SupportsEvidence, without_base and is_open),
            ("alpha", "expert", experts, SupportsEvidence, without_base),
            ("dispersion_prior", "expert", experts, SupportsDispersionEvidence, without_base),
        ):
            _, kind, is_default = getattr(self, name)
            can_search = part is not None and not missing_methods(part, capability)
            if kind and not can_search and not is_default:
                example = {"gate": 'gate="softmax"', "expert": 'expert="linear"'}[what]
                raise ValueError(
                    f'{name}="{kind}" needs {what}s with a penalty that can be found (see '
                    f"skmoe.protocols.{capability.__name__}), such as {example}; got "
                    f"{what}={getattr(estimator, what)!r}. Leave {name} at its default."
                )
            kinds[name] = kind if can_search and (by_default or not is_default) else ""
        shared = getattr(estimator, "shared_features", None)
        if kinds["alpha"] == "ard" and shared is not None:
            raise ValueError(
                'alpha="ard" finds a penalty for each feature in each expert, and cannot be used '
                f'with shared_features={shared!r}. Use alpha="auto".'
            )
        of_experts = PenaltySearch(kinds["alpha"], bool(kinds["dispersion_prior"]))
        return EvidenceSearch(PenaltySearch(kinds["gate_alpha"]), of_experts)


def check_penalties(estimator: Any, default_alphas: tuple[float, float]) -> PenaltyOptions:
    """The penalties of an estimator, with the defaults of `alpha` without and with a base."""
    alpha = default_alphas[estimator.base is not None]
    prior = getattr(estimator, "dispersion_prior", 0.0)  # a classifier has none
    return PenaltyOptions(
        check_penalty_option("alpha", estimator.alpha, alpha),
        check_penalty_option("gate_alpha", estimator.gate_alpha, DEFAULT_GATE_ALPHA),
        check_penalty_option("dispersion_prior", prior, DEFAULT_DISPERSION_PRIOR, ("auto",)),
    )


def with_penalties_of(
    model: MixtureModel, previous: MixtureModel, search: EvidenceSearch
) -> MixtureModel:
    """The model with the penalties that a previous fit has found."""
    parts = {}
    for name in ("gate", "experts"):
        part, found = getattr(model, name), getattr(previous, name)
        options = found_options(getattr(search, name))
        known = {option: getattr(found, option) for option in options if hasattr(found, option)}
        parts[name] = replace(part, **known) if known else part
    return model._replace(**parts)
