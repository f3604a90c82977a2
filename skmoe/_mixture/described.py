"""What a mixture shows of its coefficients: the blocks that tables list, and fitted attributes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import DISPERSION, GATE_ROLE, MEAN, Data
from skmoe._numerics.covariances import covariance_matrix
from skmoe._numerics.typing import Array
from skmoe.families import Normal
from skmoe.families._categorical import Categorical
from skmoe.protocols import Block, Correlation, Dispersion, LinearPredictor

# Attributes of the logs of dispersions that depend on features.
DISPERSION_COEF, DISPERSION_INTERCEPT = "expert_dispersion_coef_", "expert_dispersion_intercept_"


class Shown(NamedTuple):
    """A block of coefficients as tables list it, and where they are among the estimated ones.

    Those of a predictor are its coefficient vectors, one after the other; -1 for absent ones.
    """

    block: Block
    where: Array


class LinearPart:
    """What gate and experts with linear predictors have in common."""

    is_linear = True
    has_derivatives = True
    needs_all_rows = False
    blocks: Any
    size: int
    free: Array
    first: Array
    lower: Array
    upper: Array
    prior: Any
    penalties: dict[str, Any]
    set_penalties: Any

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


class DescribedExperts(LinearPart):
    """What experts with linear predictors show."""

    families: Sequence[Any]
    n_experts: int
    n_outputs: int
    n_columns: int
    dispersion_columns: tuple[int, ...]
    slopes: Any
    signs: Any
    of_experts: Any
    target: Any
    is_classifier: bool
    link: str
    slope_owners: Array  # expert and output of each vector of slopes of a mean

    # --- blocks ---

    def shown(self, k: int) -> list[Shown]:
        """The blocks of one expert: the predictor of the mean, and the dispersions."""
        return [Shown(block, self.free[where]) for block, where in self._located(k)]

    def _located(self, k: int) -> list[tuple[Block, Array]]:
        """These blocks, and where they are in the vector of all coefficients."""
        family, own = self.families[k], [b for b in self.blocks if b.part == k]
        by_predictor = [[b for b in own if b.predictor == t] for t in range(len(family.roles))]
        n_means = family.roles.count(MEAN)
        means, others = [b for b in own if b.predictor < n_means], by_predictor[n_means:]
        if family.couples_outputs:  # a block of all variances, and one of all correlations
            others = [own[n_means : 2 * n_means], own[2 * n_means :]]
        found: list[tuple[Block, Array]] = []
        if means:
            named: Any = {"link": family.link, "ratios": family.measures}
            block = LinearPredictor(**named, contrasts=contrasts_of(family))
            found.append((block, _coordinates(means)))
        for dispersion, blocks in zip(family.dispersions, others, strict=False):
            varies = blocks[0].role == DISPERSION
            own_block = self._varying(dispersion.name) if varies else dispersion
            found.append((own_block, _coordinates(blocks)))
        return found

    def _varying(self, name: str) -> LinearPredictor:
        """The predictor of the log of a dispersion that depends on features."""
        names = DISPERSION_COEF, DISPERSION_INTERCEPT, "dispersion_alpha"
        return LinearPredictor(
            name, "log_dispersion", "log", *names, columns=self.dispersion_columns
        )

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """The blocks that any expert has."""
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
        slopes, intercepts = units.expert_coefficients(self._vectors(theta))
        unit = np.ones(1)
        if units.target_scaling is not None:
            center, unit = units.target_scaling
            slopes, intercepts = slopes * unit[:, None], center + unit * intercepts
            intercepts[[MEAN not in family.roles for family in self.families]] = np.nan
        found = {"expert_coef_": slopes, "expert_intercept_": intercepts}
        found |= self._dispersions(theta, units, unit)
        if intercepts.shape[1] == 1:
            found = {name: values[:, 0] for name, values in found.items()}
        if any(family.couples_outputs for family in self.families):
            found["expert_covariance_"] = self._covariances(theta, unit)
        if self.signs:
            is_held = (theta == self.lower) | (theta == self.upper)
            is_held = (is_held & (self.free >= 0)).astype(float)  # absent slopes are zero as well
            held = units.expert_coefficients(self._vectors(is_held))[0] != 0.0
            found["slopes_at_bound_"] = held.reshape(found["expert_coef_"].shape)
        is_normal = all(family == Normal() for family in self.families)
        if self.is_classifier or (is_normal and not self.slopes and not self.dispersion_columns):
            return found
        families = [family.in_units(units.target_scaling) for family in self.families]
        return found | {"families_": families}

    def _vectors(self, theta: Array) -> Array:
        """Coefficients (K, V, d) of the linear predictors of the means; zeros without any."""
        of_means = [theta[block.where] for block in self.blocks if block.role == MEAN]
        if self.is_classifier:
            contrasts = getattr(self.families[0], "contrasts", np.eye(1))
            contrasts = np.eye(1) if len(contrasts) == 2 else contrasts  # log odds are shown
            vectors = np.reshape(of_means, (self.n_experts, -1, self.n_columns))
            return np.asarray(contrasts @ vectors)
        found = np.zeros((self.n_experts, self.n_outputs, self.n_columns))
        for k, output, own in zip(*self.slope_owners, of_means, strict=True):
            found[k, output] = own
        return found

    def _logs(self, theta: Array, k: int) -> list[Array]:
        """Logs (m,) of the dispersions of an expert, at the means of the features."""
        widths = {True: 1, False: 1 + len(self.dispersion_columns)}
        return [
            theta[where].reshape(-1, widths[block.is_dispersion])[:, -1]
            for block, where in self._located(k)
            if not block.is_main
        ]

    def _dispersions(self, theta: Array, units: Any, unit: Array) -> dict[str, Any]:
        """Dispersions, and predictors of their logs, of each expert and output."""
        shape = self.n_experts, self.n_outputs
        found: dict[str, Any] = {}
        of_features = np.full((*shape, self.n_columns), np.nan)
        values: dict[Dispersion, Array] = {}
        for k, output, predictor, role, where in self.blocks:
            family = self.families[k]
            number = predictor - family.roles.count(MEAN)
            if family.couples_outputs:  # all variances, and then all correlations
                output, number = number, int(number >= self.n_outputs)
            dispersion = family.dispersions[number] if number >= 0 else None
            if dispersion is None or isinstance(dispersion, Correlation):
                continue
            value = np.exp(theta[where.stop - 1])
            if number == 0:
                value = value * np.broadcast_to(family.dispersion_unit, shape[1])[output]
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

    def _covariances(self, theta: Array, unit: Array) -> Array:
        """Covariance matrices (K, m, m) of the outputs, or of their logarithms."""
        matrices = []
        for k, family in enumerate(self.families):
            log_variance, *fisher_z = self._logs(theta, k)
            matrix = covariance_matrix(log_variance, np.concatenate([np.zeros(0), *fisher_z]))
            matrices.append(matrix * np.outer(unit, unit) ** family.standardizes_target)
        return np.stack(matrices)

    # --- sums and derivatives at rows ---

    def intercept_information(self, theta: Array, data: Data, weight: Array) -> Array:
        """Information about the intercept of each response of each expert, (K, V).

        `weight` (K, n) is that of rows. A row counts for a logit by p (1 - p): not at all where the
        choice is certain.
        """
        contrasts = contrasts_of(self.families[0])
        n_vectors = self.n_outputs if contrasts is None else len(contrasts)
        found = np.full((self.n_experts, n_vectors), np.inf)
        for k, group, family, eta in self.of_experts(theta, data, range(self.n_experts)):
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


def contrasts_of(family: Any) -> Array | None:
    """Matrix (V, T) from the predictors of a family to those that are shown; None if the same.

    The predictor of two classes is their log odds, which is shown.
    """
    is_shown = not isinstance(family, Categorical) or family.n_classes == 2
    return None if is_shown else family.contrasts


def _coordinates(blocks: Sequence[Any]) -> Array:
    return np.concatenate([np.r_[block.where] for block in blocks])
