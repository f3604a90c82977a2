"""Components that experts predict, and the functions of their families.

Weights and parameters are those of all rows, which are the last axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from skmoe._numerics.probability import log_probability, log_total
from skmoe._numerics.typing import Array
from skmoe.distributions._sums import Component, log_share, search_quantile

# Fields of components that all rows share.
SHARED_FIELDS = ("values", "correlation")


# Functions of points, and what they are below and above the support.
LIMITS = (
    ("log_pdf", -np.inf, -np.inf),
    ("cdf", 0.0, 1.0),
    ("sf", 1.0, 0.0),
    ("log_cdf", -np.inf, 0.0),
    ("log_sf", 0.0, -np.inf),
)


def _limited(
    function: Callable[..., Array], support: tuple[float, float], limits: Sequence[float]
) -> Callable[..., Array]:
    """A function of points in a support, and its limits at others; NaN stays so.

    At the ends of the support it may be no number, where the limit stands.
    """
    low, high = support

    def limited(y: Array, *parameters: Array) -> Array:
        y = np.asarray(y, dtype=float)
        possible = (y >= low) & (y <= high) & np.isfinite(y)
        inside = np.where(possible, y, low + min(0.5 * (high - low), 1.0))
        with np.errstate(all="ignore"):
            found = function(inside, *parameters)
        known = possible & ~(np.isnan(found) & ((y == low) | (y == high)))
        limit = np.where(np.isnan(y), np.nan, np.where(y <= low, *limits))
        return np.where(known, found, limit)

    return limited


@dataclass(frozen=True)
class ComponentFunctions:
    """The functions of a family of component distributions.

    Points and parameters are arrays that broadcast against each other. `mean`, `variance` and
    `atoms` take the parameters only, `quantile` and `upper_quantile` a probability of at most
    1/2 below and above the quantile, and `draw` a random state.

    `log_pdf` is the log density of a continuous family and the log probability of a discrete one.
    `support` is the range of possible values: outside of it no function is asked, and at infinity
    none. `atoms` are the values of probability above zero, if there are finitely many, and `bounds`
    the points where the density jumps. The atoms of a family with `counts` are all counts. In a
    family with `location_scale`, a + b Y is of the family if Y is. `normal_score` is the increasing
    function of points under which the distribution is standard normal, and `from_normal_score` its
    inverse, for families with dependent outputs.

    `share_of_mean` is the part of the mean of positive values that is due to those up to a point.
    Where it is NaN for want of a formula, restricted means are integrals.

    Of the probability of a tail and its log, one is enough. A continuous family needs no formulas
    for quantiles: where there are none, they are searched.
    """

    mean: Callable[..., Array]
    variance: Callable[..., Array]
    log_pdf: Callable[..., Array]
    draw: Callable[..., Array]
    cdf: Callable[..., Array] = None  # type: ignore[assignment]
    sf: Callable[..., Array] = None  # type: ignore[assignment]
    log_cdf: Callable[..., Array] = None  # type: ignore[assignment]
    log_sf: Callable[..., Array] = None  # type: ignore[assignment]
    quantile: Callable[..., Array] = None  # type: ignore[assignment]
    upper_quantile: Callable[..., Array] = None  # type: ignore[assignment]
    atoms: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    bounds: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    from_normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    share_of_mean: Callable[..., Array] = lambda y, *parameters: np.nan * y
    support: tuple[float, float] = (-np.inf, np.inf)
    discrete: bool = False
    counts: bool = False
    location_scale: bool = False
    continued: Any = None  # of a family with `counts`, the functions continued to real numbers

    def __post_init__(self) -> None:
        defaults: dict[str, Callable[..., Array]] = {
            "cdf": lambda *at: np.exp(self.log_cdf(*at)),
            "sf": lambda *at: np.exp(self.log_sf(*at)),
            "log_cdf": lambda *at: log_probability(self.cdf(*at)),
            "log_sf": lambda *at: log_probability(self.sf(*at)),
            "quantile": partial(search_quantile, self),
            "upper_quantile": partial(search_quantile, self, upper=True),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.support == (-np.inf, np.inf):
            return
        for name, *limits in LIMITS:
            object.__setattr__(self, name, _limited(getattr(self, name), self.support, limits))


def functions_of_normal(
    score: Callable[..., Array], inverse: Callable[..., Array], **others: Any
) -> ComponentFunctions:
    """A family of which an increasing function of y, the score, is standard normal."""
    return ComponentFunctions(
        cdf=lambda y, *own: ndtr(score(y, *own)),
        sf=lambda y, *own: ndtr(-score(y, *own)),
        log_cdf=lambda y, *own: log_ndtr(score(y, *own)),
        log_sf=lambda y, *own: log_ndtr(-score(y, *own)),
        quantile=lambda q, *own: inverse(ndtri(q), *own),
        upper_quantile=lambda q, *own: inverse(-ndtri(q), *own),
        draw=lambda rng, *own: inverse(rng.standard_normal(own[0].shape), *own),
        normal_score=score,
        from_normal_score=inverse,
        **others,
    )


def functions_of_scipy(
    distribution: Any, arguments: Callable[..., tuple[Any, ...]], **others: Any
) -> ComponentFunctions:
    """A family of `scipy.stats`, whose arguments are functions of the parameters.

    The probabilities of its tails are among the `others`, with all digits.
    """

    def of_points(name: str) -> Callable[..., Array]:
        method = getattr(distribution, name)
        return lambda at, *own: np.asarray(method(at, *arguments(*own)))

    found: dict[str, Any] = {
        "mean": lambda *own: np.asarray(distribution.mean(*arguments(*own))),
        "variance": lambda *own: np.asarray(distribution.var(*arguments(*own))),
        "draw": lambda rng, *own: distribution.rvs(
            *arguments(*own), size=own[0].shape, random_state=rng
        ),
        "log_pdf": of_points("logpdf"),
        "quantile": of_points("ppf"),
        "upper_quantile": of_points("isf"),
    }
    return ComponentFunctions(**found | others)


class Block(NamedTuple):
    """Components of one family: parameters of shape (n_rows, n_components, n_outputs)."""

    family: ComponentFunctions
    parameters: tuple[Array, ...]


class Components:
    """Components that one expert predicts: a named tuple of weights and parameters of all rows.

    A class of components derives from a named tuple, whose first field is `weight`
    (n_components, n_rows), and whose other fields are parameters (n_components, n_outputs, n_rows),
    and from this class.

    Attributes
    ----------
    functions : ComponentFunctions
        Densities, quantiles and scores, as functions of the parameters.
    locations : tuple of str
        Parameters that move with y, of families that see y standardised.
    scales : tuple of str
        Parameters that are in the units of y, of such families.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    Exponential distributions, whose quantiles are searched:

    >>> from collections import namedtuple
    >>> import numpy as np
    >>> from skmoe.distributions import ComponentFunctions, Components, predictive_distribution
    >>> class Exponential(namedtuple("Fields", "weight mean"), Components):
    ...     functions = ComponentFunctions(
    ...         mean=lambda mean: mean,
    ...         variance=lambda mean: mean**2,
    ...         log_pdf=lambda y, mean: -y / mean - np.log(mean),
    ...         log_cdf=lambda y, mean: np.log(-np.expm1(-y / mean)),
    ...         log_sf=lambda y, mean: -y / mean,
    ...         support=(0.0, np.inf),
    ...         draw=lambda rng, mean: mean * rng.standard_exponential(mean.shape),
    ...     )
    >>> part = Exponential.single(np.array([[1.0, 2.0]]))
    >>> predictive_distribution([part], np.ones((1, 2)), single_output=True).median.round(4)
    array([0.6931, 1.3863])
    """

    __slots__ = ()

    functions: ClassVar[ComponentFunctions]
    locations: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def single(cls, *parameters: Array) -> Self:
        """One component of each row, of parameters that broadcast to (n_outputs, n_rows)."""
        arrays = [values[None] for values in np.broadcast_arrays(*parameters)]
        return cls(np.ones((1, arrays[0].shape[-1])), *arrays)  # type: ignore[call-arg]

    def rescale(self: Any, center: Array, scale: Array) -> Any:
        """Components of center + scale * y, both of shape (m,), for families that see y so.

        Other families see y in its own units: their components stay the same.
        """
        scaled = {name: scale[:, None] * getattr(self, name) for name in self.scales}
        for name in self.locations:
            scaled[name] = center[:, None] + scale[:, None] * getattr(self, name)
        return self._replace(**scaled) if scaled else self

    def shift(self: Any, offset: Array | float) -> Any:
        """Components of y + offset, for an offset of shape (m, n) or a number.

        Components of families that take no offset of a base model stay the same.
        """
        moved = {name: getattr(self, name) + offset for name in self.locations}
        return self._replace(**moved) if moved else self

    def block(self: Any) -> Block:
        """Functions and parameters, rows first.

        Row sums depend on the memory layout in their last bit; it is always that of (C, m, n).
        """
        return Block(
            self.functions,
            tuple(np.ascontiguousarray(value).transpose(2, 0, 1) for value in self[1:]),
        )


class JointComponents(NamedTuple):
    """Components that one expert predicts, whose outputs are dependent; rows are the last axis.

    Each output has the distribution of `marginal`. The outputs, or those transformations of them
    that are normal, have a multivariate normal distribution.

    Attributes
    ----------
    marginal : components
        Components such as `NormalComponents` or `LogNormalComponents`, of C components.
    correlation : ndarray of shape (n_components, n_outputs, n_outputs)
        Correlation matrices of the components, of lognormal ones those of the logarithms.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import JointComponents, NormalComponents, predictive_distribution
    >>> normal = NormalComponents(np.ones((1, 1)), np.zeros((1, 2, 1)), np.ones((1, 2, 1)))
    >>> joint = JointComponents(normal, np.array([[[1.0, 0.6], [0.6, 1.0]]]))
    >>> dist = predictive_distribution([joint], np.ones((1, 1)), single_output=False)
    >>> dist.joint_logpdf([[0.0, 0.0]]).round(4)
    array([-1.6147])
    """

    marginal: Any
    correlation: Array

    @property
    def weight(self) -> Array:
        """Probabilities of the components, (C, n)."""
        return np.asarray(self.marginal.weight)

    def rescale(self, center: Array, scale: Array) -> JointComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(marginal=self.marginal.rescale(center, scale))

    def shift(self, offset: Array | float) -> JointComponents:
        """Components of y + offset, for an offset of shape (m, n) or a number."""
        return self._replace(marginal=self.marginal.shift(offset))

    def block(self) -> Block:
        """Functions and parameters of the single outputs, rows first."""
        return self.marginal.block()  # type: ignore[no-any-return]


class OutcomeComponents(NamedTuple):
    """Components that one expert predicts, of outcomes of different families.

    Attributes
    ----------
    weight : ndarray of shape (1, n_rows)
        Ones, or zeros where a row is not routed to the expert.
    parts : tuple of components
        Those of each outcome, of one component.
    """

    weight: Array
    parts: tuple[Any, ...]

    def rescale(self, center: Array, scale: Array) -> OutcomeComponents:
        """Components of center + scale * y, both of shape (m,)."""
        each = zip(self.parts, center[:, None], scale[:, None], strict=True)
        return self._replace(parts=tuple(part.rescale(*own) for part, *own in each))

    def shift(self, offset: Array | float) -> OutcomeComponents:
        """Themselves: outcomes of different families take no base model."""
        return self


class NestedComponents(NamedTuple):
    """The mixture that one expert predicts, of components of any families; rows are the last axis.

    Attributes
    ----------
    gate_prob : ndarray of shape (n_parts, n_rows)
        Probabilities of the parts, which sum to one.
    parts : tuple of components
        Components such as `NormalComponents`, whose own weights sum to one.
    """

    gate_prob: Array
    parts: tuple[Any, ...]

    def rescale(self, center: Array, scale: Array) -> NestedComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(parts=tuple(part.rescale(center, scale) for part in self.parts))

    def shift(self, offset: Array | float) -> NestedComponents:
        """Components of y + offset, for an offset of shape (m, n) or a number."""
        return self._replace(parts=tuple(part.shift(offset) for part in self.parts))


def flatten_components(components: Sequence[Any], gate_prob: Array) -> tuple[list[Any], Array]:
    """Components that are not nested, and their probabilities (K, n)."""
    if not any(isinstance(component, NestedComponents) for component in components):
        return list(components), gate_prob
    flat: list[Any] = []
    probs: list[Array] = []
    for component, prob in zip(components, gate_prob, strict=True):
        is_nested = isinstance(component, NestedComponents)
        flat += component.parts if is_nested else [component]
        probs += list(prob * component.gate_prob) if is_nested else [prob]
    return flat, np.stack(probs)


def one_output(part: Any, index: int) -> Any:
    """Components of one of several outputs, of those that are not nested."""
    if isinstance(part, OutcomeComponents):
        return part.parts[index]
    part = getattr(part, "marginal", part)
    fields = zip(part._fields[1:], part[1:], strict=True)
    own = {name: values[:, [index]] for name, values in fields if name not in SHARED_FIELDS}
    return part._replace(**own)


def average_components(components: Sequence[Any], n_rows: int) -> NestedComponents:
    """The mixture of several components with equal weights."""
    equal = np.full((len(components), n_rows), 1.0 / len(components))
    parts, prob = flatten_components(components, equal)
    return NestedComponents(prob, tuple(parts))


# --- dependent outputs ------------------------------------------------------------------------


def joint_log_density(
    components: Sequence[Component], matrices: Array | None, points: Array
) -> Array:
    """Joint log densities of outputs (n, q, m), (n, q, 1).

    `matrices` (C, m, m) are the correlations of the components; None for independent outputs. Where
    an output has a value that a discrete component can take, continuous ones do not count.
    """
    densities = [family.log_pdf(points, *parameters) for family, _, parameters in components]
    pairs = list(zip(components, densities, strict=True))
    has_mass = np.any([log > -np.inf for part, log in pairs if part.family.discrete], axis=0)

    def logs() -> Iterator[Array]:
        for c, ((family, weight, parameters), density) in enumerate(pairs):
            possible = family.discrete | ~has_mass
            joint = np.where(possible, density, -np.inf).sum(axis=-1, keepdims=True)
            if matrices is not None:
                score = family.normal_score(points, *parameters)
                precision = np.linalg.inv(matrices[c])
                excess = np.einsum(
                    "...i,ij,...j->...", score, precision - np.eye(len(precision)), score
                )
                copula = -0.5 * (np.linalg.slogdet(matrices[c])[1] + excess[..., None])
                joint = np.where(joint > -np.inf, joint + copula, joint)
            yield log_share(weight, joint)

    return log_total(logs())


# --- rows of components, nested or not --------------------------------------------------------


def _map_fields(parts: Sequence[Any], function: Callable[..., Array]) -> Any:
    """Components with a function applied to the fields of all parts that have an axis of rows."""
    first = parts[0]
    if not isinstance(first, tuple):
        return function(*parts)
    names = getattr(first, "_fields", range(len(first)))
    fields = zip(names, zip(*parts, strict=True), strict=True)
    return getattr(first, "_make", tuple)(
        values[0] if name in SHARED_FIELDS else _map_fields(values, function)
        for name, values in fields
    )


def take_rows(component: Any, rows: Any) -> Any:
    """Components of chosen rows."""
    return _map_fields([component], lambda values: values[..., rows])


def concatenate_rows(parts: Sequence[Any]) -> Any:
    """Components of all rows from those of row blocks."""
    if len(parts) == 1:
        return parts[0]
    return _map_fields(parts, lambda *values: np.concatenate(values, axis=-1))


def expand_rows(component: Any, rows: Array, n_rows: int) -> Any:
    """Components of `n_rows` rows, of which only `rows` are these; the others have weight 0."""
    position, present = np.zeros(n_rows, dtype=int), np.zeros(n_rows)
    position[rows], present[rows] = np.arange(len(rows)), 1.0
    # The other rows have the parameters of the first one.
    return _weighted(take_rows(component, position), present)


def _weighted(component: Any, factor: Array) -> Any:
    """Components whose weights, in the first field, are multiplied by a factor of each row."""
    first, *others = component
    weighted = _weighted(first, factor) if isinstance(first, tuple) else first * factor
    return type(component)(weighted, *others)
