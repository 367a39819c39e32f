"""What is trained on: MNIST, and shapes that other paths are for. It knows no contestant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np
from cupyx.scipy import sparse

from benchmarks.measure import mnist


@dataclass(frozen=True)
class Task:
    """Rows, labels and a batch size.

    Parameters
    ----------
    name : str
        What it is called in the table.
    X : array or CSR matrix of shape (n_rows, n_features)
        On the device.
    y : ndarray of shape (n_rows,), int64
        Class codes on the host.
    n_classes, batch_size : int
        The rest of the shape of a step.
    test : tuple of X and y, or None
        Rows to measure the accuracy on.
    """

    name: str
    X: Any
    y: np.ndarray
    n_classes: int
    batch_size: int
    test: tuple[Any, np.ndarray] | None = None

    @property
    def is_dense(self) -> bool:
        """Whether X is an array."""
        return isinstance(self.X, cupy.ndarray)

    @property
    def n_bytes(self) -> int:
        """Bytes that an epoch reads of X, at least."""
        if self.is_dense:
            return int(self.X.nbytes)
        return int(self.X.data.nbytes + self.X.indices.nbytes + self.X.indptr.nbytes)


def mnist_tasks() -> list[Task]:
    """Return MNIST in batches of 100 and 1000, pixels in [0, 1] and as bytes."""
    X, y, X_test, y_test = mnist()
    tasks = []
    for size in (100, 1000):
        for kind, convert in (("float32", to_float), ("uint8", cupy.asarray)):
            test = (convert(X_test), y_test.astype(np.int64))
            name = f"MNIST, B={size}, {kind}"
            tasks.append(Task(name, convert(X), y.astype(np.int64), 10, size, test))
    return tasks


def to_float(X: np.ndarray) -> Any:
    """Return bytes as float32 in [0, 1] on the device."""
    return cupy.asarray(X, dtype=np.float32) / np.float32(255)


def large_tasks() -> list[Task]:
    """Return random rows in the shapes that cuBLAS, streaming and sparse rows are for."""
    rng = np.random.default_rng(0)

    def dense(n_rows: int, n_features: int, n_classes: int, size: int) -> Task:
        X = cupy.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)
        name = f"m={n_rows:.0e}, n={n_features}, k={n_classes}, B={size}"
        return Task(name, X, rng.integers(n_classes, size=n_rows), n_classes, size)

    n_rows, n_features, stored = 100_000, 50_000, 100
    columns = cupy.sort(cupy.random.randint(0, n_features, (n_rows, stored)), axis=1)
    X = sparse.csr_matrix(
        (
            cupy.random.random(n_rows * stored, dtype=np.float32),
            columns.ravel().astype(np.int32),
            cupy.arange(0, n_rows * stored + 1, stored, dtype=np.int32),
        ),
        shape=(n_rows, n_features),
    )
    X.sum_duplicates()
    csr = Task(
        "CSR, m=1e5, n=5e4, 0.2%, k=20, B=256", X, rng.integers(20, size=n_rows), 20, 256
    )
    return [dense(50_000, 3072, 1000, 1024), dense(10_000_000, 100, 20, 1024), csr]
