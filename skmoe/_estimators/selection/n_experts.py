"""Selection of the number of experts, by held-out log density or an information criterion.

Numbers are tried in increasing order until several in succession bring no improvement, or until
experts collapse. Each fit starts from the previous one, with the experts of the lowest likelihood
split in two.

Like fits, trials use the distinct rows with their total weights, in an order that does not depend
on that of the rows. So copies of a row are in one fold, and weights are numbers of rows.

The number is a property of the table: folds, sample and starts of the trials do not depend on
`random_state`. Held-out rows are those of several partitions, so that no single one decides.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_integer
from skmoe._data.folds import check_several_folds, make_feasible_folds
from skmoe._data.row_checks import check_metadata, class_codes
from skmoe._data.rows import Rows, is_dask
from skmoe._estimators.fitting.attributes import user_stacklevel
from skmoe._estimators.parameters.conflicts import BLOCKS, check_conflicts, chosen_options
from skmoe._estimators.parameters.parameters import (
    FitParameters,
)
from skmoe._estimators.parameters.part_parameters import uses_groups
from skmoe._estimators.rows.training_data import (
    TrainingData,
    distinct_rows,
    present_rows,
    sort_by_unit,
    validate_training_data,
    with_class_weights,
)
from skmoe._inference.criteria import fit_statistics
from skmoe._inference.labels import describe_ties
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

# Values of `n_experts` that select the number, and the minimum number of rows for it (their total
# weight), in total and per expert.
N_EXPERTS_CRITERIA = ("auto", "aic", "bic", "icl")
MIN_ROWS_FOR_SELECTION = 20
MIN_ROWS_PER_EXPERT = 10

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

# Seed of folds, sample and starts.
SELECTION_SEED = 0

# Number of folds of a partition. Folds of several partitions are held out, one at a time: as many
# as permit fits of ROWS_OF_FITS rows in all, and at most MAX_FITS.
N_SELECTION_FOLDS = 3
MAX_FITS = 15
ROWS_OF_FITS = 15_000

# Number of distinct rows of which folds are held out, a sample of more.
MAX_SELECTION_ROWS = 20_000

# Number of standard errors by which a larger number of experts must predict better.
N_STANDARD_ERRORS = 1.5

# Gain of the mean held-out log density per row below which numbers of experts are equally good.
MIN_GAIN = 1e-4


class SelectionResult(NamedTuple):
    """The selected number, the numbers tried, and their scores (higher is better).

    `errors` are the standard errors of the differences from the best held-out score. `ties` are
    the numbers that predict as well as the best one, from the selected one on. `is_rising` is
    True if the largest number permitted is the best.
    """

    n_experts: int
    tried: Array
    scores: Array
    errors: Array | None = None
    ties: Array | None = None
    is_rising: bool = False


class Trials:
    """Numbers that were tried, and their scores, which `verbose` prints."""

    def __init__(self, maximum: int, verbose: int = 0) -> None:
        self.maximum = maximum
        self.verbose = verbose
        self.tried: list[int] = []
        self.scores: list[float] = []
        self.since = time.perf_counter()

    def numbers(self) -> Iterator[int]:
        """Numbers to try, until several in succession bring no improvement."""
        for number in n_experts_grid():
            if number > self.maximum or _no_improvement(self.scores):
                break
            yield number

    def add(self, number: int, score: float) -> None:
        """Add a trial, and print it with its time."""
        self.tried.append(number)
        self.scores.append(score)
        now = time.perf_counter()
        if self.verbose > 0:
            print(
                f"{number} expert{'s' * (number > 1)}: score {score:.5f}, {now - self.since:.1f} s"
            )
        self.since = now

    @property
    def best(self) -> int:
        """Index of the best trial."""
        return int(np.argmax(self.scores))

    def result(
        self, selected: int, *, is_collapsed: bool = False, **fields: Any
    ) -> SelectionResult:
        """The result, if the trial at index `selected` is selected."""
        is_last = 0 < selected == self.best == len(self.tried) - 1
        tried, scores = np.array(self.tried), np.array(self.scores)
        rising = is_last and not is_collapsed
        return SelectionResult(self.tried[selected], tried, scores, is_rising=rising, **fields)


def n_experts_grid() -> Iterator[int]:
    """Numbers to try: 1 to 6, and then a geometric sequence 8, 10, 12, 15, ..."""
    number = 1
    while True:
        yield number
        number = max(number + 1, round(1.25 * number))


def select_by_criterion(criterion: Callable[[int], float], trials: Trials) -> SelectionResult:
    """The number of experts with the smallest criterion."""
    for number in trials.numbers():
        trials.add(number, -criterion(number))
    return trials.result(trials.best)


def select_by_holdout(
    score: Callable[[int], Array | None],
    weight: Array,
    trials: Trials,
    rows_per_score: float = 1.0,
) -> SelectionResult:
    """The smallest number whose mean held-out score is within 1.5 standard errors of the best.

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
    row_scores: list[Array] = []
    is_collapsed = False
    for number in trials.numbers():
        scores = score(number)
        if scores is None:
            is_collapsed = True
            break
        row_scores.append(scores)
        trials.add(number, float(np.average(scores, weights=weight)))
    best = row_scores[trials.best]
    mean, errors = np.array([_mean_and_error(best - other, weight) for other in row_scores]).T
    is_tied = mean <= np.maximum(N_STANDARD_ERRORS * errors, MIN_GAIN * rows_per_score)
    ties = np.array(trials.tried)[is_tied]
    smallest = int(np.argmax(is_tied))
    return trials.result(smallest, is_collapsed=is_collapsed, errors=errors, ties=ties)


def _mean_and_error(difference: Array, weight: Array) -> tuple[float, float]:
    """Mean of differences of rows, and its standard error."""
    mean = np.average(difference, weights=weight)
    variance = np.average((difference - mean) ** 2, weights=weight) / weight.sum()
    return float(mean), float(np.sqrt(variance))


def _no_improvement(scores: list[float]) -> bool:
    """Whether the last PATIENCE trials were not better than the best one."""
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE


def with_selected_n_experts(estimator: Any, given: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Estimator and rows of the fit with a selected number, and attributes of the selection.

    A number that is given needs no selection.
    """
    if not isinstance(estimator.n_experts, str):
        return estimator, given, {}
    found = select_n_experts(estimator, given)
    if found.is_rising:
        warn_rising(str(estimator.n_experts), found.n_experts)
    top_k = None if estimator.top_k is None else min(estimator.top_k, found.n_experts)
    fixed = copy.copy(estimator).set_params(n_experts=found.n_experts, top_k=top_k)
    selected = {"n_experts_tried_": found.tried, "n_experts_scores_": found.scores}
    if found.errors is not None and found.ties is not None:
        selected |= {"n_experts_score_errors_": found.errors, "n_experts_ties_": found.ties}
        if estimator.verbose and len(found.ties) > 1:
            print(describe_ties(found.ties.tolist()))
    return fixed, without_unused_groups(estimator, given), selected


def without_unused_groups(estimator: Any, given: Rows) -> Rows:
    """Rows without groups if only the selection of the number of experts uses them."""
    only_selection = estimator.n_experts == "auto" and not uses_groups(estimator)
    return given._replace(group=None) if only_selection else given


def select_n_experts(estimator: Any, given: Rows) -> SelectionResult:
    """Select the number of experts for n_experts="auto", "aic", "bic" or "icl"."""
    if estimator.n_experts not in N_EXPERTS_CRITERIA:
        raise ValueError(
            f"n_experts must be an integer of at least 1 or one of {list(N_EXPERTS_CRITERIA)}; got "
            f"{estimator.n_experts!r}."
        )
    chosen = chosen_options(estimator)
    if isinstance(given.X, RowBlocks) or is_dask(given.X):
        chosen[BLOCKS] = f"X as {BLOCKS} ({type(given.X).__name__})"
    check_conflicts(chosen)
    if estimator.top_k is not None:  # trials have at most this many experts for a row
        check_integer("top_k", estimator.top_k, least=1)
    params, data = _distinct_rows(estimator, given)
    criterion, n_rows = str(estimator.n_experts), float(data.rows.weight.sum())
    if n_rows < MIN_ROWS_FOR_SELECTION:
        raise ValueError(
            f'n_experts="{criterion}" needs at least {MIN_ROWS_FOR_SELECTION} rows, counted by '
            f"their weights; got {n_rows:g}. Give n_experts as an integer, or, if the weights are "
            "relative, weights with a mean of one."
        )
    if criterion == "auto":
        data = _sample(data, is_classifier(estimator))
    maximum = int(float(data.rows.weight.sum()) // MIN_ROWS_PER_EXPERT)
    if estimator.max_n_experts is not None:
        maximum = min(maximum, int(estimator.max_n_experts))
    if criterion == "auto":
        return _select_by_held_out_rows(estimator, params, data, maximum)
    fitter = IncrementalFitter(estimator, data)
    trials = Trials(min(maximum, _n_distinct(params, data)), int(estimator.verbose))

    def criterion_of(number: int) -> float:
        fitted = fitter.fit(number)
        statistics = fit_statistics(fitted._fitted, rows_for(fitted, data))
        return float(getattr(statistics, criterion))

    return select_by_criterion(criterion_of, trials)


def _select_by_held_out_rows(
    estimator: Any, params: FitParameters, data: TrainingData, maximum: int
) -> SelectionResult:
    """Select the number whose fits predict held-out rows best."""
    rows = data.rows
    # Fits of estimators take long: a single partition is affordable.
    max_fits = N_SELECTION_FOLDS if uses_groups(estimator) else MAX_FITS
    held_out = _held_out(rows, is_classifier(estimator), max_fits)
    parts = [data.select(np.setdiff1d(np.arange(rows.n_rows), index)) for index in held_out]
    maximum = min(maximum, *(_n_distinct(params, part) for part in parts))
    fitters = [IncrementalFitter(estimator, part) for part in parts]
    tests = [data.select(index) for index in held_out]
    # Units, or rows, of each test.
    scored = [np.unique(rows.unit_codes[index]) for index in held_out]
    n_scores = np.bincount(np.concatenate(scored))
    weight, rows_per_score = np.bincount(rows.unit_codes, rows.weight)[: len(n_scores)], 1.0
    weight = weight[n_scores > 0]
    if rows.unit is not None:
        weight, rows_per_score = np.ones_like(weight), float(weight.mean())

    def score(number: int) -> Array | None:
        log_densities = _held_out_log_densities(fitters, tests, number)
        if log_densities is None:
            return None
        total = np.bincount(np.concatenate(scored), np.concatenate(log_densities))
        return total[n_scores > 0] / n_scores[n_scores > 0]

    trials = Trials(maximum, int(estimator.verbose))
    return select_by_holdout(score, weight, trials, rows_per_score)


def rows_for(fitted: Any, data: TrainingData) -> Rows:
    """Validated rows with the class codes of a fit to some of them, and numbers of their units."""
    rows = data.rows
    if is_classifier(fitted):
        labels = data.attributes["classes_"][rows.y]
        rows = rows._replace(y=class_codes(labels, fitted.classes_))
    return rows if rows.unit is None else rows._replace(unit=rows.unit_codes)


class IncrementalFitter:
    """Fits with an increasing number of experts, each started from the previous fit."""

    def __init__(self, estimator: Any, data: TrainingData, seed: int = SELECTION_SEED) -> None:
        self.estimator = estimator
        self.data = data
        self.seed = seed
        self.fitted: Any = None  # the last fit

    def fit(self, number: int) -> Any:
        """Fit with a number of experts, which must be larger than that of the previous fit."""
        if self.fitted is None:
            self.fitted = self._fit(self.data, number)
            return self.fitted
        init = self.split_responsibilities(number)
        # The estimate of the noise variance takes time, and is the same for all numbers.
        self.fitted = self._fit(self.data, number, init, noise_variance=self.noise_variance)
        return self.fitted

    def has_collapsed(self) -> bool:
        """Whether one of several experts of the last fit has lost nearly all rows."""
        weights = self.fitted.weights_
        return len(weights) > 1 and bool(is_collapsed(weights * self.data.rows.weight.sum()).any())

    @property
    def noise_variance(self) -> Array | None:
        """Noise variance of the standardised outputs that the last fit has estimated, and kept."""
        is_found = getattr(self.estimator, "dispersion_prior", None) == "auto"
        estimate = self.fitted._fitted.model.experts.estimates.get("noise_variance")
        return None if is_found or estimate is None else np.array(estimate)

    def split_responsibilities(self, number: int) -> Array:
        """Responsibilities (n, `number`) of the last fit, with experts split in two."""
        rows = rows_for(self.fitted, self.data)
        resp, codes = responsibilities_of_rows(self.fitted, self.data), rows.unit_codes
        log_density = (self.fitted._fitted.log_density(rows) / np.bincount(codes))[codes]
        shortfall = np.maximum(np.quantile(log_density, REFERENCE_QUANTILE) - log_density, 0.0)
        n_new = number - resp.shape[1]  # by `n_experts_grid` not more than there are experts
        to_split = np.argsort(-(rows.weight * shortfall) @ resp, kind="stable")[:n_new]
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
        part, index = self.data, np.flatnonzero(resp > MIN_SPLIT_RESPONSIBILITY)
        if _can_split(part.rows.take(index)):
            part = part.select(index, (part.rows.weight * resp)[index])
        pair = self._fit(part, 2, max_iter=SPLIT_MAX_ITER)
        if not is_classifier(pair):
            return responsibilities_of_rows(pair, self.data)[:, 1]
        # Rows of classes that are not among the fitted rows are split by the gate alone.
        rows, classes = self.data.rows, self.data.attributes["classes_"]
        second = np.exp(pair._fitted.log_gate(rows.X))[1]
        of_fitted_class = np.flatnonzero(np.isin(classes[rows.y], pair.classes_))
        part = self.data.select(of_fitted_class)
        second[of_fitted_class] = responsibilities_of_rows(pair, part)[:, 1]
        codes = rows.unit_codes
        return (np.bincount(codes, second) / np.bincount(codes))[codes]

    def _fit(
        self,
        data: TrainingData,
        number: int,
        init: Array | None = None,
        max_iter: int = TRIAL_MAX_ITER,
        noise_variance: Array | None = None,
    ) -> Any:
        estimator = self.estimator
        # Criteria are of the maximum; densities of held-out rows hardly differ from those there.
        at_maximum = estimator.n_experts != "auto" and max_iter > SPLIT_MAX_ITER
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
        if not uses_groups(estimator):
            data = data._replace(rows=data.rows._replace(group=None))
        data = data if init is None else data._replace(init=init.T)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return trial._fit(data, noise_variance=noise_variance, ends_at_maximum=at_maximum)


def responsibilities_of_rows(fitted: Any, data: TrainingData) -> Array:
    """Responsibilities (n, K) of the rows, those of its unit for each."""
    rows = rows_for(fitted, data)
    resp: Array = fitted._fitted.responsibilities(rows).T
    return resp[rows.unit_codes]


def _can_split(rows: Rows) -> bool:
    """Whether the rows are enough for a fit of two experts."""
    if rows.unit is not None and len(np.unique(rows.unit)) < MIN_UNITS_TO_SPLIT:
        return False
    return rows.n_rows >= MIN_ROWS_TO_SPLIT and len(np.unique(rows.y)) > 1


def _n_distinct(params: FitParameters, data: TrainingData) -> int:
    """Number of distinct rows, or of units."""
    if data.rows.unit is not None:
        return len(np.unique(data.rows.unit))
    return len(distinct_rows(params, present_rows(params, data))[0])


def _distinct_rows(estimator: Any, given: Rows) -> tuple[FitParameters, TrainingData]:
    """Parameters of a fit of one expert, and the distinct rows with their total weights.

    Rows are different if their groups are; rows with metadata are not merged, as in fits.
    """
    one_expert = copy.copy(estimator).set_params(n_experts=1, top_k=None)
    params = one_expert._validate_parameters()
    data = validate_training_data(one_expert, params, without_unused_groups(estimator, given))
    rows = data.rows
    group = check_metadata({"groups": given.group}, rows.n_rows).get("groups")
    data = data._replace(rows=rows._replace(group=group)).select(np.flatnonzero(rows.weight > 0.0))
    # Trials have the weights of their rows and classes.
    data = with_class_weights(params.task, data)
    params = params._replace(task=params.task.with_class_weight(None))
    present, merge = present_rows(params, data), not data.rows.metadata
    data = data._replace(rows=data.rows._replace(unit=present.rows.unit))
    if present.rows.unit is not None:
        index, weight, _ = sort_by_unit(params, present, merge=merge)
        return params, data.select(index, weight)
    return params, data.select(*distinct_rows(params, present)) if merge else data


def _sample(data: TrainingData, by_class: bool) -> TrainingData:
    """The rows, or a sample of the units of many rows, with one row of each class at least."""
    rows = data.rows
    if rows.n_rows <= MAX_SELECTION_ROWS:
        return data
    codes = rows.unit_codes
    order = np.random.default_rng(SELECTION_SEED).permutation(codes.max() + 1)
    kept = order[: len(order) * MAX_SELECTION_ROWS // rows.n_rows]
    if by_class:
        kept = np.append(kept, codes[np.unique(rows.y, return_index=True)[1]])
    return data.select(np.flatnonzero(np.isin(codes, kept)))


def _held_out(rows: Rows, by_class: bool, max_fits: int) -> list[Array]:
    """Indices of the held-out rows of each fit."""
    codes, unit = None, rows.unit_codes
    can_hold_out = np.ones(rows.n_rows, dtype=bool)
    if by_class:
        _, codes, counts = np.unique(rows.y, return_inverse=True, return_counts=True)
        # Rows of classes with fewer rows than folds are in all fits.
        can_hold_out = counts[codes] >= N_SELECTION_FOLDS
        can_hold_out = np.bincount(unit, ~can_hold_out)[unit] == 0
        codes = codes if can_hold_out.all() else None
    n_fits = min(max_fits, ROWS_OF_FITS // int(unit.max() + 1))
    n_partitions = max(1, n_fits // N_SELECTION_FOLDS)
    held_out: list[Array] = []
    for partition in range(n_partitions):
        fold = _partition(rows, codes, SELECTION_SEED + partition)
        held_out += [np.flatnonzero((fold == j) & can_hold_out) for j in range(fold.max() + 1)]
    held_out = [index for index in held_out if len(index)]
    if not held_out:
        raise ValueError(
            f'n_experts="auto" needs a class with at least {N_SELECTION_FOLDS} distinct rows, of '
            f"which some are held out; got at most {counts.max()} for each class. Use "
            'n_experts="bic", or an integer.'
        )
    return held_out if n_fits >= N_SELECTION_FOLDS else held_out[:1]


def _partition(rows: Rows, codes: Array | None, seed: int) -> Array:
    """Fold of each row, with groups and units in one fold, and stratified by class codes."""
    groups = rows.fold_group
    if groups is not None:
        # Groups of equal size are assigned in the order of their labels, which is random here.
        labels, groups = np.unique(groups, return_inverse=True)
        groups = np.random.default_rng(seed).permutation(len(labels))[groups]
    fold = make_feasible_folds(N_SELECTION_FOLDS, codes, groups, rows.n_rows, seed)
    check_several_folds('n_experts="auto"', fold, groups)
    return fold


def _held_out_log_densities(
    fitters: Sequence[IncrementalFitter], tests: Sequence[TrainingData], number: int
) -> list[Array] | None:
    """Log densities of the held-out rows or units of each test under a fit of the others.

    None if experts collapse in most of these fits.
    """
    fits = [fitter.fit(number) for fitter in fitters]
    if 2 * sum(map(IncrementalFitter.has_collapsed, fitters)) > len(fits):
        return None
    return [
        fitted._fitted.log_density(rows_for(fitted, test))
        for fitted, test in zip(fits, tests, strict=True)
    ]


def warn_rising(criterion: str, number: int) -> None:
    """Warn that the largest number permitted is the best."""
    warnings.warn(
        f'n_experts="{criterion}" selected {number} experts, the largest number that it may try: '
        "more experts, or another family, may predict better. Compare families, give repeated "
        "rows of a person as units or groups, or raise max_n_experts if it is set.",
        UserWarning,
        stacklevel=user_stacklevel(),
    )
