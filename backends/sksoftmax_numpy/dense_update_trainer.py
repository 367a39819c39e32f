"""Dense updates over sparse rows, tuned for NumPy and SciPy.

A lazy step takes some seventy calls of NumPy, whose fixed cost is that of passing over tens of
thousands of weights. A step here is two products of SciPy's and a dozen passes, most of them by
the BLAS.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

# Private, but as old as SciPy: see ``sparse_trainer``.
from scipy.sparse._sparsetools import csc_matvecs, csr_matvecs, csr_row_index
from scipy.special import expit

from sksoftmax.backend import Array, DenseUpdateTrainer, Problem, State
from sksoftmax_numpy.binary_trainer import losses_of_two
from sksoftmax_numpy.distance import DistanceOfOneModel

CHUNK_ELEMENTS = 2**14
"""About how many elements of shuffled rows are gathered at once: they stay in the cache."""

MOST_ON_ONE_THREAD = 10_000
"""Most numbers of a vector that OpenBLAS works on in one thread.

Several would wait for each other for longer than they compute, and their number would set bits.
"""

MOST_OF_MATRIX = 8_192
"""Most numbers of a matrix that OpenBLAS works on in one thread, as `MOST_ON_ONE_THREAD` of a
vector."""

KEPT_ELEMENTS = 2**20
"""Most elements of all rows of which a copy is kept in the coordinates of the step."""


class NumpyDenseUpdateTrainer(DenseUpdateTrainer):
    """DenseUpdateTrainer with SciPy's products and the BLAS."""

    free_weights, weights_an_element = 2**16, 12
    _optimizer: DistanceOfOneModel
    _distance_rule = DistanceOfOneModel

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        n_features, self._n_columns = self._iterate.shape
        # As long as the weights: to repeat a number for each column takes NumPy long.
        self._decay_of_weight = np.repeat(self._decays[:, None], self._n_columns, axis=1)
        # Of two classes' gradients and averages one is computed; the other one is as long.
        self._n_copies = 2 if self._n_columns == 1 else 1
        size = MOST_ON_ONE_THREAD if self._n_columns == 1 else MOST_OF_MATRIX // self._n_columns
        size = max(1, size)
        features = [slice(start, start + size) for start in range(0, n_features, size)]
        self._pieces = [_Piece.of(self, part) for part in features]
        self._axpy, self._ger = get_blas_funcs(("axpy", "ger"), dtype=problem.dtype)
        self._has_full_columns = bool(self._subtracted.any())
        X = problem.X
        self._kept = self._scaled(X.data, X.indices) if X.nnz <= KEPT_ELEMENTS else None

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
            of_batch -= self._of_means
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
            squares = self._centred_gradient(np.add.reduce(residual, axis=0))
            self._step_along(squares, float(factors[i // size]))
        if self._n_columns == 1:
            losses = losses_of_two(2 * scores[:, 0], targets[:, 0])
        if weights is not None:
            losses *= weights
        return float(losses.sum(dtype=np.float64))

    def _centred_gradient(self, summed: NDArray[Any]) -> float:
        """Take off the gradient what centring the rows does to it; return its squared norm."""
        squares = 0.0
        for piece in self._pieces:
            if self._n_columns == 1:
                self._axpy(piece.centres, piece.change, a=-summed[0])
            else:
                self._ger(-1, summed, piece.centres, a=piece.change_by_class, overwrite_a=1)
            squares += float(piece.change.dot(piece.change))
        return self._n_copies * squares

    def _step_along(self, squares: float, factor: float) -> None:
        """Move z, the average and the point along a gradient of such a squared norm."""
        self._n_steps += 1
        step, newest = self._optimizer.step_and_weight_of_one(
            self._norms, squares, self._n_steps
        )
        distance, way = self._norms["distance"], 0.0
        for piece in self._pieces:
            self._axpy(piece.change, piece.iterate, a=-step * factor)
            np.multiply(piece.average, 1 - newest, out=piece.average)
            self._axpy(piece.iterate, piece.average, a=newest)
            way += float(piece.average.dot(piece.average))
        distance[0] = max(math.sqrt(self._n_copies * way), float(distance[0]))
        self._move_point()

    def _move_point(self) -> None:
        """Write where the next gradient is taken, and what the means add to scores there."""
        near, of_means = self._optimizer.nearness, np.zeros(self._n_columns, self._near.dtype)
        for piece in self._pieces:
            np.multiply(piece.iterate, 1 - near, out=piece.near)
            self._axpy(piece.average, piece.near, a=near)
            of_means += piece.centres.dot(piece.weights)
        self._of_means = of_means

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


class _Piece(NamedTuple):
    """Views of what a step changes of some features, so few that the BLAS takes one thread.

    All are flat, but for `weights`, the point as a matrix of more than one column, and
    `change_by_class`, the gradient transposed.
    """

    centres: NDArray[Any]
    iterate: NDArray[Any]
    average: NDArray[Any]
    near: NDArray[Any]
    change: NDArray[Any]
    weights: NDArray[Any]
    change_by_class: NDArray[Any]

    @classmethod
    def of(cls, trainer: NumpyDenseUpdateTrainer, features: slice) -> _Piece:
        """Return views of the arrays of a trainer."""
        arrays = trainer._iterate, trainer._averaged, trainer._near, trainer._change
        parts = [array[features] for array in arrays]
        iterate, average, near, change = (part.reshape(-1) for part in parts)
        weights = near if parts[2].shape[1] == 1 else parts[2]
        centres, by_class = trainer._centres[features], parts[3].T
        return cls(centres, iterate, average, near, change, weights, by_class)
