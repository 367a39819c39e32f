"""The gradient of a minibatch, tuned for NumPy and one model.

A batch is worked on in tiles of rows, from being gathered to the gradient. Where OpenBLAS has
kernels for small matrices, tiles are small enough for them: on products this skinny they run
2 to 3 times faster than the general ones, for which tiles are only kept from being large.
One extra row of each tile holds the means with the opposite sign: the forward product then
yields ``-coef @ means`` and the backward one centres the gradient, where each would be a pass
of its own.

Where the time of a step goes (MNIST, float32, the default batches of 256, one core of an AMD
EPYC, Zen 5, microseconds):

===================================  ===
gathering shuffled rows               67
the two matrix products, intercepts   55
softmax and residual                  23
update                                21
===================================  ===
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

FEW_WEIGHTS = 2**16
"""Most weights that stay in a processor's cache, with several arrays as large."""


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

    _distance_rule = DistanceOfOneModel

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
        if self._means is not None:
            self._minus_means = -self._means
            self._x[self._tile] = self._minus_means
        self._positions = np.zeros(0, np.int64)
        self._copies_whole_rows = (
            problem.X.flags.c_contiguous and problem.X.dtype == problem.dtype
        )

    def _set_scales(self) -> None:
        super()._set_scales()
        self._inverse_scales = self._for_each_class(self._inverse_scales)
        self._gradient_scales = self._for_each_class(self._gradient_scales)
        if self._decay is not None:
            self._decay = self._for_each_class(self._decay)
        if self.problem.rule.finds_steps:
            self._scales = self._for_each_class(self._scales)

    def _for_each_class(self, row: NDArray[Any]) -> NDArray[Any]:
        """The same factors for each class, written out where they are few.

        Arrays of one shape NumPy multiplies in half the time of a row that it has to repeat.
        """
        n_classes = self.problem.n_classes
        return np.repeat(row, n_classes, axis=1) if n_classes * row.size <= FEW_WEIGHTS else row

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`; unshuffled rows are read where they lie."""
        self._consecutive = _is_run(order)
        self._n_done = 0
        self._row_weights = None if self._weights is None else self._weights.take(order)
        self._begin_epoch(order)
        self._add_steps(0.0, order, step_sizes)
        losses = self._losses()
        if self._row_weights is not None:
            losses *= self._row_weights
        return np.array([losses.sum(dtype=np.float64) / max(1, len(losses))])

    def _begin_epoch(self, order: NDArray[np.int64]) -> None:
        """Lay out what is known, and what will be noted, of each row of an epoch."""
        # Where the target class of each row stands in the flattened (classes, width) scores.
        self._targets = self._y.take(order) * np.int64(self._width)
        self._targets += self._position_in_tile(len(order))
        self._row_sums = np.empty(len(order) + self._tail, self.problem.dtype)
        self._row_scores = np.empty(len(order), self.problem.dtype)

    def _losses(self) -> NDArray[Any]:
        """The loss of each row of the epoch, before its weight."""
        losses: NDArray[Any] = np.log(self._row_sums[: len(self._row_scores)])
        losses -= self._row_scores
        return losses

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
        if self._tail:
            z += self._intercept + z[:, count:]
        elif self.problem.fit_intercept:
            z += self._intercept
        self._softmax_minus_targets(z, count)
        if self.problem.fit_intercept:
            np.add.reduce(z[:, :count], axis=1, out=gradient[:, n])
        if self._tail:
            z[:, count] = gradient[:, n]
        np.matmul(z, x, out=gradient[:, :n])

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows in the dtype of the arithmetic, and when centring a row of -means."""
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
        if self._tail and count < self._tile:  # behind a whole tile, it always stands
            self._x[count] = self._minus_means
        return self._x[: count + self._tail]

    def _softmax_minus_targets(self, z: NDArray[Any], count: int) -> None:
        """Turn the scores of so many rows into weighted residuals; note what the loss needs.

        The column of the means goes along until it is written over: NumPy is faster on an
        array than on a part of its columns.
        """
        done = slice(self._n_done, self._n_done + count)
        self._n_done = done.stop
        sums = self._row_sums[done.start : done.start + z.shape[1]]
        flat, targets = self._z.reshape(-1), self._targets[done]
        z -= np.maximum.reduce(z, axis=0, out=sums)
        flat.take(targets, out=self._row_scores[done], mode="clip")
        np.exp(z, out=z)
        z /= np.add.reduce(z, axis=0, out=sums)
        flat[targets] -= 1
        if self._row_weights is not None:
            z[:, :count] *= self._row_weights[done]


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
