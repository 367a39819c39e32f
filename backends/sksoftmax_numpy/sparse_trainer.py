"""The lazy updates of sparse rows, tuned for NumPy and SciPy.

Reading and writing the parts of a batch's places are products with a sparse matrix of one
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
        n_places, n_parts, n_classes = self._parts.shape
        group = self._group[places]
        factors = self._reads[t].take(group, axis=0)
        count, n_modes = factors.shape
        columns = places[:, None] * n_parts + np.arange(n_modes, dtype=places.dtype)
        weights = np.zeros((count, n_classes), self._parts.dtype)
        csr_matvecs(
            count,
            n_places * n_parts,
            n_classes,
            np.arange(0, count * n_modes + 1, n_modes, dtype=columns.dtype),
            columns.reshape(-1),
            factors.reshape(-1),
            self._parts.reshape(-1),
            weights.reshape(-1),
        )
        return weights, group

    def _write(self, t: int, places: Array, parts: Array, change: Array) -> None:
        n_places, n_parts, n_classes = self._parts.shape
        factors = self._writes[t].take(parts, axis=0)
        count = len(places)
        rows = places[:, None] * n_parts + np.arange(n_parts, dtype=places.dtype)
        csc_matvecs(
            n_places * n_parts,
            count,
            n_classes,
            np.arange(0, count * n_parts + 1, n_parts, dtype=rows.dtype),
            rows.reshape(-1),
            factors.reshape(-1),
            change.reshape(-1),
            self._parts.reshape(-1),
        )
