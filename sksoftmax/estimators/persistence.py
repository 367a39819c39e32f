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

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied
