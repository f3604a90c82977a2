"""The contract of expert families and gates: base classes, and the capabilities that are optional.

Families and gates are stateless objects that hold hyper-parameters only; frozen dataclasses are the
natural form. Parameters are values: named tuples of arrays whose first axis counts the experts. The
responsibilities `resp` of shape (K, n) that a method receives are already multiplied by the sample
weights. Whatever a method computes from the data is a sum over rows, so that results of row blocks
can be added, wherever the blocks are stored.

Shapes: n rows, K experts, d columns of a design matrix (standardised features, and a last column of
ones), m outputs or C classes.

A family derives from `Experts`, a gate from `Gate`. The abstract methods are required. Everything
else has a default, but for two methods. With `reorder(params, order)` all experts are treated
alike, and can be numbered in any order. With `components(params, k, design)`, the distribution of y
under expert k as components of `skmoe.distributions`, there is a predictive distribution. Methods
of the estimators that need what is missing name it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import combinations
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._numerics.covariances import covariance_coordinates
from skmoe._numerics.typing import Array, Design

# What else is here is for the package.
__all__ = ["Dispersion", "Experts", "Gate", "LinearPredictor", "Measure"]


class Measure(NamedTuple):
    """What the exponential of a multiple of a coefficient is, such as a rate ratio.

    Parameters
    ----------
    name : str
        Its name, and that of its columns in tables.
    of : str, default=""
        What one unit more of a feature multiplies by it, in words; "" for no ratio.
    factor : float, default=1.0
        The coefficient is multiplied by it.
    by : str, default=""
        Term of a dispersion parameter of the expert, such as "log(dispersion)", to a power of which
        the coefficient is proportional as well; "" for none.
    power : float, default=0.0
        That power.

    See Also
    --------
    LinearPredictor : A block of coefficients, whose slopes may have such measures.

    Examples
    --------
    >>> from skmoe.families import Weibull
    >>> [measure.name for measure in Weibull().measures]
    ['time ratio', 'hazard ratio']
    """

    name: str
    of: str = ""
    factor: float = 1.0
    by: str = ""
    power: float = 0.0


ODDS_RATIO = Measure("odds ratio", "the odds")

# Link of several logits, of which differences are log odds.
MULTINOMIAL = "softmax"

# What the exponential of a slope is, by the link of the linear predictor of a mean.
RATIOS = {
    "log": Measure("ratio of means", "the mean"),
    "logit": ODDS_RATIO,
    MULTINOMIAL: ODDS_RATIO,
}


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """A block of coefficients: an intercept and slopes, for each output or class of an expert.

    Parameters
    ----------
    parameter : str, default=""
        What it predicts, such as "noise variance"; "" for the mean of y, or what the expert has in
        its place. Its name precedes those of the features in tables.
    params : str, default="coef"
        Field of the parameters that holds the coefficients, of shape (K, m, d).
    link : str, default="identity"
        Link from the parameter to the predictor: "identity" for a parameter in the units of y, or
        the name of another. Slopes under "log", "logit" and "softmax" are logs of ratios.
    coef, intercept : str
        Names of the fitted attributes of slopes, (K, p) or (K, m, p), and intercepts. By default
        `expert_coef_` and `expert_intercept_`.
    penalty : str, default="alpha"
        Name of the penalty of the slopes in `penalties`; "" for none.
    contrasts : ndarray of shape (V, Q) or None
        Matrix from the Q coefficient vectors of the coordinates to the V of `coef`; None for the
        identity.
    columns : tuple of int or None
        Columns of the experts' design matrix that have a slope; None for all.
    ratios : tuple of Measure, default=()
        What exponentials of slopes are; () for what they usually are under the link.
    output : int or None
        The only output that it is of; None for all.

    See Also
    --------
    Dispersion : A block of a number for each expert and output.

    Examples
    --------
    >>> from skmoe.protocols import LinearPredictor
    >>> LinearPredictor("noise variance", params="log_variance", link="log").label
    'log(noise variance)'
    """

    is_dispersion: ClassVar[bool] = False
    is_in_heading: ClassVar[bool] = False
    # Whether zero is a hypothesis about the coefficients, of a dispersion about its slopes.
    is_tested: ClassVar[bool] = True

    parameter: str = ""
    params: str = "coef"
    link: str = "identity"
    coef: str = "expert_coef_"
    intercept: str = "expert_intercept_"
    penalty: str = "alpha"
    contrasts: Any = None
    columns: tuple[int, ...] | None = None
    ratios: tuple[Measure, ...] = ()
    output: int | None = None

    def responses(self, outputs: Sequence[str]) -> Sequence[str]:
        """What has coefficients: each output or class."""
        return outputs if self.output is None else [outputs[self.output]]

    @property
    def is_main(self) -> bool:
        """Whether it predicts the mean of y, or what stands in its place."""
        return not self.parameter

    @property
    def label(self) -> str:
        """The predictor in tables: the parameter, under its link; "" for the mean."""
        has_name = self.parameter and self.link in RATIOS
        return f"{self.link}({self.parameter})" if has_name else self.parameter

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What exponentials of the slopes are."""
        if self.ratios or self.link not in RATIOS:
            return self.ratios
        named = Measure(f"{self.parameter} ratio", f"the {self.parameter}")
        return (named if self.parameter else RATIOS[self.link],)

    def terms(self, names: Sequence[str]) -> list[str]:
        """Names of the coefficients, given those of the intercept and the features."""
        return [f"{self.label}: {name}" for name in names] if self.parameter else list(names)

    def values(self, attributes: Mapping[str, Any], n_parts: int, columns: Array) -> Array:
        """Intercepts and slopes of some columns from the fitted attributes, (K, V, 1 + p)."""
        intercepts = attributes[self.intercept].reshape(n_parts, -1, 1)
        slopes = attributes[self.coef].reshape(*intercepts.shape[:2], -1)[..., columns]
        values = np.concatenate([intercepts, slopes], axis=2)
        return values if self.output is None else values[:, [self.output]]


@dataclass(frozen=True)
class Dispersion:
    """A block of one positive number for each expert and output, reported as its log.

    Parameters
    ----------
    term : str
        Name in tables of coefficients, such as "log(noise variance)".
    attribute : str
        Fitted attribute of shape (K,) or (K, m), such as `noise_variance_`.
    position : int, default=None
        Position on the last axis of an attribute that holds several.
    name : str, default="dispersion"
        Name in texts.
    params : str, default="log_dispersion"
        Field of the parameters that holds it.
    measures : tuple of Measure, default=()
        What exponentials of the log are, as far as tables show them, such as a shape.
    output : int or None
        The only output that it is of; None for all.

    See Also
    --------
    LinearPredictor : A block of coefficients.

    Examples
    --------
    >>> from skmoe.families import StudentT
    >>> [dispersion.attribute for dispersion in StudentT().dispersions]
    ['dispersion_', 'df_']
    """

    # It has no slopes. Whether it is named before the tables of an expert.
    is_dispersion: ClassVar[bool] = True
    is_in_heading: ClassVar[bool] = True
    is_main: ClassVar[bool] = False
    penalty: ClassVar[str] = ""
    contrasts: ClassVar[None] = None
    is_tested: ClassVar[bool] = False

    term: str
    attribute: str
    position: int | None = None
    name: str = "dispersion"
    params: str = "log_dispersion"
    # Families that share a parameter may differ in what they show of it.
    measures: tuple[Measure, ...] = field(default=(), compare=False)
    output: int | None = None

    def responses(self, outputs: Sequence[str]) -> Sequence[str]:
        """What has a number: each output."""
        return outputs if self.output is None else [outputs[self.output]]

    def numbers(self, attributes: Mapping[str, Any], n_parts: int) -> Array:
        """The numbers from the fitted attributes, (K, V)."""
        return np.asarray(np.exp(self.values(attributes, n_parts, np.empty(0))[..., 0]))

    def terms(self, names: Sequence[str]) -> list[str]:
        """The name."""
        return [self.term]

    def values(self, attributes: Mapping[str, Any], n_parts: int, columns: Array) -> Array:
        """Logs from the fitted attributes, (K, V, 1)."""
        values = np.asarray(attributes[self.attribute])
        values = values if self.position is None else values[..., self.position]
        values = np.log(values.reshape(n_parts, -1, 1))
        return values if self.output is None else values[:, [self.output]]


@dataclass(frozen=True)
class Correlation(Dispersion):
    """A block of the correlations of each pair of outputs, reported as Fisher's z.

    Standard errors and confidence intervals of z, the inverse hyperbolic tangent of a correlation,
    are more exact than those of the correlation itself. A correlation of zero has z = 0.

    See Also
    --------
    Dispersion : A block of a number for each expert and output.

    Examples
    --------
    >>> from skmoe.protocols import Correlation
    >>> Correlation().responses(["y0", "y1", "y2"])
    ['y0, y1', 'y0, y2', 'y1, y2']
    """

    is_tested: ClassVar[bool] = True
    is_in_heading: ClassVar[bool] = False

    term: str = "atanh(correlation)"
    attribute: str = "expert_covariance_"
    name: str = "correlation"
    params: str = "fisher_z"

    def responses(self, outputs: Sequence[str]) -> list[str]:
        """Each pair of outputs."""
        return [", ".join(pair) for pair in combinations(outputs, 2)]

    def numbers(self, attributes: Mapping[str, Any], n_parts: int) -> Array:
        """Correlations from the fitted covariances, (K, P)."""
        return np.asarray(np.tanh(self.values(attributes, n_parts, np.empty(0))[..., 0]))

    def values(self, attributes: Mapping[str, Any], n_parts: int, columns: Array) -> Array:
        """Fisher's z from the fitted attributes, (K, P, 1)."""
        return covariance_coordinates(np.asarray(attributes[self.attribute]))[1][..., None]


@dataclass(frozen=True)
class EffectCovariance(Dispersion):
    """A block of the covariances of random effects, in the units of X and y.

    The coordinates are the lower triangles of matrices L; the covariances are those of L L'.

    See Also
    --------
    Dispersion : A block of a number for each expert and output.

    Examples
    --------
    >>> from skmoe.protocols import EffectCovariance
    >>> EffectCovariance(columns=(-1, 0)).terms(["(Intercept)", "time"])
    ['var(intercept)', 'cov(intercept, time)', 'var(time)']
    """

    is_in_heading: ClassVar[bool] = False

    term: str = "random effects"
    attribute: str = "random_covariance_"
    name: str = "sd of random effects"
    params: str = "factor"
    columns: tuple[int, ...] = (-1,)  # of the design, the last for the intercept
    is_shared: bool = False  # by all experts

    @property
    def lower(self) -> Any:
        """Rows and columns of the entries that are listed."""
        return np.tril_indices(len(self.columns))

    @property
    def is_variance(self) -> Array:
        """Which entries are variances, (t,)."""
        return np.equal(*self.lower)

    def terms(self, names: Sequence[str]) -> list[str]:
        """Variances and covariances."""
        own = ["intercept", *(names[column + 1] for column in self.columns[1:])]
        pairs = zip(*self.lower, strict=True)
        return [f"var({own[i]})" if i == j else f"cov({own[j]}, {own[i]})" for i, j in pairs]

    def numbers(self, attributes: Mapping[str, Any], n_parts: int) -> Array:
        """Standard deviations of the effects, (K, V q)."""
        matrices = np.asarray(attributes[self.attribute])
        return np.sqrt(np.diagonal(matrices, axis1=-2, axis2=-1)).reshape(n_parts, -1)

    def values(self, attributes: Mapping[str, Any], n_parts: int, columns: Array) -> Array:
        """Variances and covariances from the fitted attributes, (K, V, t)."""
        matrices = np.asarray(attributes[self.attribute])[..., *self.lower]
        return matrices.reshape(n_parts, -1, matrices.shape[-1])

    def derivatives(self, factors: Array, transform: Array) -> Array:
        """Derivatives (t, c) of those of effects that are transformed, by the entries of L."""
        size = len(self.columns)
        factor, found = np.zeros((size, size)), []
        factor[self.lower] = factors
        for i, j in zip(*self.lower, strict=True):
            change = np.outer(transform[:, i], transform @ factor[:, j])
            found.append((change + change.T)[self.lower])
        return np.stack(found, axis=1)


Block = LinearPredictor | Dispersion


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

    An object of a subclass is a value of the parameter `expert`. See "Write your own family,
    gate and experts" in the tutorials.

    Examples
    --------
    >>> from skmoe.protocols import Experts
    >>> sorted(Experts.__abstractmethods__)  # what a subclass must have
    ['init_params', 'log_prob', 'm_step', 'mean', 'statistics']
    """

    # Whether y holds class codes of shape (n,), so that the family serves the classifier.
    is_classifier: ClassVar[bool] = False
    # Whether an expert without rows has collapsed, and is re-initialised; False where the densities
    # are given, so that an expert that explains no row is one that is not needed.
    can_collapse: ClassVar[bool] = True
    # Why experts without blocks have no standard errors, where {} is the name of the class.
    lacks_inference: ClassVar[str] = "{} declares no `blocks` of coefficients"
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

    # --- defaults ---

    def n_parameters(self, params: Any) -> float:
        """Number of free parameters, for information criteria; NaN if it cannot be counted.

        Slopes that are zero for all experts, as those of constant columns, are none. Default: all.
        """
        return sum(map(np.size, params))

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

    An object of a subclass is a value of the parameter `gate`. See "Write your own family,
    gate and experts" in the tutorials.

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
    lacks_inference: ClassVar[str] = "{} is a gate of your own"  # why there are no standard errors

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

        They serve `gate_coef_`, `explain` and ONNX. For probabilities that
        do not depend on the features the slopes are zero.
        """
        return None

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        Default: None, for an M-step in closed form.
        """
        return None
