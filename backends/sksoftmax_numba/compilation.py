"""How kernels are compiled, and what a user is told while it takes its time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Timer
from typing import Any, TypeVar

from numba import njit

ANY_ORDER = {"reassoc", "contract", "nsz", "arcp"}
"""Floating-point freedoms: they change rounding, never the treatment of inf and NaN."""

SECONDS = 1.0
"""How long a call may take before something is said."""

LOG = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, keep it on disk, and run it without the GIL.

    Parameters
    ----------
    function : callable
        Of arrays and numbers.

    Returns
    -------
    callable
        The same, compiled for each combination of dtypes.
    """
    compile_: Any = njit(cache=True, nogil=True, fastmath=ANY_ORDER, boundscheck=False)
    kernel: Function = compile_(function)
    return kernel


_compiled_for: set[Any] = set()


def announced(*kinds: Any) -> AbstractContextManager[None]:
    """Log a line if what runs for the first time takes as long as only compiling can.

    Parameters
    ----------
    *kinds : hashable
        What kernels are compiled for anew: dtypes and numbers.

    Returns
    -------
    context manager
        In which they run.
    """
    return nullcontext() if kinds in _compiled_for else _announced(kinds)


@contextmanager
def _announced(kinds: Any) -> Iterator[None]:
    message = "Compiling kernels, once for these dtypes; they are kept on disk for next time."
    timer = Timer(SECONDS, LOG.warning, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    _compiled_for.add(kinds)
