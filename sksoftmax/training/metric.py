"""The metric of second derivatives: in its coordinates an objective is round.

Where weights are few, one Hessian saves most iterations of L-BFGS, which would have to learn
the same from as many steps. This module counts rows and must not see them, nor know who
minimises what.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

MOST_WEIGHTS = 500
"""Weights up to which a Hessian takes no longer than the iterations that it saves."""

WEIGHTS_A_PASS = 12
"""Weights by which a Hessian comes to take one more pass over the rows."""

LEAST_ROWS, ROWS_A_FEATURE = 2048, 48
"""Rows by which a Hessian is estimated where there are many more. By half of them L-BFGS takes
half as many iterations again on a few tables."""

LEAST_ITERATIONS = 6
"""Iterations that one metric is for in any case."""

RIDGE, LEAST_RIDGE = np.sqrt(np.finfo(np.float64).eps), 1e-300
"""Added to a Hessian, as a share of its diagonal and at least: some directions are flat."""


def pays(n_weights: int) -> bool:
    """Return whether a Hessian is worth its time, by counts alone.

    Parameters
    ----------
    n_weights : int
        Variables of the objective.

    Returns
    -------
    bool
        True where these are few.
    """
    return n_weights <= MOST_WEIGHTS


def rows_of_hessian(n_features: int) -> int:
    """Return how many rows tell the second derivatives well enough for a metric.

    Parameters
    ----------
    n_features : int
        Of the rows.

    Returns
    -------
    int
        There may be fewer.
    """
    return max(LEAST_ROWS, ROWS_A_FEATURE * n_features)


def passes_of(n_weights: int, share: float) -> int:
    """Return the passes over the rows that take as long as one Hessian.

    Parameters
    ----------
    n_weights : int
        Variables of the objective.
    share : float
        The share of the rows that it is estimated from.

    Returns
    -------
    int
        0 for very few weights, or rows.
    """
    return int(share * n_weights / WEIGHTS_A_PASS)


def iterations_of(n_weights: int, share: float) -> int:
    """Return after how many iterations the metric should be that of a nearer point.

    Parameters
    ----------
    n_weights, share
        As for `passes_of`.

    Returns
    -------
    int
        As many as one Hessian takes passes, so that no more than half of all time goes to
        Hessians.
    """
    return max(LEAST_ITERATIONS, passes_of(n_weights, share))


class Metric:
    """Coordinates about a point in which a function curves by 1, whatever the direction.

    A step along its gradient by them is Newton's.

    Parameters
    ----------
    hessian : ndarray of shape (n, n)
        Positive semidefinite second derivatives there.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the Hessian is not finite, or rounding has left it with negative curvature.
    """

    def __init__(self, hessian: NDArray[np.float64]):
        if not np.isfinite(hessian).all():
            raise np.linalg.LinAlgError("The Hessian is not finite.")
        ridge = RIDGE * np.diagonal(hessian) + LEAST_RIDGE
        factor = np.linalg.cholesky(hessian + np.diag(ridge))
        # Products with the inverse take no longer than solving, which SciPy begins by checks.
        self._inverse: NDArray[np.float64] = dtrtri(factor, lower=True)[0]

    def step(self, variables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the way from the point to where these coordinates are.

        Parameters
        ----------
        variables : ndarray of shape (n,)
            Coordinates, zero at the point.

        Returns
        -------
        ndarray of shape (n,)
            In the units of the Hessian.
        """
        step: NDArray[np.float64] = self._inverse.T @ variables
        return step

    def gradient(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return derivatives by these coordinates.

        Parameters
        ----------
        gradient : ndarray of shape (n,)
            Derivatives in the units of the Hessian.

        Returns
        -------
        ndarray of shape (n,)
            The same by the chain rule.
        """
        by_coordinates: NDArray[np.float64] = self._inverse @ gradient
        return by_coordinates
