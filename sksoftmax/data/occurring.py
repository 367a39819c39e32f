"""The features that occur in sparse rows, where most do not.

Hashed words have a million columns or more, of which a fit may meet some thousands: it runs on
these alone, and the others get zeros. This module must not know what is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sksoftmax.data.arrays import Array

LEAST_SHARE = 0.5
"""Share of the features that must not occur for them to be left out."""

NUMBERS_A_WEIGHT = 4
"""About how many float64 numbers training keeps for each weight. The new column number of a
stored element takes half as much memory as one of them."""


@dataclass(frozen=True, eq=False)
class OccurringFeatures:
    """The features that occur, among all.

    Parameters
    ----------
    numbers : ndarray of shape (n_occurring,), int64
        Which they are, ascending.
    n_features : int
        How many there are with the others.
    """

    numbers: NDArray[np.int64]
    n_features: int

    def of_rows(self, X: Any) -> Any:
        """Return rows with the columns of these features alone.

        Parameters
        ----------
        X : scipy CSR matrix or array of shape (n_rows, n_features)
            Rows that hold no others.

        Returns
        -------
        scipy CSR matrix or array of shape (n_rows, n_occurring)
            Its values and row starts are those of X, in the same memory.
        """
        column = np.zeros(self.n_features, X.indices.dtype)
        column[self.numbers] = np.arange(len(self.numbers))
        shape = X.shape[0], len(self.numbers)
        return type(X)((X.data, column[X.indices], X.indptr), shape=shape)

    def narrowed(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return what an array of all features has for these.

        Parameters
        ----------
        array : ndarray of shape (..., n_features + m)
            By features; further columns, as those of intercepts, are taken along.

        Returns
        -------
        ndarray of shape (..., n_occurring + m)
            A copy.
        """
        return array[..., self._columns(array.shape[-1] - self.n_features)]

    def widened(self, array: NDArray[Any], others: float = 0.0) -> NDArray[Any]:
        """Return an array of all features, from one of these: the way back from `narrowed`.

        Parameters
        ----------
        array : ndarray of shape (..., n_occurring + m)
            By these features; further columns, as those of intercepts, are taken along.
        others : float, default=0.0
            What the other features have.

        Returns
        -------
        ndarray of shape (..., n_features + m)
            A copy.
        """
        n_further = array.shape[-1] - len(self.numbers)
        shape = *array.shape[:-1], self.n_features + n_further
        # Zeros take no memory before something is written beside them.
        wide = np.full(shape, others, array.dtype) if others else np.zeros(shape, array.dtype)
        wide[..., self._columns(n_further)] = array
        return wide

    def _columns(self, n_further: int) -> NDArray[np.int64]:
        """Where an array of all features has these, and its further columns."""
        return np.append(self.numbers, self.n_features + np.arange(n_further))


def occurring_features(
    rows: Sequence[Array], n_classes: int, others: NDArray[np.int64] | None = None
) -> OccurringFeatures | None:
    """Return the features that a fit need look at, where these are the fewer.

    Parameters
    ----------
    rows : sequence of arrays of shape (n_rows, n_features)
        All rows that it reads.
    n_classes : int
        How many weights a feature has.
    others : ndarray of int64, or None
        Numbers of features that are needed though they may not occur.

    Returns
    -------
    OccurringFeatures or None
        None where all features are to be looked at: of dense rows, of rows on a device, and
        where most features occur, or writing their columns anew would take more memory than
        leaving the other ones out can save.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sksoftmax.data.occurring import occurring_features
    >>> X = csr_array(([1.0, 2.0], [7, 3], [0, 1, 2]), shape=(2, 9))
    >>> occurring = occurring_features([X], n_classes=2)
    >>> occurring.numbers.tolist(), occurring.of_rows(X).toarray().tolist()
    ([3, 7], [[0.0, 1.0], [2.0, 0.0]])
    """
    if not all(sparse.issparse(X) for X in rows):
        return None
    occurs = np.zeros(rows[0].shape[1], dtype=bool)
    for X in rows:
        occurs[X.indices] = True
    if others is not None:
        occurs[others] = True
    occurs[0] |= not occurs.any()  # rows without any element still need a column
    n_left_out = len(occurs) - np.count_nonzero(occurs)
    n_elements = sum(X.nnz for X in rows)
    saves = n_elements / 2 <= n_left_out * n_classes * NUMBERS_A_WEIGHT
    if n_left_out < LEAST_SHARE * len(occurs) or not saves:
        return None
    return OccurringFeatures(np.flatnonzero(occurs), len(occurs))
