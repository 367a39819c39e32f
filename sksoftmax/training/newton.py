"""Newton's first step, with which fits of many classes begin.

A batch holds few rows of each of many classes, or none, and what the first epochs learn of them
is mostly noise. From the class frequencies, Newton's step needs no more of the rows than class
means and the covariance of the features. This module must not know the steps that follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.moments import Moments
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import elements_a_row, is_csr, row_slices
from sksoftmax.data.targets import Targets
from sksoftmax.training.deviations import sampled_rows, weights_of
from sksoftmax.training.passes import automatic_batch_size

ROWS_OF_A_CLASS = 4
"""Rows of each class in a batch, in the mean, by which steps from zero learn soon enough."""

LEAST_ROWS, MOST_ROWS = 4, 64
"""Rows a feature without which covariances are noise, and with which they are known."""

TIME_OF_AXES = 25
"""Multiplications of an epoch that take as long as the axes of a covariance, for each of the
cube of the features."""

LEAST_VARIANCE = 1e-10
"""Least variance along an axis, as a share of the largest: a feature may be constant."""

SAMPLE_ROWS, SAMPLE_SCORES = 2**10, 2**20
"""Most rows that decide on the step and its length, and about how many scores they may have."""

LONGEST, LENGTH_TOL = 2.0, 0.05
"""Longest step, as a share of Newton's, and how near its length is to the best one."""

MOST_SURPRISE = 1.5
"""Loss after Newton's step, as a multiple of the entropy of its probabilities, with which they
are believed. On classes that one covariance fits it is 1, on images of digits 7 and more: there
steps from zero come further."""

SLICE_ELEMENTS = 2**20
"""Elements of X that are standardised at once."""


def newton_step_pays(n_rows: int, n_features: int, n_classes: int) -> bool:
    """Return whether a fit should look at Newton's step before its first one.

    Parameters
    ----------
    n_rows, n_features, n_classes : int
        Of the fit.

    Returns
    -------
    bool
        Where automatic batches hold few rows of a class, and not all rows, and the axes of the
        covariance take no longer than an epoch.
    """
    batch_size = automatic_batch_size(n_rows)
    has_many_classes = n_classes * ROWS_OF_A_CLASS > batch_size and n_rows > batch_size
    is_cheap = TIME_OF_AXES * n_features**2 <= n_rows * n_classes
    return has_many_classes and is_cheap and n_rows >= LEAST_ROWS * n_features


class NewtonStep:
    r"""The step of Newton's method from the class frequencies, for any squared penalty.

    There the Hessian is :math:`(\mathrm{diag}(\pi) - \pi \pi^T) \otimes \Sigma`, with class
    frequencies :math:`\pi` and the covariance :math:`\Sigma` of all rows, and the gradient for
    class k is minus :math:`\pi_k` times its mean :math:`\mu_k`, of standardised features. With
    a squared penalty of strength :math:`\lambda`, the step is therefore
    :math:`(\Sigma + \lambda / \pi_k)^{-1} \mu_k`, but for what all classes share.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_rows, n_features)
        Rows in memory, dense or CSR.
    targets : Targets
        Their labels and weights.
    moments : Moments
        Of the features.
    dtype : numpy dtype
        Of products of rows.
    rng : numpy.random.Generator
        Draws the rows that are looked at more closely.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, 2009,
    sections 4.3 and 4.4, on linear discriminants and Newton's method for logistic regression.
    """

    def __init__(
        self,
        backend: Backend,
        X: Array,
        targets: Targets,
        moments: Moments,
        dtype: np.dtype[Any],
        rng: np.random.Generator,
    ):
        self._backend, self._X, self._targets = backend, X, targets
        self._moments, self._dtype = moments, dtype
        self._weights = weights_of(np.arange(len(targets.codes)), targets.weights)
        self._frequencies = targets.counts / targets.counts.sum()
        n_few = min(SAMPLE_ROWS, -(-SAMPLE_SCORES // len(targets.classes)))
        size = max(n_few, MOST_ROWS * X.shape[1])
        chosen = sampled_rows(X, targets.rows, size, rng)
        covariance = self._covariance(chosen)
        self._is_known = bool(np.isfinite(covariance).all())
        if not self._is_known:  # of features whose squares overflow, for instance
            return
        self._variances, self._axes = np.linalg.eigh(covariance)
        self._means_along_axes = self._class_means() @ self._axes
        few = chosen[:: -(-len(chosen) // n_few)]  # rounded up: no more than so many
        weights = self._weights[few]
        self._rows, self._codes = self._standardised(few), targets.codes[few]
        self._shares = weights / weights.sum()

    def _standardised(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Rows of X with features of mean 0 and deviation 1, on the host."""
        z: NDArray[np.float64] = self._in_float64(rows) - self._moments.mean
        z /= self._moments.scale
        return z

    def _in_float64(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """A copy of rows of X, dense and on the host."""
        x = self._X[rows]
        return self._backend.to_numpy(x.toarray() if is_csr(x) else x).astype(np.float64)

    def _slices(self, rows: NDArray[np.int64] | None) -> Iterator[slice | NDArray[np.int64]]:
        """Slices of all rows, or of some, that are no larger for the zeros of sparse ones."""
        n_stored = SLICE_ELEMENTS * elements_a_row(self._X) // self._X.shape[1]
        return row_slices(self._X, rows, n_stored)

    def _covariance(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """The covariance of the standardised features, over some rows."""
        products = np.zeros((self._X.shape[1],) * 2)
        for rows in self._slices(chosen):
            z = self._standardised(rows) * np.sqrt(self._weights[rows])[:, None]
            z = z.astype(self._dtype, copy=False)
            products += z.T @ z
        products /= self._weights[chosen].sum()
        return products

    def _class_means(self) -> NDArray[np.float64]:
        """The mean of each class, of standardised features over all rows."""
        targets, n_classes = self._targets, len(self._targets.classes)
        sums = np.zeros((n_classes, self._X.shape[1]))
        for rows in self._slices(targets.rows):
            codes, weights = targets.codes[rows], self._weights[rows]
            # A row for each class and a column for each of ours, which has its weight there.
            of_classes = sparse.csc_array(
                (weights, codes, np.arange(len(codes) + 1)), shape=(n_classes, len(codes))
            )
            sums += of_classes @ self._in_float64(rows)
        means: NDArray[np.float64] = sums / targets.counts[:, None] - self._moments.mean
        means /= self._moments.scale
        return means

    def parameters(self, l2: float) -> NDArray[np.float64] | None:
        """Return the model after a step of the length that lowers the objective most.

        Parameters
        ----------
        l2 : float
            The squared penalty on each class's weights.

        Returns
        -------
        ndarray of shape (n_classes, n_features + 1), or None
            In the caller's units, the intercepts those of centred features. None where the
            probabilities after the step are not to be believed.
        """
        if not self._is_known:
            return None
        penalties = l2 / self._frequencies[:, None]
        variances = np.maximum(self._variances, LEAST_VARIANCE * self._variances[-1])
        along_axes = self._means_along_axes / (variances + penalties)
        weights = along_axes @ self._axes.T
        scores, intercepts = self._rows @ weights.T, np.log(self._frequencies)
        loss, entropy = self._loss_and_entropy(scores + intercepts)
        if not loss <= MOST_SURPRISE * entropy:
            return None
        penalty = l2 / 2 * float((weights**2).sum())

        def objective(length: float) -> float:
            loss, _ = self._loss_and_entropy(length * scores + intercepts)
            return loss + length**2 * penalty

        length = optimize.minimize_scalar(
            objective, bounds=(0, LONGEST), method="bounded", options={"xatol": LENGTH_TOL}
        ).x
        return np.column_stack([length * weights / self._moments.scale, intercepts])

    def _loss_and_entropy(self, logits: NDArray[np.float64]) -> tuple[float, float]:
        """The mean loss of the sampled rows, and the mean entropy of their probabilities."""
        logits = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        total = exponentials.sum(axis=1)
        losses = np.log(total) - logits[np.arange(len(logits)), self._codes]
        entropies = np.log(total) - (exponentials * logits).sum(axis=1) / total
        return float(self._shares @ losses), float(self._shares @ entropies)
