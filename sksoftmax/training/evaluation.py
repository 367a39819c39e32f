"""Means of what a trainer measures over the rows that count, in blocks that may be copied.

This module must not know what is measured, nor why it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import row_blocks
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets

EVALUATION_ELEMENTS = 2**20
"""Numbers in the rows that are taken out of X at once to be measured."""

Measure = Callable[[Array, NDArray[np.int32], NDArray[Any] | None], NDArray[np.float64]]
"""Rows, class codes and weights in, weighted means over these rows out."""


def mean_over_rows(measure: Measure, X: Array, targets: Targets) -> NDArray[np.float64]:
    """Return the weighted mean, over the rows that count, of what is measured.

    Parameters
    ----------
    measure : callable
        Returns the weighted means over the rows that it is given with their class codes and
        weights, in one array; weights are None where all are equal.
    X : array of shape (n_rows, n_features)
        What the backend's ``place`` returned.
    targets : Targets
        Labels and weights of the rows.

    Returns
    -------
    ndarray, float64
        Of the shape that `measure` returns.
    """
    if targets.rows is None and not isinstance(X, StoredRows):
        return measure(X, targets.codes, targets.weights)
    sums = np.zeros(())
    for rows in row_blocks(X, targets.rows, EVALUATION_ELEMENTS):
        codes = targets.codes[rows]
        weights = None if targets.weights is None else targets.weights[rows]
        total = len(codes) if weights is None else weights.sum()
        sums = sums + measure(X[rows], codes, weights) * (total / targets.total_weight)
    return sums
