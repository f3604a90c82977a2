"""Classes: the family of the experts of a classifier, and of gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import linalg

from skmoe._numerics.probability import LOG_TINY
from skmoe._numerics.typing import Array
from skmoe.families._base import Curvature, Family


@dataclass(frozen=True)
class Categorical(Family):
    r"""Multinomial logistic model of classes 0 to C - 1, or of memberships in them [1]_.

    The C - 1 predictors are coordinates of the logits in Helmert contrasts, which are orthonormal.
    With two classes of an expert the coordinate is the log odds of the second one. y has the codes
    of the classes, (n,), or memberships (C, ..., n), which sum to one. Those of a gate are
    responsibilities.

    Parameters
    ----------
    n_classes : int, default=2
        Number of classes, at least one.
    role : str, default="mean"
        Role of all predictors.

    References
    ----------
    .. [1] A. Agresti (2013), "Categorical Data Analysis", 3rd edition, Wiley, chapter 8.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families._categorical import Categorical
    >>> Categorical(2).mean([np.log([1.0, 3.0])])
    array([[0.5 , 0.25],
           [0.5 , 0.75]])
    """

    name: ClassVar[str] = "categorical"
    link: ClassVar[str] = "softmax"
    support: ClassVar[str] = "class labels"
    is_continuous: ClassVar[bool] = False
    is_count: ClassVar[bool] = True
    takes_bounds: ClassVar[bool] = False
    max_outputs: ClassVar[float] = 1
    roles: ClassVar[tuple[str, ...]] = ()
    contrasts: ClassVar[Array]
    pairs: ClassVar[list[tuple[int, int]]]
    products: ClassVar[Array]

    n_classes: int = 2
    role: str = "mean"

    def __post_init__(self) -> None:
        """Sets the contrasts, and their products by pairs of predictors."""
        size, is_difference = self.n_classes, self.n_classes == 2 and self.role == "mean"
        # Columns that span the logits summing to zero. As they are orthonormal, a ridge penalty on
        # the predictors' coefficients is that on the symmetric ones.
        contrasts = linalg.helmert(size).T if size > 1 else np.zeros((1, 0))
        contrasts = np.array([[-0.5], [0.5]]) if is_difference else contrasts
        first, second = np.triu_indices(size - 1)
        vars(self).update(
            roles=(self.role,) * (size - 1),
            contrasts=contrasts,  # logits of the classes by the predictors, (C, C - 1)
            pairs=list(zip(first.tolist(), second.tolist(), strict=True)),
            products=(contrasts[:, first] * contrasts[:, second]).T,  # (T (T + 1) / 2, C)
        )

    def in_support(self, y: Array) -> Array:
        """Codes of classes."""
        return np.isin(y, np.arange(self.n_classes))

    def start(self, y: Array, weight: Array) -> Array:
        """From the weights of the classes, to each of which one row is added."""
        return self.location((self._memberships(y) * weight).sum(axis=-1) + 1.0, ())

    def _memberships(self, y: Array, n_axes: int = 2) -> Array:
        """Memberships (C, ..., n) of codes (n,), or as they are given, with so many axes."""
        if np.ndim(y) < 2:
            y = (np.arange(self.n_classes)[:, None] == y).astype(float)
        return y.reshape(self.n_classes, *[1] * (n_axes - y.ndim), *y.shape[1:])

    def log_probs(self, eta: Sequence[Array]) -> Array:
        """Log probabilities of the classes, (C, ..., n)."""
        if self.n_classes == 1:
            return np.zeros((1, 1))
        # An array has the axis of predictors first.
        is_one = isinstance(eta, np.ndarray) or len({np.shape(own) for own in eta}) == 1
        stacked = np.asarray(eta) if is_one else np.stack(np.broadcast_arrays(*eta))
        logits = self.contrasts @ stacked.reshape(len(stacked), -1)
        logits = logits.reshape(self.n_classes, *stacked.shape[1:])
        logits -= logits.max(axis=0)
        exponentials = np.maximum(logits, LOG_TINY)
        np.exp(exponentials, out=exponentials)
        logits -= np.log(exponentials.sum(axis=0))
        return logits

    def contrasted(self, values: Array) -> Array:
        """Derivatives (T, ..., n) by the predictors, of those (C, ..., n) by the logits."""
        found = self.contrasts.T @ values.reshape(self.n_classes, -1)
        return np.asarray(found.reshape(len(found), *values.shape[1:]))

    def covariance(self, probs: Array, mean: Array | None = None) -> Curvature:
        """Curvature {(t, u): (..., n)} at probabilities (C, ..., n), contrasted in `mean`."""
        mean = self.contrasted(probs) if mean is None else mean
        found = self.products @ probs.reshape(self.n_classes, -1)
        found = found.reshape(len(found), *probs.shape[1:])
        for own, (t, u) in zip(found, self.pairs, strict=True):
            own -= mean[t] * mean[u]
        return dict(zip(self.pairs, found, strict=True))

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, which is the observed one."""
        logs = self.log_probs(eta)
        memberships = self._memberships(y, logs.ndim)
        yield np.einsum("c...,c...->...", memberships, logs)
        np.maximum(logs, LOG_TINY, out=logs)
        probs = np.exp(logs, out=logs)
        mean = self.contrasted(probs)
        yield self.contrasted(memberships) - mean
        information = self.covariance(probs, mean)
        yield information
        yield {key: -values for key, values in information.items()}

    def mean(self, eta: Sequence[Array]) -> Array:
        """Probabilities of the classes, (C, ..., n)."""
        return np.exp(self.log_probs(eta))

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """Predictors (T, ...) of probabilities (C, ...), up to a factor of these."""
        squares = np.square(self.contrasts).sum(axis=0)
        found = self.contrasted(np.log(mean))
        return found / squares.reshape(-1, *[1] * (found.ndim - 1))

    def components(self, eta: Sequence[Array]) -> Array:
        """A distribution of classes is its probabilities."""
        return self.mean(eta)
