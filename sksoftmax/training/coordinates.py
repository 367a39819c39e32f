"""The coordinates in which steps are taken.

They follow from the moments of the features and from a bounded sample of rows: no parameter is
tuned, and no further pass over the rows is needed. This module must not know labels or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.moments import Moments
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import is_csr, with_data
from sksoftmax.training.deviations import Deviations

DEVIATION_SHARE = 0.3
"""Share of the deviation that a gradient meets which the scale of a step must reach. For a
normal feature, whose is 1.25 standard deviations, the standard deviation is larger."""

ADAM_STEP = 0.01
"""Adam's automatic step: its updates are about as long as the step, whatever the gradient."""


@dataclass(frozen=True)
class Coordinates:
    """The coordinates in which a step is taken: ``(x - centre) / scale``.

    Parameters
    ----------
    centre : ndarray of shape (n_features,), or None
        What is subtracted; None for nothing.
    scale : ndarray of shape (n_features,)
        What is divided by; inf for a constant feature.
    intercept_scale : float
        What the column of ones beside the features is divided by.
    """

    centre: NDArray[np.float64] | None
    scale: NDArray[np.float64]
    intercept_scale: float = 1.0

    def gram(
        self, xp: Any, x: Array, fit_intercept: bool, others: Array | None = None
    ) -> Array:
        """Return the products of rows with each other in these coordinates.

        Parameters
        ----------
        xp : module
            The namespace of x.
        x : array of shape (n_rows, n_features)
            Rows in the caller's units, dense or CSR.
        fit_intercept : bool
            Whether a column of ones stands beside the features.
        others : array of shape (n_others, n_features), optional
            Rows to multiply by those of x, in place of x itself.

        Returns
        -------
        array of shape (n_rows or n_others, n_rows), float64
            No zero of CSR rows is stored on the way.
        """
        z = self._standardised(xp, x)
        left = z if others is None else self._standardised(xp, others)
        if is_csr(x):
            products = (left @ z.T).toarray()
            if self.centre is not None:
                centre = xp.asarray(self.centre) * xp.asarray(1 / self.scale)
                # (z - c)(z - c)' = z z' - z c - c z' + c c: no row is centred, which would fill
                # in zeros.
                products -= (left @ centre)[:, None] + z @ centre
                products += centre @ centre
        else:
            products = left @ z.T
        return products + fit_intercept / self.intercept_scale**2

    def scores_along(
        self,
        xp: Any,
        x: Array,
        residual: Array,
        fit_intercept: bool,
        others: Array | None = None,
    ) -> Array:
        """Return the scores of rows by the sum of the rows of x times their residuals.

        Parameters
        ----------
        xp, x, fit_intercept, others
            As for `gram`.
        residual : array of shape (n_rows, n_classes), float64
            For each row of x.

        Returns
        -------
        array of shape (n_rows or n_others, n_classes), float64
            What ``gram(...) @ residual`` is, in whichever order takes fewer multiplications.
            So the sum itself, as large as the model, is formed where that is small alone.
        """
        n_rows, n_features = x.shape
        n_classes = residual.shape[1]
        # Either two products with the model, or those of rows and then with residuals.
        if is_csr(x) or 2 * n_features * n_classes > n_rows * (n_features + n_classes):
            return self.gram(xp, x, fit_intercept, others) @ residual
        z = self._standardised(xp, x)
        left = z if others is None else self._standardised(xp, others)
        scores = left @ (z.T @ residual)
        if fit_intercept:
            scores += residual.sum(axis=0) / self.intercept_scale**2
        return scores

    def _standardised(self, xp: Any, x: Array) -> Array:
        """Rows in these coordinates and float64; CSR rows are not centred."""
        inverse = xp.asarray(1 / self.scale)
        if is_csr(x):
            return with_data(x, x.data.astype(np.float64) * inverse[x.indices])
        z = xp.array(x, dtype=np.float64)
        if self.centre is not None:
            z -= xp.asarray(self.centre)
        z *= inverse
        return z


def automatic_coordinates(
    moments: Moments, deviations: Deviations, *, fit_intercept: bool
) -> Coordinates:
    r"""Return the coordinates of steps that find their own size.

    A step scales feature j by its standard deviation, or, where at least half of the pairs of
    rows agree in it, by :math:`\max(\sigma_j, 0.3\, \sigma_j^2 / \delta_j)`, with
    :math:`\delta_j` the mean absolute deviation. :math:`\sigma^2 / \delta` is the deviation
    that a gradient meets, in which a row counts by how far out it lies: about half the range
    of a feature that is nearly constant, like a pixel at the rim of an image, and there many
    standard deviations. Divided by these alone, the few rows that have it would be huge. A
    feature that is spread out with a few glitches, or heavy tails, keeps its standard
    deviation: what it tells lies in the many rows that are not far out.

    Eigenvalues of the second moment of the scaled features add up to
    :math:`S = \sum_j \sigma_j^2 / s_j^2`, and the largest lies between 1 and S. The intercepts
    are given the curvature :math:`\sqrt S`: with 1 they would be the slowest of all where
    features are many.

    Parameters
    ----------
    moments : Moments
        Of the features.
    deviations : Deviations
        Of a sample of their rows.
    fit_intercept : bool
        Whether intercepts move; features are centred then.

    Returns
    -------
    Coordinates
        Scales are standard deviations times powers of the fourth root of 2.
    """
    sigma = moments.scale
    centre = moments.mean if fit_intercept else None
    most = moments.step_scale(centre)
    with np.errstate(divide="ignore"):
        # sigma * (sigma / delta), not sigma**2 / delta: the square may leave the range.
        met = DEVIATION_SHARE * sigma * (sigma / deviations.absolute)
    is_rare = deviations.agreement >= 0.5
    # At least the deviation, and at most what bounds the largest row.
    scale = np.where(is_rare, np.clip(met, sigma, most), sigma)
    scale = on_grid(np.where(np.isinf(most), np.inf, scale), sigma)
    total = float(((sigma / scale) ** 2).sum())
    return Coordinates(centre, scale, max(1.0, total) ** -0.25)


def on_grid(step_scale: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[Any]:
    """Round step scales up to multiples of the scales by powers of the fourth root of 2.

    Features of the same multiple meet the same penalty in the coordinates of the step, and
    sparse rows are trained group by group of these.

    Parameters
    ----------
    step_scale : ndarray of shape (n_features,)
        At least `scale`; inf for constant features.
    scale : ndarray of shape (n_features,)
        Positive.

    Returns
    -------
    ndarray of shape (n_features,), float64
        At most 19% more than `step_scale`.
    """
    power = np.ceil(4 * np.log2(step_scale / scale) - 1e-9)
    rounded: NDArray[np.float64] = scale * 2 ** (power / 4)
    return rounded
