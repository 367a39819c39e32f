"""A trainer for dense rows and one model that runs compiled kernels.

SGD with momentum and the rule that finds its own steps take a whole epoch in one call, which
several threads can share; Adam, an absolute penalty and several machines take their gradients
from the kernels and their updates from the core. What is compiled for a dtype is kept on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, ArrayTrainer, DistanceOverGradients, averaging_weight
from sksoftmax_numba import distance_epoch, epoch, kernels, residuals
from sksoftmax_numba.announcements import announced
from sksoftmax_numba.canonical import rows_of, to_read
from sksoftmax_numba.compilation import for_python
from sksoftmax_numba.distance_epoch import n_ranges_of, rules_of
from sksoftmax_numba.epoch import n_parts_of
from sksoftmax_numba.kernels import ROWS
from sksoftmax_numba.threads import run_in_threads

copy_point = for_python(distance_epoch.copy_point)
whole_step = for_python(distance_epoch.whole_step)
momentum_step = for_python(epoch.momentum_step)
copy_coefficients = for_python(kernels.copy_coefficients)
gather = for_python(kernels.gather)
softmax_minus_targets = for_python(residuals.softmax_minus_targets)
summed_gradient = for_python(kernels.summed_gradient)

BLOCK_BYTES = 2**18
"""Bytes of rows in a block: they stay in the second-level cache between both products."""

BLOCK_BYTES_OF_TWO = 2**15
"""The same for two classes: so little is computed with a row that the first level pays."""

MANY_PARAMETERS = 2**16
"""Weights from which a BLAS, which knows large caches better, computes the products."""

THREADED_OPERATIONS = 10**7
"""Multiplications, about a millisecond's work, from which starting threads pays."""

LINE = 64
"""Bytes of a cache line, and of the widest vectors."""

AT_THE_ITERATE = np.array([1.0, 0.0, 0.0])
"""What `rules_of` returns for a rule whose gradients are taken at the iterate itself."""

ROWS_OF_FLOAT32 = 2**13
"""Rows over which a gradient is added up in float32. What they come to is added in float64."""

SECONDS = 5
"""About what compiling an epoch takes."""


class NumbaTrainer(ArrayTrainer):
    """ArrayTrainer for one model on dense rows, with compiled gradients and updates.

    Parameters
    ----------
    problem, state
        As in ArrayTrainer; ``problem.n_models`` is 1 and its X dense.
    """

    _is_new = _is_compiled = True
    _uses_blas = False

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, in one compiled call if the rule has one."""
        if self._is_new:
            self._allocate()
        if not self._is_compiled:
            return super().run_epoch(order, step_sizes)
        finds_steps = isinstance(self._optimizer, DistanceOverGradients)
        run = self._run_own_steps if finds_steps else self._run_momentum
        with announced(SECONDS):
            loss = run(to_read(order), step_sizes[0])
        self._n_steps += step_sizes.shape[1]
        return np.array([loss / max(1, len(order))])

    def _run_momentum(self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]) -> float:
        """Take the steps of SGD with momentum; return the summed loss."""
        problem, n_batches = self.problem, len(step_sizes)
        newest = np.zeros(n_batches)
        if problem.average:
            newest[:] = [averaging_weight(self._n_steps + 1 + i) for i in range(n_batches)]
        velocity = self._memory.get("velocity", self._nothing)[0]
        average = (self._average if problem.average else self._nothing)[0]
        arrays = self._parameters[0], velocity, average
        steps, newest = self._float(step_sizes), self._float(newest)
        momentum = problem.dtype.type(problem.rule.momentum[0]), problem.rule.nesterov
        if not self._uses_blas:
            return self._run_threads(
                epoch.momentum_epoch, self._placed, order, self.problem.batch_size,
                self._gradients, steps, newest, *arrays, *self._factors, *momentum,
            )  # fmt: skip
        loss = 0.0
        for i, rows in enumerate(self._batches(order)):
            loss += self._write_gradient(rows)
            momentum_step(
                0, 1, *arrays, *self._gradients, *self._factors, steps[i], *momentum, newest[i]
            )
        return loss

    def _run_own_steps(self, order: NDArray[np.int64], factors: NDArray[np.float64]) -> float:
        """Take the steps of the rule that finds them; return the summed loss."""
        norms, arrays = self._norms_of_thread, (self._parameters[0], self._average[0])
        numbers = *self._factors, self._scales[0, 0], self._squares
        if self._uses_blas:
            loss, (coef, intercept, *_) = 0.0, self._buffers[0]
            for i, rows in enumerate(self._batches(order)):
                copy_point(self._rule[1], *arrays, self._centre, coef, intercept)
                loss += self._write_products(rows)
                whole_step(
                    norms[0], self._rule, factors[i], self._n_steps + i + 1, *arrays,
                    *self._gradients, coef, *numbers,
                )  # fmt: skip
        else:
            norms[1:] = norms[0]  # where the last epoch was too short for several threads
            loss = self._run_threads(
                distance_epoch.distance_epoch, self._placed, order, self.problem.batch_size,
                self._gradients, factors, self._n_steps, norms, self._rule, *arrays, *numbers,
            )  # fmt: skip
        self._set_point()
        return loss

    def _batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """The rows of each batch."""
        size = self.problem.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def _run_threads(
        self,
        run: Any,
        placed: tuple[NDArray[Any], ...],
        order: NDArray[np.int64],
        batch_size: int,
        gradients: tuple[NDArray[Any], NDArray[Any]],
        *rule: Any,
    ) -> float:
        """Run a compiled epoch in as many threads as it is worth; return the summed loss."""
        losses = np.zeros(len(gradients[0]))
        is_long = len(order) * self._parameters.size >= THREADED_OPERATIONS
        n_threads = len(self._buffers) if is_long else 1

        def share(thread: int, arrived: NDArray[np.int64]) -> None:
            run(
                thread, n_threads, arrived, *placed, order, batch_size, *rule,
                self._buffers[thread], *gradients, losses,
            )  # fmt: skip

        run_in_threads(share, n_threads)
        return float(np.add.reduce(losses))

    def loss_gradient(
        self,
        parameters: NDArray[Any],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what ArrayTrainer does, by the epoch that is compiled already where it can.

        All rows are one batch, whose step has no length: its gradient is left in the buffers.
        In float32 they are several, since sums of many numbers lose digits.
        """
        if self._is_new:
            self._allocate()
        is_exact = parameters.dtype == np.float64
        has_kernel = self._measures and parameters.dtype == self.problem.dtype
        has_kernel &= (weights is None) == (self._weights is None)
        if not has_kernel or not (is_exact or self._is_near_zero):
            return super().loss_gradient(parameters, X, y, weights)
        total = len(y) if weights is None else weights.sum()
        loss, gradient = 0.0, np.zeros(parameters.shape)
        size = max(1, len(y)) if is_exact else ROWS_OF_FLOAT32
        for start in range(0, len(y), size):
            part = slice(start, start + size)
            w = np.zeros(0) if weights is None else weights[part]
            loss += self._add_gradient(parameters[0], X[part], y[part], w, total, gradient[0])
        return np.array([loss / total]), gradient

    def _add_gradient(
        self,
        parameters: NDArray[Any],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any],
        total: float,
        gradient: NDArray[np.float64],
    ) -> float:
        """Add some rows' part of the gradient of the mean over all; return their summed loss.

        The weights of all rows add up to `total`.
        """
        n, dtype = self.problem.n_features, self.problem.dtype
        gradients, of_intercepts = self._gradients_of(len(y))
        placed = rows_of(X), to_read(y), to_read(weights.astype(dtype, copy=False))
        point, ones, order = parameters.copy(), np.ones(n + 1, dtype), np.arange(len(y))
        # A factor of 0 for the only step, no penalty, and coordinates of scale 1: what is left
        # in `gradients` is that of the mean loss, by features that are centred.
        loss = self._run_threads(
            distance_epoch.distance_epoch, placed, to_read(order), len(y),
            (gradients, of_intercepts), np.zeros(1), 0, np.ones((len(self._buffers), 3)),
            AT_THE_ITERATE, point, point.copy(), self._centre, ones / dtype.type(total),
            np.zeros(n + 1, dtype), ones, ones, np.zeros_like(self._squares),
        )  # fmt: skip
        gradient[:, :n] += gradients[0, :, :n]
        gradient[:, n] += of_intercepts.sum(axis=0) / total
        return loss

    def _write_gradient(self, rows: NDArray[np.int64]) -> float:
        """Write the gradient of a batch, not centred, into the buffers; return its loss."""
        copy_coefficients(self._point[0], self._centre, *self._buffers[0][:2])
        if self._uses_blas:
            return self._write_products(rows)
        gradient, of_intercept = (array[0] for array in self._gradients)
        return summed_gradient(
            self._X, self._codes, self._row_weights, rows, rows[:0], self._buffers[0],
            gradient, of_intercept,
        )  # fmt: skip

    def _write_products(self, rows: NDArray[np.int64]) -> float:
        """Write that gradient by a BLAS, where the weights are in the buffers already."""
        coef, intercept, x, z, *_ = self._buffers[0]
        gradient, of_intercept = (array[0] for array in self._gradients)
        gather(self._X, rows, x)
        x, z = x[: len(rows)], z[: len(rows)]
        np.matmul(x, coef.T, out=z)
        weights = self._row_weights
        weights = weights[rows] if len(weights) else weights
        loss = softmax_minus_targets(z, intercept, to_read(self._codes[rows]), to_read(weights))
        np.add.reduce(z, axis=0, out=of_intercept)
        np.matmul(z.T, x, out=gradient)
        return loss

    def _summed_gradient(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        gradient, of_intercept = (array[0] for array in self._gradients)
        n = self.problem.n_features
        with announced(SECONDS):
            loss = self._write_gradient(to_read(rows))
        centred = np.empty_like(self._parameters)
        np.subtract(gradient[:, :n], np.outer(of_intercept, self._centre), centred[0, :, :n])
        centred[0, :, n] = of_intercept
        return centred, loss

    def _allocate(self) -> None:
        """Allocate buffers, and zeros in place of arrays that the problem lacks."""
        problem, dtype = self.problem, self.problem.dtype
        n, k = problem.n_features, problem.n_classes
        lane = LINE // dtype.itemsize
        width = -(-n // lane) * lane
        self._uses_blas = n * k >= MANY_PARAMETERS
        n_parts = 1 if self._uses_blas else n_parts_of(problem.batch_size)
        most = BLOCK_BYTES_OF_TWO if k == 2 else BLOCK_BYTES
        most = max(1, most // (width * dtype.itemsize))
        most = problem.batch_size if self._uses_blas else most
        # A part is cut into the fewest blocks that fit, of nearly equal size, since each one
        # prefetches the rows of the next; a block is whole tiles.
        n_rows = -(-problem.batch_size // n_parts)
        rows = -(-n_rows // -(-n_rows // most))
        block = -(-rows // ROWS) * ROWS
        self._buffers = [
            (
                aligned_zeros((k, width), dtype),  # weights
                np.zeros(k, dtype),
                aligned_zeros((block, width), dtype),  # rows
                np.zeros((block, k) if self._uses_blas else (k, block), dtype),  # scores
                np.zeros(block, np.int32),
                np.zeros(0 if self._weights is None else block, dtype),
                np.zeros((2, block), dtype),
            )
            for _ in range(min(problem.n_threads, n_parts))
        ]
        self._gradients = self._gradients_of(1 if self._uses_blas else problem.batch_size)
        # Written to in place of a velocity or an average where there is none; never read.
        self._nothing = np.zeros_like(self._parameters)
        no_decay = np.zeros(n + 1, dtype)
        self._decays = no_decay if self._decay is None else self._decay[0, 0]
        self._centre = to_read(np.zeros(n, dtype) if self._means is None else self._means)
        weights = np.zeros(0, dtype) if self._weights is None else self._weights
        self._row_weights, self._codes = to_read(weights), to_read(self._y)
        self._X = rows_of(problem.X)
        self._placed = self._X, self._codes, self._row_weights
        self._factors = (
            self._centre, self._gradient_scales[0, 0], self._decays, self._inverse_scales[0, 0],
        )  # fmt: skip
        if isinstance(self._optimizer, DistanceOverGradients):
            self._allocate_norms()
        ours = problem.rule.name != "adam" and not problem.l1.any()
        self._is_compiled = ours and self.reduce is None
        finds_steps = isinstance(self._optimizer, DistanceOverGradients)
        self._measures = self._is_compiled and finds_steps and not self._uses_blas
        self._is_new = False

    def _gradients_of(self, n_rows: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Room for the gradients of the parts of so many rows."""
        n_parts, dtype = n_parts_of(n_rows), self.problem.dtype
        n_classes, width = self._buffers[0][0].shape
        return (
            aligned_zeros((n_parts, n_classes, width), dtype),
            np.zeros((n_parts, n_classes), dtype),
        )

    def _allocate_norms(self) -> None:
        """The norms in one array for each thread; of the first, `_norms` then has views."""
        self._rule = rules_of(self.problem)[0]
        self._norms_of_thread = np.empty((len(self._buffers), len(self._norms)))
        self._norms_of_thread[0] = np.concatenate(list(self._norms.values()))
        self._norms = dict(zip(self._norms, self._norms_of_thread[0, :, None], strict=True))
        n_shares = self.problem.n_classes * n_ranges_of(self.problem.n_features)
        self._squares = np.zeros((2, n_shares))


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros that start on a cache line, as vector loads like best.

    Parameters
    ----------
    shape : tuple of int
        The last axis fills whole lines.
    dtype : numpy dtype
        float32 or float64.

    Returns
    -------
    ndarray
        C-contiguous.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)
