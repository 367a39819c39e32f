"""Epoch after epoch: the only loop over epochs, of one model or of several.

Models that share their batches go through an epoch together, each in a `Run` of its own that
says how it went on and when it is over. This module must not know what that depends on, nor
what happens within an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from sksoftmax.training.run import Run
from sksoftmax.training.stack import Stack
from sksoftmax.training.training import Training


def run_epochs(runs: Sequence[Run], limit: float = math.inf) -> None:
    """Run epoch after epoch until every run pauses: a fit's, or those of a search together.

    Parameters
    ----------
    runs : sequence of Run
        One, or several whose trainings can be those of one `Stack`.
    limit : float, default=inf
        Epochs after which to pause.
    """
    running = [run for run in runs if not run.pauses(limit)]
    while running:
        trainings = [run.training for run in running]
        models = trainings[0] if len(trainings) == 1 else Stack(trainings)
        # The stack stays as it is until one of its models pauses.
        while not any(run.pauses(limit) for run in running):
            _run_epoch(models, running)
        for run in running:
            # Iterations of a model that is alone measure by the trainer that it has.
            goes_on = models is run.training and not run.is_over(limit)
            if run.pauses(limit) and not goes_on:
                run.training.hold(run.training.state())
        # The others go on, in a smaller stack.
        running = [run for run in running if not run.pauses(limit)]


def _run_epoch(models: Training | Stack, runs: Sequence[Run]) -> None:
    """Take every row once, for each of the models."""
    for run in runs:
        run.begin_epoch()
    if all(run.error is not None for run in runs):
        return
    start = time.perf_counter()
    losses, validation = models.run_epoch()
    share = (time.perf_counter() - start) / len(runs)
    for model, run in enumerate(runs):
        validation_loss, score = validation[:, model].tolist()
        run.end_epoch(float(losses[model]), validation_loss, score, share)
