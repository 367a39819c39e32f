"""A trainer for several models on dense rows: products by BLAS, all else in compiled passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import (
    Array,
    DistanceOverGradients,
    Problem,
    StackTrainer,
    State,
    averaging_weight,
)
from sksoftmax_numba.announcements import announced
from sksoftmax_numba.distance_epoch import n_ranges_of, rules_of
from sksoftmax_numba.stack_kernels import distance_steps, momentum_steps, residuals

SECONDS = 5
"""About what compiling takes."""


class NumbaStackTrainer(StackTrainer):
    """StackTrainer with a compiled softmax and, but for Adam, a compiled update.

    Parameters
    ----------
    problem, state
        As in StackTrainer.
    """

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        dtype = problem.dtype
        self._room = np.empty((2, problem.batch_size), dtype)
        self._no_weights = np.zeros(0, dtype)
        # A velocity or an average that nobody reads, written to where there is none.
        self._nothing = np.zeros_like(self._parameters)
        self._momentum = problem.rule.momentum.astype(dtype)
        self._no_means = np.zeros(problem.n_features, dtype)
        self._squares = np.zeros((2, problem.n_classes * n_ranges_of(problem.n_features)))
        no_decay = np.zeros((problem.n_models, problem.n_features + 1), dtype)
        self._decays = no_decay if self._decay is None else self._decay[:, 0]

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, with compiled passes around two products."""
        problem = self.problem
        with announced(SECONDS):
            if problem.rule.name == "adam" or problem.l1.any():
                return super().run_epoch(order, step_sizes)
            finds_steps = isinstance(self._optimizer, DistanceOverGradients)
            run = self._run_own_steps if finds_steps else self._run_momentum
            return np.asarray(run(order, step_sizes) / max(1, len(order)))

    def _run_momentum(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take the steps of SGD with momentum; return the summed losses."""
        total = np.zeros(self.problem.n_models)
        steps, size = self._float(step_sizes), self.problem.batch_size
        for i in range(step_sizes.shape[1]):
            gradient, loss = self._summed_gradient(order[i * size : (i + 1) * size])
            total += loss
            self._step_by_momentum(gradient, np.ascontiguousarray(steps[:, i]))
        return total

    def _run_own_steps(
        self, order: NDArray[np.int64], factors: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take the steps of the rule that finds them; return the summed losses."""
        total, size = np.zeros(self.problem.n_models), self.problem.batch_size
        norms = np.stack(list(self._norms.values()), axis=1)
        factors, rules = np.ascontiguousarray(factors.T), rules_of(self.problem)
        for i in range(len(factors)):
            gradient, loss = self._summed_gradient(order[i * size : (i + 1) * size])
            total += loss
            self._n_steps += 1
            distance_steps(
                norms, rules, factors[i], self._n_steps, self._parameters,
                self._average, self._point, gradient, self._no_means,
                self._gradient_scales[0, 0], self._decays, self._inverse_scales[0, 0],
                self._scales[0, 0], self._squares,
            )  # fmt: skip
        self._norms = dict(zip(self._norms, norms.T.copy(), strict=True))
        self._set_point()
        return total

    def _step_by_momentum(self, gradient: NDArray[Any], steps: NDArray[Any]) -> None:
        self._n_steps += 1
        averaged = self.problem.average
        newest = averaging_weight(self._n_steps) if averaged else 0.0
        momentum_steps(
            self._parameters,
            self._memory.get("velocity", self._nothing),
            self._average if averaged else self._nothing,
            gradient,
            self._no_means,
            self._gradient_scales[0, 0],
            self._decays,
            self._inverse_scales[0, 0],
            steps,
            self._momentum,
            self.problem.rule.nesterov,
            self.problem.dtype.type(newest),
        )

    def _softmax_minus_targets(
        self, z: NDArray[Any], rows: NDArray[np.int64], weights: NDArray[Any] | None
    ) -> Array:
        losses = np.empty(len(z))
        weights = self._no_weights if weights is None else weights
        residuals(z, self._y[rows], weights, losses, self._room)
        return losses
