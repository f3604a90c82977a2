"""What families and gates have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any


class Part(ABC):  # noqa: B024
    """What families and gates have in common."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Any:
        """An instance with those of the estimator's `options` that the dataclass has as fields."""
        return cls(**cls._known(options))

    def with_options(self, options: Mapping[str, Any]) -> Any:
        """The part with those of `options` that the dataclass has as fields."""
        known = self._known(options)
        return replace(self, **known) if known else self  # type: ignore[type-var]

    @classmethod
    def _known(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        known: set[str] = {field.name for field in fields(cls)} if is_dataclass(cls) else set()
        return {name: value for name, value in options.items() if name in known}

    def check_options(self) -> None:  # noqa: B027
        """Raise ValueError if a hyper-parameter is invalid. Default: all are valid.

        It is called for objects that are passed as `expert` or `gate`, before any work.
        """

    def limitation(self, capability: type) -> str:
        """The reason why this instance lacks a capability whose methods it has; "" if it has it."""
        return ""

    @property
    def params_types(self) -> tuple[type, ...]:
        """Named tuples of the parameters, which `to_dict` may write; none: it refuses the part."""
        return ()

    def project(self, params: Any) -> Any:
        """The nearest valid parameters, after an extrapolation. Default: all are valid."""
        return params

    def factorize(self, hessian: Any) -> Any:
        """Factorization of the summed Hessian, as `m_step` uses it. Default: None."""
        return None

    @property
    def penalties(self) -> Mapping[str, Any]:
        """Penalties in use by name: "alpha" of slopes, "dispersion_prior". Default: none."""
        return {}

    def penalty(self, params: Any) -> float:
        """Negative log prior up to a constant, subtracted from the log-likelihood. Default: 0."""
        return 0.0
