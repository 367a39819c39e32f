"""The update rules and the averaging of iterates, over any array namespace.

An optimiser turns a gradient in standardised coordinates into a change of the parameters
in the caller's units, and takes the proximal step of an absolute penalty. It knows neither
batches nor the loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Problem, State
from sksoftmax.data.arrays import Array

AVERAGING_DECAY = 8
"""The exponent eta of polynomial-decay averaging: large enough to forget the first steps."""

TINY = float(np.finfo(np.float64).tiny)
"""What is divided by in place of zero."""


class Momentum:
    r"""Stochastic gradient descent with heavy-ball or Nesterov momentum.

    .. math::

        V \leftarrow \mathrm{prox}(W + \mu V - \eta\, g / s) - W, \qquad W \leftarrow W + V

    with prox the soft threshold of an absolute penalty, the identity without one. The velocity
    is what the weights have really moved: one that the threshold did not touch would carry
    them to the optimum of another problem. For Nesterov's, the parameters are the point Y
    ahead where the gradient is taken, and W = Y - mu V:

    .. math::

        V \leftarrow \mathrm{prox}(Y - \eta\, g / s) - (Y - \mu V), \qquad
        Y \leftarrow \mathrm{prox}(Y - \eta\, g / s) + \mu V

    The gradient g is in coordinates divided by s, so the caller's units see 1/s twice: once in
    g, once here; 1/s squared could leave the range of float32.

    Parameters
    ----------
    problem : Problem
        Its `rule` gives `momentum` and `nesterov`.
    momentum : array of shape (n_models, 1, 1)
        The momentum in the dtype and on the device of the parameters.
    xp : module
        The namespace of the parameters.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
    Computational Mathematics and Mathematical Physics 4(5), 1964.
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in
    deep learning", ICML 2013.
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", SIAM Journal on Imaging Sciences 2(1), 2009.
    """

    def __init__(self, problem: Problem, momentum: Array, xp: Any):
        self.memory_names = ("velocity",) if problem.rule.momentum.any() else ()
        self.nesterov = problem.rule.nesterov
        self.momentum = momentum
        self.xp = xp

    def update(
        self,
        parameters: Array,
        memory: dict[str, Any],
        gradient: Array,
        scaled_step: Array,
        threshold: Array | None,
        n_steps: int,
    ) -> None:
        """Change `parameters` and `memory` in place; `gradient` is overwritten.

        Parameters
        ----------
        parameters : array of shape (n_models, n_classes, n_features + 1)
            The iterate, in the caller's units.
        memory : dict of str to array
            The velocity, in the caller's units.
        gradient : array of the parameters' shape
            The mean gradient of a batch, in standardised coordinates.
        scaled_step : array of shape (n_models, 1, n_features + 1)
            The step size over s.
        threshold : array of shape (n_models, 1, n_features + 1), or None
            The absolute penalty in standardised coordinates, 0 for the intercept; None
            without one.
        n_steps : int
            Steps so far, this one included.
        """
        gradient *= scaled_step
        if threshold is not None:
            self._update_proximally(parameters, memory, gradient, threshold * scaled_step)
            return
        if not self.memory_names:
            parameters -= gradient
            return
        velocity = memory["velocity"]
        velocity *= self.momentum
        velocity -= gradient
        if self.nesterov:
            parameters -= gradient
            parameters += self.momentum * velocity
        else:
            parameters += velocity

    def _update_proximally(
        self, parameters: Array, memory: dict[str, Any], change: Array, threshold: Array
    ) -> None:
        """The same with a soft threshold; `change` is the gradient times the step."""
        if not self.memory_names:
            parameters -= change
            soft_threshold(self.xp, parameters, threshold)
            return
        velocity = memory["velocity"]
        velocity *= self.momentum
        if self.nesterov:
            # The parameters are the point ahead, Y; without the momentum's part they are W.
            start = parameters - velocity
        else:
            # A copy: `parameters` becomes the next iterate in place.
            start = self.xp.array(parameters)
            parameters += velocity
        parameters -= change
        soft_threshold(self.xp, parameters, threshold)
        velocity[...] = parameters - start  # the whole way, threshold included
        if self.nesterov:
            parameters += self.momentum * velocity


class Adam:
    r"""Adam, with both its moments in standardised coordinates.

    .. math::

        M \leftarrow \beta_1 M + (1 - \beta_1) g, \quad
        U \leftarrow \beta_2 U + (1 - \beta_2) g^2, \quad
        W \leftarrow W - \frac{\eta}{s}\, \frac{M / (1 - \beta_1^t)}
        {\sqrt{U / (1 - \beta_2^t)} + \epsilon}

    In the caller's units epsilon would mean something else for each feature. The threshold of
    an absolute penalty is divided by the same denominator: it belongs to the same metric.

    Parameters
    ----------
    problem : Problem
        Its `rule` gives `beta_1`, `beta_2` and `epsilon`.
    xp : module
        The namespace of the parameters.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    memory_names = ("first_moment", "second_moment")

    def __init__(self, problem: Problem, xp: Any):
        self.beta_1, self.beta_2 = problem.rule.beta_1, problem.rule.beta_2
        self.epsilon = problem.rule.epsilon
        self.xp = xp

    def update(
        self,
        parameters: Array,
        memory: dict[str, Any],
        gradient: Array,
        scaled_step: Array,
        threshold: Array | None,
        n_steps: int,
    ) -> None:
        """Change `parameters` and `memory` in place; `gradient` is overwritten.

        Parameters
        ----------
        parameters : array of shape (n_models, n_classes, n_features + 1)
            The iterate, in the caller's units.
        memory : dict of str to array
            Both moments, in standardised coordinates.
        gradient : array of the parameters' shape
            The mean gradient of a batch, in standardised coordinates.
        scaled_step : array of shape (n_models, 1, n_features + 1)
            The step size over s.
        threshold : array of shape (n_models, 1, n_features + 1), or None
            The absolute penalty in standardised coordinates, 0 for the intercept; None
            without one.
        n_steps : int
            Steps so far, this one included: it corrects the moments' bias towards zero.
        """
        first, second = memory["first_moment"], memory["second_moment"]
        # M + (1 - beta) (g - M) is beta M + (1 - beta) g.
        first += (1 - self.beta_1) * (gradient - first)
        gradient *= gradient
        second += (1 - self.beta_2) * (gradient - second)
        deviation = self.xp.sqrt(second / (1 - self.beta_2**n_steps))
        deviation += self.epsilon
        parameters -= scaled_step / (1 - self.beta_1**n_steps) * first / deviation
        if threshold is not None:
            soft_threshold(self.xp, parameters, scaled_step * threshold / deviation)


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


def soft_threshold(xp: Any, array: Array, threshold: Array) -> None:
    r"""Move each element towards 0 by its threshold, in place, and no further.

    It is the proximal map of an absolute penalty: the x that minimises
    :math:`(x - a)^2 / 2 + \theta |x|` for an element a.

    Parameters
    ----------
    xp : module
        The namespace of the arrays.
    array : array
        What is changed.
    threshold : array that broadcasts to it
        At least 0.

    References
    ----------
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.backend.optimizers import soft_threshold
    >>> array = np.array([-3.0, -0.5, 0.5, 3.0])
    >>> soft_threshold(np, array, np.array(1.0))
    >>> array.tolist()
    [-2.0, 0.0, 0.0, 2.0]
    """
    array -= xp.clip(array, -threshold, threshold)


def averaging_weight(n_steps: int) -> float:
    r"""Return the weight of the newest of `n_steps` iterates in their average.

    Polynomial decay: :math:`\gamma_t = (\eta + 1) / (t + \eta)`, which needs no horizon.

    Parameters
    ----------
    n_steps : int
        Iterates so far, the newest included; at least 1.

    Returns
    -------
    float
        A weight in (0, 1], 1 for the first iterate.

    References
    ----------
    Shamir and Zhang, "Stochastic gradient descent for non-smooth optimization", ICML 2013.
    """
    return (AVERAGING_DECAY + 1) / (n_steps + AVERAGING_DECAY)
