"""PyTorch where a tensor lies: what the seam asks for, and nothing more.

The loop is the core's own, over PyTorch's functions. This module must not know how an epoch is
run, nor anything of an estimator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from sksoftmax.backend import Array, ArrayTrainer, Problem, State, is_csr
from sksoftmax_torch.namespace import Namespace, has_float64, name_of, of_numpy

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")
"""Of rows that are kept as they are: PyTorch computes with all of them."""


class TorchTrainer(ArrayTrainer):
    """ArrayTrainer over PyTorch, for one model or several on dense rows.

    Parameters
    ----------
    problem : Problem
        What is trained; ``problem.X`` is a tensor.
    state : State
        Where it starts.
    xp : Namespace
        That of the device of ``problem.X``.
    """

    def __init__(self, problem: Problem, state: State, *, xp: Namespace):
        super().__init__(problem, state, xp=xp)

    def _to_numpy(self, array: Array) -> NDArray[Any]:
        copy: NDArray[Any] = array.numpy(force=True).copy()
        return copy

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, which is moved to the device at once."""
        return super().run_epoch(self.xp.asarray(order), step_sizes)


class TorchBackend:
    """Train where a tensor lies, and NumPy's arrays on PyTorch's default device.

    Attributes
    ----------
    name, version, device : str
        ``"torch"``, PyTorch's version, its default device.
    xp : Namespace
        PyTorch's functions on that device.

    Examples
    --------
    >>> from sksoftmax import SoftmaxClassifier
    >>> clf = SoftmaxClassifier(backend="torch").fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    >>> clf.backend_
    'torch'
    """

    name = "torch"
    version = str(torch.__version__)

    def __init__(self) -> None:
        default = torch.get_default_device()
        self.device = str(default)
        self.xp = Namespace(default)

    def place(self, X: Array) -> Array:
        """Return X as a tensor: itself, of the same memory, or on the default device."""
        if is_csr(X):  # for `supports` to refuse
            return X
        if isinstance(X, np.ndarray):
            return self._placed(X, X.dtype.name, self.xp.device)
        tensor = X.detach() if isinstance(X, torch.Tensor) else from_dlpack(X)
        return self._placed(tensor, name_of(tensor.dtype), tensor.device)

    def _placed(self, X: Array, name: str, device: torch.device) -> torch.Tensor:
        """Rows of a dtype of that name on a device, in the same dtype where PyTorch has it."""
        if name not in DTYPES:
            name = "float32" if name in ("bfloat16", "uint16") else "float64"
        if name == "float64" and not has_float64(device):
            raise ValueError(_no_float64(device))
        if isinstance(X, torch.Tensor):
            return X.to(getattr(torch, name))
        return of_numpy(X.astype(name, copy=False), device)

    def namespace(self, X: Array) -> Any:
        """Return PyTorch's functions on the device of X; NumPy for rows that stay in CSR."""
        return np if is_csr(X) else Namespace(X.device)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return a tensor as a NumPy array."""
        found: NDArray[Any]
        found = array.numpy(force=True) if isinstance(array, torch.Tensor) else array
        return found

    def supports(self, problem: Problem) -> str | None:
        """Say whether a problem can be trained: dense ones, in a dtype that the device has."""
        if is_csr(problem.X):
            return (
                "X is sparse, and it reads dense rows only. Set backend='auto', or pass"
                " X.toarray()."
            )
        if problem.dtype == np.float64 and not has_float64(problem.X.device):
            return _no_float64(problem.X.device)
        return None

    def trainer(self, problem: Problem, state: State) -> TorchTrainer:
        """Return a trainer on the device of the rows."""
        return TorchTrainer(problem, state, xp=self.namespace(problem.X))


def _no_float64(device: torch.device) -> str:
    """What to do where a device cannot compute in the dtype that X asks for."""
    return (
        f"X asks for arithmetic in float64, which PyTorch's device {str(device)!r} does not"
        " have. Pass X as float32."
    )
