"""Outputs that are dependent within a component: a correlation for each pair of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.probability import log_total
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import Block, Component, ComponentFunctions


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


def marginals(parts: Sequence[Any]) -> list[Any]:
    """The components of single outputs."""
    return [part.marginal if isinstance(part, JointComponents) else part for part in parts]


def correlations(parts: Sequence[Any]) -> Array | None:
    """Correlation matrices (C, m, m) of all components; None if all are independent."""
    if not any(isinstance(part, JointComponents) for part in parts):
        return None
    own = [
        part.correlation
        if isinstance(part, JointComponents)
        else np.tile(np.eye(part.block().parameters[0].shape[2]), (len(part.weight), 1, 1))
        for part in parts
    ]
    return np.concatenate(own)


def joint_log_density(
    components: Sequence[Component], matrices: Array | None, points: Array
) -> Array:
    """Joint log densities of outputs (n, q, m), (n, q, 1).

    `matrices` (C, m, m) are the correlations of the components; None for independent outputs. Where
    an output has a value that a discrete component can take, continuous ones do not count.
    """
    has_mass = np.zeros(np.broadcast_shapes(points.shape, components[0].weight.shape), dtype=bool)
    for family, _, parameters in components:
        if family.discrete:
            has_mass |= family.log_pdf(points, *parameters) > -np.inf

    def logs() -> Iterator[Array]:
        for c, (family, weight, parameters) in enumerate(components):
            log_pdf = family.log_pdf(points, *parameters)
            if not family.discrete:
                log_pdf = np.where(has_mass, -np.inf, log_pdf)
            joint = log_pdf.sum(axis=-1, keepdims=True)
            if matrices is not None:
                score = family.normal_score(points, *parameters)
                precision = np.linalg.inv(matrices[c])
                excess = np.einsum(
                    "...i,ij,...j->...", score, precision - np.eye(len(precision)), score
                )
                copula = -0.5 * (np.linalg.slogdet(matrices[c])[1] + excess[..., None])
                joint = np.where(joint > -np.inf, joint + copula, joint)
            yield np.log(weight) + joint

    # Absent components have weight zero; what is not a number stays so.
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_total(logs())


def draw_outputs(
    rng: np.random.RandomState,
    family: ComponentFunctions,
    parameters: tuple[Array, ...],
    matrices: Array | None,
    chosen: Array,
) -> Array:
    """Draws (r,) or of outputs (r, m) from components with parameters of this shape.

    `matrices` (C, m, m) are their correlation matrices, of which each draw has that with the number
    `chosen` (r,); None for independent outputs.
    """
    if matrices is None:
        return family.draw(rng, *parameters)
    score = rng.standard_normal(parameters[0].shape)
    score = np.einsum("rij,rj->ri", np.linalg.cholesky(matrices)[chosen], score)
    return family.from_normal_score(score, *parameters)
