"""Families of conditional distributions of y, and what those of positive y have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Dispersion, LinearPredictor, Measure

# Step of the central differences of gradients, which leave a relative error of about 1e-9.
DIFFERENCE_STEP = 1e-5

# Bounds of a log dispersion that multiplies the squared mean in the variance: from next to nothing
# to a standard deviation of thirty times the mean.
LOG_DISPERSION_BOUNDS = (float(np.log(1e-6)), float(np.log(1e3)))

# First (T) and second (T, T) partial derivatives of the log density by the log dispersions.
Partials = tuple[list[Array], list[list[Array]]]


class Family(ABC):
    r"""A family of conditional distributions of y, given a linear predictor.

    The distribution of y under an expert depends on the linear predictor :math:`\eta` of the row
    and on T dispersion parameters of the expert, which are handled as logs,
    :math:`\theta_1, ..., \theta_T`. Families are frozen dataclasses, whose fields are their options
    and what they take from the data of the fit. All methods work element by element: `y` (m, n) and
    `predictor` (..., m, n) broadcast, and `log_dispersion` is a sequence of T arrays (..., m, 1).
    The first is (..., m, n) where it depends on features. See "Write your own expert" in the
    documentation.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Poisson
    >>> family = Poisson()
    >>> family.mean(np.log([[1.0, 2.0]]), ()).round(6)
    array([[1., 2.]])
    >>> family.in_support(np.array([[0.0, 0.5]]))
    array([[ True, False]])
    """

    # Name in the parameter `family`.
    name: ClassVar[str]
    # Link of the linear predictor, "identity", "log" or "logit"; "" without linear predictor.
    link: ClassVar[str] = "identity"
    # Whether y is standardised to mean 0 and variance 1 before the fit.
    standardizes_target: ClassVar[bool] = False
    # Whether the first dispersion parameter is a factor of the variance: the information about the
    # linear predictor is proportional to its inverse, and so is the penalty on the slopes.
    has_scale: ClassVar[bool] = False
    # Whether the distribution has a density, and values at which it has positive probability
    # instead. At the atoms of one expert the densities of the others are zero.
    is_continuous: ClassVar[bool] = True
    atoms: ClassVar[tuple[float, ...]] = ()
    # Distance of a log dispersion from its lower bound up to which the likelihood is constant.
    flat_margin: ClassVar[float] = 0.0
    # Whether values far from the others are expected, which must not rule the initialisation.
    has_outliers: ClassVar[bool] = False
    # Whether the distribution is one of counts.
    is_count: ClassVar[bool] = False
    # A family for values whose variance is larger than their mean, if it is the mean here.
    larger_variance: ClassVar[str] = ""
    # Whether y may be censored. Whether y, or its logarithm under a log link, is the linear
    # predictor plus noise, and whether the root of the scale is a factor of this noise.
    takes_bounds: ClassVar[bool] = True
    is_location: ClassVar[bool] = False
    is_location_scale: ClassVar[bool] = False
    # Largest absolute value of the linear predictor, for which the mean and its sums stay finite.
    max_predictor: ClassVar[float] = np.inf
    # Largest root mean square change of the linear predictors in one Newton step.
    max_step: ClassVar[float] = np.inf

    def check_options(self) -> None:  # noqa: B027
        """Raise ValueError for invalid options. Default: all are valid."""

    # --- the data of the fit ---

    @property
    def support(self) -> str:
        """Values of y that have positive density, in words; `in_support` decides."""
        return "finite numbers"

    @property
    def option_for_parts(self) -> str:
        """An example with what must be given if not all rows are in memory; "" for nothing."""
        return ""

    def obstacle(self, y: Array) -> str:
        """What the family needs and outputs (m, n) in its support do not have; "" for nothing."""
        return ""

    @abstractmethod
    def in_support(self, y: Array) -> Array:
        """Whether each value has positive density, boolean of the shape of y."""

    def has_atom_of_others(self, y: Array, families: Iterable[Family]) -> Array:
        """Where a value has its probability from other families, and a density does not count."""
        others = {atom for family in families for atom in family.atoms} - set(self.atoms)
        return np.isin(y, sorted(others)) & self.is_continuous

    def working_target(self, y: Array) -> Array:
        """Values whose relation to the features is about linear, for the initialisation."""
        return y

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Self:
        """The family with the fields that depend on the outputs (m, n) of the fit.

        `scaling` has `center` and `scale`, by which the outputs have been standardised.
        """
        return self

    def dispersion_values(self, log_dispersion: Any) -> list[Array]:
        """The dispersion parameters (T) in units of y, from their logs.

        The logs have no unit: initial values, bounds and priors are the same for all units of y. A
        family whose dispersion has a unit takes this unit from the outputs in `fitted_to`. Default:
        their exponentials.
        """
        return [np.exp(values) for values in log_dispersion]

    def rescale(self, y_map: Any) -> Self:
        """The family for a rescaled target, slope * y + shift, of a stream."""
        return self

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Linear predictor without features, from one output (n,) in the support."""
        return float(np.average(y, weights=weight))

    # --- dispersion parameters ---

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Names of the T estimated dispersion parameters."""
        return ()

    @property
    def has_dispersion(self) -> bool:
        """Whether the first dispersion parameter can depend on features."""
        return bool(self.dispersions)

    @property
    def initial_log_dispersion(self) -> tuple[float, ...]:
        """Where the fit starts, for a target of the scale of `working_target`."""
        return (0.0,) * len(self.dispersions)

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Smallest and largest value of each log dispersion."""
        return ()

    @property
    def log_dispersion_bounds_of_means(self) -> tuple[tuple[float, float], ...]:
        """The same for distributions about a given mean, which must therefore have one."""
        return self.log_dispersion_bounds

    # --- densities ---

    @abstractmethod
    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density or log probability of y; minus infinity outside the support."""

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative of the log density by the linear predictor; times the scale, if it has one."""
        return np.zeros(np.broadcast_shapes(np.shape(y), predictor.shape))

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Expected negative second derivative by the linear predictor, times the scale if any."""
        return np.zeros(predictor.shape)

    def row_information(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Information of each row in a Newton step. Default: `predictor_information`."""
        return self.predictor_information(predictor, log_dispersion)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """Gradient (T) and Hessian (T, T) of the log density in the log dispersions."""
        return [], []

    def dispersion_sums(
        self, y: Array, predictor: Array, log_dispersion: Any, weight: Array
    ) -> tuple[Array, Array]:
        """Sums over the rows, (..., m, T) and (..., m, T, T), of weighted `dispersion_derivatives`.

        `weight` is (..., 1, n). A family may have a faster way to these sums.
        """
        derivatives = self.dispersion_derivatives(y, predictor, log_dispersion)
        return sums_of_derivatives(*derivatives, weight)

    @property
    def takes_mean(self) -> bool:
        """Whether `predictor_of_mean` exists, so that estimators can predict the mean."""
        return self.link in ("identity", "log")

    def predictor_of_mean(self, mean: Array, log_dispersion: Any) -> Array:
        """Linear predictor at which y has a given mean, for families with `takes_mean`."""
        return np.log(mean) if self.link == "log" else mean

    def rate_weight(self, exposure: Array) -> Array:
        """Weights with which estimators of the mean are fitted to outputs per unit of exposure.

        They are inverse to the variance of such an output. Default: ones, for a standard deviation
        that is proportional to the mean. Used under a log link only.
        """
        return np.ones(exposure.shape)

    def mean_dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> Partials:
        """Derivatives as of `dispersion_derivatives`, for fixed means of y.

        They differ where the linear predictor of a mean depends on the dispersions.
        """
        return self.dispersion_derivatives(y, predictor, log_dispersion)

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """Second derivatives by the linear predictor and each log dispersion (T).

        They are multiplied by the scale, if there is one. None where their expectation is zero:
        then both are estimated apart.
        """
        return None

    # --- moments ---

    @abstractmethod
    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Mean of y."""

    def mean_derivative(self, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative of the mean by the linear predictor."""
        if self.link == "log":
            return self.mean(predictor, log_dispersion)
        return np.full(predictor.shape, 1.0 if self.link else 0.0)

    @abstractmethod
    def components(self, predictor: Array, log_dispersion: Any) -> Any:
        """The distribution of y, of a linear predictor (m, n), as mixture of one component."""

    # --- derivatives for inference ---

    def gradient(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Gradient of the log density in linear predictor and log dispersions, (1 + T, ...)."""
        score = self.predictor_score(y, predictor, log_dispersion)
        if self.has_scale:
            score = score * np.exp(-log_dispersion[0])
        dispersion, _ = self.dispersion_derivatives(y, predictor, log_dispersion)
        return np.stack(np.broadcast_arrays(score, *dispersion))

    def hessian(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Second derivatives (1 + T, 1 + T, ...), by central differences of the gradient."""
        at = [predictor, *log_dispersion]
        rows = []
        for i, value in enumerate(at):
            step = DIFFERENCE_STEP * np.maximum(1.0, np.abs(value))
            sides = []
            for sign in (1.0, -1.0):
                moved = [*at[:i], value + sign * step, *at[i + 1 :]]
                sides.append(self.gradient(y, moved[0], moved[1:]))
            rows.append((sides[0] - sides[1]) / (2.0 * step))
        hessian = np.stack(rows)
        return 0.5 * (hessian + np.swapaxes(hessian, 0, 1))

    # --- texts and tests ---

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What exponentials of slopes are, the ratio itself first. Default: by the link."""
        return LinearPredictor(link=self.link).measures

    def equation(self, response: str, predictor: str) -> str:
        """The equation of an expert, such as "expected y = exp(0.30 + 0.02 age)"."""
        if self.link == "log":
            return f"expected {response} = exp({predictor})"
        return f"{response} = {predictor}"

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """A target (1, n) as the family sees it, for the tests that all families must pass."""
        return rng.normal(size=(1, n_rows))


def sums_of_derivatives(
    first: list[Array], second: list[list[Array]], weight: Array
) -> tuple[Array, Array]:
    """Weighted sums over the rows of a gradient (T) and a symmetric Hessian (T, T)."""
    n_dispersions, shape = len(first), weight.shape[:-1]
    if first:
        shape = np.broadcast_shapes(shape, first[0].shape[:-1])
    gradient = np.zeros((*shape, n_dispersions))
    hessian = np.zeros((*shape, n_dispersions, n_dispersions))
    for i in range(n_dispersions):
        gradient[..., i] = (first[i] * weight).sum(axis=-1)
        for j in range(i, n_dispersions):
            hessian[..., i, j] = hessian[..., j, i] = (second[i][j] * weight).sum(axis=-1)
    return gradient, hessian


class LogLink(Family):
    """Families whose mean is the exponential of the linear predictor."""

    link: ClassVar[str] = "log"
    max_step: ClassVar[float] = 1.0

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Logarithm of the mean."""
        return float(np.log(max(np.average(y, weights=weight), TINY)))

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Exponential of the linear predictor."""
        return np.exp(predictor)


class Positive(LogLink):
    """Positive values whose logarithm, or whose mean, is the linear predictor plus noise."""

    support: ClassVar[str] = "positive numbers"
    max_predictor: ClassVar[float] = 230.0
    is_location: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def in_support(self, y: Array) -> Array:
        """Positive numbers."""
        return y > 0.0

    def working_target(self, y: Array) -> Array:
        """Logarithm; half of the smallest positive number of an output stands for the others.

        In mixtures with point masses not all values are positive.
        """
        least = np.min(y, axis=-1, keepdims=True, where=y > 0.0, initial=np.inf)
        least = np.where(np.isfinite(least), least, 1.0)
        return np.log(np.where(y > 0.0, y, 0.5 * least))

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """One."""
        return np.ones(predictor.shape)
