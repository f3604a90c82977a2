"""Families of conditional distributions of y, and what those of positive y have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, logit

from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Dispersion, LinearPredictor, Measure

# Step of the differences of four points, short beside the smallest standard deviations. They leave
# a relative error of about 1e-11 in first derivatives and 1e-7 in second ones.
DIFFERENCE_STEP = 1e-4

# Bounds of a log dispersion that multiplies the squared mean in the variance: from next to nothing
# to a standard deviation of thirty times the mean.
LOG_DISPERSION_BOUNDS = (float(np.log(1e-6)), float(np.log(1e3)))

# Second derivatives, or a curvature, by the pairs (t, u), t <= u, of predictors; zeros left out.
Curvature = dict[tuple[int, int], Any]

# The link of a mean, which is finite also where all values are 0, or 1, and its inverse.
LINKS: dict[str, Any] = {
    "identity": (np.positive, np.positive),
    "log": (lambda mean: np.log(np.maximum(mean, TINY)), np.exp),
    "logit": (lambda mean: logit(np.clip(mean, 1e-15, 1.0 - 1e-15)), expit),
}

# Key of what is added to the curvature of the mean where rows are not independent.
RANK: Any = "rank"


class Family(ABC):
    r"""A family of conditional distributions of y, given T predictors.

    The distribution of y under an expert depends on T predictors of each row, `eta`. The first is
    the linear predictor of the mean. The others are the logs of the dispersion parameters, which
    are constants of the expert unless they depend on features. Families are frozen dataclasses,
    whose fields are their options and what they take from the data of the fit. All methods work
    element by element: each of the T arrays is (..., n), or (..., 1) where it is the same for all
    rows, and broadcasts with y. The leading axes of all of them are the same.

    A family has a `name`, and `log_prob` or `derivatives`. Whatever else is missing is found from
    the link or from differences. Without `components` there are no distributions of y. See "Write
    your own family, gate and experts" in the tutorials.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Poisson
    >>> family = Poisson()
    >>> family.mean([np.log([1.0, 2.0])]).round(6)
    array([1., 2.])
    >>> family.in_support(np.array([0.0, 0.5]))
    array([ True, False])
    """

    # Name in the parameter `family`.
    name: ClassVar[str]
    # Link of the linear predictor, "identity", "log" or "logit"; "" without predictors.
    link: ClassVar[str] = "identity"
    # Whether y is standardised to mean 0 and variance 1 before the fit.
    standardizes_target: ClassVar[bool] = False
    # Names of the fields that have a value for each output.
    output_fields: ClassVar[tuple[str, ...]] = ()
    # Whether the density is the joint one of all outputs, y of the shape (m, n).
    couples_outputs: ClassVar[bool] = False
    # The families of the single outputs, if these differ.
    outcomes: ClassVar[tuple[Any, ...]] = ()
    # Whether rows of a unit are dependent, given its expert. Densities and derivatives are of the
    # family `of_rows`, and those of a unit sum over its rows to those of the unit.
    couples_rows: ClassVar[bool] = False
    # Largest number of outputs, and of different values of y.
    max_outputs: ClassVar[float] = np.inf
    max_values: ClassVar[float] = np.inf
    # Whether the first dispersion parameter is a factor of the variance: the information about the
    # linear predictor is proportional to its inverse, and so is the penalty on the slopes.
    has_scale: ClassVar[bool] = False
    # Whether it is an exponential dispersion model: the mean of n values has the same distribution,
    # with the first dispersion parameter divided by n.
    is_dispersion_model: ClassVar[bool] = False
    # Whether the largest scale is relative to the variance of y.
    widens_bounds: ClassVar[bool] = True
    # Factors of the largest dispersion where it depends on features: at their means, in the rows of
    # a fit, and in new ones.
    factors_on_features: ClassVar[tuple[float, float, float]] = (1.0, 5.0, 10.0)
    # Whether the distribution has a density, and values at which it has positive probability
    # instead. At the atoms of one expert the densities of the others are zero.
    is_continuous: ClassVar[bool] = True
    atoms: ClassVar[tuple[float, ...]] = ()
    # The range of values, of a family without predictors, of which an interval may have a part.
    ends: Any = ()
    # Distance of a log dispersion from its lower bound up to which the likelihood is constant.
    flat_margin: ClassVar[float] = 0.0
    # Whether values far from the others are expected, which must not rule the initialisation.
    has_outliers: ClassVar[bool] = False
    # Whether the distribution is one of counts.
    is_count: ClassVar[bool] = False
    # Outputs per unit of exposure have the exposure to this power as weight: zero for a standard
    # deviation that is proportional to the mean. Used under a log link only.
    exposure_power: ClassVar[float] = 0.0
    # Whether y may be censored. Number of predictors that move y, or its logarithm under a log
    # link: one if this is the linear predictor plus noise, two if the root of the scale is a factor
    # of this noise.
    takes_bounds: ClassVar[bool] = True
    n_moving: ClassVar[int] = 0
    # Largest absolute value of the linear predictor, for which the mean and its sums stay finite.
    # Default: 230 under a log link.
    max_predictor: ClassVar[float] = np.inf
    # An example with what must be given if not all rows are in memory; "" for nothing.
    option_for_parts: Any = ""
    # Unit of the first dispersion parameter, in units of y: a number, or one for each output. Log
    # dispersions have no unit: initial values, bounds and priors are the same for all units of y.
    # A family whose dispersion has one takes it from the outputs in `fitted_to`.
    dispersion_unit: Any = 1.0
    # Largest root mean square change of the linear predictors in one Newton step. Default: 1 under
    # a log link.
    max_step: ClassVar[float] = np.inf

    def __init_subclass__(cls, **options: Any) -> None:
        """A log link has a bound and a largest step, unless the class has others."""
        super().__init_subclass__(**options)
        if vars(cls).get("link") == "log":
            cls.max_predictor = vars(cls).get("max_predictor", 230.0)
            cls.max_step = vars(cls).get("max_step", 1.0)

    # --- facts that may depend on options ---

    # Values of y that have positive density, in words; `in_support` decides.
    support: ClassVar[Any] = "finite numbers"
    # The dispersion parameters, whose logs are the predictors after the first, and the smallest and
    # largest value of each log.
    dispersions: ClassVar[Any] = ()
    log_dispersion_bounds: ClassVar[Any] = ()

    @property
    def has_dispersion(self) -> bool:
        """Whether the first dispersion parameter can depend on features."""
        return bool(self.dispersions)

    @property
    def roles(self) -> tuple[str, ...]:
        """For each of the T predictors "mean", "dispersion", or "constant" if without features."""
        if not self.link:
            return ()
        others = ["constant"] * len(self.dispersions)
        if self.has_dispersion:
            others[0] = "dispersion"
        return ("mean", *others)

    @property
    def log_dispersion_bounds_of_means(self) -> tuple[tuple[float, float], ...]:
        """Bounds for distributions about a given mean, which must therefore have one."""
        return self.log_dispersion_bounds

    @property
    def takes_mean(self) -> bool:
        """Whether estimators can predict the mean, by way of `location`."""
        return self.link in ("identity", "log")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What exponentials of slopes are, the ratio itself first. Default: by the link."""
        return LinearPredictor(link=self.link).measures

    @property
    def equation(self) -> str:
        """The equation of an expert, with places for the response and the predictor."""
        if self.link == "log":
            return "expected {response} = exp({predictor})"
        return "{response} = {predictor}"

    # --- options, and the data of the fit ---

    def check_options(self) -> None:  # noqa: B027
        """Raise ValueError for invalid options. Default: all are valid."""

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Self:
        """The family with the fields that depend on the outputs (m, n) of the fit.

        `scaling` has `center` and `scale`, by which the outputs have been standardised.
        """
        return self

    def in_units(self, scaling: Any) -> Any:
        """The family in the units of y, of values that have been standardised. Default: itself.

        `scaling` has `center` and `scale`, of each output.
        """
        return self

    def in_support(self, y: Array) -> Array:
        """Whether each value has positive density, boolean of the shape of y."""
        return np.isfinite(y)

    def working_target(self, y: Array) -> Array:
        """Values whose relation to the features is about linear, for the initialisation."""
        return y

    def start(self, y: Array, weight: Array) -> Array:
        """Predictors (T,) without features that fit one output (n,) in the support.

        Default: the link of the mean of y, and dispersions of one.
        """
        mean = LINKS[self.link][0](np.average(y, weights=weight))
        return np.array([mean, *[0.0] * len(self.dispersions)])

    # --- the density ---

    def log_prob(self, y: Array, eta: Sequence[Array]) -> Array:
        """Log density or log probability of values in the support."""
        return next(self.derivatives(y, eta))

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """What EM needs of the density, of which each part is computed when it is needed.

        The parts are the log density, its T first derivatives by the predictors, and the
        information {(t, u): array} with t <= u, a positive semi-definite curvature of each row.
        The fourth part, which may be absent, are the second derivatives. Default: from differences
        of `log_prob`, with the absolute curvature in each predictor.
        """
        logs = self.log_prob(y, eta)
        yield logs
        first, second = differences(lambda at: self.log_prob(y, at), eta, logs)
        yield first
        yield {(t, t): np.abs(values) for t, values in enumerate(second)}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """Second derivatives {(t, u): array}, t <= u, of the log density; zeros left out.

        Default: the fourth part of `derivatives`, and without it differences of the first ones.
        """
        found = next(islice(self.derivatives(y, eta), 3, None), None)
        if found is not None:
            return found  # type: ignore[no-any-return]
        slopes, _ = differences(lambda at: np.stack(score(self, y, at)), eta)
        return {
            (t, u): 0.5 * (slopes[t][u] + slopes[u][t])
            for t in range(len(eta))
            for u in range(t, len(eta))
        }

    # --- moments ---

    def mean(self, eta: Sequence[Array]) -> Array:
        """Mean of y. Default: by the link."""
        return np.asarray(LINKS[self.link][1](eta[0]))

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """Derivatives (T) of the mean by the predictors; zero is a number. Default: differences."""
        return differences(self.mean, eta)[0]

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """The first predictor at which y has a given mean, of which `eta[0]` is left out.

        Default: for a mean that moves with the predictor under an identity link, and is a multiple
        of its exponential under a log link.
        """
        at_zero = self.mean([np.zeros(1), *eta[1:]])
        return np.log(mean) - np.log(at_zero) if self.link == "log" else mean - at_zero

    # Method with the distribution of y, of predictors (n,) or (m, n), as mixture of one component.
    components: Any = None


def score(family: Family, y: Array, eta: Sequence[Array]) -> Sequence[Array]:
    """First derivatives (T) of the log density, all of the same shape."""
    terms = family.derivatives(y, eta)
    next(terms)
    return np.broadcast_arrays(*next(terms))


def along(
    function: Callable[[list[Array]], Array], eta: Sequence[Array], step: Sequence[Any], center: Any
) -> tuple[Array, Array]:
    """First and second derivative of a function along a step of the predictors, of four points.

    They are in units of the step. `center` is the value at `eta`, which second derivatives need.
    """
    two, one, minus_one, minus_two = (
        function([own + factor * change for own, change in zip(eta, step, strict=True)])
        for factor in (2.0, 1.0, -1.0, -2.0)
    )
    first = (8.0 * (one - minus_one) - (two - minus_two)) / 12.0
    return first, (16.0 * (one + minus_one) - (two + minus_two) - 30.0 * center) / 12.0


def differences(
    function: Callable[[list[Array]], Array], eta: Sequence[Array], center: Any = 0.0
) -> tuple[list[Array], list[Array]]:
    """First and second derivatives (T) of a function by each predictor."""
    steps = DIFFERENCE_STEP * np.eye(len(eta))
    pairs = [along(function, eta, step, center) for step in steps]
    first = [own / DIFFERENCE_STEP for own, _ in pairs]
    return first, [own / DIFFERENCE_STEP**2 for _, own in pairs]


def of_others(kind: Any, source: str, names: Iterable[str]) -> None:
    """Facts and methods of a class of families that are those of the family in a field."""
    for name in names:
        setattr(kind, name, property(attrgetter(f"{source}.{name}")))


def of_output(family: Any, output: int) -> Any:
    """The family of one of several outputs, with what its fields have for this one."""
    fields = {name: getattr(family, name) for name in family.output_fields}
    own = {name: values[output : output + 1] for name, values in fields.items() if len(values) > 1}
    return replace(family, **own) if own else family


def as_outputs(eta: Sequence[Array]) -> list[Array]:
    """Predictors (m, n), from those of one output, (n,), or of several."""
    return [np.atleast_2d(values) for values in eta]


def log_variance_of(values: Array, weight: Array) -> float:
    """Log variance of weighted values (n,); zero if they are all the same."""
    deviation = values - np.average(values, weights=weight)
    variance = np.average(np.square(deviation), weights=weight)
    return float(np.log(variance)) if variance > TINY else 0.0


class Positive(Family):
    """Positive values whose logarithm, or whose mean, is the linear predictor plus noise."""

    link: ClassVar[str] = "log"
    support: ClassVar[str] = "positive numbers"
    n_moving: ClassVar[int] = 1
    has_scale: ClassVar[bool] = True
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)
    has_zero: ClassVar[bool] = False
    # The components, from the exponential of the predictor and this power of the dispersion.
    distribution: ClassVar[Any] = None
    power: ClassVar[float] = 1.0

    def components(self, eta: Sequence[Array]) -> Any:
        """The distribution of the class."""
        predictor, *log_dispersion = as_outputs(eta)
        power = np.exp(self.power * (log_dispersion[0] if log_dispersion else np.zeros(())))
        return self.distribution.single(np.exp(predictor), power)

    def in_support(self, y: Array) -> Array:
        """Positive numbers, and zero if it is one of the values."""
        return y >= 0.0 if self.has_zero else y > 0.0

    def working_target(self, y: Array) -> Array:
        """Logarithm; half of the smallest positive number of an output stands for the others.

        In mixtures with point masses not all values are positive.
        """
        least = np.min(y, axis=-1, keepdims=True, where=y > 0.0, initial=np.inf)
        least = np.where(np.isfinite(least), least, 1.0)
        return np.log(np.where(y > 0.0, y, 0.5 * least))

    def start(self, y: Array, weight: Array) -> Array:
        """Logarithm of the mean, and variance of the logarithms."""
        found = super().start(y, weight)
        found[1:] = log_variance_of(self.working_target(y), weight)
        return found


class WithoutPredictor(Family):
    """Families without predictors: `eta` is empty, and what differs by predictors is of one row."""

    link: ClassVar[str] = ""

    def start(self, y: Array, weight: Array) -> Array:
        """No numbers."""
        return np.zeros(0)
