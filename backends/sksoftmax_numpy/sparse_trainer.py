"""The lazy updates of sparse rows, tuned for NumPy and SciPy.

Reading and writing the parts of a batch's features are products with a sparse matrix of one
row for each of them: SciPy's kernels then go through memory once, where indexing, scaling
and adding would do so three times.
"""

from __future__ import annotations

import numpy as np

# Private, but as old as SciPy: its public products always return a new array, here one of
# all features, where a step must add to a few rows of one.
from scipy.sparse._sparsetools import csc_matvecs, csr_matvecs

from sksoftmax.lazy_trainer import LinearTrainer
from sksoftmax.problem import Array


class NumpyLinearTrainer(LinearTrainer):
    """LinearTrainer with SciPy's kernels."""

    def _read(self, t: int, places: Array) -> tuple[Array, Array]:
        group = self._group.take(places)
        factors = self._reads[t].take(group, axis=0)
        count, n_modes = factors.shape
        flat, n_flat, columns, starts = self._elements(places, n_modes)
        n_classes = self._parts.shape[2]
        weights = np.zeros((count, n_classes), flat.dtype)
        csr_matvecs(
            count, n_flat, n_classes, starts, columns, factors.ravel(), flat, weights.ravel()
        )
        return weights, group

    def _write(self, t: int, places: Array, parts: Array, change: Array) -> None:
        factors = self._writes[t].take(parts, axis=0)
        flat, n_flat, rows, starts = self._elements(places, factors.shape[1])
        count, n_classes = change.shape
        csc_matvecs(
            n_flat, count, n_classes, starts, rows, factors.ravel(), change.ravel(), flat
        )

    def _elements(self, places: Array, count: int) -> tuple[Array, int, Array, Array]:
        """The parts as one long list of rows; those of some places; where each place starts."""
        n_places, n_parts, _ = self._parts.shape
        n_flat = n_places * n_parts
        dtype = np.int32 if n_flat <= np.iinfo(np.int32).max else np.int64
        rows = (places * n_parts).astype(dtype)[:, None] + np.arange(count, dtype=dtype)
        starts = np.arange(0, count * len(places) + 1, count, dtype=dtype)
        return self._parts.reshape(-1), n_flat, rows.reshape(-1), starts
