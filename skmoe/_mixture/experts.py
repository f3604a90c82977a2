"""Experts with linear predictors, and the softmax gate: how their blocks are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from skmoe._data.censored_targets import simplified
from skmoe._mixture.chain import stationary
from skmoe._mixture.joint_prior import JointPrior
from skmoe._mixture.mixture import (
    CONSTANT,
    DISPERSION,
    GATE_ROLE,
    MEAN,
    OF_GATE,
    Block,
    Data,
    EStep,
    Group,
    Limits,
    Prior,
    at_values,
)
from skmoe._numerics.signed_steps import are_exchangeable, slope_holders
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._components import take_rows
from skmoe.families import Normal
from skmoe.families._base import of_output
from skmoe.families._categorical import Categorical
from skmoe.families._censored import of_target
from skmoe.families._product import of_observed
from skmoe.protocols import Block as ShownBlock
from skmoe.protocols import Correlation, Dispersion, LinearPredictor

# Least part of a scale that is noise.
MIN_NOISE_SHARE = 0.1


# Responsibility for initial values of an expert without predictor, of the rows in its support: of a
# point mass, and of a distribution over all values.
INITIAL_SHARE_OF_ATOM = 0.5
OTHER_INITIAL_SHARE = 0.05

# Attributes of the logs of dispersions that depend on features.
DISPERSION_COEF, DISPERSION_INTERCEPT = "expert_dispersion_coef_", "expert_dispersion_intercept_"


# Which penalty the slopes of a role have.
PENALTY_OF_ROLE = {GATE_ROLE: "alpha", MEAN: "alpha", DISPERSION: "dispersion_alpha"}


class Shown(NamedTuple):
    """A block of coefficients as tables list it, and where they are among the estimated ones.

    Those of a predictor are its coefficient vectors, one after the other; -1 for absent ones.
    """

    block: ShownBlock
    where: Array


class LinearPart:
    """What gate and experts with linear predictors have in common."""

    is_linear = has_derivatives = True
    needs_all_rows = shared_dispersion = False
    families: Sequence[Any] = ()
    # Coordinate of the log scale of each expert and output, -1 without one, (K, m), and of that to
    # which the precision of each coefficient is relative, (D,).
    scale_index = np.full((1, 1), -1)
    own_scales: Array
    prior: Any
    blocks: list[Block]
    size: int
    n_outputs: int
    free: Array
    first: Array
    lower: Array
    upper: Array
    unit_variance: Array
    groups: list[Group]

    def set_penalties(self, penalties: dict[str, Any]) -> None:
        """Sets the prior that penalties are."""
        self.penalties = penalties
        # Squares that the uncertainty of slopes adds to those of residuals, (K, m) or a number.
        added = np.array(penalties.get("predictor_squares", 0.0))
        self.added_squares = np.diagonal(added, axis1=1, axis2=2) if added.ndim == 3 else added
        precision, strength, squares = np.zeros((3, self.size))
        for block in self.blocks:
            if block.role != CONSTANT:
                slopes = slice(block.where.start, block.where.stop - 1)
                precision[slopes] = penalties[PENALTY_OF_ROLE[block.role]]
        has_scale = self.scale_index >= 0
        if has_scale.any():
            rows, noise = penalties["dispersion_prior"], np.array(penalties["noise_variance"])
            of_noise = rows * noise + self.added_squares
            of_noise = np.broadcast_to(of_noise, has_scale.shape) * self.unit_variance
            if self.shared_dispersion:  # a shared scale has one prior
                has_scale[1 + has_scale.any(axis=1).argmax() :] = False
            strength[self.scale_index[has_scale]] = rows
            squares[self.scale_index[has_scale]] = of_noise[has_scale]
        if len(self.first) < self.size:
            precision = precision / np.maximum(np.bincount(self.free + 1)[self.free + 1], 1)
        self.prior = Prior(precision, self.own_scales, strength, squares)
        if any(family.couples_outputs for family in self.families):
            std = np.sqrt(self.unit_variance)
            products = added * std[:, :, None] * std[:, None]
            if self.shared_dispersion:
                products[1:] = 0.0
            index = np.arange(self.n_outputs)
            products[:, index, index] = squares[self.scale_index]
            self.prior = JointPrior.of_group(self.prior, self.groups[0], products)

    def with_penalties(self, changes: dict[str, Any]) -> Any:
        """The same part with other penalties."""
        other = copy(self)
        other.set_penalties(self.penalties | changes)
        return other

    def changed(self, **values: Any) -> Any:
        """The same part with other attributes."""
        other = copy(self)
        vars(other).update(values)
        return other

    def n_parameters(self, theta: Array) -> float:
        """Number of coefficients that are estimated; those that are shared count once.

        Slopes that are zero in all vectors, as those of constant and of dropped features, do not
        count, unless it is their sign that keeps them there.
        """
        is_counted = np.zeros(self.size, dtype=bool)
        is_counted[self.first] = True
        vectors = [np.r_[b.where] for b in self.blocks if b.role in (MEAN, GATE_ROLE)]
        if vectors:
            index = np.stack(vectors)
            has_sign = (self.lower == 0.0) | (self.upper == 0.0)
            is_used = (theta != 0.0) | (has_sign & ~self.prior.dropped)
            is_used = is_used[index].any(axis=0)
            is_used[-1] = True
            is_counted[index] &= is_used
        return float(is_counted.sum())


class Experts(LinearPart):
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
    outermost_rows : ndarray of shape (R, e)
        Rows of the latter columns between which the log dispersions are bounded.
    shared_dispersion, shared_effects : bool
        Whether all experts have the same dispersions, and covariances of random effects.
    have_slope : dict of str to ndarray of shape (m, p)
        Of roles which columns have a slope in each output, if they differ.
    observed : float or ndarray of shape (m,)
        Part of the rows in which each output is observed.
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
        outermost_rows: Any = None,
        shared_dispersion: bool = False,
        shared_effects: bool = False,
        have_slope: Any = (),
        observed: Any = 1.0,
    ) -> None:
        families = list(families)
        self.families, self.n_experts = families, len(families)
        self.atoms = tuple(sorted({atom for family in families for atom in family.atoms}))
        self.unit_variance, self.n_outputs = unit_variance, unit_variance.shape[1]
        self.observed = np.broadcast_to(observed, self.n_outputs)
        # The family of each expert and output, or of all outputs at once.
        self.by_output = [
            f.outcomes or [f] * (1 if f.couples_outputs else self.n_outputs) for f in families
        ]
        self.n_columns, self.slopes, self.signs = n_columns, slopes, signs
        self.shared_dispersion = shared_dispersion
        # Whether each expert can have made each row, and begins with a cell of a partition.
        self.has_one_family = all(f == families[0] and MEAN in f.roles for f in families)
        self.are_exchangeable = not slopes or are_exchangeable(slopes)
        self.can_reorder = self.are_exchangeable and self.has_one_family
        self.with_predictor = [k for k, f in enumerate(families) if MEAN in f.roles]
        each = dict.fromkeys(family for own in self.by_output for family in own)
        links = {family.link for family in each if family.link}
        has_some = bool(families[0].outcomes) and "log" in links  # which have the offset
        self.is_classifier, self.takes_offset = links == {"softmax"}, has_some or links == {"log"}
        self.link = "logit" if self.is_classifier else links.pop() if len(links) == 1 else ""
        self.explains_mean = not self.is_classifier and np.inf not in self.atoms
        self.can_separate = all(f.is_count for f in families)
        varies = dispersion_columns and any(DISPERSION in family.roles for family in families)
        self.dispersion_columns = dispersion_columns if varies else ()
        widths = {MEAN: n_columns, CONSTANT: 1, DISPERSION: 1 + len(self.dispersion_columns)}
        self.blocks: list[Block] = []
        self.size = 0
        of_groups: dict[tuple[int, int | None], list[tuple[int, list[Block]]]] = {}
        for k, family in enumerate(families):
            for output in [None] if family.couples_outputs else range(self.n_outputs):
                own = []
                for t, role in enumerate(self.by_output[k][output or 0].roles):
                    role = CONSTANT if role == DISPERSION and not varies else role
                    where = slice(self.size, self.size + widths[role])
                    own.append(Block(k, output or 0, t, role, where))
                    self.size = where.stop
                self.blocks += own
                of_groups.setdefault((families.index(family), output), []).append((k, own))
        self.groups = []
        for (i, output), members in of_groups.items():
            family = self.by_output[i][output or 0]
            if output is not None and family.output_fields:
                family = of_output(family, output)
            numbers, blocks = zip(*members, strict=True)
            self.groups.append(Group(family, np.array(numbers), output, blocks))
        # The expert of each coefficient, and the number of those of each expert, (K,).
        parts = np.array([block.part for block in self.blocks], dtype=int)
        self.owners = np.repeat(parts, [b.where.stop - b.where.start for b in self.blocks])
        self.sizes = np.bincount(self.owners, minlength=self.n_experts)
        self.free = self.first = np.arange(self.size)
        if slopes or shared_dispersion or shared_effects or have_slope:
            self._set_shared(slopes, shared_effects, have_slope)
        self._set_bounds(variance_floor, starts, outermost_rows)
        self.set_penalties(penalties)

    def _set_bounds(self, floor: Array, starts: Any, outermost: Any) -> None:
        """Sets where coefficients begin and end, and where the log scales are."""
        self.lower, self.upper = np.repeat([[-np.inf], [np.inf]], self.size, axis=1)
        self.flat, self.start = np.zeros((2, self.size))
        self.scale_index = np.full((self.n_experts, self.n_outputs), -1)
        owners, of_slopes = [], []  # expert and output of each vector of slopes of a mean
        for k, number, t, role, where in self.blocks:
            family, last = self.by_output[k][number], where.stop - 1
            n_means, is_joint = family.roles.count(MEAN), family.couples_outputs
            self.start[last] = starts[k][number][t]
            output = (t if t < n_means else t - n_means) if is_joint else number
            if t < n_means:
                owners.append((k, min(output, self.n_outputs - 1)))
                of_slopes.append(slice(where.start, last))
                for column, sign in enumerate(self.signs):
                    if sign:
                        (self.lower if sign > 0 else self.upper)[where.start + column] = 0.0
                continue
            low, high = family.log_dispersion_bounds[t - n_means]
            if family.has_scale and (is_joint or t == n_means) and output < self.n_outputs:
                self.scale_index[k, output] = last
                unit = self.unit_variance[k, output]
                low = np.log(floor[output] * unit)
                high += np.log(max(unit, 1.0)) * family.widens_bounds
            high += np.log(family.factors_on_features[0]) * (role == DISPERSION)
            self.lower[last], self.upper[last], self.flat[last] = low, high, family.flat_margin
        self.slope_owners = np.array(owners, dtype=int).reshape(-1, 2).T
        self.own_scales = np.full(self.size, -1)
        for owner, slopes in zip(owners, of_slopes, strict=True):
            self.own_scales[slopes] = self.scale_index[owner]
        for group in self.groups if self.dispersion_columns else ():
            if DISPERSION in group.roles:
                last = group.index[group.roles.index(DISPERSION)][:, -1]
                at_means, *factors = group.family.factors_on_features
                above = np.log(factors) - np.log(at_means)
                group.set_limits(Limits(self.lower[last], self.upper[last], outermost, above))

    def _set_shared(self, slopes: Any, shared_effects: bool, have_slope: Any) -> None:
        """Sets the coordinate of each coefficient among those that are estimated."""
        index = np.arange(self.size)
        if slopes:
            has_mean = np.array([MEAN in family.roles for family in self.families])
            holders = slope_holders(slopes, has_mean, self.n_columns)
            starts = {(b.part, b.output, b.predictor): b.where.start for b in self.blocks}
            for block in (b for b in self.blocks if b.role == MEAN):
                for column, holder in enumerate(holders[block.part]):
                    held = starts[max(holder, 0), block.output, block.predictor] + column
                    index[block.where.start + column] = held if holder >= 0 else -1
        if self.shared_dispersion or shared_effects:
            is_shared = {False: self.shared_dispersion, True: shared_effects}
            others = [b for b in self.blocks if b.role != MEAN]
            # Some blocks are of the covariances of random effects.
            of_effects = [self.families[b.part].couples_rows and b.predictor > 1 for b in others]
            others = [b for b, own in zip(others, of_effects, strict=True) if is_shared[own]]
            of_first = {(b.output, b.predictor): b.where for b in reversed(others)}
            for block in others:
                index[block.where] = np.r_[of_first[block.output, block.predictor]]
        for block in (b for b in self.blocks if b.role in have_slope):
            absent = np.flatnonzero(~have_slope[block.role][block.output])
            index[block.where.start + absent] = -1
        used, first = np.unique(index, return_index=True)
        self.first, used = first[used >= 0], used[used >= 0]
        self.free = np.where(index < 0, -1, np.searchsorted(used, index))

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
            return take_rows(family.components(()), np.zeros(n_rows, dtype=int))
        rows = [[np.broadcast_to(eta, n_rows) for eta in own[3]] for own in of_outputs]
        if len(rows) == 1 or family.outcomes:
            return family.components(rows if family.outcomes else rows[0])
        return family.components([np.stack(own) for own in zip(*rows, strict=True)])

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
                    own = [eta[p, 0] for eta in etas]
                    if group.family.couples_rows:
                        known = data.known and [v[k, group.output] for v in data.known]
                        own = group.family.predictive(own, data.designs[MEAN], known)
                    yield k, group, group.family, own

    # --- the target, and which experts can have made a row ---

    def target(self, group: Group, data: Data) -> tuple[Any, Any, Array | None]:
        """Family and outputs of a group, and the rows outside its support, where one is in place.

        The family is that of bounds where outputs are censored, whatever those of the fit were. At
        values with positive probability under other experts, a density does not count.
        """
        key = id(group.family), group.output
        if key not in data.targets:
            y = data.rows.y
            y = y if group.output is None or y.ndim == 1 else y[group.output]
            y = simplified(y) if y.dtype.names else y
            family: Any = of_target(group.family, y) if y.dtype.names else group.family
            possible, beyond = self.in_support(group.family, y), None
            if not possible.all():
                if y.dtype.names is None and np.isnan(y).any():
                    family, y, possible = of_observed(family, y, possible)
                y = np.where(possible, y, np.ones((), y.dtype))
                beyond = ~(possible if possible.ndim == 1 else possible.all(axis=0))
            if family.couples_rows:
                family = family.of_rows(y, data.rows.units, data.designs[MEAN])
            data.targets[key] = family, y, beyond
        target: tuple[Any, Any, Array | None] = data.targets[key]
        return target

    def in_support(self, family: Any, y: Array) -> Array:
        """Whether each output is possible under a family, and has no probability under others."""
        possible = (of_target(family, y) if y.dtype.names else family).in_support(y)
        if self.atoms and family.is_continuous:
            others = [atom for atom in self.atoms if atom not in family.atoms]
            possible = possible & ~at_values(y, others)
        return np.asarray(possible)

    can_collapse = True

    @property
    def has_distribution(self) -> bool:
        """Whether the distributions of all experts are known."""
        return all(family.components for family in self.families)

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

    def support(self, y: Array) -> Array:
        """Rows that each expert can have made, boolean (K, n)."""
        found = [self.in_support(family, y) for family in self.families]
        return np.stack([own if own.ndim == 1 else own.all(axis=0) for own in found])

    def initial_responsibilities(
        self, cells: Array, y: Array, rng: np.random.Generator | None
    ) -> Array:
        """Responsibilities (K, n) from those (K', n) of a partition for experts with predictors.

        Experts without predictor get a share of the rows in their support, and no expert has
        responsibility outside its support. Different families take the cells of the partition in
        random order, if there is a generator.
        """
        support = self.support(y)
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

    # --- scales, from coefficients of the experts or of a mixture, where they come first ---

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
        has_scale = self.scale_index >= 0
        if not has_scale.any():
            return np.zeros(self.n_experts, dtype=bool)
        if self.prior.joint:
            return self.prior.at_floor(theta, self.lower)
        at_bound = theta[self.scale_index] <= self.lower[self.scale_index]
        return np.asarray((at_bound & has_scale).any(axis=1))

    def noise_shares(self, theta: Array, total: EStep) -> Array:
        """Part of each scale that is no variance of predictors, (K, m); one without a scale."""
        added = self.added_squares
        if not added.any():
            return np.ones(self.unit_variance.shape)
        squares = np.broadcast_to(added, self.unit_variance.shape) * self.unit_variance
        rows = total.counts[:, :1] * self.observed + self.penalties["dispersion_prior"]
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
        scale = np.exp(np.append(theta, 0.0)[self.scale_index]) * self.noise_shares(theta, total)
        scale = np.where(self.scale_index < 0, np.nan, scale / self.unit_variance)
        return scale, total.counts[:, :1] * self.observed

    # --- blocks ---

    def shown(self, k: int) -> list[Shown]:
        """The blocks of one expert: the predictor of the mean, and the dispersions.

        Outcomes of different families have blocks of their own.
        """
        found: list[tuple[ShownBlock, list[Block]]] = []
        outcomes = self.families[k].outcomes
        for output, family in enumerate(outcomes) if outcomes else [(None, self.families[k])]:
            own = [b for b in self.blocks if b.part == k and output in (None, b.output)]
            by_predictor = [[b for b in own if b.predictor == t] for t in range(len(family.roles))]
            n_means = family.roles.count(MEAN)
            means, others = [b for b in own if b.predictor < n_means], by_predictor[n_means:]
            if family.couples_outputs:  # a block of all variances, and one of all correlations
                others = [own[n_means : 2 * n_means], own[2 * n_means :]]
            elif family.couples_rows:  # one of the covariances of all effects
                others = [others[0], [b for b in own if b.predictor > 1]]
            if means:
                named: Any = {"link": family.link, "ratios": family.measures, "output": output}
                found.append((LinearPredictor(**named, contrasts=contrasts_of(family)), means))
            for dispersion, blocks in zip(family.dispersions, others, strict=False):
                varies = blocks[0].role == DISPERSION
                block = self._varying(dispersion.name) if varies else dispersion
                found.append((block if output is None else replace(block, output=output), blocks))
        if outcomes:
            found.sort(key=lambda pair: not pair[0].is_main)
        return [
            Shown(block, np.concatenate([self.free[each.where] for each in blocks]))
            for block, blocks in found
        ]

    def _varying(self, name: str) -> LinearPredictor:
        """The predictor of the log of a dispersion that depends on features."""
        names = DISPERSION_COEF, DISPERSION_INTERCEPT, "dispersion_alpha"
        return LinearPredictor(
            name, "log_dispersion", "log", *names, columns=self.dispersion_columns
        )

    @property
    def all_blocks(self) -> tuple[ShownBlock, ...]:
        """The blocks that any expert has."""
        if any(family.outcomes for family in self.families):
            return tuple(own.block for own in self.shown(0))
        of_means, varying = LinearPredictor(link=self.link), []
        if self.is_classifier:
            contrasts = contrasts_of(self.families[0])
            of_means = LinearPredictor(link="softmax", contrasts=contrasts)
        constant: dict[Dispersion, Dispersion] = {}
        for family in dict.fromkeys(self.families):
            varies = bool(self.dispersion_columns) and DISPERSION in family.roles
            varying += [d.name for d in family.dispersions[: int(varies)]]
            constant |= {d: d for d in family.dispersions[int(varies) :]}
        name = varying[0] if len(set(varying)) == 1 else "dispersion"
        return (of_means, *([self._varying(name)] if varying else []), *constant.values())

    # --- fitted attributes ---

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Coefficients and dispersions in the units of the data, by the names of attributes.

        The intercepts of experts without linear predictor, and dispersions that an expert does not
        have, are NaN. `units` is the preprocessor.
        """
        is_held = ((theta == self.lower) | (theta == self.upper)) & (self.free >= 0)
        both = np.stack([theta, is_held])
        n_vectors = self.families[0].roles.count(MEAN) if self.is_classifier else self.n_outputs
        vectors = np.zeros((2, self.n_experts, n_vectors, self.n_columns))
        for k, output, predictor, role, where in self.blocks:
            if role == MEAN:
                by_predictor = self.is_classifier or self.families[k].couples_outputs
                vectors[:, k, predictor if by_predictor else output] = both[:, where]
        contrasts = contrasts_of(self.families[0]) if self.is_classifier else None
        vectors = vectors if contrasts is None else contrasts @ vectors
        slopes, intercepts = units.expert_coefficients(vectors[0])
        unit = np.ones(1)
        if units.target_scaling is not None:
            center, unit = units.target_scaling
            slopes, intercepts = slopes * unit[:, None], center + unit * intercepts
            intercepts[[MEAN not in family.roles for family in self.families]] = np.nan
        found = {"expert_coef_": slopes, "expert_intercept_": intercepts}
        found |= self._dispersions(theta, units, unit)
        if self.families[0].couples_rows:
            found["random_covariance_"] = self._effect_covariances(theta, units, unit)
        if intercepts.shape[1] == 1:
            found = {name: values[:, 0] for name, values in found.items()}
        if self.prior.joint:  # of the outputs, or of their logarithms
            power = self.families[0].standardizes_target
            covariances = self.prior.joint.covariance(theta) * np.outer(unit, unit) ** power
            found["expert_covariance_"] = covariances
        if self.signs:  # absent slopes are zero as well
            held = units.expert_coefficients(vectors[1])[0] != 0.0
            found["slopes_at_bound_"] = held.reshape(found["expert_coef_"].shape)
        is_normal = all(family == Normal() for family in self.families)
        if self.is_classifier or (is_normal and not self.slopes and not self.dispersion_columns):
            return found
        families = [family.in_units(units.target_scaling) for family in self.families]
        return found | {"families_": families}

    def _effect_covariances(self, theta: Array, units: Any, unit: Array) -> Array:
        """Covariances of random effects in the units of the data, (K, m, q, q)."""
        columns = self.families[0].columns
        vectors = np.zeros((self.n_experts, self.n_outputs, len(columns), self.n_columns))
        for group in self.groups:
            factors = group.family.factor([theta[index[:, 0]] for index in group.index])
            for i, column in enumerate(columns):
                vectors[group.parts, group.output, :, column] = factors[i].T
        slopes, intercepts = units.expert_coefficients(vectors)
        used = np.arange(slopes.shape[-1]) if units.expert_columns is None else units.expert_columns
        slopes = slopes[..., used[list(columns[1:])]]
        factors = np.concatenate([intercepts[..., None], slopes], axis=-1) * unit[:, None, None]
        return np.swapaxes(factors, -1, -2) @ factors

    def _dispersions(self, theta: Array, units: Any, unit: Array) -> dict[str, Any]:
        """Dispersions, and predictors of their logs, of each expert and output."""
        shape = self.n_experts, self.n_outputs
        found: dict[str, Any] = {}
        of_features = np.full((*shape, self.n_columns), np.nan)
        values: dict[Dispersion, Array] = {}
        for k, output, predictor, role, where in self.blocks:
            family = self.by_output[k][output]
            number = predictor - family.roles.count(MEAN)
            if family.couples_outputs:  # all variances, and then all correlations
                output, number = number, int(number >= self.n_outputs)
            if family.couples_rows and number > 0:
                continue
            dispersion = family.dispersions[number] if role != MEAN else None
            if dispersion is None or isinstance(dispersion, Correlation):
                continue
            value = np.exp(theta[where.stop - 1])
            if number == 0:
                value = value * np.resize(family.dispersion_unit, shape[1])[output]
                value = value * np.exp(units.log_n)
                value = value * unit[output] ** 2 if family.standardizes_target else value
            values.setdefault(dispersion, np.full(shape, np.nan))[k, output] = value
            if role == DISPERSION:
                of_features[k, output] = 0.0
                of_features[k, output, self.dispersion_columns] = theta[where][:-1]
                of_features[k, output, -1] = np.log(value)
        if self.dispersion_columns:
            predictors = units.expert_coefficients(of_features)
            predictors[0][np.isnan(of_features[..., -1])] = np.nan
            found |= zip((DISPERSION_COEF, DISPERSION_INTERCEPT), predictors, strict=True)
        for dispersion, own in values.items():
            if dispersion.position is not None:
                known = found.get(dispersion.attribute, np.zeros((*shape, 0)))
                own = np.concatenate([known, own[..., None]], axis=-1)
            found[dispersion.attribute] = own
        return found

    # --- sums and derivatives at rows ---

    def intercept_information(self, theta: Array, data: Data, weight: Array) -> Array:
        """Information about the intercept of each response of each expert, (K, V).

        `weight` (K, n) is that of rows. A row counts for a logit by p (1 - p): not at all where the
        choice is certain. Densities are never certain.
        """
        contrasts = contrasts_of(self.families[0])
        n_vectors = self.n_outputs if contrasts is None else len(contrasts)
        found = np.full((self.n_experts, n_vectors), np.inf)
        for k, group, family, eta in self.of_experts(theta, data, range(self.n_experts)):
            if family.is_continuous:
                continue
            family, y, _ = self.target(group, data)
            n_means = group.roles.count(MEAN)
            terms: Any = family.derivatives(y, eta) if n_means else [0, 0, {}]
            _, _, information, *_ = terms
            matrix = np.zeros((n_means, n_means))
            for (t, u), values in information.items():
                if u < n_means:
                    matrix[t, u] = matrix[u, t] = (weight[k] * values).sum()
            if contrasts is not None:
                found[k] = ((contrasts @ matrix) * contrasts).sum(axis=1)
            elif n_means:
                found[k, group.output or 0] = matrix[0, 0]
        return found

    def mean_slopes(self, theta: Array, data: Data) -> Array:
        """Derivatives (B, K, m, n) of the means by their linear predictors.

        With dispersions that depend on features B is two: there are those by their logs as well.
        """
        roles = (MEAN, DISPERSION) if self.dispersion_columns else (MEAN,)
        found = np.zeros((len(roles), self.n_experts, self.n_outputs, data.rows.n_rows))
        for k, group, family, eta in self.of_experts(theta, data, range(self.n_experts)):
            output = slice(None) if group.output is None else group.output
            for t, slope in enumerate(family.mean_derivatives(eta)):
                if group.roles[t] in roles:
                    found[roles.index(group.roles[t]), k, output] += slope
        return found


class Gate(LinearPart):
    """A softmax gate: the categorical family, whose target are responsibilities.

    With transitions there are several: one of the first rows of series, which is constant, and one
    for each expert that the row before can have.
    """

    def __init__(self, family: Any, n_columns: int, alpha: Any = 0.0, *, initial: str = "") -> None:
        self.blocks: list[Block] = []
        self.gates: list[list[list[Block]]] = []  # the blocks of each part of each gate
        self.size, self.persists, self.is_stationary = 0, bool(initial), initial == "stationary"
        parts = [(1, n_columns)]
        if self.persists:
            initial_part = [] if self.is_stationary else [(1, 0)]
            parts = [*initial_part, (family.n_classes, n_columns)]
        for n_parts, columns in parts:
            self.gates.append([])
            for _ in range(n_parts):
                own, role, width = [], GATE_ROLE if columns else CONSTANT, columns or 1
                for t in range(len(family.roles)):
                    own.append(Block(OF_GATE, t, t, role, slice(self.size, self.size + width)))
                    self.size += width
                self.gates[-1].append(own)
                self.blocks += own
        self.free = self.first = np.arange(self.size)
        self.lower, self.upper = np.repeat([[-np.inf], [np.inf]], self.size, axis=1)
        self.flat = self.start = np.zeros(self.size)
        self.own_scales = np.full(self.size, -1)
        self.family, self.is_constant = family, not n_columns
        self.depends_on_features = not self.is_constant
        self.set_penalties({} if self.is_constant else {"alpha": alpha})

    can_reorder = True

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) with the experts in another order."""
        if not self.size:
            return theta
        contrasts = self.family.contrasts
        if not self.persists:
            vectors = contrasts @ theta.reshape(contrasts.shape[1], -1)
            return np.asarray((contrasts.T @ vectors[order]).ravel())
        found = [contrasts.T @ (contrasts @ own)[:, order] for own in self.vectors(theta)]
        found[-1] = found[-1][order]  # of transitions from each expert
        return np.concatenate([own.ravel() for own in found])

    def vectors(self, theta: Array) -> list[Array]:
        """Coefficients of the predictors of each gate, (P, K - 1, d)."""
        sizes = [sum(b.where.stop - b.where.start for o in own for b in o) for own in self.gates]
        parts = np.split(theta, np.cumsum(sizes)[:-1])
        shape = self.family.contrasts.shape[1]
        return [
            part.reshape(len(own), shape, -1) for part, own in zip(parts, self.gates, strict=True)
        ]

    # --- what tables show ---

    @property
    def shown(self) -> list[Shown]:
        """A block of each part of each gate."""
        names = [("gate_coef_", "gate_intercept_")]
        if self.persists:
            names = [("initial_intercept_",) * 2, ("transition_coef_", "transition_intercept_")]
            names = names[self.is_stationary :]
        found = []
        for of_gate, parts in zip(names, self.gates, strict=True):
            block = LinearPredictor("", "", "softmax", *of_gate, contrasts=self.family.contrasts)
            for own in parts:
                found.append(Shown(block, np.concatenate([np.r_[b.where] for b in own])))
        return found

    def coefficients(self, theta: Array, n_columns: int) -> Any:
        """Coefficients (K, d) of the logits, or logs of constant probabilities as intercepts."""
        contrasts = self.family.contrasts
        if self.persists:  # of the first rows (K,), and of transitions (K, K, d)
            of_gates = self.vectors(theta) if self.size else list(np.zeros((2, 1, 0, 1)))
            logits = contrasts @ of_gates[-1]
            if logits.shape[-1] < n_columns:
                zeros = np.zeros((*logits.shape[:-1], n_columns - 1))
                logits = np.concatenate([zeros, log_softmax(logits, axis=1)], axis=-1)
            if self.is_stationary:
                return np.log(stationary(softmax(logits[..., -1], axis=1))), logits
            return (contrasts @ of_gates[0])[0, :, 0], logits
        if self.is_constant:
            logs = log_softmax(contrasts @ theta[:, None], axis=0)
            return np.hstack([np.zeros((len(contrasts), n_columns - 1)), logs])
        vectors = theta.reshape(contrasts.shape[1], n_columns)
        return np.asarray(contrasts @ vectors)


def contrasts_of(family: Any) -> Array | None:
    """Matrix (V, T) from the predictors of a family to those that are shown; None if the same.

    The predictor of two classes is their log odds, which is shown.
    """
    is_shown = not isinstance(family, Categorical) or family.n_classes == 2
    return None if is_shown else family.contrasts
