"""The fitted mixture: its predictions for new rows, and how it uses its experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import Dataset, Rows
from skmoe._mixture.chain import stationary
from skmoe._mixture.mixture import MEAN, Data, Mixture, balance_prior
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.probability import (
    is_collapsed,
    keep_top_k,
    log_normalise,
    log_probability,
    normalised_top_k,
    underflow_to_zero,
)
from skmoe._numerics.typing import Array
from skmoe.distributions import PredictiveDistribution, concatenate_rows, predictive_distribution
from skmoe.distributions._components import OutcomeComponents, expand_rows
from skmoe.distributions._outcomes import OutcomeDistribution


class Effects(NamedTuple):
    """Random effects of rows, in units of the standardised y, (K, m, n)."""

    shift: Array  # of the means of the experts
    variance: Array  # that is left


class FittedMixture(NamedTuple):
    """Mixture, its coefficients (D,) in standardised units, and the preprocessor."""

    mixture: Mixture
    theta: Array
    preprocessor: Preprocessor

    def data(self, rows: Dataset) -> Data:
        """A block of rows as the mixture reads it."""
        return Data(rows, self.mixture.experts.dispersion_columns)

    def log_gate(self, X: Any) -> Array:
        """Log gate probabilities, (K, n); minus infinity where a row is not routed."""
        return self._map_blocks(X, lambda data, _: self.gate_logs(data))

    def predict_experts(self, X: Any, offset: Array | None = None) -> Array:
        """Mean of each expert (K, m, n) in the units of y, or class probabilities (K, C, n)."""
        return self._map_blocks(X, lambda data, added: self.means(data) + added, offset)

    def log_gate_of_units(self, rows: Rows) -> Array:
        """Log gate probabilities of units, (K, U)."""
        return self.gate_logs(self.data(self.preprocessor.transform_units(rows)))

    @underflow_to_zero
    def predict(
        self,
        X: Any,
        offset: Array | None = None,
        gate_prob: Array | None = None,
        effects: Effects | None = None,
    ) -> Array:
        """Mean of the mixture (m, n) in the units of y, or class probabilities (C, n).

        Probabilities (K, n) of the experts replace those of the gate, if given. Without effects
        units are new ones.
        """
        parts = [
            self._mean(data, log_gate) + added
            for data, added, log_gate in self._gated_blocks(
                Rows(X, offset=offset), gate_prob, effects
            )
        ]
        return np.concatenate(parts, axis=-1)

    @underflow_to_zero
    def log_joint(self, rows: Rows) -> Array:
        """Log joint density of expert and y, of rows (K, n) or units (K, U)."""
        log_jacobian, joint = self.preprocessor.log_jacobian, self.mixture.log_joint
        theta = self.theta[None]
        if rows.series is not None:  # given all rows of the series
            logs = log_probability(self.responsibilities(rows))
            return np.asarray(logs + self.known_from_past(rows)[2])
        if rows.unit is not None:
            data = self.data(self.preprocessor.transform_units(rows))
            of_units = joint(theta, data, routed=True)[:, 0]
            of_rows = np.broadcast_to(log_jacobian(data.rows.y), data.rows.weight.shape)
            return np.asarray(of_units - data.total(of_rows))
        parts = [
            joint(theta, self.data(block), routed=True)[:, 0] - log_jacobian(block.y)
            for block, _ in self.preprocessor.transform_blocks(rows)
        ]
        return np.concatenate(parts, axis=1)

    @underflow_to_zero
    def known_gate(self, rows: Rows) -> Array:
        """Probabilities (K, n) of the experts of rows, given what is known of y in their units.

        Of a single output a row's own value is left out.
        """
        data, theta = self.data(self.preprocessor.transform_units(rows)), self.theta[None]
        logs = self.mixture.at(theta, data).logs
        own = np.where(data.rows.y.ndim == 1 or len(data.rows.y) == 1, logs[:, 0], 0.0)
        is_never, repeat = np.isneginf(own), data.rows.row_responsibilities
        logs = np.where(is_never[:, None], 0.0, logs)
        joint = repeat(data.joint(self.mixture.log_gate(theta, data, routed=True), logs)[:, 0])
        n_never = repeat(data.total(1.0 * is_never))  # rows that are impossible under an expert
        own = np.where(is_never, 0.0, data.rows.weight * own)  # the weight is 0 without a class
        joint = np.where(n_never > is_never, -np.inf, joint - own)
        ranks = np.argsort(np.argsort(rows.unit, kind="stable"))
        return log_normalise(joint)[0][:, ranks]

    # --- random effects ---

    @underflow_to_zero
    def known_from_others(self, rows: Rows) -> tuple[Array, Effects]:
        """Probabilities (K, n) of experts, and effects of rows, given the others of their units.

        Where y is missing, these are all rows of which it is known.
        """
        data, theta = self.data(self.preprocessor.transform_units(rows)), self.theta[None]
        experts, at = self.mixture.experts, self.mixture.at(theta, data)
        shape = experts.n_experts, experts.n_outputs, rows.n_rows
        shift, variance, own = np.zeros(shape), np.zeros(shape), np.zeros((shape[0], shape[2]))
        for group in experts.groups:
            family = experts.target(group, data)[0]
            found = family.from_others(group.predictors(theta, data))
            shift[group.parts, group.output], variance[group.parts, group.output] = (
                values[:, 0] for values in found[:2]
            )
            own[group.parts] += found[2][:, 0]
        joint = data.joint(at.log_gates[0][:, 0], at.logs)[:, 0]
        resp = log_normalise(data.rows.row_responsibilities(joint) - own)[0]
        ranks = np.argsort(np.argsort(rows.unit, kind="stable"))
        return resp[:, ranks], Effects(shift[..., ranks], variance[..., ranks])

    def drawn_effects(self, rows: Rows, rng: Any) -> Effects:
        """Effects of new units."""
        data, theta = self.data(self.preprocessor.transform(rows)[0]), self.theta[None]
        experts = self.mixture.experts
        shift = np.zeros((experts.n_experts, experts.n_outputs, rows.n_rows))
        for group in experts.groups:
            factor = group.family.factor(group.predictors(theta, data))[..., 0, 0]
            columns = group.family.effects_of(data.designs[MEAN])
            draws = rng.standard_normal((len(columns), rows.unit.max() + 1))[:, rows.unit]
            effects = np.einsum("ijp,jn->ipn", factor, draws)
            shift[group.parts, group.output] = (effects * columns[:, None]).sum(axis=0)
        return Effects(shift, np.zeros_like(shift))

    # --- series ---

    def moves(self, data: Data) -> Array:
        """Probabilities (K, K, n) of the experts k of rows, given those j of the rows before."""
        if self.mixture.n_experts == 1:
            return np.ones((1, 1, data.rows.n_rows))
        predictors = self.mixture.gate_groups[-1].predictors(self.theta[None], data)
        logs = self.mixture.gate.family.log_probs(predictors)[:, :, 0]
        return np.exp(np.broadcast_to(logs, (*logs.shape[:2], data.rows.n_rows)))

    def transitions(self, X: Any) -> Array:
        """Probabilities (K, K, n) of the experts k of rows, given those j of the rows before."""
        return self._map_blocks(X, lambda data, _: self.moves(data))

    def series(self, rows: Rows) -> tuple[Data, list[Array], Array, Array]:
        """Rows in the order of time, their gates and log densities, and ranks of given rows."""
        order = np.argsort(rows.time)
        data = self.data(self.preprocessor.transform(rows.take(order))[0])
        at = self.mixture.at(self.theta[None], data)
        return data, at.log_gates, data.joint(0.0, at.logs), rows.time

    @underflow_to_zero
    def known_from_past(
        self, rows: Rows, at_gate: Rows | None = None
    ) -> tuple[Array, Array, Array]:
        """Probabilities (K, n) of experts before and after each y, and its log density (n,).

        The gate may have the features of other rows.
        """
        data, log_gates, logs, ranks = self.series(rows)
        if at_gate is not None:
            log_gates = self.series(at_gate)[1]
        if self.mixture.n_experts == 1:
            before, log_density = np.ones((1, rows.n_rows)), data.total(logs)[0, 0]
            after = before
        else:
            found = data.chain.past(log_gates, logs)
            before, after, log_density = found[0][:, 0], found[1][:, 0], found[2][0]
        log_jacobian = data.total(
            np.broadcast_to(self.preprocessor.log_jacobian(data.rows.y), rows.n_rows)
        )
        return before[:, ranks], after[:, ranks], (log_density - log_jacobian)[ranks]

    def decoded(self, rows: Rows) -> Array:
        """The most probable experts of the rows of each series, (n,)."""
        data, log_gates, logs, ranks = self.series(rows)
        if self.mixture.n_experts == 1:
            return np.zeros(rows.n_rows, dtype=int)
        return data.chain.decode(log_gates, logs)[ranks]

    @underflow_to_zero
    def responsibilities(self, rows: Rows) -> Array:
        """Probability that each expert generated each row (K, n), or each unit (K, U)."""
        if rows.series is not None:
            data, log_gates, logs, ranks = self.series(rows)
            return data.posterior(log_gates, logs, None)[0][:, 0, ranks]
        return log_normalise(self.log_joint(rows))[0]

    @underflow_to_zero
    def log_density(self, rows: Rows) -> Array:
        """Log density or log probability of y, of rows (n,) or units (U,)."""
        if rows.series is not None:
            return self.known_from_past(rows)[2]
        return log_normalise(self.log_joint(rows))[1]

    @underflow_to_zero
    def distribution(
        self,
        rows: Rows,
        single_output: bool,
        gate_prob: Array | None = None,
        effects: Effects | None = None,
    ) -> PredictiveDistribution:
        """Predictive distribution of each row, in the units of y.

        Probabilities (K, n) of the experts replace those of the gate, if given. Without effects
        units are new ones.
        """
        rows = Rows(rows.X, offset=rows.offset, n_values=rows.n_values)
        blocks = [
            (np.exp(log_gate), self._components(data, added, log_gate))
            for data, added, log_gate in self._gated_blocks(rows, gate_prob, effects)
        ]
        weights = np.concatenate([prob for prob, _ in blocks], axis=1)
        components = [
            concatenate_rows(parts) for parts in zip(*(c for _, c in blocks), strict=True)
        ]
        if isinstance(components[0], OutcomeComponents):
            return OutcomeDistribution(components, weights)
        return predictive_distribution(components, weights, single_output)

    def lower_bound(self, data: Data) -> float:
        """Penalised log-likelihood per row in the units of y, which EM maximises."""
        mixture, theta, weight = self.mixture, self.theta[None], data.rows.gate_weight
        total = mixture.responsibilities(theta, data)[1] @ weight - mixture.penalty(theta)
        if mixture.balance:
            usage = mixture.usage(theta, [data])
            logs = mixture.log_gate(theta, data)
            total = total + balance_prior(mixture.balance, logs, weight, usage)[0]
        return float(total[0]) / data.weight - self.preprocessor.log_jacobian()

    # --- blocks of rows ---

    @underflow_to_zero
    def _map_blocks(
        self, X: Any, block_fn: Callable[[Data, Any], Array], offset: Array | None = None
    ) -> Array:
        blocks = self.preprocessor.transform_blocks(Rows(X, offset=offset))
        return np.concatenate([block_fn(self.data(rows), added) for rows, added in blocks], axis=-1)

    def _gated_blocks(
        self, rows: Rows, gate_prob: Array | None, effects: Effects | None
    ) -> Iterator[tuple[Data, Any, Array]]:
        """Blocks of rows, what is added to means, and log probabilities (K, n) of the experts."""
        start = 0
        for block, added in self.preprocessor.transform_blocks(rows):
            end = start + len(block.weight)
            data = self.data(block)
            if effects is not None:
                data = data.replace(known=tuple(own[..., start:end] for own in effects))
            given = None if gate_prob is None else log_probability(gate_prob[:, start:end])
            yield data, added, self.gate_logs(data) if given is None else given
            start = end

    def gate_logs(self, data: Data) -> Array:
        """Log probabilities (K, n) of the experts in predictions for a block of rows.

        Of series those of the long run, if the features stay.
        """
        n_rows = len(data.rows.gate_weight)
        if self.mixture.gate.persists:
            return log_probability(stationary(self.moves(data).transpose(2, 1, 0)).T)
        logs = self.mixture.log_gate(self.theta[None], data, routed=True)[:, 0]
        return logs if logs.shape[1] == n_rows else np.repeat(logs, n_rows, axis=1)

    def _of_experts(self) -> Array:
        return self.mixture.split(self.theta)[0]

    def means(self, data: Data) -> Array:
        """Means of the experts for a block of rows without a base, (K, m, n) or (K, C, n)."""
        means = self.mixture.experts.mean(self._of_experts(), data)
        return self.preprocessor.unstandardize_mean(means)

    def _mean(self, data: Data, log_gate: Array) -> Array:
        """Mean of the mixture; each expert predicts only the rows that are routed to it."""
        gate_prob = np.exp(log_gate)
        if self.mixture.top_k is None:
            return np.asarray((self.means(data) * gate_prob[:, None]).sum(axis=0))
        mean: Array | float = 0.0
        for k, prob in enumerate(gate_prob):
            routed = np.flatnonzero(prob)
            if len(routed):
                own = self.data(data.rows.take(routed))
                of_expert = self.mixture.experts.mean(self._of_experts(), own, [k])[0]
                if isinstance(mean, float):
                    mean = np.zeros((len(of_expert), len(prob)))
                mean[:, routed] += prob[routed] * of_expert
        return self.preprocessor.unstandardize_mean(np.asarray(mean))

    def _components(self, data: Data, added: Array | float, log_gate: Array) -> list[Any]:
        """Components of each expert in the units of y; weight zero where a row is not routed."""
        scaling, n_rows = self.preprocessor.target_scaling, data.rows.n_rows
        assert scaling is not None
        components = []
        for k, log_prob in enumerate(log_gate):
            own, routed = data, np.arange(n_rows)
            if self.mixture.top_k is not None:
                # Experts without rows are evaluated on one, for the number of components.
                routed = np.flatnonzero(np.exp(log_prob))
                routed = routed if len(routed) else np.arange(1)
                own = self.data(data.rows.take(routed))
            component = self.mixture.experts.components(self._of_experts(), k, own)
            component = expand_rows(component, routed, n_rows)
            components.append(component.rescale(*scaling).shift(added))
        return components

    def at_time(self, data: Data, name: str, time: float) -> Array:
        """Restricted means, or probabilities of a later event, of the experts, (K, m, n).

        `name` is the method of a distribution.
        """
        every = np.zeros((self.mixture.n_experts, data.rows.n_rows))
        weight, parts = np.ones((1, data.rows.n_rows)), self._components(data, 0.0, every)
        has_outcomes = isinstance(parts[0], OutcomeComponents)
        make: Any = OutcomeDistribution if has_outcomes else predictive_distribution
        found = [getattr(make([part], weight, False), name)(time) for part in parts]
        return np.stack([np.asarray(values).T for values in found])


class Usage(NamedTuple):
    """How much each expert is used; arrays of shape (K,), with one exception."""

    mean_gate_prob: Array  # in predictions, over rows or units
    gate_overlap: Array  # means of the products of two of these probabilities, (K, K)
    # Total weight of the rows routed to the expert: to the k most probable experts with `top_k`, to
    # the most probable expert without it.
    load: Array
    responsibility_mass: Array  # weighted sum of the responsibilities

    def take(self, order: Array) -> Usage:
        """Usage of the experts in another order."""
        return Usage(*(values[np.ix_(*[order] * values.ndim)] for values in self))


def expert_usage(mixture: Mixture, theta: Array, blocks: Any) -> Usage:
    """Usage of the experts on the rows of all blocks."""

    def of_block(data: Data) -> Usage:
        n_rows = len(data.rows.gate_weight)
        resp = mixture.responsibilities(theta[None], data)[0][:, 0]
        if data.chain is None:
            log_gate = mixture.log_gate(theta[None], data)[:, 0]
        else:  # given all rows of the series
            log_gate = log_probability(resp)
        log_gate = np.broadcast_to(log_gate, (mixture.n_experts, n_rows))
        routed = log_gate if mixture.top_k is None else normalised_top_k(log_gate, mixture.top_k)
        gate_prob = np.exp(routed)
        weighted = gate_prob * data.rows.gate_weight
        unit_weight = data.rows.unit_weight
        if mixture.top_k is None:  # the most probable one of each row
            is_routed = np.arange(mixture.n_experts)[:, None] == log_gate.argmax(axis=0)
        else:
            is_routed = np.isfinite(keep_top_k(log_gate, mixture.top_k))
        load = is_routed @ unit_weight
        return Usage(weighted.sum(axis=1), weighted @ gate_prob.T, load, resp @ unit_weight)

    total: Usage = sum_over_blocks(of_block, blocks)
    weight = total.mean_gate_prob.sum()
    return total._replace(
        mean_gate_prob=total.mean_gate_prob / weight, gate_overlap=total.gate_overlap / weight
    )


# --- experts that the rows do not determine ---

# A spike has fewer effective rows than this for each of its coefficients, and these more, and on
# them a dispersion below this fraction of that of the others.
ROWS_PER_COEFFICIENT_OF_SPIKE = 2.0
MORE_ROWS = 5.0
SMALL_RATIO = 0.01

# Loss of log density for each row of an expert with which another one can replace it.
REPLACEABLE_LOSS = 0.05


def spikes(mixture: Mixture, theta: Array, data: Data, total: Array) -> Array:
    """Experts that fit a few rows nearly exactly, boolean of shape (K,).

    There the likelihood has a spurious maximum, or none: it rises without bound where a dispersion
    goes to zero at as many rows as the expert has coefficients [1]_. The rows may be a sample of
    those for which the responsibilities of the experts have the sums `total` (K,).

    References
    ----------
    .. [1] G. McLachlan and D. Peel (2000), "Finite Mixture Models", Wiley, section 3.10.
    """
    n_experts, experts = mixture.n_experts, mixture.experts
    few = ROWS_PER_COEFFICIENT_OF_SPIKE * experts.sizes + MORE_ROWS
    # At the least, all rows of an expert have the largest weight.
    is_large = n_experts == 1 or (total >= few * data.rows.weight.max()).all()
    log_scale = None if is_large else experts.log_scales(theta, data)
    if log_scale is None:
        return np.zeros(n_experts, dtype=bool)
    resp = mixture.responsibilities(theta[None], data)[0][:, 0]
    resp = data.rows.row_responsibilities(resp) * data.rows.weight
    mass, squares = resp.sum(axis=1), np.square(resp).sum(axis=1)
    size = total.sum() / mass.sum() * np.square(mass) / np.where(squares > 0.0, squares, 1.0)
    found = np.zeros(n_experts, dtype=bool)
    for k in np.flatnonzero((size < few) & (mass > 0.0)):
        # On the rows of expert k, of each expert and output, (K, m).
        at_own = (log_scale * (resp[k] / mass[k])).sum(axis=-1)
        of_others = np.where(np.isnan(at_own[:, :1]).any(axis=1), 0.0, mass)
        of_others[k] = 0.0
        if of_others.any():
            mean = of_others @ np.nan_to_num(at_own) / of_others.sum()
            found[k] = (at_own[k] < mean + np.log(SMALL_RATIO)).any()
    return found


def n_needed_experts(mixture: Mixture, theta: Array, data: Data) -> int:
    """Number of experts without those that have collapsed, or that another one can replace."""
    resp = mixture.responsibilities(theta[None], data)[0][:, 0]
    unit_weight = data.rows.unit_weight
    mass = resp @ unit_weight
    kept = np.flatnonzero(~is_collapsed(mass)).tolist()
    logs = data.total(mixture.at(theta[None], data).logs[:, 0])
    for k in sorted(kept, key=lambda k: mass[k]):
        of_k = resp[k] * unit_weight
        own = of_k > 0.0
        losses = [of_k[own] @ (logs[k][own] - logs[j][own]) for j in kept if j != k]
        if min(losses, default=np.inf) < REPLACEABLE_LOSS * mass[k]:
            kept.remove(k)
    return max(len(kept), 1)
