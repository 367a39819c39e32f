"""The state of models in training, from which another trainer, backend or pickle goes on.

It is NumPy arrays in the caller's units, whatever trained. This module must not know how a step
is taken, nor any device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Problem
from sksoftmax.data.arrays import Array


@dataclass(frozen=True)
class State:
    """All that another trainer, another backend or a pickle needs to train on.

    Arrays are NumPy, in the caller's feature units, and never written to again.

    Parameters
    ----------
    parameters : ndarray of shape (n_models, n_classes, n_features + 1)
        The last iterate. The last column is the intercept of the *centred* features:
        the intercept in the caller's units is that column minus ``coef @ means``.
    average : ndarray of the same shape
        The averaged iterate, from which `predicting` makes what predicts; `parameters`
        itself where iterates are not averaged.
    memory : mapping of str to ndarray of the same shape
        The optimiser's memory, by name: ``"velocity"`` in the units of the parameters, or
        Adam's ``"first_moment"`` and ``"second_moment"`` of the gradient G / s.
    means : ndarray of shape (n_features,), float64
        The centre that the last columns refer to; zeros when nothing is centred.
    n_steps : int
        Steps taken since the first.
    norms : mapping of str to ndarray of shape (n_models,), float64
        What "distance-over-gradients" remembers, by the names that its class gives them;
        empty for the other rules.
    """

    parameters: NDArray[Any]
    average: NDArray[Any]
    memory: Mapping[str, NDArray[Any]]
    means: NDArray[np.float64]
    n_steps: int
    norms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def zeros(
        cls, n_models: int, n_classes: int, n_features: int, dtype: np.dtype[Any]
    ) -> State:
        """Return the state before the first step: every array zero.

        Parameters
        ----------
        n_models, n_classes, n_features : int
            The shape of the problem.
        dtype : numpy dtype
            float32 or float64.

        Returns
        -------
        State
            A state that no step has changed yet.
        """
        parameters = np.zeros((n_models, n_classes, n_features + 1), dtype)
        return cls(parameters, parameters, {}, np.zeros(n_features), 0)

    @classmethod
    def joined(cls, states: Sequence[State]) -> State:
        """Return the state of several models side by side.

        Parameters
        ----------
        states : sequence of State
            After equally many steps, by rules of one name and about one centre.

        Returns
        -------
        State
            Of all their models.
        """

        def side_by_side(
            arrays: Sequence[Mapping[str, NDArray[Any]]],
        ) -> dict[str, NDArray[Any]]:
            return {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}

        return cls(
            parameters=np.concatenate([state.parameters for state in states]),
            average=np.concatenate([state.average for state in states]),
            memory=side_by_side([state.memory for state in states]),
            means=states[0].means,
            n_steps=states[0].n_steps,
            norms=side_by_side([state.norms for state in states]),
        )

    def of_model(self, model: int) -> State:
        """Return the state of one of several models.

        Parameters
        ----------
        model : int
            Its index.

        Returns
        -------
        State
            Arrays of its own, which do not keep those of the other models alive.
        """
        one = slice(model, model + 1)
        parameters = self.parameters[one].copy()
        is_averaged = self.average is not self.parameters
        return State(
            parameters=parameters,
            average=self.average[one].copy() if is_averaged else parameters,
            memory={name: array[one].copy() for name, array in self.memory.items()},
            means=self.means,
            n_steps=self.n_steps,
            norms={name: array[one].copy() for name, array in self.norms.items()},
        )

    def predicting(self, problem: Problem) -> NDArray[Any]:
        """Return the parameters to predict from: the average, as sparse as the last iterate.

        Parameters
        ----------
        problem : Problem
            What was trained.

        Returns
        -------
        ndarray of shape (n_models, n_classes, n_features + 1)
            `average` itself where no model has an absolute penalty.
        """
        sparse: NDArray[Any] = with_zeros(np, problem, self.average, self.parameters)
        return sparse

    def centred_at(self, means: NDArray[np.float64] | None) -> State:
        """Return the same models with their last columns referring to other means.

        Adam's moments are of gradients, not of models: they stay as they are.

        Parameters
        ----------
        means : ndarray of shape (n_features,), or None
            The new centre; None for zeros.

        Returns
        -------
        State
            Bit for bit this state when the centre is the same.
        """
        target = np.zeros_like(self.means) if means is None else means
        if np.array_equal(target, self.means):
            return self
        shift = target - self.means

        def recentred(array: NDArray[Any]) -> NDArray[Any]:
            moved = array.copy()
            # W (x - m) + c = W (x - m') + c + W (m' - m): only the last column changes.
            moved[..., -1] += np.einsum("mkj,j->mk", array[..., :-1], shift)
            return moved

        return replace(
            self,
            parameters=recentred(self.parameters),
            average=recentred(self.average),
            memory={
                name: recentred(array) if name == "velocity" else array
                for name, array in self.memory.items()
            },
            means=target,
        )

    def with_scaled_weights(self, factors: NDArray[np.float64]) -> State:
        """Return the same models with the weights of each feature multiplied by a number.

        Parameters
        ----------
        factors : ndarray of shape (n_features,)
            The numbers.

        Returns
        -------
        State
            Intercepts of centred features, and what the optimiser remembers, are the same.
        """

        def scaled(array: NDArray[Any]) -> NDArray[Any]:
            changed = array.copy()
            changed[..., :-1] *= factors.astype(array.dtype)
            return changed

        return replace(self, parameters=scaled(self.parameters), average=scaled(self.average))

    def started_anew(self, problem: Problem) -> State:
        """Return the state before the first step from the model that predicts.

        Nothing else is remembered: it belongs to another objective.

        Parameters
        ----------
        problem : Problem
            What was trained.

        Returns
        -------
        State
            After no step.
        """
        # The average is the model: from the last iterate, which noise moves, it would be lost.
        start = self.predicting(problem)
        return State(start, start, {}, self.means, 0)


def with_zeros(xp: Any, problem: Problem, average: Array, parameters: Array) -> Array:
    """Return averaged parameters with zeros exactly where the last iterate has them.

    An absolute penalty makes iterates sparse, at another place in each step: averaging alone
    would keep hardly any zero.

    Parameters
    ----------
    xp : module
        The namespace of the arrays.
    problem : Problem
        Its models of positive `l1` are concerned.
    average, parameters : arrays of shape (n_models, n_classes, n_features + 1)
        The averaged and the last iterate.

    Returns
    -------
    array of the same shape
        `average` itself where no model has an absolute penalty.
    """
    if not problem.l1.any():
        return average
    zero = (parameters == 0) & xp.asarray(problem.l1 > 0)[:, None, None]
    zero[..., -1] = False
    return xp.where(zero, xp.zeros_like(average), average)
