"""The gradient of a minibatch, tuned for NumPy and one model.

A batch is worked on in blocks of rows that stay in the second-level cache from the moment
they are gathered to the gradient, and that are small enough for the small-matrix kernels
of OpenBLAS, which run 2 to 3 times faster than its general ones on products this skinny.
One extra row of each block holds the means: the forward product then yields ``coef @
means`` and the backward one centres the gradient, where each would be a pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.array_trainer import ArrayTrainer
from sksoftmax.problem import Array, Problem, State

SMALL_PRODUCT = 10**6
"""Most multiplications of a product for which OpenBLAS takes its small-matrix kernels."""

LEAST_BLOCK = 64
"""Fewest rows for which blocks pay; wider problems take a batch at once."""


class NumpyTrainer(ArrayTrainer):
    """ArrayTrainer over NumPy for one model, with preallocated buffers.

    Parameters
    ----------
    problem : Problem
        What is trained; ``problem.n_models`` is 1.
    state : State
        Where it starts.
    reduce : callable, optional
        See ArrayTrainer.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        *,
        reduce: Callable[[Array], Array] | None = None,
    ):
        super().__init__(problem, state, reduce=reduce)
        n, k = problem.n_features, problem.n_classes
        self._block = _block_rows(problem)
        self._tail = 0 if self._means is None else 1
        self._mean_row = None if self._means is None else self._means[0]
        self._in_c_order = problem.X.flags.c_contiguous
        self._converts = problem.X.dtype != problem.dtype
        self._x = np.empty((self._block + self._tail, n), problem.dtype)
        self._z = np.empty(k * (self._block + self._tail), problem.dtype)
        self._row = np.empty(self._block, problem.dtype)
        self._gradient = np.empty((1, k, n + 1), problem.dtype)
        self._block_gradient = np.empty((k, n + 1), problem.dtype)
        self._positions = np.arange(self._block)

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`; unshuffled rows are read where they lie.

        Parameters
        ----------
        order : ndarray of shape (n_rows,), int64
            Rows of X, batch after batch.
        step_sizes : ndarray of shape (1, n_batches), float64
            The step of each batch.

        Returns
        -------
        ndarray of shape (1,), float64
            The objective, each batch measured before its own update.
        """
        self._consecutive = bool((np.diff(order) == 1).all())
        return super().run_epoch(order, step_sizes)

    def _summed_gradient(self, rows: Any) -> tuple[Array, Array]:
        total = self._gradient[0]
        loss = self._add_block(rows[: self._block], total)
        for start in range(self._block, len(rows), self._block):
            loss += self._add_block(rows[start : start + self._block], self._block_gradient)
            total += self._block_gradient
        return self._gradient, loss

    def _add_block(self, rows: NDArray[np.int64], gradient: NDArray[Any]) -> float:
        """Write the gradient of one block; return its summed loss."""
        n, k = self.problem.n_features, self.problem.n_classes
        count = len(rows)
        x = self._gather(rows)
        z = self._z[: k * len(x)].reshape(k, len(x))
        np.matmul(self._parameters[0, :, :n], x.T, out=z)
        logits = z[:, :count]
        intercept = self._parameters[0, :, n:]
        logits += intercept - z[:, count:] if self._tail else intercept
        loss = self._softmax_minus_targets(z, logits, rows)
        residual_sum = np.add.reduce(logits, axis=1, out=gradient[:, n])
        if self._tail:
            z[:, count] = residual_sum
            np.negative(z[:, count], out=z[:, count])
        np.matmul(z, x, out=gradient[:, :n])
        return loss

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows in the dtype of the arithmetic, followed by the means when centring."""
        X, count = self.problem.X, len(rows)
        if self._consecutive:
            run = X[rows[0] : rows[0] + count]
            if not self._tail and not self._converts:
                return run  # type: ignore[no-any-return]
            self._x[:count] = run
        elif self._in_c_order and not self._converts:
            # "clip" skips a check of indices that the estimator drew itself.
            np.take(X, rows, axis=0, out=self._x[:count], mode="clip")
        else:
            self._x[:count] = X.take(rows, axis=0) if self._in_c_order else X[rows]
        if self._tail:
            self._x[count] = self._mean_row
        return self._x[: count + self._tail]

    def _softmax_minus_targets(
        self, z: NDArray[Any], logits: NDArray[Any], rows: NDArray[np.int64]
    ) -> float:
        """Turn logits, a view into z, into weighted residuals; return the summed loss."""
        count = len(rows)
        flat = z.reshape(-1)
        row = self._row[:count]
        logits -= np.maximum.reduce(logits, axis=0, out=row)
        target = self._y.take(rows) * z.shape[1]
        target += self._positions[:count]
        loss = -flat.take(target)
        np.exp(logits, out=logits)
        np.add.reduce(logits, axis=0, out=row)
        logits /= row
        flat[target] = flat.take(target) - 1
        loss += np.log(row, out=row)
        if self._weights is None:
            return float(loss.sum(dtype=np.float64))
        weights = self._weights[0].take(rows)
        logits *= weights
        return float(loss @ weights)


def _block_rows(problem: Problem) -> int:
    """Rows of a block: equal parts of a batch, each a small product, where that pays."""
    size = min(problem.batch_size, int(problem.X.shape[0]))
    most = SMALL_PRODUCT // (problem.n_classes * problem.n_features) - 1
    if most < LEAST_BLOCK:
        return size
    n_blocks = -(-size // most)
    return -(-size // n_blocks)
