"""Dense rows that stay on the host: gathered piece by piece, and copied while others are used.

An epoch is cut into pieces of whole batches. While the device works on one half of its buffer,
the next piece is gathered into pinned memory and copied to the other half. What is done with a
piece is up to the trainer of rows on the device; this module must not know how it does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import cupy
import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, FeedingTrainer, Problem, State
from sksoftmax_cupy.device import explained
from sksoftmax_cupy.trainer import CupyTrainer

PIECE_BYTES = 2**26
"""Most bytes of a piece, unless one batch has more: long beside a launch, short in a fit."""


class HostRows:
    """Rows in the host's memory or a file, of which any can be had on the device.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_features)
        The rows, memory-mapped or not; never written to.
    dtype : numpy dtype
        What they are on the device.
    xp : module, default=cupy
        The namespace of the device.
    """

    def __init__(self, array: NDArray[Any], dtype: np.dtype[Any], xp: Any = cupy):
        self._array = np.asarray(array)
        self._xp = xp
        self.shape = self._array.shape
        self.dtype = dtype
        self._whole_rows = self._array.flags.c_contiguous and self._array.dtype == dtype

    def __getitem__(self, rows: Any) -> Array:
        """Return rows on the device, by number, slice or array of int64."""
        with explained("moving rows of X to it"):
            return self._xp.asarray(self._array[rows], dtype=self.dtype, order="C")

    def gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Write rows one after the other.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), int64
            Their numbers.
        out : ndarray of shape (n_rows, n_features)
            In the dtype of the device.
        """
        if self._whole_rows:  # take would copy any other array as a whole
            np.take(self._array, rows, axis=0, out=out, mode="clip")
        else:
            out[...] = self._array[rows]


class Copies(Protocol):
    """Copies to the two halves of a buffer, beside the work on the device."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array on the host from which can be copied while other work is done."""
        ...

    def start(self, half: int, source: NDArray[Any], target: Array) -> None:
        """Copy once the work noted on this half is over; return before that."""
        ...

    def wait_on_host(self, half: int) -> None:
        """Return when the copy to this half is over: its source may be written to again."""
        ...

    def wait_on_device(self, half: int) -> None:
        """Let the work that is launched from now on wait for the copy to this half."""
        ...

    def note_use(self, half: int) -> None:
        """Note that the work launched so far uses this half."""
        ...

    def finish(self) -> None:
        """Return when all copies are over."""
        ...


class CudaCopies:
    """Copies on a stream of their own; see Copies."""

    def __init__(self) -> None:
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._copied, self._used = (
            [cupy.cuda.Event(disable_timing=True) for _ in range(2)] for _ in range(2)
        )

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return page-locked memory."""
        # Imported only here: it takes half a second.
        import cupyx

        memory: NDArray[Any] = cupyx.empty_pinned(shape, dtype)
        return memory

    def start(self, half: int, source: NDArray[Any], target: Array) -> None:
        """Copy after what last used this half."""
        self._stream.wait_event(self._used[half])
        target.set(source, stream=self._stream)
        self._copied[half].record(self._stream)

    def wait_on_host(self, half: int) -> None:
        """Wait for the copy's event, which is over if none was started."""
        self._copied[half].synchronize()

    def wait_on_device(self, half: int) -> None:
        """Let the current stream wait."""
        cupy.cuda.get_current_stream().wait_event(self._copied[half])

    def note_use(self, half: int) -> None:
        """Record an event on the current stream."""
        self._used[half].record(cupy.cuda.get_current_stream())

    def finish(self) -> None:
        """Wait for the stream of the copies."""
        self._stream.synchronize()


class StreamingTrainer(FeedingTrainer):
    """A trainer of rows on the host, by one of rows on the device.

    It takes the same steps, in the same order, as that one would if all rows fitted.

    Parameters
    ----------
    problem : Problem
        What is trained; ``problem.X`` is HostRows.
    state : State
        Where it starts.
    trainer : callable
        Returns the CupyTrainer of a problem with X on the device, and a state.
    copies : Copies
        What copies.
    xp : module, default=cupy
        The namespace of the device.
    piece_bytes : int, default=2**26
        Most bytes of a piece, unless one batch has more.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        trainer: Callable[[Problem, State], CupyTrainer],
        copies: Copies,
        *,
        xp: Any = cupy,
        piece_bytes: int = PIECE_BYTES,
    ):
        self._problem = problem
        self._copies = copies
        row_bytes = problem.n_features * problem.X.dtype.itemsize
        n_batches = max(1, piece_bytes // (row_bytes * problem.batch_size))
        self._size = min(n_batches, -(-len(problem.y) // problem.batch_size))
        self._size *= problem.batch_size
        shape = (self._size, problem.n_features)
        with explained("making room for pieces of X"):
            self._pinned = [copies.pinned(shape, problem.X.dtype) for _ in range(2)]
            self._buffer = xp.empty((2 * self._size, problem.n_features), problem.X.dtype)
        y = np.zeros(2 * self._size, np.int32)
        weights = problem.weights
        if weights is not None:
            weights = np.zeros(2 * self._size, problem.dtype)
        on_device = replace(problem, X=self._buffer, y=y, weights=weights)
        self._trainer: CupyTrainer = trainer(on_device, state)

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`."""
        with explained("streaming X to it"):
            try:
                return self._trainer.run_pieces(self._pieces(order), len(order), step_sizes)
            finally:
                self._copies.finish()  # nothing may write to a buffer that is given up

    def _pieces(
        self, order: NDArray[np.int64]
    ) -> Iterator[tuple[slice, NDArray[np.int32], NDArray[Any] | None]]:
        """Where each piece lies in the buffer, and labels and weights of its rows.

        The consumer has launched all its work on a piece when it asks for the next.
        """
        y, weights = self._problem.y, self._problem.weights
        for piece, start in enumerate(range(0, len(order), self._size)):
            half, rows = piece % 2, order[start : start + self._size]
            places = slice(half * self._size, half * self._size + len(rows))
            source = self._pinned[half][: len(rows)]
            self._copies.wait_on_host(half)
            self._problem.X.gather(rows, source)
            self._copies.start(half, source, self._buffer[places])
            self._copies.wait_on_device(half)
            yield places, y[rows], None if weights is None else weights[rows]
            self._copies.note_use(half)
