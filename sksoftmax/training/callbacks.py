"""scikit-learn's callbacks, where the installed version has them: from 1.9 on.

The only module that knows which version that is. On older ones an estimator merely lacks
``set_callbacks``, and everything else works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

__all__ = ["CallbackSupportMixin", "FitTasks"]


class _NoContext:
    """A context to which nobody listens."""

    def subcontext(self, **settings: Any) -> Self:
        return self

    def call_on_fit_task_begin(self, **arguments: Any) -> None:
        return None

    def call_on_fit_task_end(self, **arguments: Any) -> bool:
        return False


class _NoCallbackSupport:
    """What takes the place of the mixin before scikit-learn 1.9."""

    def _init_callback_context(self, **settings: Any) -> _NoContext:
        return _NoContext()


try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:
    CallbackSupportMixin = _NoCallbackSupport


class FitTasks:
    """A fit as callbacks see it: one task, with a subtask for each epoch.

    Parameters
    ----------
    estimator : estimator
        Who is fitted.
    context : CallbackContext
        What ``estimator._init_callback_context`` returned.
    X : array of shape (n_rows, n_features)
        Training rows.
    y : ndarray of shape (n_rows,)
        Their labels.
    sample_weight : array-like of shape (n_rows,), or None
        Their weights.
    """

    def __init__(self, estimator: Any, context: Any, X: Any, y: Any, sample_weight: Any):
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context = context
        context.call_on_fit_task_begin(**self._arguments)

    def begin_epoch(self) -> None:
        """Tell callbacks that an epoch begins."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._arguments)

    def end_epoch(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Tell callbacks that the epoch is over, and ask them whether to stop.

        Parameters
        ----------
        attributes : callable
            Returns the attributes of the estimator as if the fit stopped here; called only
            if a callback asks for the fitted estimator.

        Returns
        -------
        bool
            Whether a callback wants the fit to stop.
        """
        return bool(
            self._epoch.call_on_fit_task_end(
                **self._arguments, reconstruction_attributes=attributes
            )
        )

    def end(self) -> None:
        """Tell callbacks that the estimator is fitted."""
        self._context.call_on_fit_task_end(**self._arguments, reconstruction_attributes={})
