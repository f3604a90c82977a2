"""Progress of a fit: printed lines, and the hooks of scikit-learn's callbacks (1.9 on).

For older releases there is a replacement without effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from skmoe._estimators.fitting.problem import FitProblem, attributes_of_run
from skmoe._mixture.em import Run
from skmoe._mixture.search import MAX_REINITIALIZATIONS

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement without `set_callbacks`."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself: there are no callbacks to tear down."""
        return method


class FitTask(NamedTuple):
    """A task of a fit, with the arguments of the hooks of a callback.

    Parameters
    ----------
    estimator : estimator
        The estimator that is fitted.
    context : CallbackContext or None
        Context of the task; None if no callback follows the fit.
    data : dict
        `X`, `y` and `metadata` of the fit.
    """

    estimator: Any
    context: Any
    data: dict[str, Any]

    def start(self) -> FitTask:
        """Call the hooks for the start of the task."""
        if self.context is not None:
            self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def end(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Call the hooks for the end of the task; returns whether a callback stops the run.

        `attributes` returns the fitted attributes of this moment.
        """
        if self.context is None:
            return False
        stops = self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.data
        )
        return bool(stops)

    def subtask(
        self, name: str, max_subtasks: int | None = 0, task_id: int | None = None
    ) -> FitTask:
        """A task that is a part of this one."""
        if self.context is None:
            return self
        context = self.context.subcontext(
            task_name=name, task_id=task_id, max_subtasks=max_subtasks
        )
        return FitTask(self.estimator, context, self.data)


# The task of a fit that no callback follows.
NO_TASK = FitTask(None, None, {})


@dataclass(eq=False)
class FitMonitor:
    """Monitor of one run of EM.

    Parameters
    ----------
    task : FitTask
        Task of the run.
    label : str
        Name of the run in printed lines.
    problem : FitProblem
        Problem of the fit, whose mixture has the penalties of the starts.
    verbose : int
        1 prints a line for each run, 2 also one for each iteration.
    """

    task: FitTask
    label: str
    problem: FitProblem
    verbose: int

    def start(self) -> None:
        """Start the task of the run."""
        self.task.start()

    def __call__(self, n_iter: int, run: Run, where: str = "") -> bool:
        """Report an iteration; returns whether a callback stops the run."""
        if self.verbose > 1:
            label = f"{self.label}, search{where}" if where else self.label
            print(f"  {label}: {n_iter:>5d} {self._in_units(run):>16.8f}")
        return self._end(self.task.subtask(f"iteration{where}").start(), run)

    def on_sample(self, n_iter: int, run: Run) -> bool:
        """Report an iteration of the search of penalties on a sample, before those of the run.

        Returns whether a callback stops search and run.
        """
        return self(n_iter, run, " on the sample")

    def end(self, run: Run) -> None:
        """End the task of the run."""
        if self.verbose > 0:
            state, mixture = ", converged" if run.converged else "", self.problem.em_problem.mixture
            parts = ("gate", "experts") if run.mixture else ()
            if any(
                getattr(run.mixture, name).penalties != getattr(mixture, name).penalties
                for name in parts
            ):
                state += "; penalties changed, so that it cannot be compared with the starts"
            bound = f"lower bound {self._in_units(run):.8f}, {run.n_iter} iterations"
            print(f"{self.label}: {bound}{state}")
        self._end(self.task, run)

    def _in_units(self, run: Run) -> float:
        """The lower bound of a run in the units of y."""
        return run.lower_bound - self.problem.preprocessor.log_jacobian()

    def _end(self, task: FitTask, run: Run) -> bool:
        return task.end(lambda: attributes_of_run(self.problem, run))


def make_monitors(
    problem: FitProblem, task: FitTask, verbose: int, first_id: int = 0
) -> list[FitMonitor]:
    """Monitors of the starts and of the run after them, whose tasks are numbered."""
    em_problem, sample = problem.em_problem, ""
    if em_problem.n_rows_of_starts < em_problem.rows.n_rows:
        sample = f" (on a sample of {em_problem.n_rows_of_starts} rows)"
    labels = [*(f"start {i}{sample}" for i in range(len(em_problem.seeds))), "EM"]
    # Iterations on the rows for the initialisation, of a search of penalties there, on all
    # rows, and of re-initialisations.
    most = (3 + MAX_REINITIALIZATIONS) * em_problem.max_iter
    return [
        FitMonitor(task.subtask(label.split()[0], most, task_id), label, problem, verbose)
        for task_id, label in enumerate(labels, first_id)
    ]
