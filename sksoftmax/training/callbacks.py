"""scikit-learn's callbacks, where the installed version has them: from 1.9 on.

The only module that knows which version that is. On older ones an estimator merely lacks
``set_callbacks``, and everything else works.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Self

from sksoftmax._scikit_learn import callback_management_context

__all__ = ["CallbackSupportMixin", "FitTasks", "SearchTasks", "Subtask"]


class _NoContext:
    """A context without callbacks, which does nothing."""

    def subcontext(self, **settings: Any) -> Self:
        return self

    def call_on_fit_task_begin(self, **arguments: Any) -> None:
        return None

    def call_on_fit_task_end(self, **arguments: Any) -> bool:
        return False

    def propagate_callback_context(self, estimator: Any) -> AbstractContextManager[None]:
        return nullcontext()


class _NoCallbackSupport:
    """Replaces the mixin before scikit-learn 1.9, without ``set_callbacks``."""

    def _init_callback_context(self, **settings: Any) -> _NoContext:
        return _NoContext()


try:
    from sklearn.callback import AutoPropagatedCallback, CallbackSupportMixin
except ImportError:
    AutoPropagatedCallback = ()
    CallbackSupportMixin = _NoCallbackSupport


def has_callbacks(estimator: Any) -> bool:
    """Say whether an estimator has callbacks, its own or those of whoever fits it."""
    return hasattr(estimator, "_skl_callbacks")


def has_callbacks_of_its_own(estimator: Any) -> bool:
    """Say whether an estimator has callbacks that expect its fit to be one on its own.

    Those that whoever fits it has handed on do not.
    """
    is_part = hasattr(estimator, "_parent_callback_ctx")
    return any(
        not (is_part and isinstance(callback, AutoPropagatedCallback))
        for callback in getattr(estimator, "_skl_callbacks", [])
    )


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
    attributes : callable
        Returns the attributes of the estimator as if the fit stopped after the epochs so far.
        Called only if a callback asks for the fitted estimator.
    """

    def __init__(
        self,
        estimator: Any,
        context: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        attributes: Callable[[], dict[str, Any]] = dict,
    ):
        self._attributes = attributes
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context = context
        self._context.call_on_fit_task_begin(**self._arguments)

    def begin_epoch(self) -> None:
        """Tell callbacks that an epoch begins."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._arguments)

    def end_epoch(self) -> bool:
        """Tell callbacks that the epoch is over, and ask them whether to stop.

        Returns
        -------
        bool
            Whether a callback wants the fit to stop.
        """
        return bool(
            self._epoch.call_on_fit_task_end(
                **self._arguments, reconstruction_attributes=self._attributes
            )
        )

    def end(self) -> None:
        """Tell callbacks that the estimator is fitted."""
        self._context.call_on_fit_task_end(**self._arguments, reconstruction_attributes={})


class SearchTasks(FitTasks):
    """A search as callbacks see it: what `GridSearchCV` tells them.

    Its first subtask is the search, with a subtask for each candidate on each fold; its second
    one is the last fit, on all rows.
    """

    def begin_search(self, n_candidates: int, n_folds: int) -> list[list[Subtask]]:
        """Tell callbacks that the search begins.

        Parameters
        ----------
        n_candidates, n_folds : int
            How many there are.

        Returns
        -------
        list of lists of Subtask
            For each candidate its task on each fold.
        """
        self._search = self._context.subcontext(
            task_name="search",
            max_subtasks=n_candidates * n_folds,
            sequential_subtasks=False,
        )
        owner = self._arguments["estimator"]
        self._search.call_on_fit_task_begin(estimator=owner)

        def subtask(task_id: int) -> Subtask:
            name = "candidate-split-evaluation"
            return Subtask(owner, self._search.subcontext(task_name=name, task_id=task_id))

        return [
            [subtask(candidate * n_folds + fold) for fold in range(n_folds)]
            for candidate in range(n_candidates)
        ]

    def end_search(self) -> None:
        """Tell callbacks that all candidates are compared."""
        self._search.call_on_fit_task_end(estimator=self._arguments["estimator"])

    def refit(self) -> Subtask:
        """Return the task of the last fit."""
        context = self._context.subcontext(task_name="refit-with-best-params")
        return Subtask(self._arguments["estimator"], context)


class Subtask:
    """A task in which one estimator fits, and perhaps scores, another.

    Parameters
    ----------
    owner : estimator
        Who fits the other.
    context : CallbackContext
        Of the task.
    """

    def __init__(self, owner: Any, context: Any):
        self._owner = owner
        self._context = context
        self._handed_on = ExitStack()
        self._arguments: dict[str, Any] = {}

    def begin(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        """Hand callbacks on to the other estimator, and tell them that the task begins.

        Parameters
        ----------
        estimator : estimator
            The other one, not fitted yet.
        X, y : array-likes
            What it is fitted to.
        sample_weight : array-like of shape (n_rows,), or None
            The weights of these rows.
        """
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._arguments = {"estimator": self._owner, "X": X, "y": y, "metadata": metadata}
        self._handed_on.enter_context(callback_management_context(estimator))
        self._handed_on.enter_context(self._context.propagate_callback_context(estimator))
        self._context.call_on_fit_task_begin(**self._arguments)

    def end_fit(self) -> None:
        """Take the callbacks back from the other estimator."""
        self._handed_on.close()

    def end(self) -> None:
        """Tell callbacks that the task is over; those told before are not told again."""
        self.end_fit()
        arguments, self._arguments = self._arguments, {}
        if arguments:
            self._context.call_on_fit_task_end(**arguments)
