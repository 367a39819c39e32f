"""The base class of the backends for the CPU: X is used in place, without a copy.

It knows which kind of trainer a problem asks for, but not how any of them trains.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.sparse.choice import lazy_trainer
from sksoftmax.backend.sparse.dense_updates import DenseUpdateTrainer
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.momentum import LinearTrainer
from sksoftmax.backend.stack_trainer import StackTrainer
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array, is_on_device
from sksoftmax.data.rows import is_csr


class CpuBackend:
    """The half of a CPU backend that does not depend on how it trains.

    Attributes
    ----------
    device : str
        The processor.
    xp : module
        ``numpy``.
    dense_trainer : callable
        Returns the fastest trainer of one model: a type, or what chooses one; a backend names
        its own.
    stack_trainer : type
        The fastest trainer of several models that are centred alike.
    sparse_trainer, distance_trainer : type
        The fastest trainers of one model by lazy steps over sparse rows, of a given size and
        of a size of their own.
    dense_update_trainer : type or None
        The fastest trainer of one model by dense updates over sparse rows of few features, with
        steps of a size of their own; None where lazy ones are always as fast.
    """

    device = f"CPU ({platform.machine()})"
    xp = np
    dense_trainer: Callable[..., ArrayTrainer]
    stack_trainer: type[StackTrainer]
    sparse_trainer: type[LinearTrainer]
    distance_trainer: type[DistanceTrainer] = DistanceTrainer
    dense_update_trainer: type[DenseUpdateTrainer] | None = None

    def place(self, X: Array) -> Array:
        """Return X itself, seen as a plain ndarray where it is dense."""
        if is_on_device(X):
            raise ValueError(
                "X is in the memory of a GPU, which a backend for the CPU does not read. Set"
                " backend='auto' to train where X is, or copy X to the host."
            )
        return X if is_csr(X) else np.asarray(X)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return the array itself."""
        return np.asarray(array)

    def trainer(self, problem: Problem, state: State) -> ArrayTrainer:
        """Return the fastest trainer that there is for a problem."""
        if is_csr(problem.X):
            dense_updates = self.dense_update_trainer
            if dense_updates is not None and dense_updates.pays(problem, state):
                return dense_updates(problem, state)
            fastest: dict[type[ArrayTrainer], type[ArrayTrainer]] = {
                LinearTrainer: self.sparse_trainer,
                DistanceTrainer: self.distance_trainer,
            }
            kind: type[ArrayTrainer] = lazy_trainer(problem) or ArrayTrainer
            return fastest.get(kind, kind)(problem, state)
        dense = self.dense_trainer if problem.n_models == 1 else self.stack_trainer
        return dense(problem, state)

    def reducing_trainer(
        self, problem: Problem, state: State, reduce: Callable[[Array], Array]
    ) -> ArrayTrainer:
        """Return the fastest trainer whose gradients are summed over several processes."""
        dense = ArrayTrainer if is_csr(problem.X) else self.dense_trainer
        return dense(problem, state, reduce=reduce)
