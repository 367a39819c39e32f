"""A stack: trainings over the same rows, whose models take their steps together.

Each model keeps its own training, history and stopping rule, as if it were alone, and leaves
the stack when its rule says so. This module must not know estimators, nor why the models
differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax._scikit_learn import _get_threadpool_controller
from sksoftmax.backend.problem import Problem, State
from sksoftmax.training.batches import run_batches
from sksoftmax.training.callbacks import FitTasks
from sksoftmax.training.epochs import Epochs
from sksoftmax.training.stopping import Plateau
from sksoftmax.training.training import Training

STACK_BYTES = 2**25
"""What the arrays of a stack may take, beyond the rows: it decides how many models it has."""

THREADED_PRODUCT = 10**8
"""Multiplications of a step, about two milliseconds, from which a BLAS may use its threads. For
less they gain little, and where others want the processor, waiting for them costs a lot."""

COPIES = 6
"""Parameters, velocity, average, gradient, and two arrays of their size in passing."""


@dataclass
class Member:
    """A model on its way through stacks.

    Parameters
    ----------
    epochs : Epochs
        Its training, and what the epochs so far have left behind.
    rule : Plateau
        When it stops.
    max_epochs : int
        Most epochs to run.
    tasks : FitTasks or None
        Whom to tell of each epoch.
    attributes : callable or None
        Passed on to ``tasks.end_epoch``.
    stopped : bool
        Whether its rule, or a callback, has stopped it.
    error : Exception or None
        What has ended it before: a loss that is not finite, or an error in a callback.
    seconds : float
        Its share of the time that its stacks took.
    """

    epochs: Epochs
    rule: Plateau
    max_epochs: int
    tasks: FitTasks | None = None
    attributes: Callable[[], dict[str, Any]] | None = None
    stopped: bool = False
    error: Exception | None = None
    seconds: float = 0.0

    def is_over(self, limit: float = math.inf) -> bool:
        """Say whether it runs no further epoch.

        Parameters
        ----------
        limit : float, default=inf
            Epochs after which to pause.

        Returns
        -------
        bool
            Whether it has stopped, failed, or run all its epochs.
        """
        n_epochs = len(self.epochs.history.losses)
        return self.stopped or self.error is not None or n_epochs >= min(limit, self.max_epochs)

    def begin_epoch(self) -> None:
        """Tell callbacks that an epoch begins; an error in one of them ends the fit."""
        if self.tasks is not None:
            try:
                self.tasks.begin_epoch()
            except Exception as error:
                self.error = error

    def take_in(self, loss: float, validation: NDArray[np.float64]) -> None:
        """Note an epoch, and stop where the rule or a callback says so.

        Parameters
        ----------
        loss : float
            Its objective.
        validation : ndarray of shape (2,)
            Loss and accuracy on the validation rows, or NaN.
        """
        if self.error is not None:
            return
        try:
            seen = self.epochs.note(loss, *validation.tolist())
            self.stopped = self.epochs.ends(seen, self.rule)
            if self.tasks is not None and self.attributes is not None:
                self.stopped |= self.tasks.end_epoch(self.attributes)
        except Exception as error:
            self.error = error

    def leave(self) -> None:
        """Hold the state itself from now on, rather than the stack that it is part of."""
        state = self.epochs.training.state()
        self.epochs.training.state = lambda: state


class Stack:
    """Trainings as one trainer of several models.

    Parameters
    ----------
    trainings : sequence of Training
        On the same rows, weights, backend and seed, after equally many epochs, and with the
        same optimizer, batch size, validation rows and moments. Their states are from then
        on those of the stack.
    """

    def __init__(self, trainings: Sequence[Training]):
        self.trainings = trainings
        problem = _joined_problem([training.problem for training in trainings])
        state = _joined_state([training.state() for training in trainings])
        self.trainer = trainings[0].backend.trainer(problem, state)
        self._state: State | None = None
        product = problem.n_models * problem.n_classes * problem.n_features * problem.batch_size
        self._most_threads = 1 if product < THREADED_PRODUCT else None
        for model, training in enumerate(trainings):
            training.state = partial(self.state_of, model)

    def run_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take every row once.

        Returns
        -------
        losses : ndarray of shape (n_models,), float64
            The objective of each model.
        validation : ndarray of shape (2, n_models), float64
            Losses and accuracies on the validation rows; NaN without any.
        """
        first = self.trainings[0]
        step_sizes = np.concatenate([training.step_sizes() for training in self.trainings])
        blas = _get_threadpool_controller()
        with blas.limit(limits=self._most_threads, user_api="blas"):
            losses, _ = run_batches(first, self.trainer, step_sizes)
            validation = np.full((2, len(losses)), np.nan)
            if first.validation is not None:
                validation = first.evaluate_by(self.trainer)
        self._state = None
        for training in self.trainings:
            training.n_epochs += 1
        return losses, validation

    def state_of(self, model: int) -> State:
        """Return the state of one model.

        Parameters
        ----------
        model : int
            Its place in the stack.

        Returns
        -------
        State
            Arrays of its own, which do not keep those of the other models alive.
        """
        if self._state is None:
            self._state = self.trainer.state()
        several, one = self._state, slice(model, model + 1)
        parameters = several.parameters[one].copy()
        is_averaged = several.average is not several.parameters
        return State(
            parameters=parameters,
            average=several.average[one].copy() if is_averaged else parameters,
            memory={name: array[one].copy() for name, array in several.memory.items()},
            means=several.means,
            n_steps=several.n_steps,
            norms={name: array[one].copy() for name, array in several.norms.items()},
        )


def run_together(members: Sequence[Member], limit: float = math.inf) -> None:
    """Run epochs until all members are over.

    Parameters
    ----------
    members : sequence of Member
        What a Stack says of its trainings holds for those that are not over.
    limit : float, default=inf
        Epochs after which to pause.
    """
    running = [member for member in members if not member.is_over(limit)]
    while running:
        stack = Stack([member.epochs.training for member in running])
        while not any(member.is_over(limit) for member in running):
            start = time.perf_counter()
            for member in running:
                member.begin_epoch()
            losses, validation = stack.run_epoch()
            for member, loss, measured in zip(
                running, losses.tolist(), validation.T, strict=True
            ):
                member.take_in(loss, measured)
            share = (time.perf_counter() - start) / len(running)
            for member in running:
                member.seconds += share
        for member in running:
            if member.is_over(limit):
                member.leave()
        running = [member for member in running if not member.is_over(limit)]


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

    momentum = np.concatenate([problem.rule.momentum for problem in problems])
    return replace(
        first,
        l2=joined("l2"),
        l1=joined("l1"),
        rule=replace(first.rule, momentum=momentum),
        curvature=None if first.curvature is None else joined("curvature"),
    )


def _joined_state(states: Sequence[State]) -> State:
    """One state of all models."""
    first = states[0]
    return State(
        parameters=np.concatenate([state.parameters for state in states]),
        average=np.concatenate([state.average for state in states]),
        memory={
            name: np.concatenate([state.memory[name] for state in states])
            for name in first.memory
        },
        means=first.means,
        n_steps=first.n_steps,
        norms={
            name: np.concatenate([state.norms[name] for state in states])
            for name in first.norms
        },
    )
