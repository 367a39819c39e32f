"""What parameters may be, and which methods they leave, where scikit-learn's own cannot say.

This module must not know what parameters are for.
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


def takes_chunks(estimator: Any) -> bool:
    """Say whether an estimator has ``partial_fit``.

    Parameters
    ----------
    estimator : SoftmaxClassifier
        Fitted or not.

    Returns
    -------
    bool
        True.

    Raises
    ------
    AttributeError
        If its optimizer needs all rows at once.
    """
    if estimator.optimizer == "lbfgs":
        raise AttributeError(
            "optimizer='lbfgs' needs all rows at once, and partial_fit is given a chunk of"
            " them. Use optimizer='sgd' or 'adam'."
        )
    return True
