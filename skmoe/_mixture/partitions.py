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

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.preprocessing import canonical_form
from skmoe._data.rows import Dataset
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import TINY, Array, Design

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
LEVELS_OF_THRESHOLDS = np.arange(1, N_THRESHOLDS + 1) / (N_THRESHOLDS + 1) * (1.0 - 1e-12)
MAX_SPLIT_VARIABLES = 20
MAX_SPLIT_TARGETS = 10
RELATIVE_RIDGE = 1e-3

# Rows of a typical unit that the shrinkage of its coefficients is worth.
SHRINKAGE_ROWS = 1.0


class InitData(NamedTuple):
    """Rows for the initialisation, with columns and outputs in a canonical order."""

    rows: Dataset
    X: Array  # selected columns with a canonical sign, dense (n, p)
    Y: Array  # outputs with a canonical sign, or class indicators, (m, n)
    outputs: Array  # index in Y of each output of the data set, or class

    def part(self, kept: Array, factor: float = 1.0) -> InitData:
        """The data of some rows or units, whose weights are multiplied by a factor."""
        rows, index = self.rows.take(kept, factor), self.rows.rows_of(kept)
        return self._replace(rows=rows, X=self.X[index], Y=self.Y[:, index])


def sample_of(
    rows: Dataset, size: int, rng: np.random.Generator, among: Array | None = None
) -> Array:
    """Sorted random positions of about `size` rows, or of units or series, among some or all.

    Known ones come first, up to a tenth of the sample.
    """
    among = np.arange(rows.n_apart) if among is None else among
    order = rng.permutation(len(among))
    whole = rows.units if rows.series is None else rows.series
    if rows.possible is not None and rows.series is None:
        known = ~rows.possible[:, among[order]].all(axis=0)
        is_first = known & (np.cumsum(known) <= KNOWN_SHARE * size)
        order = np.concatenate([order[is_first], order[~is_first]])
    if whole is not None:
        ends = np.cumsum(whole.sizes[order])
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
    is_sparse = any(map(sparse.issparse, features))
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
    return InitData(rows, X[:, varies] if varies.any() else X, Y, np.argsort(form.outputs))


# --- initializers -----------------------------------------------------------------------------

INITIALIZERS = (
    "linear_tree",
    "kmeans",
    "tree",
    "random",
    "labels",
    "few_rows",
    "elemental",
    "perturbed",
)

# Name of the start from the rows of which something is known.
KNOWN = "known"

# Kinds of starts in the order in which "auto" takes them after a linear tree, and those of experts
# that are estimators, which need partitions.
MIXED = ("kmeans", "elemental", "perturbed", "few_rows", "labels", "random")
OF_ESTIMATORS = ("kmeans", "tree", "random")

N_LLOYD_ITER = 30


def initial_responsibilities(
    name: str, X: Array, Y: Array, weight: Array, n_experts: int, rng: np.random.Generator
) -> Array:
    """Responsibilities (K, n) by a named initializer.

    - "linear_tree" and "tree": the leaves of a tree. Of a regression tree [1]_ each has a quarter
      of an even share of the weight, or more.
    - "kmeans": k-means on features and target, from the centres of random cells.
    - "random": cells of cuts along random directions.
    - "labels": a random expert for each row [2]_.
    - "few_rows": a few random rows for one expert, and the others divided by cuts or labels.
    - "elemental": a few random rows for each expert: about as many as it has coefficients, or
      twice [3]_.
    - "perturbed": all rows for each expert, by the weights of a Bayesian bootstrap [4]_. So each
      one begins near the estimate of a single model, perturbed by its standard errors.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth.
    .. [2] F. Leisch (2004), "FlexMix: a general framework for finite mixture models and latent
       class regression in R", Journal of Statistical Software 11(8).
    .. [3] D. M. Hawkins (1993), "The feasible set algorithm for least median of squares
       regression", Computational Statistics & Data Analysis 16, 81-101.
    .. [4] D. B. Rubin (1981), "The Bayesian bootstrap", Annals of Statistics 9, 130-134.
    """
    n_rows, n_columns, kind, n_cells = len(weight), X.shape[1] + 1, name, n_experts
    if name == "perturbed":
        return rng.dirichlet(np.ones(n_experts), size=n_rows).T
    if name == "elemental":
        most = max(n_rows // n_experts, 1)
        least = min(n_columns, most)
        size = rng.integers(least, min(2 * least, most) + 1)
        resp = np.zeros((n_experts, n_rows))
        chosen = rng.permutation(n_rows)[: size * n_experts]
        resp[np.arange(len(chosen)) % n_experts, chosen] = 1.0
        return resp
    if name == "few_rows":
        kind, n_cells = "random" if rng.random() < 0.5 else "labels", max(n_experts - 1, 1)
    if kind == "labels":
        labels = rng.integers(n_cells, size=n_rows)
    else:
        labels = np.zeros(n_rows, dtype=int)
        if kind == "linear_tree":
            labels = _linear_tree(X, Y, weight, n_cells)
        elif kind == "tree" and n_cells > 1:
            tree = DecisionTreeRegressor(
                max_leaf_nodes=n_cells, min_weight_fraction_leaf=0.25 / n_cells, random_state=0
            )
            leaves = tree.fit(X, Y.T, sample_weight=weight).apply(X)
            labels = np.unique(leaves, return_inverse=True)[1].ravel()
        # The targets have the variance of all features together.
        points = np.column_stack([X, Y.T * np.sqrt(max(X.shape[1], 1) / len(Y))])
        labels = _split_until(points, labels, weight, n_cells, rng)
        if kind == "kmeans" and labels.max() + 1 == n_cells:
            labels = _kmeans(points, weight, labels)
    if name == "few_rows":
        most = max(min(2 * n_columns, n_rows // 2), 1)
        labels[rng.permutation(n_rows)[: rng.integers(1, most + 1)]] = n_experts - 1
    return (np.arange(n_experts)[:, None] == labels).astype(float)


def _split_until(
    points: Array, labels: Array, weight: Array, n_cells: int, rng: np.random.Generator
) -> Array:
    """Labels (n,) of a partition, the heaviest cell of which is cut until there are enough."""
    splittable = np.bincount(labels, weight, minlength=n_cells)  # weight of each cell
    n_found = labels.max() + 1
    while n_found < n_cells:
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
        labels[members[right]] = n_found
        splittable[n_found] = weight[members[right]].sum()
        splittable[cell] = weight[members[~right]].sum()
        n_found += 1
    return labels


def _kmeans(points: Array, weight: Array, labels: Array) -> Array:
    """Labels (n,) by Lloyd's algorithm from the centres of cells; convergence is not needed."""
    numbers = np.arange(labels.max() + 1)[:, None]
    centers = np.zeros((len(numbers), points.shape[1]))
    for _ in range(N_LLOYD_ITER):
        before, of_cells = labels, weight * (labels == numbers)
        total = of_cells.sum(axis=1, keepdims=True)
        # A cell that has lost all points stays where it is.
        centers = np.where(total > 0.0, of_cells @ points / np.maximum(total, TINY), centers)
        labels = (np.square(centers).sum(axis=1) - 2.0 * points @ centers.T).argmin(axis=1)
        if (labels == before).all():
            break
    return labels


def _linear_tree(X: Array, Y: Array, weight: Array, n_leaves: int) -> Array:
    """Leaves of a tree with a linear model in each leaf, grown greedily by squared error [1]_.

    References
    ----------
    .. [1] A. Zeileis, T. Hothorn and K. Hornik (2008), "Model-based recursive partitioning",
       Journal of Computational and Graphical Statistics 17, 492-514.
    """
    labels = np.zeros(len(weight), dtype=int)
    splits: list[tuple[float, Array]] = []
    changed = [0]
    for n_found in range(1, n_leaves):
        for leaf in changed:
            split = _best_split(X, Y, weight, np.flatnonzero(labels == leaf))
            splits[leaf : leaf + 1] = [split]
        best = int(np.argmax([gain for gain, _ in splits]))
        gain, right_rows = splits[best]
        if not gain > 0.0:
            break
        labels[right_rows], changed = n_found, [best, n_found]
    return labels


def _best_split(X: Array, Y: Array, weight: Array, rows: Array) -> tuple[float, Array]:
    """Largest reduction of squared error by a split of a leaf, and the rows of the right child.

    Thresholds are weighted quantiles of each column and of the fitted values of each target. Of
    many columns only those that are most correlated with the absolute residuals are used, and of
    many targets only those whose fitted values vary most.
    """
    n_rows, n_columns = len(rows), X.shape[1]
    if n_rows < 2 * (n_columns + 2):
        return 0.0, rows[:0]
    values = np.column_stack([X[rows], np.ones(n_rows), Y[:, rows].T])
    weighted = values * weight[rows, None]
    total = values.T @ weighted
    leaf_error, coef = _ridge_errors(total, n_columns + 1)
    columns, targets = values[:, :n_columns].T, values[:, n_columns + 1 :].T
    fitted = coef.T @ values[:, : n_columns + 1].T
    if n_columns > MAX_SPLIT_VARIABLES:
        # A change of the regression along a column shows in the size of the residuals.
        residual = np.abs(targets - fitted) * weight[rows]
        covariance = np.abs((residual - residual.mean(axis=1, keepdims=True)) @ columns.T)
        ranked = np.argsort(-covariance.max(axis=0), kind="stable")
        columns = columns[np.sort(ranked[:MAX_SPLIT_VARIABLES])]
    if len(fitted) > MAX_SPLIT_TARGETS:
        variance = np.square(fitted - fitted.mean(axis=1, keepdims=True)) @ weight[rows]
        ranked = np.argsort(-np.round(variance, ROUND_DECIMALS), kind="stable")
        fitted = fitted[np.sort(ranked[:MAX_SPLIT_TARGETS])]
    variables = np.vstack([columns, np.round(fitted, ROUND_DECIMALS)])
    order = np.argsort(variables, axis=1, kind="stable")
    shape = len(variables), N_THRESHOLDS
    left, n_left = np.empty((*shape, *total.shape)), np.empty(shape, dtype=int)
    for v, own in enumerate(order):
        ordered, cumulative = variables[v, own], np.cumsum(weight[rows[own]])
        position = np.searchsorted(cumulative, LEVELS_OF_THRESHOLDS * cumulative[-1])
        n_left[v] = np.searchsorted(ordered, ordered[position], side="right")
        rows_of_v, weighted_of_v, start = values[own], weighted[own].T, 0
        for j, end in enumerate(n_left[v].tolist()):
            left[v, j] = weighted_of_v[:, start:end] @ rows_of_v[start:end]
            start = end
    left = np.cumsum(left, axis=1)
    errors = _ridge_errors(np.stack([left, total - left]), n_columns + 1)[0].sum(axis=0)
    errors[np.minimum(n_left, n_rows - n_left) < n_columns + 2] = np.inf
    best_gain, right_rows = 0.0, rows[:0]
    for v, j in enumerate(errors.argmin(axis=1)):
        gain = float(leaf_error - errors[v, j])
        # The margin keeps round-off from deciding between equal splits.
        if gain > best_gain + 1e-9 * leaf_error:
            best_gain, right_rows = gain, rows[order[v, n_left[v, j] :]]
    return best_gain, right_rows


def _ridge_errors(moments: Array, n_columns: int) -> tuple[Array, Array]:
    """Squared errors of ridge regressions, summed over targets, and coefficients (..., d, m).

    Moments (..., d + m, d + m) are weighted products of the columns and targets.
    """
    gram, cross = moments[..., :n_columns, :n_columns], moments[..., :n_columns, n_columns:]
    squares = np.trace(moments[..., n_columns:, n_columns:], axis1=-2, axis2=-1)
    scale = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / n_columns
    ridge = (RELATIVE_RIDGE * scale + 1e-12) * np.eye(n_columns)
    coef = np.linalg.solve(gram + ridge, cross)
    gain = (coef * (2.0 * cross - gram @ coef)).sum(axis=(-2, -1))
    return np.maximum(squares - gain, 0.0), coef


class StartJob(NamedTuple):
    """One of several starts."""

    init_name: str
    is_first: bool
    is_repeated: bool  # whether an earlier start has the same initializer
    seed: Any


def start_jobs(
    init: str, n_experts: int, seeds: Sequence[Any], *, partitions: bool, known: bool = False
) -> list[StartJob]:
    """The starts of a named initialisation, one for each seed.

    "auto" alternates, with the best kinds first. If the experts of some rows are known, it begins
    with a start from these rows.
    """
    names = [init] * len(seeds)
    if init not in INITIALIZERS:
        kinds = [*(OF_ESTIMATORS if partitions else MIXED)]
        kinds.insert(1 if n_experts > 8 else 0, "linear_tree")
        cycle = [*kinds[2:], *(kinds if partitions else (*MIXED, "linear_tree"))]
        later = [cycle[i % len(cycle)] for i in range(len(seeds) - 2)]
        names = [*[KNOWN][:known], *kinds[:2], *later][: len(seeds)]
    return [
        StartJob(name, i == 0, name in names[:i], seed)
        for i, (name, seed) in enumerate(zip(names, seeds, strict=True))
    ]


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
    residual = Y - (design @ coef).T
    # Ridge coefficients of the residuals in each unit, (m * d, U). The penalty is that of a prior
    # under which rows vary as much as in all data.
    mean_square = weight @ np.square(design) / weight.sum()
    unit_design = design / np.sqrt(np.where(mean_square > 0.0, mean_square, 1.0))
    grams = [units.sum_rows(column * weight * unit_design.T).T for column in unit_design.T]
    cross = np.stack([units.sum_rows(unit_design.T * (weight * r)) for r in residual])
    penalised = np.stack(grams, axis=1) + SHRINKAGE_ROWS * np.eye(len(gram))
    solved = np.linalg.solve(penalised, cross.transpose(2, 1, 0))  # (U, d, m)
    deviation = solved.transpose(2, 1, 0).reshape(-1, len(units.starts))
    means = units.sum_rows(weighted[:, :-1].T) / units.sum_rows(weight)
    centred = deviation - deviation.mean(axis=1, keepdims=True)
    largest = centred.std(axis=1).max(initial=0.0)
    targets = centred / largest if largest > 0.0 else centred
    return means.T, targets, units.sum_rows(weight)


def possible_experts(experts: Any, rows: Dataset) -> Array | None:
    """Experts that may have made each row (K, n), or unit (K, U), boolean; None for all."""
    possible = None if experts.has_one_family else experts.support(rows.y)
    if possible is not None and rows.units is not None:
        possible = np.minimum.reduceat(possible, rows.units.starts, axis=1)
    if possible is None or rows.possible is None:
        return rows.possible if possible is None else possible
    return np.asarray(possible & rows.possible)


def restricted(experts: Any, resp: Array, rows: Dataset) -> Array:
    """Responsibilities of rows (K, n), or units (K, U), that are zero for impossible experts.

    Given are those of rows, (K, n). An expert that cannot have made one of the rows of a unit has
    not made the unit.
    """
    possible = possible_experts(experts, rows)
    if rows.units is not None:
        resp = rows.units.sum_rows(resp * rows.weight) / rows.unit_weight
    if possible is None:
        return resp
    resp = (resp + TINY**0.5) * possible
    return np.asarray(resp / np.maximum(resp.sum(axis=0), TINY))
