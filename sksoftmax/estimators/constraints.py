"""Constraints on parameters that scikit-learn's own do not state.

This module must not know any estimator.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from sksoftmax._scikit_learn import Interval


class FloatInterval(Interval):  # type: ignore[misc]
    """Real numbers whose value as a float lies in an interval.

    Scikit-learn's own compares the number itself: it takes ``10**400``, which no float can
    hold, and cannot compare a `fractions.Fraction` at all.

    Parameters
    ----------
    left, right : float or None
        The bounds; None for no bound.
    closed : {"left", "right", "both", "neither"}
        Which bounds belong to the interval.

    Examples
    --------
    >>> from sksoftmax.estimators.constraints import FloatInterval
    >>> positive = FloatInterval(0, None, closed="neither")
    >>> positive.is_satisfied_by(2), positive.is_satisfied_by(10**400)
    (True, False)
    """

    def __init__(self, left: float | None, right: float | None, *, closed: str):
        super().__init__(Real, left, right, closed=closed)

    def __contains__(self, value: Any) -> bool:
        try:
            number = float(value)
        except OverflowError:
            return False
        return bool(super().__contains__(number))
