"""Selection of the number of experts, by held-out log density or an information criterion.

Numbers are tried in increasing order until several in succession bring no improvement, one is
clearly worse than a smaller one, or experts collapse. Each fit starts from the previous one, with
the experts of the lowest likelihood split in two, or from an ordinary start that is better. Fits
with held-out rows start from the fit to all rows, and have its penalties: otherwise local maxima,
which differ by chance, would be compared. Estimators as experts have their out-of-fold predictions
instead.

Like fits, trials use the distinct rows with their total weights. So weights are numbers of rows.
Copies of a row are in one fold, unless all columns are discrete: then rows agree by chance.

The number is a property of the table: folds, sample and starts of the trials do not depend on
`random_state`. Held-out rows are those of several partitions, so that no single one decides.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import is_integer, shown
from skmoe._data.rows import Rows, check_several_folds, make_folds
from skmoe._data.series import MIN_SERIES_OF_FOLDS, cut_series
from skmoe._data.units import encode_units, first_rows, n_known_experts
from skmoe._estimators.fitting.callbacks import FitTask
from skmoe._estimators.fitting.problem import FitProblem, attributes_of_run, build_problem
from skmoe._estimators.parameters.conflicts import (
    check_conflicts,
    chosen_options,
    is_for_each_expert,
)
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows.first_pass import first_pass, rows_in_blocks
from skmoe._estimators.rows.training_data import (
    FitOptions,
    TrainingData,
    chosen_rows,
    merge_copies,
    n_separate_copies,
    present_rows,
    validate_training_data,
)
from skmoe._inference.labels import describe_ties
from skmoe._inference.summary import fit_statistics
from skmoe._mixture.em import Run, without_rows
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.mixture import Data
from skmoe._mixture.search import fit_starts
from skmoe._mixture.starts import with_split_experts
from skmoe._numerics.probability import is_collapsed, log_normalise
from skmoe._numerics.typing import Array
from skmoe.exceptions import NumberOfExpertsWarning, warn_user

# Values of `n_experts` that select the number, and the minimum number of rows for it (their total
# weight), in total and per expert.
N_EXPERTS_CRITERIA = ("auto", "aic", "bic", "icl")
MIN_ROWS_FOR_SELECTION, MIN_ROWS_PER_EXPERT = 20, 10

# Largest number that is tried without a list of candidates, of parametric experts and of
# estimators, whose fits take long. Where more experts predict better they follow a curve, or
# repeated rows of people, and each trial takes longer than the one before.
MAX_SELECTED = {False: 15, True: 6}

# Number of trials after the best one that end the search.
PATIENCE = 2

# Held-out log-likelihood that each expert must bring at least and at most. In between it is half of
# its parameters: what AIC3 adds to the loss on new rows (R. L. Andrews and I. S. Currim, 2003, "A
# comparison of segment retention criteria for finite mixture logit models", Journal of Marketing
# Research 40, 235-243). Chance gains of a second expert where there is one are seldom larger than
# six. Experts of many parameters are penalised in the fit, and should not cost more than twelve.
RANGE_OF_PENALTY = np.array([6.0, 12.0])

# Seed of folds, sample and starts.
SELECTION_SEED = 0

# Number of folds of a partition, and number of rows of which they are held out, a sample of more.
# Several partitions are used as far as these are all the rows that are held out.
N_SELECTION_FOLDS, MAX_SELECTION_ROWS, MAX_PARTITIONS = 3, 5_000, 3

# Rows of the pieces of series of a sample.
PIECE_OF_SAMPLE = 500


class SelectionResult(NamedTuple):
    """The selected number, the numbers tried, and their scores (higher is better).

    `errors` are the standard errors of the differences from the best held-out score. `ties` are
    the numbers whose scores are not clearly worse. `is_rising` is True if the largest number
    permitted is the best.
    """

    n_experts: int
    tried: Array
    scores: Array
    errors: Array | None = None
    ties: Array | None = None
    is_rising: bool = False


class Trials(NamedTuple):
    """Numbers of experts to try in increasing order.

    For callbacks they are the parts of the first task of a fit, with the attributes of the last
    trial.
    """

    numbers: Iterable[int]
    maximum: int
    verbose: int = 0
    task: FitTask | None = None
    attributes: Callable[[], dict[str, Any]] = dict
    group: Array | None = None


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
    """The number with the best score, of those up to the first ones after it.

    Rows of a group gain together by chance. Of rows in groups it is the smallest number that is not
    clearly worse, and errors are those of the sums of groups.

    `score` returns a number, or held-out scores of rows with a weight. It returns None for a number
    whose experts collapse, if the one before it was tried. No larger number is tried: the rows do
    not support it, and its score would differ by its penalties only. After a gap between candidates
    such a number has the score of one in the gap. Nor is a number tried after one that is clearly
    worse than the best one.

    Scores of rows are clearly worse if the difference exceeds two standard errors, of the mean of
    the row-wise differences [1]_ or of those of units.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth, section 3.4.3.
    """
    tried: list[int] = []
    scores: list[Array] = []
    given = np.ones(1) if weight is None else weight
    selected, is_over = 0, False
    selection = trials.task and trials.task.subtask("selection", None, 0).start()
    for number in trials.numbers:
        if number > trials.maximum or len(tried) > selected + PATIENCE or is_over:
            break
        trial = selection and selection.subtask("trial").start()
        since = time.perf_counter()
        found = score(number)
        if found is None:
            is_over = True
        else:
            tried.append(number)
            scores.append(np.atleast_1d(found))
            means = np.average(scores, axis=1, weights=given)
            best = int(np.argmax(means))
            losses = means[best] - means
            residuals = scores[best] - np.array(scores) - losses[:, None]
            errors = np.sqrt(np.average(residuals**2, axis=1, weights=given) / given.sum())
            if trials.group is not None:
                sums = [np.bincount(trials.group, given * own) for own in residuals]
                errors = np.linalg.norm(sums, axis=1) / given.sum()
            is_tied = losses <= 2.0 * errors
            selected = best if trials.group is None else int(np.argmax(is_tied))
            is_over = weight is not None and not is_tied[-1]
            if trials.verbose > 0:
                named = f"{number} expert{'s' * (number > 1)}"
                print(f"{named}: score {means[-1]:.5f}, {time.perf_counter() - since:.1f} s")
        is_over |= trial is not None and trial.end(trials.attributes)
    if selection:
        selection.end(trials.attributes)
    is_rising = 0 < selected == len(tried) - 1 and not is_over
    result = SelectionResult(tried[selected], np.array(tried), means, is_rising=is_rising)
    return result if weight is None else result._replace(errors=errors, ties=result.tried[is_tied])


def with_selected_n_experts(
    estimator: Any, given: Any, task: FitTask | None
) -> tuple[Any, Any, dict[str, Any]]:
    """Estimator and rows of the fit with a selected number, and attributes of the selection."""
    number = _implied_n_experts(estimator, given)
    if number is not estimator.n_experts:
        return copy.copy(estimator).set_params(n_experts=number), given, {}
    fixed, data, found = _select_n_experts(estimator, given, task)
    if found is None:
        return fixed, data, {}
    if found.is_rising:
        warn_user(
            f"{_words(estimator)} selected {found.n_experts} experts, the largest number that it "
            "may try: more experts, or another family, may predict better. Compare families, give "
            "repeated rows of a person as units or groups, or add larger candidates to n_experts.",
            NumberOfExpertsWarning,
        )
    selected = {"n_experts_tried_": found.tried, "n_experts_scores_": found.scores}
    if found.errors is not None and found.ties is not None:
        selected |= {"n_experts_score_errors_": found.errors, "n_experts_ties_": found.ties}
        if estimator.verbose and len(found.ties) > 1:
            print(describe_ties(found.ties.tolist()))
    fixed.set_params(n_experts=found.n_experts)
    if isinstance(data, TrainingData) and data.rows.possible is not None:
        data = data._replace(rows=data.rows.of_n_experts(found.n_experts))
    return fixed, data, selected


def _implied_n_experts(estimator: Any, given: Any) -> Any:
    """The number that other parameters have in the place of "auto"; else `n_experts` itself."""
    number, values = estimator.n_experts, vars(estimator)
    if not isinstance(number, str) or number != "auto":
        return number
    if estimator.warm_start and hasattr(estimator, "n_experts_"):
        return estimator.n_experts_
    lists = [values.get(name) for name in ("expert", "family")]
    features = values.get("expert_features")
    lists += [features] if features is not None and is_for_each_expert(features) else []
    lengths = [len(value) for value in lists if isinstance(value, list | tuple)]
    by_expert = [values["init"], getattr(given, "possible", None)]
    lengths += [np.shape(value)[1] for value in by_expert if np.ndim(value) == 2]
    return lengths[0] if lengths else number


def _select_n_experts(
    estimator: Any, given: Rows, task: FitTask | None
) -> tuple[Any, Rows | TrainingData, SelectionResult | None]:
    """A copy of the estimator, the rows of its fit, and the number by a criterion or candidates.

    Fewer than `MIN_ROWS_FOR_SELECTION` rows, or too few of each class to hold some out, are for one
    expert by "auto". In row blocks the number is that of a sample.
    """
    how, by_class = estimator.n_experts, is_classifier(estimator)
    is_auto = isinstance(how, str) and how == "auto"
    by_held_out_rows = is_auto or not isinstance(how, str)
    least = 1 if given.possible is None else n_known_experts(given.possible)
    numbers: Iterable[int] = n_experts_grid(least)
    if not isinstance(how, str) or how not in N_EXPERTS_CRITERIA:
        numbers = [number for number in _checked_candidates(how) if number >= least]
        if not numbers:
            raise ValueError(
                f"{_words(estimator)} must have a candidate of at least {least}: known_experts has "
                f"the numbers 0 to {least - 1}. Add larger ones."
            )
        least = numbers[0]
    fixed = copy.copy(estimator).set_params(n_experts=least)
    shared = getattr(estimator, "shared_features", None)
    if not is_auto or isinstance(shared, Mapping):  # the number of a list is implied
        check_conflicts(chosen_options(estimator))
    params = fixed._validate_parameters()
    of_fit, data = _rows_of_trials(fixed, params, given, by_held_out_rows)
    rows = data.rows
    n_rows = float(rows.weight.sum())
    if n_rows < MIN_ROWS_FOR_SELECTION:
        if is_auto and rows.n_rows < MIN_ROWS_FOR_SELECTION:
            return fixed, of_fit, None
        raise ValueError(
            f"{_words(estimator)} needs at least {MIN_ROWS_FOR_SELECTION} rows, counted by "
            f"their weights; got {n_rows:g}. Give n_experts as an integer, or, if the weights are "
            "relative, weights with a mean of one."
        )
    if by_held_out_rows and rows.n_rows > MAX_SELECTION_ROWS:
        data = _sample(data, by_class)
        rows = data.rows
    n_distinct = rows.n_rows if rows.unit is None else len(np.unique(rows.unit))
    growth = Growth(estimator, data, at_maximum=not by_held_out_rows)
    trials = Trials(numbers, 0, int(estimator.verbose), task, growth.attributes)
    most = [MAX_SELECTED[params.uses_estimators]] if isinstance(how, str) else []
    n_possible = min([int(float(rows.weight.sum()) // MIN_ROWS_PER_EXPERT), *most])
    if not by_held_out_rows:
        trials = trials._replace(maximum=max(min(n_possible, n_distinct), least))
        return fixed, of_fit, select(lambda number: -growth.fit(number).criterion(how), trials)
    n_partitions = min(max(1, MAX_SELECTION_ROWS // rows.n_rows), MAX_PARTITIONS)
    if params.uses_estimators or params.base is not None:  # whose fits take long
        n_partitions = 1
    left_out = _left_out(data, by_class, n_partitions)
    if not len(left_out):
        if is_auto:
            return fixed, of_fit, None
        raise ValueError(
            f"{_words(estimator)} needs a class with at least {N_SELECTION_FOLDS} distinct rows, "
            'which are held out in turn; no class has so many. Use n_experts="bic", or an integer.'
        )
    maximum = max(min(n_possible, int((left_out < 1.0).sum(axis=1).min())), least)
    total, tried = left_out.sum(axis=0), [0]
    weight = rows.weight if rows.unit is None else np.ones(n_distinct)

    def score(number: int) -> Array | None:
        follows = tried[-1] > 0 and number <= next_number(tried[-1])
        trial = growth.fit(number)
        log_density, is_supported = trial.held_out(left_out)
        # Other starts may end where all have support. Those of estimators are costly.
        if not (is_supported or tried[-1] == 1 or trial.run.mixture.experts.needs_all_rows):
            trial = growth.fit(number, is_new=True)
            log_density, is_supported = trial.held_out(left_out)
        if follows and not is_supported:
            return None
        tried.append(number)
        of_rows = np.where(left_out > 0.0, left_out * log_density, 0.0).sum(axis=0)
        penalty = np.clip(0.5 * trial.run.mixture.size, *number * RANGE_OF_PENALTY)
        return (of_rows / total)[total > 0.0] - penalty / weight.sum()

    if rows.group is not None and rows.unit is None:
        trials = trials._replace(group=encode_units(rows.group)[1][total > 0.0])
    selected = select(score, trials._replace(maximum=maximum), weight[total > 0.0])
    # Trials with the rows and features of the fit know its noise.
    known = growth.last if n_partitions > 1 and rows.group is None else None
    if known and isinstance(of_fit, TrainingData) and not params.gate.transformer:
        of_fit = of_fit._replace(options=FitOptions(noise_variance=known.noise_variance))
    return fixed, of_fit, selected


def _rows_of_trials(
    fixed: Any, params: FitParameters, given: Rows, by_held_out_rows: bool
) -> tuple[Rows | TrainingData, TrainingData]:
    """The rows of the fit, validated if they are in memory, and the distinct rows of trials.

    These have the total weights of the rows, with those of the classes. Rows are different if their
    groups are. Of row blocks they are a sample, with the weights of its own rows.
    """
    group = given.group
    if by_held_out_rows and not params.uses_estimators and params.base is None:
        given = given._replace(group=None)  # which only the selection uses
    blocks = given if type(given.X) is np.ndarray else rows_in_blocks(given)
    if isinstance(blocks.X, RowBlocks):
        check_conflicts(chosen_options(fixed) | chosen_rows(params, blocks))
        data = first_pass(fixed, params, blocks.X)[0]
        weight = data.rows.weight
        factor = min(float(weight.sum() / np.square(weight).sum()), 1.0)
        data = data._replace(rows=data.rows._replace(weight=factor * weight), unit_factor=1.0)
        return given, merge_copies(params, data)
    data = validate_training_data(fixed, params, given, group)
    of_fit = data if given.group is not None else data._replace(rows=data.rows._replace(group=None))
    return of_fit, merge_copies(params, present_rows(params, data))


def _checked_candidates(n_experts: Any) -> list[int]:
    """The candidates of a number in increasing order."""
    is_collection = isinstance(n_experts, Collection) and not isinstance(n_experts, str)
    numbers = list(n_experts) if is_collection else []
    if not numbers or not all(is_integer(number) and number >= 1 for number in numbers):
        raise ValueError(
            f"n_experts must be an integer of at least 1, one of {list(N_EXPERTS_CRITERIA)}, or a "
            f"list or range of integers of at least 1 to select from; got {shown(n_experts)}. "
            "Use for example n_experts=range(1, 7)."
        )
    return sorted({int(number) for number in numbers})


def _words(estimator: Any) -> str:
    """The parameter with its value, for messages."""
    value = estimator.n_experts
    return f'n_experts="{value}"' if isinstance(value, str) else f"n_experts={shown(value)}"


# --- trials ---------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A fit of a number of experts to training data."""

    estimator: Any
    data: TrainingData
    problem: FitProblem
    run: Run
    noise_variance: Array | None  # of the standardised outputs before the fit, if they have one

    @property
    def rows(self) -> Rows:
        """The rows of the fit, whose units have numbers."""
        rows = self.data.rows
        return rows if rows.unit is None else rows._replace(unit=rows.unit_codes)

    @property
    def fitted(self) -> FittedMixture:
        """The fitted mixture."""
        return self.problem.make_fitted(self.run.theta, self.run.mixture)

    def fitted_estimator(self) -> Any:
        """The estimator with its fitted attributes."""
        fitted = copy.copy(self.estimator)
        fitted._set_fitted_attributes(attributes_of_run(self.problem, self.run))
        return fitted

    def posterior(self) -> tuple[Array, Array]:
        """Responsibilities (K, U) and log densities (U,) of the distinct rows, or of units."""
        rows, fitted = self.problem.em_problem.rows, self.fitted
        data = fitted.data(rows)
        resp, log_density = fitted.mixture.responsibilities(fitted.theta[None], data)
        return resp[:, 0], log_density[0] - self._log_jacobian(data)

    def log_likelihood(self) -> float:
        """Log-likelihood of the rows, without penalties."""
        return float(self.posterior()[1] @ self.problem.em_problem.rows.gate_weight)

    def criterion(self, name: str) -> float:
        """The information criterion of a name."""
        fitted, n_parameters = self.fitted, self.fitted_estimator().n_parameters_
        posterior = log_normalise(fitted.log_joint(self.rows))
        counts_units = fitted.preprocessor.counts_units
        return fit_statistics(posterior, self.rows, n_parameters, counts_units).numbers[name]

    def held_out(self, left_out: Array) -> tuple[Array, bool]:
        """Log densities (S, U) of rows or units, and whether the rows support all experts.

        They are those of fits that leave parts of the rows out, (S, U), and are started from this
        one: near the same maximum, so that their scores can be compared. Their penalties are its
        own. Experts without support have collapsed here, or in most of these fits.
        """
        em_problem, (mixture, theta) = self.problem.em_problem, (self.run.mixture, self.run.theta)
        is_supported = True
        if not mixture.experts.needs_all_rows:
            objective = em_problem.objective(mixture)
            counts = objective.at(theta[None], curvature=False).total.counts[:, 0]
            is_supported = not bool(is_collapsed(counts).any())
            log_density, masses = without_rows(objective, theta, left_out)
            jacobian = [self._log_jacobian(data) for data in objective.blocks]
            log_density = log_density - np.concatenate(jacobian)
        elif em_problem.rows.expert_design.fold is None:
            log_density, masses = self._without_rows_of_estimators(left_out)
        else:
            log_density, masses = self._out_of_fold(len(left_out))
        n_collapsed = sum(bool(is_collapsed(mass).any()) for mass in masses.T)
        return log_density, is_supported and 2 * n_collapsed <= len(left_out)

    def _out_of_fold(self, n_fits: int) -> tuple[Array, Array]:
        """The same by out-of-fold predictions, less what the coefficients of the gate fit [1]_.

        References
        ----------
        .. [1] H. Akaike (1974), "A new look at the statistical model identification", IEEE
           Transactions on Automatic Control 19, 716-723.
        """
        data, mixture = Data(self.problem.em_problem.rows), self.run.mixture
        found, log_density = mixture.responsibilities(self.run.theta[None], data)
        weight = data.rows.gate_weight
        log_density = log_density - self._log_jacobian(data) - mixture.gate.size / weight.sum()
        return np.repeat(log_density, n_fits, axis=0), np.repeat(found @ weight, n_fits, axis=1)

    def _without_rows_of_estimators(self, left_out: Array) -> tuple[Array, Array]:
        """The same of fits whose experts are fitted again."""
        resp, codes = self.posterior()[0], self.rows.unit_codes
        log_density, masses = np.zeros(left_out.shape), np.zeros((len(resp), len(left_out)))
        for s, own in enumerate(left_out):
            kept, test = np.flatnonzero(own[codes] < 1.0), np.flatnonzero(own[codes])
            data = self.data.select(kept, self.data.rows.weight[kept] * (1.0 - own[codes[kept]]))
            part = fit_trial(self.estimator, data, resp[:, codes[kept]], {}, known=self)
            rows = self._replace(data=self.data.select(test)).rows
            log_density[s, np.unique(codes[test])] = part.fitted.log_density(rows)
            masses[:, s] = part.posterior()[0] @ part.problem.em_problem.rows.gate_weight
        return log_density, masses

    def _log_jacobian(self, data: Data) -> Array:
        """Log density of standardised targets minus that of targets, of rows or units (U,)."""
        of_rows = self.problem.preprocessor.log_jacobian(data.rows.y)
        return np.asarray(data.total(np.broadcast_to(of_rows, data.rows.weight.shape)))


def fit_trial(
    estimator: Any,
    data: TrainingData,
    start: Any,
    changed: dict[str, Any],
    *,
    known: Trial | None = None,
    at_maximum: bool = True,
) -> Trial:
    """Fit an estimator with changed parameters, without warnings, to training data.

    The start is the name of one, responsibilities (K, n), or a trial with fewer experts, of which
    some are split in two. A trial with the same rows knows the noise variance of the standardised
    outputs before a fit, which takes time to find.
    """
    is_named = isinstance(start, str)
    is_split = isinstance(start, Trial) and not start.run.mixture.experts.needs_all_rows
    n_init = "auto" if is_split else 1  # of splits, and of folds of estimators
    changed |= {"init": start} if is_named else {"init": "auto", "n_init": n_init}
    changed |= {"class_weight": None} if is_classifier(estimator) else {}
    own = copy.copy(estimator).set_params(**changed)
    params = own._validate_parameters()
    given = data._replace(init=start if is_named or isinstance(start, np.ndarray) else "auto")
    if data.rows.possible is not None:
        given = given._replace(rows=data.rows.of_n_experts(params.n_experts))
    known = start if isinstance(start, Trial) else known
    noise = known.noise_variance if known else None
    options = FitOptions(None, data.attributes.get("classes_"), noise, at_maximum)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = build_problem(own, params, given, options)
        em_problem = problem.em_problem
        if isinstance(start, Trial):
            em_problem = with_split_experts(em_problem, start.run)
            begun = em_problem.mixture
            for penalty in em_problem.penalties:  # those that the trial has found
                found = getattr(start.run.mixture, penalty.part).penalties
                fields = found.keys() & set(penalty.fields) - {"predictor_squares"}
                part = getattr(begun, penalty.part).with_penalties({f: found[f] for f in fields})
                begun = begun.with_parts(**{penalty.part: part})
            em_problem = em_problem._replace(previous=begun)
            problem = problem._replace(em_problem=em_problem)
        run = fit_starts(em_problem, own.n_jobs).run
    penalties = em_problem.mixture.experts.penalties
    noise = np.array(penalties["noise_variance"]) if "noise_variance" in penalties else None
    return Trial(own, given, problem, run, noise)


@dataclass
class Growth:
    """Fits with an increasing number of experts, each started from the previous one.

    Criteria are of the maximum; densities of held-out rows hardly differ from those there.
    """

    estimator: Any
    data: TrainingData
    at_maximum: bool
    last: Trial | None = None

    def fit(self, number: int, *, is_new: bool = False) -> Trial:
        """Fit with a number of experts, larger than that of the previous fit, or by new starts."""
        while self.last is not None and number > next_number(self.last.estimator.n_experts):
            self.fit(next_number(self.last.estimator.n_experts))  # in a gap between candidates
        n_init = "auto" if is_new else 1
        changed = {"n_init": n_init, "random_state": SELECTION_SEED, "n_experts": number}
        start = self.estimator.init if is_new or self.last is None else self.last
        self.last = fit_trial(self.estimator, self.data, start, changed, at_maximum=self.at_maximum)
        return self.last

    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the last trial."""
        return attributes_of_run(self.last.problem, self.last.run) if self.last else {}


# --- what is held out ------------------------------------------------------------------------


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
    """A sample of the units of many rows, with one row of each stratum at least."""
    rows = data.rows
    if rows.series is not None:  # of which the sample has pieces
        rows = rows._replace(series=cut_series(rows.series, PIECE_OF_SAMPLE))
        data, codes, strata = data._replace(rows=rows), rows.series, None
    else:
        codes, strata = rows.unit_codes, _strata(rows, by_class)
    order = np.random.default_rng(SELECTION_SEED).permutation(codes.max() + 1)
    if strata is not None:  # these come first
        first = codes[np.unique(strata, return_index=True)[1]]
        order = order[np.argsort(~np.isin(order, first), kind="stable")]
    kept = order[: max(len(order) * MAX_SELECTION_ROWS // rows.n_rows, 1)]
    data = data.select(np.flatnonzero(np.isin(codes, kept)))
    if rows.series is None:
        return data
    return data._replace(rows=data.rows._replace(series=encode_units(data.rows.series)[1]))


def _left_out(data: TrainingData, by_class: bool, n_partitions: int) -> Array:
    """The part of each row or unit that each fit leaves out, (S, U): of copies it may be some.

    Without classes of several rows there are no such fits.
    """
    rows = data.rows
    index, unit, codes, groups = np.arange(rows.n_rows), np.arange(rows.n_rows), None, None
    if rows.unit is not None:
        unit = rows.unit_codes
    elif rows.series is None and rows.weight.max() > 1.0:
        index = np.repeat(index, n_separate_copies(data))
    if by_class or rows.possible is not None:
        codes = _strata(rows, by_class)
    if any(values is not None for values in (rows.group, rows.unit, rows.series)):
        groups = first_rows(np.asarray(rows.fold_group))  # whatever their names
    if rows.series is not None and rows.series[-1] < MIN_SERIES_OF_FOLDS - 1:
        codes = None  # y of pieces of series is missing in the other fits
    can_hold_out = np.ones(len(index), dtype=bool)
    if codes is not None:
        codes = codes[index]
        # Rows of classes, or known experts, with fewer rows than folds are in all fits.
        can_hold_out = np.bincount(codes)[codes] >= N_SELECTION_FOLDS
        can_hold_out = np.bincount(unit[index], ~can_hold_out)[unit[index]] == 0
        codes = codes if can_hold_out.all() else None
    parts, sizes = [], np.bincount(unit[index])
    for seed in range(SELECTION_SEED, SELECTION_SEED + n_partitions):
        if groups is not None:
            # Groups of equal size are assigned in the order of their labels, which is random here.
            labels, groups = np.unique(groups, return_inverse=True)
            groups = np.random.default_rng(seed).permutation(len(labels))[groups]
        of_copies = None if groups is None else groups[index]
        fold = make_folds(N_SELECTION_FOLDS, codes, of_copies, len(index), seed)
        if not fold.any():
            remedy = "Give n_experts as an integer, or give more rows."
            check_several_folds("n_experts selected by held-out rows", fold, of_copies, remedy)
        for j in range(fold.max() + 1):
            parts.append(np.bincount(unit[index], (fold == j) & can_hold_out) / sizes)
    return np.array([part for part in parts if part.any()])
