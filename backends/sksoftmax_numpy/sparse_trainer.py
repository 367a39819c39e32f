"""The lazy updates of sparse rows, tuned for NumPy and SciPy.

Reading and writing the parts of a batch's features are products with a sparse matrix of one
row for each of them: SciPy's kernels then go through memory once, where indexing, scaling
and adding would do so three times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Private, but as old as SciPy: its public products always return a new array, here one of
# all features, where a step must add to a few rows of one.
from scipy.sparse._sparsetools import csc_matvecs, csr_matvecs, csr_row_index

from sksoftmax.backend import Array, DistanceTrainer, LinearTrainer
from sksoftmax_numpy.distance import DistanceOfOneModel


class NumpyLinearTrainer(LinearTrainer):
    """LinearTrainer with SciPy's kernels."""

    def _read(self, t: int, slots: Array) -> tuple[Array, Array]:
        group = self._group.take(slots)
        factors = self._reads[t].take(group, axis=0)
        count, n_modes = factors.shape
        flat, n_flat, columns, starts = self._elements(slots, n_modes)
        n_classes = self._parts.shape[2]
        weights = np.zeros((count, n_classes), flat.dtype)
        csr_matvecs(
            count, n_flat, n_classes, starts, columns, factors.ravel(), flat, weights.ravel()
        )
        return weights, group

    def _write(self, t: int, slots: Array, parts: Array, change: Array) -> None:
        factors = self._writes[t].take(parts, axis=0)
        flat, n_flat, rows, starts = self._elements(slots, factors.shape[1])
        count, n_classes = change.shape
        csc_matvecs(
            n_flat, count, n_classes, starts, rows, factors.ravel(), change.ravel(), flat
        )

    def _elements(self, slots: Array, count: int) -> tuple[Array, int, Array, Array]:
        """The parts as one long list of rows; those of some slots; where each slot starts."""
        n_slots, n_parts, _ = self._parts.shape
        n_flat = n_slots * n_parts
        dtype = np.int32 if n_flat <= np.iinfo(np.int32).max else np.int64
        rows = (slots * n_parts).astype(dtype)[:, None] + np.arange(count, dtype=dtype)
        starts = np.arange(0, count * len(slots) + 1, count, dtype=dtype)
        return self._parts.reshape(-1), n_flat, rows.reshape(-1), starts


class NumpyDistanceTrainer(DistanceTrainer):
    """DistanceTrainer with SciPy's kernels; a batch is its arrays alone."""

    _distance_rule = DistanceOfOneModel

    def _assign_slots(self, weighty: NDArray[np.bool_] | None) -> None:
        super()._assign_slots(weighty)
        n_slots = len(self._features)
        dtype = np.int32 if 2 * n_slots < np.iinfo(np.int32).max else np.int64
        self._group = self._group.astype(dtype)
        self._counting = np.arange(2 * n_slots + 1, dtype=dtype)

    def _slots_and_rows(self, rows: Array) -> tuple[Array, Array]:
        X = self.problem.X
        indices, dtype = X.indices, X.indices.dtype
        starts = np.zeros(len(rows) + 1, dtype)
        np.cumsum(X.indptr[rows + 1] - X.indptr[rows], out=starts[1:])
        columns, data = np.empty(starts[-1], dtype), np.empty(starts[-1], X.dtype)
        csr_row_index(len(rows), rows.astype(dtype), X.indptr, indices, X.data, columns, data)
        of_element = self._slot.take(columns)
        number = np.arange(len(of_element), dtype=dtype)
        self._position[of_element] = number
        is_last = self._position.take(of_element) == number
        slots = of_element[is_last]
        self._position[slots] = number[: len(slots)]
        values = self._values(data, of_element)
        return slots, (starts, self._position.take(of_element), values, len(slots))

    def _batch_scores(self, x: Array, weights: Array) -> Array:
        starts, columns, values, n_slots = x
        n_classes = weights.shape[1]
        scores = np.zeros((len(starts) - 1, n_classes), weights.dtype)
        csr_matvecs(
            len(scores), n_slots, n_classes, starts, columns, values, weights.reshape(-1),
            scores.reshape(-1),
        )  # fmt: skip
        return scores

    def _batch_gradient(self, x: Array, residual: Array) -> Array:
        starts, columns, values, n_slots = x
        n_classes = residual.shape[1]
        gradient = np.zeros((n_slots, n_classes), residual.dtype)
        csc_matvecs(
            n_slots, len(residual), n_classes, starts, columns, values, residual.ravel(),
            gradient.reshape(-1),
        )  # fmt: skip
        return gradient

    def _read_point(self, slots: Array, point: NDArray[np.float64]) -> tuple[Array, Array]:
        n_slots, n_classes = len(slots), self._parts.shape[2]
        # "clip" skips a check of slots that we gave ourselves.
        parts = self._parts.reshape(len(self._parts), 2 * n_classes).take(
            slots, axis=0, mode="clip"
        )
        group = self._group.take(slots)
        weights = np.zeros((n_slots, n_classes), parts.dtype)
        starts, columns = self._counting[: n_slots + 1], self._counting[: 2 * n_slots]
        csr_matvecs(
            n_slots, 2 * n_slots, n_classes, 2 * starts, columns,
            self._float(point).take(group, axis=0).reshape(-1), parts.reshape(-1),
            weights.reshape(-1),
        )  # fmt: skip
        of_shift = self._float(point[:, None] @ self._law.shift)
        csr_matvecs(
            n_slots, len(point), n_classes, starts, group, self._centre.take(slots),
            of_shift.reshape(-1), weights.reshape(-1),
        )  # fmt: skip
        return parts.reshape(n_slots, 2, n_classes), weights

    def _write_gradient(
        self, slots: Array, parts: Array, write: NDArray[np.float64], gradient: Array
    ) -> None:
        n_slots, n_classes = gradient.shape
        factors = self._float(write).take(self._group.take(slots), axis=0)
        rows = slots.astype(self._counting.dtype)[:, None] * 2 + self._counting[:2]
        csc_matvecs(
            2 * len(self._parts), n_slots, n_classes, 2 * self._counting[: n_slots + 1],
            rows.reshape(-1), factors.reshape(-1), gradient.reshape(-1),
            self._parts.reshape(-1),
        )  # fmt: skip

    def _with_product(self, block: slice, product: Array, shift: Array) -> Array:
        group, held = self._group[block], self._parts[block]
        parts = np.zeros_like(held)
        n_slots, _, n_classes = parts.shape
        starts = 2 * self._counting[: 2 * n_slots + 1]
        columns = np.repeat(self._counting[: 2 * n_slots].reshape(-1, 1, 2), 2, axis=1)
        csr_matvecs(
            2 * n_slots, 2 * n_slots, n_classes, starts, columns.reshape(-1),
            product.take(group, axis=0).reshape(-1), held.reshape(-1), parts.reshape(-1),
        )  # fmt: skip
        csr_matvecs(
            n_slots, len(shift), 2 * n_classes, self._counting[: n_slots + 1], group,
            self._centre[block], shift.reshape(-1), parts.reshape(-1),
        )  # fmt: skip
        return parts

    def _group_sums(self, group: Array, weights: Array, arrays: Array) -> Array:
        n_groups, n_slots = len(self._law.decay), len(group)
        sums = np.zeros((n_groups, *arrays.shape[1:]), arrays.dtype)
        csc_matvecs(
            n_groups, n_slots, sums[0].size, self._counting[: n_slots + 1], group, weights,
            arrays.reshape(-1), sums.reshape(-1),
        )  # fmt: skip
        return sums
