"""Components of all families: densities, quantiles and scores, as functions of the parameters.

Quantiles, modes and scores are searched where a family has no formulas for them. Sums over
components go term by term, so that no array holds all components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from skmoe._numerics.probability import log_probability, log_total
from skmoe._numerics.quadrature import integral_points
from skmoe._numerics.typing import Array

# Fields of components that all rows share.
SHARED_FIELDS = ("values", "correlation")


def _of_rows(component: Any) -> list[bool]:
    """Whether each field of components, or each of several components, has an axis of rows."""
    names = getattr(component, "_fields", range(len(component)))
    return [name not in SHARED_FIELDS for name in names]


def map_rows(component: Any, function: Callable[[Array], Array]) -> Any:
    """Components with a function applied to all fields that have an axis of rows."""
    if not isinstance(component, tuple):
        return function(component)
    fields = zip(component, _of_rows(component), strict=True)
    make = getattr(component, "_make", tuple)
    return make(map_rows(values, function) if rows else values for values, rows in fields)


def expand_rows(component: Any, rows: Array, n_rows: int) -> Any:
    """Components of `n_rows` rows, of which only `rows` are these; the others have weight 0."""
    position, present = np.zeros(n_rows, dtype=int), np.zeros(n_rows)
    position[rows], present[rows] = np.arange(len(rows)), 1.0
    # The other rows have the parameters of the first one.
    return _weighted(map_rows(component, lambda values: values[..., position]), present)


def _weighted(component: Any, factor: Array) -> Any:
    """Components whose weights, in the first field, are multiplied by a factor of each row."""
    first, *others = component
    weighted = _weighted(first, factor) if isinstance(first, tuple) else first * factor
    return type(component)(weighted, *others)


def concatenate_rows(parts: Sequence[Any]) -> Any:
    """Components of all rows from those of row blocks, nested or not."""
    first = parts[0]
    if not isinstance(first, tuple):
        return np.concatenate(parts, axis=-1)
    fields = zip(zip(*parts, strict=True), _of_rows(first), strict=True)
    make = getattr(first, "_make", tuple)
    return make(concatenate_rows(values) if rows else values[0] for values, rows in fields)


def mixture_weights(weights: Iterable[Array], gate_prob: Array) -> Array:
    """Weights (n, C) of the components (C_k, n) of all experts, from those of the gate (K, n)."""
    shares = [share * weight for share, weight in zip(gate_prob, weights, strict=True)]
    return np.ascontiguousarray(np.concatenate(shares)).T


def rows_first(*values: Array) -> tuple[Array, ...]:
    """Arrays (n, C, m) of arrays (C, m, n).

    Row sums depend on the memory layout in their last bit; it is always that of (C, m, n).
    """
    return tuple(np.ascontiguousarray(value).transpose(2, 0, 1) for value in values)


def mixture_parameters(of_experts: Sequence[Any], single_output: bool) -> list[Array]:
    """Parameters (n, C, m) of components (C_k, m, n) of all experts, or (n, C) of one output."""
    stacked = rows_first(*(np.concatenate(own) for own in zip(*of_experts, strict=True)))
    return [values[..., 0] if single_output else values for values in stacked]


# Steps of Newton's method in a bracket, the relative change that ends it, and steps of a search by
# golden sections, each of which takes the fraction GOLDEN of the interval.
MAX_QUANTILE_STEPS = 200
NEWTON_ROUND_OFF = 1e-12
GOLDEN_STEPS = 90
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)

# Factor by which brackets grow, and how often.
GROWTH, MAX_GROWTHS = 4.0, 60

# Probabilities of both tails between whose quantiles a density is searched and a score integrated.
SCORE_LEVELS = (0.5, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-5, 1e-7, 1e-10)


def search_quantile(functions: Any, q: float, *parameters: Array, upper: bool = False) -> Array:
    """Values below which, or above which, the probability is q.

    Newton's method; a step that would leave the bracket is to its middle. Logs of tails are
    concave for most distributions, so that Newton's method does not cycle.
    """
    log_tail, sign = (functions.log_sf, -1.0) if upper else (functions.log_cdf, 1.0)
    level, center = np.log(q), functions.mean(*parameters)
    width = np.sqrt(functions.variance(*parameters))

    def excess(points: Array) -> Array:
        return sign * (log_tail(points, *parameters) - level)

    low, high = center - width, center + width
    for _ in range(MAX_GROWTHS):
        above, below = excess(low) > 0.0, excess(high) < 0.0
        if not (above.any() or below.any()):
            break
        width = GROWTH * width
        low, high = np.where(above, low - width, low), np.where(below, high + width, high)
    points = 0.5 * (low + high)
    found = np.zeros(points.shape, dtype=bool)
    for _ in range(MAX_QUANTILE_STEPS):
        value = excess(points)
        low, high = np.where(value < 0.0, points, low), np.where(value < 0.0, high, points)
        with np.errstate(all="ignore"):
            slope = np.exp(functions.log_pdf(points, *parameters) - sign * value - level)
            newton = points - value / slope
        found |= np.abs(newton - points) <= NEWTON_ROUND_OFF * np.abs(points)
        found |= high - low <= NEWTON_ROUND_OFF * np.abs(points)
        if found.all():
            break
        inside = (newton >= low) & (newton <= high)
        points = np.where(found, points, np.where(inside, newton, 0.5 * (low + high)))
    return points


def search_mode(functions: Any, *parameters: Array) -> Array:
    """Where the density, which has one maximum, is highest."""
    points = _quantiles(functions, parameters)
    heights = functions.log_pdf(points, *parameters)
    best = np.argmax(heights, axis=0)[None]
    low, high = (
        np.take_along_axis(points, np.clip(best + step, 0, len(points) - 1), axis=0)[0]
        for step in (-1, 1)
    )
    return golden_sections(
        lambda points: functions.log_pdf(points, *parameters), low, high, GOLDEN_STEPS
    )


def golden_sections(
    height: Callable[[Array], Array], low: Array, high: Array, n_steps: int
) -> Array:
    """Where functions with one maximum between two points are highest, up to the last section."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = height(left), height(right)
    for _ in range(n_steps):
        shrink = at_left >= at_right
        low, high = np.where(shrink, low, left), np.where(shrink, right, high)
        new = np.where(shrink, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = height(new)
        left, right = np.where(shrink, new, right), np.where(shrink, left, new)
        at_left, at_right = np.where(shrink, at_new, at_right), np.where(shrink, at_left, at_new)
    return 0.5 * (low + high)


def search_score(functions: Any, y: Array, *parameters: Array) -> Array:
    """The continuous ranked probability score, the integral of squared distribution functions.

    It is the integral of the squared probability of the lower tail up to y, and of that of the
    upper tail from y on.
    """
    y = np.asarray(y, dtype=float)
    edges = _quantiles(functions, parameters, y)
    at = np.broadcast_to(np.where(np.isfinite(y), y, 0.0), edges.shape[1:])
    total = np.maximum(at - edges[-1], 0.0) + np.maximum(edges[0] - at, 0.0)
    for tail, ends in (
        (functions.cdf, np.minimum(edges, at)),
        (functions.sf, np.maximum(edges, at)),
    ):
        points, factors = integral_points(ends[:-1], ends[1:])
        total = total + (factors * np.square(tail(points, *parameters))).sum(axis=(0, 1))
    return np.where(np.isfinite(y), total, np.abs(y))


def search_shortfall(functions: Any, y: Array, *parameters: Array) -> Array:
    """The integral of the distribution function up to y."""
    edges = _quantiles(functions, parameters, y)
    ends = np.minimum(edges, y)
    points, factors = integral_points(ends[:-1], ends[1:])
    below = (factors * functions.cdf(points, *parameters)).sum(axis=(0, 1))
    return np.maximum(y - edges[-1], 0.0) + below


def _quantiles(functions: Any, parameters: tuple[Array, ...], y: Any = 0.0) -> Array:
    """Sorted quantiles of both tails, (points, ...), in a shape that is also for y."""
    lower = [functions.quantile(level, *parameters) for level in SCORE_LEVELS]
    upper = [functions.upper_quantile(level, *parameters) for level in SCORE_LEVELS[1:]]
    edges = np.stack([*lower[::-1], *upper])
    return np.broadcast_to(edges, (len(edges), *np.broadcast_shapes(edges.shape[1:], np.shape(y))))


@dataclass(frozen=True)
class ComponentFunctions:
    """The functions of a family of component distributions.

    Points and parameters are arrays that broadcast against each other. `mean`, `variance`, `mode`
    and `atoms` take the parameters only, `quantile` and `upper_quantile` a probability of at most
    1/2 below and above the quantile, and `draw` a random state.

    `log_pdf` is the log density of a continuous family and the log probability of a discrete one.
    `crps` is the continuous ranked probability score of one component. `atoms` are the values of
    probability above zero, if there are finitely many, and `bounds` the points where the density
    jumps. The atoms of a family with `counts` are all counts. In a family with `location_scale`,
    a + b Y is of the family if Y is. `normal_score` is the increasing function of points under
    which the distribution is standard normal, and `from_normal_score` its inverse, for families
    with dependent outputs.

    Of the probability of a tail and its log, one is enough. A continuous family needs no formulas
    for quantiles, mode and score: where there are none, they are found by bisection, by golden
    sections, and by quadrature.
    """

    mean: Callable[..., Array]
    variance: Callable[..., Array]
    log_pdf: Callable[..., Array]
    draw: Callable[..., Array]
    cdf: Callable[..., Array] = None  # type: ignore[assignment]
    sf: Callable[..., Array] = None  # type: ignore[assignment]
    log_cdf: Callable[..., Array] = None  # type: ignore[assignment]
    log_sf: Callable[..., Array] = None  # type: ignore[assignment]
    mode: Callable[..., Array] = None  # type: ignore[assignment]
    quantile: Callable[..., Array] = None  # type: ignore[assignment]
    upper_quantile: Callable[..., Array] = None  # type: ignore[assignment]
    crps: Callable[..., Array] = None  # type: ignore[assignment]
    atoms: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    bounds: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    from_normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    discrete: bool = False
    counts: bool = False
    location_scale: bool = False
    # Of a family with `counts`: E|Y - y|; `sf` at counts, continued to real numbers; and the ratio
    # of the probability of a count to that of the one before.
    mean_distance: Callable[..., Array] = None  # type: ignore[assignment]
    sf_real: Callable[..., Array] = None  # type: ignore[assignment]
    mass_ratio: Callable[..., Array] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        defaults: dict[str, Callable[..., Array]] = {
            "cdf": lambda *at: np.exp(self.log_cdf(*at)),
            "sf": lambda *at: np.exp(self.log_sf(*at)),
            "log_cdf": lambda *at: log_probability(self.cdf(*at)),
            "log_sf": lambda *at: log_probability(self.sf(*at)),
            "quantile": partial(search_quantile, self),
            "upper_quantile": partial(search_quantile, self, upper=True),
            "mode": partial(search_mode, self),
            "crps": partial(search_score, self),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def cdf_left(self, points: Array, *parameters: Array) -> Array:
        """Probability of values below the points."""
        return self.cdf(self._left(points), *parameters)

    def sf_left(self, points: Array, *parameters: Array) -> Array:
        """Probability of values from the points on."""
        return self.sf(self._left(points), *parameters)

    def log_sf_left(self, points: Array, *parameters: Array) -> Array:
        """Log probability of values from the points on."""
        return self.log_sf(self._left(points), *parameters)

    def mean_shortfall(self, points: Array, *parameters: Array) -> Array:
        """E max(y - Y, 0), the integral of the distribution function up to the points."""
        if self.counts:
            return 0.5 * (points - self.mean(*parameters) + self.mean_distance(points, *parameters))
        if not self.discrete:
            return search_shortfall(self, points, *parameters)
        atoms = self.atoms(*parameters)
        shares = (np.exp(self.log_pdf(atom, *parameters)) for atom in atoms)
        pairs = zip(shares, atoms, strict=True)
        return np.asarray(sum(share * np.maximum(points - atom, 0.0) for share, atom in pairs))

    def _left(self, points: Array) -> Array:
        return np.nextafter(points, -np.inf) if self.discrete else points


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


class Block(NamedTuple):
    """Components of one family: parameters of shape (n_rows, n_components, n_outputs)."""

    family: ComponentFunctions
    parameters: tuple[Array, ...]


class Component(NamedTuple):
    """One component of every row: weight and parameters, of shapes that broadcast."""

    family: ComponentFunctions
    weight: Array
    parameters: tuple[Array, ...]

    def tail_quantiles(self, levels: Iterable[float]) -> list[Array]:
        """Quantiles of both tails at levels of at most 1/2."""
        functions = self.family.quantile, self.family.upper_quantile
        return [quantile(q, *self.parameters) for q in levels for quantile in functions]

    def if_present(self, points: Iterable[Array]) -> list[Array]:
        """Points in the rows in which the component has weight; NaN in the others."""
        return [np.where(self.weight > 0.0, point, np.nan) for point in points]


def take(components: Sequence[Component], rows: Array) -> list[Component]:
    """Components of chosen rows, of weights and parameters (r,)."""
    return [
        Component(family, weight[rows], tuple(values[rows] for values in parameters))
        for family, weight, parameters in components
    ]


class Components:
    """Components that one expert predicts: a named tuple of weights and parameters of all rows.

    A class of components derives from a named tuple, whose first field is `weight`
    (n_components, n_rows), and whose other fields are parameters (n_components, n_outputs, n_rows),
    and from this class.
    """

    __slots__ = ()

    # Densities, quantiles and scores, as functions of the parameters.
    functions: ClassVar[ComponentFunctions]
    # Parameters that move with y, and that are in its units, of families that see y standardised.
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
        """Functions and parameters, rows first."""
        return Block(self.functions, rows_first(*self[1:]))


# A function of points and parameters, by the family that it belongs to.
FamilyFunction = Callable[[ComponentFunctions], Callable[..., Array]]


def weighted_sum(components: Iterable[Component], function: FamilyFunction, points: Array) -> Array:
    """Sum of weighted probabilities."""
    total = np.zeros(())
    for family, weight, parameters in components:
        total = total + weight * function(family)(points, *parameters)
    return np.minimum(total, 1.0)


def log_weighted_sum(
    components: Iterable[Component], function: FamilyFunction, points: Array
) -> Array:
    """Log of the weighted sum of exponentials."""
    # Absent components have weight zero; what is not a number stays so.
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_total(
            np.log(weight) + function(family)(points, *parameters)
            for family, weight, parameters in components
        )
