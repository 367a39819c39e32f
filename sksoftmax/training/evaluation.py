"""Loss and accuracy of a trainer's models on rows, as many at a time as may be copied.

This module must not know why they are asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Trainer
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import row_blocks
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets

EVALUATION_ELEMENTS = 2**20
"""Numbers in the rows that are taken out of X at once to be evaluated."""


def evaluate_rows(trainer: Trainer, X: Array, targets: Targets) -> NDArray[np.float64]:
    """Return loss and accuracy on the rows that count, for each model of a trainer.

    Parameters
    ----------
    trainer : Trainer
        Of one model or several.
    X : array of shape (n_rows, n_features)
        What the backend's ``place`` returned.
    targets : Targets
        Labels and weights of the rows.

    Returns
    -------
    ndarray of shape (2, n_models), float64
        Weighted means, without the penalty: the losses, then the accuracies.
    """
    if targets.rows is None and not isinstance(X, StoredRows):
        return np.stack(trainer.evaluate(X, targets.codes, targets.weights))
    sums = np.zeros(())
    for rows in row_blocks(X, targets.rows, EVALUATION_ELEMENTS):
        codes = targets.codes[rows]
        weights = None if targets.weights is None else targets.weights[rows]
        total = len(codes) if weights is None else weights.sum()
        means = trainer.evaluate(X[rows], codes, weights)
        sums = sums + np.stack(means) * (total / targets.total_weight)
    return sums
