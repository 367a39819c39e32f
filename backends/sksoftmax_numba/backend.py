"""Numba on the CPU: what the seam asks for, and which trainer fits which problem."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, CpuBackend, Moments, Problem, is_csr
from sksoftmax_numba import announcements, statistics
from sksoftmax_numba.dense_update_trainer import NumbaDenseUpdateTrainer
from sksoftmax_numba.sparse_trainer import NumbaDistanceTrainer, NumbaLinearTrainer
from sksoftmax_numba.stack_trainer import NumbaStackTrainer
from sksoftmax_numba.trainer import NumbaTrainer


class NumbaBackend(CpuBackend):
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
    dense_trainer = NumbaTrainer
    stack_trainer = NumbaStackTrainer
    sparse_trainer = NumbaLinearTrainer
    distance_trainer = NumbaDistanceTrainer
    dense_update_trainer = NumbaDenseUpdateTrainer

    def feature_moments(
        self, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
    ) -> Moments | None:
        """Return the weighted moments of the columns of X, in compiled passes."""
        if not reads(X):
            return None
        measured = statistics.sparse_moments if is_csr(X) else statistics.feature_moments
        return measured(X, weights, rows)

    def seconds_compiling(self) -> float:
        """Return how long this process has compiled so far."""
        return announcements.seconds_compiling()

    def supports(self, problem: Problem) -> str | None:
        """Say whether kernels read the dtype of X: not that of long or byte-swapped numbers."""
        dtype = problem.X.dtype
        if reads(problem.X):
            return None
        return f"Numba has no arrays of dtype {dtype}."


def reads(X: Array) -> bool:
    """Say whether kernels read rows of such a dtype.

    Parameters
    ----------
    X : ndarray or CSR matrix
        The rows.

    Returns
    -------
    bool
        False for longdouble, byte-swapped numbers and sparse float16.
    """
    dtype = X.dtype
    if dtype == np.float16:
        return not is_csr(X)
    return bool(dtype.isnative and dtype.kind in "fiub" and dtype.itemsize <= 8)
