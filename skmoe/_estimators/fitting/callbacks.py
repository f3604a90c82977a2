"""The hooks of scikit-learn's callbacks, which are there from release 1.9 on.

For older releases there are stand-ins without effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand-in without `set_callbacks`."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself: there are no callbacks to tear down."""
        return method


class FitTask(NamedTuple):
    """A task of a fit that callbacks follow."""

    context: Any  # CallbackContext
    arguments: dict[str, Any]  # of the hooks: estimator, X, y and metadata of the fit

    def subtask(self, name: str, n_most: int | None = 0, task_id: int | None = None) -> FitTask:
        """A part of this task, which has `n_most` parts itself."""
        return self._replace(context=self.context.subcontext(name, task_id, n_most))

    def start(self) -> FitTask:
        """Call the hooks for the start of the task."""
        self.context.call_on_fit_task_begin(**self.arguments)
        return self

    def end(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Call the hooks for the end of the task; returns whether a callback stops the run.

        `attributes` returns the fitted attributes of this moment.
        """
        end = self.context.call_on_fit_task_end
        return bool(end(**self.arguments, reconstruction_attributes=attributes))


def task_of_fit(estimator: Any, given: Any, n_most: int | None) -> FitTask:
    """The task of a whole fit of `Rows` or of training data, which has started."""
    rows = getattr(given, "rows", given)
    context = estimator._init_callback_context(max_subtasks=n_most, sequential_subtasks=False)
    of_fit = {"X": rows.X, "y": rows.y, "metadata": rows.arguments or None}
    return FitTask(context, {"estimator": estimator} | of_fit).start()
