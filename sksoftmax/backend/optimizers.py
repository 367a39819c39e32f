"""The update rules for steps of a given size, and the averaging of iterates.

An optimiser turns a gradient in standardised coordinates into a change of the parameters
in the caller's units, and takes the proximal step of an absolute penalty, over any array
namespace. It knows neither batches nor the loss.
"""

from __future__ import annotations

from typing import Any

from sksoftmax.backend.problem import Problem
from sksoftmax.data.arrays import Array

AVERAGING_DECAY = 8
"""The exponent eta of polynomial-decay averaging: large enough to forget the first steps."""


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

        Arguments are those of `Momentum.update`, but that `memory` has both moments, in
        standardised coordinates. The number of steps corrects their bias towards zero.
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
