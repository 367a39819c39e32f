"""What a fit is told, and what follows from it and the rows: backends to try, and the dtype.

This module must not know how anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sksoftmax.backend.blocks import BlockBackend
from sksoftmax.backend.contract import Backend
from sksoftmax.backend.registry import (
    CPU_PREFERENCE,
    GPU_PREFERENCE,
    get_backend,
    registered_names,
)
from sksoftmax.data.arrays import Array, is_on_gpu
from sksoftmax.data.stored import StoredRows


@dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that concern training, as it documents them."""

    alpha: float | str
    l1_ratio: float
    fit_intercept: bool
    batch_size: int | str
    learning_rate: float | str
    schedule: str
    max_iter: int
    optimizer: str
    momentum: float
    nesterov: bool
    beta_1: float
    beta_2: float
    epsilon: float
    average: bool
    standardize: bool
    shuffle: bool | str
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        for name in ("l1_ratio", "momentum", "beta_1", "beta_2", "epsilon"):
            # NumPy and compiled code know no fractions.Fraction, which scikit-learn lets pass.
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def is_automatic(self) -> bool:
        """Whether steps find their own size."""
        return self.learning_rate == "auto" and self.optimizer == "sgd"


def candidate_backends(backend: str | Backend, X: Array) -> Iterator[Backend]:
    """Yield the backends that may train, the best first.

    Parameters
    ----------
    backend : str or Backend
        A registered name, "auto" for the CPU backends whose libraries are installed, or the
        GPU's for rows on a GPU, or a backend object.
    X : array of shape (n_rows, n_features)
        The rows.

    Yields
    ------
    Backend
        One, or several for "auto"; wrapped, where rows are stored, to read them in blocks.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError, RuntimeError
        If rows are on a GPU where no backend can train.
    """
    for candidate in _named(backend, X):
        yield BlockBackend(candidate) if isinstance(X, StoredRows) else candidate


def _named(backend: str | Backend, X: Array) -> Iterator[Backend]:
    """Those that a name stands for."""
    if not isinstance(backend, str):
        yield backend
    elif backend != "auto":
        yield get_backend(backend)
    elif is_on_gpu(X):
        yield from map(get_backend, GPU_PREFERENCE)
    else:
        installed = registered_names()
        for name in (name for name in CPU_PREFERENCE if name in installed):
            try:
                found = get_backend(name)
            except ImportError:
                continue  # it comes along with us, its library does not
            yield found
