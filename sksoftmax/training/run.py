"""The epochs of one model in one call: what each leaves behind, which is kept, when to stop.

A `Run` sees losses and checkpoints, and asks the stopping rule and the callbacks after each
epoch. This module must not know labels, or what happens within an epoch; of the parameters,
only its errors speak.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sksoftmax.backend.contract import CompilingBackend
from sksoftmax.training.callbacks import FitTasks
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.history import History
from sksoftmax.training.plan import EpochsOfSteps
from sksoftmax.training.stopping import Plateau
from sksoftmax.training.training import Training


class Run:
    """The epochs of one model in one call to ``fit`` or ``partial_fit``.

    Parameters
    ----------
    training : Training
        What runs an epoch.
    history : History
        Of the epochs that `training` goes on from; this run adds its own.
    rule : Plateau
        When to stop. It sees the validation loss, or without held-out rows the objective,
        less what is known of its noise.
    max_epochs : int
        Most epochs of this run.
    tasks : FitTasks or None, default=None
        Whom to tell of each epoch.
    verbose : int, default=0
        1 prints what is trained before the first epoch of a model, then a line an epoch; 2
        adds the backend's share of the time.

    Attributes
    ----------
    plan : EpochsOfSteps or None
        When iterations over all rows take over; None for never.
    stopped : bool
        Whether the rule, or a callback, has ended the run.
    error : Exception or None
        What has ended it otherwise: a loss that is not finite, or an error in a callback. A
        fit raises it; beside other models, it is this one's alone.
    seconds : float
        Time that the epochs took; where models are trained together, this one's share.
    """

    def __init__(
        self,
        training: Training,
        history: History,
        rule: Plateau,
        max_epochs: int,
        *,
        tasks: FitTasks | None = None,
        verbose: int = 0,
    ):
        self.training = training
        self.history = history
        self.rule = rule
        self.tasks = tasks
        self.verbose = verbose
        self.stopped = False
        self.error: Exception | None = None
        self.seconds = 0.0
        self.plan: EpochsOfSteps | None = None
        self._first_epoch = len(history.losses)
        self._last_epoch = self._first_epoch + max_epochs
        self._compiled_before = 0.0
        self._best: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the best epoch, or of the last one where none was validated."""
        return self.training.checkpoint() if self._best is None else self._best

    @property
    def n_epochs_left(self) -> int:
        """Epochs until the last one."""
        return self._last_epoch - len(self.history.losses)

    def is_over(self, limit: float = math.inf) -> bool:
        """Say whether there is no further epoch.

        Parameters
        ----------
        limit : float, default=inf
            Epochs after which to pause.

        Returns
        -------
        bool
            Whether the run has stopped, failed, or come to its last epoch.
        """
        if self.stopped or self.error is not None:
            return True
        return len(self.history.losses) >= min(limit, self._last_epoch)

    @property
    def steps_are_over(self) -> bool:
        """Whether iterations over all rows take over here, unless the run is over."""
        if self.plan is None:
            return False
        n_epochs = self._n_epochs
        if n_epochs >= self.plan.most or (self._is_soon and self.rule.is_reached):
            return True
        return n_epochs >= self.plan.of_little_gain and self.rule.has_gained_little

    @property
    def _n_epochs(self) -> int:
        """Epochs of this run."""
        return len(self.history.losses) - self._first_epoch

    @property
    def _is_soon(self) -> bool:
        """Whether it is too soon to believe a plateau of steps: iterations shall find out."""
        if self.plan is None or self.rule.asks_for_few_epochs:
            return False
        return self._n_epochs < self.plan.least

    def pauses(self, limit: float) -> bool:
        """Whether there is no further epoch of steps, at least before those of others.

        Parameters
        ----------
        limit : float
            Epochs after which to pause in any case.

        Returns
        -------
        bool
            Whether the run is over, or is at the limit, or its steps are over.
        """
        return self.is_over(limit) or self.steps_are_over

    def start_with_best(self) -> None:
        """Evaluate the model that a warm start goes on from.

        It is kept where no later epoch has a lower validation loss.
        """
        if self.training.rows.held_out is None or not self.history.losses:
            return
        losses, _ = self.training.evaluate(self.training.trainer)
        self.history.best_loss = float(losses[0])
        self.history.best_epoch = len(self.history.losses)
        self._best = self.training.checkpoint()

    def begin_epoch(self) -> None:
        """Tell callbacks that an epoch begins; an error in one of them ends the run."""
        if self.verbose:
            if not self.history.losses:
                print(self._header())
            # To ask a backend may take longer than a small epoch does.
            self._compiled_before = self._seconds_compiling()
        if self.tasks is None:
            return
        try:
            self.tasks.begin_epoch()
        except Exception as error:
            self.error = error

    def end_epoch(
        self,
        loss: float,
        validation_loss: float,
        score: float,
        seconds: float,
        *,
        is_exact: bool = False,
        is_early: bool = False,
    ) -> None:
        """Note an epoch, keep the best model, and stop where the rule or a callback says so.

        Parameters
        ----------
        loss : float
            The objective of the epoch.
        validation_loss, score : float
            Loss and accuracy after it, or NaN without held-out rows.
        seconds : float
            The time it took.
        is_exact : bool, default=False
            Whether the objective is that of the model, rather than met on the way to it.
        is_early : bool, default=False
            Whether it is too early to believe a plateau.
        """
        self.seconds += seconds
        if self.error is not None:
            return
        is_validated = self.training.rows.held_out is not None
        # What is to decrease: the loss on held-out rows, where there are some.
        seen = validation_loss if is_validated else loss
        try:
            check_finite(self.training, [loss, seen])
            self.history.add(loss, validation_loss, score)
            if self.verbose:
                print(self._line(seconds))
            if is_validated and self.history.is_best:
                self._best = self.training.checkpoint()
            if self.rule.tol is not None and not (is_validated or is_exact):
                # No further epoch can gain what noise has added: it is no part of what the rule
                # sees.
                seen -= self.training.noise()
            has_plateau = self.rule.reached(seen) and not (is_early or self._is_soon)
            self.stopped = has_plateau and not self._smaller_step()
            if self.tasks is not None:
                self.stopped |= self.tasks.end_epoch()
        except Exception as error:
            self.error = error

    def _smaller_step(self) -> bool:
        """Divide the step on a plateau; False where the schedule or the step forbids it."""
        if self.training.settings.schedule != "adaptive" or not self.training.reduce_step():
            return False
        self.rule.restart()
        return True

    def _header(self) -> str:
        """What is trained, and on what."""
        problem, rows = self.training.problem, self.training.rows
        n_features = f"{problem.n_features:,}"
        if rows.occurring is not None:
            n_features += f" of {rows.occurring.n_features:,}"
        return (
            f"{rows.n_rows:,} rows, {n_features} features, {problem.n_classes:,} classes,"
            f" {rows.dtype}; alpha={self.training.alpha:.3g}, batch_size={rows.batch_size},"
            f" backend={rows.backend.name}"
        )

    def _seconds_compiling(self) -> float:
        """What the backend has spent on compiling so far, in whatever fit."""
        backend = self.training.rows.backend
        return backend.seconds_compiling() if isinstance(backend, CompilingBackend) else 0.0

    def _line(self, seconds: float) -> str:
        """What an epoch has left behind; before it, how long kernels were compiled in it."""
        history = self.history
        compiling = self._seconds_compiling() - self._compiled_before
        parts = [f"epoch {len(history.losses):5d}", f"loss {history.losses[-1]:10.6f}"]
        if self.training.rows.held_out is not None:
            parts.append(f"validation {history.validation_losses[-1]:10.6f}")
        parts.append(f"{seconds - compiling:9.4f} s")
        if self.verbose > 1:
            parts.append(f"backend {self.training.backend_seconds - compiling:9.4f} s")
        line = "   ".join(parts)
        return f"kernels compiled in {compiling:.1f} s\n{line}" if compiling else line


def check_finite(training: Training, values: ArrayLike) -> None:
    """Raise where training has left the range of floating-point numbers.

    Parameters
    ----------
    training : Training
        What was trained.
    values : array-like
        Losses or coefficients.

    Raises
    ------
    ValueError
        If a value is not finite, with what to do about it.
    """
    if np.isfinite(values).all():
        return
    settings = training.settings
    if settings.learning_rate != "auto":
        cure = f"Lower learning_rate (now {settings.learning_rate}), or set it to 'auto'."
    elif settings.standardize:
        cure = (
            "Scale the features: they, or their coefficients, leave the range of"
            f" {training.rows.dtype}."
        )
    else:
        cure = "Set standardize=True, or scale the features."
    raise ValueError(
        f"Floating-point under-/overflow occurred at epoch #{training.n_epochs}. {cure}"
    )
