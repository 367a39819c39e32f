"""Compiled kernels: launched one by one, or recorded once as a CUDA graph and replayed.

This is all that the fused trainers know of how a kernel runs; the tests put kernels that run
on a CPU in its place. It must not know what the kernels compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cupy

from sksoftmax_cupy.source import kernel_source


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Parameters
    ----------
    kernel : str
        Its name.
    grid, block : int
        Blocks, and threads of each.
    shared_bytes : int
        Dynamic shared memory of a block.
    arguments : sequence
        Arrays on the device, and NumPy scalars of the types that the kernel declares.
    """

    kernel: str
    grid: int
    block: int
    shared_bytes: int
    arguments: Sequence[Any]


class Module(Protocol):
    """Kernels that can be launched."""

    def launch(self, launch: Launch) -> None:
        """Start a kernel; it need not have ended on return.

        Parameters
        ----------
        launch : Launch
            What to launch.
        """
        ...

    def record(self, launches: Sequence[Launch]) -> Callable[[], None]:
        """Return a function that launches all, one after the other, again at each call.

        Parameters
        ----------
        launches : sequence of Launch
            What to launch; their arrays have to stay where they are.

        Returns
        -------
        callable
            To be called without arguments.
        """
        ...


class CudaModule:
    """The kernels of one file, compiled by NVRTC for the current device.

    Parameters
    ----------
    name : str
        The file.
    options : tuple of str
        Compiler options.
    """

    def __init__(self, name: str, options: tuple[str, ...]):
        self._module = cupy.RawModule(code=kernel_source(name), options=options)
        self._functions: dict[str, Any] = {}

    def launch(self, launch: Launch) -> None:
        """Start a kernel on the current stream.

        Parameters
        ----------
        launch : Launch
            What to launch.
        """
        self._function(launch)(
            (launch.grid,), (launch.block,), launch.arguments, shared_mem=launch.shared_bytes
        )

    def record(self, launches: Sequence[Launch]) -> Callable[[], None]:
        """Capture launches in a CUDA graph.

        Parameters
        ----------
        launches : sequence of Launch
            What to launch; the function returned keeps their arrays alive.

        Returns
        -------
        callable
            Launches the graph on the current stream.
        """
        for launch in launches:  # compiling would break the capture
            self._function(launch)
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            for launch in launches:
                self.launch(launch)
            graph = stream.end_capture()

        def replay(launches: Sequence[Launch] = launches) -> None:
            graph.launch(stream=cupy.cuda.get_current_stream())

        return replay

    def _function(self, launch: Launch) -> Any:
        """A kernel that may have the shared memory it is launched with."""
        function = self._functions.get(launch.kernel)
        if function is None:
            function = self._functions[launch.kernel] = self._module.get_function(launch.kernel)
        if function.max_dynamic_shared_size_bytes < launch.shared_bytes:
            function.max_dynamic_shared_size_bytes = launch.shared_bytes
        return function


@lru_cache(maxsize=64)
def cuda_module(name: str, options: tuple[str, ...], device_id: int) -> CudaModule:
    """Return the compiled kernels of a file: compiling takes a second, finding them none.

    Parameters
    ----------
    name : str
        The file.
    options : tuple of str
        Compiler options.
    device_id : int
        The current device.

    Returns
    -------
    CudaModule
        The same one for the same arguments.
    """
    return CudaModule(name, options)
