"""A fit in progress: statistics, step size, random orders and epochs on a backend.

Training knows what an epoch needs and what must be remembered between epochs, calls and
pickles; it does not know why or when to stop, nor anything about prediction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sksoftmax.blocks import block_order
from sksoftmax.checkpoint import Checkpoint
from sksoftmax.csr import canonical, elements_a_row, is_csr
from sksoftmax.problem import Array, Backend, Problem, State, Trainer
from sksoftmax.schedules import LEAST_FACTOR, REDUCTION, step_factors
from sksoftmax.settings import Settings, candidate_backends, training_dtype
from sksoftmax.standardize import Moments, feature_moments, on_grid
from sksoftmax.steps import (
    ADAM_STEP,
    Coordinates,
    Curvature,
    automatic_step,
    measure_curvature,
)
from sksoftmax.stored import StoredRows
from sksoftmax.targets import Targets
from sksoftmax.validation import Validation

SEGMENT_OPERATIONS = 2e9
"""Multiplications in a run of batches, about a second's work, after which Python looks up."""

SEGMENT_ROWS = 2**20
"""Most rows in such a run, which bounds what a backend keeps for each of them."""


class Training:
    """Rows, targets and settings, ready to run epochs.

    Parameters
    ----------
    settings : Settings
        What the estimator was told.
    backend : str or Backend
        A name, "auto" or a backend object.
    X : array of shape (n_rows, n_features)
        Validated rows, in memory or stored.
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
    measured : Training or None
        One on the same rows, weights and seed, whose backend, placed rows and statistics
        serve here as well.

    Attributes
    ----------
    n_epochs : int
        Epochs so far, earlier calls included.
    backend_seconds : float
        What the backend took for the last epoch, as apart from orders and evaluation.
    state : callable
        Returns the state after the last step, whoever took it: `trainer`, or a stack.
    rank : int
        Which of several processes this is, whose orders differ. The first, or only, one has
        number 0, which changes no random number.
    """

    rank = 0

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
        measured: Training | None = None,
    ):
        self.settings = settings
        self.targets = targets
        self.state: Callable[[], State]
        self.backend: Backend
        self.seed = seed if resume is None else resume.seed
        self.n_epochs = self._first_epoch = 0 if resume is None else resume.n_epochs
        self.reduction = 1.0 if resume is None else resume.reduction
        earlier = resume if stream else None
        seen = 0 if earlier is None else earlier.n_samples_seen
        self.n_rows, weight = self._totals()
        self.n_samples_seen = seen + self.n_rows
        before = 0.0 if earlier is None else earlier.total_weight
        self.total_weight = before + weight
        self.validation = validation
        self.backend_seconds = 0.0
        noisy = stream or self.n_batches > 1
        candidates = candidate_backends(backend, X) if measured is None else [measured.backend]
        for self.backend in candidates:
            if measured is None:
                self._place(canonical(X), validation is not None and validation.X is X)
                self.dtype = training_dtype(self._placed.dtype)
                self.weights = self._mean_one_weights()
                self._measure(earlier)
            else:
                self._take_over(measured)
            self.step_size = self._step_size()
            self.problem = self._problem(batches_are_noisy=noisy)
            reason = self._reason_against_backend()
            if reason is None:
                break
        else:
            raise ValueError(f"Backend {self.backend.name!r} cannot train this: {reason}")
        shape = (1, self.problem.n_classes, self.problem.n_features)
        first = State.zeros(*shape, self.dtype) if resume is None else resume.state
        self.state = lambda: first

    @cached_property
    def trainer(self) -> Trainer:
        """Who takes the steps of this model alone."""
        trainer = self._new_trainer(self.state())
        self.state = trainer.state
        return trainer

    def _totals(self) -> tuple[int, float]:
        """The rows that count, and the sum of their weights."""
        return self.targets.n_rows, self.targets.total_weight

    def _reason_against_backend(self) -> str | None:
        """Why the backend cannot train this; None where it can."""
        return self.backend.supports(self.problem)

    def _new_trainer(self, state: State) -> Trainer:
        """What takes the steps from a state on."""
        return self.backend.trainer(self.problem, state)

    def _place(self, X: Array, shared: bool) -> None:
        """Bring the rows to the backend; `shared` says that validation rows are among them."""
        self._placed = self.backend.place(X)
        self._placed_validation = self._placed
        if self.validation is not None and not shared:
            rows, place = self.validation.X, self.backend.place
            stored = isinstance(rows, StoredRows)
            self._placed_validation = rows.placed(place) if stored else place(canonical(rows))

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
        settings, X = self.settings, self._placed
        n_features = X.shape[1]
        self.moments: Moments | None = None
        self.mean = np.zeros(n_features)
        self.scale = np.ones(n_features)
        step_scale, centre = np.ones(n_features), None
        if settings.standardize:
            moments = self._moments_of_rows()
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
            curvature = self._curvature_of_rows()
            if earlier is not None and earlier.curvature is not None:
                curvature = earlier.curvature.merge(curvature)
            self.curvature = curvature

    def _take_over(self, other: Training) -> None:
        """Use what another training has placed and measured."""
        self.dtype, self.weights = other.dtype, other.weights
        self._placed, self._placed_validation = other._placed, other._placed_validation
        self.moments, self.mean, self.scale = other.moments, other.mean, other.scale
        self.coordinates, self.curvature = other.coordinates, other.curvature

    def _moments_of_rows(self) -> Moments:
        """Of these rows, without earlier chunks."""
        weights, rows = self.targets.weights, self.targets.rows
        return feature_moments(self.backend, self._placed, weights, rows)

    def _curvature_of_rows(self) -> Curvature:
        """Of these rows, without earlier chunks."""
        return measure_curvature(
            self.backend,
            self._placed,
            self.weights,
            self.targets.rows,
            self.coordinates,
            self.dtype,
            np.random.default_rng([self.seed, 0]),
        )

    @cached_property
    def batch_size(self) -> int:
        """Rows in a batch: no more than there are."""
        return min(self.settings.batch_size, self.n_rows)

    @cached_property
    def n_batches(self) -> int:
        """Steps in an epoch."""
        return -(-self.n_rows // self.batch_size)

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
            penalty_share=self.n_rows / (self.n_batches * self.batch_size),
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
        objective, self.backend_seconds = run_batches(self, self.trainer, self.step_sizes())
        self.n_epochs += 1
        return float(objective[0])

    def evaluate(self) -> tuple[float, float]:
        """Return loss and accuracy of the averaged weights on the validation rows.

        Returns
        -------
        loss, accuracy : float
            Weighted means, without the penalty.
        """
        loss, accuracy = self.evaluate_by(self.trainer)[:, 0].tolist()
        return loss, accuracy

    def evaluate_by(self, trainer: Trainer) -> NDArray[np.float64]:
        """Return loss and accuracy on the validation rows for each model of a trainer.

        Parameters
        ----------
        trainer : Trainer
            This model's own, or one of several models.

        Returns
        -------
        ndarray of shape (2, n_models), float64
            Weighted means, without the penalty: the losses, then the accuracies.
        """
        assert self.validation is not None
        targets, X = self.validation.targets, self._placed_validation
        if targets.rows is None and not isinstance(X, StoredRows):
            return np.stack(trainer.evaluate(X, targets.codes, targets.weights))
        sums = np.zeros(())
        for rows in self.validation.blocks():
            codes = targets.codes[rows]
            weights = None if targets.weights is None else targets.weights[rows]
            total = len(codes) if weights is None else weights.sum()
            means = trainer.evaluate(X[rows], codes, weights)
            sums = sums + np.stack(means) * (total / targets.total_weight)
        return sums

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

    def step_sizes(self) -> NDArray[np.float64]:
        """Return the step of each batch of this epoch.

        Returns
        -------
        ndarray of shape (1, n_batches), float64
            The first step, as the schedule and its reductions change it.
        """
        share = 1 / self.settings.max_iter
        factors = step_factors(
            self.settings.schedule,
            self.n_batches,
            epoch=self.n_epochs,
            progress=share * (self.n_epochs - self._first_epoch),
            share=share,
        )
        return (self.step_size * self.reduction) * factors[None, :]

    def order(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of positive weight in the order of this epoch.

        It follows from the seed and the number of the epoch.

        Yields
        ------
        ndarray of int64
            All rows where they lie in memory; else whole batches, of few blocks of rows.
        """
        count, rows = self.targets.n_rows, self.targets.rows
        rng = None
        if self.settings.shuffle:
            rng = np.random.default_rng([self.seed, 1 + self.n_epochs, self.rank])
        if isinstance(self._placed, StoredRows):
            yield from block_order(self._placed, rows, self.batch_size, rng)
        elif rng is None:
            yield np.arange(count) if rows is None else rows
        else:
            order = rng.permutation(count)
            yield order if rows is None else rows[order]

    def segments(self, n_models: int) -> Iterator[NDArray[np.int64]]:
        """Yield that order in whole batches of about a second, counted rather than timed.

        Parameters
        ----------
        n_models : int
            Models trained together.

        Yields
        ------
        ndarray of int64
            Row numbers.
        """
        size = self._batches_per_segment(n_models) * self.batch_size
        for order in self.order():
            for start in range(0, len(order), size):
                yield order[start : start + size]

    def _batches_per_segment(self, n_models: int) -> int:
        """Whole batches in about a second, at least one."""
        return max(1, self._rows_per_segment(n_models) // self.batch_size)

    def _rows_per_segment(self, n_models: int) -> int:
        """Rows of this process in about a second."""
        width = elements_a_row(self._placed) * len(self.targets.classes) * n_models
        return min(SEGMENT_ROWS, int(SEGMENT_OPERATIONS / width))

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
            state=self.state(),
        )


def run_batches(
    training: Training, trainer: Trainer, step_sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Run the batches of an epoch, about a second's worth at a time.

    Parameters
    ----------
    training : Training
        Whose order is taken.
    trainer : Trainer
        Of one model or several.
    step_sizes : ndarray of shape (n_models, n_batches), float64
        The step of each batch.

    Returns
    -------
    objective : ndarray of shape (n_models,), float64
        As in Trainer.
    seconds : float
        What the trainer took.
    """
    first, seconds = 0, 0.0
    objective = np.zeros(len(step_sizes))
    for part in training.segments(len(step_sizes)):
        last = first - (-len(part) // training.batch_size)
        start = time.perf_counter()
        objective += len(part) * trainer.run_epoch(part, step_sizes[:, first:last])
        seconds += time.perf_counter() - start
        first = last
    return objective / training.n_rows, seconds
