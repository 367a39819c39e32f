"""The update rule that finds the size of its own steps, over any array namespace.

Its norms say how long a step is, which others ask of it here: what the last step was, and how
steps go on from a model that they have not found. This module knows neither batches nor the
loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.optimizers import soft_threshold
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array

TINY = float(np.finfo(np.float64).tiny)
"""What is divided by in place of zero."""


class DistanceOverGradients:
    r"""Stochastic gradient descent that finds its own step, by the way it has come.

    In standardised coordinates, with g the gradient at y, and r, v and the sum of the weights
    kept for each model,

    .. math::

        y &= (1 - \beta) z + \beta a, \qquad
        r \leftarrow \max(r, |a|), \qquad v \leftarrow v + r^2 |g|^2, \\
        z &\leftarrow \mathrm{prox}\Bigl(z - \frac{r^2}{\sqrt v}\, g\Bigr), \qquad
        a \leftarrow a + \gamma (z - a), \qquad
        \gamma = \max\Bigl(\frac{r^2 t}{\sum_{\tau \le t} r_\tau^2 \tau}, c\Bigr)

    at the t-th step, with beta the `nearness` and c the `least_weight` of the rule.

    The step is a distance over the gradients so far (Ivgi, Hinder and Carmon), weighted by the
    distances at which they were taken (Khaled, Mishchenko and Jin): short where gradients are
    noise, long where the optimum is far, and never longer than r. The distance is that of the
    average, which noise does not inflate. Gradients are taken near the average (Defazio et
    al.), so that it may lag behind without harm, and the loss that they meet is nearly that of
    the model kept. With beta = 1 and a constant gamma the average moves as a heavy ball of
    momentum 1 - gamma does. The first step is one over the curvature L along a first gradient:
    r = max(|g| / L, |a|), and v = (r^2 L)^2.

    Parameters
    ----------
    problem : Problem
        Its `curvature` is used, and its `rule` gives `nearness` and `least_weight`.
    xp : module
        The namespace of the parameters.

    References
    ----------
    Ivgi, Hinder and Carmon, "DoG is SGD's best friend: a parameter-free dynamic step size
    schedule", ICML 2023.
    Khaled, Mishchenko and Jin, "DoWG unleashed: an efficient universal parameter-free gradient
    descent method", NeurIPS 2023.
    Defazio et al., "The road less scheduled", NeurIPS 2024.
    """

    memory_names = ()
    norm_names = ("distance", "squares", "weight")
    """r, v and the sum of the weights."""

    def __init__(self, problem: Problem, xp: Any):
        assert problem.curvature is not None
        self.curvature = xp.asarray(problem.curvature, dtype="float64")
        self.nearness, self.least_weight = problem.rule.nearness, problem.rule.least_weight
        self.xp = xp

    def point(self, parameters: Array, average: Array, out: Array) -> None:
        """Write where the next gradient is taken: y, from z and a."""
        out[...] = (1 - self.nearness) * parameters
        out += self.nearness * average

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
        """Change `parameters`, `average` and `norms` in place; `gradient` is overwritten.

        Parameters
        ----------
        parameters, average : arrays of shape (n_models, n_classes, n_features + 1)
            z and a, in the caller's units.
        norms : dict of str to array of shape (n_models,), float64
            By `norm_names`.
        gradient : array of the parameters' shape
            The mean gradient of a batch at y, in standardised coordinates.
        factor : array of shape (n_models,), float64
            What the step is multiplied by.
        scales : pair of arrays of shape (n_models, 1, n_features + 1)
            The scale s of each column, and one over it; both 0 for a constant feature.
        threshold : array of shape (n_models, 1, n_features + 1), or None
            The absolute penalty in standardised coordinates; None without one.
        n_steps : int
            Steps so far, this one included.
        """
        xp = self.xp
        scale, inverse_scale = scales
        step, newest = self.step_and_weight(norms, squared_norm(xp, gradient), n_steps)
        step, newest = (
            xp.asarray(x, dtype=gradient.dtype)[:, None, None] for x in (step * factor, newest)
        )
        # Once more 1/s, back to the caller's units; the gradient has the other one already.
        step = step * inverse_scale
        gradient *= step
        parameters -= gradient
        if threshold is not None:
            soft_threshold(xp, parameters, threshold * step)
        change = parameters - average
        # This step's weight in the average: see `step_and_weight`.
        change *= newest
        average += change
        norms["distance"] = xp.maximum(
            norms["distance"], xp.sqrt(squared_norm(xp, average * scale))
        )

    def step_and_weight(
        self, norms: dict[str, Array], squares: Array, n_steps: int
    ) -> tuple[Array, Array]:
        """Take a gradient into the norms; return the step, and the weight of the newest z.

        Parameters
        ----------
        norms : dict of str to array of shape (n_models,), float64
            By `norm_names`; all but the distance are replaced, and that too at the first step.
        squares : array of shape (n_models,), float64
            The squared norm of the gradient in standardised coordinates.
        n_steps : int
            Steps so far, this one included.

        Returns
        -------
        step, newest : arrays of shape (n_models,), float64
            The step is 0 where every gradient so far was 0.
        """
        xp = self.xp
        distance, total = norms["distance"], norms["squares"]
        is_first = total == 0
        distance = xp.where(
            is_first, xp.maximum(distance, xp.sqrt(squares) / self.curvature), distance
        )
        area = distance * distance
        total = xp.where(is_first, (area * self.curvature) ** 2, total + area * squares)
        weight = norms["weight"] + area * n_steps
        norms["distance"], norms["squares"], norms["weight"] = distance, total, weight
        step = area / xp.sqrt(xp.maximum(total, TINY))
        newest = area * n_steps / xp.maximum(weight, TINY)
        return step, xp.maximum(newest, self.least_weight)


def moved_to(
    parameters: NDArray[Any], means: NDArray[np.float64], state: State, problem: Problem
) -> State:
    """Return a state with another model, which steps have not found.

    Parameters
    ----------
    parameters : ndarray of shape (1, n_classes, n_features + 1)
        The model, in the units of a State.
    means : ndarray of shape (n_features,), float64
        The centre that its intercepts refer to.
    state : State
        Of one model, after steps of any rule.
    problem : Problem
        What was trained.

    Returns
    -------
    State
        From which "distance-over-gradients" goes on by steps of the size that it had found, and
        with an average as slow as if all of them had been taken at the distance where the model
        now is. Longer steps would be in proportion to a distance that no step has tried, and
        lead away where features are in odd units. Other rules start anew, since a velocity
        would lead away, too.
    """
    if not problem.rule.finds_steps:
        state = state.started_anew(problem)
    norms = dict(state.norms)
    if norms:
        way = np.sqrt(squared_norm(np, parameters * problem.distance_scales))
        distance = norms["distance"]
        growth = np.maximum(1.0, way / np.where(distance > 0, distance, way))
        norms["distance"] = np.maximum(distance, way)
        norms["weight"] = norms["weight"] * growth**2  # a sum of squared distances
        norms["squares"] = norms["squares"] * growth**4  # whose root divides squared distances
    return replace(state, parameters=parameters, average=parameters, means=means, norms=norms)


def last_step(state: State) -> float:
    """Return the last step that "distance-over-gradients" took, before factors on it.

    Parameters
    ----------
    state : State
        Of one model.

    Returns
    -------
    float
        r^2 over the root of v; 0 before the first gradient other than 0.
    """
    if not state.norms or state.norms["squares"][0] == 0:
        return 0.0
    return float(state.norms["distance"][0] ** 2 / np.sqrt(state.norms["squares"][0]))


def squared_norm(xp: Any, array: Array) -> Array:
    """Return the sum of the squares of each model's numbers.

    Parameters
    ----------
    xp : module
        The namespace of the array.
    array : array of shape (n_models, n_classes, n_columns)
        float32 or float64.

    Returns
    -------
    array of shape (n_models,), float64
        Added up in float64.
    """
    return xp.sum(array * array, axis=(1, 2), dtype=np.float64)
