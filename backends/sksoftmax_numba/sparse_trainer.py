"""The lazy updates of sparse rows, a whole step in one compiled call."""

from __future__ import annotations

import numpy as np

from sksoftmax.lazy_trainer import LinearTrainer
from sksoftmax.problem import Array
from sksoftmax_numba.compilation import announced
from sksoftmax_numba.sparse_kernels import lazy_step


class NumbaLinearTrainer(LinearTrainer):
    """LinearTrainer with a compiled step."""

    _n_elements = -1  # that the buffers have room for

    def _lazy_step(self, t: int, rows: Array, step: float) -> Array:
        problem = self.problem
        n_parts, n_classes = self._parts.shape[1:]
        n_elements = int((problem.X.indptr[rows + 1] - problem.X.indptr[rows]).sum())
        if n_elements > self._n_elements:
            self._allocate(n_elements)
        take_step = lazy_step(n_classes, self._reads.shape[2], n_parts)
        with announced(take_step, problem.X.dtype, problem.dtype):
            loss = take_step(
                rows, self._y, self._row_weights, problem.X.data, problem.X.indices,
                problem.X.indptr, self._place, self._inverse_step_scale,
                self._parts.reshape(-1, n_parts * n_classes), self._group, self._reads[t],
                self._writes[t], self._intercepts[0].reshape(-1),
                problem.dtype.type(-step / problem.batch_size), self._position, *self._buffers,
            )  # fmt: skip
        self._n_steps += 1
        if problem.fit_intercept:
            self._step_intercepts(self._buffers[-1][None, :, None].copy())
        return np.array([loss])

    def _allocate(self, n_elements: int) -> None:
        """Buffers for batches of so many stored elements, with some room to spare."""
        problem, dtype = self.problem, self.problem.dtype
        self._n_elements = n_elements + n_elements // 4
        self._row_weights = np.zeros(0, dtype) if self._weights is None else self._weights[0]
        self._buffers = (
            np.empty(self._n_elements, np.int64),
            np.empty(self._n_elements, self._position.dtype),
            np.empty(self._n_elements, dtype),
            np.empty((self._n_elements, problem.n_classes), dtype),
            np.empty((problem.batch_size, problem.n_classes), dtype),
            np.empty(problem.n_classes, dtype),
        )
