"""Whether the index arrays of a sparse matrix name elements that it has.

SciPy checks them when a matrix is built, but not after its arrays have been written to or
loaded from a damaged file. Compiled code trusts them, and would read or write beyond an array.
This module knows SciPy's formats, and not what is done with the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REMEDY = "Build it anew from its dense rows, or from its rows, columns and values."


def checked_format(X: Any) -> Any:
    """Return a sparse matrix, or raise where one of its indices is out of bounds.

    Each array of indices is read once. Nothing is written to.

    Parameters
    ----------
    X : scipy sparse matrix or array of shape (n_rows, n_features)
        In whatever format.

    Returns
    -------
    scipy sparse matrix or array
        X itself; for CSR with room at the end of its arrays, as SciPy leaves it where
        elements are eliminated, one without.

    Raises
    ------
    ValueError
        If X would make SciPy's or our own compiled code leave an array.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sksoftmax.data.sparse_format import checked_format
    >>> X = csr_array([[0.0, 1.0]])
    >>> X.indices[0] = 2
    >>> checked_format(X)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: X is a damaged CSR matrix: its column indices must lie in [0, 2). Build...
    """
    if X.ndim != 2:
        return X  # for scikit-learn to refuse
    fault = None
    if X.format in ("csr", "csc", "bsr"):
        fault = _fault_of_compressed(X)
    elif X.format == "coo":
        fault = _fault_of_coordinates(X)
    elif X.format == "lil":
        fault = _fault_of_lists(X)
    elif X.format == "dia" and X.data.shape[:1] != np.shape(X.offsets):
        fault = "it must have one offset for each diagonal"
    if fault is not None:
        raise ValueError(f"X is a damaged {X.format.upper()} matrix: {fault}. {REMEDY}")
    if X.format == "csr" and max(len(X.indices), len(X.data)) > X.nnz:
        X = type(X)((X.data[: X.nnz], X.indices[: X.nnz], X.indptr), shape=X.shape)
    return X


def _fault_of_compressed(X: Any) -> str | None:
    """The fault of a CSR, CSC or BSR matrix, in words; None where it has none."""
    block = X.blocksize if X.format == "bsr" else (1, 1)
    lengths = X.shape[0] // block[0], X.shape[1] // block[1]
    of_lines, of_indices = ("column", "row") if X.format == "csc" else ("row", "column")
    n_lines, bound = lengths[::-1] if X.format == "csc" else lengths
    starts = X.indptr
    if not _are_integers(starts) or not _are_integers(X.indices):
        return "its indptr and indices must be one-dimensional arrays of integers"
    if len(starts) != n_lines + 1:
        return f"its indptr has {len(starts)} elements for {n_lines} {of_lines}s"
    if starts[0] != 0 or np.any(starts[1:] < starts[:-1]):
        return "its indptr must start with 0 and never decrease"
    n_stored = int(starts[-1])
    if n_stored > min(len(X.indices), len(X.data)):
        return (
            f"its indptr ends with {n_stored}, but it has {len(X.indices)} indices and"
            f" {len(X.data)} values"
        )
    if not _are_below(X.indices[:n_stored], bound):
        return f"its {of_indices} indices must lie in [0, {bound})"
    return None


def _fault_of_coordinates(X: Any) -> str | None:
    """The fault of a COO matrix, in words; None where it has none."""
    for name, indices, bound in zip(("row", "column"), (X.row, X.col), X.shape, strict=True):
        if not _are_integers(indices) or len(indices) != len(X.data):
            return f"it must have one {name} index, an integer, for each value"
        if not _are_below(indices, bound):
            return f"its {name} indices must lie in [0, {bound})"
    return None


def _fault_of_lists(X: Any) -> str | None:
    """The fault of a LIL matrix, in words; None where it has none."""
    if len(X.rows) != X.shape[0] or len(X.data) != X.shape[0]:
        return "it must have one list of columns, and one of values, for each row"
    for columns, values in zip(X.rows, X.data, strict=True):
        if len(columns) != len(values):
            return "each row must have one column index for each value"
        if columns and not (min(columns) >= 0 and max(columns) < X.shape[1]):
            return f"its column indices must lie in [0, {X.shape[1]})"
    return None


def _are_integers(indices: Any) -> bool:
    """Whether this is a one-dimensional array of integers."""
    return isinstance(indices, np.ndarray) and indices.ndim == 1 and indices.dtype.kind in "iu"


def _are_below(indices: NDArray[Any], bound: int) -> bool:
    """Whether all indices lie in [0, bound)."""
    # One pass does: seen as unsigned, those below 0 are the largest of all.
    unsigned = indices.view(np.dtype(f"{indices.dtype.byteorder}u{indices.dtype.itemsize}"))
    return len(indices) == 0 or int(unsigned.max()) < bound
