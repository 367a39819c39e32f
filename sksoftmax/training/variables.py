"""The weights of a model as the variables of a minimiser, in coordinates in which it is fast.

This module must not know rows, nor how or for how long anything is minimised.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds

from sksoftmax.backend.moments import Moments
from sksoftmax.training.metric import Metric, pays
from sksoftmax.training.objective import Objective, Weights

OPPOSITE = np.array([[-1.0], [1.0]]) / np.sqrt(2)
"""The rows of two classes for one row of variables: an orthonormal basis, as others have."""


def n_rows_of(n_classes: int) -> int:
    """Return the rows of variables for so many classes: opposite rows of two are one."""
    return 1 if n_classes == 2 else n_classes


class Variables:
    """Between weights, of a row for each class, and one vector.

    Coordinates are weights times scales, and intercepts of centred features: in them features
    of any unit and offset weigh alike. One row stands for the opposite rows of two classes. Few
    weights may then be taken in the metric of their second derivatives. An absolute penalty has
    no derivative at zero, so each weight is the difference of two that are not negative and pay
    for their sum.

    Parameters
    ----------
    objective : Objective
        Of the weights.
    n_classes : int
        Number of classes.
    moments : Moments or None, default=None
        Of features in the caller's units; None where those of the objective are standardised,
        and its scales are the ones to take.

    Attributes
    ----------
    metric : Metric or None
        That in which the variables are, if any.
    """

    def __init__(self, objective: Objective, n_classes: int, moments: Moments | None = None):
        self._objective = objective
        self._n_rows = n_rows_of(n_classes)
        scales = objective.scales
        self._centre: NDArray[np.float64] | None = None
        if moments is not None:
            self._centre = moments.mean if objective.fit_intercept else None
            scales = _balanced(moments, self._centre, objective)
        self._scales: NDArray[np.float64] = np.append(scales, 1.0)
        # What the penalty sees of a variable: all of it where features are standardised.
        self._shares: NDArray[np.float64] = objective.scales / scales
        # The row of two classes stands for two, whose absolute values are its over sqrt(2).
        l1 = objective.l1 * (np.sqrt(2) if n_classes == 2 else 1)
        self._l1 = np.tile(np.append(l1 * self._shares, 0.0), self._n_rows)
        self._origin = np.zeros(len(self._l1))
        self.metric: Metric | None = None

    @property
    def has_bounds(self) -> bool:
        """Whether there is an absolute penalty."""
        return self._objective.l1 > 0

    @property
    def metric_pays(self) -> bool:
        """Whether weights are few enough, and the objective smooth."""
        return not self.has_bounds and pays(len(self._l1))

    def take_metric(self, weights: Weights) -> None:
        """Go over to the metric of the second derivatives at some weights, where it exists.

        Parameters
        ----------
        weights : ndarray of shape (n_classes, n_features + 1)
            They become the origin.
        """
        self.metric = None
        origin, hessian = self.of(weights), self._hessian(weights)
        with suppress(np.linalg.LinAlgError):  # of rows whose squares overflow, for instance
            self.metric = Metric(hessian)
            self._origin = origin

    def of(self, weights: Weights) -> NDArray[np.float64]:
        """Return the variables of some weights, without a metric.

        Parameters
        ----------
        weights : ndarray of shape (n_classes, n_features + 1)
            Of a model.

        Returns
        -------
        ndarray of shape (n,)
            One vector.
        """
        rows = _contrasts(weights)
        if self._centre is not None:
            rows = np.column_stack([rows[:, :-1], rows[:, -1] + rows[:, :-1] @ self._centre])
        scaled: NDArray[np.float64] = (rows * self._scales).ravel()
        if not self.has_bounds:
            return scaled
        # Of each pair one part is 0: their difference is the weight, their sum its size.
        positive = np.where(self._l1 > 0, np.maximum(scaled, 0), scaled)
        return np.concatenate([positive, positive - scaled])

    def weights(self, variables: NDArray[np.float64]) -> Weights:
        """Return the weights that variables stand for.

        Parameters
        ----------
        variables : ndarray of shape (n,)
            Zero at the origin of the metric, if there is one.

        Returns
        -------
        ndarray of shape (n_classes, n_features + 1)
            Of a model.
        """
        if self.metric is not None:
            variables = self._origin + self.without_shared(self.metric.step(variables))
        if self.has_bounds:
            positive, negative = np.split(variables, 2)
            variables = positive - negative
        rows = variables.reshape(self._n_rows, -1) / self._scales
        if self._centre is not None:
            rows[:, -1] -= rows[:, :-1] @ self._centre
        weights: Weights = rows if self._n_rows > 1 else rows * OPPOSITE
        return weights

    def value_gradient(
        self,
        variables: NDArray[np.float64],
        weights: Weights,
        value: float,
        slopes: Weights,
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the objective and its gradient, by the variables.

        Parameters
        ----------
        variables : ndarray of shape (n,)
            Where.
        weights : ndarray of shape (n_classes, n_features + 1)
            What they stand for.
        value : float
            The objective there.
        slopes : ndarray of shape (n_classes, n_features + 1)
            Derivatives of the loss by the weights.

        Returns
        -------
        value : float
            With an absolute penalty, what is minimised in its place.
        gradient : ndarray of shape (n,)
            Its derivatives.
        """
        by_rows: NDArray[np.float64] = self._of_centred(_contrasts(slopes)) / self._scales
        l2_by_weights = self._objective.l2 * self._objective.scales * self._shares
        by_rows[:, :-1] += l2_by_weights * _contrasts(weights)[:, :-1]
        gradient = by_rows.ravel()
        if self.metric is not None:
            return value, self.metric.gradient(self.without_shared(gradient))
        if not self.has_bounds:
            return value, gradient
        # Where both parts of a weight are positive, their sum is more than its size. The
        # penalty is on the sum, which has a derivative; at the optimum one of them is 0.
        smaller = np.minimum(*np.split(variables, 2))
        doubly = 2 * float((self._l1 * smaller).sum())
        return value + doubly, np.append(self._l1 + gradient, self._l1 - gradient)

    def bounds(self) -> Bounds:
        """Return where the two parts of a weight may be.

        Returns
        -------
        scipy.optimize.Bounds
            All of an intercept is its first part.
        """
        is_intercept = self._l1 == 0
        least = np.append(np.where(is_intercept, -np.inf, 0.0), np.zeros(len(self._l1)))
        most = np.append(np.full(len(self._l1), np.inf), np.where(is_intercept, 0.0, np.inf))
        return Bounds(least, most)

    def without_shared(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights or slopes less what all classes share: it changes no probability.

        Rounding would be taken for a slope there, where nothing but the penalty curves.

        Parameters
        ----------
        weights : ndarray
            Class by class, in any shape.

        Returns
        -------
        ndarray
            Of the same shape.
        """
        if self._n_rows == 1:
            return weights
        rows = weights.reshape(self._n_rows, -1)
        rest: NDArray[np.float64] = (rows - rows.mean(axis=0)).reshape(weights.shape)
        return rest

    def _hessian(self, weights: Weights) -> NDArray[np.float64]:
        """The second derivatives of the objective, by weights times scales."""
        width = len(self._scales)
        by_weights = self._objective.hessian(weights, only_intercepts=False)
        if self._n_rows == 1:  # of opposite rows, whose four blocks differ in sign alone
            by_weights = 2 * by_weights[width:, width:]
        if self._centre is not None:
            blocks = by_weights.reshape(self._n_rows, width, self._n_rows, width)
            half = self._of_centred(blocks).transpose(2, 3, 0, 1)
            by_weights = self._of_centred(half).reshape(by_weights.shape)
        scales = np.tile(self._scales, self._n_rows)
        hessian: NDArray[np.float64] = by_weights / (scales[:, None] * scales)
        # What all classes share curves as much as what they do not, rather than not at all.
        for column in range(width if self._n_rows > 1 else 0):
            of_classes = hessian[column::width, column::width]
            of_classes += np.trace(of_classes) / self._n_rows**2
        penalty = np.append(self._objective.l2 * self._shares**2, 0.0)
        return hessian + np.diag(np.tile(penalty, self._n_rows))

    def _of_centred(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives by weights beside intercepts of centred features, from those by others.

        Where such an intercept stays, a weight moves the other one by minus its centre.
        """
        if self._centre is None:
            return slopes
        by_weights, by_intercepts = slopes[..., :-1], slopes[..., -1:]
        centred: NDArray[np.float64] = np.concatenate(
            [by_weights - by_intercepts * self._centre, by_intercepts], axis=-1
        )
        return centred


def _balanced(
    moments: Moments, centre: NDArray[np.float64] | None, objective: Objective
) -> NDArray[np.float64]:
    """Scales in which the objective curves alike along all weights, as long as these are zero.

    Along the weight of a feature the loss then curves by the squared spread of the feature, and
    the penalty by the same for all. Scales are the roots of both together, in the unit of what
    they are for a spread of 1. Without the penalty's part, a rare feature would be scaled up
    until nothing but the penalty curved along it, and far more than the loss along the others.
    """
    shares = objective.frequencies
    of_loss = float(1 - (shares**2).sum()) / (len(shares) - 1)  # in the mean over directions
    share = of_loss / (of_loss + objective.l2) if of_loss > 0 else 0.0
    scales: NDArray[np.float64] = np.hypot(
        np.sqrt(share) * moments.spread(centre), np.sqrt(1 - share) * objective.scales
    )
    return scales


def _contrasts(rows: Weights) -> Weights:
    """Rows of weights or derivatives; for two classes one, since theirs are opposite."""
    return OPPOSITE.T @ rows if len(rows) == 2 else rows
