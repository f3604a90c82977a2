"""The contracts of families of experts and of gates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from skmoe._numerics.typing import Array, Design
from skmoe.protocols._blocks import Block


class SupportsDistribution(Protocol):
    """Experts with a predictive distribution: `predict_dist`, intervals, quantiles, `sample`."""

    def components(self, params: Any, k: int, design: Design) -> Any:
        """The distribution of y under expert k, as components of `skmoe.distributions`."""


class SupportsInference(Protocol):
    """Experts with standard errors, which those of a user have by declaring `blocks`."""


class SupportsGateInference(Protocol):
    """Gates with standard errors: those of skmoe, as their logits are linear."""


def missing_methods(part: Any, capability: type) -> list[str]:
    """Names of the methods of a capability that a part does not have."""
    needed = [name for name in vars(capability) if not name.startswith("_")]
    return [name for name in needed if not callable(getattr(part, name, None))]


def has_capability(part: Any, capability: type) -> bool:
    """Whether a part has all methods of a capability, and no limitation."""
    return not missing_methods(part, capability) and not part.limitation(capability)


class Part(ABC):  # noqa: B024
    """What families and gates have in common."""

    def with_options(self, options: Mapping[str, Any]) -> Any:
        """The part with those of `options` that the dataclass has as fields."""
        names: set[str] = {field.name for field in fields(self)} if is_dataclass(self) else set()
        known = {name: value for name, value in options.items() if name in names}
        return replace(self, **known) if known else self  # type: ignore[type-var]

    def check_options(self) -> None:  # noqa: B027
        """Raise ValueError if a hyper-parameter is invalid. Default: all are valid.

        It is called for objects that are passed as `expert` or `gate`, before any work.
        """

    def limitation(self, capability: type) -> str:
        """The reason why this instance lacks a capability whose methods it has; "" if it has it."""
        return ""

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


class Experts(Part):
    """A family of experts: the conditional density of y given the features, for each expert.

    An object of a subclass is a value of the parameter `expert`. See "Write your own expert" in the
    documentation.

    Examples
    --------
    >>> from skmoe.protocols import Experts
    >>> sorted(Experts.__abstractmethods__)  # what a subclass must have
    ['init_params', 'log_prob', 'm_step', 'mean', 'n_parameters', 'statistics']
    """

    # Whether y holds class codes of shape (n,), so that the family serves the classifier.
    is_classifier: ClassVar[bool] = False
    # Whether an expert without rows has collapsed, and is re-initialised; False where the densities
    # are given, so that an expert that explains no row is one that is not needed.
    can_collapse: ClassVar[bool] = True
    # Fields of the parameters that no block describes.
    other_params: ClassVar[tuple[str, ...]] = ()

    # The blocks of coefficients: what texts and displays show, and inference estimates. Each field
    # of the parameters is that of a block, or one of `other_params`.
    blocks: tuple[Block, ...] = ()
    # Whether the design may have an offset, which is added to every linear predictor, under a log
    # link. A design with an offset has the attributes `matrix` and `offset`; others are arrays.
    takes_offset: bool = False
    # Whether y may be censored: structured arrays with the fields lower and upper.
    takes_bounds: bool = False
    # Link of the linear predictor: "identity", "log", "logit"; "" without, or if many.
    link: str = ""
    # Whether y is standardised to mean 0 and variance 1 before the fit (regression only).
    standardizes_target: bool = True
    # Values of y that have positive density, in words; `in_support` decides.
    support: str = "finite numbers"
    # Options that are estimated from the data before the fit, among "noise_variance" and
    # "variance_floor" (for each standardised output), "target_mean" (for each output, in the units
    # of y as the family sees it) and "n_classes".
    estimated_options: tuple[str, ...] = ()
    # An example with what must be given if not all rows are in memory; "" for nothing.
    option_for_parts: str = ""

    # --- required ---

    @abstractmethod
    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Initial parameters for a design matrix of `n_columns` columns."""

    @abstractmethod
    def log_prob(self, params: Any, design: Design, y: Array) -> Array:
        """Log density or log probability of y under each expert, of shape (K, n)."""

    @abstractmethod
    def mean(self, params: Any, design: Design) -> Array:
        """Mean of y under each expert, (K, m, n); for classes the probabilities, (K, C, n)."""

    @abstractmethod
    def statistics(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Sums over the rows that `m_step` needs: a named tuple of arrays."""

    @abstractmethod
    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters, towards which the expected log-likelihood must not decrease.

        `step` is one. EM goes a part of the way where all of it would lower the lower bound.
        """

    @abstractmethod
    def n_parameters(self, params: Any) -> float:
        """Number of free parameters, for information criteria; NaN if it cannot be counted.

        Slopes that are zero for all experts, as those of constant columns, are none.
        """

    # --- defaults ---

    def limitation(self, capability: type) -> str:
        """Why there are no standard errors: the experts have no blocks; "" if there are."""
        is_limited = capability is SupportsInference and not self.blocks
        return "it declares no `blocks` of coefficients" if is_limited else ""

    def hessian(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        It may be used for several steps. Default: None, for an M-step in closed form.
        """
        return None

    def obstacle(self, y: Array) -> str:
        """What the family needs and outputs (m, n) in its support do not have; "" for nothing."""
        return ""

    def in_support(self, y: Array) -> Array:
        """Whether each row of y, of shape (m, n), has positive density; boolean of shape (n,)."""
        return np.ones(y.shape[-1], dtype=bool)

    def attributes(self, params: Any, units: Any) -> dict[str, Any]:
        """Fitted attributes in the units of the data.

        `units` is the preprocessor of the fit: `units.expert_coefficients(coef)` returns slopes and
        intercepts of raw features, and `units.target_scaling` has `center` and `scale` of y. The
        blocks name the attributes of the coefficients, such as `expert_coef_`.
        """
        return {}

    def mean_derivative(self, params: Any, design: Design) -> Array | None:
        """Derivative of the mean of each expert by its linear predictor, (K, m, n).

        None stands for one, the derivative of the identity link.
        """
        return None

    def working_target(self, y: Array) -> Array:
        """Outputs (m, n) on a scale on which they are about linear in the features.

        It serves the initialisation and the estimate of the noise. Default: the outputs.
        """
        return y


class Gate(Part):
    """A gate that can be fitted: a model whose target is the index of the expert.

    An object of a subclass is a value of the parameter `gate`. See "Write your own expert" in the
    documentation.

    Examples
    --------
    >>> from skmoe.protocols import Gate
    >>> sorted(Gate.__abstractmethods__)  # what a subclass must have
    ['init_params', 'log_prob', 'm_step', 'n_parameters', 'statistics']
    """

    # Fitted transformer of the columns that the gate sees, if it has one.
    transformer: Any = None
    # Largest number of experts of a row, and strength of load balancing: see `SoftmaxGate`.
    top_k: int | None = None
    balance: float = 0.0
    # Whether the default of `gate_alpha` decides on the penalty, and not the gate.
    has_open_penalty: bool = False
    # Whether the probabilities differ between rows.
    depends_on_features: bool = True
    persists: ClassVar[bool] = False  # whether rows follow one another in time

    @abstractmethod
    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Parameters that give every expert the same probability."""

    @abstractmethod
    def log_prob(self, params: Any, design: Design) -> Array:
        """Log probability of each expert, of shape (K, n)."""

    @abstractmethod
    def n_parameters(self, params: Any) -> float:
        """Number of free parameters; slopes that are zero for all experts are none."""

    @abstractmethod
    def statistics(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Sums over the rows that `m_step` needs; `log_prob` (K, n) is the gate's own."""

    @abstractmethod
    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters, towards which the expected log-likelihood must not decrease."""

    def limitation(self, capability: type) -> str:
        """Gates of users have no standard errors."""
        return "it is a gate of your own" if capability is SupportsGateInference else ""

    def coefficients(self, params: Any, n_columns: int) -> Array | None:
        """Coefficients of the logits, (K, d), the intercept last; None if they are not linear.

        They serve `gate_coef_`, `explain` and ONNX. For probabilities that
        do not depend on the features the slopes are zero.
        """
        return None

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        Default: None, for an M-step in closed form.
        """
        return None
