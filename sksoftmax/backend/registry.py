"""Backends by name, found through the entry points of installed distributions, and by "auto".

Nothing is imported before it is asked for, and no choice is remembered between calls: one
kept in a module would not reach the worker processes of a parallel search.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from sksoftmax.backend.blocks import BlockBackend
from sksoftmax.backend.contract import Backend
from sksoftmax.data.arrays import Array, is_on_device, is_on_gpu
from sksoftmax.data.stored import StoredRows

GROUP = "sksoftmax.backends"
"""The entry-point group under which a distribution registers its backends."""

CPU_PREFERENCE = ("numba", "numpy")
"""What ``backend="auto"`` tries for host arrays, where installed, in this order."""

SMALL_PREFERENCE = CPU_PREFERENCE[::-1]
"""The same where the fit is over before kernels would be compiled."""

GPU_PREFERENCE = ("cupy", "torch")
"""What it tries for arrays on an NVIDIA GPU."""

DEVICE_PREFERENCE = ("torch",)
"""What it tries for tensors on any other device."""

SMALL_EPOCH = 10**7
"""Multiplications of an epoch below which NumPy trains before a backend that must compile would
start. About there a first fit, of dense rows or of text, takes as long with either, even where
kernels are read from the disk. The rule asks for nothing but the data: were it to ask what is
compiled already, a second run of the same program would give other bits."""


@dataclass(frozen=True)
class BackendInfo:
    """A row of what `list_backends` returns: one backend, and whether it can be used.

    Parameters
    ----------
    name : str
        The name to pass as ``backend=``.
    available : bool
        Whether it can train here and now.
    reason : str
        Why it is not available; empty when it is.
    version : str
        Version of the library that computes; empty when not available.
    device : str
        The device, in words; empty when not available.

    Examples
    --------
    >>> from sksoftmax import list_backends
    >>> numpy = next(info for info in list_backends() if info.name == "numpy")
    >>> numpy.available, numpy.reason
    (True, '')
    """

    name: str
    available: bool
    reason: str = ""
    version: str = ""
    device: str = ""


def _registered() -> dict[str, list[EntryPoint]]:
    """Entry points by name, one for each distinct target."""
    return _registered_on(tuple(sys.path))


@lru_cache(maxsize=1)
def _registered_on(path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Entry points while the module path stays the same: a look at it takes milliseconds."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # One entry for each distinct target: a distribution that was installed twice is no
        # clash.
        same_name = found.setdefault(entry.name, [])
        if entry.value not in [other.value for other in same_name]:
            same_name.append(entry)
    return found


def registered_names() -> list[str]:
    """Return the names of all registered backends, without importing any.

    Returns
    -------
    list of str
        Names, sorted.

    Examples
    --------
    >>> from sksoftmax.backend.registry import registered_names
    >>> "numpy" in registered_names()
    True
    """
    return sorted(_registered())


def get_backend(name: str) -> Backend:
    """Return the backend registered under a name.

    Parameters
    ----------
    name : str
        A name that `list_backends` lists.

    Returns
    -------
    Backend
        A new backend object.

    Raises
    ------
    ValueError
        If the name is unknown, or registered by two distributions.
    ImportError
        If a library that the backend needs is missing.
    TypeError
        If what is registered is no backend.

    Examples
    --------
    >>> from sksoftmax import get_backend
    >>> get_backend("numpy").name
    'numpy'
    """
    registered = _registered()
    if name not in registered:
        raise ValueError(f"Unknown backend {name!r}. {_what_can_be_used()}")
    entries = registered[name]
    if len(entries) > 1:
        targets = ", ".join(
            f"{e.value} (from {e.dist.name if e.dist else 'an unknown distribution'})"
            for e in entries
        )
        raise ValueError(
            f"Backend {name!r} is registered more than once: {targets}. "
            "Uninstall all but one of these distributions."
        )
    backend = entries[0].load()()
    if not isinstance(backend, Backend):
        raise TypeError(
            f"Backend {name!r} ({entries[0].value}) lacks part of sksoftmax.backend.Backend."
        )
    return backend


def _what_can_be_used() -> str:
    """The names that would have been right, and what the others lack."""
    infos = list_backends()
    if not infos:
        return "None is registered: run `pip install .` in the clone of sksoftmax."
    usable = ", ".join(info.name for info in infos if info.available)
    reasons = [f" {info.name!r} cannot: {info.reason}" for info in infos if not info.available]
    return f"Backends that can be used here: {usable}.{''.join(reasons)}"


def list_backends() -> list[BackendInfo]:
    """Load every registered backend and say which can be used.

    Returns
    -------
    list of BackendInfo
        One for each name, sorted; a backend that fails to load says why.

    Examples
    --------
    >>> from sksoftmax import list_backends
    >>> [info.name for info in list_backends() if info.available and info.name == "numpy"]
    ['numpy']
    """
    found = []
    for name in registered_names():
        try:
            backend = get_backend(name)
            info = BackendInfo(name, True, "", backend.version, backend.device)
        except Exception as error:  # whatever a stranger's package raises is its reason
            info = BackendInfo(name, False, f"{type(error).__name__}: {error}")
        found.append(info)
    return found


def candidate_backends(
    backend: str | Backend, X: Array, n_multiplications: float = math.inf
) -> Iterator[Backend]:
    """Yield the backends that may train, the best first.

    Parameters
    ----------
    backend : str or Backend
        A registered name, "auto" for the CPU backends whose libraries are installed, or for
        rows on a device the first that starts there, or a backend object.
    X : array of shape (n_rows, n_features)
        The rows.
    n_multiplications : float, default=inf
        Of an epoch: stored elements of the rows, times classes. Where they are few, NumPy is
        the best for "auto".

    Yields
    ------
    Backend
        One, or several for "auto"; wrapped, where rows are stored, to read them in blocks.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError, RuntimeError
        If no backend is registered, or rows are on a device where none can train.
    """
    for candidate in _named(backend, X, n_multiplications < SMALL_EPOCH):
        yield BlockBackend(candidate) if isinstance(X, StoredRows) else candidate


def _named(backend: str | Backend, X: Array, is_small: bool) -> Iterator[Backend]:
    """Yield the backend itself, the one of that name, or the candidates of "auto"."""
    if not isinstance(backend, str):
        yield backend
    elif backend != "auto":
        yield get_backend(backend)
    elif is_on_device(X):
        yield _first_that_starts(GPU_PREFERENCE if is_on_gpu(X) else DEVICE_PREFERENCE)
    else:
        installed = registered_names()
        order = SMALL_PREFERENCE if is_small else CPU_PREFERENCE
        n_found = 0
        for name in (name for name in order if name in installed):
            try:
                found = get_backend(name)
            except Exception:  # list_backends says why it cannot start
                continue
            n_found += 1
            yield found
        if n_found == 0:
            raise RuntimeError(f"backend='auto' has found none. {_what_can_be_used()}")


def _first_that_starts(names: tuple[str, ...]) -> Backend:
    """The best of some backends; where none starts, the error says what the best one lacks."""
    best, *others = names
    try:
        return get_backend(best)
    except (ImportError, RuntimeError):
        for name in others:
            with suppress(ImportError, RuntimeError):
                return get_backend(name)
        raise
