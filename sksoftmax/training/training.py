"""A fit in progress: statistics, step size, random orders and epochs on a backend.

Training knows what an epoch needs and what must be remembered between epochs, calls and
pickles; it does not know why or when to stop, nor anything about prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend, Trainer
from sksoftmax.backend.optimizers import last_step
from sksoftmax.backend.problem import Problem, State
from sksoftmax.backend.statistics import Moments, feature_moments
from sksoftmax.data.arrays import Array, training_dtype
from sksoftmax.data.holdout import Validation
from sksoftmax.data.order import epoch_order
from sksoftmax.data.rows import canonical, elements_a_row, is_csr
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets
from sksoftmax.training.batches import automatic_batch_size, rows_in_a_second, run_batches
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.coordinates import (
    ADAM_STEP,
    Coordinates,
    Deviations,
    automatic_coordinates,
    measure_curvature,
    measure_deviations,
    on_grid,
)
from sksoftmax.training.evaluation import Measure, mean_over_rows
from sksoftmax.training.holder import HeldState, Holder
from sksoftmax.training.noise import StepNoise
from sksoftmax.training.schedules import LEAST_FACTOR, REDUCTION, step_factors
from sksoftmax.training.settings import Settings, candidate_backends

LEAST_GROWTH = 1.4
"""Factor by which the scale of a feature must grow from chunk to chunk of a stream for its
weights to shrink: less comes and goes with the rows."""


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
    holder : Holder
        Who holds the model: `trainer`, or the stack while the model is trained in one.
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
        self._n_features = int(X.shape[1])
        self.holder: Holder
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
        candidates = self._candidates(backend, X, measured)
        # Whether a backend can train the rows may depend on how it places them. The first that
        # can keeps them.
        for self.backend in candidates:
            if measured is None:
                self._place(canonical(X), validation is not None and validation.X is X)
                self.dtype = training_dtype(self._placed.dtype)
                self.weights = self._mean_one_weights()
                self._measure(earlier)
            else:
                self._take_over(measured)
            self.problem = self._problem(batches_are_noisy=noisy)
            reason = self._reason_against_backend()
            if reason is None:
                break
        else:
            raise ValueError(f"Backend {self.backend.name!r} cannot train this: {reason}")
        # Not in a trainer yet: a model of a stack needs none of its own.
        first = self._first_state(resume, stream)
        self.holder = HeldState(first)
        self._step_noise = StepNoise(self.problem.rule, self.n_batches, first.norms)

    def _first_state(self, resume: Checkpoint | None, stream: bool) -> State:
        """The state that the first step goes on from: zeros, or that of `resume`.

        The optimiser starts anew where the penalty or the rows have changed.
        """
        if resume is None:
            shape = (1, self.problem.n_classes, self.problem.n_features)
            return State.zeros(*shape, self.dtype)
        if stream:
            return self._at_present_scale(resume)
        if resume.is_of(self.penalty, self.moments):
            return resume.state
        return resume.state.started_anew(replace(self.problem, l1=np.array(resume.penalty[1:])))

    def _at_present_scale(self, resume: Checkpoint) -> State:
        """The state of a stream, with smaller weights of features that turn out to be larger.

        A weight that was learnt while its feature seemed to be small would count as a long
        way in the coordinates of the step, and lengthen every later step for good.
        """
        if resume.moments is None or resume.deviations is None or self.deviations is None:
            return resume.state
        before = automatic_coordinates(
            resume.moments, resume.deviations, fit_intercept=self.settings.fit_intercept
        ).scale
        growth = self.coordinates.scale / np.where(np.isinf(before), 1, before)
        has_grown = (growth > LEAST_GROWTH) & np.isfinite(before)
        if not has_grown.any():
            return resume.state
        return resume.state.with_scaled_weights(np.where(has_grown, 1 / growth, 1))

    @cached_property
    def trainer(self) -> Trainer:
        """The backend's trainer of this model, made when it is first asked for."""
        trainer = self._new_trainer(self.state())
        self.holder = trainer
        return trainer

    def state(self) -> State:
        """Return the state after the last step.

        Returns
        -------
        State
            Copies, which can take as long as an epoch where there are many features.
        """
        return self.holder.state()

    def _totals(self) -> tuple[int, float]:
        """The rows that count, and the sum of their weights."""
        return self.targets.n_rows, self.targets.total_weight

    def _candidates(
        self, backend: str | Backend, X: Array, measured: Training | None
    ) -> Iterable[Backend]:
        """The backends that may train, the best first."""
        if measured is not None:
            return [measured.backend]
        return candidate_backends(backend, X, self._n_elements(X) * len(self.targets.classes))

    def _n_elements(self, X: Array) -> int:
        """Stored elements of the rows."""
        return int(X.nnz) if is_csr(X) else self.targets.n_rows * self._n_features

    def _reason_against_backend(self) -> str | None:
        """Why the backend cannot train this; None where it can."""
        return self.backend.supports(self.problem)

    def _new_trainer(self, state: State) -> Trainer:
        """A trainer of the backend that goes on from a state."""
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
        """Means and scales of the rows, merged with those of earlier chunks."""
        X = self._placed
        self._rng = np.random.default_rng([self.seed, 0])
        self.moments: Moments | None = None
        self.deviations: Deviations | None = None
        self.mean, self.scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
        self.coordinates = Coordinates(None, self.scale)
        if self.settings.standardize:
            moments = self._moments_of_rows()
            if earlier is not None and earlier.moments is not None:
                moments = earlier.moments.merge(moments)
            self.moments, self.mean, self.scale = moments, moments.mean, moments.scale
            if self.settings.is_automatic:
                self.coordinates = self._automatic_coordinates(moments, earlier)
            else:
                self.coordinates = self._given_coordinates(moments)
        self.curvature: float | None = None
        if self.settings.is_automatic:
            # A stream that has taken its first step needs no other one.
            goes_on = earlier is not None and last_step(earlier.state) > 0
            self.curvature = 1.0 if goes_on else self._curvature_of_rows()

    def _automatic_coordinates(
        self, moments: Moments, earlier: Checkpoint | None
    ) -> Coordinates:
        """Coordinates of steps that find their own size, for dense and sparse rows alike."""
        deviations = self._deviations_of_rows()
        if earlier is not None and earlier.deviations is not None:
            deviations = earlier.deviations.merge(deviations)
        self.deviations = deviations
        return automatic_coordinates(
            moments, deviations, fit_intercept=self.settings.fit_intercept
        )

    def _given_coordinates(self, moments: Moments) -> Coordinates:
        """Coordinates of steps of a given size: CSR rows are not centred, to stay sparse."""
        if is_csr(self._placed):
            return Coordinates(None, on_grid(moments.step_scale(None), moments.scale))
        centre = moments.mean if self.settings.fit_intercept else None
        return Coordinates(centre, moments.step_scale(centre))

    def _take_over(self, other: Training) -> None:
        """Use what another training has placed and measured."""
        self.dtype, self.weights = other.dtype, other.weights
        self._placed, self._placed_validation = other._placed, other._placed_validation
        self.moments, self.mean, self.scale = other.moments, other.mean, other.scale
        self.deviations, self.coordinates = other.deviations, other.coordinates
        self.curvature = other.curvature

    def _moments_of_rows(self) -> Moments:
        """Moments of the features in these rows, without earlier chunks."""
        weights, rows = self.targets.weights, self.targets.rows
        return feature_moments(self.backend, self._placed, weights, rows)

    def _deviations_of_rows(self) -> Deviations:
        """Deviations of the features in these rows, without earlier chunks."""
        weights, rows = self.targets.weights, self.targets.rows
        return measure_deviations(
            self.backend, self._placed, weights, rows, self.mean, self._rng
        )

    def _curvature_of_rows(self) -> float:
        """Curvature of the loss of one batch of these rows, along its first gradient."""
        return measure_curvature(
            self.backend,
            self._placed,
            self.targets.codes,
            len(self.targets.classes),
            self.weights,
            self.targets.rows,
            self.coordinates,
            fit_intercept=self.settings.fit_intercept,
            batch_size=self.batch_size,
            rng=self._rng,
        )

    @cached_property
    def batch_size(self) -> int:
        """Rows in a batch: no more than there are."""
        size = self.settings.batch_size
        if isinstance(size, str):
            return automatic_batch_size(self.n_rows)
        return min(size, self.n_rows)

    @cached_property
    def n_batches(self) -> int:
        """Steps in an epoch."""
        return -(-self.n_rows // self.batch_size)

    @property
    def alpha(self) -> float:
        """Strength of the penalty."""
        return self.settings.strength(self.total_weight)

    @property
    def penalty(self) -> tuple[float, float]:
        """The squared and the absolute penalty on each class's weights.

        Two classes' opposite rows share the penalty of the one row of binary logistic
        regression: half the difference, squared, twice.
        """
        alpha, l1_ratio = self.alpha, self.settings.l1_ratio
        twice = 2 if len(self.targets.classes) == 2 else 1
        return alpha * (1 - l1_ratio) * twice, alpha * l1_ratio

    @property
    def frequency_loss(self) -> float:
        """The loss of the class frequencies: of the best model that sees no feature."""
        share = self.class_frequencies
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())

    @property
    def class_frequencies(self) -> NDArray[np.float64]:
        """The share of each class in the weight of the rows that are trained on."""
        counts = self._class_counts()
        frequencies: NDArray[np.float64] = counts / counts.sum()
        return frequencies

    def _class_counts(self) -> NDArray[Any]:
        """The weight of each class in the rows that are trained on."""
        return self.targets.counts

    def step_size(self, state: State) -> float:
        """Return the step before `schedule` changes it: the given one, or the last one found.

        Parameters
        ----------
        state : State
            After the last step.

        Returns
        -------
        float
            In the coordinates of the step.
        """
        if self.settings.is_automatic:
            return last_step(state)
        return self._given_step

    @property
    def _given_step(self) -> float:
        learning_rate = self.settings.learning_rate
        return ADAM_STEP if isinstance(learning_rate, str) else float(learning_rate)

    def _problem(self, batches_are_noisy: bool) -> Problem:
        settings, coordinates = self.settings, self.coordinates
        l2, l1 = self.penalty
        return Problem(
            X=self._placed,
            y=self.targets.codes,
            weights=self.weights,
            n_classes=len(self.targets.classes),
            dtype=self.dtype,
            batch_size=self.batch_size,
            l2=np.array([l2]),
            l1=np.array([l1]),
            penalty_share=self.n_rows / (self.n_batches * self.batch_size),
            # A full batch has no noise to average: there the average only lags.
            average=settings.is_automatic or (settings.average and batches_are_noisy),
            fit_intercept=settings.fit_intercept,
            means=coordinates.centre,
            scales=self.scale,
            step_scales=coordinates.scale,
            intercept_scale=coordinates.intercept_scale,
            curvature=None if self.curvature is None else np.array([self.curvature + l2]),
            rule=settings.rule(batches_are_noisy),
            n_threads=effective_n_jobs(settings.n_jobs),
        )

    def run_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take every row once, and measure the model on the validation rows.

        Returns
        -------
        losses : ndarray of shape (1,), float64
            The objective: the weighted mean loss, each batch measured before its own step,
            plus the penalty.
        validation : ndarray of shape (2, 1), float64
            What `evaluate` returns.
        """
        losses, self.backend_seconds = run_batches(self, self.trainer, self.step_sizes())
        self.n_epochs += 1
        return losses, self.evaluate(self.trainer)

    def evaluate(self, trainer: Trainer, n_models: int = 1) -> NDArray[np.float64]:
        """Return loss and accuracy of averaged weights on the validation rows.

        Parameters
        ----------
        trainer : Trainer
            This model's own, or a stack's.
        n_models : int, default=1
            How many models it has.

        Returns
        -------
        ndarray of shape (2, n_models), float64
            Weighted means, without the penalty: the losses, then the accuracies. NaN without
            validation rows.
        """
        if self.validation is None:
            return np.full((2, n_models), np.nan)
        return self._evaluate(trainer, self._placed_validation, self.validation.targets)

    def hold_state(self) -> None:
        """Keep a copy of the state, so that the trainer or stack it was in can be freed."""
        self.holder = HeldState(self.state())
        self.__dict__.pop("trainer", None)

    def kept_objective(self) -> float:
        """Return the objective of the model that predicts: it takes a pass over the rows.

        Returns
        -------
        float
            Mean loss over the rows that are trained on, plus penalty.
        """
        state = self.state()
        trainer = self._new_trainer(state)
        loss = float(self._evaluate(trainer, self._placed, self.targets)[0, 0])
        scaled = state.predicting(self.problem)[0, :, :-1].astype(np.float64) * self.scale
        l2, l1 = self.penalty
        with np.errstate(over="ignore"):
            return loss + float(l2 / 2 * (scaled**2).sum() + l1 * np.abs(scaled).sum())

    def _evaluate(self, trainer: Trainer, X: Array, targets: Targets) -> NDArray[np.float64]:
        """Weighted means of loss and accuracy over the rows that count."""
        return self._mean_over_rows(lambda *rows: np.stack(trainer.evaluate(*rows)), X, targets)

    def mean_over_rows(self, measure: Measure) -> NDArray[np.float64]:
        """Return the weighted mean of something over the rows that are trained on.

        Parameters
        ----------
        measure : callable
            As in ``evaluation.mean_over_rows``.

        Returns
        -------
        ndarray, float64
            Of the shape that `measure` returns.
        """
        return self._mean_over_rows(measure, self._placed, self.targets)

    def _mean_over_rows(
        self, measure: Measure, X: Array, targets: Targets
    ) -> NDArray[np.float64]:
        return mean_over_rows(measure, X, targets)

    def noise(self) -> float:
        """Return by how much, at least, noise has raised the objective of the last epoch.

        It is to be asked after each epoch, or never.

        Returns
        -------
        float
            What is above the objective of the model kept though no epoch can gain it.
        """
        if self._step_noise.is_none:
            return 0.0
        factor = self.reduction * float(self._planned_factors(self.n_epochs - 1).mean())
        return self._step_noise.rise(self.holder.norms(), factor)

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
            The given step as the schedule and its reductions change it; where a rule finds its
            own steps, the factor on them.
        """
        step = 1.0 if self.settings.is_automatic else self._given_step
        return (step * self.reduction) * self._planned_factors(self.n_epochs)[None, :]

    def _planned_factors(self, epoch: int) -> NDArray[np.float64]:
        """What the schedule multiplies each step of an epoch by, apart from reductions."""
        share = 1 / self.settings.max_iter
        return step_factors(
            self.settings.schedule,
            self.n_batches,
            epoch=epoch,
            progress=share * (epoch - self._first_epoch),
            share=share,
        )

    def order(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of positive weight in the order of this epoch.

        It follows from the seed and the number of the epoch.

        Yields
        ------
        ndarray of int64
            All rows where they lie in memory; else whole batches, of few blocks of rows.
        """
        rng = None
        if self.settings.shuffle:
            rng = np.random.default_rng([self.seed, 1 + self.n_epochs, self.rank])
        targets = self.targets
        yield from epoch_order(self._placed, targets.rows, targets.n_rows, self.batch_size, rng)

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
        return rows_in_a_second(self._row_operations * n_models)

    @property
    def step_operations(self) -> float:
        """Multiplications in each product of a step, in the mean over an epoch."""
        n_multiplications = self._n_elements(self._placed) * len(self.targets.classes)
        return n_multiplications / self.n_batches

    @cached_property
    def _row_operations(self) -> int:
        """Multiplications of a row in each product of a step."""
        return elements_a_row(self._placed) * len(self.targets.classes)

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
            deviations=self.deviations,
            penalty=self.penalty,
            total_weight=self.total_weight,
            reduction=self.reduction,
            state=self.state(),
        )
