"""Weighted mean, variance and range of features: what a pass over rows leaves behind.

Moments of chunks merge, so that a stream ends with those of all its rows. This module must not
know rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USUAL_WIDTHS = 2.0**-250, 2.0**250
"""Widths of features whose deviations are squared as they are; others are divided first."""

USUAL_WEIGHTS = 2.0**-166, 2.0**166
"""Sums of weights that may be multiplied with such squares, and be squared with them."""

RANGE_SHARE = 0.1
"""Least share of a feature's largest deviation that the scale of its step must reach."""


@dataclass(frozen=True)
class Moments:
    """Weighted moments and range of each feature over the rows seen so far.

    Parameters
    ----------
    weight : float
        Sum of the rows' weights.
    mean : ndarray of shape (n_features,), float64
        Weighted means.
    squares : ndarray of shape (n_features,), float64
        Weighted sums of squared deviations from the means, in the square of `unit`.
    minimum, maximum : ndarrays of shape (n_features,), float64
        The range, whatever the weights.
    unit : ndarray of shape (n_features,), float64, default=1.0
        What deviations were divided by before they were squared: powers of 2, and 1 wherever
        the squares, and their sums, stay in the range of float64.
    """

    weight: float
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    unit: NDArray[np.float64] | float = 1.0

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together.

        Parameters
        ----------
        other : Moments
            Moments of other rows with weights in the same unit.

        Returns
        -------
        Moments
            As if all rows had been seen at once, up to rounding.

        References
        ----------
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
        sample variances", Stanford STAN-CS-79-773, 1979.
        """
        # Squares about the joint mean: those within each part, and what lies between the means.
        weight = self.weight + other.weight
        delta = other.mean - self.mean
        share = other.weight / weight
        minimum = np.minimum(self.minimum, other.minimum)
        maximum = np.maximum(self.maximum, other.maximum)
        unit = unit_of_squares(weight, minimum, maximum)
        squares = self.squares_in(unit) + other.squares_in(unit)
        return Moments(
            weight,
            self.mean + share * delta,
            squares + self.weight * share * (delta / unit) ** 2,
            minimum,
            maximum,
            unit,
        )

    def squares_in(self, unit: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the sums of squares in the square of another unit.

        Parameters
        ----------
        unit : ndarray of shape (n_features,), float64
            Powers of 2.

        Returns
        -------
        ndarray of shape (n_features,), float64
            `squares` itself, to the bit, where the unit is the same.
        """
        # Where all rows are equal so far, a unit as small as later ones would overflow.
        ratio = np.where(self.squares > 0, self.unit / unit, 1.0)
        return self.squares * ratio * ratio

    @property
    def scale(self) -> NDArray[np.float64]:
        """Weighted standard deviation; 1 for a constant feature."""
        deviation = np.sqrt(self.squares / self.weight) * self.unit
        return np.where(self.minimum < self.maximum, deviation, 1.0)

    def spread(self, centre: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the root of the mean squared distance from a centre; 1 where that is zero.

        Parameters
        ----------
        centre : ndarray of shape (n_features,), or None
            From where; None for zeros.

        Returns
        -------
        ndarray of shape (n_features,), float64
            Positive.
        """
        deviation = np.where(self.minimum < self.maximum, self.scale, 0.0)
        distance = np.hypot(deviation, self.mean if centre is None else self.mean - centre)
        return np.where(distance > 0, distance, 1.0)

    def step_scale(self, centre: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the scale of a given step: the deviation, or a share of the range if larger.

        Without the range, near-constant features would make the longest row huge, and a step
        on it diverge.

        Parameters
        ----------
        centre : ndarray of shape (n_features,), or None
            What the gradient is centred by; None for zeros.

        Returns
        -------
        ndarray of shape (n_features,), float64
            Positive; inf for a constant feature.
        """
        centre = np.zeros_like(self.mean) if centre is None else centre
        largest = np.maximum(self.maximum - centre, centre - self.minimum)
        scale = np.maximum(self.scale, RANGE_SHARE * largest)
        return np.where(self.minimum < self.maximum, scale, np.inf)


def unit_of_squares(
    weight: float, minimum: NDArray[np.float64], maximum: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what deviations of each feature are divided by before they are squared.

    Parameters
    ----------
    weight : float
        Sum of the rows' weights.
    minimum, maximum : ndarrays of shape (n_features,), float64
        The ranges of the features.

    Returns
    -------
    ndarray of shape (n_features,), float64
        1 where squares, and their sums by such weights, stay in the range of float64; else the
        power of 2 next to half the width of the feature.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.backend.moments import unit_of_squares
    >>> unit_of_squares(10.0, np.array([0.0, 0.0]), np.array([5.0, 2.0**-799])) == [1, 2**-799]
    array([ True,  True])
    """
    half_width = maximum / 2 - minimum / 2  # the width itself may be beyond the range
    is_usual = (half_width > USUAL_WIDTHS[0]) & (half_width < USUAL_WIDTHS[1])
    is_usual &= USUAL_WEIGHTS[0] < weight < USUAL_WEIGHTS[1]
    # frexp writes the width as m 2^e with m in [0.5, 1): 2^e is the next power of 2.
    exponent = np.clip(np.frexp(half_width)[1], -1000, 1000)
    unit: NDArray[np.float64] = np.ldexp(
        1.0, np.where(is_usual | (half_width <= 0), 0, exponent)
    )
    return unit
