"""Starts of EM: which rows each expert is first fitted to.

An initializer takes standardised features X (n, p), targets Y (m, n), weights (n,), the number of
experts and a random generator. Targets have a row for each output or class. It returns
responsibilities (K, n), zero for rows that it leaves to no expert; partitions return the
expert of each row. Rows are those of `distinct_rows`, so that a start depends neither on the order
of the user's rows nor on copies.

No kind of start finds the best maximum everywhere. Partitions find regimes that the features or the
target separate, random labels and elemental starts those that overlap, and starts of few rows those
that are rare. The default mixes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import ThreadpoolController

from skmoe._data.rows import Dataset, canonical_form, subset, subset_units
from skmoe._data.units import Units
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.protocols import Experts

Partition = Callable[[Array, Array, Array, int, np.random.Generator], Array]

# Initial responsibility of the expert that is assigned to a row; the rest is divided equally among
# all experts.
LABEL_SMOOTHING = 0.9

# Maximum number of columns for the initialisation: those most correlated with the target.
MAX_INIT_COLUMNS = 50

# Least share of known rows in a sample for the initialisation, if there are as many.
KNOWN_SHARE = 0.1

# Standardised values are rounded to this number of decimals: round-off must not decide ties.
ROUND_DECIMALS = 9

# Linear model tree: number of candidate thresholds of a split variable (at weighted quantiles),
# maximum number of columns and of fitted values tried in a leaf, and ridge penalty relative to the
# diagonal.
N_THRESHOLDS = 12
MAX_SPLIT_VARIABLES = 20
MAX_SPLIT_TARGETS = 10
RELATIVE_RIDGE = 1e-3

# Rows of a typical unit that the shrinkage of its coefficients is worth.
SHRINKAGE_ROWS = 1.0


def smoothed(resp: Array) -> Array:
    """Responsibilities (K, n) of which a part is divided equally among all experts."""
    return LABEL_SMOOTHING * resp + (1.0 - LABEL_SMOOTHING) / len(resp)


class InitData(NamedTuple):
    """Rows for the initialisation, with columns and outputs in a canonical order."""

    rows: Dataset
    X: Array  # selected columns with a canonical sign, dense (n, p)
    Y: Array  # outputs with a canonical sign, or class indicators, (m, n)
    outputs: Array  # indices of the outputs of Y among those of the data set

    def sample(self, size: int, rng: np.random.Generator) -> InitData:
        """A random sample of about `size` rows, or of the units with so many.

        Weights are increased, so that penalties have the same weight relative to the sample.
        """
        rows = self.rows
        if rows.n_rows <= size:
            return self
        kept = sample_of(rows, size, rng)
        index = kept if rows.units is None else rows.units.rows_of(kept)
        return self.part(kept, rows.weight.sum() / rows.weight[index].sum())

    def part(self, kept: Array, factor: float = 1.0) -> InitData:
        """The data of some rows or units, whose weights are multiplied by a factor."""
        rows, index = self.rows, kept
        if rows.units is None:
            of_kept = subset(rows, kept, factor * rows.weight[kept])
        else:
            of_kept, index = subset_units(rows, kept, factor), rows.units.rows_of(kept)
        return self._replace(rows=of_kept, X=self.X[index], Y=self.Y[:, index])

    def for_outputs(self, values: Array) -> Array:
        """Values for each output in the order of the data set, from those in the canonical one."""
        ordered = np.empty_like(values)
        ordered[self.outputs] = values
        return ordered


def sample_of(
    rows: Dataset, size: int, rng: np.random.Generator, among: Array | None = None
) -> Array:
    """Sorted random positions of about `size` rows, or of units with so many, among some or all.

    Known ones come first, up to a tenth of the sample.
    """
    among = np.arange(len(rows.gate_weight)) if among is None else among
    order = rng.permutation(len(among))
    if rows.possible is not None:
        known = ~rows.possible[:, among[order]].all(axis=0)
        is_first = known & (np.cumsum(known) <= KNOWN_SHARE * size)
        order = np.concatenate([order[is_first], order[~is_first]])
    if rows.units is not None:
        ends = np.cumsum(rows.units.sizes[order])
        size = max(int(np.searchsorted(ends, size, "right")), 2)
    return np.sort(order[:size])


def make_init_data(
    rows: Dataset, targets: Array, init_design: Design | None = None, *, signed: bool = True
) -> InitData:
    """Features and targets (m, n) for the initializers.

    The features are those of `init_design`; by default those of the designs of gate and experts.
    Targets are standardised outputs, or with `signed=False` class indicators.
    """
    expert_design, _ = split_offset(rows.expert_design)
    designs = [expert_design] if init_design is None else [init_design]
    if init_design is None and rows.gate_design is not expert_design:
        of_rows = slice(None) if rows.units is None else rows.units.codes
        designs.append(rows.gate_design[of_rows])
    features = [design[:, :-1] for design in designs]
    is_sparse = sparse.issparse(features[0])
    X: Any = sparse.hstack(features, format="csc") if is_sparse else np.hstack(features)
    if X.shape[1] > MAX_INIT_COLUMNS:
        mean = targets @ rows.weight / rows.weight.sum()
        weighted = (targets - mean[:, None]) * rows.weight
        covariance = np.abs(X.T @ weighted.T).max(axis=1)
        X = X[:, np.sort(np.argsort(-covariance, kind="stable")[:MAX_INIT_COLUMNS])]
    X = X.toarray() if is_sparse else X
    X = np.asarray(X, dtype=np.float64).round(ROUND_DECIMALS)
    form = canonical_form(X, targets, rows.weight, signed=signed)
    Y = (form.signs[:, None] * targets)[form.outputs].round(ROUND_DECIMALS)
    X = (X * form.column_signs)[:, form.columns]
    varies = np.ptp(X, axis=0) > 0.0
    # Constant columns would change the random numbers of the others.
    return InitData(rows, X[:, varies] if varies.any() else X, Y, form.outputs)


# --- random splits ----------------------------------------------------------------------------


def random_partition(
    X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Split the heaviest cell along a random direction of [X, Y] until there are enough cells."""
    start = np.zeros(len(weight), dtype=int)
    return _split_until(_joint_points(X, Y), start, weight, n_experts, rng)


def _split_until(
    points: Array, labels: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Labels (n,) of a partition whose heaviest cells are split until there are `n_experts`."""
    labels = labels.copy()
    splittable = np.bincount(labels, weight, minlength=n_experts)  # weight of each cell
    n_cells = labels.max() + 1
    while n_cells < n_experts:
        cell = int(np.argmax(splittable))
        if splittable[cell] <= 0.0:
            break  # every cell is a single point
        members = np.flatnonzero(labels == cell)
        projection = points[members] @ rng.standard_normal(points.shape[1])
        level = rng.uniform(0.25, 0.75)
        threshold = weighted_quantiles(projection, weight[members], level)
        right = projection > threshold
        if not right.any():
            right = projection >= threshold
        if right.all():
            splittable[cell] = 0.0
            continue
        labels[members[right]] = n_cells
        splittable[n_cells] = weight[members[right]].sum()
        splittable[cell] = weight[members[~right]].sum()
        n_cells += 1
    return labels


def _joint_points(X: Array, Y: Array) -> Array:
    """Features and targets (n, p + m), the targets with the variance of all features together."""
    return np.column_stack([X, Y.T * np.sqrt(max(X.shape[1], 1) / len(Y))])


# --- initializers -----------------------------------------------------------------------------

# Filters of warnings and limits of threads belong to the process: starts in threads take turns.
PROCESS_STATE = Lock()


@cache  # finding the libraries takes longer than k-means on few rows
def _threadpools() -> ThreadpoolController:
    """The thread pools of the libraries that are loaded, among them that of scikit-learn."""
    return ThreadpoolController()


def kmeans(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """k-means on features and target, from the centres of a random partition."""
    points = _joint_points(X, Y)
    cells = random_partition(X, Y, weight, n_experts, rng)
    if cells.max() + 1 < n_experts:
        return cells
    cell_weight = np.stack([weight * (cells == k) for k in range(n_experts)])
    centers = cell_weight @ points / cell_weight.sum(axis=1, keepdims=True)
    # Convergence is not needed, and the tolerance of KMeans would treat duplicates and weights
    # differently.
    model = KMeans(n_experts, init=centers, n_init=1, tol=0.0, max_iter=30)
    # On so few rows threads wait for each other longer than they compute. An expert starts without
    # rows where points are equal but for round-off, of which KMeans warns.
    with (
        PROCESS_STATE,
        _threadpools().limit(limits=1, user_api="openmp"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points, sample_weight=weight).labels_


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
    return _split_until(_joint_points(X, Y), labels, weight, n_experts, rng)


def linear_tree(
    X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Leaves of a tree with a linear model in each leaf, grown greedily by squared error [1]_.

    Thresholds are weighted quantiles of each column and of the fitted values in the leaf.

    References
    ----------
    .. [1] A. Zeileis, T. Hothorn and K. Hornik (2008), "Model-based recursive partitioning",
       Journal of Computational and Graphical Statistics 17, 492-514.
    """
    labels = np.zeros(len(weight), dtype=int)
    splits = [_best_split(X, Y, weight, labels == 0)]
    while labels.max() + 1 < n_experts:
        leaf = int(np.argmax([gain for gain, _ in splits]))
        gain, right_rows = splits[leaf]
        if not gain > 0.0:
            break
        labels[right_rows] = labels.max() + 1
        splits[leaf] = _best_split(X, Y, weight, labels == leaf)
        splits.append(_best_split(X, Y, weight, labels == labels.max()))
    return _split_until(_joint_points(X, Y), labels, weight, n_experts, rng)


def _best_split(X: Array, Y: Array, weight: Array, in_leaf: Array) -> tuple[float, Array]:
    """Largest reduction of squared error by a split of a leaf, and the rows of the right child."""
    rows = np.flatnonzero(in_leaf)
    min_rows = X.shape[1] + 2
    if len(rows) < 2 * min_rows:
        return 0.0, rows[:0]
    design = np.column_stack([X[rows], np.ones(len(rows))])
    targets, leaf_weight = Y[:, rows], weight[rows]
    total = _moments(design, targets, leaf_weight)
    leaf_error, coef = _ridge_error(*total)
    best_gain, right_rows = 0.0, rows[:0]
    for variable in _split_variables(design, targets, leaf_weight, coef):
        levels = np.arange(1, N_THRESHOLDS + 1) / (N_THRESHOLDS + 1)
        thresholds = np.unique(weighted_quantiles(variable, leaf_weight, levels))
        bins = np.searchsorted(thresholds, variable, side="left")  # bin j: up to threshold j
        by_bin = np.argsort(bins, kind="stable")
        edges = np.searchsorted(bins[by_bin], np.arange(len(thresholds) + 1))
        of_bins = [by_bin[start:end] for start, end in pairwise(edges)]
        moments = [_moments(design[own], targets[:, own], leaf_weight[own]) for own in of_bins]
        # Those of the rows up to each threshold, with the thresholds as a first axis.
        left = [np.cumsum(np.stack(sums), axis=0) for sums in zip(*moments, strict=True)]
        n_left = np.cumsum(np.bincount(bins, minlength=len(thresholds) + 1))[:-1]
        right = tuple(leaf_sum - left_sum for leaf_sum, left_sum in zip(total, left, strict=True))
        errors = _ridge_error(*left)[0] + _ridge_error(*right)[0]
        errors[(n_left < min_rows) | (len(rows) - n_left < min_rows)] = np.inf
        j = int(np.argmin(errors))
        # The margin keeps round-off from deciding between equal splits.
        if leaf_error - errors[j] > best_gain + 1e-9 * leaf_error:
            best_gain, right_rows = float(leaf_error - errors[j]), rows[variable > thresholds[j]]
    return best_gain, right_rows


def _split_variables(design: Array, targets: Array, weight: Array, coef: Array) -> list[Array]:
    """Columns of the design, and the fitted values of each target.

    Of many columns only those that are most correlated with the absolute residuals are used, and of
    many targets only those whose fitted values vary most.
    """
    fitted = coef @ design.T
    columns = np.arange(design.shape[1] - 1)
    if len(columns) > MAX_SPLIT_VARIABLES:
        # A change of the regression along a column shows in the size of the residuals.
        residual = np.abs(targets - fitted) * weight
        covariance = np.abs((residual - residual.mean(axis=1, keepdims=True)) @ design[:, :-1])
        ranked = np.argsort(-covariance.max(axis=0), kind="stable")
        columns = np.sort(ranked[:MAX_SPLIT_VARIABLES])
    if len(fitted) > MAX_SPLIT_TARGETS:
        variance = np.square(fitted - fitted.mean(axis=1, keepdims=True)) @ weight
        ranked = np.argsort(-np.round(variance, ROUND_DECIMALS), kind="stable")
        fitted = fitted[np.sort(ranked[:MAX_SPLIT_TARGETS])]
    return [*design[:, columns].T, *np.round(fitted, ROUND_DECIMALS)]


def _moments(design: Array, targets: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Weighted Gram matrix (d, d), X'y (m, d) and sums of squares (m,)."""
    weighted = design.T * weight
    return weighted @ design, targets @ weighted.T, np.square(targets) @ weight


def _ridge_error(gram: Array, cross: Array, square: Array) -> tuple[Array, Array]:
    """Squared error of ridge fits, summed over the targets, and coefficients (..., m, d)."""
    scale = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / gram.shape[-1]
    penalised = gram + (RELATIVE_RIDGE * scale + 1e-12) * np.eye(gram.shape[-1])
    coef = np.swapaxes(np.linalg.solve(penalised, np.swapaxes(cross, -1, -2)), -1, -2)
    fitted = np.matmul(coef, gram)
    errors = square - 2.0 * (coef * cross).sum(axis=-1) + (coef * fitted).sum(axis=-1)
    return np.maximum(errors, 0.0).sum(axis=-1), coef


def random_labels(
    X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """A random expert for each row [1]_.

    References
    ----------
    .. [1] F. Leisch (2004), "FlexMix: a general framework for finite mixture models and latent
       class regression in R", Journal of Statistical Software 11(8).
    """
    return rng.integers(n_experts, size=len(weight))


def elemental(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """A few random rows for each expert: about as many as it has coefficients, or twice [1]_.

    References
    ----------
    .. [1] D. M. Hawkins (1993), "The feasible set algorithm for least median of squares
       regression", Computational Statistics & Data Analysis 16, 81-101.
    """
    least = min(X.shape[1] + 1, max(len(weight) // n_experts, 1))
    size = rng.integers(least, min(2 * least, max(len(weight) // n_experts, 1)) + 1)
    resp = np.zeros((n_experts, len(weight)))
    chosen = rng.permutation(len(weight))[: size * n_experts]
    resp[np.arange(len(chosen)) % n_experts, chosen] = 1.0
    return resp


def perturbed(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """All rows for each expert, by the weights of a Bayesian bootstrap [1]_.

    So each expert begins near the estimate of a single model, perturbed by its standard errors.

    References
    ----------
    .. [1] D. B. Rubin (1981), "The Bayesian bootstrap", Annals of Statistics 9, 130-134.
    """
    return rng.dirichlet(np.ones(n_experts), size=len(weight)).T


def few_rows(X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator) -> Array:
    """A few random rows for one expert, and the others divided by random cuts or labels."""
    rest = random_partition if rng.random() < 0.5 else random_labels
    labels = rest(X, Y, weight, max(n_experts - 1, 1), rng)
    most = max(min(2 * (X.shape[1] + 1), len(weight) // 2), 1)
    labels[rng.permutation(len(weight))[: rng.integers(1, most + 1)]] = n_experts - 1
    return labels


PARTITIONS: dict[str, Partition] = {
    "linear_tree": linear_tree,
    "kmeans": kmeans,
    "tree": tree,
    "random": random_partition,
    "labels": random_labels,
    "few_rows": few_rows,
}
OTHERS: dict[str, Partition] = {"elemental": elemental, "perturbed": perturbed}
INITIALIZERS = tuple(PARTITIONS | OTHERS)


def initial_responsibilities(
    name: str, X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Responsibilities (K, n) by a named initializer."""
    if name in OTHERS:
        return OTHERS[name](X, Y, weight, n_experts, rng)
    labels = PARTITIONS[name](X, Y, weight, n_experts, rng)
    return (np.arange(n_experts)[:, None] == labels).astype(float)


# Kinds of starts in the order in which "auto" takes them, and those of experts that are estimators,
# which need partitions.
MIXED = ("kmeans", "elemental", "perturbed", "few_rows", "labels", "random")
OF_ESTIMATORS = ("kmeans", "tree", "random")


def init_schedule(init: str, n_experts: int, n_init: int, *, partitions: bool) -> list[str]:
    """Name of the initializer of each start; "auto" alternates, with the best ones first."""
    if init in INITIALIZERS:
        return [init] * n_init
    kinds = [*(OF_ESTIMATORS if partitions else MIXED)]
    kinds.insert(1 if n_experts > 8 else 0, "linear_tree")
    first, others = kinds[:2], kinds[2:]
    cycle = [*others, *(MIXED if not partitions else kinds)]
    return [*first, *(cycle[i % len(cycle)] for i in range(n_init - 2))][:n_init]


# --- units ------------------------------------------------------------------------------------


def unit_features(init_data: InitData) -> tuple[Array, Array, Array]:
    """Features (U, p), targets (m', U) and weights (U,) of units, for the initializers.

    The rows of one unit show the regression of its expert, as in clusterwise regression [1]_. The
    features are means over its rows. The targets are deviations of the coefficients of its
    regression from those of all rows, towards which they are shrunk, and are standardised.

    References
    ----------
    .. [1] W. S. DeSarbo and W. L. Cron (1988), "A maximum likelihood methodology for clusterwise
       linear regression", Journal of Classification 5, 249-282.
    """
    rows, X, Y, _ = init_data
    units = rows.units
    assert units is not None
    weight = rows.weight
    design = np.column_stack([X, np.ones(len(X))])
    weighted = design * weight[:, None]
    gram = weighted.T @ design
    ridge = 1e-3 * np.trace(gram) / len(gram)
    coef = np.linalg.solve(gram + ridge * np.eye(len(gram)), weighted.T @ Y.T)
    deviation = _unit_deviations(units, design, weight, Y - (design @ coef).T)
    means = units.sum_rows(weighted[:, :-1].T) / units.sum_rows(weight)
    centred = deviation - deviation.mean(axis=1, keepdims=True)
    largest = centred.std(axis=1).max(initial=0.0)
    targets = centred / largest if largest > 0.0 else centred
    return means.T, targets, units.sum_rows(weight)


def _unit_deviations(units: Units, design: Array, weight: Array, residual: Array) -> Array:
    """Ridge coefficients of the residuals (m, n) in each unit, (m * d, U)."""
    n_columns = design.shape[1]
    # The penalty is that of a prior under which rows vary as much as in all data.
    mean_square = weight @ np.square(design) / weight.sum()
    scale = np.sqrt(np.where(mean_square > 0.0, mean_square, 1.0))
    unit_design = design / scale
    gram = np.empty((len(units.starts), n_columns, n_columns))
    for j in range(n_columns):
        products = unit_design[:, j] * weight * unit_design.T
        gram[:, j] = units.sum_rows(products).T
    cross = np.stack([units.sum_rows(unit_design.T * (weight * r)) for r in residual])
    gram += SHRINKAGE_ROWS * np.eye(n_columns)
    solved = np.linalg.solve(gram, cross.transpose(2, 1, 0))  # (U, d, m)
    return solved.transpose(2, 1, 0).reshape(-1, len(units.starts))


def possible_experts(experts: Experts, n_experts: int, rows: Dataset) -> Array:
    """Experts that may have made each row (K, n), or all rows of each unit (K, U), boolean."""
    possible = experts.restrict(np.ones((n_experts, rows.n_rows)), rows.y) > 0.0
    if rows.units is not None:
        possible = np.minimum.reduceat(possible, rows.units.starts, axis=1)
    return possible if rows.possible is None else possible & rows.possible


def restricted(experts: Experts, resp: Array, rows: Dataset) -> Array:
    """Responsibilities of rows (K, n), or units (K, U), that are zero for impossible experts.

    Given are those of rows, (K, n). An expert that cannot have made one of the rows of a unit has
    not made the unit.
    """
    if rows.units is None and rows.possible is None:
        return experts.restrict(resp, rows.y)
    possible = possible_experts(experts, len(resp), rows)
    if rows.units is not None:
        resp = rows.units.sum_rows(resp * rows.weight) / rows.unit_weight
    resp = (resp + TINY**0.5) * possible
    return resp / np.maximum(resp.sum(axis=0), TINY)
