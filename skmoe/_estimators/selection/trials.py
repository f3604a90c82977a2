"""Trials of numbers of experts: their order, their end, and the rules by which one is selected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skmoe._estimators.fitting.monitor import NO_TASK, FitTask
from skmoe._numerics.typing import Array

# Number of trials after the best one that end the search.
PATIENCE = 2

# Number of standard errors, and gain of the held-out log-likelihood in all, by which a larger
# number must predict better: strong evidence (R. E. Kass and A. E. Raftery, 1995, "Bayes factors",
# Journal of the American Statistical Association 90, 773-795).
N_STANDARD_ERRORS = 2.0
MIN_TOTAL_GAIN = 3.0


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


@dataclass(eq=False)
class Trials:
    """Numbers that were tried, and their scores, which `verbose` prints.

    For callbacks they are the parts of the first task of a fit, with the attributes of the last fit
    of `fitter`.
    """

    maximum: int
    verbose: int = 0
    numbers_to_try: Iterable[int] | None = None  # in increasing order; None for those of "auto"
    task: FitTask = NO_TASK
    fitter: Any = None
    is_over: bool = False  # whether experts have collapsed, or a callback has stopped the trials
    tried: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    selected: int = 0  # index of the number that is selected of those tried so far
    since: float = field(default_factory=time.perf_counter)

    def numbers(self) -> Iterator[int]:
        """Numbers to try, until several in succession are not selected."""
        selection = self.task.subtask("selection", None, 0).start()
        for number in self.numbers_to_try or n_experts_grid():
            if number > self.maximum or len(self.tried) > self.selected + PATIENCE or self.is_over:
                break
            trial = selection.subtask("trial").start()
            yield number
            self.is_over |= trial.end(self._attributes)
        selection.end(self._attributes)

    def _attributes(self) -> dict[str, Any]:
        fitted = self.fitter.fitted
        params = fitted.get_params(deep=False)
        return {name: value for name, value in vars(fitted).items() if name not in params}

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

    def result(self, **fields: Any) -> SelectionResult:
        """The result."""
        is_last = 0 < self.selected == len(self.tried) - 1
        return SelectionResult(
            self.tried[self.selected],
            np.array(self.tried),
            np.array(self.scores),
            is_rising=is_last and not self.is_over,
            **fields,
        )


def n_experts_grid(number: int = 1) -> Iterator[int]:
    """Numbers to try, from a first one to 6, and then a geometric sequence 8, 10, 12, 15, ..."""
    while True:
        yield number
        number = next_number(number)


def next_number(number: int) -> int:
    """The number that "auto" tries after another one."""
    return max(number + 1, round(1.25 * number))


def select_by_criterion(criterion: Callable[[int], float], trials: Trials) -> SelectionResult:
    """The number of experts with the smallest criterion."""
    for number in trials.numbers():
        trials.add(number, -criterion(number))
        trials.selected = trials.best
    return trials.result()


def select_by_holdout(
    score: Callable[[int], Array | None], weight: Array, trials: Trials
) -> SelectionResult:
    """The smallest number whose held-out scores are not clearly worse than the best.

    `score` returns None for a number whose experts collapse, if the one before it was tried. No
    larger number is tried: the rows do not support it, and its score would differ by its penalties
    only. After a gap between candidates such a number has the score of one in the gap.

    A score is clearly worse if the difference exceeds two standard errors, of the mean of the
    row-wise differences [1]_ or of those of units. It must also be MIN_TOTAL_GAIN in all: few rows
    give no evidence for another expert, however equal their differences are.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth, section 3.4.3.
    """
    row_scores: list[Array] = []
    least_gain = MIN_TOTAL_GAIN / weight.sum()
    for number in trials.numbers():
        scores = score(number)
        if scores is None:
            trials.is_over = True
            continue
        row_scores.append(scores)
        trials.add(number, float(np.average(scores, weights=weight)))
        best = row_scores[trials.best]
        mean, errors = np.array([_mean_and_error(best - other, weight) for other in row_scores]).T
        is_tied = mean <= np.maximum(N_STANDARD_ERRORS * errors, least_gain)
        trials.selected = int(np.argmax(is_tied))
    ties = np.array(trials.tried)[is_tied]
    return trials.result(errors=errors, ties=ties)


def _mean_and_error(difference: Array, weight: Array) -> tuple[float, float]:
    """Mean of differences of rows, and its standard error."""
    mean = np.average(difference, weights=weight)
    variance = np.average((difference - mean) ** 2, weights=weight) / weight.sum()
    return float(mean), float(np.sqrt(variance))
