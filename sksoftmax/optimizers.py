"""The update rules and the averaging of iterates, over any array namespace.

An optimiser turns a gradient in standardised coordinates into a change of the parameters
in the caller's units. It knows neither batches nor the loss.
"""

from __future__ import annotations

from typing import Any

from sksoftmax.problem import Array, Problem

AVERAGING_DECAY = 8
"""The exponent eta of polynomial-decay averaging: large enough to forget the first steps."""


class HeavyBall:
    r"""Stochastic gradient descent with heavy-ball momentum.

    .. math::

        V \leftarrow \mu V - \eta\, g / s, \qquad W \leftarrow W + V

    where g is the gradient in coordinates divided by s (so the caller's units see 1/s twice:
    once in g, once here; 1/s squared could leave the range of float32).

    Parameters
    ----------
    problem : Problem
        Its `momentum` is used.
    inverse_scales : array of shape (n_models, 1, n_features + 1)
        1/s, with the intercept's in the last column.
    momentum : array of shape (n_models, 1, 1)
        The momentum in the dtype and on the device of the parameters.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
    Computational Mathematics and Mathematical Physics 4(5), 1964.
    """

    def __init__(self, problem: Problem, inverse_scales: Array, momentum: Array):
        self.moment_names = ("velocity",) if problem.momentum.any() else ()
        self.inverse_scales = inverse_scales
        self.momentum = momentum

    def update(
        self, parameters: Array, moments: dict[str, Any], gradient: Array, step: Array
    ) -> None:
        """Change `parameters` and `moments` in place; `gradient` is used up.

        Parameters
        ----------
        parameters : array of shape (n_models, n_classes, n_features + 1)
            The iterate, in the caller's units.
        moments : dict of str to array
            The velocity, in the caller's units.
        gradient : array of the parameters' shape
            The mean gradient of a batch, in standardised coordinates.
        step : array of shape (n_models, 1, 1)
            The step size.
        """
        gradient *= step * self.inverse_scales
        if not self.moment_names:
            parameters -= gradient
            return
        velocity = moments["velocity"]
        velocity *= self.momentum
        velocity -= gradient
        parameters += velocity


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
