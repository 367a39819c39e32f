"""What "distance-over-gradients" does to the features that a batch does not hold.

The step and the averaging weight are known only when the step is taken: the law is a running
product of matrices, a small one for each group of features that meet the same penalty, and
sums over features stand in for all that no batch reads. This module must not know rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_LOSS = 32.0
"""Most by which a product may enlarge the rounding of what it is applied to; squares of it
enlarge that of sums, which are in float64."""

LEAST_DETERMINANT, LARGEST_FACTOR = 1e-10, 1e10
"""The range of a product: float32 holds what its inverse makes of a feature's numbers."""


class RunningLaw:
    r"""Untouched features as constants, and sums over all features, group by group.

    In the coordinates of the step, let z be the iterate and d = a - z what the average is
    away from it, for one feature and class, :math:`y = z + \beta d` the point where gradients
    are taken, and :math:`\epsilon = \eta \delta` the step times the penalty of its group.
    A step whose gradient without the penalty is g, with c the weight of the newest iterate in
    the average, is

    .. math::

        \begin{pmatrix} z \\ d \end{pmatrix} \leftarrow M \begin{pmatrix} z \\ d \end{pmatrix}
        - \eta g \begin{pmatrix} 1 \\ -(1 - c) \end{pmatrix}, \qquad
        M = \begin{pmatrix} 1 - \epsilon & -\epsilon \beta \\
        (1 - c) \epsilon & (1 - c) (1 + \epsilon \beta) \end{pmatrix} .

    With P the product of the matrices so far, (z, d) = P w, where w changes only by gradients:
    :math:`w \leftarrow w - \eta g P^{-1} (1, -(1 - c))^T`. Between z and d, P is nearly
    diagonal: their ratio shrinks as the average settles, and no digits are lost.

    The gradient of feature j is :math:`g_j - R q_j`, with :math:`g_j` from the stored elements,
    :math:`q_j` the feature's mean and R the residuals summed over a batch. The second part is a
    multiple of q, so that :math:`w_j = u_j + q_j \gamma`: only u is kept for a feature, and
    changes only where a batch holds it. Norms and the mean's part of the scores follow from

    .. math::

        S = \sum_j w_j w_j^T, \qquad C = \sum_j q_j w_j, \qquad Q = \sum_j q_j^2 .

    Parameters
    ----------
    decay : ndarray of shape (n_groups,), float64
        The penalty delta of each group.
    moves : ndarray of shape (n_groups,), bool
        False for constant features, whose weights stay.
    n_classes : int
        Number of classes.
    nearness : float
        The beta of the rule.

    Attributes
    ----------
    product : ndarray of shape (n_groups, 2, 2), float64
        P.
    shift : ndarray of shape (n_groups, 2, n_classes), float64
        gamma.
    squares : ndarray of shape (n_groups, 2, 2), float64
        S, added up over the classes.
    centre_sums : ndarray of shape (n_groups, 2, n_classes), float64
        C.
    centre_squares : ndarray of shape (n_groups,), float64
        Q.
    """

    def __init__(
        self,
        decay: NDArray[np.float64],
        moves: NDArray[np.bool_],
        n_classes: int,
        nearness: float,
    ):
        n_groups = len(decay)
        self.nearness = nearness
        self.decay = decay
        self.moves = moves.astype(np.float64)
        self.product = np.empty((n_groups, 2, 2))
        self.shift = np.empty((n_groups, 2, n_classes))
        self.squares = np.empty((n_groups, 2, 2))
        self.centre_sums = np.empty((n_groups, 2, n_classes))
        self.centre_squares = np.empty(n_groups)
        self._source = np.zeros(2)

    def restart(self) -> None:
        """Let w be (z, d) again, with sums that are still to be added up."""
        self.product[:] = np.eye(2)
        for array in (self.shift, self.squares, self.centre_sums, self.centre_squares):
            array[:] = 0

    def point(self) -> NDArray[np.float64]:
        """Return the row that yields y.

        Returns
        -------
        ndarray of shape (n_groups, 2), float64
            To be multiplied by w.
        """
        row: NDArray[np.float64] = self.product[:, 0] + self.nearness * self.product[:, 1]
        return row

    def squared_gradient(
        self,
        point: NDArray[np.float64],
        along: NDArray[np.float64],
        lengths: NDArray[np.float64],
    ) -> float:
        r"""Return the squared norm of a gradient, with the penalty's part, over all features.

        Parameters
        ----------
        point : ndarray of shape (n_groups, 2)
            What `point` returned.
        along : ndarray of shape (n_groups, 2)
            :math:`\sum_j w_j (g_j - R q_j)` over features and classes.
        lengths : ndarray of shape (n_groups,)
            :math:`\sum_j |g_j - R q_j|^2`.

        Returns
        -------
        float
            At least 0.
        """
        # |g + delta y|^2 = |g|^2 + 2 delta y g + delta^2 |y|^2, with |y|^2 = point S point.
        shrunk = point[:, None] @ self.squares @ point[:, :, None]
        total = lengths + self.decay * (
            2 * (point * along).sum(axis=1) + self.decay * shrunk[:, 0, 0]
        )
        return max(0.0, float(self.moves @ total))

    def advance(self, step: float, newest: float) -> bool:
        """Take a step of all features without a gradient.

        Parameters
        ----------
        step : float
            Its size.
        newest : float
            The weight of the newest iterate in the average.

        Returns
        -------
        bool
            Whether the product is still safe to divide by; it is to be applied to all features
            before the gradient is written otherwise.
        """
        shrinkage, kept = step * self.decay, 1 - newest
        matrix = np.empty_like(self.product)
        matrix[:, 0, 0] = 1 - shrinkage
        matrix[:, 0, 1] = -self.nearness * shrinkage
        matrix[:, 1, 0] = kept * shrinkage
        matrix[:, 1, 1] = kept * (1 + self.nearness * shrinkage)
        if newest == 1 and not self.squares[:, 1, 1].any():
            # The first step of a model: d is 0, and stays so without a singular matrix.
            matrix[:, 1] = 0, 1
        self.product = matrix @ self.product
        self._source[:] = -step, step * kept
        # `writing` divides by the determinant: where it is much smaller than its two terms, or
        # than products within a row, that would cost digits.
        size = abs(self.product).reshape(-1, 4)
        straight, crossed = size[:, 0] * size[:, 3], size[:, 1] * size[:, 2]
        worst = np.maximum(
            straight + crossed, 2 * np.maximum(size[:, 0] * size[:, 1], size[:, 2] * size[:, 3])
        )
        determinant = abs(self._determinant())
        least = np.maximum(worst / LARGEST_LOSS, LEAST_DETERMINANT)
        return bool((determinant >= least).all() and size.max() <= LARGEST_FACTOR)

    def _determinant(self) -> NDArray[np.float64]:
        p = self.product
        determinant: NDArray[np.float64] = p[:, 0, 0] * p[:, 1, 1] - p[:, 0, 1] * p[:, 1, 0]
        return determinant

    def writing(self) -> NDArray[np.float64]:
        """Return what a gradient adds to w, after `advance`.

        Returns
        -------
        ndarray of shape (n_groups, 2), float64
            To be multiplied by the gradient; 0 where weights stay.
        """
        p, (of_iterate, of_distance) = self.product, self._source
        # The inverse of the product, times what a unit of gradient changes in (z, d).
        write = np.empty(p.shape[:2])
        write[:, 0] = p[:, 1, 1] * of_iterate - p[:, 0, 1] * of_distance
        write[:, 1] = p[:, 0, 0] * of_distance - p[:, 1, 0] * of_iterate
        write *= (self.moves / self._determinant())[:, None]
        return write

    def add(
        self,
        write: NDArray[np.float64],
        along: NDArray[np.float64],
        lengths: NDArray[np.float64],
        centres: NDArray[np.float64],
        residual: NDArray[np.float64],
    ) -> None:
        r"""Take a gradient that is written into the sums, and its part along q into gamma.

        Parameters
        ----------
        write : ndarray of shape (n_groups, 2)
            What `writing` returned.
        along, lengths
            As in `squared_gradient`.
        centres : ndarray of shape (n_groups, n_classes)
            :math:`\sum_j q_j (g_j - R q_j)`.
        residual : ndarray of shape (n_classes,)
            R.
        """
        # (w + write g)(w + write g)' summed: S, both cross terms, and the square of the
        # gradient.
        change = along[:, :, None] * write[:, None, :]
        self.squares += change
        self.squares += change.transpose(0, 2, 1)
        self.squares += (lengths[:, None] * write)[:, :, None] * write[:, None, :]
        self.centre_sums += write[:, :, None] * centres[:, None, :]
        self.shift -= write[:, :, None] * residual

    def squared_average(self) -> float:
        """Return the squared norm of the average over all features that move.

        Returns
        -------
        float
            At least 0.
        """
        row = self.product[:, 0] + self.product[:, 1]
        squares = (row[:, None] @ self.squares @ row[:, :, None])[:, 0, 0]
        return max(0.0, float(self.moves @ squares))
