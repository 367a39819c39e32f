"""The gradient of a minibatch, tuned for NumPy and one model.

A batch is worked on in tiles of rows, from being gathered to the gradient. Where OpenBLAS has
kernels for small matrices, tiles are small enough for them: on products this skinny they run
2 to 3 times faster than the general ones, for which tiles are only kept from being large.
One extra row of each tile holds the means: the forward product then yields ``coef @
means`` and the backward one centres the gradient, where each would be a pass of its own.

Where the time of a step goes (MNIST, float32, batches of 100, everything on, one core of an
AMD EPYC Zen 4, microseconds):

=========================  ===
gathering shuffled rows     39
the two matrix products     35
softmax and residual        21
update, penalty, average    22
=========================  ===
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, ArrayTrainer, Problem, State, threadpool_controller
from sksoftmax_numpy.distance import DistanceOfOneModel

SMALL_PRODUCT = 10**6
"""Most multiplications of a product for which OpenBLAS takes its small-matrix kernels."""

SMALL_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""Its names for processors of x86 that have them: for AVX-512."""

TILE_BYTES = 2**20
"""Most bytes of a tile elsewhere."""

LEAST_TILE = 64
"""Fewest rows for which tiles pay; wider problems take a batch at once."""


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
        self._tile = _tile_rows(problem)
        self._tail = 0 if self._means is None else 1
        self._width = self._tile + self._tail
        self._x = np.empty((self._width, n), problem.dtype)
        self._z = np.empty((k, self._width), problem.dtype)
        self._gradient = np.zeros((1, k, n + 1), problem.dtype)
        self._tile_gradient = np.zeros((k, n + 1), problem.dtype)
        self._coef, self._intercept = self._point[0, :, :n], self._point[0, :, n:]
        self._mean_row = self._means
        self._positions = np.zeros(0, np.int64)
        self._copies_whole_rows = (
            problem.X.flags.c_contiguous and problem.X.dtype == problem.dtype
        )

    def _set_scales(self) -> None:
        super()._set_scales()
        if self.problem.rule.finds_steps:
            self._optimizer = DistanceOfOneModel(self.problem, np)

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`; unshuffled rows are read where they lie."""
        self._consecutive = _is_run(order)
        self._n_done = 0
        # Where the target class of each row stands in the flattened (classes, width) scores.
        self._targets = self._y.take(order) * np.int64(self._width)
        self._targets += self._position_in_tile(len(order))
        self._row_weights = None if self._weights is None else self._weights.take(order)
        self._row_sums = np.empty(len(order), self.problem.dtype)
        self._row_scores = np.empty(len(order), self.problem.dtype)
        self._add_steps(0.0, order, step_sizes)
        losses = np.log(self._row_sums, out=self._row_sums)
        losses -= self._row_scores
        if self._row_weights is not None:
            losses *= self._row_weights
        return np.array([losses.sum(dtype=np.float64) / max(1, len(losses))])

    def _position_in_tile(self, n_rows: int) -> NDArray[np.int64]:
        """Where in its tile of its batch each row of an order stands."""
        if self.batch_ends is None:
            if len(self._positions) != n_rows:  # of another part of an epoch
                in_batch = np.arange(self.problem.batch_size) % self._tile
                self._positions = np.resize(in_batch, n_rows)
            return self._positions
        position = np.arange(n_rows)
        sizes = np.diff(self.batch_ends, prepend=0)
        return (position - np.repeat(self.batch_ends - sizes, sizes)) % self._tile

    def _summed_gradient(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        total = self._gradient[0]
        self._write_gradient(rows[: self._tile], total)
        for start in range(self._tile, len(rows), self._tile):
            self._write_gradient(rows[start : start + self._tile], self._tile_gradient)
            total += self._tile_gradient
        return self._gradient, 0.0  # run_epoch takes the losses of all rows at once

    def _write_gradient(self, rows: NDArray[np.int64], gradient: NDArray[Any]) -> None:
        """Write the summed gradient of one tile of rows."""
        count, n = len(rows), self.problem.n_features
        x = self._gather(rows)
        z = self._z if len(x) == self._width else self._z[:, : len(x)]
        np.matmul(self._coef, x.T, out=z)
        logits = z[:, :count] if self._tail else z
        if self._tail:
            logits += self._intercept - z[:, count:]
        elif self.problem.fit_intercept:
            logits += self._intercept
        self._softmax_minus_targets(logits)
        if self.problem.fit_intercept:
            np.add.reduce(logits, axis=1, out=gradient[:, n])
        if self._tail:
            # Not np.negative: NumPy 2.4 misreads some strided inputs in it.
            np.multiply(gradient[:, n], -1, out=z[:, count])
        np.matmul(z, x, out=gradient[:, :n])

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows in the dtype of the arithmetic, followed by the means when centring."""
        X, count = self.problem.X, len(rows)
        if self._consecutive:
            first = rows[0] if count else 0  # of a share of a batch that may be empty
            run = X[first : first + count]
            if self._copies_whole_rows and not self._tail:
                return run  # type: ignore[no-any-return]
            self._x[:count] = run
        elif self._copies_whole_rows:
            # "clip" skips a check of indices that the estimator drew itself.
            X.take(rows, axis=0, out=self._x[:count], mode="clip")
        else:
            self._x[:count] = X[rows]
        if self._tail:
            self._x[count] = self._mean_row
        return self._x[: count + self._tail]

    def _softmax_minus_targets(self, logits: NDArray[Any]) -> None:
        """Turn logits, a view into z, into weighted residuals; note what the loss needs."""
        done = slice(self._n_done, self._n_done + logits.shape[1])
        self._n_done = done.stop
        flat = self._z.reshape(-1)
        targets = self._targets[done]
        logits -= np.maximum.reduce(logits, axis=0, out=self._row_sums[done])
        flat.take(targets, out=self._row_scores[done], mode="clip")
        np.exp(logits, out=logits)
        logits /= np.add.reduce(logits, axis=0, out=self._row_sums[done])
        flat[targets] -= 1
        if self._row_weights is not None:
            logits *= self._row_weights[done]


def _is_run(order: NDArray[np.int64]) -> bool:
    """Whether rows are taken as they lie; most other orders are told by their ends."""
    if len(order) == 0 or order[-1] - order[0] != len(order) - 1:
        return False
    return bool((np.diff(order) == 1).all())


def _tile_rows(problem: Problem) -> int:
    """Rows of a tile: equal parts of a batch, each a small product, where that pays."""
    size = max(1, min(problem.batch_size, int(problem.X.shape[0])))
    if _has_small_kernels():
        most = SMALL_PRODUCT // (problem.n_classes * problem.n_features) - 1
    else:
        most = TILE_BYTES // (problem.n_features * problem.dtype.itemsize)
    if most < LEAST_TILE:
        return size
    n_tiles = -(-size // most)
    return -(-size // n_tiles)


@cache
def _has_small_kernels() -> bool:
    """Whether the BLAS is one that runs small products by kernels of their own."""
    libraries = threadpool_controller().info()
    return any(library.get("architecture") in SMALL_KERNELS for library in libraries)
