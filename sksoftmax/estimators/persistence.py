"""Pickles and copies of an estimator.

A pickle holds plain dicts and NumPy arrays, whatever trained, so that loading one needs no
GPU and nobody has to trust types of ours. This module must not know what attributes mean.
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
    """How an estimator with a ``_checkpoint`` is pickled and copied."""

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

    def drop_training_state(self) -> Self:
        """Forget what only further training needs, which is most of a saved model.

        What predicts stays, and so do all fitted attributes. A `fit` that starts anew gives
        the training state back.

        Returns
        -------
        SoftmaxClassifier
            The estimator. `partial_fit`, and `fit` with `warm_start`, raise ValueError from
            now on: without the statistics of its rows and the memory of its steps, training
            could not go on as if there had been no pause.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> import pickle
        >>> from sklearn.datasets import load_digits
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier(random_state=0).fit(*load_digits(return_X_y=True))
        >>> whole = len(pickle.dumps(clf))
        >>> len(pickle.dumps(clf.drop_training_state())) < 0.4 * whole
        True
        """
        check_is_fitted(self)
        self.__dict__.pop("_checkpoint", None)
        return self

    def _last_checkpoint(self) -> Checkpoint | None:
        """Where further training goes on from; None before the first fit."""
        checkpoint: Checkpoint | None = getattr(self, "_checkpoint", None)
        if checkpoint is None and hasattr(self, "coef_"):
            raise ValueError(
                f"This {type(self).__name__} cannot be trained on: drop_training_state has"
                " dropped what partial_fit, and fit with warm_start=True, go on from. Call fit"
                " with warm_start=False to start anew."
            )
        return checkpoint

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied
