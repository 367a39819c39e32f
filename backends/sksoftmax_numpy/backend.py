"""NumPy on the CPU: what the seam asks for, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, CpuBackend, Moments, Problem, StackTrainer, State, is_csr
from sksoftmax_numpy import statistics
from sksoftmax_numpy.binary_trainer import BinaryTrainer
from sksoftmax_numpy.dense_update_trainer import NumpyDenseUpdateTrainer
from sksoftmax_numpy.sparse_trainer import NumpyDistanceTrainer, NumpyLinearTrainer
from sksoftmax_numpy.trainer import NumpyTrainer


class NumpyBackend(CpuBackend):
    """Train on the CPU with NumPy; the backend that is always there.

    Attributes
    ----------
    name, version, device : str
        ``"numpy"``, NumPy's version, the processor.
    xp : module
        ``numpy``.

    Examples
    --------
    >>> from sksoftmax import SoftmaxClassifier
    >>> clf = SoftmaxClassifier(backend="numpy").fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    >>> clf.backend_
    'numpy'
    """

    name = "numpy"
    version = np.__version__
    stack_trainer = StackTrainer
    sparse_trainer = NumpyLinearTrainer
    distance_trainer = NumpyDistanceTrainer
    dense_update_trainer = NumpyDenseUpdateTrainer

    @staticmethod
    def dense_trainer(
        problem: Problem, state: State, *, reduce: Callable[[Array], Array] | None = None
    ) -> NumpyTrainer:
        """Return a trainer for one model on dense rows; two classes have their own."""
        kind = BinaryTrainer if problem.n_classes == 2 else NumpyTrainer
        return kind(problem, state, reduce=reduce)

    def feature_moments(
        self, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
    ) -> Moments | None:
        """Return the weighted moments of the columns of X, in one pass tuned for NumPy."""
        return None if is_csr(X) else statistics.feature_moments(X, weights, rows)

    def supports(self, problem: Problem) -> str | None:
        """Return None: everything is supported."""
        return None
