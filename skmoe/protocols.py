"""The contract of expert families and gates: base classes, and the capabilities that are optional.

Families and gates are stateless objects that hold hyper-parameters only; frozen dataclasses are the
natural form. Parameters are values: named tuples of arrays whose first axis counts the experts. The
responsibilities `resp` of shape (K, n) that a method receives are already multiplied by the sample
weights. Whatever a method computes from the data is a sum over rows, so that results of row blocks
can be added, wherever the blocks are stored.

Shapes: n rows, K experts, d columns of a design matrix (standardised features, and a last column of
ones), m outputs or C classes.

A family derives from `Experts`, a gate from `Gate`. The abstract methods are required. Everything
else has a default, or belongs to one of the capabilities `SupportsDistribution`,
`SupportsInference`, `SupportsStreaming` and `SupportsONNX`: a part has a capability if it has all
methods of that protocol, and methods of the estimators that need it name what is missing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from skmoe._numerics.offset_design import split_offset as split_offset
from skmoe._numerics.typing import Array, Design


class Dispersion(NamedTuple):
    """The dispersion parameters of a family: one for each expert and output, reported as logs."""

    term: str  # name in tables of coefficients, such as "log(noise variance)"
    attribute: str  # fitted attribute of shape (K,) or (K, m), such as "noise_variance_"


class Part(ABC):  # noqa: B024
    """What families and gates have in common."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Any:
        """An instance with those of the estimator's `options` that the dataclass has as fields."""
        known: set[str] = {field.name for field in fields(cls)} if is_dataclass(cls) else set()
        return cls(**{name: value for name, value in options.items() if name in known})

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

    def penalty(self, params: Any) -> float:
        """Negative log prior up to a constant, subtracted from the log-likelihood. Default: 0."""
        return 0.0


class Experts(Part):
    """A family of experts: the conditional density of y given the features, for each expert."""

    # Link of the linear predictor: "identity", "log" or "logit"; "" without linear predictor.
    link: ClassVar[str] = ""
    # Whether y holds class codes of shape (n,), so that the family serves the classifier.
    is_classifier: ClassVar[bool] = False
    # Whether the design may have an offset, which is added to every linear predictor, and which
    # `split_offset` parts from the design matrix. Only for a log link.
    takes_offset: ClassVar[bool] = False
    # Whether y is standardised to mean 0 and variance 1 before the fit (regression only).
    standardizes_target: ClassVar[bool] = True
    # Values of y that have positive density, in words; `in_support` decides.
    support: ClassVar[str] = "finite numbers"
    # Options that are estimated from the data before the fit, among "noise_variance",
    # "variance_floor", "target_mean" (for each output, in the units of y as the family sees it)
    # and "n_classes".
    estimated_options: ClassVar[tuple[str, ...]] = ()
    # Whether the family needs all rows at once: its design is a `RawFeatures`, its statistics are
    # the rows themselves, `m_step` is called once for given responsibilities, and its parameters
    # are not extrapolated.
    needs_all_rows: ClassVar[bool] = False
    # Whether coefficients can be infinite for finite data, as in a logistic regression of separated
    # classes: coefficients with fewer informative rows than coefficients are then flagged.
    can_separate: ClassVar[bool] = False
    # Whether `coef_` describes the mean of y, so that `explain` reports the slopes of the mean;
    # False for classes, whose coefficients are those of log odds.
    explains_mean: ClassVar[bool] = True
    dispersion: ClassVar[Dispersion | None] = None

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
        """New parameters. A small `step` must not decrease the expected log-likelihood.

        `step` in [0, 1] scales iterative steps; closed-form solutions may ignore it.
        """

    @abstractmethod
    def n_parameters(self, params: Any) -> float:
        """Number of free parameters, for information criteria; NaN if it cannot be counted."""

    # --- defaults ---

    def mean_of(self, params: Any, k: int, design: Design) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n)."""
        return self.mean(params, design)[k]

    def hessian(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        It may be used for several steps. Default: None, for an M-step in closed form.
        """
        return None

    def factorize(self, hessian: Any) -> Any:
        """Factorization of the summed Hessian, as `m_step` uses it. Default: None."""
        return None

    def with_estimates(self, options: Mapping[str, Any]) -> Any:
        """The family with its `estimated_options` replaced by the estimates for a data set."""
        chosen = {name: options[name] for name in self.estimated_options}
        return replace(self, **chosen) if chosen else self  # type: ignore[type-var]

    @property
    def estimates(self) -> dict[str, Any]:
        """The current values of the `estimated_options`."""
        return {name: getattr(self, name) for name in self.estimated_options}

    def in_support(self, y: Array) -> Array:
        """Whether each row of y, of shape (m, n), has positive density; boolean of shape (n,)."""
        return np.ones(y.shape[-1], dtype=bool)

    def attributes(self, params: Any, units: Any) -> dict[str, Any]:
        """Fitted attributes in the units of the data.

        `units` is the preprocessor of the fit: `units.expert_coefficients(coef)` returns slopes and
        intercepts of raw features, and `units.target_scaling` has `center` and `scale` of y.
        """
        return {}

    def mean_derivative(self, mean: Array) -> Array | None:
        """Derivative of the mean by the linear predictor, of the shape of `mean`.

        None stands for one, the derivative of the identity link.
        """
        return None

    def dispersion_at_bound(self, params: Any) -> Array:
        """Experts whose dispersion is at its bound, boolean of shape (K,)."""
        return np.zeros(len(params[0]), dtype=bool)

    def n_shared_params(self) -> int:
        """Number of the last coordinates that all experts share, for inference."""
        return 0

    def at_bound(self, params: Any) -> Array:
        """Coordinates at a bound, which inference takes as known, (K, P). Default: none."""
        return np.zeros([len(rows) for rows in self._penalty_shape(params)], dtype=bool)

    def _penalty_shape(self, params: Any) -> tuple[range, range]:
        hessians = self.penalty_hessian(params)  # type: ignore[attr-defined]
        return range(len(hessians)), range(len(hessians[0]))

    def drop_training_state(self, params: Any) -> Any:
        """Parameters without what belongs to the rows of the fit. Default: nothing does."""
        return params

    def concatenate(self, params: Sequence[Any]) -> tuple[Any, Any]:
        """Family and parameters of the experts of several fits side by side."""
        columns = zip(*params, strict=True)
        return self, type(params[0])(*(np.concatenate(values) for values in columns))

    @classmethod
    def example_target(cls, rng: np.random.Generator, n_rows: int) -> Array:
        """A target as the family sees it, for the tests that all registered families must pass."""
        return rng.normal(size=(1, n_rows))


class ChoiceModel(Part):
    """The probability of each expert given the features: what a fitted mixture needs of a gate."""

    # Fitted transformer of the columns that the gate sees, if it has one.
    transformer: Any = None

    @abstractmethod
    def log_prob(self, params: Any, design: Design) -> Array:
        """Log probability of each expert, of shape (K, n)."""

    @abstractmethod
    def n_parameters(self, params: Any) -> int:
        """Number of free parameters."""

    def coefficients(self, params: Any, n_columns: int) -> Array | None:
        """Coefficients of the logits, (K, d), the intercept last; None if they are not linear.

        They serve `gate_coef_`, `explain`, `summary`, `inference` and ONNX. For probabilities that
        do not depend on the features the slopes are zero.
        """
        return None

    def n_starts(self, params: Any) -> int:
        """Number of fits that the gate averages. Default: 1."""
        return 1

    def single_gates(self, params: Any) -> list[tuple[Any, Any]]:
        """The gate of each fit that the gate averages, and its parameters. Default: its own."""
        return [(self, params)]

    @property
    def depends_on_features(self) -> bool:
        """Whether the probabilities differ between rows."""
        return True


class Gate(ChoiceModel):
    """A gate that can be fitted: a model whose target is the index of the expert."""

    @abstractmethod
    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Parameters that give every expert the same probability."""

    @abstractmethod
    def statistics(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Sums over the rows that `m_step` needs; `log_prob` (K, n) is the gate's own."""

    @abstractmethod
    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters. A small `step` must not decrease the expected log-likelihood."""

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        Default: None, for an M-step in closed form.
        """
        return None

    def factorize(self, hessian: Any) -> Any:
        """Factorization of the summed Hessian, as `m_step` uses it. Default: None."""
        return None


# --- capabilities -----------------------------------------------------------------------------


class SupportsDistribution(Protocol):
    """Experts with a predictive distribution: `predict_dist`, intervals, quantiles, `sample`."""

    def components(self, params: Any, k: int, design: Design) -> Any:
        """The distribution of y under expert k, as components of `skmoe.distributions`."""


class SupportsInference(Protocol):
    """Experts with a twice differentiable log density: `inference` and standard errors.

    The P coordinates of an expert are its coefficient vectors, one after the other, and then other
    parameters. Design matrices are dense here.
    """

    def score_rows(self, params: Any, k: int, design: Array, y: Array) -> Array:
        """Gradient of the log density in the coordinates of expert k for each row, (P, n)."""

    def information(self, params: Any, k: int, design: Array, y: Array, weight: Array) -> Array:
        """Negative Hessian of the weighted log density of expert k, (P, P)."""

    def penalty_hessian(self, params: Any) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""

    def contrast_matrix(self) -> Array:
        """Matrix (V, Q) from the Q coefficient vectors of the coordinates to the V of `coef_`."""


class SupportsGateInference(Protocol):
    """Gates with twice differentiable log probabilities. Their coordinates are coefficients."""

    def score_rows(self, params: Any, k: int, design: Array, log_prob: Array) -> Array:
        """Gradient of the log probability of expert k for each row, (P, n)."""

    def information(self, params: Any, design: Array, weight: Array, log_prob: Array) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (P, P)."""

    def penalty_hessian(self, params: Any, n_columns: int) -> Array:
        """Hessian of the penalty, (P, P)."""

    def contrast_matrix(self, params: Any) -> Array:
        """Matrix (K, Q) from the Q coefficient vectors of the coordinates to those of experts."""


class SupportsStreaming(Protocol):
    """Families and gates that `partial_fit` can train, by a quadratic surrogate that adds up.

    `x_map` (d, d) maps the old standardised design rows to the new ones, and `y_map` (with `slope`
    and `shift` for each output; None where y is not standardised) the old target to the new one.
    """

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the matrices that the surrogate keeps, and the most that are allowed."""

    def surrogate(
        self, statistics: Any, hessian: Any, params: Any, design: Design, weight: Array
    ) -> tuple[Any, Any]:
        """Statistics at coefficients of zero, and the Hessian, of a quadratic surrogate."""

    def surrogate_statistics(self, statistics: Any, hessian: Any, params: Any) -> Any:
        """Statistics of the surrogate at given parameters."""

    def rescale(self, y_map: Any) -> Any:
        """The part for a rescaled target."""

    def rescale_params(self, params: Any, x_map: Array, y_map: Any) -> Any:
        """Parameters that make the same predictions for rescaled rows."""

    def rescale_surrogate(
        self, statistics: Any, hessian: Any, x_map: Array, y_map: Any
    ) -> tuple[Any, Any]:
        """Statistics and Hessian of rescaled rows."""


class SupportsONNX(Protocol):
    """Families that can be converted to ONNX."""

    def to_onnx(self, graph: Any, params: Any, linear_predictor: Any) -> Any:
        """Node of shape (n, K, m) with the means, or (n, K, C) with the class probabilities.

        `graph(operator, *inputs, **attributes)` makes a node; `linear_predictor(coef)` makes that
        of coefficients (K, m, d), of shape (n, K, m).
        """


def missing_methods(part: Any, capability: type) -> list[str]:
    """Names of the methods of a capability that a part does not have."""
    needed = [name for name in vars(capability) if not name.startswith("_")]
    return [name for name in needed if not callable(getattr(part, name, None))]


def has_capability(part: Any, capability: type) -> bool:
    """Whether a part has all methods of a capability, and no limitation."""
    return not missing_methods(part, capability) and not part.limitation(capability)
