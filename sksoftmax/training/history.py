"""Losses and scores of a model's epochs, and which of these was the best.

This module must not know what was trained, nor why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class History:
    """Losses and scores of the epochs so far, one entry for each epoch.

    Parameters
    ----------
    losses : list of float
        The objective.
    validation_losses, validation_scores : lists of float
        Loss and accuracy on the held-out rows, NaN where an epoch had none; empty until one
        has some, since a stream may be long.
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
        """Note one more epoch; without held-out rows, its loss and score on them are NaN."""
        self.losses.append(loss)
        if self.validation_losses or not math.isnan(validation_loss):
            before = [math.nan] * (len(self.losses) - 1 - len(self.validation_losses))
            self.validation_losses += [*before, validation_loss]
            self.validation_scores += [*before, validation_score]
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = validation_loss, len(self.losses)
