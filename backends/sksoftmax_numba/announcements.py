"""What a user is told of kernels that are being compiled, and how long that has taken.

A fit may wait seconds for them: a line in the log says so before, once for each kind of rows.
This module must not know which kernels there are, nor where they are kept.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

LOG = logging.getLogger("sksoftmax_numba.compilation")
"""Under the name that the user guide gives."""

events: Any = event  # which Numba has not annotated

_compiling = events.TimingListener()
events.register("numba:compile", _compiling)


def seconds_compiling() -> float:
    """Return how long this process has compiled so far, whosever functions.

    Returns
    -------
    float
        Seconds; loading what is on disk does not count.
    """
    return float(_compiling.duration) if _compiling.done else 0.0


_seconds: float | None = None
"""About how long what runs now takes to compile, until that has been said."""

_has_warned = False


@contextmanager
def announced(seconds: float) -> Iterator[None]:
    """Log a line before anything is compiled in this context, once.

    Parameters
    ----------
    seconds : float
        About how long compiling takes.

    Yields
    ------
    None
        To the code that runs kernels.
    """
    global _seconds
    _seconds = seconds
    try:
        yield
    finally:
        _seconds = None


def announce_compiling(is_kept: bool) -> None:
    """Say, once for each context of `announced`, that a user must wait.

    Parameters
    ----------
    is_kept : bool
        Whether what is compiled will be found on disk by later processes.
    """
    global _seconds
    seconds, _seconds = _seconds, None
    if seconds is None:
        return
    if not is_kept:
        warn_that_nothing_is_kept()
    until = "kept on disk for later processes" if is_kept else "for this process alone"
    LOG.warning(
        "Compiling kernels for rows of this kind, %s: about %g seconds.", until, seconds
    )


def warn_that_nothing_is_kept() -> None:
    """Warn once in a process."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        warnings.warn(
            "Compiled kernels cannot be kept on disk, and every process compiles them anew."
            " Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to.",
            RuntimeWarning,
            stacklevel=2,
        )
