"""The gradient of a minibatch for several models at once, where arrays lie on the host.

A batch is gathered and centred once for all models. Intercepts take part in both products, by
a column of ones beside the batch; the products are wide enough for a BLAS to run at its best,
and the softmax works on runs of rows in place. CPU backends build on it as they do on
ArrayTrainer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array


class StackTrainer(ArrayTrainer):
    """ArrayTrainer over NumPy for several models, with preallocated buffers.

    Parameters
    ----------
    problem : Problem
        What is trained, on dense rows.
    state : State
        Where it starts.
    """

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        size = problem.batch_size
        # The last column stays 1: in both products, the intercept is its weight.
        self._x = np.ones((size, problem.n_features + 1), problem.dtype)
        X = problem.X
        is_plain = X.flags.c_contiguous and X.dtype.isnative
        self._gathered = np.empty((size, X.shape[1]), X.dtype) if is_plain else None
        self._one_hot = np.empty((problem.n_classes, size), problem.dtype)
        self._columns = np.arange(size)
        self._z = np.empty(problem.n_models * problem.n_classes * size, problem.dtype)
        self._gradient = np.empty_like(self._parameters)

    def _summed_gradient(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        n_models, k, width = self._parameters.shape
        x = self._gather(rows)
        # Scores of all models are one product, (models * classes) x features x rows.
        z = self._z[: n_models * k * len(x)].reshape(n_models * k, len(x))
        np.matmul(self._point.reshape(-1, width), x.T, out=z)
        weights = None if self._weights is None else self._weights[rows]
        loss = self._softmax_minus_targets(z.reshape(n_models, k, -1), rows, weights)
        # z holds residuals by now. Their product with the column of ones sums the intercepts'.
        np.matmul(z, x, out=self._gradient.reshape(-1, width))
        return self._gradient, loss

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows in the dtype of the arithmetic, centred, and a one."""
        X, x = self.problem.X, self._x[: len(rows)]
        if self._gathered is None:
            batch = X[rows]
        else:
            # "clip" skips a check of indices that the estimator drew itself.
            batch = np.take(X, rows, axis=0, out=self._gathered[: len(rows)], mode="clip")
        if self._means is None:
            x[:, :-1] = batch
        else:
            np.subtract(batch, self._means, out=x[:, :-1], dtype=x.dtype)
        return x

    def _softmax_minus_targets(
        self, z: NDArray[Any], rows: NDArray[np.int64], weights: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """Turn scores (n_models, n_classes, n_rows) into residuals; return summed losses."""
        one_hot = self._one_hot[:, : len(rows)]
        one_hot[...] = 0
        one_hot[self._y[rows], self._columns[: len(rows)]] = 1
        z -= np.maximum.reduce(z, axis=1, keepdims=True)
        # The scores of the targets; log(total) is added below.
        loss = -np.einsum("mkb,kb->mb", z, one_hot)
        np.exp(z, out=z)
        total = np.add.reduce(z, axis=1, keepdims=True)
        loss += np.log(total[:, 0])
        z /= total
        z -= one_hot
        if weights is not None:
            z *= weights
            loss *= weights
        summed: NDArray[np.float64] = loss.sum(axis=1, dtype=np.float64)
        return summed
