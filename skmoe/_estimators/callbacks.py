"""scikit-learn's callbacks where the release has them (1.9 on), and a silent stand-in elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NullCallbackContext:
    """Context of a task that nobody listens to."""

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
        """Stand-in without `set_callbacks`."""

        def _init_callback_context(self, **kwargs: Any) -> NullCallbackContext:
            return NullCallbackContext()

    def with_callbacks(method: Callable) -> Callable:
        """Nothing to tear down."""
        return method


class FitTask:
    """A task of a fit, its data, and the estimator: what the hooks of a callback are told.

    Parameters
    ----------
    estimator : estimator
    context : callback context of the task
    data : dict
        `X`, `y` and `metadata` of the fit.
    """

    def __init__(self, estimator: Any, context: Any, data: dict[str, Any]):
        self.estimator = estimator
        self.context = context
        self.data = data

    def start(self) -> FitTask:
        """Tell that the task begins."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def end(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Tell that it ends, with the fitted attributes of this moment; true asks to stop."""
        return self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.data
        )

    def subtask(self, name: str, max_subtasks: int = 0, task_id: int | None = None) -> FitTask:
        """Part of this task."""
        context = self.context.subcontext(
            task_name=name, task_id=task_id, max_subtasks=max_subtasks
        )
        return FitTask(self.estimator, context, self.data)


__all__ = ["CallbackSupportMixin", "FitTask", "NullCallbackContext", "with_callbacks"]
