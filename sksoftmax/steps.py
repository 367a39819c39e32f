"""The automatic step size: one over a bound on the curvature that minibatches meet.

Nothing here is tuned: the bound comes from two numbers that describe the rows, the largest
eigenvalue of their second moment and the longest row, both in the coordinates of the step.
This module knows rows, not models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.csr import elements_a_row, is_csr, with_data
from sksoftmax.problem import Array, Backend
from sksoftmax.standardize import BLOCK_ELEMENTS, row_blocks

SAMPLE_ROWS = 512
"""Most rows from which the largest eigenvalue is estimated."""

SAMPLE_ELEMENTS = 2**22
"""Most elements of those rows, unless that leaves fewer than 32 of them."""

POWER_ITERATIONS = 20


@dataclass(frozen=True)
class Coordinates:
    """The coordinates in which a step is taken: ``(x - centre) / scale``.

    Parameters
    ----------
    centre : ndarray of shape (n_features,), or None
        What is subtracted; None for nothing.
    scale : ndarray of shape (n_features,)
        What is divided by; inf for a constant feature.
    fit_intercept : bool
        Whether a column of ones stands beside the features.
    """

    centre: NDArray[np.float64] | None
    scale: NDArray[np.float64]
    fit_intercept: bool

    def transform(self, xp: Any, x: Array, dtype: np.dtype[Any]) -> Array:
        """Return rows in these coordinates, without the column of ones.

        Parameters
        ----------
        xp : module
            The namespace of x.
        x : array of shape (n_rows, n_features)
            Rows in the caller's units.
        dtype : numpy dtype
            float32 or float64.

        Returns
        -------
        array of shape (n_rows, n_features)
            A new array of that dtype, CSR where x is, which is never centred.
        """
        inverse = xp.asarray(1 / self.scale, dtype=dtype)
        if is_csr(x):
            return with_data(x, x.data.astype(dtype) * inverse[x.indices])
        z = x.astype(dtype)
        if self.centre is not None:
            z -= xp.asarray(self.centre, dtype=dtype)
        z *= inverse
        return z


@dataclass(frozen=True)
class Curvature:
    """What the automatic step knows of the rows.

    Parameters
    ----------
    eigenvalue : float
        Largest eigenvalue of the weighted second moment of the rows.
    longest_row : float
        Largest weighted squared length of a row, the column of ones included.
    weight : float
        The weight that `eigenvalue` averages over.
    """

    eigenvalue: float
    longest_row: float
    weight: float

    def merge(self, other: Curvature) -> Curvature:
        """Return the curvature of both sets of rows together.

        Parameters
        ----------
        other : Curvature
            The curvature of further rows.

        Returns
        -------
        Curvature
            Weighted mean of the eigenvalues, larger of the lengths.
        """
        weight = self.weight + other.weight
        share = other.weight / weight
        return Curvature(
            self.eigenvalue + share * (other.eigenvalue - self.eigenvalue),
            max(self.longest_row, other.longest_row),
            weight,
        )

    def lipschitz(self, n_rows: int, batch_size: int, l2: float) -> float:
        r"""Bound the smoothness that SGD meets when it samples batches without replacement.

        .. math::

            L = \frac{n (b - 1)}{b (n - 1)} \frac{\lambda}{2}
              + \frac{n - b}{b (n - 1)} \frac{R}{2} + l2

        with :math:`\lambda` the largest eigenvalue, R the longest row, and 1/2 the bound
        on the Hessian of the softmax loss.

        Parameters
        ----------
        n_rows, batch_size : int
            Rows that batches are drawn from, and rows in a batch.
        l2 : float
            The squared penalty in the coordinates of the step.

        Returns
        -------
        float
            The expected smoothness L.

        References
        ----------
        Gower et al., "SGD: general analysis and improved rates", ICML 2019.
        Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of
        Statistical Mathematics 44, 1992.
        """
        if batch_size >= n_rows:
            return self.eigenvalue / 2 + l2
        denominator = batch_size * (n_rows - 1)
        together = n_rows * (batch_size - 1) / denominator
        alone = (n_rows - batch_size) / denominator
        return together * self.eigenvalue / 2 + alone * self.longest_row / 2 + l2


ADAM_STEP = 0.01
"""Adam's automatic step: its updates are about as long as the step, whatever the gradient."""


def automatic_step(lipschitz: float, momentum: float, *, nesterov: bool = False) -> float:
    """Return the step of SGD: ``(1 + momentum) / L``, or ``1 / L`` with Nesterov's momentum.

    Nesterov's momentum looks ahead, and diverges on the longer step.

    Parameters
    ----------
    lipschitz : float
        The smoothness L.
    momentum : float
        Momentum, in [0, 1).
    nesterov : bool, default=False
        Whether it is Nesterov's.

    Returns
    -------
    float
        The step size, the classical 1 / L without momentum; 1 where nothing curves.
    """
    if lipschitz == 0:
        return 1.0
    return (1 if nesterov else 1 + momentum) / lipschitz


def measure_curvature(
    backend: Backend,
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    coordinates: Coordinates,
    dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> Curvature:
    """Measure the curvature of the rows of X: one pass, and a bounded random sample.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_rows, n_features)
        Rows in the caller's units.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones of 1.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.
    coordinates : Coordinates
        The coordinates of the step.
    dtype : numpy dtype
        The dtype of the arithmetic.
    rng : numpy.random.Generator
        Draws the sample.

    Returns
    -------
    Curvature
        The largest eigenvalue and the longest row.
    """
    n_rows = X.shape[0]
    count = n_rows if rows is None else len(rows)
    total = float(count if weights is None else weights.sum(dtype=np.float64))
    longest = longest_row(backend, X, weights, rows, coordinates, dtype)
    size = min(count, SAMPLE_ROWS, max(32, SAMPLE_ELEMENTS // elements_a_row(X)))
    chosen = np.sort(rng.choice(count, size, replace=False, shuffle=False))
    chosen = chosen if rows is None else rows[chosen]
    w = None if weights is None else weights[chosen]
    x = coordinates.transform(backend.xp, X[chosen], dtype)
    return Curvature(_largest_eigenvalue(backend, x, w, coordinates), longest, total)


def longest_row(
    backend: Backend,
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    coordinates: Coordinates,
    dtype: np.dtype[Any],
) -> float:
    """Return the largest weighted squared length of a row.

    A backend may have a faster ``longest_row(X, weights, rows, coordinates, dtype)`` of its
    own, which returns None for the X that it leaves to this one.

    Parameters
    ----------
    backend, X, weights, rows, coordinates, dtype
        As in `measure_curvature`.

    Returns
    -------
    float
        The column of ones included.
    """
    of_backend = getattr(backend, "longest_row", lambda *arguments: None)
    found: float | None = of_backend(X, weights, rows, coordinates, dtype)
    if found is not None:
        return found
    xp = backend.xp
    longest = xp.zeros((), dtype=dtype)
    for block in row_blocks(X, rows, getattr(backend, "block_elements", BLOCK_ELEMENTS)):
        z = coordinates.transform(xp, X[block], dtype)
        if is_csr(z):
            lengths = with_data(z, z.data * z.data) @ xp.ones(z.shape[1], dtype=dtype)
        else:
            lengths = xp.einsum("ij,ij->i", z, z)
        lengths += float(coordinates.fit_intercept)
        if weights is not None:
            lengths *= xp.asarray(weights[block])
        longest = xp.maximum(longest, lengths.max())
    return float(longest)


def _largest_eigenvalue(
    backend: Backend, x: Array, weights: NDArray[Any] | None, coordinates: Coordinates
) -> float:
    """Largest eigenvalue of the second moment of x, by power iteration."""
    xp = backend.xp
    n_rows, n_features = x.shape
    ones = float(coordinates.fit_intercept)
    w = np.full(n_rows, 1 / n_rows) if weights is None else weights / weights.sum()
    w = xp.asarray(w, dtype=x.dtype)
    start = np.random.default_rng(0).standard_normal(n_features + 1)
    vector = xp.asarray(start / np.linalg.norm(start), dtype=x.dtype)
    norm = xp.zeros((), dtype=x.dtype)
    tiny = np.finfo(x.dtype).tiny
    for _ in range(POWER_ITERATIONS):
        scores = w * (x @ vector[:-1] + ones * vector[-1])
        vector[:-1] = x.T @ scores
        vector[-1] = ones * scores.sum()
        norm = xp.sqrt(vector @ vector)
        vector = vector / xp.maximum(norm, tiny)
    # The column of ones has second moment 1, and is an eigenvector when x is centred.
    return max(float(norm), ones)
