"""A fit in progress: statistics, step size, random orders and epochs on a backend.

Training knows what an epoch needs and what must be remembered between epochs, calls and
pickles; it does not know why or when to stop, nor anything about prediction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sksoftmax.checkpoint import Checkpoint
from sksoftmax.csr import canonical, elements_a_row, is_csr
from sksoftmax.problem import Array, Backend, Problem, State
from sksoftmax.registry import CPU_PREFERENCE, get_backend, registered_names
from sksoftmax.schedules import LEAST_FACTOR, REDUCTION, step_factors
from sksoftmax.standardize import Moments, feature_moments, on_grid
from sksoftmax.steps import (
    ADAM_STEP,
    Coordinates,
    Curvature,
    automatic_step,
    measure_curvature,
)
from sksoftmax.targets import Targets
from sksoftmax.validation import Validation

SEGMENT_OPERATIONS = 2e9
"""Multiplications in a run of batches, about a second's work, after which Python looks up."""

SEGMENT_ROWS = 2**20
"""Most rows in such a run, which bounds what a backend keeps for each of them."""


@dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that concern training, as it documents them."""

    alpha: float
    l1_ratio: float
    fit_intercept: bool
    batch_size: int
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
    shuffle: bool
    n_jobs: int | None = None


class Training:
    """Rows, targets and settings, ready to run epochs.

    Parameters
    ----------
    settings : Settings
        What the estimator was told.
    backend : str or Backend
        A name, "auto" or a backend object.
    X : array of shape (n_rows, n_features)
        Validated rows.
    targets : Targets
        Labels and weights.
    validation : Validation or None
        Rows to evaluate on; those of `X` are read where `X` lies.
    seed : int
        Used where `resume` is None.
    resume : Checkpoint or None
        Where to go on from.
    stream : bool
        Whether these rows add to those of `resume` (partial_fit) or replace them.

    Attributes
    ----------
    n_epochs : int
        Epochs so far, earlier calls included.
    backend_seconds : float
        What the backend took for the last epoch, as apart from orders and evaluation.
    """

    def __init__(
        self,
        settings: Settings,
        backend: str | Backend,
        X: Array,
        targets: Targets,
        *,
        validation: Validation | None = None,
        seed: int,
        resume: Checkpoint | None,
        stream: bool,
    ):
        self.settings = settings
        self.targets = targets
        self.seed = seed if resume is None else resume.seed
        self.n_epochs = self._first_epoch = 0 if resume is None else resume.n_epochs
        self.reduction = 1.0 if resume is None else resume.reduction
        self.dtype = training_dtype(X.dtype)
        earlier = resume if stream else None
        seen = 0 if earlier is None else earlier.n_samples_seen
        self.n_samples_seen = seen + targets.n_rows
        before = 0.0 if earlier is None else earlier.total_weight
        self.total_weight = before + targets.total_weight
        self.weights = self._mean_one_weights()
        self.validation = validation
        self.backend_seconds = 0.0
        noisy = stream or self.n_batches > 1
        for self.backend in candidate_backends(backend):
            self._place(canonical(X), validation is not None and validation.X is X)
            self._measure(earlier)
            self.problem = self._problem(batches_are_noisy=noisy)
            reason = self.backend.supports(self.problem)
            if reason is None:
                break
        else:
            raise ValueError(f"Backend {self.backend.name!r} cannot train this: {reason}")
        state = None if resume is None else resume.state
        if state is None:
            shape = (1, self.problem.n_classes, self.problem.n_features)
            state = State.zeros(*shape, self.dtype)
        self._trainer = self.backend.trainer(self.problem, state)

    def _place(self, X: Array, shared: bool) -> None:
        """Bring the rows to the backend; `shared` says that validation rows are among them."""
        self._placed = self.backend.place(X)
        self._placed_validation = self._placed
        if self.validation is not None and not shared:
            self._placed_validation = self.backend.place(canonical(self.validation.X))

    def _mean_one_weights(self) -> NDArray[Any] | None:
        """Weights of mean 1 over all rows so far, None when all are 1."""
        weights = self.targets.weights
        if weights is None and self.total_weight == self.n_samples_seen:
            return None
        scale = self.n_samples_seen / self.total_weight
        if weights is None:
            weights = np.ones(len(self.targets.codes))
        return (weights * scale).astype(self.dtype)

    def _measure(self, earlier: Checkpoint | None) -> None:
        """Means, scales and curvature of the rows, merged with those of earlier chunks."""
        settings, rows, X = self.settings, self.targets.rows, self._placed
        n_features = X.shape[1]
        self.moments: Moments | None = None
        self.mean = np.zeros(n_features)
        self.scale = np.ones(n_features)
        step_scale, centre = np.ones(n_features), None
        if settings.standardize:
            moments = feature_moments(self.backend, X, self.targets.weights, rows)
            if earlier is not None and earlier.moments is not None:
                moments = earlier.moments.merge(moments)
            self.moments, self.mean, self.scale = moments, moments.mean, moments.scale
            centred = settings.fit_intercept and not is_csr(X)  # else zeros would be stored
            centre = moments.mean if centred else None
            step_scale = moments.step_scale(centre)
            if is_csr(X):
                step_scale = on_grid(step_scale, moments.scale)
        self.coordinates = Coordinates(centre, step_scale, settings.fit_intercept)
        self.curvature: Curvature | None = None
        if settings.learning_rate == "auto" and settings.optimizer == "sgd":
            rng = np.random.default_rng([self.seed, 0])
            curvature = measure_curvature(
                self.backend, X, self.weights, rows, self.coordinates, self.dtype, rng
            )
            if earlier is not None and earlier.curvature is not None:
                curvature = earlier.curvature.merge(curvature)
            self.curvature = curvature
        self.step_size = self._step_size()

    @property
    def batch_size(self) -> int:
        """Rows in a batch: no more than there are."""
        return min(self.settings.batch_size, self.targets.n_rows)

    @property
    def n_batches(self) -> int:
        """Steps in an epoch."""
        return -(-self.targets.n_rows // self.batch_size)

    @property
    def l2(self) -> float:
        """The squared penalty on each class's weights.

        Two classes' opposite rows share the penalty of the one row of binary logistic
        regression: half the difference, squared, twice.
        """
        strength = self.settings.alpha * (1 - self.settings.l1_ratio)
        return strength * (2 if len(self.targets.classes) == 2 else 1)

    def _step_size(self) -> float:
        settings = self.settings
        if settings.learning_rate != "auto":
            return float(settings.learning_rate)
        if self.curvature is None:
            return ADAM_STEP
        bound = self.curvature.lipschitz(self.n_samples_seen, self.batch_size, self.l2)
        return automatic_step(bound, settings.momentum, nesterov=settings.nesterov)

    def _problem(self, batches_are_noisy: bool) -> Problem:
        coordinates, centre = self.coordinates, self.coordinates.centre
        return Problem(
            X=self._placed,
            y=self.targets.codes,
            weights=None if self.weights is None else self.weights[None, :],
            n_classes=len(self.targets.classes),
            dtype=self.dtype,
            batch_size=self.batch_size,
            l2=np.array([self.l2]),
            l1=np.array([self.settings.alpha * self.settings.l1_ratio]),
            penalty_share=self.targets.n_rows / (self.n_batches * self.batch_size),
            momentum=np.array([float(self.settings.momentum)]),
            # A full batch has no noise to average: there the average only lags.
            average=self.settings.average and batches_are_noisy,
            fit_intercept=self.settings.fit_intercept,
            means=None if centre is None else centre[None, :],
            scales=self.scale[None, :],
            step_scales=coordinates.scale[None, :],
            optimizer=self.settings.optimizer,
            nesterov=self.settings.nesterov,
            beta_1=self.settings.beta_1,
            beta_2=self.settings.beta_2,
            epsilon=self.settings.epsilon,
            n_threads=effective_n_jobs(self.settings.n_jobs),
        )

    def run_epoch(self) -> float:
        """Take every row once and return the objective.

        Returns
        -------
        float
            The weighted mean loss, each batch measured before its own step, plus penalty.
        """
        order, step_sizes = self._order(), self._step_sizes()
        n_batches = self._batches_per_segment()
        objective = 0.0
        self.backend_seconds = 0.0
        for first in range(0, self.n_batches, n_batches):
            steps = step_sizes[:, first : first + n_batches]
            part = order[first * self.batch_size : (first + n_batches) * self.batch_size]
            start = time.perf_counter()
            objective += len(part) * float(self._trainer.run_epoch(part, steps)[0])
            self.backend_seconds += time.perf_counter() - start
        self.n_epochs += 1
        return objective / len(order)

    def evaluate(self) -> tuple[float, float]:
        """Return loss and accuracy of the averaged weights on the validation rows.

        Returns
        -------
        loss, accuracy : float
            Weighted means, without the penalty.
        """
        assert self.validation is not None
        targets, X = self.validation.targets, self._placed_validation
        if targets.rows is None:
            loss, accuracy = self._trainer.evaluate(X, targets.codes, targets.weights)
            return float(loss[0]), float(accuracy[0])
        sums = np.zeros(2)
        for rows in self.validation.blocks():
            weights = None if targets.weights is None else targets.weights[rows]
            total = len(rows) if weights is None else weights.sum()
            means = self._trainer.evaluate(X[rows], targets.codes[rows], weights)
            sums += np.ravel(means) * (total / targets.total_weight)
        return float(sums[0]), float(sums[1])

    def reduce_step(self) -> bool:
        """Divide the step size for the "adaptive" schedule.

        Returns
        -------
        bool
            False, without a change, where it is small enough already.
        """
        if self.reduction < LEAST_FACTOR:
            return False
        self.reduction /= REDUCTION
        return True

    def _step_sizes(self) -> NDArray[np.float64]:
        """The step of each batch of this epoch, of shape (1, n_batches)."""
        share = 1 / self.settings.max_iter
        factors = step_factors(
            self.settings.schedule,
            self.n_batches,
            epoch=self.n_epochs,
            progress=share * (self.n_epochs - self._first_epoch),
            share=share,
        )
        return (self.step_size * self.reduction) * factors[None, :]

    def _order(self) -> NDArray[np.int64]:
        """The rows of positive weight, in the order of this epoch."""
        count, rows = self.targets.n_rows, self.targets.rows
        if not self.settings.shuffle:
            return np.arange(count) if rows is None else rows
        rng = np.random.default_rng([self.seed, 1 + self.n_epochs])
        order = rng.permutation(count)
        return order if rows is None else rows[order]

    def _batches_per_segment(self) -> int:
        """Whole batches in about a second, by counting rather than by the clock."""
        width = elements_a_row(self._placed) * len(self.targets.classes)
        rows = min(SEGMENT_ROWS, int(SEGMENT_OPERATIONS / width))
        return max(1, rows // self.batch_size)

    def checkpoint(self) -> Checkpoint:
        """Return what must be remembered.

        Returns
        -------
        Checkpoint
            NumPy arrays that no later epoch writes to.
        """
        return Checkpoint(
            seed=self.seed,
            n_epochs=self.n_epochs,
            n_samples_seen=self.n_samples_seen,
            moments=self.moments,
            curvature=self.curvature,
            total_weight=self.total_weight,
            reduction=self.reduction,
            state=self._trainer.state(),
        )


def training_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the arithmetic for rows of a dtype.

    Parameters
    ----------
    dtype : numpy dtype
        Of X.

    Returns
    -------
    numpy dtype
        float32 for floats and integers of at most 16 bits and float32, else float64.
    """
    small = dtype.itemsize <= 2 and dtype.kind in "fiu"
    return np.dtype(np.float32 if small or dtype == np.float32 else np.float64)


def candidate_backends(backend: str | Backend) -> Iterator[Backend]:
    """Yield the backends that may train, the best first.

    Parameters
    ----------
    backend : str or Backend
        A registered name, "auto" for the CPU backends whose libraries are installed, or a
        backend object.

    Yields
    ------
    Backend
        One, or several for "auto".

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if not isinstance(backend, str):
        yield backend
    elif backend != "auto":
        yield get_backend(backend)
    else:
        installed = registered_names()
        for name in (name for name in CPU_PREFERENCE if name in installed):
            try:
                found = get_backend(name)
            except ImportError:
                continue  # it comes along with us, its library does not
            yield found
