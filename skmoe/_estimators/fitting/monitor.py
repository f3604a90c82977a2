"""Progress of a fit: printed lines, and the hooks of scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from skmoe._estimators.fitting.attributes import attributes_of_run
from skmoe._estimators.fitting.callbacks import FitTask
from skmoe._estimators.fitting.problem import FitProblem
from skmoe._mixture.em import EMResult
from skmoe._mixture.multistart import MAX_REINITIALIZATIONS


class FitMonitor:
    """Monitor of one run of EM.

    Parameters
    ----------
    task : FitTask
        Task of the run.
    label : str
        Name of the run in printed lines.
    attributes : callable
        Returns the fitted attributes of the current result.
    log_jacobian : float
        Added to the lower bound, for its value in the units of y.
    verbose : int
        1 prints a line for each run, 2 also one for each iteration.
    on_iteration : callable, default=None
        Called after each iteration, with its number and a function that returns the attributes.
    """

    def __init__(
        self,
        task: FitTask,
        label: str,
        attributes: Callable[[EMResult], dict[str, Any]],
        log_jacobian: float,
        verbose: int,
        on_iteration: Callable[[int, Callable[[], dict[str, Any]]], None] | None = None,
    ):
        self.task = task
        self.label = label
        self.attributes = attributes
        self.log_jacobian = log_jacobian
        self.verbose = verbose
        self.on_iteration = on_iteration

    def start(self) -> None:
        """Start the task of the run."""
        self.task.start()

    def __call__(self, n_iter: int, result: EMResult) -> bool:
        """Report an iteration; returns whether a callback stops the run."""
        self._print_iteration(self.label, n_iter, result)
        if self.on_iteration is not None:
            self.on_iteration(n_iter, lambda: self.attributes(result))
        return self._end_task("iteration", result)

    def on_sample(self, n_iter: int, result: EMResult) -> bool:
        """Report an iteration of the search of penalties on a sample, before those of the run.

        No fit can be resumed from it. Returns whether a callback stops search and run.
        """
        self._print_iteration(f"{self.label}, search on the sample", n_iter, result)
        return self._end_task("iteration on the sample", result)

    def _print_iteration(self, label: str, n_iter: int, result: EMResult) -> None:
        if self.verbose > 1:
            print(f"  {label}: {n_iter:>5d} {result.lower_bound + self.log_jacobian:>16.8f}")

    def _end_task(self, name: str, result: EMResult) -> bool:
        """Start and end the task of an iteration; returns whether a callback stops the run."""
        return self.task.subtask(name).start().end(lambda: self.attributes(result))

    def end(self, result: EMResult) -> None:
        """End the task of the run."""
        if self.verbose > 0:
            lower_bound = result.lower_bound + self.log_jacobian
            state = ", converged" if result.converged else ""
            print(
                f"{self.label}: lower bound {lower_bound:.8f}, "
                f"{result.n_earlier_iter + len(result.lower_bounds)} iterations{state}"
            )
        self.task.end(lambda: self.attributes(result))


def make_monitors(
    problem: FitProblem, task: FitTask, labels: Sequence[str], verbose: int, first_id: int = 0
) -> list[FitMonitor]:
    """Monitors of runs of EM with given labels, whose tasks are numbered from `first_id`."""
    # Iterations on the rows for the initialisation, of a search of penalties there, on all
    # rows, and of re-initialisations.
    max_subtasks = (3 + MAX_REINITIALIZATIONS) * problem.em_problem.max_iter
    attributes = partial(attributes_of_run, problem)
    return [
        FitMonitor(
            task.subtask(label.split()[0], max_subtasks, task_id),
            label,
            attributes,
            problem.log_jacobian,
            verbose,
        )
        for task_id, label in enumerate(labels, first_id)
    ]
