"""How kernels are compiled: decorators, and what they ask of Numba and LLVM.

A kernel is `compiled` or `in_place` where Python calls it, and `inlined` or `inlined_in_place`
where other kernels do. This module must not know what any kernel computes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Set
from typing import Any, TypeVar

from numba import njit
from numba.core.compiler import Compiler

from sksoftmax_numba.kernel_cache import KernelCache

ANY_ORDER = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Floating-point freedoms: they change rounding, never the treatment of inf and NaN."""

IN_PLACE: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}
"""Numba's options for a function that creates no array: nothing counts references, and a
division by zero is an infinity or NaN, for which no loop has to stop."""

Function = TypeVar("Function", bound=Callable[..., Any])

Pipeline: Any = Compiler  # which Numba has not annotated


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
