"""Passes over the rows: batch by batch to train on them, in larger slices to measure a model.

Sizes follow from counts of rows and weights alone, so that the same data give the same batches.
Batches are handed to a backend about a second's work at a time: between two calls Python can
react, to an interrupt for instance. This module must not know what a model is measured for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax._scikit_learn import _get_threadpool_controller
from sksoftmax.backend.contract import Trainer
from sksoftmax.backend.softmax_model import EVALUATION_ELEMENTS
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import row_slices
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets

SEGMENT_OPERATIONS = 2e9
"""Multiplications in one call, about a second's work."""

SEGMENT_ROWS = 2**20
"""Most rows in one call, which bounds what a backend keeps for each of them."""

LEAST_BATCH, MOST_BATCH = 64, 256
"""Rows of an automatic batch. Fewer leave the processor idle, more take too few steps. That
holds for a thousand classes, too: by 2,048 rows, the first epochs learn more where features are
independent, and far less where they are correlated, as those of embeddings are.

So few rows as the least are one batch: steps without noise, and weights as good as copies.
"""

STEPS_AN_EPOCH = 32
"""About how many batches an epoch has where these allow it.

Real tables by the hundred ended no nearer the optimum with four times as many, and took up
to four times as long: what more steps gain, the noise of smaller batches takes away again.
"""

THREADED_PRODUCT = 10**8
"""Multiplications, about two milliseconds, from which a BLAS may use its threads. For less they
gain little, and where others want the processor, waiting for them costs a lot."""

Measure = Callable[[Array, NDArray[np.int32], NDArray[Any] | None], NDArray[np.float64]]
"""Rows, class codes and weights in, weighted means over these rows out."""


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
    # The power of 2 next to the rows that STEPS_AN_EPOCH batches would have.
    power = round(math.log2(n_rows / STEPS_AN_EPOCH))
    return int(min(MOST_BATCH, max(LEAST_BATCH, 2**power)))


def rows_in_a_second(width: int) -> int:
    """Return how many rows, of so many multiplications each, take about a second."""
    return min(SEGMENT_ROWS, int(SEGMENT_OPERATIONS / width))


def threads_of_blas(product: int) -> AbstractContextManager[Any]:
    """Return a context in which a BLAS has one thread where there is little to share out.

    Parameters
    ----------
    product : int
        Multiplications of the largest product in it.

    Returns
    -------
    context manager
        With more to do, it limits nothing.
    """
    limit = 1 if product < THREADED_PRODUCT else None
    context: AbstractContextManager[Any]
    context = _get_threadpool_controller().limit(limits=limit, user_api="blas")
    return context


def run_batches(
    trainer: Trainer,
    segments: Iterable[NDArray[np.int64]],
    batch_size: int,
    step_sizes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Run the batches of an epoch, segment by segment.

    Parameters
    ----------
    trainer : Trainer
        Of one model or several.
    segments : iterable of ndarrays of int64
        The rows of the epoch, in whole batches of about a second.
    batch_size : int
        Rows of a batch, but for the last one.
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
    first, n_rows, seconds = 0, 0, 0.0
    penalty, loss = trainer.penalty(), np.zeros(len(step_sizes))
    for part in segments:
        # -(-a // b) is a / b rounded up: the short last batch is one as well.
        last = first - (-len(part) // batch_size)
        start = time.perf_counter()
        # A trainer returns means over its rows; segments differ in length.
        loss += len(part) * trainer.run_epoch(part, step_sizes[:, first:last])
        seconds += time.perf_counter() - start
        first, n_rows = last, n_rows + len(part)
    return loss / n_rows + penalty, seconds


def mean_over_rows(measure: Measure, X: Array, targets: Targets) -> NDArray[np.float64]:
    """Return the weighted mean, over the rows that count, of what is measured.

    Parameters
    ----------
    measure : callable
        Returns the weighted means over the rows that it is given with their class codes and
        weights, in one array; weights are None where all are equal.
    X : array of shape (n_rows, n_features)
        What the backend's ``place`` returned.
    targets : Targets
        Labels and weights of the rows.

    Returns
    -------
    ndarray, float64
        Of the shape that `measure` returns.
    """
    if targets.rows is None and not isinstance(X, StoredRows):
        return measure(X, targets.codes, targets.weights)
    sums = np.zeros(())
    for rows in row_slices(X, targets.rows, EVALUATION_ELEMENTS):
        codes = targets.codes[rows]
        weights = None if targets.weights is None else targets.weights[rows]
        # Means of parts are averaged by the weight of each part.
        total = len(codes) if weights is None else weights.sum()
        sums = sums + measure(X[rows], codes, weights) * (total / targets.total_weight)
    return sums
