"""What the experts of a list of families need of the target, and make of it before a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.censored_targets import has_bounds, is_exact, point_values
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.probability import without_outliers
from skmoe._numerics.typing import TINY, Array
from skmoe.families import Family
from skmoe.families._censored import of_target
from skmoe.protocols import Experts

# Responsibility for initial values of an expert without predictor, of the rows in its support: of a
# point mass, and of a distribution over all values.
INITIAL_SHARE_OF_ATOM = 0.5
OTHER_INITIAL_SHARE = 0.05


class FamilyTargets(Experts):
    """The targets of experts with families of their own, or with one for all of them."""

    families: tuple[Family, ...]

    @property
    def _atoms(self) -> list[float]:
        """Values with positive probability under some expert."""
        return [atom for family in self.families for atom in family.atoms]

    @property
    def _has_outliers(self) -> bool:
        return any(family.has_outliers for family in self.families)

    def _family(self, k: int) -> Family:
        # Averages of several starts have the experts of all starts one after the other.
        return self.families[k % len(self.families)]

    @property
    def option_for_parts(self) -> str:
        """That of the first family which needs one."""
        return next(filter(None, (family.option_for_parts for family in self.families)), "")

    def obstacle(self, y: Array) -> str:
        """That of the first family which has one."""
        obstacles = (of_target(family, y).obstacle(y) for family in self.families)
        return next(filter(None, obstacles), "")

    def in_support(self, y: Array) -> Array:
        """Whether all outputs of a row are possible under any one of the families."""
        families = [of_target(family, y) for family in self.families]
        possible = np.any([family.in_support(y).all(axis=0) for family in families], axis=0)
        if has_bounds(y) and any(
            family.link for family in families
        ):  # also of an interval that contains an atom
            regression = [family.in_support(y).all(axis=0) for family in families if family.link]
            possible &= np.any(regression, axis=0) | is_exact(y).all(axis=0)
        return np.asarray(possible)

    def working_target(self, y: Array) -> Array:
        """That of the first family with a linear predictor, without outliers if these occur."""
        regression = [family for family in self.families if family.link] or list(self.families)
        target = regression[0].working_target(y)
        return without_outliers(target) if self._has_outliers else target

    def fitted_to(self, design: Any, y: Array, weight: Array, scaling: Any) -> Any:
        """The experts with what depends on the target (m, n) of the fit.

        `scaling` has `center` and `scale`, by which y has been standardised.
        """
        y = point_values(y)
        families = tuple(family.fitted_to(y, weight, scaling) for family in self.families)
        offset = np.broadcast_to(split_offset(design)[1], y.shape)
        summaries = [
            [self._summarize(family, *row, weight) for row in zip(y, offset, strict=True)]
            for family in families
        ]
        return self.with_options(
            {
                "families": families,
                "initial_predictor": tuple(tuple(start for start, _ in row) for row in summaries),
                "target_variance": tuple(tuple(square for _, square in row) for row in summaries),
            }
        )

    def _summarize(
        self, family: Family, y: Array, offset: Array, weight: Array
    ) -> tuple[float, float]:
        """Linear predictor without features, and variance of the working target, of one output."""
        rows = family.in_support(y[None])[0]
        if not family.link or not rows.any():
            return 0.0, 1.0
        y, weight, offset = y[rows], weight[rows], offset[rows]
        relative = y * np.exp(-offset) if family.link == "log" else y - offset
        start = family.initial_predictor(relative, weight)
        target = family.working_target(relative[None])
        target = (without_outliers(target) if self._has_outliers else target)[0]
        deviation = target - np.average(target, weights=weight)
        variance = float(np.average(np.square(deviation), weights=weight))
        return start, variance if variance > TINY else 1.0

    def initial_responsibilities(
        self, labels: Array, n_experts: int, y: Array, rng: np.random.Generator | None
    ) -> Array:
        """Responsibilities (K, n) from those (K', n) of a partition for experts with predictors.

        Experts without predictor get a share of the rows in their support, and no expert has
        responsibility outside its support. Different families take the cells of the partition in
        random order, if there is a generator.
        """
        if len(self.families) == 1:
            return labels
        with_predictor = [k for k in range(n_experts) if self._family(k).link]
        order = np.arange(len(labels))
        if rng is not None and len({self._family(k) for k in with_predictor}) > 1:
            order = rng.permutation(len(labels))
        resp = np.zeros((n_experts, labels.shape[1]))
        resp[with_predictor] = labels[order]
        for k in range(n_experts):
            family = self._family(k)
            if not family.link:
                share = INITIAL_SHARE_OF_ATOM if family.atoms else OTHER_INITIAL_SHARE
                resp[k] = share * self._support_of(k, y)
        return self.restrict(resp, y)

    def restrict(self, resp: Array, y: Array) -> Array:
        """Responsibilities (K, n) that are zero where y is outside the support of an expert."""
        if len(self.families) == 1:
            return resp
        resp = (resp + TINY**0.5) * np.stack([self._support_of(k, y) for k in range(len(resp))])
        return resp / np.maximum(resp.sum(axis=0), TINY)

    def _support_of(self, k: int, y: Array) -> Array:
        """Whether each row is possible under expert k, boolean of shape (n,)."""
        family = of_target(self._family(k), y)
        possible = family.in_support(y) & ~family.has_atom_of_others(y, self.families)
        return np.asarray(possible.all(axis=0))

    def n_cells(self, n_experts: int) -> int:
        """Number of cells of the initial partition: of experts with a linear predictor."""
        if len(self.families) == 1:
            return n_experts
        return max(sum(bool(self._family(k).link) for k in range(n_experts)), 1)


def observed(family: Family, y: Array) -> tuple[Family, Array]:
    """The family as the target needs it, and the target.

    One is in place of values outside the support, whose derivatives are finite.
    """
    if has_bounds(y):
        return of_target(family, y), y
    possible = family.in_support(y)
    return family, y if possible.all() else np.where(possible, y, 1.0)
