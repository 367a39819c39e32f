"""Rows that lie in a file: read in blocks, in ascending order, and checked as they are read.

Any array that can be sliced will do: HDF5 datasets, zarr and dask arrays, whose libraries are
not imported, and memory maps. This module must not know what is done with the rows.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite

from sksoftmax.data.arrays import Array

BLOCK_BYTES = 2**21
"""Bytes of a block of rows, unless a row or a chunk of the file takes more."""


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
        # Whole chunks: a file decompresses a chunk however little of it is asked for.
        chunk = rows_of_a_chunk(X)
        chunk_bytes = chunk * self.shape[1] * self.dtype.itemsize
        self.block_rows: int = min(self.shape[0], chunk * max(1, BLOCK_BYTES // chunk_bytes))
        # Integers are finite without a look; a block of floats is looked at when it is first
        # read whole, and never again.
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
        """Return the first row of a block, and the row after its last."""
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
                # The rows that count ascend: those of this block are a run of them, renumbered
                # from its start.
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
    """Return how many rows can only be read together: 1 where an array has no ``chunks``."""
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
