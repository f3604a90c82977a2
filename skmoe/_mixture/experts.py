"""Experts with linear predictors, and the softmax gate: how their blocks are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np

from skmoe._mixture.data import CONSTANT, DISPERSION, GATE_ROLE, MEAN, Data, at_values
from skmoe._mixture.described import DescribedExperts, DescribedGate
from skmoe._mixture.groups import GATE, Block, Group
from skmoe._mixture.joint_prior import JointPrior
from skmoe._mixture.mixture import EStep
from skmoe._mixture.prior import Prior
from skmoe._numerics.signed_steps import are_exchangeable, slope_holders
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._component_functions import map_rows
from skmoe.families._base import of_output

# Least part of a scale that is noise.
MIN_NOISE_SHARE = 0.1


# Responsibility for initial values of an expert without predictor, of the rows in its support: of a
# point mass, and of a distribution over all values.
INITIAL_SHARE_OF_ATOM = 0.5
OTHER_INITIAL_SHARE = 0.05


# How far beyond the bounds at the means of the features log dispersions of rows can lie.
MARGINS_OF_ROWS = np.log([1e3, 5.0])


class Layout:
    """Blocks one after the other."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.size = 0

    def add(self, part: int, output: int, predictor: int, role: str, width: int) -> Block:
        """The next block."""
        block = Block(part, output, predictor, role, slice(self.size, self.size + width))
        self.blocks.append(block)
        self.size += width
        return block


class LinearPart:
    """What experts and gate with linear predictors have in common."""

    is_linear = True
    has_derivatives = True
    needs_all_rows = False
    size: int
    free: Array
    first: Array

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients, absent and shared ones included."""
        return self.size

    def reduced(self, values: Array) -> Array:
        """Sums of values (..., D) over coefficients that are equal, (..., R)."""
        total, present = np.zeros((len(self.first), *values.shape[:-1])), self.free >= 0
        np.add.at(total, self.free[present], np.moveaxis(values, -1, 0)[present])
        return np.moveaxis(total, 0, -1)

    def expanded(self, values: Array) -> Array:
        """Values (..., R) of estimated coefficients for all, zero for absent ones, (..., D)."""
        if len(self.first) == self.size:
            return values
        return np.where(self.free < 0, 0.0, values[..., self.free])


class Experts(DescribedExperts, LinearPart):
    """Experts whose families have linear predictors.

    Parameters
    ----------
    families : sequence of Family
        That of each expert, fitted to the target.
    n_columns : int
        Columns of the design matrix.
    unit_variance : ndarray of shape (K, m)
        Variance of the working target of each expert and of m outputs, which are independent given
        the expert unless a family couples them. Scales and their priors are relative to it.
    variance_floor : ndarray of shape (m,)
        Smallest scale.
    starts : sequence of sequences of ndarray
        Predictors (T,) without features of each expert and output.
    penalties : dict
        `alpha`, and with scales `dispersion_prior`, `noise_variance` and more.
    slopes, signs, dispersion_columns : tuples
        Which slopes are shared or absent, their signs, and columns of the log dispersions.
    shared_dispersion : bool
        Whether all experts have the same dispersions.
    """

    def __init__(
        self,
        families: Sequence[Any],
        n_columns: int,
        unit_variance: Array,
        variance_floor: Array,
        starts: Any,
        penalties: dict[str, Any],
        *,
        slopes: tuple[tuple[int, ...], ...] = (),
        signs: tuple[int, ...] = (),
        dispersion_columns: tuple[int, ...] = (),
        shared_dispersion: bool = False,
    ) -> None:
        families = list(families)
        self.families, self.n_experts = families, len(families)
        self.atoms = frozenset(atom for family in families for atom in family.atoms)
        self.unit_variance, self.n_outputs = unit_variance, unit_variance.shape[1]
        self.n_columns, self.slopes, self.signs = n_columns, slopes, signs
        self.shared_dispersion = shared_dispersion
        varies = dispersion_columns and any(DISPERSION in family.roles for family in families)
        self.dispersion_columns = dispersion_columns if varies else ()
        widths = {MEAN: n_columns, CONSTANT: 1, DISPERSION: 1 + len(dispersion_columns)}
        layout, of_groups = Layout(), {}
        for k, family in enumerate(families):
            outputs = [None] if family.couples_outputs else range(self.n_outputs)
            roles = family.roles if self.dispersion_columns else without_dispersion(family.roles)
            for output in outputs:
                blocks = [
                    layout.add(k, output or 0, t, role, widths[role])
                    for t, role in enumerate(roles)
                ]
                of_groups.setdefault((families.index(family), output), []).append((k, blocks))
        groups = [
            Group(
                families[i] if output is None else of_output(families[i], output),
                np.array([k for k, _ in own]),
                output,
                [b for _, b in own],
            )
            for (i, output), own in of_groups.items()
        ]
        self.groups, self.blocks, self.size = groups, layout.blocks, layout.size
        self.scale_index = self._scale_index()
        self.free = self._free(layout, slopes, n_columns)
        self.first = first_of(self.free)
        self.lower, self.upper = self._bounds(layout, signs, variance_floor)
        for group in groups:
            if DISPERSION in group.roles:
                last = group.index[group.roles.index(DISPERSION)][:, -1, None, None]
                below, above = MARGINS_OF_ROWS
                group.limits = self.lower[last] - below, self.upper[last] + above
        self.flat, self.start = np.zeros(self.size), np.zeros(self.size)
        for block in self.blocks:
            family, last = families[block.part], block.where.stop - 1
            output = 0 if family.couples_outputs else block.output
            self.start[last] = starts[block.part][output][block.predictor]
            if block.role != MEAN:
                self.flat[last] = family.flat_margin
        self._set_penalties(penalties)

    def _scale_index(self) -> Array:
        """Coordinate of the log scale of each expert and output, -1 without one, (K, m)."""
        index = np.full((self.n_experts, self.n_outputs), -1)
        for block in self.blocks:
            family = self.families[block.part]
            n_means = family.roles.count(MEAN)
            number = block.predictor - n_means
            if not family.has_scale or number < 0:
                continue
            if family.couples_outputs and number < self.n_outputs:
                index[block.part, number] = block.where.stop - 1
            elif not family.couples_outputs and number == 0:
                index[block.part, block.output] = block.where.stop - 1
        return index

    # --- the prior ---

    def with_penalties(self, changes: dict[str, Any]) -> Experts:
        """The same experts with other penalties."""
        other = copy(self)
        other._set_penalties(self.penalties | changes)
        return other

    def _set_penalties(self, penalties: dict[str, Any]) -> None:
        self.penalties = penalties
        precision, strength, squares = np.zeros((3, self.size))
        scale = np.full(self.size, -1)
        parts = 1.0 / np.maximum(np.bincount(self.free + 1)[self.free + 1], 1)
        for block in self.blocks:
            slopes = slice(block.where.start, block.where.stop - 1)
            if block.role == MEAN:
                precision[slopes] = penalties["alpha"]
                output = block.predictor if self.families[block.part].couples_outputs else None
                of_output = block.output if output is None else min(output, self.n_outputs - 1)
                scale[slopes] = self.scale_index[block.part, of_output]
            elif block.role == DISPERSION:
                precision[slopes] = penalties["dispersion_alpha"]
        if (self.scale_index >= 0).any():
            rows, noise = penalties["dispersion_prior"], np.array(penalties["noise_variance"])
            of_noise = rows * noise + np.array(penalties.get("predictor_squares", 0.0))
            of_noise = np.broadcast_to(of_noise, self.unit_variance.shape) * self.unit_variance
            present = self.scale_index >= 0
            if self.shared_dispersion:  # a shared scale has one prior
                present[1:] = False
            strength[self.scale_index[present]] = rows
            squares[self.scale_index[present]] = of_noise[present]
        self.prior = Prior.of(precision * parts, scale, strength, squares)
        if any(family.couples_outputs for family in self.families):
            self.prior = JointPrior.of_groups(self.prior, self.groups)

    def _free(self, layout: Layout, slopes: Any, n_columns: int) -> Array:
        """The coordinate of each coefficient among those that are estimated."""
        index = np.arange(layout.size)
        if slopes:
            has_mean = np.array([MEAN in family.roles for family in self.families])
            holders = slope_holders(slopes, has_mean, n_columns)
            by_key = {(b.part, b.output, b.predictor): b for b in layout.blocks}
            for block in (b for b in layout.blocks if b.role == MEAN):
                for column, holder in enumerate(holders[block.part]):
                    at = block.where.start + column
                    if holder < 0:
                        index[at] = -1
                    elif holder != block.part:
                        held = by_key[holder, block.output, block.predictor].where.start
                        index[at] = held + column
        if self.shared_dispersion:
            others = [block for block in layout.blocks if block.role != MEAN]
            first = {(b.output, b.predictor): b.where for b in others if b.part == 0}
            for block in others:
                index[block.where] = np.r_[first[block.output, block.predictor]]
        used = np.unique(index[index >= 0])
        return np.where(index < 0, -1, np.searchsorted(used, index))

    def _bounds(self, layout: Layout, signs: Any, floor: Array) -> Array:
        """Lower and upper bounds of the coefficients, (2, D)."""
        bounds = np.repeat([[-np.inf], [np.inf]], layout.size, axis=1)
        for block in layout.blocks:
            family = self.families[block.part]
            if block.role == MEAN:
                for column, sign in enumerate(signs):
                    if sign:
                        bounds[int(sign < 0), block.where.start + column] = 0.0
                continue
            last, number = block.where.stop - 1, block.predictor - family.roles.count(MEAN)
            bounds[:, last] = family.log_dispersion_bounds[number]
            [output] = (
                np.flatnonzero(self.scale_index[block.part] == last)
                if last in (self.scale_index[block.part])
                else [None]
            )
            if output is not None:
                unit = self.unit_variance[block.part, output]
                bounds[0, last] = np.log(floor[output] * unit)
                bounds[1, last] += np.log(max(unit, 1.0))
        return bounds

    # --- predictions ---

    def mean(self, theta: Array, data: Data, chosen: Any = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        numbers = list(range(self.n_experts) if chosen is None else chosen)
        found: list[Any] = [None] * len(numbers)
        for k, _, family, etas in self.of_experts(theta, data, numbers):
            values = np.atleast_2d(family.mean(etas))
            values = np.broadcast_to(values, (len(values), data.rows.n_rows))
            i = numbers.index(k)
            found[i] = values if found[i] is None else np.vstack([found[i], values])
        return np.stack(found)

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """The distribution of one expert, as a mixture of one component."""
        of_outputs = list(self.of_experts(theta, data, [k]))
        family, n_rows = self.families[k], data.rows.n_rows
        if not family.roles:  # the same for all rows
            return map_rows(family.components(()), lambda v: np.repeat(v[..., :1], n_rows, -1))
        if len(of_outputs) == 1:
            etas = of_outputs[0][3]
            return family.components([np.broadcast_to(eta, n_rows) for eta in etas])
        predictors = zip(*(etas for *_, etas in of_outputs), strict=True)
        return family.components(
            [np.stack([np.broadcast_to(eta, n_rows) for eta in own]) for own in predictors]
        )

    def of_experts(
        self, theta: Array, data: Data, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Group, Any, list[Array]]]:
        """Experts, groups, families and predictors (n,) of some experts, by output."""
        for group in self.groups:
            if not set(numbers).intersection(group.parts.tolist()):
                continue
            etas = group.predictors(theta[None], data)
            for p, k in enumerate(group.parts.tolist()):
                if k in numbers:
                    yield k, group, group.family, [eta[p, 0] for eta in etas]

    # --- which experts can have made a row ---

    can_collapse = True

    @property
    def takes_offset(self) -> bool:
        """Whether all linear predictors are those of a log link."""
        links = {family.link for family in self.families if family.link}
        return links == {"log"}

    @property
    def can_separate(self) -> bool:
        """Whether coefficients can be infinite for finite data."""
        return all(family.is_count or family.link == "softmax" for family in self.families)

    @property
    def with_predictor(self) -> list[int]:
        """Experts that depend on the features, unlike those of families of fixed values."""
        return [k for k, family in enumerate(self.families) if MEAN in family.roles]

    @property
    def are_exchangeable(self) -> bool:
        """Whether all experts have the same slopes: each its own of a column, or all one or none."""
        return not self.slopes or are_exchangeable(self.slopes)

    @property
    def can_reorder(self) -> bool:
        """Whether the experts can have any order."""
        return self.are_exchangeable and all(f == self.families[0] for f in self.families)

    def by_expert(self, theta: Array) -> Array:
        """Coefficients of each expert, (K, q), if experts can have any order."""
        return theta.reshape(self.n_experts, -1)

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) with the experts in another order."""
        return np.asarray(theta.reshape(self.n_experts, -1)[order].ravel())

    def in_order(self, order: Array) -> Experts:
        """The experts with what each of them has of its own in another order."""
        squares = np.array(self.penalties.get("predictor_squares", 0.0))
        return self.with_penalties({"predictor_squares": squares[order]}) if squares.ndim else self

    def support(self, y: Array) -> Array | None:
        """Rows that each expert can have made, boolean (K, n); None if all can have made all."""
        if all(family == self.families[0] for family in self.families):
            return None
        found = []
        for family in self.families:
            possible = family.in_support(y)
            others = sorted(self.atoms - set(family.atoms))
            if family.is_continuous and others:  # the density does not count there
                possible = possible & ~at_values(y, others)
            found.append(possible if possible.ndim == 1 else possible.all(axis=0))
        return np.stack(found)

    def initial_responsibilities(
        self, cells: Array, y: Array, rng: np.random.Generator | None
    ) -> Array:
        """Responsibilities (K, n) from those (K', n) of a partition for experts with predictors.

        Experts without predictor get a share of the rows in their support, and no expert has
        responsibility outside its support. Different families take the cells of the partition in
        random order, if there is a generator.
        """
        support = self.support(y)
        if support is None:
            return cells
        owners, order = self.with_predictor, np.arange(len(cells))
        if rng is not None and any(self.families[k] != self.families[owners[0]] for k in owners):
            order = rng.permutation(len(cells))
        resp = np.zeros((self.n_experts, cells.shape[1]))
        resp[owners] = cells[order][: len(owners)]
        for k, family in enumerate(self.families):
            if k not in owners:
                share = INITIAL_SHARE_OF_ATOM if family.atoms else OTHER_INITIAL_SHARE
                resp[k] = share * support[k]
        resp = (resp + TINY**0.5) * support
        return np.asarray(resp / np.maximum(resp.sum(axis=0), TINY))

    # --- scales ---

    def log_scales(self, theta: Array, data: Data) -> Array | None:
        """Logs of the scales at rows, (K, m, n) or (K, m, 1), NaN for experts without one.

        None if there is no scale: densities are unbounded as it goes to zero.
        """
        if (self.scale_index < 0).all():
            return None
        logs = np.where(self.scale_index < 0, np.nan, theta[self.scale_index])[..., None]
        if not self.dispersion_columns:
            return logs
        logs = np.repeat(logs, data.rows.n_rows, axis=2)
        for group in self.groups:
            if DISPERSION in group.roles and group.family.has_scale:
                etas = group.predictors(theta[None], data)
                own = etas[group.roles.index(DISPERSION)][:, 0]
                logs[group.parts, group.output or 0] = own
        return logs

    def dispersion_at_bound(self, theta: Array) -> Array:
        """Experts with a scale at its lower bound, boolean of shape (K,)."""
        if (self.scale_index < 0).all():
            return np.zeros(self.n_experts, dtype=bool)
        has_scale = self.scale_index >= 0
        if not has_scale.any():
            return np.zeros(self.n_experts, dtype=bool)
        at_bound = theta[self.scale_index] <= self.lower[self.scale_index]
        return np.asarray((at_bound & has_scale).any(axis=1))

    @property
    def sizes(self) -> Array:
        """Number of coefficients of each expert, (K,)."""
        return np.bincount(
            [block.part for block in self.blocks],
            [block.where.stop - block.where.start for block in self.blocks],
            self.n_experts,
        )

    @property
    def slope_owners(self) -> tuple[Array, Array]:
        """Expert and output of each vector of slopes of a mean, in the order of the blocks."""
        own = [block for block in self.blocks if block.role == MEAN]
        outputs = [b.predictor if self.families[b.part].couples_outputs else b.output for b in own]
        return np.array([b.part for b in own], dtype=int), np.array(outputs, dtype=int)

    def noise_shares(self, theta: Array, total: EStep) -> Array:
        """Part of each scale that is not the variance of predictors, (K, m); one without a scale."""
        added = np.array(self.penalties.get("predictor_squares", 0.0))
        if not added.any():
            return np.ones(self.unit_variance.shape)
        squares = np.broadcast_to(added, self.unit_variance.shape) * self.unit_variance
        rows = total.counts[:, :1] + self.penalties["dispersion_prior"]
        if self.shared_dispersion:
            strength = (self.n_experts - 1) * self.penalties["dispersion_prior"]
            squares, rows = squares[:1], (rows.sum(axis=0) - strength)[None]
        total = np.maximum(rows, TINY) * np.exp(theta[self.scale_index])
        return np.where(
            self.scale_index < 0, 1.0, np.maximum(1.0 - squares / total, MIN_NOISE_SHARE)
        )


    def scales(self, theta: Array, total: EStep) -> tuple[Array, Array]:
        """Scales relative to the variance of the working target, and their rows, (K, m).

        They are those of the noise, without the variances of the predictors; NaN without a scale.
        """
        scale = np.exp(theta[self.scale_index]) * self.noise_shares(theta, total)
        scale = np.where(self.scale_index < 0, np.nan, scale / self.unit_variance)
        return scale, np.repeat(total.counts[:, :1], self.n_outputs, axis=1)


def first_of(free: Array) -> Array:
    """The first of the coefficients that are equal, (R,), of the coordinates of all, (D,)."""
    distinct, first = np.unique(free, return_index=True)
    return first[distinct >= 0]


def without_dispersion(roles: Sequence[str]) -> tuple[str, ...]:
    """The roles of a family whose dispersions are the same for all rows."""
    return tuple(CONSTANT if role == DISPERSION else role for role in roles)


class Gate(DescribedGate, LinearPart):
    """A softmax gate: the categorical family, whose target are responsibilities."""

    def __init__(self, family: Any, n_columns: int, alpha: Any = 0.0) -> None:
        layout = Layout()
        role = GATE_ROLE if n_columns else CONSTANT
        width = n_columns or 1
        blocks = [layout.add(GATE, t, t, role, width) for t in range(len(family.roles))]
        group = Group(family, np.zeros(1, dtype=int), None, [blocks])
        self.groups, self.blocks, self.size = [group] if blocks else [], blocks, layout.size
        self.free = self.first = np.arange(self.size)
        self.lower, self.upper = np.repeat([[-np.inf], [np.inf]], self.size, axis=1)
        self.flat = self.start = np.zeros(self.size)
        self.family, self.is_constant = family, not n_columns
        self.penalties: dict[str, Any] = {}
        self._set_penalties({} if self.is_constant else {"alpha": alpha})

    def with_penalties(self, changes: dict[str, Any]) -> Gate:
        """The same gate with other penalties."""
        other = copy(self)
        other._set_penalties(self.penalties | changes)
        return other

    def _set_penalties(self, penalties: dict[str, Any]) -> None:
        self.penalties, precision = penalties, np.zeros(self.size)
        for block in self.blocks if penalties else ():
            precision[block.where.start : block.where.stop - 1] = penalties["alpha"]
        none = np.zeros(self.size)
        self.prior = Prior.of(precision, np.full(self.size, -1), none, none)

    can_reorder = True

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) with the experts in another order."""
        if not self.size:
            return theta
        contrasts = self.family.contrasts
        vectors = contrasts @ theta.reshape(contrasts.shape[1], -1)
        return np.asarray((contrasts.T @ vectors[order]).ravel())
