"""What a fit tells while it runs: printed lines and scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skmoe._estimators.callbacks import FitTask
from skmoe._mixture.em import EMResult


class FitMonitor:
    """Listens to one run of EM.

    Parameters
    ----------
    task : FitTask
        The run, as callbacks see it.
    label : str
        The run, as printed lines name it.
    attributes : callable
        Fitted attributes of what the run has come to.
    bound_shift : float
        Added to the lower bound to give it in the units of y.
    verbose : int
        1 prints a line for each run, 2 for each iteration.
    keep : callable, default=None
        Told the number of each iteration that another fit can go on from, and how to get its
        attributes.
    """

    def __init__(
        self,
        task: FitTask,
        label: str,
        attributes: Callable[[EMResult], dict[str, Any]],
        bound_shift: float,
        verbose: int,
        keep: Callable[[int, Callable[[], dict[str, Any]]], None] | None = None,
    ):
        self.task = task
        self.label = label
        self.attributes = attributes
        self.log_jacobian = bound_shift
        self.verbose = verbose
        self.keep = keep

    def start(self) -> FitMonitor:
        """Begin the run."""
        self.task.start()
        return self

    def __call__(self, iteration: int, run: EMResult) -> bool:
        """Report an iteration; true asks to stop the run."""
        if self.verbose > 1:
            print(f"  {self.label}: {iteration:>5d} {run.lower_bound + self.log_jacobian:>16.8f}")
        if self.keep is not None and run.resume_state is not None:
            self.keep(iteration, lambda: self.attributes(run))
        return self.task.subtask("iteration").start().end(lambda: self.attributes(run))

    def end(self, climb: EMResult) -> None:
        """End the run."""
        if self.verbose > 0:
            bound = climb.lower_bounds[-1] + self.log_jacobian
            state = ", converged" if climb.converged else ""
            print(
                f"{self.label}: lower bound {bound:.8f}, {len(climb.lower_bounds)} iterations{state}"
            )
        self.task.end(lambda: self.attributes(climb))
