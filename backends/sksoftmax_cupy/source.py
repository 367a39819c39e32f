"""The source of the kernels as one text, and the macros that it is compiled with.

CUDA's compiler and the one that builds the kernels for a CPU get the same text, but for the
header of primitives. This module must not import CuPy.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import numpy as np

from sksoftmax_cupy.plan import CLUSTER, FEATURE_TILE, ROW_TILE, Workload

C_TYPES = {"f4": "float", "f8": "double", "u1": "unsigned char"}


def kernel_source(name: str, primitives: str | None = None) -> str:
    """Return a kernel file with its headers put in: a cache then sees their changes too.

    Parameters
    ----------
    name : str
        ``"cluster.cu"``, ``"graph.cu"`` or ``"residual.cu"``.
    primitives : str, default=None
        The text to take in place of ``primitives.cuh``.

    Returns
    -------
    str
        C++ that includes nothing.
    """
    folder = files("sksoftmax_cupy").joinpath("kernels")

    def text_of(match: re.Match[str]) -> str:
        if match[1] == "primitives.cuh" and primitives is not None:
            return primitives
        return folder.joinpath(match[1]).read_text()

    text = folder.joinpath(name).read_text()
    return re.sub(r'^#include "(.+)"$', text_of, text, flags=re.MULTILINE)


def macros(work: Workload, threads: int) -> dict[str, Any]:
    """Return what the kernels are compiled with.

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    threads : int
        Most threads of a block.

    Returns
    -------
    dict of str to str or int
        Values by name.
    """
    return {
        "ROW": c_type(work.row_dtype),
        "REAL": c_type(work.dtype),
        "N_CLASSES": work.n_classes,
        "OWN_STEPS": int(work.own_steps),
        "CHUNK": work.chunk,
        "CLUSTER": CLUSTER,
        "FEATURE_TILE": FEATURE_TILE,
        "ROW_TILE": ROW_TILE,
        "MAX_THREADS": threads,
    }


def options(definitions: dict[str, Any]) -> tuple[str, ...]:
    """Return compiler options.

    Parameters
    ----------
    definitions : dict
        What `macros` returned.

    Returns
    -------
    tuple of str
        For NVRTC and for g++ alike.
    """
    return ("-std=c++17", *(f"-D{name}={value}" for name, value in definitions.items()))


def c_type(dtype: np.dtype[Any]) -> str:
    """Return the C++ type of a dtype.

    Parameters
    ----------
    dtype : numpy dtype
        float32, float64 or uint8.

    Returns
    -------
    str
        The type's name.
    """
    return C_TYPES[dtype.str[1:]]
