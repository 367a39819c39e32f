"""What backends share that train where arrays already lie: in the host's memory.

It places X without a copy, and knows neither problems nor trainers.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.arrays import is_on_gpu
from sksoftmax.csr import is_csr
from sksoftmax.problem import Array


class HostBackend:
    """The half of a CPU backend that does not depend on how it trains.

    Attributes
    ----------
    device : str
        The processor.
    xp : module
        ``numpy``.
    """

    device = f"CPU ({platform.machine()})"
    xp = np

    def place(self, X: Array) -> Array:
        """Return X itself, seen as a plain ndarray where it is dense.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            Rows, memory-mapped or not.

        Returns
        -------
        ndarray or CSR array of shape (n_rows, n_features)
            The same memory.

        Raises
        ------
        ValueError
            If X is in the memory of a GPU.
        """
        if is_on_gpu(X):
            raise ValueError(
                "X is in the memory of a GPU, which a backend for the CPU does not read. Set"
                " backend='auto' to train where X is, or copy X to the host."
            )
        return X if is_csr(X) else np.asarray(X)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return the array itself.

        Parameters
        ----------
        array : ndarray
            Any array.

        Returns
        -------
        ndarray
            The same array.
        """
        return np.asarray(array)
