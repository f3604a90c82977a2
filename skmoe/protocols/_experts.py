"""The contracts of families of experts and of gates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import Array, Design
from skmoe.protocols._blocks import Block, LinearPredictor


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
    # Whether `coef_` describes the mean of y, so that `explain` reports the slopes of the mean;
    # False for classes, whose coefficients are those of log odds.
    explains_mean: ClassVar[bool] = True
    # Fields of the parameters that no block describes.
    other_params: ClassVar[tuple[str, ...]] = ()

    # --- facts, which a class may give as class variables ---

    @property
    def takes_offset(self) -> bool:
        """Whether the design may have an offset, which is added to every linear predictor.

        Only for a log link. A design with an offset has the attributes `matrix` and `offset`, and
        one without is an array.
        """
        return False

    @property
    def takes_bounds(self) -> bool:
        """Whether y may be censored: structured arrays with the fields lower and upper."""
        return False

    @property
    def link(self) -> str:
        """Link of the linear predictor: "identity", "log", "logit"; "" without, or if many."""
        return ""

    @property
    def standardizes_target(self) -> bool:
        """Whether y is standardised to mean 0 and variance 1 before the fit (regression only)."""
        return True

    @property
    def support(self) -> str:
        """Values of y that have positive density, in words; `in_support` decides."""
        return "finite numbers"

    @property
    def estimated_options(self) -> tuple[str, ...]:
        """Options that are estimated from the data before the fit.

        They are among "noise_variance" and "variance_floor" (for each standardised output),
        "target_mean" (for each output, in the units of y as the family sees it) and "n_classes".
        """
        return ()

    @property
    def can_separate(self) -> bool:
        """Whether coefficients can be infinite for finite data.

        Coefficients with fewer informative rows than coefficients are then flagged, as in a
        logistic regression of separated classes.
        """
        return False

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of coefficients, in the order of the coordinates of inference.

        Each field of the parameters is that of a block, or one of `other_params`. Summary,
        inference, texts, documents and displays show what the blocks declare.
        """
        return ()

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

    def at(self, params: Any, design: Design, y: Array) -> Any:
        """The family for one E-step at these rows and parameters; it may keep what it has computed.

        Its `log_prob`, `mean`, `statistics` and `hessian` are called with the same arguments.
        Default: the family itself, which keeps nothing.
        """
        return self

    def mean_of(self, params: Any, k: int, design: Design) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n)."""
        return self.mean(params, design)[k]

    def hessian(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        It may be used for several steps. Default: None, for an M-step in closed form.
        """
        return None

    def with_estimates(self, options: Mapping[str, Any]) -> Any:
        """The family with its `estimated_options` replaced by the estimates for a data set."""
        return self.with_options({name: options[name] for name in self.estimated_options})

    @property
    def option_for_parts(self) -> str:
        """An example with what must be given if not all rows are in memory; "" for nothing."""
        return ""

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

    def dispersion_at_bound(self, params: Any) -> Array:
        """Experts whose dispersion is at its bound, boolean of shape (K,)."""
        return np.zeros(len(params[0]), dtype=bool)

    def log_scales(self, params: Any, design: Design) -> Array | None:
        """Logs of the dispersions at which densities are unbounded as they go to zero.

        An array that can be broadcast to (K, m, n), NaN for experts without one. Default: None, for
        families whose densities are bounded.
        """
        return None

    def working_target(self, y: Array) -> Array:
        """Outputs (m, n) on a scale on which they are about linear in the features.

        It serves the initialisation and the estimate of the noise. Default: the outputs.
        """
        return y

    def fitted_to(self, design: Design, y: Array, weight: Array, scaling: Any) -> Any:
        """The family with what depends on the rows of the fit. Default: nothing does."""
        return self

    def moved(self, params: Any, change: Array) -> Any:
        """The parameters after a change (K, P) of the coordinates of inference, which is linear.

        Default: the coordinates of a block are those of its field of the parameters.
        """
        fields = {name: values.copy() for name, values in params._asdict().items()}
        end, n_numbers = 0, dict.fromkeys(fields, 0)
        for block in self.blocks:
            values = fields[block.params]
            if isinstance(block, LinearPredictor):
                n_vectors, n_columns = values.shape[1:]
                contrasts = np.eye(n_vectors) if block.contrasts is None else block.contrasts
                start, end = end, end + contrasts.shape[1] * n_columns
                vectors = change[:, start:end].reshape(len(values), -1, n_columns)
                values += contrasts @ vectors
            else:
                numbers = values if values.ndim == 2 else values[..., n_numbers[block.params]]
                start, end = end, end + numbers.shape[1]
                numbers += change[:, start:end]
                n_numbers[block.params] += 1
        return params._replace(**fields)

    def at_bound(self, params: Any) -> Array:
        """Coordinates at a bound, which inference takes as known, (K, P). Default: none."""
        return np.zeros((1, 1), dtype=bool)


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

    @property
    def has_open_penalty(self) -> bool:
        """Whether the default of `gate_alpha` decides on the penalty. Default: the gate's own."""
        return False

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

    def coefficients(self, params: Any, n_columns: int) -> Array | None:
        """Coefficients of the logits, (K, d), the intercept last; None if they are not linear.

        They serve `gate_coef_`, `explain`, `summary`, `inference` and ONNX. For probabilities that
        do not depend on the features the slopes are zero.
        """
        return None

    @property
    def depends_on_features(self) -> bool:
        """Whether the probabilities differ between rows."""
        return True

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        Default: None, for an M-step in closed form.
        """
        return None

    def moved(self, params: Any, change: Array) -> Any:
        """The parameters after a change (P,) of the coordinates of inference, which is linear.

        Default: None, for a gate without them, so that EM ends the fit.
        """
        return None
