"""L-BFGS for a smooth function of many variables: no step knows more than the last gradients.

SciPy's, which also knows bounds, takes as long for an iteration as a pass over the rows of a
short text. This module must not know what it minimises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""Variables in, value and gradient out."""

EVALUATIONS = 20
"""Most times that one iteration may look at the function, which it does about once."""

LEAST_GUESS, MOST_GUESS = 0.01, 20.0
"""Least and most length of the step that is tried second, as a share of the first."""

DECREASE, FLATNESS = 1e-4, 0.9
"""Wolfe's conditions: the share of the decrease promised by the slope that a step must bring,
and the share of the slope that may be left."""


class Pair(NamedTuple):
    """A step, the change of the gradient along it, and the product of both, above 0."""

    step: NDArray[np.float64]
    change: NDArray[np.float64]
    product: float


class Iterate(NamedTuple):
    """Where an iteration has come to.

    Parameters
    ----------
    point : ndarray of shape (n,)
        The variables there.
    decrement : float
        Newton's decrement: how far the function is above its least value, if it is the
        parabola that its curvature at the start and the pairs make of it. It is inf where that
        curvature is not known.
    """

    point: NDArray[np.float64]
    decrement: float


def iterates(
    function: Function, start: NDArray[np.float64], n_pairs: int, curvature: float | None = None
) -> Iterator[Iterate]:
    """Yield where each iteration has come to, until one finds nothing lower.

    Parameters
    ----------
    function : callable
        Its last call before a yield is at the point that is yielded, unless that is the last.
    start : ndarray of shape (n,)
        Where to begin.
    n_pairs : int
        Pairs of steps and gradients that are remembered, at least one.
    curvature : float or None, default=None
        That of the function about the start, in all directions, and then in those that no
        pair has covered: where the loss has flattened since, the penalty has not, and rounding
        would grow by steps that are too long for it. None for a first step of length 1, and
        then for what the last pair tells.

    Yields
    ------
    Iterate
        Each lower than the one before, but for the last, which may be as low.

    References
    ----------
    Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation
    35, 1980.
    """
    point = start
    value, gradient = function(point)
    elsewhere = float(np.linalg.norm(gradient)) if curvature is None else curvature
    pairs: deque[Pair] = deque(maxlen=n_pairs)
    direction = -gradient / (elsewhere or 1.0)
    is_known = curvature is not None
    while gradient.any():
        step, new_value, new_gradient = _line_search(
            function, point, direction, value, gradient, is_guess=not pairs
        )
        if not new_value <= value:  # where rounding has the last word, a step may lead anywhere
            yield Iterate(point, _decrement(gradient, direction) if is_known else np.inf)
            return
        point = point + step
        change = new_gradient - gradient
        product = float(step @ change)
        is_lower = new_value < value
        value, gradient = new_value, new_gradient
        if product > 0:
            pairs.append(Pair(step, change, product))
            if curvature is None:
                elsewhere = float(change @ change) / product
        direction = _direction(gradient, pairs, elsewhere)
        yield Iterate(point, _decrement(gradient, direction) if is_known else np.inf)
        if not is_lower:
            return


def _direction(
    gradient: NDArray[np.float64], pairs: deque[Pair], curvature: float
) -> NDArray[np.float64]:
    """Minus the gradient, times the inverse Hessian that the pairs let one expect."""
    direction = -gradient
    shares = []
    for step, change, product in reversed(pairs):
        share = float(step @ direction) / product
        direction -= share * change
        shares.append(share)
    direction /= curvature
    for (step, change, product), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - float(change @ direction) / product) * step
    return direction


def _decrement(gradient: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """What the whole direction takes off a parabola whose least value is at its end."""
    return -float(gradient @ direction) / 2


def _line_search(
    function: Function,
    point: NDArray[np.float64],
    direction: NDArray[np.float64],
    value: float,
    gradient: NDArray[np.float64],
    *,
    is_guess: bool,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """The first step tried along a direction that is neither too long nor too short.

    The whole direction comes first, and mostly is the answer. Too long a step is halved, too
    short a one doubled, and once both are known the middle is tried. Only where the length of
    the direction is a guess, the slope at its end says where to look next.
    """
    slope = float(gradient @ direction)
    length, longest_short, shortest_long = 1.0, 0.0, np.inf
    for n_looks in range(EVALUATIONS):
        step = length * direction
        new_value, new_gradient = function(point + step)
        new_slope = float(new_gradient @ direction)
        if not new_value <= value + DECREASE * length * slope:  # NaN is too long, as well
            shortest_long = length
        elif new_slope < FLATNESS * slope:
            longest_short = length
        else:
            break
        is_bracketed = np.isfinite(shortest_long)
        length = (longest_short + shortest_long) / 2 if is_bracketed else 2 * length
        if is_guess and n_looks == 0 and slope < new_slope < np.inf:
            guess = slope / (slope - new_slope)  # where a parabola has its minimum
            length = max(guess, LEAST_GUESS) if is_bracketed else min(guess, MOST_GUESS)
    return step, new_value, new_gradient
