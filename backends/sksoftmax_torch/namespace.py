"""PyTorch's functions under NumPy's names, with new tensors on one device.

Most names and arguments are PyTorch's own as well; what differs is here. This module knows
arrays, and nothing of what is computed with them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sksoftmax.backend import Array

LEAST_FLOAT32 = float(np.finfo(np.float32).tiny)


class Namespace:
    """What the core computes with, in place of the module ``numpy``.

    Parameters
    ----------
    device : torch.device
        Where new tensors lie.
    wide : torch.dtype, optional
        What stands for float64: that itself, unless the device has none.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sksoftmax_torch.namespace import Namespace
    >>> xp = Namespace(torch.device("cpu"))
    >>> xp.max(xp.asarray(np.eye(2)), axis=1, keepdims=True).tolist()
    [[1.0], [1.0]]
    """

    def __init__(self, device: torch.device, wide: torch.dtype | None = None):
        self.device = device
        self.wide = wide or (torch.float64 if has_float64(device) else torch.float32)

    def __getattr__(self, name: str) -> Any:
        """Return a function of PyTorch that NumPy has under the same name."""
        return getattr(torch, name)

    def dtype(self, dtype: Any) -> torch.dtype:
        """Return the dtype of tensors for one of NumPy, or of tensors.

        Parameters
        ----------
        dtype : dtype, type or str
            As NumPy's functions take it, or PyTorch's.

        Returns
        -------
        torch.dtype
            The one of the same name, or `wide`.
        """
        if not isinstance(dtype, torch.dtype):
            dtype = getattr(torch, np.dtype(dtype).name)
        return self.wide if dtype == torch.float64 else dtype

    def asarray(self, array: Array, dtype: Any = None) -> torch.Tensor:
        """Return numbers as a tensor here: no copy where they are one already."""
        wanted = self.dtype(array.dtype if dtype is None else dtype)
        if isinstance(array, torch.Tensor):
            return array.to(device=self.device, dtype=wanted)
        # Converted by NumPy, since the device may not have the dtype that it has.
        return of_numpy(array.astype(name_of(wanted), copy=False), self.device)

    def array(self, array: Array, dtype: Any = None) -> torch.Tensor:
        """Return numbers as a new tensor here."""
        tensor = self.asarray(array, dtype)
        is_new = isinstance(array, torch.Tensor) and tensor is not array
        return tensor if is_new else tensor.clone()

    def zeros(self, shape: Any, dtype: Any = np.float64) -> torch.Tensor:
        """Return zeros."""
        return torch.zeros(shape, dtype=self.dtype(dtype), device=self.device)

    def arange(self, *bounds: int, dtype: Any = np.int64) -> torch.Tensor:
        """Return successive integers."""
        return torch.arange(*bounds, dtype=self.dtype(dtype), device=self.device)

    def sum(self, array: torch.Tensor, axis: Any, dtype: Any) -> torch.Tensor:
        """Return sums along axes."""
        return torch.sum(array, dim=axis, dtype=self.dtype(dtype))

    def max(self, array: torch.Tensor, axis: int, keepdims: bool = False) -> torch.Tensor:
        """Return the largest along an axis."""
        return torch.amax(array, dim=axis, keepdim=keepdims)

    def min(self, array: torch.Tensor, axis: int, keepdims: bool = False) -> torch.Tensor:
        """Return the least along an axis."""
        return torch.amin(array, dim=axis, keepdim=keepdims)

    def maximum(self, array: torch.Tensor, other: Any) -> torch.Tensor:
        """Return the larger of two numbers, elementwise; the second may be a scalar."""
        if isinstance(other, torch.Tensor):
            return torch.maximum(array, other)
        if other > 0 and array.dtype == torch.float32:
            other = max(other, LEAST_FLOAT32)  # what is to keep off zero shall not become zero
        return torch.clamp(array, min=other)


def has_float64(device: torch.device) -> bool:
    """Say whether a device computes in float64.

    Parameters
    ----------
    device : torch.device
        Any.

    Returns
    -------
    bool
        False for Apple's GPUs.
    """
    return bool(device.type != "mps")


def name_of(dtype: torch.dtype) -> str:
    """Return the name that NumPy has for a dtype.

    Parameters
    ----------
    dtype : torch.dtype
        Of a tensor.

    Returns
    -------
    str
        Such as "float32".
    """
    return str(dtype).removeprefix("torch.")


def of_numpy(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return a NumPy array as a tensor: of the same memory, where the tensor can have that.

    Parameters
    ----------
    array : ndarray
        Of a dtype that PyTorch has. It may be read-only: nobody here writes into what was not
        copied.
    device : torch.device
        Where the tensor lies.

    Returns
    -------
    torch.Tensor
        Of the array's shape and dtype.
    """
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    if not array.flags.writeable:
        # PyTorch knows no read-only memory, and would warn: here it is asked for a promise.
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        array = np.asarray(SimpleNamespace(__array_interface__=interface, memory=array))
    return torch.asarray(array, device=device)
