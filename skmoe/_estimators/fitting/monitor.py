"""Progress of a fit, in printed lines."""

from __future__ import annotations

from typing import NamedTuple

from skmoe._estimators.fitting.problem import FitProblem
from skmoe._mixture.em import Run


class FitMonitor(NamedTuple):
    """Observer of one run of EM, which prints."""

    label: str  # name of the run
    problem: FitProblem  # of the fit, whose mixture has the penalties of the starts
    verbose: int  # 1 for a line for each run, 2 also for one for each iteration

    def __call__(self, n_iter: int, run: Run, where: str = "") -> None:
        """Print an iteration."""
        if self.verbose > 1:
            label = f"{self.label}, search{where}" if where else self.label
            print(f"  {label}: {n_iter:>5d} {self._in_units(run):>16.8f}")

    def on_sample(self, n_iter: int, run: Run) -> None:
        """Print an iteration of the search of penalties on a sample, before those of the run."""
        self(n_iter, run, " on the sample")

    def end(self, run: Run) -> None:
        """Print the end of the run."""
        state, mixture = ", converged" if run.converged else "", self.problem.em_problem.mixture
        parts = ("gate", "experts") if run.mixture else ()
        pairs = [(getattr(run.mixture, name), getattr(mixture, name)) for name in parts]
        if any(one.penalties != other.penalties for one, other in pairs):
            state += "; penalties changed, so that it cannot be compared with the starts"
        bound = f"lower bound {self._in_units(run):.8f}, {run.n_iter} iterations"
        print(f"{self.label}: {bound}{state}")

    def _in_units(self, run: Run) -> float:
        """The lower bound of a run in the units of y."""
        return run.lower_bound - self.problem.preprocessor.log_jacobian()


def make_monitors(problem: FitProblem, verbose: int) -> list[FitMonitor]:
    """Monitors of the starts and of the run after them."""
    em_problem, sample = problem.em_problem, ""
    if em_problem.n_rows_of_starts < em_problem.rows.n_rows:
        sample = f" (on a sample of {em_problem.n_rows_of_starts} rows)"
    labels = [*(f"start {i}{sample}" for i in range(len(em_problem.seeds))), "EM"]
    return [FitMonitor(label, problem, verbose) for label in labels]
