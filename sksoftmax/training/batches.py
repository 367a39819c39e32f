"""How many rows a batch has, and how many batches a backend runs in one call.

Between two calls Python can react, to an interrupt for instance. Sizes follow from counts of
rows and weights alone, so that the same data give the same batches. This module must not know
what a batch is used for.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Trainer

if TYPE_CHECKING:  # it imports this module
    from sksoftmax.training.training import Training

SEGMENT_OPERATIONS = 2e9
"""Multiplications in one call, about a second's work."""

SEGMENT_ROWS = 2**20
"""Most rows in one call, which bounds what a backend keeps for each of them."""

LEAST_BATCH, MOST_BATCH = 64, 256
"""Rows of an automatic batch. Fewer leave the processor idle, more take too few steps.

So few rows as the least are one batch: steps without noise, and weights as good as copies.
"""

STEPS_AN_EPOCH = 32
"""About how many batches an epoch has where these allow it.

Real tables by the hundred ended no nearer the optimum with four times as many, and took up
to four times as long: what more steps gain, the noise of smaller batches takes away again.
"""


def automatic_batch_size(n_rows: int) -> int:
    """Return the rows of a batch where the caller has left them to us.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch.

    Returns
    -------
    int
        A power of 2 that gives about STEPS_AN_EPOCH batches, within bounds; all rows where
        these are few.
    """
    if n_rows <= LEAST_BATCH:
        return n_rows
    power = round(math.log2(n_rows / STEPS_AN_EPOCH))
    return min(MOST_BATCH, max(LEAST_BATCH, 2**power))


def rows_in_a_second(width: int) -> int:
    """Return how many rows take about a second.

    Parameters
    ----------
    width : int
        Multiplications that a row takes part in.

    Returns
    -------
    int
        At most SEGMENT_ROWS.
    """
    return min(SEGMENT_ROWS, int(SEGMENT_OPERATIONS / width))


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
        The weighted loss a row, each batch measured before its own step, plus the penalty
        before the first one.
    seconds : float
        What the trainer took.
    """
    first, seconds = 0, 0.0
    penalty, loss = trainer.penalty(), np.zeros(len(step_sizes))
    for part in training.segments(len(step_sizes)):
        last = first - (-len(part) // training.batch_size)
        start = time.perf_counter()
        loss += len(part) * trainer.run_epoch(part, step_sizes[:, first:last])
        seconds += time.perf_counter() - start
        first = last
    return loss / training.n_rows + penalty, seconds
