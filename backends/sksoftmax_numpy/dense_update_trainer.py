"""Dense updates over sparse rows, tuned for NumPy and SciPy.

A lazy step takes some seventy calls of NumPy, whose fixed cost is that of passing over tens of
thousands of weights. A step here is two products of SciPy's and a dozen passes, most of them by
the BLAS.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

# Private, but as old as SciPy: see ``sparse_trainer``.
from scipy.sparse._sparsetools import csc_matvecs, csr_matvecs, csr_row_index
from scipy.special import expit

from sksoftmax.backend import Array, DenseUpdateTrainer, Problem, State
from sksoftmax_numpy.distance import DistanceOfOneModel

CHUNK_ELEMENTS = 2**14
"""About how many elements of shuffled rows are gathered at once: they stay in the cache."""

KEPT_ELEMENTS = 2**20
"""Most elements of all rows of which a copy is kept in the coordinates of the step."""


class NumpyDenseUpdateTrainer(DenseUpdateTrainer):
    """DenseUpdateTrainer with SciPy's products and the BLAS."""

    free_weights, weights_an_element = 2**16, 12
    _optimizer: DistanceOfOneModel

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        self._n_columns = self._iterate.shape[1]
        # As long as the weights: to repeat a number for each column takes NumPy long.
        self._decay_of_weight = np.repeat(self._decays[:, None], self._n_columns, axis=1)
        # Of two classes' gradients and averages one is computed; the other one is as long.
        self._n_copies = 2 if self._n_columns == 1 else 1
        self._axpy, self._ger = get_blas_funcs(("axpy", "ger"), dtype=problem.dtype)
        self._has_full_columns = bool(self._subtracted.any())
        X = problem.X
        self._kept = self._scaled(X.data, X.indices) if X.nnz <= KEPT_ELEMENTS else None

    def _set_scales(self) -> None:
        super()._set_scales()
        self._optimizer = DistanceOfOneModel(self.problem, np)

    def _run_batches(self, order: NDArray[np.int64], factors: NDArray[np.float64]) -> float:
        X, size = self.problem.X, self.problem.batch_size
        n_elements = max(1, X.nnz * size // X.shape[0])
        n_rows = max(1, CHUNK_ELEMENTS // n_elements) * size
        loss = 0.0
        self._move_point()
        for start in range(0, len(order), n_rows):
            rows = order[start : start + n_rows]
            loss += self._run_chunk(rows, factors[start // size :])
        return loss

    def _run_chunk(self, rows: NDArray[np.int64], factors: NDArray[np.float64]) -> float:
        """Take a step for each batch of some rows, gathered at once; return their loss."""
        size, dtype = self.problem.batch_size, self.problem.dtype
        n, n_columns = len(self._iterate), self._n_columns
        starts, columns, values = self._gathered(rows)
        codes = self._y.take(rows)
        weights = None if self._weights is None else self._weights.take(rows)
        targets = codes[:, None].astype(dtype)
        scores, losses = np.zeros((len(rows), n_columns), dtype), np.empty(len(rows), dtype)
        near, change = self._near.reshape(-1), self._change.reshape(-1)
        for i in range(0, len(rows), size):
            batch = slice(i, i + size)
            x, of_batch = (starts[i : i + size + 1], columns, values), scores[batch]
            count = len(of_batch)
            csr_matvecs(count, n, n_columns, *x, near, of_batch.reshape(-1))
            of_batch -= self._centres.dot(self._near)
            if self._n_columns == 1:
                # The scores of both classes are s and -s: their difference is 2 s.
                residual = expit(2 * of_batch)
                residual -= targets[batch]
            else:
                is_target = codes[batch] == self._classes
                of_classes, of_rows = self._residual(of_batch.T[None].copy(), is_target)
                residual, losses[batch] = of_classes[0].T, of_rows[0]
            if weights is not None:
                residual *= weights[batch, None]
            residual *= 1 / size
            np.multiply(self._decay_of_weight, self._near, out=self._change)
            csc_matvecs(n, count, n_columns, *x, residual.reshape(-1), change)
            self._centre_change(np.add.reduce(residual, axis=0))
            self._step_along_change(float(factors[i // size]))
        if self._n_columns == 1:
            losses = _losses_of_two(scores[:, 0], codes)
        if weights is not None:
            losses *= weights
        return float(losses.sum(dtype=np.float64))

    def _centre_change(self, summed: NDArray[Any]) -> None:
        """Take off the gradient what centring the rows does to it."""
        if len(summed) == 1:
            self._axpy(self._centres, self._change.reshape(-1), a=-summed[0])
        else:
            self._ger(-1, summed, self._centres, a=self._change.T, overwrite_a=1)

    def _step_along_change(self, factor: float) -> None:
        """Move z, the average and the point between them; the gradient is complete."""
        iterate, average, change = (
            a.reshape(-1) for a in (self._iterate, self._averaged, self._change)
        )
        self._n_steps += 1
        squares = self._n_copies * float(change.dot(change))
        step, newest = self._optimizer.step_and_weight_of_one(
            self._norms, squares, self._n_steps
        )
        self._axpy(change, iterate, a=-step * factor)
        average *= 1 - newest
        self._axpy(iterate, average, a=newest)
        way = math.sqrt(self._n_copies * float(average.dot(average)))
        distance = self._norms["distance"]
        distance[0] = max(way, float(distance[0]))
        self._move_point()

    def _move_point(self) -> None:
        """Write where the next gradient is taken."""
        near = self._optimizer.nearness
        np.multiply(self._iterate, 1 - near, out=self._near)
        self._axpy(self._averaged.reshape(-1), self._near.reshape(-1), a=near)

    def _gathered(self, rows: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Where each row starts, and the features and values of all elements."""
        X = self.problem.X
        data = X.data if self._kept is None else self._kept
        dtype = X.indices.dtype
        starts = np.zeros(len(rows) + 1, dtype)
        np.cumsum(X.indptr[rows + 1] - X.indptr[rows], out=starts[1:])
        columns, values = np.empty(starts[-1], dtype), np.empty(starts[-1], data.dtype)
        csr_row_index(len(rows), rows.astype(dtype), X.indptr, X.indices, data, columns, values)
        return starts, columns, self._scaled(values, columns) if self._kept is None else values

    def _scaled(self, data: Array, columns: Array) -> Array:
        """Stored elements in the coordinates of the step."""
        values = data.astype(self.problem.dtype)
        if self._has_full_columns:
            values -= self._subtracted.take(columns)
        values *= self._inverse_scales[0, 0].take(columns)
        return values


def _losses_of_two(scores: NDArray[Any], codes: NDArray[np.int32]) -> NDArray[Any]:
    """The losses of rows of two classes whose scores are s and -s, from those of the second."""
    # By how much the score of the target is above the other one.
    margin = scores * (4 * codes - 2).astype(scores.dtype)
    losses: NDArray[Any] = np.log1p(np.exp(-abs(margin)))
    losses -= np.minimum(margin, 0)
    return losses
