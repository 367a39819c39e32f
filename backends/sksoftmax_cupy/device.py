"""The GPU: whether there is one, what it can do, and what its errors mean to a user.

Importing it needs CuPy but no driver. It must know neither models nor epochs.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cupy

OLDEST_CAPABILITY = (7, 5)
"""The oldest architecture, Turing, that the kernels are compiled for."""

NO_DEVICE = 100
"""The status of a CUDA runtime error that says: a driver, but no device."""


@dataclass(frozen=True)
class Device:
    """What must be known of a GPU to choose how to train on it.

    Parameters
    ----------
    name : str
        The name that its maker gave it.
    capability : tuple of two ints
        Its compute capability, (9, 0) for Hopper.
    shared_bytes : int
        Shared memory that one block may have, by opting in.
    """

    name: str
    capability: tuple[int, int]
    shared_bytes: int

    def __str__(self) -> str:
        return f"{self.name} (sm_{self.capability[0]}{self.capability[1]})"


def current_device() -> Device:
    """Return the GPU that CuPy's current device is.

    Returns
    -------
    Device
        A GPU that can train.

    Raises
    ------
    RuntimeError
        If there is no driver, no device, or one that is too old.
    """
    if not cupy.cuda.is_available():
        raise RuntimeError(_why_unavailable())
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    device = Device(
        name=properties["name"].decode(),
        capability=(properties["major"], properties["minor"]),
        shared_bytes=properties["sharedMemPerBlockOptin"],
    )
    check_age(device)
    return device


def _why_unavailable() -> str:
    """The reason why CuPy found no device it can use."""
    runtime = cupy.cuda.runtime
    try:
        if runtime.driverGetVersion() == 0:
            return (
                "There is no NVIDIA driver on this machine: install one to train on its GPU,"
                " or choose backend='auto' to train on the CPU."
            )
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status != NO_DEVICE:
            return f"CUDA does not start: {error}. Is the driver as new as CuPy's CUDA is?"
    return (
        "There is an NVIDIA driver, but no GPU that this process may use: look at nvidia-smi"
        " and at the environment variable CUDA_VISIBLE_DEVICES."
    )


def check_age(device: Device) -> None:
    """Raise where a device is older than the kernels.

    Parameters
    ----------
    device : Device
        Any GPU.

    Raises
    ------
    RuntimeError
        If its compute capability is below 7.5.

    Examples
    --------
    >>> from sksoftmax_cupy.device import Device, check_age
    >>> check_age(Device("NVIDIA T4", (7, 5), 65536))
    """
    if device.capability < OLDEST_CAPABILITY:
        least, have = (
            f"{major}.{minor}" for major, minor in (OLDEST_CAPABILITY, device.capability)
        )
        raise RuntimeError(
            f"{device} is too old: backend='cupy' needs compute capability {least} (Turing,"
            f" 2018) or later, and this GPU has {have}."
        )


def free_bytes() -> int:
    """Return how much memory of the current device can still be had.

    Returns
    -------
    int
        Bytes that the driver has left or CuPy's pool keeps, within the limit of the pool.
    """
    pool = cupy.get_default_memory_pool()
    free = int(cupy.cuda.Device().mem_info[0]) + int(pool.free_bytes())
    limit = int(pool.get_limit())
    return min(free, limit - int(pool.used_bytes())) if limit else free


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what CuPy raises inside into an error that says what to do about it.

    Device memory that nobody uses any more goes back to the driver first; memory of the host
    is not touched.

    Parameters
    ----------
    doing : str
        What is done inside, to follow "while".

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    MemoryError
        If the device ran out of memory.
    ImportError
        If CuPy finds no cuBLAS, cuSPARSE or NVRTC.
    RuntimeError
        If the device or a library of CUDA failed.
    """
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        _free_memory(error)
        raise MemoryError(
            f"The GPU ran out of memory while {doing}. {error} Lower batch_size if the batches"
            " are large. Dense NumPy X that does not fit is streamed from the host; sparse X,"
            " and X that is on the GPU, has to fit: call partial_fit on chunks of its rows. X"
            " of uint8 or float32 needs less than float64."
        ) from None
    except ImportError as error:
        raise ImportError(
            f"CuPy found no library of CUDA that it needs while {doing}: {error}\n"
            '`pip install "cupy-cuda13x[ctk]"` brings them along, for CUDA 12'
            ' `pip install "cupy-cuda12x[ctk]"`.'
        ) from error
    except cupy.cuda.compiler.CompileException as error:
        raise RuntimeError(
            f"CUDA could not compile a kernel while {doing}: {error}\nCuPy's CUDA may be older"
            ' than this GPU; `pip install --upgrade "cupy-cuda13x[ctk]"` brings the newest.'
        ) from error
    except RuntimeError as error:
        if not _is_of_cuda(error):
            raise
        _free_memory(error)
        raise RuntimeError(
            f"The GPU failed while {doing}: {error}. The estimator is as it was before; this"
            " process may have to be restarted before it can use the GPU again."
        ) from error


def _is_of_cuda(error: RuntimeError) -> bool:
    """Whether CuPy raised it for CUDA; its classes lie in libraries that load on use."""
    return type(error).__module__.split(".")[0] in ("cupy", "cupy_backends")


def _free_memory(error: BaseException) -> None:
    """Give memory back to the driver; the frames of an error keep arrays alive until then."""
    traceback.clear_frames(error.__traceback__)
    try:
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    except cupy.cuda.runtime.CUDARuntimeError:
        pass  # a device that failed cannot take anything back
