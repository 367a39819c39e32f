"""Rows that lie in a file: read in blocks, in ascending order, and checked as they are read.

Arrays that can be sliced but have no memory of their own (HDF5 datasets, zarr and dask arrays)
are recognised by their methods, without importing their libraries. Memory maps are read in the
same way where the caller asks for it. This module knows rows; it must not know
what is done with them.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from sksoftmax.data.arrays import Array
from sksoftmax.data.conversion import NUMBERS, as_numbers, wanted_dtype
from sksoftmax.data.sparse_format import checked_format

BLOCK_BYTES = 2**21
"""Bytes of a block of rows, unless a row or a chunk of the file takes more."""

IN_MEMORY = ("__array_interface__", "__array_namespace__", "__dlpack__", "iloc")
"""What tells arrays and data frames that already lie in memory, on whatever device."""


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
    >>> from sksoftmax.data.stored import is_stored
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


class StoredRows:
    """Rows of an array in a file, which indexing reads.

    A block is read, and checked for NaN and infinity, in one piece: about 2 MiB, in multiples
    of the chunks of the array, where it has some.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Any array that can be sliced. Of a memory map, pages that have been read are given
        back: they would otherwise count as memory of the process until something else needs
        it.
    name : str, default="X"
        What errors call the array.
    reader : str, optional
        The estimator that they name.
    place : callable, optional
        Brings rows that were read to where they are used; by default they stay here.

    Attributes
    ----------
    shape : tuple of int
        Rows and features.
    dtype : numpy dtype
        As in the file, in the byte order of this machine.
    block_rows : int
        Rows of each block but the last.
    """

    ndim = 2

    def __init__(
        self,
        X: Any,
        *,
        name: str = "X",
        reader: str | None = None,
        place: Callable[[Array], Array] | None = None,
    ):
        self._X = X
        self._name, self._reader = name, reader
        self._place = place
        self.shape: tuple[int, int] = (int(X.shape[0]), int(X.shape[1]))
        self.dtype: np.dtype[Any] = X.dtype.newbyteorder("=")
        chunk = rows_of_a_chunk(X)
        chunk_bytes = chunk * self.shape[1] * self.dtype.itemsize
        self.block_rows: int = min(self.shape[0], chunk * max(1, BLOCK_BYTES // chunk_bytes))
        self._is_finite = np.full(self.n_blocks, self.dtype.kind != "f")

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.shape[0] // self.block_rows)

    def placed(self, place: Callable[[Array], Array]) -> StoredRows:
        """Return the same rows, brought elsewhere as they are read.

        Parameters
        ----------
        place : callable
            A backend's ``place``.

        Returns
        -------
        StoredRows
            It reads the same file, and checks no block that this one has checked.
        """
        other = StoredRows(self._X, name=self._name, reader=self._reader, place=place)
        other._is_finite = self._is_finite
        return other

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first row of a block, and the row after its last.

        Parameters
        ----------
        block : int
            Number of the block.

        Returns
        -------
        start, stop : int
            Row numbers.
        """
        start = block * self.block_rows
        return start, min(start + self.block_rows, self.shape[0])

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read successive rows of one block.

        Parameters
        ----------
        start, stop : int
            Row numbers: the first, and the one after the last.
        out : ndarray of shape (stop - start, n_features), optional
            Where to; by default a new array.

        Returns
        -------
        ndarray of shape (stop - start, n_features)
            The rows, not placed.

        Raises
        ------
        ValueError
            If a number is not finite.
        """
        if out is None:
            out = np.empty((stop - start, self.shape[1]), self.dtype)
        out[...] = self._X[start:stop]
        forget_pages(self._X, start, stop)
        block = start // self.block_rows
        if not self._is_finite[block]:
            assert_all_finite(out, estimator_name=self._reader, input_name=self._name)
            self._is_finite[block] = (start, stop) == self.bounds(block)
        return out

    def blocks(
        self, rows: NDArray[np.int64] | None
    ) -> Iterator[tuple[slice, NDArray[np.int64] | None, Array]]:
        """Read all rows, or some, block by block.

        Parameters
        ----------
        rows : ndarray of int64, or None
            The rows that count, in ascending order; None for all.

        Yields
        ------
        where : slice
            Where the block stands in X.
        chosen : ndarray of int64, or None
            The rows of the block that count, by their number within it; None for all.
        block : array
            All of its rows, placed.
        """
        for number in range(self.n_blocks):
            start, stop = self.bounds(number)
            chosen = None
            if rows is not None:
                chosen = rows[slice(*np.searchsorted(rows, [start, stop]))] - start
                if len(chosen) == 0:
                    continue
            yield slice(start, stop), chosen, self._placed(self.read(start, stop))

    def __getitem__(self, index: slice | NDArray[np.int64]) -> Array:
        """Return the rows of a slice, or of ascending numbers, placed."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(self.shape[0]))
        out = np.empty((len(index), self.shape[1]), self.dtype)
        # One read for each block: from the first of its rows that is wanted to the last.
        _, starts = np.unique(index // self.block_rows, return_index=True)
        for first, last in pairwise([*starts.tolist(), len(index)]):
            rows = index[first:last]
            out[first:last] = self.read(rows[0], rows[-1] + 1)[rows - rows[0]]
        return self._placed(out)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array into memory: ``np.asarray(rows)``."""
        return np.array(self._X, dtype=dtype)

    def _placed(self, block: NDArray[Any]) -> Array:
        return block if self._place is None else self._place(block)


def rows_of_a_chunk(X: Any) -> int:
    """Return how many rows can only be read together, as far as an array says so.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Its ``chunks``, if any, hold a length or lengths for each axis.

    Returns
    -------
    int
        At least 1.
    """
    chunks = getattr(X, "chunks", None)
    return max(1, int(np.max(chunks[0]))) if chunks else 1


def forget_pages(X: Any, start: int, stop: int) -> None:
    """Give back the pages of a memory map in which some rows lie.

    They stay in the system's cache of files, where it has room. Reading by offset would not
    map them in the first place, but a view of a map does not tell where in the file it starts.
    Private maps (mode "c") are left alone, since their pages hold what was written to them.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Nothing is done where it is no memory map.
    start, stop : int
        The rows.
    """
    if not isinstance(X, np.memmap) or X.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    # Views of a map keep it as the base of their bases.
    base: Any = X
    while not isinstance(base, mmap.mmap):
        base = base.base
        if base is None:
            return
    # The first and last byte of the rows, counted from where the map begins. Whole pages are
    # given back, from the one on in which the first row begins.
    origin = np.frombuffer(base, np.uint8).ctypes.data
    low, high = (address - origin for address in np.lib.array_utils.byte_bounds(X[start:stop]))
    low -= low % mmap.PAGESIZE
    base.madvise(mmap.MADV_DONTNEED, low, high - low)
