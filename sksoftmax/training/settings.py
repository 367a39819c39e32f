"""What a fit is told, and which backends may train it.

This module must not know how any of them trains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from sksoftmax.backend.blocks import BlockBackend
from sksoftmax.backend.contract import Backend
from sksoftmax.backend.registry import (
    CPU_PREFERENCE,
    DEVICE_PREFERENCE,
    GPU_PREFERENCE,
    SMALL_PREFERENCE,
    get_backend,
    registered_names,
)
from sksoftmax.backend.rule import Rule
from sksoftmax.data.arrays import Array, is_on_device, is_on_gpu
from sksoftmax.data.stored import StoredRows

NEARNESS = 0.8
"""How near the average gradients of minibatches are taken: 0.5 is better for a thousand
classes, 0.9 for collinear features."""

LEAST_WEIGHT = 0.1
"""Weight of the newest iterate in the average of full batches, which have no noise to average:
with gradients taken at the average itself, that of a heavy ball of momentum 0.9."""

LEAST_ALPHA = 1e-4
"""Least automatic penalty: many rows of very many classes still need one."""


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
        return self.learning_rate == "auto" and self.optimizer != "adam"

    @property
    def _given_rule(self) -> str:
        """The rule of steps of a given size; "lbfgs" begins with those of SGD."""
        return "adam" if self.optimizer == "adam" else "sgd"

    def strength(self, total_weight: float) -> float:
        """Return the strength of the penalty.

        Parameters
        ----------
        total_weight : float
            Sum of the weights of all rows so far.

        Returns
        -------
        float
            `alpha`; for "auto" what C = 1 is in ``LogisticRegression``, or LEAST_ALPHA.
        """
        if isinstance(self.alpha, str):
            return max(LEAST_ALPHA, 1 / total_weight)
        return float(self.alpha)

    def rule(self, batches_are_noisy: bool) -> Rule:
        """Return the update rule that these parameters ask for.

        Parameters
        ----------
        batches_are_noisy : bool
            Whether a batch is less than all rows.

        Returns
        -------
        Rule
            Of one model.
        """
        automatic = self.is_automatic
        return Rule(
            name="distance-over-gradients" if automatic else self._given_rule,
            momentum=np.array([0.0 if automatic else float(self.momentum)]),
            nesterov=self.nesterov and not automatic,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            nearness=NEARNESS if batches_are_noisy else 1.0,
            least_weight=0.0 if batches_are_noisy else LEAST_WEIGHT,
        )


SMALL_EPOCH = 10**7
"""Multiplications of an epoch below which NumPy trains before a backend that must compile would
start. The rule asks for nothing but the data: were it to ask what is compiled already, a second
run of the same program would give other bits."""


def candidate_backends(
    backend: str | Backend, X: Array, n_multiplications: float = math.inf
) -> Iterator[Backend]:
    """Yield the backends that may train, the best first.

    Parameters
    ----------
    backend : str or Backend
        A registered name, "auto" for the CPU backends whose libraries are installed, or for
        rows on a device the first that starts there, or a backend object.
    X : array of shape (n_rows, n_features)
        The rows.
    n_multiplications : float, default=inf
        Of an epoch: stored elements of the rows, times classes. Where they are few, NumPy is
        the best for "auto".

    Yields
    ------
    Backend
        One, or several for "auto"; wrapped, where rows are stored, to read them in blocks.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError, RuntimeError
        If rows are on a device where no backend can train.
    """
    for candidate in _named(backend, X, n_multiplications < SMALL_EPOCH):
        yield BlockBackend(candidate) if isinstance(X, StoredRows) else candidate


def _named(backend: str | Backend, X: Array, is_small: bool) -> Iterator[Backend]:
    """Yield the backend itself, the one of that name, or the candidates of "auto"."""
    if not isinstance(backend, str):
        yield backend
    elif backend != "auto":
        yield get_backend(backend)
    elif is_on_device(X):
        yield _first_that_starts(GPU_PREFERENCE if is_on_gpu(X) else DEVICE_PREFERENCE)
    else:
        installed = registered_names()
        order = SMALL_PREFERENCE if is_small else CPU_PREFERENCE
        for name in (name for name in order if name in installed):
            try:
                found = get_backend(name)
            except Exception:  # list_backends says why it cannot start
                continue
            yield found


def _first_that_starts(names: tuple[str, ...]) -> Backend:
    """The best of some backends; where none starts, the error says what the best one lacks."""
    best, *others = names
    try:
        return get_backend(best)
    except (ImportError, RuntimeError):
        for name in others:
            with suppress(ImportError, RuntimeError):
                return get_backend(name)
        raise
