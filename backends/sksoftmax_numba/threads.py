"""Threads that run one kernel together, and wait for each other in it a thousand times.

They live for one call, so that none is left for a fork to lose. A step takes about as long
as waking a thread up, which is why they wait by looking again and again; where others want
the processor, they let them have it. What fails in one thread ends the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from sksoftmax_numba.compilation import inlined_in_place
from sksoftmax_numba.intrinsics import atomic_add, atomic_load

LOOKS = 1000
"""Looks at a counter, about a microsecond, before the processor is offered to others."""

ABANDONED = 2**62
"""The count after which nobody waits any more."""

YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
let_others_run: Any = types.ExternalFunction(YIELD, types.int32())


@inlined_in_place
def all_arrived(arrived: Any, n_threads: int, turn: int) -> bool:
    """Wait until all threads have come here for the turn-th time; False if one has failed.

    Parameters
    ----------
    arrived : int64 array of shape (1,)
        Counts arrivals: zero before the first turn, which is 1.
    n_threads, turn : int
        Who waits, and how often with this time.

    Returns
    -------
    bool
        Whether what the others wrote before can be relied on.
    """
    if n_threads == 1:
        return True
    atomic_add(arrived, 1)
    n_looks = 0
    count = atomic_load(arrived)
    while count < turn * n_threads:
        n_looks += 1
        if n_looks > LOOKS:
            let_others_run()
        count = atomic_load(arrived)
    return bool(count < ABANDONED)


def run_in_threads(function: Callable[[int, NDArray[np.int64]], Any], n_threads: int) -> None:
    """Call a function in several threads, this one among them, and wait for all.

    Parameters
    ----------
    function : callable
        Takes the number of the thread and the counter for `all_arrived`.
    n_threads : int
        How many threads.

    Raises
    ------
    BaseException
        What the function raised in any of them, an interrupt of this one included; the others
        have ended then, or do so at once.
    """
    arrived = np.zeros(1, np.int64)
    errors: list[BaseException] = []

    def run(thread: int) -> None:
        try:
            function(thread, arrived)
        except BaseException as error:
            arrived[0] = ABANDONED
            errors.append(error)

    threads = [Thread(target=run, args=(i,)) for i in range(1, n_threads)]
    try:
        for thread in threads:
            thread.start()
        run(0)
    except BaseException:  # an interrupt, or the system has no more threads
        arrived[0] = ABANDONED
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if errors:
        raise errors[0]
