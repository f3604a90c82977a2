"""Selection of the number of experts, by held-out log density or an information criterion.

Numbers are tried in increasing order until several in succession bring no clear improvement, or
until experts collapse. Each fit starts from the previous one, with the experts of the lowest
likelihood split in two. Fits with held-out rows start from the fit to all rows: otherwise their
local maxima, which differ by chance, would be compared.

Like fits, trials use the distinct rows with their total weights. So weights are numbers of rows.
Copies of a row are in one fold, unless all columns are discrete: then rows agree by chance.

The number is a property of the table: folds, sample and starts of the trials do not depend on
`random_state`. Held-out rows are those of several partitions, so that no single one decides.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import is_integer, shown
from skmoe._data.folds import check_several_folds, feasible_folds
from skmoe._data.row_checks import check_metadata, class_codes
from skmoe._data.rows import Rows, is_dask
from skmoe._data.units import n_known_experts
from skmoe._estimators.fitting.monitor import NO_TASK, FitTask
from skmoe._estimators.parameters.conflicts import (
    BLOCKS,
    KNOWN_AS_BOOLEANS,
    check_conflicts,
    chosen_options,
)
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.parts import holds_out_rows, uses_groups
from skmoe._estimators.rows.training_data import (
    TrainingData,
    distinct_rows_of,
    present_rows,
    validate_training_data,
    with_class_weights,
)
from skmoe._inference.comparisons import fit_statistics
from skmoe._inference.labels import describe_ties
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.exceptions import NumberOfExpertsWarning, warn_user

# Values of `n_experts` that select the number, and the minimum number of rows for it (their total
# weight), in total and per expert.
N_EXPERTS_CRITERIA = ("auto", "aic", "bic", "icl")
MIN_ROWS_FOR_SELECTION = 20
MIN_ROWS_PER_EXPERT = 10

# Number of trials after the best one that end the search.
PATIENCE = 2

# Number of standard errors, and gain of the held-out log-likelihood in all, by which a larger
# number must predict better: strong evidence (R. E. Kass and A. E. Raftery, 1995, "Bayes factors",
# Journal of the American Statistical Association 90, 773-795).
N_STANDARD_ERRORS = 2.0
MIN_TOTAL_GAIN = 3.0

# Tolerance and maximum number of iterations of the fits that split an expert. Trials have those of
# the estimator: experts that have not converged would be compared by chance.
SPLIT_OPTIONS: dict[str, Any] = {"tol": 1e-3, "max_iter": 10}

# Quantile of the log density relative to which the shortfall of a row is measured.
REFERENCE_QUANTILE = 0.9

# An expert is split by a fit to the rows with at least this responsibility, or to all rows if there
# are fewer than MIN_ROWS_TO_SPLIT of them, or fewer than MIN_UNITS_TO_SPLIT units.
MIN_SPLIT_RESPONSIBILITY = 0.01
MIN_ROWS_TO_SPLIT = 20
MIN_UNITS_TO_SPLIT = 4

# Responsibility of all other rows, where the rows of an expert might lack a class.
LEAST_RESPONSIBILITY = 1e-6

# Seed of folds, sample and starts.
SELECTION_SEED = 0

# Number of folds of a partition, and number of rows of which they are held out, a sample of more.
# Several partitions are used as far as these are all the rows that are held out.
N_SELECTION_FOLDS = 3
MAX_SELECTION_ROWS = 5_000
MAX_PARTITIONS = 3

# Number of copies of a row that are held out apart at most, and tolerance of their number, which is
# a sum of weights.
MAX_COPIES = 20
ROUND_OFF_OF_COUNTS = 1e-6


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


class Trials(NamedTuple):
    """Numbers of experts to try in increasing order, and who follows the trials.

    For callbacks they are the parts of the first task of a fit, with the attributes of the last
    fit.
    """

    numbers: Iterable[int]
    maximum: int
    verbose: int = 0
    task: FitTask = NO_TASK
    attributes: Callable[[], dict[str, Any]] = dict


def n_experts_grid(number: int = 1) -> Iterator[int]:
    """Numbers to try, from a first one to 6, and then a geometric sequence 8, 10, 12, 15, ..."""
    while True:
        yield number
        number = next_number(number)


def next_number(number: int) -> int:
    """The number that "auto" tries after another one."""
    return max(number + 1, round(1.25 * number))


def select(
    score: Callable[[int], Any], trials: Trials, weight: Array | None = None
) -> SelectionResult:
    """The smallest number whose score is not clearly worse than the best one.

    `score` returns a number, or held-out scores of rows with a weight. Of numbers the largest is
    best. It returns None for a number whose experts collapse, if the one before it was tried. No
    larger number is tried: the rows do not support it, and its score would differ by its penalties
    only. After a gap between candidates such a number has the score of one in the gap.

    Scores of rows are clearly worse if the difference exceeds two standard errors, of the mean of
    the row-wise differences [1]_ or of those of units. It must also be MIN_TOTAL_GAIN in all: few
    rows give no evidence for another expert, however equal their differences are.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth, section 3.4.3.
    """
    tried: list[int] = []
    scores: list[Array] = []
    given = np.ones(1) if weight is None else weight
    least_gain = 0.0 if weight is None else MIN_TOTAL_GAIN / given.sum()
    selected, is_over = 0, False
    selection = trials.task.subtask("selection", None, 0).start()
    for number in trials.numbers:
        if number > trials.maximum or len(tried) > selected + PATIENCE or is_over:
            break
        trial, since = selection.subtask("trial").start(), time.perf_counter()
        found = score(number)
        if found is None:
            is_over = True
        else:
            tried.append(number)
            scores.append(np.atleast_1d(found))
            means = np.average(scores, axis=1, weights=given)
            differences = scores[int(np.argmax(means))] - np.array(scores)
            mean = np.average(differences, axis=1, weights=given)
            squares = np.average((differences - mean[:, None]) ** 2, axis=1, weights=given)
            errors = np.sqrt(squares / given.sum())
            is_tied = mean <= np.maximum(N_STANDARD_ERRORS * errors, least_gain)
            selected = int(np.argmax(is_tied))
            if trials.verbose > 0:
                named = f"{number} expert{'s' * (number > 1)}"
                print(f"{named}: score {means[-1]:.5f}, {time.perf_counter() - since:.1f} s")
        is_over |= trial.end(trials.attributes)
    selection.end(trials.attributes)
    is_rising = 0 < selected == len(tried) - 1 and not is_over
    result = SelectionResult(tried[selected], np.array(tried), means, is_rising=is_rising)
    return result if weight is None else result._replace(errors=errors, ties=result.tried[is_tied])


def with_selected_n_experts(
    estimator: Any, given: Any, task: FitTask
) -> tuple[Any, Any, dict[str, Any]]:
    """Estimator and rows of the fit with a selected number, and attributes of the selection."""
    found = select_n_experts(estimator, given, task)
    if found.is_rising:
        warn_user(
            f"{_words(estimator)} selected {found.n_experts} experts, the largest number that it "
            "may try: more experts, or another family, may predict better. Compare families, give "
            "repeated rows of a person as units or groups, or add larger candidates to n_experts.",
            NumberOfExpertsWarning,
        )
    fixed = copy.copy(estimator).set_params(n_experts=found.n_experts)
    selected = {"n_experts_tried_": found.tried, "n_experts_scores_": found.scores}
    if found.errors is not None and found.ties is not None:
        selected |= {"n_experts_score_errors_": found.errors, "n_experts_ties_": found.ties}
        if estimator.verbose and len(found.ties) > 1:
            print(describe_ties(found.ties.tolist()))
    return fixed, without_unused_groups(estimator, given), selected


def without_unused_groups(estimator: Any, given: Rows) -> Rows:
    """Rows without groups if only the selection of the number of experts uses them."""
    only_selection = holds_out_rows(estimator.n_experts) and not uses_groups(estimator)
    return given._replace(group=None) if only_selection else given


def select_n_experts(estimator: Any, given: Rows, task: FitTask = NO_TASK) -> SelectionResult:
    """Select the number of experts by a criterion, or among candidates."""
    candidates = _check_candidates(estimator.n_experts)
    chosen = chosen_options(estimator)
    if isinstance(given.X, RowBlocks) or is_dask(given.X):
        chosen[BLOCKS] = f"X as {BLOCKS} ({type(given.X).__name__})"
    if np.ndim(given.possible) == 2:
        chosen[KNOWN_AS_BOOLEANS] = KNOWN_AS_BOOLEANS
    check_conflicts(chosen)
    least = n_known_experts(given.possible)
    numbers: Iterable[int] = n_experts_grid(least)
    if candidates is not None:
        numbers = [number for number in candidates if number >= least]
        if not numbers:
            raise ValueError(
                f"{_words(estimator)} must have a candidate of at least {least}: known_experts has "
                f"the numbers 0 to {least - 1}. Add larger ones."
            )
        least = numbers[0]
    params, data = _distinct_rows(estimator, given, least)
    n_rows = float(data.rows.weight.sum())
    if n_rows < MIN_ROWS_FOR_SELECTION:
        raise ValueError(
            f"{_words(estimator)} needs at least {MIN_ROWS_FOR_SELECTION} rows, counted by "
            f"their weights; got {n_rows:g}. Give n_experts as an integer, or, if the weights are "
            "relative, weights with a mean of one."
        )
    by_held_out_rows = holds_out_rows(estimator.n_experts)
    if by_held_out_rows:
        data = _sample(data, is_classifier(estimator))
    fitter = IncrementalFitter(estimator, data)
    maximum = int(float(data.rows.weight.sum()) // MIN_ROWS_PER_EXPERT)
    trials = Trials(numbers, maximum, int(estimator.verbose), task, fitter.attributes)
    if by_held_out_rows:
        return _select_by_held_out_rows(fitter, params, trials)

    def criterion_of(number: int) -> float:
        fitted = fitter.fit(number)
        statistics = fit_statistics(fitted._fitted, rows_for(fitted, data), fitted.n_parameters_)
        return -statistics.numbers[estimator.n_experts]

    maximum = max(min(maximum, _n_distinct(params, data)), least)
    return select(criterion_of, trials._replace(maximum=maximum))


def _check_candidates(n_experts: Any) -> list[int] | None:
    """The candidates of a number in increasing order; None if a criterion has those of its own."""
    if isinstance(n_experts, str) and n_experts in N_EXPERTS_CRITERIA:
        return None
    is_collection = isinstance(n_experts, Collection) and not isinstance(n_experts, str)
    numbers = list(n_experts) if is_collection else []
    if not numbers or not all(is_integer(number) and number >= 1 for number in numbers):
        raise ValueError(
            f"n_experts must be an integer of at least 1, one of {list(N_EXPERTS_CRITERIA)}, or a "
            f"list or range of integers of at least 1 to select from; got {shown(n_experts)}. "
            "Use for example n_experts=range(1, 7)."
        )
    distinct = sorted({int(number) for number in numbers})
    if len(distinct) < len(numbers):
        raise ValueError(
            f"n_experts must have distinct numbers to select from; got {shown(n_experts)}. Use "
            f"n_experts={shown(distinct)}."
        )
    return distinct


def _words(estimator: Any) -> str:
    """The parameter with its value, for messages."""
    value = estimator.n_experts
    return f'n_experts="{value}"' if isinstance(value, str) else f"n_experts={shown(value)}"


def _select_by_held_out_rows(
    fitter: IncrementalFitter, params: FitParameters, trials: Trials
) -> SelectionResult:
    """Select the number whose fits predict held-out rows best."""
    estimator, data, rows = fitter.estimator, fitter.data, fitter.data.rows
    n_partitions = min(max(1, MAX_SELECTION_ROWS // rows.n_rows), MAX_PARTITIONS)
    if uses_groups(estimator):  # fits of estimators take long
        n_partitions = 1
    held_out = _held_out(rows, is_classifier(estimator), n_partitions)
    fitted = [np.setdiff1d(np.arange(rows.n_rows), index) for index in held_out]
    n_distinct = (_n_distinct(params, data.select(index)) for index in fitted)
    maximum, tried = max(min(trials.maximum, *n_distinct), params.n_experts), [0]
    tests = [data.select(index) for index in held_out]
    # Units, or rows, of each test.
    scored = [np.unique(rows.unit_codes[index]) for index in held_out]
    n_scores = np.bincount(np.concatenate(scored))
    weight = rows.weight if rows.unit is None else np.ones(len(n_scores))
    weight = weight[: len(n_scores)][n_scores > 0]

    def score(number: int) -> Array | None:
        fitter.fit(number)
        parts = [fitter.fit_to(index) for index in fitted]
        masses = [
            part.weights_ * rows.weight[index].sum()
            for part, index in zip(parts, fitted, strict=True)
        ]
        collapsed = 2 * sum(is_collapsed(mass).any() for mass in masses) > len(parts)
        if collapsed and tried[-1] > 0 and number <= next_number(tried[-1]):
            return None
        tried.append(number)
        log_densities = [
            part._fitted.log_density(rows_for(part, test))
            for part, test in zip(parts, tests, strict=True)
        ]
        total = np.bincount(np.concatenate(scored), np.concatenate(log_densities))
        return total[n_scores > 0] / n_scores[n_scores > 0]

    return select(score, trials._replace(maximum=maximum), weight)


def rows_for(fitted: Any, data: TrainingData) -> Rows:
    """Validated rows with the class codes of a fit to some of them, and numbers of their units.

    Their possible experts are those of the fit.
    """
    rows = data.rows.of_n_experts(fitted.n_experts_)
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
        while number > next_number(self.fitted.n_experts_):  # a gap between candidates
            self.fit(next_number(self.fitted.n_experts_))
        init = self.split_responsibilities(number)
        # The estimate of the noise variance takes time, and is the same for all numbers.
        self.fitted = self._fit(self.data, number, init, noise_variance=self.noise_variance)
        return self.fitted

    def fit_to(self, index: Array) -> Any:
        """Fit to the rows at an index, started from the experts of the last fit.

        Such fits are near the same maximum, so that their scores can be compared.
        """
        resp = responsibilities_of_rows(self.fitted, self.data)[index]
        data, number = self.data.select(index), resp.shape[1]
        return self._fit(data, number, resp, noise_variance=self.noise_variance)

    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the last fit."""
        params = self.fitted.get_params(deep=False)
        return {name: value for name, value in vars(self.fitted).items() if name not in params}

    @property
    def noise_variance(self) -> Array | None:
        """Noise variance of the standardised outputs that the last fit has estimated, and kept."""
        is_found = getattr(self.estimator, "dispersion_prior", None) == "auto"
        estimate = self.fitted._fitted.mixture.experts.penalties.get("noise_variance")
        return None if is_found or estimate is None else np.array(estimate)

    def split_responsibilities(self, number: int) -> Array:
        """Responsibilities (n, `number`) of the last fit, with experts split in two."""
        rows = rows_for(self.fitted, self.data)
        resp, codes = responsibilities_of_rows(self.fitted, self.data), rows.unit_codes
        log_density = (self.fitted._fitted.log_density(rows) / np.bincount(codes))[codes]
        shortfall = np.maximum(np.quantile(log_density, REFERENCE_QUANTILE) - log_density, 0.0)
        n_new = number - resp.shape[1]  # not more than there are experts
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
        # The two experts have no known rows.
        data, rows = self.data._replace(rows=self.data.rows._replace(possible=None)), self.data.rows
        part, index = data, np.flatnonzero(resp > MIN_SPLIT_RESPONSIBILITY)
        few = rows.take(index)
        n_units = np.inf if few.unit is None else len(np.unique(few.unit))
        can_split = few.n_rows >= MIN_ROWS_TO_SPLIT and n_units >= MIN_UNITS_TO_SPLIT
        if can_split and len(np.unique(few.y)) > 1:
            if is_classifier(self.estimator):  # the fit has all classes
                index, resp = np.arange(len(resp)), np.maximum(resp, LEAST_RESPONSIBILITY)
            part = data.select(index, (rows.weight * resp)[index])
        return responsibilities_of_rows(self._fit(part, 2, **SPLIT_OPTIONS), data)[:, 1]

    def _fit(
        self,
        data: TrainingData,
        number: int,
        init: Array | None = None,
        noise_variance: Array | None = None,
        **options: Any,
    ) -> Any:
        estimator = self.estimator
        # Criteria are of the maximum; densities of held-out rows hardly differ from those there.
        at_maximum = not holds_out_rows(estimator.n_experts) and not options
        changed: dict[str, Any] = {"n_init": 1, "random_state": self.seed, "verbose": 0}
        changed |= {} if init is None else {"init": init}
        changed |= {"n_experts": number} | options
        changed |= {"class_weight": None} if is_classifier(estimator) else {}
        if not uses_groups(estimator):
            data = data._replace(rows=data.rows._replace(group=None))
        data = data._replace(rows=data.rows.of_n_experts(number))
        return fit_quietly(estimator, changed, data, noise_variance, at_maximum)


def fit_quietly(
    estimator: Any,
    changed: dict[str, Any],
    data: TrainingData,
    noise_variance: Array | None,
    at_maximum: bool = True,
) -> Any:
    """A fit of an estimator with changed parameters to training data, without warnings."""
    trial = type(estimator)(**estimator.get_params(deep=False) | changed)
    init = changed.get("init")
    if init is not None:
        data = data._replace(init=init if isinstance(init, str) else init.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trial._fit(data, noise_variance=noise_variance, ends_at_maximum=at_maximum)


def responsibilities_of_rows(fitted: Any, data: TrainingData) -> Array:
    """Responsibilities (n, K) of the rows, those of its unit for each."""
    rows = rows_for(fitted, data)
    resp: Array = fitted._fitted.responsibilities(rows).T
    return resp[rows.unit_codes]


def _n_distinct(params: FitParameters, data: TrainingData) -> int:
    """Number of distinct rows, or of units."""
    if data.rows.unit is not None:
        return len(np.unique(data.rows.unit))
    return len(distinct_rows_of(params, present_rows(params, data))[1])


def _distinct_rows(
    estimator: Any, given: Rows, n_experts: int
) -> tuple[FitParameters, TrainingData]:
    """Parameters of a fit of the fewest experts, and the distinct rows with their total weights.

    Rows are different if their groups are.
    """
    fewest = copy.copy(estimator).set_params(n_experts=n_experts)
    params = fewest._validate_parameters()
    data = validate_training_data(fewest, params, without_unused_groups(estimator, given))
    rows = data.rows
    group = check_metadata({"groups": given.group}, rows.n_rows).get("groups")
    data = data._replace(rows=rows._replace(group=group)).select(np.flatnonzero(rows.weight > 0.0))
    count = data.rows.weight
    # Trials have the weights of their rows and classes.
    data = with_class_weights(params.task, data)
    params = params._replace(task=replace(params.task, class_weight=None))
    present = present_rows(params, data)
    data = data._replace(rows=data.rows._replace(unit=present.rows.unit))
    order, first = distinct_rows_of(params, present)
    index, weight = order[first], np.add.reduceat(present.rows.weight[order], first)
    if present.rows.unit is not None:
        return params, data.select(index, weight)
    count = np.add.reduceat(count[order], first)
    n_copies = _n_separate_copies(present.select(index), count)
    index, weight = np.repeat(index, n_copies), np.repeat(weight / n_copies, n_copies)
    return params, data.select(index, weight)


def _n_separate_copies(data: TrainingData, count: Array) -> Array:
    """Number of copies of each distinct row, (n,), that are held out apart from each other.

    Where all values of a row occur in other rows, as in tables of categories, its copies are rows
    that agree by chance. Otherwise they are one row, which is given several times.
    """
    n_copies = np.clip(count + ROUND_OFF_OF_COUNTS, 1, MAX_COPIES).astype(int)
    X = data.X.tocsc() if sparse.issparse(data.X) else data.X
    columns: list[Any] = [X[:, [j]] for j in range(X.shape[1])]
    for values in (*columns, *data.rows.y.reshape(len(count), -1).T):
        values = values.toarray() if sparse.issparse(values) else values
        _, codes, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
        n_copies[counts[codes] == 1] = 1
    return n_copies


def _strata(rows: Rows, by_class: bool) -> Array | None:
    """Number (n,) of class and known expert of each row, of which folds have equal shares.

    None for rows without classes of which nothing is known.
    """
    keys = [rows.y] if by_class else []
    if rows.possible is not None:
        keys += list(rows.possible.T)
    if not keys:
        return None
    return np.unique(np.column_stack(keys), axis=0, return_inverse=True)[1].ravel()


def _sample(data: TrainingData, by_class: bool) -> TrainingData:
    """The rows, or a sample of the units of many rows, with one row of each stratum at least."""
    rows = data.rows
    if rows.n_rows <= MAX_SELECTION_ROWS:
        return data
    codes = rows.unit_codes
    order = np.random.default_rng(SELECTION_SEED).permutation(codes.max() + 1)
    kept = order[: len(order) * MAX_SELECTION_ROWS // rows.n_rows]
    strata = _strata(rows, by_class)
    if strata is not None:
        kept = np.append(kept, codes[np.unique(strata, return_index=True)[1]])
    return data.select(np.flatnonzero(np.isin(codes, kept)))


def _held_out(rows: Rows, by_class: bool, n_partitions: int) -> list[Array]:
    """Indices of the held-out rows of each fit."""
    codes, unit = _strata(rows, by_class), rows.unit_codes
    can_hold_out = np.ones(rows.n_rows, dtype=bool)
    if codes is not None:
        counts = np.bincount(codes)
        # Rows of classes, or known experts, with fewer rows than folds are in all fits.
        can_hold_out = counts[codes] >= N_SELECTION_FOLDS
        can_hold_out = np.bincount(unit, ~can_hold_out)[unit] == 0
        codes = codes if can_hold_out.all() else None
    held_out: list[Array] = []
    for seed in range(SELECTION_SEED, SELECTION_SEED + n_partitions):
        groups = rows.fold_group
        if groups is not None:
            # Groups of equal size are assigned in the order of their labels, which is random here.
            labels, groups = np.unique(groups, return_inverse=True)
            groups = np.random.default_rng(seed).permutation(len(labels))[groups]
        fold = feasible_folds(N_SELECTION_FOLDS, codes, groups, rows.n_rows, seed)
        remedy = "Give n_experts as an integer, or give more rows."
        check_several_folds("n_experts selected by held-out rows", fold, groups, remedy)
        parts = [np.flatnonzero((fold == j) & can_hold_out) for j in range(fold.max() + 1)]
        held_out += [index for index in parts if len(index)]
    if not held_out:
        raise ValueError(
            "n_experts selected by held-out rows needs a class with at least "
            f"{N_SELECTION_FOLDS} distinct rows; got at most {counts.max()} for each class. Use "
            'n_experts="bic", or an integer.'
        )
    return held_out
