"""The literal textbook loop over NumPy arrays, as an estimator.

It must not know anything of sksoftmax: it is what people write by hand.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from benchmarks.epoch import textbook_epoch


class TextbookLoop:
    """Contiguous batches, a constant rate, no intercept and no shuffling."""

    def __init__(self, epochs: int, rate: float, batch_size: int):
        self.epochs = epochs
        self.rate = rate
        self.batch_size = batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Run the epochs from zero weights."""
        self.theta = np.zeros((X.shape[1], y.max() + 1), X.dtype)
        for _ in range(self.epochs):
            textbook_epoch(X, y, self.theta, self.rate, self.batch_size)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of the highest score."""
        return (X @ self.theta).argmax(axis=1)
