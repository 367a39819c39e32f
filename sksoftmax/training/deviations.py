"""How far features lie from their means, on a bounded random sample of rows.

Coordinates of steps follow from it, where a standard deviation does not say enough. This module
must not know labels, models or steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.statistics import computing_namespace
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import elements_a_row, is_csr

SAMPLE_ROWS = 512
"""Most rows from which deviations are estimated."""

SAMPLE_ELEMENTS = 2**22
"""Most elements of those rows, unless that leaves fewer than 32 of them."""


@dataclass(frozen=True)
class Deviations:
    """How far features lie above and below their means, in the mean over sampled rows.

    Parameters
    ----------
    above, below : ndarrays of shape (n_features,), float64
        Weighted means of the deviations to either side, 0 for rows on the other one.
    agreement : ndarray of shape (n_features,), float64
        How often two rows have one value; 1 where there was a single row.
    weight : float
        Sum of the weights of all rows that the sample stands for.
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    agreement: NDArray[np.float64]
    weight: float

    def merge(self, other: Deviations) -> Deviations:
        """Return the deviations of both samples together.

        Parameters
        ----------
        other : Deviations
            Of other rows, from the means of that time.

        Returns
        -------
        Deviations
            Weighted means.
        """
        weight = self.weight + other.weight
        share = other.weight / weight

        def mean(mine: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
            return mine + share * (others - mine)

        return Deviations(
            mean(self.above, other.above),
            mean(self.below, other.below),
            mean(self.agreement, other.agreement),
            weight,
        )

    @property
    def absolute(self) -> NDArray[np.float64]:
        """The mean absolute deviation.

        Over all rows both sides are equal. A sample that misses the few rows in which a rare
        feature is large still sees the other side.
        """
        return 2 * np.maximum(self.above, self.below)


def measure_deviations(
    backend: Backend,
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    means: NDArray[np.float64],
    rng: np.random.Generator,
) -> Deviations:
    """Measure how far features lie from their means, on a bounded random sample of rows.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_rows, n_features)
        Rows in the caller's units.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones of 1.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.
    means : ndarray of shape (n_features,), float64
        Of the features.
    rng : numpy.random.Generator
        Draws the sample.

    Returns
    -------
    Deviations
        Whose weight is that of all rows.
    """
    size = min(SAMPLE_ROWS, max(32, SAMPLE_ELEMENTS // elements_a_row(X)))
    chosen, total = sampled_rows(X, rows, size, rng), _total_weight(X, weights, rows)
    x = X[chosen]
    xp = computing_namespace(backend, x)
    centre = xp.asarray(means)
    w = weights_of(chosen, weights)
    w = xp.asarray(w / w.sum())
    # Each row of the first half of the sample beside one of the second half.
    n_pairs = len(chosen) // 2
    first, second = x[:n_pairs], x[n_pairs : 2 * n_pairs]
    if is_csr(x):
        # Every row as if it held no element, and then what its elements change.
        above, below = xp.maximum(-centre, 0), xp.maximum(centre, 0)
        elements = x.tocoo()
        columns, of_element = elements.col, w[elements.row]
        deviation = elements.data.astype(np.float64) - centre[columns]
        more_above = of_element * (xp.maximum(deviation, 0) - above[columns])
        more_below = of_element * (xp.maximum(-deviation, 0) - below[columns])
        above = above + xp.bincount(columns, more_above, minlength=len(means))
        below = below + xp.bincount(columns, more_below, minlength=len(means))
        apart = (first.astype(np.float64) - second.astype(np.float64)).tocoo()
        differ = xp.bincount(apart.col, apart.data != 0, minlength=len(means))
    else:
        deviation = xp.asarray(x, dtype=np.float64) - centre
        above = w @ xp.maximum(deviation, 0)
        below = above - w @ deviation  # since deviations add up to above minus below
        differ = (first != second).sum(axis=0)
    sides = xp.stack([above, below, xp.asarray(differ, dtype=np.float64)])
    above, below, differ = backend.to_numpy(sides).astype(np.float64, copy=False)
    agreement = 1 - differ / max(1, n_pairs)
    return Deviations(np.maximum(above, 0), np.maximum(below, 0), agreement, total)


def sampled_rows(
    X: Array,
    rows: NDArray[np.int64] | None,
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return numbers of at most so many of the rows that count, in ascending order.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        All rows.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.
    size : int
        How many.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    ndarray of int64
        Each at most once.
    """
    count = X.shape[0] if rows is None else len(rows)
    chosen = np.sort(rng.choice(count, min(count, size), replace=False, shuffle=False))
    return chosen if rows is None else rows[chosen]


def weights_of(chosen: NDArray[np.int64], weights: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the weights of some rows.

    Parameters
    ----------
    chosen : ndarray of int64
        Which rows.
    weights : ndarray of shape (n_rows,), or None
        Of all rows; None for equal ones of 1.

    Returns
    -------
    ndarray, float64
        A weight for each of them.
    """
    return np.ones(len(chosen)) if weights is None else weights[chosen].astype(np.float64)


def _total_weight(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> float:
    """The weight of the rows that count."""
    if weights is not None:
        return float(weights.sum(dtype=np.float64))
    return float(X.shape[0] if rows is None else len(rows))
