"""One model in training: its state, step sizes, random orders and epochs on a backend.

Training knows what an epoch needs and what must be remembered between epochs, calls and
pickles; it does not know why or when to stop, nor anything about prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Trainer
from sksoftmax.backend.distance_over_gradients import last_step
from sksoftmax.backend.softmax_model import SoftmaxModel
from sksoftmax.backend.state import State
from sksoftmax.data.order import epoch_order
from sksoftmax.data.rows import elements_a_row
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.coordinates import ADAM_STEP
from sksoftmax.training.first_state import first_state
from sksoftmax.training.holder import HeldState, Holder
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.passes import Measure, rows_in_a_second, run_batches
from sksoftmax.training.settings import LEAST_FACTOR, REDUCTION, Settings, step_factors
from sksoftmax.training.stopping import StepNoise


class Training:
    """One model and its optimiser, ready to run epochs over measured rows.

    Parameters
    ----------
    settings : Settings
        What the estimator was told.
    rows : MeasuredRows
        What is trained on; other candidates of a search may train on the same.
    seed : int
        From which every order follows.
    resume : Checkpoint or None
        Where to go on from.
    is_stream : bool
        Whether the rows add to those of `resume` (partial_fit) or replace them.

    Attributes
    ----------
    n_epochs : int
        Epochs so far, earlier calls included.
    backend_seconds : float
        What the backend took for the last epoch, as apart from orders and evaluation.
    holder : Holder
        Who has the model: `trainer`, or the stack while the model is trained in one.
    rank : int
        Which of several processes this is, whose orders differ. The first, or only, one has
        number 0, which changes no random number.
    """

    rank = 0

    def __init__(
        self,
        settings: Settings,
        rows: MeasuredRows,
        *,
        seed: int,
        resume: Checkpoint | None = None,
        is_stream: bool = False,
    ):
        self.settings = settings
        self.rows = rows
        self.problem = rows.problem(settings)
        self.holder: Holder
        self.seed = seed
        self.n_epochs = self._first_epoch = 0 if resume is None else resume.n_epochs
        self.reduction = 1.0 if resume is None else resume.reduction
        self.backend_seconds = 0.0
        # Not in a trainer yet: a model of a stack needs none of its own.
        first = first_state(self.problem, settings, rows, resume, is_stream=is_stream)
        self.hold(first)
        self._step_noise = StepNoise(self.problem.rule, rows.n_batches, first.norms)

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

    def _new_trainer(self, state: State) -> Trainer:
        """A trainer of the backend that goes on from a state."""
        return self.rows.backend.trainer(self.problem, state)

    @property
    def alpha(self) -> float:
        """Strength of the penalty."""
        return self.settings.strength(self.rows.total_weight)

    @property
    def class_frequencies(self) -> NDArray[np.float64]:
        """The share of each class in the weight of the rows that are trained on."""
        return self.rows.class_frequencies

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

    def run_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take every row once, and measure the model on the held-out rows.

        Returns
        -------
        losses : ndarray of shape (1,), float64
            The objective: the weighted mean loss, each batch measured before its own step,
            plus the penalty.
        validation : ndarray of shape (2, 1), float64
            What `evaluate` returns.
        """
        losses, self.backend_seconds = run_batches(
            self.trainer, self.segments(1), self.rows.batch_size, self.step_sizes()
        )
        self.n_epochs += 1
        return losses, self.evaluate(self.trainer)

    def evaluate(self, trainer: Trainer, n_models: int = 1) -> NDArray[np.float64]:
        """Return loss and accuracy of averaged weights on the held-out rows.

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
            held-out rows.
        """
        if self.rows.held_out is None:
            return np.full((2, n_models), np.nan)
        return self.rows.mean_over_held_out(_loss_and_accuracy(trainer))

    def hold(self, state: State) -> None:
        """Go on from a state, and free the trainer or stack that the model was in.

        Parameters
        ----------
        state : State
            Of this model, or of another one to start from.
        """
        self.holder = HeldState(state)
        self.__dict__.pop("trainer", None)

    def kept_objective(self) -> float:
        """Return the objective of the model that predicts: it takes a pass over the rows.

        Returns
        -------
        float
            Mean loss over the rows that are trained on, plus penalty.
        """
        state = self.state()
        # A model of a stack has no trainer, unless it has gone on alone.
        trainer = self.__dict__.get("trainer") or self._new_trainer(state)
        measure = _loss_and_accuracy(trainer)
        loss = float(self.rows.mean_over_rows(measure)[0, 0])
        scaled = state.predicting(self.problem)[0, :, :-1].astype(np.float64) * self.rows.scale
        l2, l1 = self.rows.penalty(self.settings)
        with np.errstate(over="ignore"):
            return loss + float(l2 / 2 * (scaled**2).sum() + l1 * np.abs(scaled).sum())

    def mean_over_rows(self, measure: Measure) -> NDArray[np.float64]:
        """Return the weighted mean of something over the rows: see ``MeasuredRows``."""
        return self.rows.mean_over_rows(measure)

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
        # That of the epoch just over: `n_epochs` counts it already.
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
        # A rule that finds its steps is given factors on them.
        step = 1.0 if self.settings.is_automatic else self._given_step
        return (step * self.reduction) * self._planned_factors(self.n_epochs)[None, :]

    def _planned_factors(self, epoch: int) -> NDArray[np.float64]:
        """What the schedule multiplies each step of an epoch by, apart from reductions."""
        share = 1 / self.settings.max_iter
        return step_factors(
            self.settings.schedule,
            self.rows.n_batches,
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
        targets, size = self.rows.targets, self.rows.batch_size
        yield from epoch_order(self.rows.placed, targets.rows, targets.n_rows, size, rng)

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
        # Whole batches, so that no batch is cut by where a segment ends.
        size = self._batches_per_segment(n_models) * self.rows.batch_size
        for order in self.order():
            for start in range(0, len(order), size):
                yield order[start : start + size]

    def _batches_per_segment(self, n_models: int) -> int:
        """Whole batches in about a second, at least one."""
        return max(1, self._rows_per_segment(n_models) // self.rows.batch_size)

    def _rows_per_segment(self, n_models: int) -> int:
        """Rows of this process in about a second."""
        return rows_in_a_second(self._row_operations * n_models)

    @property
    def n_elements(self) -> int:
        """Stored elements of the rows that are trained on."""
        return self.rows.n_elements(self.rows.placed)

    @property
    def step_operations(self) -> float:
        """Multiplications in each product of a step, in the mean over an epoch."""
        return self.n_elements * self.problem.n_classes / self.rows.n_batches

    @property
    def slice_operations(self) -> int:
        """Multiplications in the largest product of a pass, which goes slice by slice."""
        elements = min(self.n_elements, SoftmaxModel.elements_at_once)
        return elements * self.problem.n_classes

    @cached_property
    def _row_operations(self) -> int:
        """Multiplications of a row in each product of a step."""
        return elements_a_row(self.rows.placed) * self.problem.n_classes

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
            n_samples_seen=self.rows.n_samples_seen,
            moments=self.rows.moments,
            deviations=self.rows.deviations,
            penalty=self.rows.penalty(self.settings),
            total_weight=self.rows.total_weight,
            reduction=self.reduction,
            state=self.state(),
            occurring=self.rows.occurring,
        )


def _loss_and_accuracy(trainer: Trainer) -> Measure:
    """What measures the losses and accuracies of a trainer's models on some rows."""
    return lambda *rows: np.stack(trainer.evaluate(*rows))
