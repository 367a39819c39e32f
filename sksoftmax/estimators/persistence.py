"""Pickles and copies of an estimator, and how to keep only what predicts.

A pickle holds plain dicts and NumPy arrays, whatever backend trained: loading one needs no GPU,
and skops needs to trust the estimator's class alone. This module must not know what attributes
mean.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from sksoftmax._version import __version__
from sksoftmax.data.arrays import to_numpy
from sksoftmax.training.checkpoint import Checkpoint


class Persistence(BaseEstimator):  # type: ignore[misc]
    """How an estimator with a ``_checkpoint`` is pickled, copied and trimmed."""

    def trim_for_prediction(self) -> Self:
        """Drop what only further training needs: about two thirds of a saved model.

        The fitted attributes stay. ``fit`` starts anew as ever; ``partial_fit``, and ``fit``
        with ``warm_start=True``, have nothing left to go on from and say so.

        Returns
        -------
        SoftmaxClassifier
            The estimator, which predicts as before.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> import pickle
        >>> import numpy as np
        >>> from sksoftmax import SoftmaxClassifier
        >>> X, y = np.eye(1000), np.arange(1000) % 2
        >>> clf = SoftmaxClassifier(max_iter=1, tol=None).fit(X, y)
        >>> before = len(pickle.dumps(clf))
        >>> print(f"{len(pickle.dumps(clf.trim_for_prediction())) / before:.1f} of the size")
        0.2 of the size
        """
        check_is_fitted(self)
        self.__dict__.pop("_checkpoint", None)
        return self

    def _resumable(self) -> Checkpoint | None:
        """Where training goes on from, or None before the first fit.

        Raises
        ------
        ValueError
            If the model has been trimmed.
        """
        checkpoint: Checkpoint | None = self.__dict__.get("_checkpoint")
        if checkpoint is None and "coef_" in self.__dict__:
            raise ValueError(
                f"This {type(self).__name__} has been trimmed for prediction, so that training"
                " cannot go on from it. Call fit with warm_start=False to start anew, or trim a"
                " copy and keep the model itself."
            )
        return checkpoint

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_sksoftmax_version": __version__}
        for name, value in state.items():
            if hasattr(value, "__dlpack__"):  # a pickle needs neither their library nor a GPU
                state[name] = to_numpy(value)
        if "_checkpoint" in state:
            state["_checkpoint"] = state["_checkpoint"].to_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_sksoftmax_version", "unknown")
        if "_checkpoint" in state:
            state["_checkpoint"] = Checkpoint.from_dict(state["_checkpoint"])
        if version != __version__:
            warning = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=__version__,
                original_sklearn_version=version,
            )
            warnings.warn(warning, stacklevel=2)
        super().__setstate__(state)

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied
