"""The mixture model: log joint densities, responsibilities, and predictions of the fitted mixture.

Responsibilities are computed in this module only: those of the E-step and those of predictions
differ with `top_k`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import Dataset, Rows, subset
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.probability import (
    keep_top_k,
    log_normalise,
    log_probability,
    normalised_top_k,
    underflow_to_zero,
)
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import (
    PredictiveDistribution,
    concatenate_rows,
    predictive_distribution,
)
from skmoe.distributions._components import expand_rows
from skmoe.protocols import Experts


class MixtureModel(NamedTuple):
    """Gate and experts, and how rows are routed to experts."""

    gate: Any  # a Gate; in a fitted mixture any ChoiceModel
    experts: Experts
    n_experts: int
    top_k: int | None = None  # maximum number of experts of a row
    balance: float = 0.0  # strength of the prior on the usage of the experts, in units of the rows


class Penalty(NamedTuple):
    """A penalty of gate or experts: the number that was chosen, and how another is found.

    Gate and experts have the penalties with which they are fitted as fields.
    """

    part: str  # "gate" or "experts"
    fields: tuple[str, ...]  # of the part, the first for the number
    value: float  # where a search begins, and near which it stays on small data sets
    search: str = ""  # "auto", "ard" for one number for each feature, or "" without a search

    @property
    def is_of_scales(self) -> bool:
        """Whether it is the strength of the prior of scales, and not a penalty of slopes."""
        return "noise_variance" in self.fields


class Params(NamedTuple):
    """Parameters of gate and experts."""

    gate: Any
    experts: Any


def log_joint(
    model: MixtureModel, params: Params, rows: Dataset, *, routed: bool = False
) -> tuple[Array, Array]:
    """Log probabilities of the gate, and log joint densities of expert and y, both (K, n).

    With units both are of units, (K, U): the rows of a unit have one expert, given which they are
    independent. Predictions are under the gate by which rows are routed: with `top_k` only the k
    most probable experts of each row have positive probability. The joint density of an expert that
    is known to be impossible is zero.
    """
    log_gate = model.gate.log_prob(params.gate, rows.gate_design)
    if routed:
        log_gate = normalised_top_k(log_gate, model.top_k)
    log_density = model.experts.log_prob(params.experts, rows.expert_design, rows.y)
    joint = log_gate + rows.sum_over_units(log_density)
    return log_gate, joint if rows.possible is None else rows.of_possible(joint)


def posterior(joint: Array, top_k: int | None = None) -> tuple[Array, Array]:
    """Responsibilities (K, n) and log densities (n,), from log joint densities of rows or units.

    In the E-step `top_k` is that of the model: only the k most probable experts of each row, given
    y, have responsibilities. Predictions have none, since their gate is routed.
    """
    return log_normalise(keep_top_k(joint, top_k))


def responsibilities(model: MixtureModel, params: Params, rows: Dataset) -> Array:
    """Responsibilities of the E-step, (K, n), or (K, U) of units."""
    return posterior(log_joint(model, params, rows)[1], model.top_k)[0]


# --- balance: a prior on the usage of the experts ----------------------------------------------


def summed_gates(gate: Any, params: Any, rows: Dataset) -> Array:
    """Sums of the gate's probabilities over a block of rows or units, (K,)."""
    return np.asarray(np.exp(gate.log_prob(params, rows.gate_design)) @ rows.gate_weight)


def balance_prior(
    balance: float, log_gate: Array, weight: Array, usage: Array
) -> tuple[float, Array]:
    """Log prior of the usage of the experts, and its responsibilities for the gate (K, n).

    The log prior is `balance` times the total weight times the mean over the experts of the log of
    their mean probability: that of a block is the part of its weight. Responsibilities divide the
    probability of each expert among the rows. Their expected log probability is a lower bound of
    the log prior, up to a constant, with equality at the current gate. So an M-step with these in
    addition increases the sum of log-likelihood and log prior [1]_. `usage` is the sum of
    `summed_gates` over all blocks.

    References
    ----------
    .. [1] K. Lange, D. R. Hunter and I. Yang (2000), "Optimization transfer using surrogate
       objective functions", Journal of Computational and Graphical Statistics 9, 1-20.
    """
    usage = np.maximum(usage, TINY)
    value = balance * float(weight.sum()) * float(np.log(usage / usage.sum()).mean())
    of_experts = balance * usage.sum() / (len(usage) * usage)
    return value, of_experts[:, None] * weight * np.exp(log_gate)


# --- usage of the experts ---------------------------------------------------------------------


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


def expert_usage(model: MixtureModel, params: Params, blocks: Any) -> Usage:
    """Usage of the experts on the rows of all blocks."""
    total = sum_over_blocks(partial(_usage_of_block, model, params), blocks)
    weight = total.mean_gate_prob.sum()
    return total._replace(
        mean_gate_prob=total.mean_gate_prob / weight, gate_overlap=total.gate_overlap / weight
    )


def _usage_of_block(model: MixtureModel, params: Params, rows: Dataset) -> Usage:
    """Usage on one block of rows, with weighted sums of the gate probabilities and products."""
    log_gate, joint = log_joint(model, params, rows)
    gate_prob = np.exp(normalised_top_k(log_gate, model.top_k))
    weighted = gate_prob * rows.gate_weight
    load = np.isfinite(keep_top_k(log_gate, model.top_k or 1)) @ rows.unit_weight
    resp, _ = posterior(joint, model.top_k)
    overlap = weighted @ gate_prob.T
    return Usage(weighted.sum(axis=1), overlap, load, resp @ rows.unit_weight)


class FittedMixture(NamedTuple):
    """Model, parameters and preprocessor."""

    model: MixtureModel
    params: Params
    preprocessor: Preprocessor

    def drop_training_state(self) -> FittedMixture:
        """Copy without the out-of-fold predictions of the training rows."""
        experts = self.model.experts.drop_training_state(self.params.experts)
        return self._replace(params=self.params._replace(experts=experts))

    def log_gate(self, X: Any) -> Array:
        """Log gate probabilities, (K, n); minus infinity where a row is not routed."""
        return self._map_blocks(X, lambda rows, _: self._log_gate(rows))

    def predict_experts(self, X: Any, offset: Array | None = None) -> Array:
        """Mean of each expert (K, m, n) in the units of y, or class probabilities (K, C, n)."""
        return self._map_blocks(X, lambda rows, added: self._expert_means(rows) + added, offset)

    def log_gate_of_units(self, rows: Rows) -> Array:
        """Log gate probabilities of units, (K, U)."""
        return self._log_gate(self.preprocessor.transform_units(rows))

    @underflow_to_zero
    def predict(self, X: Any, offset: Array | None = None, gate_prob: Array | None = None) -> Array:
        """Mean of the mixture (m, n) in the units of y, or class probabilities (C, n).

        Probabilities (K, n) of the experts replace those of the gate, if given.
        """
        parts = [
            self._mean(rows, log_gate) + added
            for rows, added, log_gate in self._gated_blocks(X, offset, gate_prob)
        ]
        return np.concatenate(parts, axis=-1)

    @underflow_to_zero
    def log_joint(self, rows: Rows) -> Array:
        """Log joint density of expert and y, of rows (K, n) or units (K, U)."""
        log_jacobian = self.preprocessor.log_jacobian_of
        if rows.unit is not None:
            dataset = self.preprocessor.transform_units(rows)
            joint = log_joint(self.model, self.params, dataset, routed=True)[1]
            of_rows = log_jacobian(dataset.y) * dataset.weight
            return joint - dataset._replace(weight=of_rows).unit_weight
        parts = [
            log_joint(self.model, self.params, block, routed=True)[1] - log_jacobian(block.y)
            for block, _ in self.preprocessor.transform_blocks(rows)
        ]
        return np.concatenate(parts, axis=1)

    @underflow_to_zero
    def responsibilities(self, rows: Rows) -> Array:
        """Probability that each expert generated each row (K, n), or each unit (K, U)."""
        return posterior(self.log_joint(rows))[0]

    @underflow_to_zero
    def log_density(self, rows: Rows) -> Array:
        """Log density or log probability of y, of rows (n,) or units (U,)."""
        return posterior(self.log_joint(rows))[1]

    @underflow_to_zero
    def distribution(
        self, X: Any, offset: Array | None, single_output: bool, gate_prob: Array | None = None
    ) -> PredictiveDistribution:
        """Predictive distribution of each row, in the units of y.

        Probabilities (K, n) of the experts replace those of the gate, if given.
        """
        blocks = [
            (np.exp(log_gate), self._components(rows, added, log_gate))
            for rows, added, log_gate in self._gated_blocks(X, offset, gate_prob)
        ]
        weights = np.concatenate([prob for prob, _ in blocks], axis=1)
        components = [
            concatenate_rows(parts) for parts in zip(*(c for _, c in blocks), strict=True)
        ]
        return predictive_distribution(components, weights, single_output)

    # --- blocks of rows ---

    @underflow_to_zero
    def _map_blocks(
        self, X: Any, block_fn: Callable[[Dataset, Any], Array], offset: Array | None = None
    ) -> Array:
        blocks = self.preprocessor.transform_blocks(Rows(X, offset=offset))
        return np.concatenate([block_fn(rows, added) for rows, added in blocks], axis=-1)

    def _gated_blocks(
        self, X: Any, offset: Array | None, gate_prob: Array | None
    ) -> Iterator[tuple[Dataset, Any, Array]]:
        """Blocks of rows, what is added to means, and log probabilities (K, n) of the experts."""
        start = 0
        for rows, added in self.preprocessor.transform_blocks(Rows(X, offset=offset)):
            end = start + len(rows.weight)
            given = None if gate_prob is None else log_probability(gate_prob[:, start:end])
            yield rows, added, self._log_gate(rows) if given is None else given
            start = end

    def _log_gate(self, rows: Dataset) -> Array:
        log_gate = self.model.gate.log_prob(self.params.gate, rows.gate_design)
        return normalised_top_k(log_gate, self.model.top_k)

    def _expert_means(self, rows: Dataset) -> Array:
        means = self.model.experts.mean(self.params.experts, rows.expert_design)
        return self.preprocessor.unstandardize_mean(means)

    def _mean(self, rows: Dataset, log_gate: Array) -> Array:
        gate_prob = np.exp(log_gate)
        if self.model.top_k is not None:
            return self._routed_mean(rows, gate_prob)
        means = self._expert_means(rows)
        means *= gate_prob[:, None]
        return means.sum(axis=0)

    def _routed_mean(self, rows: Dataset, gate_prob: Array) -> Array:
        """Mean of the mixture; each expert predicts only the rows that are routed to it."""
        mean: Array | float = 0.0
        for k, prob in enumerate(gate_prob):
            routed = np.flatnonzero(prob)
            if len(routed):
                design = subset(rows, routed).expert_design
                expert_mean = self.model.experts.mean_of(self.params.experts, k, design)
                if isinstance(mean, float):
                    mean = np.zeros((len(expert_mean), len(prob)))
                mean[:, routed] += prob[routed] * expert_mean
        return self.preprocessor.unstandardize_mean(np.asarray(mean))

    def _components(self, rows: Dataset, added: Array | float, log_gate: Array) -> list[Any]:
        """Components of each expert in the units of y; weight zero where a row is not routed."""
        scaling = self.preprocessor.target_scaling
        assert scaling is not None
        n_rows, components = len(rows.weight), []
        experts: Any = self.model.experts
        for k, log_prob in enumerate(log_gate):
            if self.model.top_k is None:
                component = experts.components(self.params.experts, k, rows.expert_design)
            else:
                # Experts without routed rows are evaluated on one row to obtain the number of
                # components.
                routed = np.flatnonzero(np.exp(log_prob))
                routed = routed if len(routed) else np.arange(1)
                design = subset(rows, routed).expert_design
                component = experts.components(self.params.experts, k, design)
                component = expand_rows(component, routed, n_rows)
            components.append(component.rescale(*scaling).shift(added))
        return components
