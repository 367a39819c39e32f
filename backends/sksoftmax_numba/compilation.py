"""How kernels are compiled and kept on disk, and what a user is told before it takes its time.

A kernel is kept beside its source, or in the folder that ``NUMBA_CACHE_DIR`` names, for every
later process. Nothing that may be wrong with these files stops a fit: what cannot be read is
compiled anew, and what cannot be written is compiled by each process.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import caching, event
from numba.core.compiler import Compiler

ANY_ORDER = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Floating-point freedoms: they change rounding, never the treatment of inf and NaN."""

IN_PLACE: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}
"""Numba's options for a function that creates no array: nothing counts references, and a
division by zero is an infinity or NaN, for which no loop has to stop."""

LOG = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])

files: Any = caching  # none of which Numba has annotated
events: Any = event
Pipeline: Any = Compiler


class Uncollected(Pipeline):  # type: ignore[misc]
    """Numba's compiler, without the collections of garbage that its many objects set off.

    They take a seventh of a first fit, and free 20 MB. One lock has all threads compile in
    turn, so that none finds collections off because of another.
    """

    def compile_extra(self, function: Any) -> Any:
        """Compile a function, and all that are inlined into it.

        Parameters
        ----------
        function : callable
            The function.

        Returns
        -------
        CompileResult
            As Numba has it.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()


class OnlyInlined(Pipeline):  # type: ignore[misc]
    """Numba's compiler for what is compiled into its callers, which optimise it with their own.

    By itself Numba would have LLVM optimise it on its own as well, with all that it calls, and
    make machine code of it that nobody runs: a quarter of a first fit. Should Numba no longer
    look for the method that is replaced, it does so again.

    Parameters
    ----------
    typing_context, target, library
        As Numba gives them.
    *others
        What else it gives.
    """

    def __init__(self, typing_context: Any, target: Any, library: Any, *others: Any):
        library = target.codegen().create_library(OnlyInlined.__name__)
        library.enable_object_caching()  # as that which Numba creates where there is none
        library._optimize_final_module = lambda: _keep_from_machine_code(library)
        super().__init__(typing_context, target, library, *others)


def _keep_from_machine_code(library: Any) -> None:
    """Declare that the functions of a library are there for inlining, and found elsewhere."""
    for function in library._final_module.functions:
        is_inlined = any(b"alwaysinline" in group for group in function.attributes)
        if is_inlined and not function.is_declaration:
            function.linkage = "available_externally"


CALLED: dict[str, Any] = {"no_cfunc_wrapper": True, "pipeline_class": Uncollected}
"""Numba's options for a function that Python calls."""

INLINED: dict[str, Any] = {
    "forceinline": True,
    "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True,
    "pipeline_class": OnlyInlined,
}
"""Numba's options for a function that is compiled into whatever kernel calls it."""


def compiled(function: Function) -> Function:
    """Compile a function at its first call, keep it on disk, and run it without the GIL.

    Parameters
    ----------
    function : callable
        Of arrays and numbers, and of a module: one that closes over others would not be found
        again on disk. Kernels that it calls are to be `inlined`.

    Returns
    -------
    callable
        The same, compiled for each combination of dtypes.
    """
    return _jitted(function, "", ANY_ORDER, **CALLED)


def in_place(function: Function) -> Function:
    """Compile a function that creates no array: it only writes into those it is given.

    Each view of an array, be it a row or a slice, would otherwise count one reference more and
    then one less, with the memory locked: a quarter of a short step.

    Parameters
    ----------
    function : callable
        As for `compiled`; kernels that it calls are to be `inlined_in_place`.

    Returns
    -------
    callable
        As `compiled` returns it.
    """
    return _jitted(function, "", ANY_ORDER, **CALLED, **IN_PLACE)


def inlined_in_place(function: Function) -> Function:
    """Compile a function that creates no array into whatever kernel calls it.

    Parameters
    ----------
    function : callable
        As for `compiled`; it returns no array either.

    Returns
    -------
    callable
        As `inlined` returns it.
    """
    return inlined(function, **IN_PLACE)


def inlined(function: Function, freedoms: Set[str] = ANY_ORDER, **options: Any) -> Function:
    """Compile a function into whatever kernel calls it; Python cannot call it.

    Were it called where it stands, each kernel would bring its own copy, rounded in its own
    way, and all would run the copy that a process has loaded first: bits would depend on what
    ran before, and on what came from disk.

    Parameters
    ----------
    function : callable
        As for `compiled`.
    freedoms : set of str
        Of LLVM's floating-point arithmetic.
    **options
        Of Numba.

    Returns
    -------
    callable
        The same, for compiled functions.
    """
    return _jitted(function, "-inlined", freedoms, **INLINED, **options)


def for_python(kernel: Function) -> Function:
    """Return a function in a form that Python can call, too.

    Parameters
    ----------
    kernel : callable
        What `inlined` returned.

    Returns
    -------
    callable
        As `compiled` returns it, or `in_place` for what is compiled in that way.
    """
    inner: Any = kernel
    function: Function = inner.py_func
    return (in_place if inner.targetoptions.items() >= IN_PLACE.items() else compiled)(function)


def _jitted(function: Function, suffix: str, freedoms: Set[str], **options: Any) -> Function:
    """A dispatcher, with our cache in place of the one that ``cache=True`` makes."""
    jit: Any = njit
    kernel = jit(nogil=True, fastmath=set(freedoms), boundscheck=False, **options)(function)
    kernel._cache = KernelCache(function, suffix)
    result: Function = kernel
    return result


class KernelCache(files.NullCache):  # type: ignore[misc]
    """The compiled forms of one function on disk, or none where no folder can be written to.

    Parameters
    ----------
    function : callable
        The function.
    suffix : str
        To its name, for one that is compiled in two ways.
    """

    def __init__(self, function: Callable[..., Any], suffix: str):
        try:
            self._kept = files.FunctionCache(function)
        except RuntimeError:  # no folder can be written to
            self._kept = files.NullCache()
        else:
            kept = self._kept
            stamp = kept._impl.locator.get_source_stamp(), _stamp_of_kernels()
            name = kept._impl.filename_base + suffix
            kept._cache_file = CheckedFiles(kept.cache_path, name, stamp)

    @property
    def cache_path(self) -> Any:
        """The folder; None where there is none."""
        return self._kept.cache_path

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return what was compiled for a signature; None, and say so, where it is to be.

        Parameters
        ----------
        signature, target
            As Numba gives them.

        Returns
        -------
        CompileResult or None
            None also where the files are damaged.
        """
        try:
            found = self._kept.load_overload(signature, target)
        except Exception:  # a pickle that was cut may raise anything
            found = None
        if found is None:
            _begin_compiling(is_kept=self.cache_path is not None)
        return found

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled, if the disk takes it.

        Parameters
        ----------
        signature, result
            As Numba gives them.
        """
        try:
            try:
                self._kept.save_overload(signature, result)
            except OSError:
                raise
            except Exception:  # an index that cannot be read is begun anew
                self._kept.flush()
                self._kept.save_overload(signature, result)
        except OSError:
            _warn_that_nothing_is_kept()

    def flush(self) -> None:
        """Forget all that is kept of this function."""
        self._kept.flush()


class CheckedFiles(files.IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files with a digest before the code: damaged code would end the process."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"{name} is damaged.")
        return files.pickle.loads(content)


@cache
def _stamp_of_kernels() -> str:
    """A digest of all these modules: a kernel holds the code of those that it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


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


def _begin_compiling(is_kept: bool) -> None:
    """Say once for each context that a user must wait."""
    global _seconds
    seconds, _seconds = _seconds, None
    if seconds is None:
        return
    if not is_kept:
        _warn_that_nothing_is_kept()
    until = "kept on disk for later processes" if is_kept else "for this process alone"
    LOG.warning(
        "Compiling kernels for rows of this kind, %s: about %g seconds.", until, seconds
    )


def _warn_that_nothing_is_kept() -> None:
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
