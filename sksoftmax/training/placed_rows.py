"""The rows of a fit where a backend trains on them: which count, and what their means are.

What is known of rows without looking at a feature is here; ``measured_rows`` looks at them.
This module must not know epochs, nor the model that is trained.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.data.arrays import Array
from sksoftmax.data.holdout import HeldOut
from sksoftmax.data.occurring import OccurringFeatures
from sksoftmax.data.rows import canonical, is_csr
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.passes import Measure, automatic_batch_size, mean_over_rows
from sksoftmax.training.settings import Settings


class PlacedRows:
    """Rows and targets, and where a backend has them.

    Parameters
    ----------
    settings : Settings
        What the estimator was told.
    X : array of shape (n_rows, n_features)
        Validated rows, in memory or stored.
    targets : Targets
        Labels and weights.
    held_out : HeldOut or None
        Rows to evaluate on; those of `X` are read where `X` lies.
    earlier : Checkpoint or None
        What is known of the earlier chunks of a stream, which these rows add to.
    occurring : OccurringFeatures or None
        Which features of the caller's rows those of `X` and `held_out` are; None for all.

    Attributes
    ----------
    backend : Backend
        The one that has the rows.
    placed : array of shape (n_rows, n_features)
        The rows, where it trains on them.
    n_rows : int
        The rows that count.
    n_samples_seen, total_weight : int, float
        These, and their weights, with those of earlier chunks.
    """

    backend: Backend
    placed: Array

    def __init__(
        self,
        settings: Settings,
        X: Array,
        targets: Targets,
        *,
        held_out: HeldOut | None,
        earlier: Checkpoint | None,
        occurring: OccurringFeatures | None,
    ):
        self.settings = settings
        self.occurring = occurring
        self.targets = targets
        self.held_out = held_out
        self.n_features = int(X.shape[1])
        self.n_rows, weight = self._totals()
        self.n_samples_seen = self.n_rows + (0 if earlier is None else earlier.n_samples_seen)
        self.total_weight = weight + (0.0 if earlier is None else earlier.total_weight)

    def _totals(self) -> tuple[int, float]:
        """The rows that count, and the sum of their weights."""
        return self.targets.n_rows, self.targets.total_weight

    def n_elements(self, X: Array) -> int:
        """Return how many numbers are stored in the rows that count, placed or not."""
        return int(X.nnz) if is_csr(X) else self.targets.n_rows * self.n_features

    def _place(self, X: Array, backend: Backend) -> None:
        """Bring the rows to a backend, and those held out where they are others."""
        self.backend, place = backend, backend.place
        self.placed = self._placed_held_out = place(canonical(X))
        if self.held_out is not None and self.held_out.X is not X:
            rows = self.held_out.X
            is_stored = isinstance(rows, StoredRows)
            self._placed_held_out = rows.placed(place) if is_stored else place(canonical(rows))

    def _mean_one_weights(self, dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Weights of mean 1 over all rows so far, None when all are 1."""
        weights = self.targets.weights
        if weights is None and self.total_weight == self.n_samples_seen:
            return None
        # Over all rows so far, so that a later chunk of a stream counts by its own weight.
        scale = self.n_samples_seen / self.total_weight
        if weights is None:
            weights = np.ones(len(self.targets.codes))
        return (weights * scale).astype(dtype)

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
    def class_frequencies(self) -> NDArray[np.float64]:
        """The share of each class in the weight of the rows."""
        counts = self._class_counts()
        frequencies: NDArray[np.float64] = counts / counts.sum()
        return frequencies

    @property
    def frequency_loss(self) -> float:
        """The loss of the class frequencies: of the best model that sees no feature.

        Without an intercept there is one such model, to which all classes are alike. Its loss
        also stands for that of a single class, which is zero, and no measure of anything.
        """
        share = self.class_frequencies
        share = share[share > 0]
        if not self.settings.fit_intercept or len(share) == 1:
            return math.log(len(self.targets.classes))
        return float(-(share * np.log(share)).sum())

    def _class_counts(self) -> NDArray[Any]:
        """The weight of each class."""
        return self.targets.counts

    def penalty(self, settings: Settings) -> tuple[float, float]:
        """Return the squared and the absolute penalty on each class's weights.

        Two classes' opposite rows share the penalty of the one row of binary logistic
        regression: half the difference, squared, twice.

        Parameters
        ----------
        settings : Settings
            Of one candidate that trains on these rows.

        Returns
        -------
        l2, l1 : float
            At least 0.
        """
        alpha, l1_ratio = settings.strength(self.total_weight), settings.l1_ratio
        twice = 2 if len(self.targets.classes) == 2 else 1
        return alpha * (1 - l1_ratio) * twice, alpha * l1_ratio

    def mean_over_rows(self, measure: Measure) -> NDArray[np.float64]:
        """Return the weighted mean over these rows of what ``passes.Measure`` says."""
        return self._mean_over(measure, self.placed, self.targets)

    def mean_over_held_out(self, measure: Measure) -> NDArray[np.float64]:
        """Return the same over the rows held out, of which there are some."""
        assert self.held_out is not None
        return self._mean_over(measure, self._placed_held_out, self.held_out.targets)

    def _mean_over(self, measure: Measure, X: Array, targets: Targets) -> NDArray[np.float64]:
        return mean_over_rows(measure, X, targets)
