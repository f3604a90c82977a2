"""Blocks of coefficients: what an expert estimates, as summary, inference and displays show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._numerics.covariances import covariance_coordinates
from skmoe._numerics.typing import Array


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
    # Whether zero is a hypothesis about the coefficients.
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

    def responses(self, outputs: Sequence[str]) -> Sequence[str]:
        """What has coefficients: each output or class."""
        return outputs

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
        return np.concatenate([intercepts, slopes], axis=2)


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

    See Also
    --------
    LinearPredictor : A block of coefficients.

    Examples
    --------
    >>> from skmoe.families import StudentT
    >>> [dispersion.attribute for dispersion in StudentT().dispersions]
    ['dispersion_', 'df_']
    """

    # It has no slopes.
    is_dispersion: ClassVar[bool] = True
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

    def responses(self, outputs: Sequence[str]) -> Sequence[str]:
        """What has a number: each output."""
        return outputs

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
        return np.log(values.reshape(n_parts, -1, 1))


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


Block = LinearPredictor | Dispersion
