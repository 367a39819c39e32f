"""The rule that finds its own steps, for one model: its norms are numbers.

On small problems, arrays of one element took a third of a step. Operations and their order
are those of ``DistanceOverGradients``, and so is every bit. This module must not know where
gradients come from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import TINY, Array, DistanceOverGradients, Problem, soft_threshold


class DistanceOfOneModel(DistanceOverGradients):
    """DistanceOverGradients over NumPy, for one model.

    Parameters
    ----------
    problem, xp
        As in DistanceOverGradients; ``problem.n_models`` is 1.
    """

    def __init__(self, problem: Problem, xp: Any):
        super().__init__(problem, xp)
        # Arrays of no dimension: NumPy makes one of a number at each call.
        self._to_average = np.array(self.nearness, problem.dtype)
        self._to_newest = np.array(1 - self.nearness, problem.dtype)
        self._curvature = float(self.curvature[0])

    def point(self, parameters: Array, average: Array, out: Array) -> None:
        """Write where the next gradient is taken."""
        np.multiply(parameters, self._to_newest, out=out)
        out += average * self._to_average

    def update(
        self,
        parameters: Array,
        average: Array,
        norms: dict[str, Array],
        gradient: Array,
        factor: Array,
        scales: tuple[Array, Array],
        threshold: Array | None,
        n_steps: int,
    ) -> None:
        """Change `parameters`, `average` and `norms` in place; `gradient` is overwritten."""
        scale, inverse_scale = scales
        size, newest = self.step_and_weight_of_one(norms, _squared_norm(gradient), n_steps)
        step = inverse_scale * (size * float(factor[0]))
        gradient *= step
        parameters -= gradient
        if threshold is not None:
            soft_threshold(self.xp, parameters, threshold * step)
        change = np.subtract(parameters, average, out=gradient)
        change *= newest
        average += change
        way = math.sqrt(_squared_norm(np.multiply(average, scale, out=gradient)))
        norms["distance"][0] = max(way, float(norms["distance"][0]))

    def step_and_weight(
        self, norms: dict[str, Array], squares: Array, n_steps: int
    ) -> tuple[Array, Array]:
        """Take a gradient into the norms; return the step, and the weight of the newest z."""
        step, newest = self.step_and_weight_of_one(norms, float(squares[0]), n_steps)
        return np.array([step]), np.array([newest])

    def step_and_weight_of_one(
        self, norms: dict[str, NDArray[np.float64]], squares: float, n_steps: int
    ) -> tuple[float, float]:
        """Return what `step_and_weight` returns, from a number and as numbers."""
        distance, total = float(norms["distance"][0]), float(norms["squares"][0])
        curvature = self._curvature
        is_first = total == 0
        if is_first:
            distance = max(math.sqrt(squares) / curvature, distance)
        area = distance * distance
        first = area * curvature
        total = first * first if is_first else total + area * squares
        weight = float(norms["weight"][0]) + area * n_steps
        norms["distance"][0], norms["squares"][0], norms["weight"][0] = distance, total, weight
        newest = area * n_steps / max(weight, TINY)
        return area / math.sqrt(max(total, TINY)), max(newest, self.least_weight)


def _squared_norm(array: NDArray[Any]) -> float:
    """The sum of the squares of the only model's numbers, added up in float64."""
    return float(np.add.reduce(array * array, axis=(1, 2), dtype=np.float64)[0])
