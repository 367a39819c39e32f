"""scikit-learn's validation of rows, and the conversion of what is no real number.

`LogisticRegression` asks ``check_array`` for float64; here the dtype of real numbers is kept,
and only the others become float64. Rows in a file are not read: what stands in for them has
their shape and dtype. This module must not know any model.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from sksoftmax.data.sparse_format import checked_format
from sksoftmax.data.stored import StoredRows

NUMBERS = frozenset("biuf")
"""Kinds of dtypes that are trained on as they are."""

TEXT = frozenset("STUV")
"""Kinds that scikit-learn converts where a dtype is asked for, and refuses otherwise."""

IN_MEMORY = ("__array_interface__", "__array_namespace__", "__dlpack__", "iloc")
"""What tells arrays and data frames that already lie in memory, on whatever device."""


def checked_rows(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    by_blocks: bool = False,
    least: int = 1,
    name: str = "X",
) -> tuple[Any, Any]:
    """Validate rows and labels as scikit-learn does, without reading rows that are stored.

    NaN and infinity in these are found when they are read.

    Parameters
    ----------
    estimator : estimator
        Whose features they must be, and whom errors name.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Rows of any real dtype.
    y : array-like of shape (n_samples,), optional
        Labels.
    reset : bool
        Whether to note the features rather than compare them.
    by_blocks : bool, default=False
        Whether to read dense rows in blocks even where they lie in memory or are mapped to it.
    least : int, default=1
        Fewest rows.
    name : str, default="X"
        What errors that come later call the rows.

    Returns
    -------
    rows : ndarray, CSR matrix or array, or StoredRows, of shape (n_samples, n_features)
        Converted where need be.
    labels : ndarray of shape (n_samples,), or None
        None without y.

    Raises
    ------
    ValueError
        If they are invalid.
    """
    is_array = type(X) in (np.ndarray, np.memmap) and X.dtype.kind in NUMBERS
    stored = is_stored(X) or (by_blocks and is_array)
    # What stands in for stored rows is validated in their place: shape, dtype and names are all
    # that scikit-learn can look at without reading them.
    rows, labels = checked_in_memory(
        estimator, stand_in(X) if stored else X, y, reset=reset, least=least, finite=stored
    )
    if stored:
        rows = X
    if stored or (by_blocks and isinstance(rows, np.ndarray)):
        rows = StoredRows(rows, name=name, reader=type(estimator).__name__)
    return rows, labels


def checked_in_memory(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    least: int = 1,
    finite: bool = False,
) -> tuple[Any, Any]:
    """Validate rows and labels as scikit-learn does, and convert rows to real numbers.

    Parameters
    ----------
    estimator, X, y, reset, least
        As in `checked_rows`.
    finite : bool, default=False
        Whether rows are known to be finite.

    Returns
    -------
    rows : ndarray, or CSR matrix or array, of shape (n_samples, n_features)
        X itself where it is that, and its index arrays are sound.
    labels : ndarray of shape (n_samples,), or None
        None without y.

    Raises
    ------
    ValueError, TypeError
        If they are invalid.
    """
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    if sparse.issparse(X):
        X = checked_format(X)
    # Sums of finite numbers may be infinite on the way, by which NaN is looked for.
    with np.errstate(over="ignore", invalid="ignore"):
        checked = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            dtype=wanted_dtype(X),
            ensure_all_finite=not finite,
            ensure_min_samples=least,
            reset=reset,
        )
    rows, labels = checked if isinstance(checked, tuple) else (checked, None)
    return as_numbers(rows, type(estimator).__name__), labels


def is_stored(X: Any) -> bool:
    """Say whether X is an array of real numbers that is read by slicing it.

    Parameters
    ----------
    X : object
        Whatever a caller may pass as rows.

    Returns
    -------
    bool
        True for HDF5 datasets, zarr and dask arrays; False for all that lies in memory, or
        is mapped to it.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.checks import is_stored
    >>> is_stored(np.zeros((2, 2)))
    False
    """
    return (
        all(hasattr(X, name) for name in ("shape", "ndim", "__array__", "__getitem__"))
        and isinstance(getattr(X, "dtype", None), np.dtype)
        and X.dtype.kind in NUMBERS
        and not any(hasattr(X, name) for name in IN_MEMORY)
    )


def stand_in(X: Any) -> NDArray[Any]:
    """Return an array of the shape and dtype of X that takes no memory, to be validated.

    Parameters
    ----------
    X : array of any shape
        Rows, as the caller passed them.

    Returns
    -------
    ndarray
        Zeros, read-only; the first rows of X where they are not two-dimensional, since the
        error about it shows them.

    Raises
    ------
    ValueError
        If the number of rows is not known, as that of a dask array may be.
    """
    if not all(isinstance(length, Integral) for length in X.shape):
        raise ValueError(
            f"X has an unknown number of rows: its shape is {X.shape}. Call its"
            " compute_chunk_sizes() first."
        )
    if X.ndim != 2:
        return np.asarray(X[:2] if X.ndim else X)
    return np.broadcast_to(np.zeros((), X.dtype), X.shape)


def wanted_dtype(X: Any) -> Any:
    """Return the dtype that ``check_array`` is to be asked for.

    Parameters
    ----------
    X : array-like
        As the caller passed it, but for lists, which are arrays by now.

    Returns
    -------
    "numeric" or dtype
        "numeric" keeps a dtype. float64 for text, which may be that of numbers, and for data
        frames with time zones, which would come as objects.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.checks import wanted_dtype
    >>> wanted_dtype(np.array([["1.5"]]))
    dtype('float64')
    """
    is_text = getattr(getattr(X, "dtype", None), "kind", "") in TEXT
    has_zone = any(getattr(dtype, "tz", None) for dtype in getattr(X, "dtypes", ()))
    return np.dtype(np.float64) if is_text or has_zone else "numeric"


def as_numbers(rows: Any, reader: str) -> Any:
    """Return rows as real numbers in the byte order of this machine.

    Parameters
    ----------
    rows : ndarray or sparse matrix of shape (n_rows, n_features)
        Whatever "numeric" has left.
    reader : str
        The estimator that errors name.

    Returns
    -------
    ndarray or sparse matrix of shape (n_rows, n_features)
        The rows themselves where they are such numbers. Dates and durations are counted in
        their own unit from its zero; decimals, and text that spells numbers, become float64.

    Raises
    ------
    ValueError, TypeError
        Those of NumPy if a value is no number, or scikit-learn's if one is missing.
    """
    dtype = getattr(rows, "dtype", None)
    if not isinstance(dtype, np.dtype):
        return rows  # another library's, which has real numbers
    if dtype.kind in NUMBERS:
        return rows if dtype.isnative else rows.astype(dtype.newbyteorder("="))
    numbers: NDArray[np.float64] = rows.astype(np.float64)
    if dtype.kind in "mM":
        numbers[np.isnat(rows)] = np.nan
    assert_all_finite(numbers, estimator_name=reader, input_name="X")
    return numbers
