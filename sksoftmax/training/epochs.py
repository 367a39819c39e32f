"""Epoch after epoch: what each one leaves behind, which one is kept, and when to stop.

This module sees losses and checkpoints, and asks the stopping rule and the callbacks after
each epoch. It must not know labels, the estimator or what happens within an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sksoftmax.training.callbacks import FitTasks
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.stopping import Plateau
from sksoftmax.training.training import Training


@dataclass
class History:
    """What the epochs so far have left behind, an entry for each.

    Parameters
    ----------
    losses : list of float
        The objective.
    validation_losses, validation_scores : lists of float
        Loss and accuracy on the validation rows, NaN where an epoch had none.
    best_loss : float
        The lowest validation loss so far.
    best_epoch : int
        Its epoch, counted from 1; 0 before the first.
    """

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best one."""
        return self.best_epoch == len(self.losses)

    def add(self, loss: float, validation_loss: float, validation_score: float) -> None:
        """Note one more epoch.

        Parameters
        ----------
        loss : float
            Its objective.
        validation_loss, validation_score : float
            Loss and accuracy after it, or NaN.
        """
        self.losses.append(loss)
        self.validation_losses.append(validation_loss)
        self.validation_scores.append(validation_score)
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = validation_loss, len(self.losses)


class Epochs:
    """The epochs of one call to ``fit`` or ``partial_fit``.

    Parameters
    ----------
    training : Training
        What runs an epoch.
    history : History
        Of the epochs that `training` goes on from; this call adds its own.
    verbose : int
        1 prints a line an epoch, 2 adds the backend's share of the time.
    """

    def __init__(self, training: Training, history: History, *, verbose: int):
        self.training = training
        self.history = history
        self.verbose = verbose
        self._best: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Of the best epoch of `run`, or of the last one where none was validated."""
        return self.training.checkpoint() if self._best is None else self._best

    def run(
        self,
        max_epochs: int,
        plateau: Plateau,
        tasks: FitTasks,
        attributes: Callable[[], dict[str, Any]],
    ) -> bool:
        """Run epochs until the loss no longer improves, or a callback wants to stop.

        Parameters
        ----------
        max_epochs : int
            Most epochs to run.
        plateau : Plateau
            The rule, to see the validation loss, or the objective without validation rows.
        tasks : FitTasks
            Whom to tell of each epoch.
        attributes : callable
            Passed on to ``tasks.end_epoch``.

        Returns
        -------
        bool
            Whether they stopped, rather than ran into `max_epochs`.
        """
        self._start_as_best()
        for _ in range(max_epochs):
            tasks.begin_epoch()
            no_better = self.ends(self.run_one(), plateau)
            if tasks.end_epoch(attributes) or no_better:
                return True
        return False

    def ends(self, loss: float, plateau: Plateau) -> bool:
        """Keep the last epoch where it is the best, and say whether it shall be the last.

        Parameters
        ----------
        loss : float
            What `run_one` or `note` returned.
        plateau : Plateau
            The rule.

        Returns
        -------
        bool
            Whether there is a plateau, and no smaller step to leave it by.
        """
        if self.training.validation is not None and self.history.is_best:
            self._best = self.training.checkpoint()
        if plateau.tol is not None and self.training.validation is None:
            loss -= self.training.noise()
        return plateau.reached(loss) and not self._smaller_step(plateau)

    def run_one(self) -> float:
        """Run one epoch, note what it leaves behind, and print its line.

        Returns
        -------
        float
            The validation loss, or the objective without validation rows.

        Raises
        ------
        ValueError
            If a loss is not finite.
        """
        start = time.perf_counter()
        loss = self.training.run_epoch()
        validation_loss = score = math.nan
        if self.training.validation is not None:
            validation_loss, score = self.training.evaluate()
        seen = self.note(loss, validation_loss, score)
        if self.verbose:
            print(self._line(time.perf_counter() - start))
        return seen

    def note(self, loss: float, validation_loss: float, score: float) -> float:
        """Note what an epoch has left behind.

        Parameters
        ----------
        loss : float
            Its objective.
        validation_loss, score : float
            Loss and accuracy after it, or NaN without validation rows.

        Returns
        -------
        float
            The validation loss, or the objective without validation rows.

        Raises
        ------
        ValueError
            If a loss is not finite.
        """
        seen = loss if self.training.validation is None else validation_loss
        check_finite(self.training, [loss, seen])
        self.history.add(loss, validation_loss, score)
        return seen

    def _start_as_best(self) -> None:
        """Let the model that a warm start goes on from count among the epochs."""
        if self.training.validation is None or not self.history.losses:
            return
        self.history.best_loss, _ = self.training.evaluate()
        self.history.best_epoch = len(self.history.losses)
        self._best = self.training.checkpoint()

    def _smaller_step(self, plateau: Plateau) -> bool:
        """Divide the step on a plateau; False where the schedule or the step forbids it."""
        if self.training.settings.schedule != "adaptive" or not self.training.reduce_step():
            return False
        plateau.restart()
        return True

    def _line(self, seconds: float) -> str:
        history = self.history
        parts = [f"epoch {len(history.losses):5d}", f"loss {history.losses[-1]:10.6f}"]
        if self.training.validation is not None:
            parts.append(f"validation {history.validation_losses[-1]:10.6f}")
        parts.append(f"{seconds:9.4f} s")
        if self.verbose > 1:
            parts.append(f"backend {self.training.backend_seconds:9.4f} s")
        return "   ".join(parts)


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
            f" {training.dtype}."
        )
    else:
        cure = "Set standardize=True, or scale the features."
    raise ValueError(
        f"Floating-point under-/overflow occurred at epoch #{training.n_epochs}. {cure}"
    )
