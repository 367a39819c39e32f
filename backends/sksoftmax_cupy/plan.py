"""Which kernels train a problem on a device, and how their work is divided.

The choice is a function of shape, dtype and device alone, so it can be read, tested and
overruled without a GPU. This module must not import CuPy, nor know how a kernel is launched.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from sksoftmax.backend import Problem, is_csr

CLUSTER = 8
"""Blocks of a cluster: the most that every device with clusters can run."""

MOST_CLASSES = 32
"""Most classes of which a thread can hold a number each in registers."""

LARGE_BATCH = 1e8
"""Multiplications of a batch from which cuBLAS is left to do them."""

FEATURE_TILE = 32
"""Features that a block of the graph's kernels takes at once: a warp's width."""

ROW_TILE = 32
"""Rows of a block of the kernel between two products: a warp's width."""

THREADS = (512, 256, 128, 64)
"""Threads of a block, the first of these that fits."""

DEFAULT_SHARED_BYTES = 48 * 1024
"""Shared memory that a block has on every device without asking."""


@dataclass(frozen=True)
class Workload:
    """What the choice depends on.

    Parameters
    ----------
    n_features, n_classes, batch_size : int
        The shape of a step.
    row_dtype : numpy dtype
        Of X: float32, float64 or uint8.
    dtype : numpy dtype
        Of the arithmetic: float32 or float64.
    address : int
        Where X lies, which decides how many bytes can be copied at once.
    own_steps : bool
        Whether the rule is "distance-over-gradients", not "sgd".
    """

    n_features: int
    n_classes: int
    batch_size: int
    row_dtype: np.dtype[Any]
    dtype: np.dtype[Any]
    address: int = 0
    own_steps: bool = False

    @property
    def chunk(self) -> int:
        """Bytes copied at once: 16, 8 or 4 where all rows are aligned to them, or a number."""
        row_bytes, itemsize = self.n_features * self.row_dtype.itemsize, self.row_dtype.itemsize
        for size in (16, 8, 4):
            if size >= itemsize and row_bytes % size == 0 and self.address % size == 0:
                return size
        return itemsize

    @property
    def vector_bytes(self) -> int:
        """Bytes of a number for each class, in whole groups of 16."""
        return -(-self.n_classes * self.dtype.itemsize // 16) * 16

    @property
    def most_threads(self) -> int:
        """Threads of a block among which the registers suffice for a number a class."""
        return 512 if self.n_classes * self.dtype.itemsize <= 64 else 256


@dataclass(frozen=True)
class ClusterPlan:
    """How the cluster kernel divides its work.

    Parameters
    ----------
    threads : int
        Threads of each of the blocks.
    block_features : int
        Features of a block, a multiple of those that are copied at once.
    pitch : int
        Elements from one row of a tile to the next.
    tile_rows : int
        Rows that are worked on together, at most `threads`.
    score_segments, gradient_segments : int
        Parts of the features of a row, and of the rows of a tile, given to threads apart.
    shared_bytes : int
        Shared memory of a block.
    """

    threads: int
    block_features: int
    pitch: int
    tile_rows: int
    score_segments: int
    gradient_segments: int
    shared_bytes: int


@dataclass(frozen=True)
class GraphPlan:
    """How the kernels of a graph divide a step.

    Parameters
    ----------
    threads : int
        Threads of a block in each of the kernels.
    residual_rows : int
        Rows of a block in the first kernel.
    update_rows : int
        Rows whose residuals are read at once in the second.
    residual_bytes, update_bytes : int
        Shared memory of a block in each.
    own_update_bytes : int
        That in the third kernel, of the rule that finds its own steps.
    """

    threads: int
    residual_rows: int
    update_rows: int
    residual_bytes: int
    update_bytes: int
    own_update_bytes: int


@dataclass(frozen=True)
class ProductPlan:
    """How the kernel between two products divides its work.

    Parameters
    ----------
    threads : int
        Threads of a block.
    shared_bytes : int
        Shared memory of a block.
    """

    threads: int
    shared_bytes: int


def unsupported(problem: Problem) -> str | None:
    """Say what of a problem the kernels lack; the loop over CuPy has it.

    Parameters
    ----------
    problem : Problem
        With X on the device.

    Returns
    -------
    str or None
        None where kernels can train it.
    """
    X = problem.X
    missing = {
        "sparse rows": is_csr(X),
        "several models": problem.n_models > 1,
        "Adam": problem.rule.name == "adam",
        "Nesterov's momentum": problem.rule.nesterov,
        "an absolute penalty": bool(problem.l1.any()),
    }
    if not is_csr(X):
        missing[f"rows of {X.dtype}"] = X.dtype.str[1:] not in ("f4", "f8", "u1")
        missing["rows that are not contiguous"] = not X.flags.c_contiguous
    return next((what for what, is_so in missing.items() if is_so), None)


def choose_plan(
    work: Workload, capability: tuple[int, int], shared_bytes: int
) -> ClusterPlan | GraphPlan | ProductPlan:
    """Choose the kernels for a problem that `unsupported` finds nothing in.

    ===================================================== ==================================
    where                                                 what
    ===================================================== ==================================
    a batch of 1e8 multiplications or more, or more than  products by cuBLAS, and one kernel
    32 classes                                            between them
    compute capability 9.0 or later, and the model's      one launch an epoch: a cluster of
    slices fit in the shared memory of 8 blocks           8 blocks
    else                                                  two launches a step, or three
                                                      by a rule that finds its own
                                                      steps, in a graph
    ===================================================== ==================================

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    capability : tuple of two ints
        The device's compute capability.
    shared_bytes : int
        Shared memory that a block may have.

    Returns
    -------
    ClusterPlan, GraphPlan or ProductPlan
        Of the kernels to take.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax_cupy.plan import Workload, choose_plan
    >>> float32 = np.dtype(np.float32)
    >>> mnist = Workload(784, 10, 100, float32, float32)
    >>> type(choose_plan(mnist, (9, 0), 227 * 1024)).__name__
    'ClusterPlan'
    >>> type(choose_plan(mnist, (8, 0), 163 * 1024)).__name__
    'GraphPlan'
    """
    n_products = work.batch_size * work.n_features * work.n_classes
    if n_products >= LARGE_BATCH or work.n_classes > MOST_CLASSES:
        return product_plan(work, 256)
    if capability >= (9, 0):
        for threads, most_rows in product(THREADS[:3], (128, 64, 32, 16)):
            plan = cluster_plan(work, threads, most_rows)
            if threads <= work.most_threads and plan.shared_bytes <= shared_bytes:
                return plan
    return graph_plan(work, work.most_threads)


def cluster_plan(work: Workload, threads: int, most_rows: int) -> ClusterPlan:
    """Divide the work of the cluster kernel.

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    threads : int
        Threads of a block.
    most_rows : int
        Most rows of a tile.

    Returns
    -------
    ClusterPlan
        Whether it fits in a device's shared memory is for the caller to see.
    """
    elements = work.chunk // work.row_dtype.itemsize
    n_chunks = -(-work.n_features // (CLUSTER * elements))
    block_features = n_chunks * elements
    # An odd number of chunks apart, rows begin in different banks.
    pitch = (n_chunks | 1) * elements
    tile_rows = min(work.batch_size, most_rows, threads)
    score_segments = max(1, min(threads // tile_rows, n_chunks))
    gradient_segments = max(1, min(threads // (block_features + 1), tile_rows))
    plan = ClusterPlan(
        threads, block_features, pitch, tile_rows, score_segments, gradient_segments, 0
    )
    return ClusterPlan(**{**vars(plan), "shared_bytes": cluster_shared_bytes(work, plan)})


def cluster_shared_bytes(work: Workload, plan: ClusterPlan) -> int:
    """Return the bytes of the arrays that cluster.cu lays out in shared memory.

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    plan : ClusterPlan
        The division; its own `shared_bytes` is not read.

    Returns
    -------
    int
        Bytes of each block.
    """
    columns, k, rows = plan.block_features + 1, work.n_classes, plan.tile_rows
    tiles = 2 * rows * plan.pitch * work.row_dtype.itemsize
    vectors = (3 + plan.gradient_segments) * columns + rows  # the model's, and residuals
    scores = (plan.score_segments + 2 * CLUSTER) * k * rows
    reals = plan.block_features + 3 * columns + scores  # with means and scales
    n_bytes = -(-tiles // 16) * 16 + vectors * work.vector_bytes + reals * work.dtype.itemsize
    if not work.own_steps:
        return n_bytes
    # What the blocks tell each other and the norms; the step, and two numbers a thread.
    return n_bytes + 16 * (CLUSTER + 2) + (4 + 2 * plan.threads) * work.dtype.itemsize


def graph_plan(work: Workload, most_threads: int) -> GraphPlan:
    """Divide the work of the graph's kernels so that any device has the shared memory.

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    most_threads : int
        Most threads of a block, at least 64.

    Returns
    -------
    GraphPlan
        With as many threads as fit.
    """
    k, itemsize = work.n_classes, work.dtype.itemsize
    residual_rows, update_rows = min(4, work.batch_size), min(64, work.batch_size)
    for threads in THREADS[THREADS.index(most_threads) :]:
        segments = threads // residual_rows * residual_rows * k
        rows = residual_rows * (FEATURE_TILE + 1)
        residual = FEATURE_TILE * work.vector_bytes + (rows + segments) * itemsize
        update = update_rows * work.vector_bytes + threads * k * itemsize
        if max(residual, update) <= DEFAULT_SHARED_BYTES:
            break
    own_update = (4 + 2 * threads) * itemsize  # the step, and two numbers a thread
    return GraphPlan(threads, residual_rows, update_rows, residual, update, own_update)


def product_plan(work: Workload, threads: int) -> ProductPlan:
    """Divide the work of the kernel between two products.

    Parameters
    ----------
    work : Workload
        Shape and dtypes.
    threads : int
        Threads of a block, a multiple of 32.

    Returns
    -------
    ProductPlan
        Its shared memory is what residual.cu lays out.
    """
    return ProductPlan(threads, (2 * threads + ROW_TILE) * work.dtype.itemsize)
