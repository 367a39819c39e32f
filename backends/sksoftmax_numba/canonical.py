"""Arrays as kernels take them: of few types, since for each type kernels are compiled anew.

Numba tells read-only from other arrays, rows in order from columns in order and from slices,
and truth values from bytes, and has no float16. What a kernel reads is handed to it read-only,
whosever it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax_numba.half import HALF

SEEN_AS: dict[str, np.dtype[Any]] = {"?": np.dtype(np.uint8), "e": HALF}
"""Dtypes that kernels see as others of the same size, by their characters."""


def rows_of(X: NDArray[Any]) -> NDArray[Any]:
    """Return dense rows as kernels take them.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Of any layout.

    Returns
    -------
    ndarray of shape (1 or 2, n_rows, n_features)
        The same memory, read-only; a copy if it is not aligned. X is the first along the first
        axis. There are two where rows are not contiguous: Numba has but one type for these.
        float16 is seen as `HALF`, and truth values as bytes.
    """
    X = np.require(X, requirements="A")
    X = X.view(SEEN_AS[X.dtype.char]) if X.dtype.char in SEEN_AS else X
    count = 1 if X.flags.c_contiguous else 2
    return np.broadcast_to(X, (count, *X.shape))


def to_read(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that a kernel reads: contiguous, aligned and read-only.

    Parameters
    ----------
    array : ndarray
        Of any layout.

    Returns
    -------
    ndarray
        A view; a copy if need be.
    """
    view = np.require(array, requirements=("C", "A")).view()
    view.flags.writeable = False
    return view


def unsigned(array: NDArray[Any]) -> NDArray[Any]:
    """Return indices, none of them negative, without the sign that a kernel would look for.

    Parameters
    ----------
    array : ndarray of signed integers
        The indices.

    Returns
    -------
    ndarray
        The same memory.
    """
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))


def elements_of(X: Any) -> tuple[NDArray[Any], ...]:
    """Return the arrays of CSR rows as kernels take them.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_rows, n_features)
        The rows.

    Returns
    -------
    data, indices : ndarrays of shape (1, n_elements)
        Their memory, read-only.
    indptr : ndarray of shape (n_rows + 1,), int64
        Where each row starts.
    """
    data = X.data.view(np.uint8) if X.data.dtype == bool else X.data
    starts = X.indptr.astype(np.int64, copy=False)
    return to_read(data[None]), to_read(X.indices[None]), to_read(starts)
