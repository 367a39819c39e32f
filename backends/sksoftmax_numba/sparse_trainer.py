"""The lazy updates of sparse rows, a whole step or a whole epoch in one compiled call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, DistanceTrainer, LinearTrainer
from sksoftmax_numba import distance_kernels
from sksoftmax_numba import distance_slot_kernels as slot_kernels
from sksoftmax_numba.announcements import announced
from sksoftmax_numba.canonical import elements_of, to_read, unsigned
from sksoftmax_numba.compilation import for_python
from sksoftmax_numba.distance_epoch import rules_of
from sksoftmax_numba.sparse_kernels import lazy_step

add_up = for_python(slot_kernels.add_up)
apply_product = for_python(slot_kernels.apply_product)

FEW_CLASSES = 64
"""Most classes for whose number kernels are compiled."""

SECONDS = 5
"""About what compiling for another number of classes takes."""


def class_tuple(n_classes: int) -> Any:
    """Return what says by its length how many classes there are.

    Parameters
    ----------
    n_classes : int
        How many.

    Returns
    -------
    tuple or ndarray
        A tuple, whose length is known to the compiler, where they are few. Its elements are
        empty: only their number matters.
    """
    return ((),) * n_classes if n_classes <= FEW_CLASSES else np.empty(n_classes, np.int8)


def most_elements(X: Any, order: NDArray[np.int64], batch_size: int) -> int:
    """Return how many elements the largest of some batches has.

    Parameters
    ----------
    X : CSR matrix or array
        All rows.
    order : ndarray of int64
        Rows, batch after batch.
    batch_size : int
        Rows of a batch.

    Returns
    -------
    int
        Stored elements; 0 where there is no row.
    """
    if len(order) == 0:
        return 0
    lengths = (X.indptr[order + 1] - X.indptr[order]).astype(np.int64)
    return int(np.add.reduceat(lengths, range(0, len(order), batch_size)).max())


class NumbaLinearTrainer(LinearTrainer):
    """LinearTrainer with a compiled step."""

    _n_elements = -1  # that the buffers have room for

    def _lazy_step(self, t: int, rows: Array, step: float) -> Array:
        problem = self.problem
        n_parts, n_classes = self._parts.shape[1:]
        n_elements = int((problem.X.indptr[rows + 1] - problem.X.indptr[rows]).sum())
        if n_elements > self._n_elements:
            self._allocate(n_elements)
        with announced(SECONDS):
            loss = lazy_step(
                *self._lengths, to_read(rows), self._codes, self._row_weights, self._elements,
                self._slot, self._inverse_step_scale,
                self._parts.reshape(-1, n_parts * n_classes), self._group, self._reads[t],
                self._writes[t], self._intercepts[0].reshape(-1),
                problem.dtype.type(-step / problem.batch_size), self._position, self._buffers,
            )  # fmt: skip
        self._n_steps += 1
        if problem.fit_intercept:
            self._step_intercepts(self._buffers[-1][None, :, None].copy())
        return np.array([loss])

    def _allocate(self, n_elements: int) -> None:
        """Buffers for batches of so many stored elements, with some room to spare."""
        problem, dtype = self.problem, self.problem.dtype
        self._n_elements = n_elements + n_elements // 4
        weights = np.zeros(0, dtype) if self._weights is None else self._weights
        self._row_weights, self._codes = to_read(weights), to_read(self._y)
        self._elements = elements_of(problem.X)
        n_modes, n_parts = self._reads.shape[2], self._parts.shape[1]
        classes = class_tuple(problem.n_classes)
        self._lengths = classes, ((),) * n_modes, ((),) * n_parts
        self._buffers = (
            np.empty(self._n_elements, np.int64),
            np.empty(self._n_elements, self._position.dtype),
            np.empty(self._n_elements, dtype),
            np.empty((self._n_elements, problem.n_classes), dtype),
            np.empty((problem.batch_size, problem.n_classes), dtype),
            np.empty(problem.n_classes, dtype),
        )


class NumbaDistanceTrainer(DistanceTrainer):
    """DistanceTrainer with a compiled epoch."""

    def _assign_slots(self, weighty: NDArray[np.bool_] | None) -> None:
        super()._assign_slots(weighty)
        problem = self.problem
        layout = slot_kernels.slots_dtype(problem.dtype)
        self._of_slot = np.zeros((1, len(self._features)), layout)
        self._of_slot["group"], self._of_slot["centre"] = self._group, self._centre
        self._of_slot["subtracted"] = 0 if self._subtracted is None else self._subtracted
        self._of_slot["inverse_scale"] = self._inverse_step_scale
        self._slot = unsigned(self._slot.astype(problem.X.indices.dtype))
        self._class_tuple = class_tuple(problem.n_classes)
        weights = np.zeros(0, problem.dtype) if self._weights is None else self._weights
        self._row_weights, self._codes = to_read(weights), to_read(self._y)
        data, indices, starts = elements_of(problem.X)
        self._elements = data, unsigned(indices), unsigned(starts)

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, all of them in one compiled call."""
        problem = self.problem
        size, norms = problem.batch_size, self._norms
        numbers = np.array([norms[name][0] for name in self._optimizer.norm_names])
        last_scales = float(self._scales[0, 0, -1]), float(self._inverse_scales[0, 0, -1])
        intercepts = self._intercepts.reshape(2, -1)
        with announced(SECONDS):
            self._begin_run(step_sizes[0])
            loss = distance_kernels.run_batches(
                self._class_tuple, to_read(unsigned(order)), to_read(step_sizes[0]), size,
                self._n_steps, self._codes, self._row_weights, self._elements, self._slot,
                self._of_slot, self._flat_parts(), self._law_arrays(), intercepts, numbers,
                rules_of(problem)[0], last_scales, *self._buffers(order),
            )  # fmt: skip
            self._end_run()
        self._norms = {
            name: numbers[i : i + 1] for i, name in enumerate(self._optimizer.norm_names)
        }
        self._n_steps += step_sizes.shape[1]
        return np.array([loss / max(1, len(order))])

    def _penalty(self) -> Array:
        with announced(SECONDS):
            squares = slot_kernels.squared_point(
                self._class_tuple, self._flat_parts(), self._scale_in_units, self._law.nearness
            )
        return self.problem.l2 / 2 * squares

    def _begin_run(self, step_sizes: NDArray[np.float64]) -> int:
        slot_kernels.begin(self._class_tuple, self._flat_parts(), self._step_scale_in_units)
        self._add_up()
        return len(step_sizes)

    def _end_run(self) -> None:
        self._apply_product()
        slot_kernels.end(self._class_tuple, self._flat_parts(), self._step_scale_in_units)

    def _add_up(self) -> None:
        arguments = self._flat_parts(), self._of_slot, self._law_arrays()
        add_up(self._class_tuple, *arguments)

    def _apply_product(self) -> None:
        arguments = self._flat_parts(), self._of_slot, self._law_arrays()
        apply_product(self._class_tuple, *arguments)

    def _flat_parts(self) -> NDArray[Any]:
        """The parts as one row for each slot."""
        parts: NDArray[Any] = self._parts.reshape(len(self._parts), 2 * self.problem.n_classes)
        return parts

    def _law_arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays of the law, in the order that kernels expect."""
        law = self._law
        return (
            law.product, law.shift, law.squares, law.centre_sums, law.centre_squares,
            law.decay, law.moves,
        )  # fmt: skip

    def _buffers(self, order: NDArray[np.int64]) -> tuple[tuple[NDArray[Any], ...], ...]:
        """Room for the batches of an epoch: for what is read of them, and what is computed."""
        problem, dtype = self.problem, self.problem.dtype
        n_elements = most_elements(problem.X, order, problem.batch_size)
        n_slots = min(n_elements, len(self._features))
        batch = (
            np.empty(n_slots, np.uint64),
            np.empty(n_slots, np.uint32),
            np.empty(n_slots, dtype),
            np.empty(n_elements, np.uint32),
            np.empty(n_elements, dtype),
        )
        computed = (
            np.empty((n_slots, problem.n_classes), dtype),
            np.empty((n_slots, problem.n_classes), dtype),
            np.empty((problem.batch_size, problem.n_classes), dtype),
        )
        return batch, computed
