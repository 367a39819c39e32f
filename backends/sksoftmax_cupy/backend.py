"""CuPy on an NVIDIA GPU: what the seam asks for, and nothing more.

It moves rows to the device once, or leaves to be streamed what does not fit, and hands a
problem to the trainer chosen for it. It must not know how an epoch is run, nor anything of an
estimator.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, Problem, State, Trainer, is_csr, training_dtype
from sksoftmax_cupy.device import current_device, explained, free_bytes
from sksoftmax_cupy.fused import ClusterTrainer, GraphTrainer
from sksoftmax_cupy.module import cuda_module
from sksoftmax_cupy.plan import (
    ClusterPlan,
    GraphPlan,
    ProductPlan,
    Workload,
    choose_plan,
    unsupported,
)
from sksoftmax_cupy.product import ProductTrainer
from sksoftmax_cupy.source import macros, options
from sksoftmax_cupy.stream import PIECE_BYTES, CudaCopies, HostRows, StreamingTrainer
from sksoftmax_cupy.trainer import CupyTrainer

RESIDENT_SHARE = 0.9
"""Most of the free memory that X may take; labels, weights and the model need some too."""


class CupyBackend:
    """Train on the current CUDA device.

    Attributes
    ----------
    name, version, device : str
        ``"cupy"``, CuPy's version, the GPU.
    xp : module
        ``cupy``.
    slice_elements : int
        Elements of X that statistics convert at once: enough to keep a GPU busy.

    Raises
    ------
    RuntimeError
        If there is no driver, no device, or one that is too old.

    Examples
    --------
    >>> from sksoftmax import SoftmaxClassifier
    >>> clf = SoftmaxClassifier(backend="cupy")  # looks for a GPU when it fits, not before
    """

    name = "cupy"
    version = cupy.__version__
    xp = cupy
    slice_elements = 2**20

    def __init__(self) -> None:
        self._device = current_device()
        self.device = str(self._device)

    def place(self, X: Array) -> Array:
        """Return X on the device, in its own dtype where CuPy has that."""
        with explained("moving X to it"):
            if not is_csr(X):
                return self._place_dense(X)
            if isinstance(X.data, cupy.ndarray):
                return X
            # Imported only here: it takes half a second.
            from cupyx.scipy.sparse import csr_matrix

            # cuSPARSE has float32 and float64 alone. Each value is the same in the one that is
            # trained in, but for integers beyond 2**53.
            data = cupy.asarray(X.data, dtype=training_dtype(X.dtype))
            indices, indptr = cupy.asarray(X.indices), cupy.asarray(X.indptr)
            return csr_matrix((data, indices, indptr), shape=X.shape)

    def _place_dense(self, X: Array) -> Array:
        if isinstance(X, np.ndarray):
            dtype = device_dtype(X.dtype)
            if X.size * dtype.itemsize > RESIDENT_SHARE * free_bytes():
                return HostRows(X, dtype)
            return cupy.asarray(X, dtype=dtype, order="C")
        rows = X if isinstance(X, cupy.ndarray) else cupy.from_dlpack(X)
        current = cupy.cuda.runtime.getDevice()
        if rows.device.id != current:
            raise ValueError(
                f"X is on GPU {rows.device.id}, and CuPy's current device is GPU {current}."
                f" Call fit within `with cupy.cuda.Device({rows.device.id}):`."
            )
        return cupy.ascontiguousarray(rows)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return an array of the device as a NumPy array."""
        with explained("copying from it"):
            copy: NDArray[Any] = cupy.asnumpy(array)
            return copy

    def supports(self, problem: Problem) -> str | None:
        """Say whether a problem can be trained: all can, but for enormous sparse X."""
        if is_csr(problem.X) and problem.X.nnz > np.iinfo(np.int32).max:
            return "X has more than 2**31 - 1 stored elements; call partial_fit on chunks."
        return None

    def trainer(self, problem: Problem, state: State) -> Trainer:
        """Return the fastest trainer for a problem: see ``plan.choose_plan``."""
        if not isinstance(problem.X, HostRows):
            return self._resident_trainer(problem, state)
        with explained("making room for pieces of X"):
            copies, most = CudaCopies(), free_bytes() // 8  # two pieces, and much to spare
        return StreamingTrainer(
            problem,
            state,
            self._resident_trainer,
            copies,
            piece_bytes=min(PIECE_BYTES, most),
        )

    def _resident_trainer(self, problem: Problem, state: State) -> CupyTrainer:
        """The trainer of X on the device."""
        if unsupported(problem) is not None:
            return CupyTrainer(problem, state)
        work = workload(problem)
        plan = choose_plan(work, self._device.capability, self._device.shared_bytes)
        return planned_trainer(problem, state, work, plan)


def workload(problem: Problem) -> Workload:
    """Return what the choice of kernels depends on.

    Parameters
    ----------
    problem : Problem
        With dense X on the device.

    Returns
    -------
    Workload
        Shape, dtypes and alignment.
    """
    return Workload(
        n_features=problem.n_features,
        n_classes=problem.n_classes,
        batch_size=problem.batch_size,
        row_dtype=problem.X.dtype,
        dtype=problem.dtype,
        address=problem.X.data.ptr,
        own_steps=problem.rule.finds_steps,
    )


def planned_trainer(
    problem: Problem, state: State, work: Workload, plan: ClusterPlan | GraphPlan | ProductPlan
) -> CupyTrainer:
    """Return the trainer of a plan, with its kernels.

    Parameters
    ----------
    problem : Problem
        What is to be trained.
    state : State
        Where to start.
    work : Workload
        Of the problem.
    plan : ClusterPlan, GraphPlan or ProductPlan
        For the workload.

    Returns
    -------
    CupyTrainer
        A trainer with arrays of its own on the device.
    """
    flags = options(macros(work, plan.threads))
    with explained("looking at it"):
        number = cupy.cuda.runtime.getDevice()
    if isinstance(plan, ClusterPlan):
        return ClusterTrainer(problem, state, plan, cuda_module("cluster.cu", flags, number))
    if isinstance(plan, GraphPlan):
        return GraphTrainer(problem, state, plan, cuda_module("graph.cu", flags, number))
    return ProductTrainer(problem, state, plan, cuda_module("residual.cu", flags, number))


def device_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which dense rows are kept on the device.

    Parameters
    ----------
    dtype : numpy dtype
        Any real one.

    Returns
    -------
    numpy dtype
        The same in the machine's byte order; float64 for what is longer.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax_cupy.backend import device_dtype
    >>> device_dtype(np.dtype(">f4")), device_dtype(np.dtype(np.longdouble))
    (dtype('float32'), dtype('float64'))
    """
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")
