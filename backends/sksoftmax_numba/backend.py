"""Numba on the CPU: what the seam asks for, and which trainer fits which problem."""

from __future__ import annotations

import platform
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sksoftmax.array_trainer import ArrayTrainer
from sksoftmax.csr import is_csr
from sksoftmax.lazy_trainer import LinearTrainer, lazy_trainer
from sksoftmax.problem import Array, Problem, State
from sksoftmax_numba.sparse_trainer import NumbaLinearTrainer
from sksoftmax_numba.trainer import NumbaTrainer


class NumbaBackend:
    """Train on the CPU with kernels that Numba compiles.

    Attributes
    ----------
    name, version, device : str
        ``"numba"``, Numba's version, the processor.
    xp : module
        ``numpy``.
    """

    name = "numba"
    version = numba.__version__
    device = f"CPU ({platform.machine()})"
    xp = np

    def place(self, X: Array) -> Array:
        """Return X itself, seen as a plain ndarray where it is dense.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            Rows, memory-mapped or not.

        Returns
        -------
        ndarray or CSR array of shape (n_rows, n_features)
            The same memory.
        """
        return X if is_csr(X) else np.asarray(X)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return the array itself.

        Parameters
        ----------
        array : ndarray
            Any array.

        Returns
        -------
        ndarray
            The same array.
        """
        return np.asarray(array)

    def supports(self, problem: Problem) -> str | None:
        """Say whether Numba knows the dtype of X; it lacks float16 and byte-swapped numbers.

        Parameters
        ----------
        problem : Problem
            What is to be trained.

        Returns
        -------
        str or None
            None, or the reason why not.
        """
        dtype = problem.X.dtype
        if (
            dtype.isnative
            and dtype != np.float16
            and dtype.kind in "fiub"
            and dtype.itemsize <= 8
        ):
            return None
        return f"Numba has no arrays of dtype {dtype}."

    def trainer(self, problem: Problem, state: State) -> ArrayTrainer:
        """Return the fastest trainer that there is for a problem.

        Parameters
        ----------
        problem : Problem
            What is to be trained.
        state : State
            Where to start.

        Returns
        -------
        ArrayTrainer
            A trainer with buffers of its own.
        """
        if is_csr(problem.X):
            kind = lazy_trainer(problem) or ArrayTrainer
            return (NumbaLinearTrainer if kind is LinearTrainer else kind)(problem, state)
        return (NumbaTrainer if problem.n_models == 1 else ArrayTrainer)(problem, state)
