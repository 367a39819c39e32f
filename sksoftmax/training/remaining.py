"""What a descent may still gain where it has come to: bounds, which take passes, and estimates.

This module must not know how a descent moves on, nor from which rows its derivatives are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sksoftmax.training.objective import Objective, Weights, dual_gap, estimated_gap

MARGIN = 30.0
"""How many times Newton's decrement is taken to be left. The truth is mostly one to three times
as much, and up to ten where probabilities have come nearer to 0 and 1 since the metric was
measured: the objective then curves by less than metric and pairs say. The rest is cheap: this
near the optimum an iteration gains a digit or more."""

SLACK = 3.0
"""How many times the target the estimate of the bound may be beside that. It hardly ever is too
small, and mostly 10 to 300 times too large; but where a few outliers decide on the curvature,
the decrement sees no more than what these leave."""


class Place(NamedTuple):
    """A model, and what a pass over the rows says of it.

    Parameters
    ----------
    weights : ndarray of shape (n_classes, n_features + 1)
        The model.
    value, loss : float
        The objective, and what of it is no penalty.
    gradient : ndarray of shape (n_classes, n_features + 1)
        Derivatives of the loss.
    """

    weights: Weights
    value: float
    loss: float
    gradient: Weights


class Remaining:
    """What is left to be gained at the last place of a descent, as far as that is known.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    target_at : callable or None
        Takes the objective, and returns how much may be left there; None for nothing.
    certifies : bool
        Whether only a bound tells that no more is left. Else Newton's decrement does, where it
        is known, times `MARGIN`, beside an estimate of the bound: neither takes a pass.

    Attributes
    ----------
    gap : float
        What is left at most, by the last bound or estimate that counts; inf before the first.
    is_estimate : bool
        Whether it is one.

    References
    ----------
    Boyd and Vandenberghe, "Convex Optimization", section 9.5, Cambridge University Press 2004,
    for Newton's decrement.
    """

    def __init__(
        self,
        objective: Objective,
        target_at: Callable[[float], float] | None,
        *,
        certifies: bool,
    ):
        self._objective, self._target_at = objective, target_at
        self._certifies = certifies
        self._promising = np.inf
        self.gap = np.inf
        self.is_estimate = False

    def is_little_at(self, value: float) -> bool:
        """Return whether it is at most the target at an objective."""
        return self._target_at is not None and self.gap <= self._target_at(value)

    def _tells(self, decrement: float) -> bool:
        """Whether the decrement does, in place of a bound."""
        return not self._certifies and decrement < np.inf

    def estimate(self, place: Place, decrement: float = np.inf) -> float:
        """Return about what is left to be gained, without a pass.

        Parameters
        ----------
        place : Place
            Where.
        decrement : float, default=inf
            Newton's, as ``lbfgs.Iterate`` has it: inf where it is not known.

        Returns
        -------
        float
            It is inf where no target asks for it, or the objective is not finite.
        """
        if self._target_at is None or not np.isfinite(place.value):
            return np.inf
        if not self._tells(decrement):
            return estimated_gap(self._objective, *place)
        left = MARGIN * decrement
        if left > self._target_at(place.value):  # else the other one costs time as well
            return left
        return max(left, estimated_gap(self._objective, *place) / SLACK)

    def note(self, place: Place, estimate: float, decrement: float = np.inf) -> None:
        """Take in the estimate, or the bound where it may well be at most the target.

        Parameters
        ----------
        place : Place
            Where.
        estimate : float
            What `estimate` says of it.
        decrement : float, default=inf
            From which it has said so.
        """
        if self._target_at is None:
            return
        if self._tells(decrement):
            self.gap, self.is_estimate = estimate, True
            return
        target = self._target_at(place.value)
        if estimate <= min(self._promising, target):
            self.bound(place, enough=target)
            if self.gap > target:
                # Estimates are too small by a factor that changes slowly.
                self._promising = estimate * min(0.5, target / self.gap)

    def bound(self, place: Place, *, enough: float = 0.0) -> None:
        """Take in the bound.

        Parameters
        ----------
        place : Place
            Where.
        enough : float, default=0.0
            A bound below which a lower one is not worth a pass.
        """
        measured = place.loss, place.gradient
        self.gap = dual_gap(self._objective, place.weights, measured, enough=enough)
        self.is_estimate = False
