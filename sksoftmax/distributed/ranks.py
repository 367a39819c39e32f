"""What the processes of one fit say to each other, over an MPI communicator.

A rank that fails must not leave the others waiting for it: before they exchange anything, all
ranks tell each other whether one has failed, and then all of them raise. This module must not
know what is trained.
"""

from __future__ import annotations

import operator
import reprlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")


class Ranks:
    """The processes that run one fit together.

    All ranks call the same methods in the same order. Results are the same bits on all of
    them: rank 0 has them first and passes them on.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm or None
        Who takes part; None for all processes.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.

    Raises
    ------
    ImportError
        If mpi4py, or the MPI library that it looks for, is not installed.
    """

    def __init__(self, comm: Any):
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise ImportError(
                "Training by several processes needs mpi4py and an MPI library:"
                " pip install mpi4py mpich"
            ) from error
        self._mpi = MPI
        self._comm = MPI.COMM_WORLD if comm is None else comm
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self._has_failed = np.zeros(1, np.int32)
        self._interrupted = False
        self._all_know = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do something on all ranks or on none: what one raises makes all of them raise.

        An interrupt (SIGINT) is held back until the ranks next agree. Were it raised at once,
        nobody could tell whether the exchange that it fell into has taken place.
        """
        with self._interrupts_held_back():
            try:
                yield
                self.agree()
            except BaseException as error:
                if not self._all_know:
                    self._fail(error)
                raise

    def agree(self) -> None:
        """Wait for all ranks, and raise if one of them has failed.

        Raises
        ------
        ValueError
            If what failed on another rank was a ValueError; it names that rank and repeats the
            message.
        RuntimeError
            If it was anything else.
        KeyboardInterrupt
            If this rank was interrupted.
        """
        if self._interrupted:
            self._interrupted = False
            self._fail(KeyboardInterrupt())
        self._has_failed[0] = 0
        self._comm.Allreduce(self._mpi.IN_PLACE, self._has_failed, op=self._mpi.MAX)
        if self._has_failed[0]:
            self._all_know = True
            told = self._comm.allgather(None)
            rank = next(rank for rank, message in enumerate(told) if message is not None)
            is_value_error, message = told[rank]
            kind = ValueError if is_value_error else RuntimeError
            raise kind(f"Rank {rank} of {self.size} failed, and so do all: {message}")

    def _fail(self, error: BaseException) -> NoReturn:
        """Tell the other ranks, who are waiting in `agree` or soon will be."""
        self._all_know = True
        self._has_failed[0] = 1
        self._comm.Allreduce(self._mpi.IN_PLACE, self._has_failed, op=self._mpi.MAX)
        message = f"{type(error).__name__}: {error}"
        self._comm.allgather((isinstance(error, ValueError), message))
        raise error

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in their order; they must be picklable."""
        self.agree()
        values: list[Value] = self._comm.allgather(value)
        return values

    def from_first(self, value: Value) -> Value:
        """Return the value of rank 0, which must be picklable, whatever the others pass."""
        self.agree()
        first: Value = self._comm.bcast(value)
        return first

    def combine(self, value: Value, function: Callable[[Value, Value], Value]) -> Value:
        """Return the values of all ranks, combined two by two in the order of the ranks.

        Parameters
        ----------
        value : object
            What can be pickled.
        function : callable
            Combines two neighbours, associative up to rounding. It must not raise.

        Returns
        -------
        object
            The combination.
        """
        self.agree()
        combined: Value = self._comm.allreduce(value, op=function)
        return combined

    def total(self, value: Value) -> Value:
        """Return the sum over the ranks."""
        return self.combine(value, operator.add)

    def any(self, value: bool) -> bool:
        """Say whether something holds on some rank."""
        return self.combine(value, operator.or_)

    def require_same(self, facts: dict[str, Any], advice: str) -> None:
        """Raise on all ranks if they differ in something.

        Parameters
        ----------
        facts : dict
            What should be the same, by its name in the error.
        advice : str
            What to do if it is not: the error's last sentence.

        Raises
        ------
        ValueError
            If a rank's facts are not those of rank 0: the same message on all ranks.
        """
        expected = self.from_first(facts)
        differs = [name for name in facts if facts[name] != expected[name]]
        for rank, found in enumerate(self.gather({n: reprlib.repr(facts[n]) for n in differs})):
            for name, value in found.items():
                raise ValueError(
                    f"{name} differs between ranks: {reprlib.repr(expected[name])} on rank 0,"
                    f" {value} on rank {rank}. {advice}"
                )

    def add_up(self, array: NDArray[Any]) -> None:
        """Replace an array by the sum over the ranks, without asking whether one has failed.

        MPI only recommends that the ranks get the same bits.
        """
        self._comm.Allreduce(self._mpi.IN_PLACE, array)

    def copy_first(self, array: NDArray[Any]) -> None:
        """Replace an array by that of rank 0, without asking whether one has failed."""
        self._comm.Bcast(array)

    @contextmanager
    def _interrupts_held_back(self) -> Iterator[None]:
        """Turn an interrupt into one that `agree` raises; raise it at the end at the latest."""
        # Python hands signals to the main thread only; one process has nobody to keep waiting.
        if self.size == 1 or threading.current_thread() is not threading.main_thread():
            yield
            return

        def hold_back(number: int, frame: object) -> None:
            self._interrupted = True

        before = signal.signal(signal.SIGINT, hold_back)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if self._interrupted:
            raise KeyboardInterrupt
