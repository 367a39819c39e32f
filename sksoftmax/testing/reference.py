"""The reference: what every backend is compared with, step by step.

Rows are dense and in float64, and each model is trained by itself. This module must not know
any case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.rows import is_csr


class Reference:
    """ArrayTrainer over NumPy: one for each model, which knows nothing of the others.

    Parameters
    ----------
    problem : Problem
        What is trained: see `in_float64`.
    state : State
        Where it starts.
    """

    def __init__(self, problem: Problem, state: State):
        self.trainers = [
            ArrayTrainer(_of_model(problem, model), state.of_model(model))
            for model in range(problem.n_models)
        ]

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`."""
        pairs = zip(self.trainers, step_sizes, strict=True)
        return np.concatenate([t.run_epoch(order, steps[None]) for t, steps in pairs])

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken."""
        return np.concatenate([trainer.penalty() for trainer in self.trainers])

    def evaluate(
        self, X: Any, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows."""
        loss, accuracy = zip(*(t.evaluate(X, y, weights) for t in self.trainers), strict=True)
        return np.concatenate(loss), np.concatenate(accuracy)

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Any,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss on some rows and its gradient at given parameters."""
        measured = [
            trainer.loss_gradient(parameters[[model]], X, y, weights)
            for model, trainer in enumerate(self.trainers)
        ]
        loss, gradient = zip(*measured, strict=True)
        return np.concatenate(loss), np.concatenate(gradient)

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Any,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        """Return the second derivatives of that loss."""
        return np.concatenate(
            [
                trainer.hessian(
                    parameters[[model]], X, weights, only_intercepts=only_intercepts
                )
                for model, trainer in enumerate(self.trainers)
            ]
        )

    def state(self) -> State:
        """Return the states of all models side by side."""
        return State.joined([trainer.state() for trainer in self.trainers])

    def norms(self) -> dict[str, NDArray[np.float64]]:
        """Return the norms in the state."""
        of_models = [trainer.norms() for trainer in self.trainers]
        return {
            name: np.concatenate([norms[name] for norms in of_models]) for name in of_models[0]
        }


def _of_model(several: Problem, model: int) -> Problem:
    """The problem of one of several models."""
    one = slice(model, model + 1)
    return replace(
        several,
        l2=several.l2[one],
        l1=several.l1[one],
        curvature=None if several.curvature is None else several.curvature[one],
        rule=replace(several.rule, momentum=several.rule.momentum[one]),
    )


def in_float64(problem: Problem) -> Problem:
    """The same numbers, dense, to be computed with in float64."""
    weights = None if problem.weights is None else problem.weights.astype(np.float64)
    X = problem.X.toarray() if is_csr(problem.X) else problem.X
    return replace(problem, X=X, weights=weights, dtype=np.dtype(np.float64))
