"""scikit-learn's callbacks (1.9 on), and a replacement without effect for older releases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NullCallbackContext:
    """Context of a task without callbacks."""

    def subcontext(self, **kwargs: Any) -> NullCallbackContext:
        return self

    def call_on_fit_task_begin(self, **kwargs: Any) -> NullCallbackContext:
        return self

    def call_on_fit_task_end(self, **kwargs: Any) -> bool:
        return False


try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement without `set_callbacks`."""

        def _init_callback_context(self, **kwargs: Any) -> NullCallbackContext:
            return NullCallbackContext()

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself: there are no callbacks to tear down."""
        return method


class FitTask:
    """A task of a fit, with the arguments of the hooks of a callback.

    Parameters
    ----------
    estimator : estimator
        The estimator that is fitted.
    context : CallbackContext
        Context of the task.
    data : dict
        `X`, `y` and `metadata` of the fit.
    """

    def __init__(self, estimator: Any, context: Any, data: dict[str, Any]):
        self.estimator = estimator
        self.context = context
        self.data = data

    def start(self) -> FitTask:
        """Call the hooks for the start of the task."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def end(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Call the hooks for the end of the task; returns whether a callback stops the run.

        `attributes` returns the fitted attributes of this moment.
        """
        stops = self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.data
        )
        return bool(stops)

    def subtask(self, name: str, max_subtasks: int = 0, task_id: int | None = None) -> FitTask:
        """A task that is a part of this one."""
        context = self.context.subcontext(
            task_name=name, task_id=task_id, max_subtasks=max_subtasks
        )
        return FitTask(self.estimator, context, self.data)


__all__ = ["CallbackSupportMixin", "FitTask", "NullCallbackContext", "with_callbacks"]
