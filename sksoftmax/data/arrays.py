"""Arrays of other libraries: where they live, how training reaches them, and the way back.

What scikit-learn calls array API dispatch, from its version 1.9 on. Memory of the host is seen
as a NumPy array, without a copy; arrays on an NVIDIA GPU are left to a backend that trains
there. This module imports no array library but NumPy, and must not know any model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config

from sksoftmax._scikit_learn import (
    HAS_ARRAY_API,
    check_same_namespace,
    get_namespace_and_device,
    move_to,
)

SUPPORTED = HAS_ARRAY_API
"""Whether the installed scikit-learn can do it."""

Array = Any  #: An array of whatever library, dense or CSR.

HOST_MEMORY = (1, 3)
"""DLPack's numbers of the memory that the processor reads: its own, and CUDA's pinned."""

CUDA_MEMORY = (2, 13)
"""DLPack's numbers of the memory of an NVIDIA GPU: its own, and managed."""


@dataclass(frozen=True)
class Namespace:
    """The library of an array, and its device there.

    Parameters
    ----------
    xp : module, default=numpy
        The library's namespace.
    device : object, default=None
        The device, as the library has it; None for NumPy.
    """

    xp: Any = np
    device: Any = None

    def from_numpy(self, array: NDArray[Any]) -> Array:
        """Return a NumPy array as one of this library, on this device.

        Parameters
        ----------
        array : ndarray
            float64 becomes float32 on a device that has none.

        Returns
        -------
        array of the same shape
            The array itself where this is NumPy.
        """
        return array if self.xp is np else move_to(array, xp=self.xp, device=self.device)


NUMPY = Namespace()
"""That of NumPy's arrays."""


def namespace_of(array: Any) -> Namespace:
    """Return the library and device of an array: NumPy, unless scikit-learn dispatches.

    Parameters
    ----------
    array : array-like
        What a caller passed.

    Returns
    -------
    Namespace
        NumPy for all that is no array, or sparse.

    Raises
    ------
    ImportError
        If scikit-learn is too old.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.arrays import namespace_of
    >>> namespace_of(np.ones(2)) == namespace_of([[1, 2]])
    True
    """
    if not is_foreign(array):
        return NUMPY
    if not SUPPORTED:
        raise ImportError(
            f"Arrays of {_library(array)} need scikit-learn 1.9 or later:"
            " pip install --upgrade scikit-learn"
        )
    xp, _, device = get_namespace_and_device(array)
    return Namespace(xp, device)


def is_foreign(array: Any) -> bool:
    """Say whether something is an array of another library that scikit-learn dispatches.

    Nothing is where dispatch is off: scikit-learn then makes NumPy arrays of everything.
    """
    return _of_other_library(array) and bool(get_config()["array_api_dispatch"])


def is_on_gpu(array: Any) -> bool:
    """Say whether an array lies in the memory of an NVIDIA GPU, by DLPack."""
    return _of_other_library(array) and _memory(array) in CUDA_MEMORY


def is_on_device(array: Any) -> bool:
    """Say whether an array lies where a backend of a device reads it, and not the processor.

    That is on an NVIDIA GPU or, for a tensor of PyTorch, on whatever other device.
    """
    return is_on_gpu(array) or (
        _of_other_library(array)
        and _library(array) == "torch"
        and _memory(array) not in HOST_MEMORY
    )


def readable(X: Any) -> Any:
    """Return X as one of the kinds that a backend reads: NumPy, sparse, or on a device.

    Parameters
    ----------
    X : array-like
        Rows, validated.

    Returns
    -------
    array-like
        X itself where it is NumPy, sparse or `is_on_device`; else a NumPy array, of the same
        memory if the processor can read that, and copied from any other device.
    """
    return X if is_on_device(X) else as_numpy(X)


def as_numpy(array: Any) -> Any:
    """Return an array of another library as NumPy's, and anything else as it is.

    Nothing is copied, unless the array lives on a device.
    """
    return to_numpy(array) if is_foreign(array) else array


def to_numpy(array: Array) -> NDArray[Any]:
    """Return an array of any library as NumPy's, whether scikit-learn dispatches or not.

    Nothing is copied, unless the array lives on a device.
    """
    found: NDArray[Any]
    if not _of_other_library(array):
        found = array
    elif _memory(array) in HOST_MEMORY:
        found = _of_host(array)
    else:
        with config_context(array_api_dispatch=True):
            found = move_to(array, xp=np, device="cpu")
    return found


def check_namespace(X: Any, estimator: Any, method: str) -> None:
    """Raise where rows are of another library or device than the fitted arrays.

    Parameters
    ----------
    X : array-like
        What was passed to a method of a fitted estimator.
    estimator : SoftmaxClassifier
        Fitted.
    method : str
        The name of the method.

    Raises
    ------
    ValueError
        If namespaces or devices differ.
    ImportError
        If scikit-learn is too old for X.
    """
    # The usual case, told without asking scikit-learn.
    if namespace_of(X) is NUMPY and not _of_other_library(estimator.coef_):
        return
    if get_config()["array_api_dispatch"]:
        check_same_namespace(X, estimator, attribute="coef_", method=method)
    else:
        raise ValueError(
            f"{type(estimator).__name__} was fitted on arrays of"
            f" {_library(estimator.coef_)} under"
            f" array_api_dispatch=True. Call {method} under the same setting."
        )


def _of_other_library(array: Any) -> bool:
    """Whether something is an array, and not NumPy's."""
    return not isinstance(array, np.ndarray) and hasattr(array, "__dlpack__")


def _memory(array: Array) -> int | None:
    """DLPack's number of the memory in which an array lies; None where it has none."""
    try:
        return int(array.__dlpack_device__()[0])
    except ValueError:  # PyTorch's, for devices without one
        return None


def _of_host(array: Array) -> NDArray[Any]:
    """The same memory as NumPy's array."""
    try:
        return np.from_dlpack(array)
    except RuntimeError as error:
        raise ValueError(
            f"NumPy has no dtype for arrays of {array.dtype}. Convert them to float32 first."
        ) from error


def _library(array: Array) -> str:
    """The name of the library of an array."""
    return type(array).__module__.split(".")[0]


def training_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of the arithmetic for rows of a dtype.

    Parameters
    ----------
    dtype : numpy dtype, or one of another library that NumPy has under the same name
        Of X.

    Returns
    -------
    numpy dtype
        float32 for floats and integers of at most 16 bits and float32, else float64.
    """
    if not isinstance(dtype, np.dtype):
        dtype = np.dtype(str(dtype).rpartition(".")[2])
    small = dtype.itemsize <= 2 and dtype.kind in "fiu"
    return np.dtype(np.float32 if small or dtype == np.float32 else np.float64)
