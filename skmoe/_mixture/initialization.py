"""Starts: first responsibilities, found by cutting the space of features and target.

Each start takes standardised features X (n, p), targets Y (m, n) (one row for each output or
class), weights (n,), the number of experts and a random generator, and returns the expert of each
row. Rows come in an order of their own (`_rows.distinct_rows`), so that drawing by row is drawing
in feature space: the result depends neither on the order of the user's rows nor on repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.rows import Dataset
from skmoe._numerics.typing import Array, Design

Initializer = Callable[[Array, Array, Array, int, np.random.Generator], Array]

# Responsibility of the expert to which a start gives a row; the rest is shared by all.
LABEL_SMOOTHING = 0.9

# Columns that starts look at: those most correlated with the target.
MOST_COLUMNS = 50

# Decimals of a standardised value that count: round-off beyond them must not decide a tie.
ROUND_DECIMALS = 9

# Candidate cuts of one direction in a model tree, at weighted quantiles.
N_CUTS = 12

# Directions that are tried in a leaf of a model tree when there are many columns.
MOST_DIRECTIONS = 20

RIDGE = 1e-3


def smooth_labels(labels: Array, n_experts: int) -> Array:
    """Responsibilities (K, n) from the expert of each row."""
    certain = np.arange(n_experts)[:, None] == labels
    return LABEL_SMOOTHING * certain + (1.0 - LABEL_SMOOTHING) / n_experts


def bayesian_bootstrap_weights(weight: Array, rng: np.random.Generator) -> Array:
    """Weights of a Bayesian bootstrap, which let a deterministic start find another partition."""
    return weight * rng.exponential(size=len(weight))


def select_columns(X: Design, Y: Array, weight: Array) -> Array:
    """Indices, in order, of the columns most correlated with a target (all if they are few)."""
    if X.shape[1] <= MOST_COLUMNS:
        return np.arange(X.shape[1])
    weighted = (Y - (Y @ weight / weight.sum())[:, None]) * weight
    strength = np.abs(X.T @ weighted.T).max(axis=1)
    return np.sort(np.argsort(-strength, kind="stable")[:MOST_COLUMNS])


class InitData(NamedTuple):
    """The rows that starts look at."""

    rows: Dataset
    X: Array  # leading columns, dense (n, p)
    Y: Array  # outputs or class indicators (m, n)


def make_init_data(rows: Dataset, signals: Array, looks: Design | None = None) -> InitData:
    """Lay out rows and what their target signals (m, n) for starts.

    `looks` is the design that starts are to look at, if not those of gate and experts.
    """
    designs = [rows.expert_design] if looks is None else [looks]
    if looks is None and rows.gate_design is not rows.expert_design:
        designs.append(rows.gate_design)
    features = [design[:, :-1] for design in designs]
    if sparse.issparse(features[0]):
        wide = sparse.hstack(features, format="csc")
        X = wide[:, select_columns(wide, signals, rows.weight)].toarray()
    else:
        wide = np.hstack(features)
        X = wide[:, select_columns(wide, signals, rows.weight)]
    return InitData(
        rows, np.asarray(X, dtype=np.float64).round(ROUND_DECIMALS), signals.round(ROUND_DECIMALS)
    )


# --- cutting ----------------------------------------------------------------------------------


def weighted_quantiles(values: Array, weight: Array, levels: Array | float) -> Array:
    """Smallest values at which the share of the weight reaches the levels."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    position = np.searchsorted(share, np.asarray(levels) * share[-1] * (1.0 - 1e-12))
    return values[order][np.minimum(position, len(values) - 1)]


def random_partition(
    X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Cut the heaviest cell along a random direction of [X, Y] until there are enough cells."""
    table = np.column_stack([X, _scaled_targets(X, Y)])
    return _split_until(table, np.zeros(len(table), dtype=int), weight, n_experts, rng)


def _split_until(
    table: Array, labels: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    labels = labels.copy()
    cuttable = np.bincount(labels, weight, minlength=n_experts)
    n_cells = labels.max() + 1
    while n_cells < n_experts:
        cell = int(np.argmax(cuttable))
        if cuttable[cell] <= 0.0:
            break  # every cell is one point
        members = np.flatnonzero(labels == cell)
        projection = table[members] @ rng.standard_normal(table.shape[1])
        level = rng.uniform(0.25, 0.75)
        cut = weighted_quantiles(projection, weight[members], level)
        above = projection > cut
        if not above.any():
            above = projection >= cut
        if above.all():
            cuttable[cell] = 0.0
            continue
        labels[members[above]] = n_cells
        cuttable[n_cells] = weight[members[above]].sum()
        cuttable[cell] = weight[members[~above]].sum()
        n_cells += 1
    return labels


def _scaled_targets(X: Array, Y: Array) -> Array:
    """Targets (n, m) weighing together as much as all features."""
    return Y.T * np.sqrt(max(X.shape[1], 1) / len(Y))


# --- partitions -------------------------------------------------------------------------------


def kmeans(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """k-means on features and target, from the centres of `random_cuts`."""
    table = np.column_stack([X, _scaled_targets(X, Y)])
    cells = random_partition(X, Y, weight, n_experts, rng)
    if cells.max() + 1 < n_experts:
        return cells
    sums = np.stack([weight * (cells == k) for k in range(n_experts)])
    centers = sums @ table / sums.sum(axis=1, keepdims=True)
    # A start need not converge; a tolerance would depend on the rows being repeats or weights.
    model = KMeans(n_experts, init=centers, n_init=1, tol=0.0, max_iter=30)
    return model.fit(table, sample_weight=weight).labels_


def tree(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """Leaves of a regression tree [1]_ with as many leaves as experts.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth.
    """
    if n_experts == 1:
        return np.zeros(len(weight), dtype=int)
    model = DecisionTreeRegressor(
        max_leaf_nodes=n_experts, min_weight_fraction_leaf=0.25 / n_experts, random_state=0
    )
    leaves = model.fit(X, Y.T, sample_weight=weight).apply(X)
    labels = np.unique(leaves, return_inverse=True)[1].ravel()
    return _split_until(X, labels, weight, n_experts, rng)


def linear_tree(
    X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Leaves of a tree with a linear model in each leaf, grown greedily by squared error.

    Cuts are tried at weighted quantiles of each column and of the fitted values of the leaf, as
    in [1]_.

    References
    ----------
    .. [1] A. Zeileis, T. Hothorn and K. Hornik (2008), "Model-based recursive partitioning",
       Journal of Computational and Graphical Statistics 17, 492-514.
    """
    labels = np.zeros(len(weight), dtype=int)
    cuts = [_best_split(X, Y, weight, labels == 0)]
    while labels.max() + 1 < n_experts:
        leaf = int(np.argmax([gain for gain, _ in cuts]))
        gain, above = cuts[leaf]
        if not gain > 0.0:
            break
        labels[above] = labels.max() + 1
        cuts[leaf] = _best_split(X, Y, weight, labels == leaf)
        cuts.append(_best_split(X, Y, weight, labels == labels.max()))
    return _split_until(X, labels, weight, n_experts, rng)


def _best_split(X: Array, Y: Array, weight: Array, inside: Array) -> tuple[float, Array]:
    """Largest reduction of squared error by one cut of a leaf, and the rows above the cut."""
    rows = np.flatnonzero(inside)
    smallest = X.shape[1] + 2
    if len(rows) < 2 * smallest:
        return 0.0, rows[:0]
    design = np.column_stack([X[rows], np.ones(len(rows))])
    targets, leaf_weight = Y[:, rows], weight[rows]
    total = _moments(design, targets, leaf_weight)
    whole, coef = _ridge_error(*total)
    best, above = 0.0, rows[:0]
    for direction in _directions(design, targets, leaf_weight, coef):
        levels = np.arange(1, N_CUTS + 1) / (N_CUTS + 1)
        cuts = np.unique(weighted_quantiles(direction, leaf_weight, levels))
        bins = np.searchsorted(cuts, direction, side="left")  # bin j: up to cut j
        below = _cumulative_moments(design, targets, leaf_weight, bins, len(cuts))
        counts = np.cumsum(np.bincount(bins, minlength=len(cuts) + 1))[:-1]
        over = tuple(whole_sum - part for whole_sum, part in zip(total, below, strict=True))
        errors = _ridge_error(*below)[0] + _ridge_error(*over)[0]
        errors[(counts < smallest) | (len(rows) - counts < smallest)] = np.inf
        j = int(np.argmin(errors))
        # The margin keeps round-off from choosing among equal cuts.
        if whole - errors[j] > best + 1e-9 * whole:
            best, above = float(whole - errors[j]), rows[direction > cuts[j]]
    return best, above


def _directions(design: Array, targets: Array, weight: Array, coef: Array) -> list[Array]:
    """Columns, the most promising ones if they are many, and the fitted values of each target."""
    fitted = coef @ design.T
    columns = np.arange(design.shape[1] - 1)
    if len(columns) > MOST_DIRECTIONS:
        # A regime shows in the size of the residuals along a column.
        residual = np.abs(targets - fitted) * weight
        strength = np.abs((residual - residual.mean(axis=1, keepdims=True)) @ design[:, :-1])
        columns = np.sort(np.argsort(-strength.max(axis=0), kind="stable")[:MOST_DIRECTIONS])
    return [*design[:, columns].T, *np.round(fitted, ROUND_DECIMALS)]


def _moments(design: Array, targets: Array, weight: Array) -> tuple[Array, Array, Array]:
    weighted = design.T * weight
    return weighted @ design, targets @ weighted.T, np.square(targets) @ weight


def _cumulative_moments(
    design: Array, targets: Array, weight: Array, bins: Array, n_cuts: int
) -> tuple[Array, Array, Array]:
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(n_cuts + 1))
    parts = []
    for begin, end in pairwise(edges):
        chosen = order[begin:end]
        parts.append(_moments(design[chosen], targets[:, chosen], weight[chosen]))
    gram, cross, square = (np.cumsum(np.stack(sums), axis=0) for sums in zip(*parts, strict=True))
    return gram, cross, square


def _ridge_error(gram: Array, cross: Array, square: Array) -> tuple[Array, Array]:
    """Squared error of ridge fits, summed over the targets, and their coefficients (..., m, d)."""
    scale = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / gram.shape[-1]
    penalised = gram + (RIDGE * scale + 1e-12) * np.eye(gram.shape[-1])
    coef = np.swapaxes(np.linalg.solve(penalised, np.swapaxes(cross, -1, -2)), -1, -2)
    fitted = np.matmul(coef, gram)
    errors = square - 2.0 * (coef * cross).sum(axis=-1) + (coef * fitted).sum(axis=-1)
    return np.maximum(errors, 0.0).sum(axis=-1), coef


INITIALIZERS: dict[str, Initializer] = {
    "linear_tree": linear_tree,
    "kmeans": kmeans,
    "tree": tree,
    "random": random_partition,
}


def init_schedule(init: str, n_experts: int, n_init: int) -> list[str]:
    """Names of the starts of a fit: one kind, or for "auto" the best kind first, then others."""
    if init != "auto":
        return [init] * n_init
    first = ["linear_tree", "kmeans"] if n_experts <= 8 else ["kmeans", "linear_tree"]
    kinds = [*first, "tree", "random"]
    return [kinds[i % len(kinds)] for i in range(n_init)]
