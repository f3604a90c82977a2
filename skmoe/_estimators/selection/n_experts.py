"""Selection of the number of experts, by held-out log density or an information criterion.

Numbers are tried in increasing order until several in succession bring no improvement, or until
experts collapse. Each fit starts from the previous one, with the experts of the lowest likelihood
split in two.

Like fits, trials use the distinct rows with their total weights, in an order that does not depend
on that of the rows. So copies of a row are in one fold, and weights are numbers of rows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_integer, class_weights
from skmoe._data.dask_chunks import is_dask
from skmoe._data.folds import check_metadata, check_several_folds, make_feasible_folds
from skmoe._data.units import join_groups
from skmoe._estimators.parameters.parameters import (
    FitParameters,
    check_n_experts_selection,
    max_selected_n_experts,
)
from skmoe._estimators.parameters.part_parameters import uses_groups
from skmoe._estimators.rows.capabilities import check_integer_n_experts
from skmoe._estimators.rows.training_data import (
    GivenRows,
    TrainingData,
    distinct_rows,
    validate_training_data,
)
from skmoe._estimators.rows.unit_rows import sort_by_unit
from skmoe._estimators.selection.data import SelectionData
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_random_state

# Number of trials after the best one that end the search.
PATIENCE = 2

# Tolerance and maximum number of iterations of trials, and of the fits that split an expert.
TRIAL_TOL = 1e-3
TRIAL_MAX_ITER = 50
SPLIT_MAX_ITER = 10

# Quantile of the log density relative to which the shortfall of a row is measured.
REFERENCE_QUANTILE = 0.9

# An expert is split by a fit to the rows with at least this responsibility, or to all rows if there
# are fewer than MIN_ROWS_TO_SPLIT of them, or fewer than MIN_UNITS_TO_SPLIT units.
MIN_SPLIT_RESPONSIBILITY = 0.01
MIN_ROWS_TO_SPLIT = 20
MIN_UNITS_TO_SPLIT = 4

# Number of folds. Each one is held out in turn; of SINGLE_HOLDOUT_ROWS distinct rows or more, only
# one fold.
N_SELECTION_FOLDS = 3
SINGLE_HOLDOUT_ROWS = 1000

# Number of standard errors by which a larger number of experts must predict better.
N_STANDARD_ERRORS = 1.0

# Gain of the mean held-out log density per row below which numbers of experts are equally good.
MIN_GAIN = 1e-4


class SelectionResult(NamedTuple):
    """The selected number, the numbers tried, and their scores (higher is better).

    `errors` are the standard errors of the differences from the best held-out score.
    """

    n_experts: int
    tried: Array
    scores: Array
    errors: Array | None = None


def n_experts_grid() -> Iterator[int]:
    """Numbers to try: 1 to 6, and then a geometric sequence 8, 10, 12, 15, ..."""
    number = 1
    while True:
        yield number
        number = max(number + 1, round(1.25 * number))


def select_by_criterion(criterion: Callable[[int], float], maximum: int) -> SelectionResult:
    """The number of experts with the smallest criterion."""
    tried: list[int] = []
    scores: list[float] = []
    for number in n_experts_grid():
        if number > maximum or _no_improvement(scores):
            break
        tried.append(number)
        scores.append(-criterion(number))
    return SelectionResult(tried[int(np.argmax(scores))], np.array(tried), np.array(scores))


def select_by_holdout(
    score: Callable[[int], Array | None], weight: Array, maximum: int, rows_per_score: float = 1.0
) -> SelectionResult:
    """The smallest number whose mean held-out score is within one standard error of the best.

    `score` returns None for a number whose experts collapse. No larger number is tried: the rows
    do not support it, and its score would differ by its penalties only.

    The standard error is that of the mean of the row-wise differences [1]_, or of differences of
    units of several rows. Gains of less than MIN_GAIN per row do not count: trials end before they
    have converged.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth, section 3.4.3.
    """
    tried: list[int] = []
    row_scores: list[Array] = []
    means: list[float] = []
    for number in n_experts_grid():
        if number > maximum or _no_improvement(means):
            break
        scores = score(number)
        if scores is None:
            break
        tried.append(number)
        row_scores.append(scores)
        means.append(float(np.average(scores, weights=weight)))
    best = row_scores[int(np.argmax(means))]
    differences = [_mean_and_error(best - other, weight) for other in row_scores]
    smallest = next(
        number
        for number, (mean, error) in zip(tried, differences, strict=True)
        if mean <= max(N_STANDARD_ERRORS * error, MIN_GAIN * rows_per_score)
    )
    errors = np.array([error for _, error in differences])
    return SelectionResult(smallest, np.array(tried), np.array(means), errors)


def _mean_and_error(difference: Array, weight: Array) -> tuple[float, float]:
    """Mean of differences of rows, and its standard error."""
    mean = np.average(difference, weights=weight)
    variance = np.average((difference - mean) ** 2, weights=weight) / weight.sum()
    return float(mean), float(np.sqrt(variance))


def _no_improvement(scores: list[float]) -> bool:
    """Whether the last PATIENCE trials were not better than the best one."""
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE


def with_selected_n_experts(
    estimator: Any, given: GivenRows
) -> tuple[Any, GivenRows, dict[str, Any]]:
    """Estimator and rows of the fit with a selected number, and attributes of the selection.

    A number that is given needs no selection.
    """
    if not isinstance(estimator.n_experts, str):
        return estimator, given, {}
    found = select_n_experts(estimator, given)
    top_k = None if estimator.top_k is None else min(estimator.top_k, found.n_experts)
    fixed = copy.copy(estimator).set_params(n_experts=found.n_experts, top_k=top_k)
    selected = {"n_experts_tried_": found.tried, "n_experts_scores_": found.scores}
    if found.errors is not None:
        selected["n_experts_score_errors_"] = found.errors
    return fixed, without_unused_groups(estimator, given), selected


def without_unused_groups(estimator: Any, given: GivenRows) -> GivenRows:
    """Rows without groups if only the selection of the number of experts uses them."""
    only_selection = estimator.n_experts == "auto" and not uses_groups(estimator)
    return given._replace(groups=None) if only_selection else given


def select_n_experts(estimator: Any, given: GivenRows) -> SelectionResult:
    """Select the number of experts for n_experts="auto", "bic" or "icl"."""
    if isinstance(given.X, RowBlocks) or is_dask(given.X):
        check_integer_n_experts("a fit from blocks of rows", estimator.n_experts)
    check_n_experts_selection(estimator)
    if estimator.top_k is not None:  # trials have at most this many experts for a row
        check_integer("top_k", estimator.top_k, least=1)
    params, checked, data = _distinct_rows(estimator, given)
    criterion = str(estimator.n_experts)
    maximum = max_selected_n_experts(criterion, float(data.weight.sum()))
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
    all_rows = np.arange(len(data.y))
    held_out = _held_out(estimator, data, seed) if criterion == "auto" else [all_rows[:0]]
    fitted_rows = [np.setdiff1d(all_rows, rows) for rows in held_out]
    n_distinct = [_n_distinct(params, checked.take(rows)) for rows in fitted_rows]
    maximum = min(maximum, *n_distinct)
    fitters = [IncrementalFitter(estimator, data, rows, seed) for rows in fitted_rows]
    if criterion == "auto":
        weights = [data.take(rows).sum_over_units(data.weight[rows]) for rows in held_out]
        weight, rows_per_score = np.concatenate(weights), 1.0
        if data.units is not None:
            weight, rows_per_score = np.ones_like(weight), float(weight.mean())
        score = partial(_score, fitters, data, held_out)
        return select_by_holdout(score, weight, maximum, rows_per_score)
    return select_by_criterion(
        lambda number: getattr(fitters[0].fit(number), criterion)(
            data.X, data.y, **data.of_methods | {"sample_weight": data.weight}
        ),
        maximum,
    )


class IncrementalFitter:
    """Fits with an increasing number of experts, each started from the previous fit."""

    def __init__(self, estimator: Any, data: SelectionData, rows: Array, seed: int) -> None:
        self.estimator = estimator
        self.data = data.take(rows)
        self.seed = seed
        self.fitted: Any = None  # the last fit

    def fit(self, number: int) -> Any:
        """Fit with a number of experts, which must be larger than that of the previous fit."""
        data, weight = self.data, self.data.weight
        if self.fitted is None:
            self.fitted = self._fit(data, weight, number)
            return self.fitted
        init = self.split_responsibilities(number)
        # The estimate of the noise variance takes time, and is the same for all numbers.
        self.fitted = self._fit(data, weight, number, init, noise_variance=self.noise_variance)
        return self.fitted

    def has_collapsed(self) -> bool:
        """Whether one of several experts of the last fit has lost nearly all rows."""
        weights = self.fitted.weights_
        return len(weights) > 1 and bool(is_collapsed(weights * self.data.weight.sum()).any())

    @property
    def noise_variance(self) -> Array | None:
        """Noise variance of the standardised outputs that the last fit has estimated, and kept."""
        is_found = getattr(self.estimator, "dispersion_prior", None) == "auto"
        estimate = self.fitted._fitted.model.experts.estimates.get("noise_variance")
        return None if is_found or estimate is None else np.array(estimate)

    def split_responsibilities(self, number: int) -> Array:
        """Responsibilities (n, `number`) of the last fit, with experts split in two."""
        data, weight = self.data, self.data.weight
        resp = _responsibilities(self.fitted, data)
        log_density = self.fitted.score_samples(data.X, data.y, **data.of_methods)
        log_density = data.of_rows(log_density / data.sum_over_units(np.ones(len(data.y))))
        shortfall = np.maximum(np.quantile(log_density, REFERENCE_QUANTILE) - log_density, 0.0)
        n_new = number - resp.shape[1]  # by `n_experts_grid` not more than there are experts
        to_split = np.argsort(-(weight * shortfall) @ resp, kind="stable")[:n_new]
        columns = [resp]
        for k in to_split:
            fraction = self._split(resp[:, k])
            columns.append(resp[:, [k]] * fraction[:, None])
            resp[:, k] *= 1.0 - fraction
        init = np.hstack(columns)
        return init / init.sum(axis=1, keepdims=True)

    def _split(self, resp: Array) -> Array:
        """Responsibilities (n,) of the second expert, when an expert is replaced by two.

        `resp` are the responsibilities of the expert that is replaced.
        """
        data, weight = self.data, self.data.weight
        rows = np.flatnonzero(resp > MIN_SPLIT_RESPONSIBILITY)
        if _can_split(data.take(rows)):
            data, weight = data.take(rows), (weight * resp)[rows]
        pair = self._fit(data, weight, 2, max_iter=SPLIT_MAX_ITER)
        if not is_classifier(pair):
            return _responsibilities(pair, self.data)[:, 1]
        # Rows of classes that are not among the fitted rows are split by the gate alone.
        second = pair.predict_gate(self.data.X)[:, 1]
        of_fitted_class = np.flatnonzero(np.isin(self.data.y, pair.classes_))
        data = self.data.take(of_fitted_class)
        second[of_fitted_class] = _responsibilities(pair, data)[:, 1]
        sizes = self.data.sum_over_units(np.ones(len(second)))
        return self.data.of_rows(self.data.sum_over_units(second) / sizes)

    def _fit(
        self,
        data: SelectionData,
        weight: Array,
        number: int,
        init: Array | None = None,
        max_iter: int = TRIAL_MAX_ITER,
        noise_variance: Array | None = None,
    ) -> Any:
        estimator = self.estimator
        changed = {
            "n_experts": number,
            "n_init": 1,
            "init": estimator.init if init is None else init,
            "combine": "best",
            "max_iter": min(estimator.max_iter, max_iter),
            "tol": max(estimator.tol, TRIAL_TOL),
            "top_k": None if estimator.top_k is None else min(estimator.top_k, number),
            "random_state": self.seed,
            "verbose": 0,
        }
        changed |= {"class_weight": None} if is_classifier(estimator) else {}
        trial = type(estimator)(**estimator.get_params(deep=False) | changed)
        metadata = dict(data.extras)
        by_row = {name: metadata.pop(name, None) for name in ("groups", "offset", "units")}
        if not uses_groups(estimator):
            by_row["groups"] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = GivenRows(data.X, data.y, weight, metadata=metadata, **by_row)
            return trial._fit(given, noise_variance=noise_variance)


def _responsibilities(fitted: Any, data: SelectionData) -> Array:
    """Responsibilities (n, K) of the rows, those of its unit for each."""
    resp = fitted.responsibilities(data.X, data.y, **data.of_methods)
    return resp if data.units is None else data.of_rows(resp.proba)


def _can_split(data: SelectionData) -> bool:
    """Whether the rows are enough for a fit of two experts."""
    if data.units is not None and len(np.unique(data.units)) < MIN_UNITS_TO_SPLIT:
        return False
    return len(data.y) >= MIN_ROWS_TO_SPLIT and len(np.unique(data.y)) > 1


def _n_distinct(params: FitParameters, data: TrainingData) -> int:
    """Number of distinct rows, or of units."""
    if data.units is not None:
        return len(np.unique(data.units))
    return len(distinct_rows(params, data)[0])


def _distinct_rows(
    estimator: Any, given: GivenRows
) -> tuple[FitParameters, TrainingData, SelectionData]:
    """Parameters of a fit, and the distinct rows with their total weights, validated and as given.

    Rows are different if their groups are; rows with metadata are not merged, as in fits.
    """
    one_expert = copy.copy(estimator).set_params(n_experts=1, top_k=None)
    params = one_expert._validate_parameters()
    checked = validate_training_data(one_expert, params, without_unused_groups(estimator, given))
    all_groups = check_metadata({"groups": given.groups}, len(checked.y)).get("groups")
    if params.task.is_classification:  # trials have the weights of their rows and classes
        classes, weight = checked.attributes["classes_"], checked.weight
        weight = class_weights(params.task.class_weight, classes, checked.y, weight)
        checked = checked._replace(weight=weight)
    kept = np.flatnonzero(checked.weight > 0.0)
    checked = checked.take(kept)
    extras = dict(checked.metadata)
    if all_groups is not None:
        extras["groups"] = all_groups[kept]
    if checked.offset is not None:
        extras["offset"] = checked.offset.T
    if checked.units is not None:
        extras["units"] = checked.units
    index, weight = np.arange(len(kept)), checked.weight
    keyed = checked._replace(groups=extras.get("groups"))
    if checked.units is not None:
        index, weight, _ = sort_by_unit(params, keyed, merge=not checked.metadata)
    elif not checked.metadata:
        index, weight = distinct_rows(params, keyed)
    X: Any = given.X if hasattr(given.X, "shape") else np.asarray(given.X)
    y = np.asarray(given.y)
    X = X.tocsr() if sparse.issparse(X) else X
    data = SelectionData(X, y, np.ones(len(y)), {}).take(kept)._replace(extras=extras)
    checked = checked.take(index)._replace(weight=weight)
    return params, checked, data.take(index)._replace(weight=weight)


def _held_out(estimator: Any, data: SelectionData, seed: int) -> list[Array]:
    """Indices of the held-out rows of each split."""
    groups, codes = join_groups(data.extras.get("groups"), data.units), None
    can_hold_out = np.ones(len(data.y), dtype=bool)
    if is_classifier(estimator):
        _, codes, counts = np.unique(data.y, return_inverse=True, return_counts=True)
        # Rows of classes with fewer rows than folds are in all fits.
        can_hold_out = counts[codes] >= N_SELECTION_FOLDS
        can_hold_out = data.of_rows(data.sum_over_units(~can_hold_out)) == 0
        codes = codes if can_hold_out.all() else None
    fold = make_feasible_folds(N_SELECTION_FOLDS, codes, groups, len(data.y), seed)
    check_several_folds('n_experts="auto"', fold, groups)
    n_independent = len(data.sum_over_units(data.weight))
    n_splits = 1 if n_independent >= SINGLE_HOLDOUT_ROWS else fold.max() + 1
    held_out = [np.flatnonzero((fold == j) & can_hold_out) for j in range(n_splits)]
    held_out = [rows for rows in held_out if len(rows)]
    if not held_out:
        raise ValueError(
            f'n_experts="auto" needs a class with at least {N_SELECTION_FOLDS} distinct rows, of '
            f"which some are held out; got at most {counts.max()} for each class. Use "
            'n_experts="bic", or an integer.'
        )
    return held_out


def _score(
    fitters: list[IncrementalFitter], data: SelectionData, held_out: list[Array], number: int
) -> Array | None:
    """Log densities of the held-out rows or units under fits of the others.

    None if experts collapse in most of these fits.
    """
    fits = [fitter.fit(number) for fitter in fitters]
    if 2 * sum(map(IncrementalFitter.has_collapsed, fitters)) > len(fits):
        return None
    tests = [data.take(rows) for rows in held_out]
    scores = [
        fitted.score_samples(test.X, test.y, **test.of_methods)
        for fitted, test in zip(fits, tests, strict=True)
    ]
    return np.concatenate(scores)
