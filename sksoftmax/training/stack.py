"""A stack: trainings over the same rows, whose models take their steps together.

It runs one epoch, as a single ``Training`` does. This module must not know estimators, nor why
the models differ or when each of them stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.training.passes import run_batches, threads_of_blas
from sksoftmax.training.training import Training

STACK_BYTES = 2**25
"""What the arrays of a stack may take, beyond the rows: it decides how many models it has."""

COPIES = 6
"""Parameters, velocity, average, gradient, and two arrays of their size in passing."""


class Stack:
    """Trainings as one trainer of several models.

    Parameters
    ----------
    trainings : sequence of Training
        On the same measured rows, by orders of the same seed and with the same optimizer,
        after equally many epochs. Their states are from then on those of the stack.
    """

    def __init__(self, trainings: Sequence[Training]):
        self.trainings = trainings
        problem = _joined_problem([training.problem for training in trainings])
        state = State.joined([training.state() for training in trainings])
        self.trainer = trainings[0].rows.backend.trainer(problem, state)
        self._norms = self.trainer.norms()
        self._state: State | None = None
        n_scores = problem.n_models * problem.n_classes * problem.batch_size
        self._step_operations = n_scores * problem.n_features
        for model, training in enumerate(trainings):
            training.holder = ModelOfStack(self, model)

    def run_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take every row once.

        Returns
        -------
        losses : ndarray of shape (n_models,), float64
            The objective of each model.
        validation : ndarray of shape (2, n_models), float64
            Losses and accuracies on the held-out rows; NaN without any.
        """
        first = self.trainings[0]
        step_sizes = np.concatenate([training.step_sizes() for training in self.trainings])
        with threads_of_blas(self._step_operations):
            segments = first.segments(len(step_sizes))
            losses, _ = run_batches(self.trainer, segments, first.rows.batch_size, step_sizes)
            validation = first.evaluate(self.trainer, n_models=len(losses))
        self._norms = self.trainer.norms()
        self._state = None  # that of an earlier epoch
        for training in self.trainings:
            training.n_epochs += 1
        return losses, validation

    def state_of(self, model: int) -> State:
        """Return the state of one model, in arrays of its own."""
        if self._state is None:
            self._state = self.trainer.state()
        return self._state.of_model(model)

    def norms_of(self, model: int) -> dict[str, NDArray[np.float64]]:
        """Return the norms in the state of one model: none for rules that keep none."""
        return {name: array[model : model + 1] for name, array in self._norms.items()}


@dataclass(frozen=True)
class ModelOfStack:
    """One model of a stack, which holds it for a training.

    Parameters
    ----------
    stack : Stack
        The stack.
    model : int
        Its place there.
    """

    stack: Stack
    model: int

    def state(self) -> State:
        """Return its state, in arrays of its own."""
        return self.stack.state_of(self.model)

    def norms(self) -> dict[str, NDArray[np.float64]]:
        """Return the norms in its state."""
        return self.stack.norms_of(self.model)


def models_at_once(problem: Problem) -> int:
    """Return how many models a stack may have.

    Parameters
    ----------
    problem : Problem
        That of one of them.

    Returns
    -------
    int
        As many as fit in STACK_BYTES, at least 1.
    """
    # Rows are shared, and so not counted.
    parameters = COPIES * problem.n_classes * (problem.n_features + 1)
    scores = problem.n_classes * problem.batch_size
    return max(1, STACK_BYTES // ((parameters + scores) * problem.dtype.itemsize))


def _joined_problem(problems: Sequence[Problem]) -> Problem:
    """One problem of all models: their penalties, momenta and curvatures side by side."""
    first = problems[0]
    if len(problems) == 1:
        return first

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(problem, name) for problem in problems])

    # All that a rule may have different for each model.
    momentum = np.concatenate([problem.rule.momentum for problem in problems])
    return replace(
        first,
        l2=joined("l2"),
        l1=joined("l1"),
        rule=replace(first.rule, momentum=momentum),
        curvature=None if first.curvature is None else joined("curvature"),
    )
