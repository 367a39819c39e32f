"""From the model that SGD has found, if it has begun, to the optimum: L-BFGS over all rows.

Each iteration is an epoch to whoever follows the fit: it has a loss, a task and a line. This
module must not know estimators, nor how the gradient is computed.
"""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sksoftmax.backend.problem import State
from sksoftmax.data.rows import is_csr
from sksoftmax.training.epochs import Run
from sksoftmax.training.objective import Objective, Weights, dual_gap, estimated_gap
from sksoftmax.training.training import HeldState, Training

FIRST_EPOCHS = 5
"""Epochs of SGD before the first iteration, each worth several iterations at its beginning."""

SMALL_STEP = 10**4
"""Multiplications of a step below which an epoch takes longer than the iterations it saves."""

MEMORY, MEMORY_BYTES = 30, 2**28
"""Pairs of steps and gradients that L-BFGS remembers, unless they take more than so much."""

LEAST_MEMORY = 5
"""Pairs that it remembers in any case."""

EVALUATIONS = 20
"""Most times that one iteration may look at the objective, which it does about once."""

OPPOSITE = np.array([[-1.0], [1.0]]) / np.sqrt(2)
"""The rows of two classes for one row of L-BFGS: an orthonormal basis, as the others have."""


def first_epochs(training: Training) -> int:
    """Return how many epochs of SGD pay before the first iteration, by counts alone."""
    return FIRST_EPOCHS if training.step_operations >= SMALL_STEP else 0


class Descent:
    """L-BFGS on the objective of a fit, from the model that the epochs so far have found.

    Coordinates are those of the penalty: weights times standard deviations, and intercepts of
    centred features. One row stands for the opposite rows of two classes. An absolute penalty
    has no derivative at zero, so each weight is then the difference of two that are not
    negative and pay for their sum.

    Parameters
    ----------
    run : Run
        Of one model, without held-out rows. Iterations are further epochs of it, and the
        state of its training becomes that of the last one.
    target : float or None
        The distance to the least objective that shall be certified; None for as near as
        iterations come.

    Attributes
    ----------
    gap : float
        The last bound on the distance to the least objective: inf before the first.
    is_certified : bool
        Whether it is at most the target.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization",
    SIAM Journal on Scientific Computing 16, 1995.
    """

    def __init__(self, run: Run, target: float | None):
        self._run = run
        self._target = target
        training = run.training
        self._objective = Objective(training)
        self._weights = training.state().predicting(training.problem)[0].astype(np.float64)
        self._look()
        self._n_rows = len(_contrasts(self._weights))
        self._variables = self._variables_of(self._weights)
        self._n_pairs = self._pairs_worth_remembering()
        self._promising = np.inf if target is None else target
        self._start: float | None = None
        self._seconds = 0.0  # in passes of this iteration
        self.gap = np.inf

    @property
    def is_certified(self) -> bool:
        """Whether the bound is at most the target."""
        return self._target is not None and self.gap <= self._target

    def go(self) -> None:
        """Iterate until the target is certified, the run is over, or nothing is gained."""
        if self._run.history.losses:  # else there is no epoch to end with
            self._certify()
        gained = True
        while gained and not self._is_over:
            before = self.gap
            self._descend()
            if not (self.is_certified or self._run.stopped or self._run.error):
                # Where the objective no longer changes in its last digit, a new start along
                # the gradient still may gain.
                self.gap = dual_gap(self._objective, self._weights)
                gained = self.gap <= before / 2

    def _pairs_worth_remembering(self) -> int:
        """Pairs of steps and gradients, each of which an iteration goes through.

        One takes about as long as one element of each feature does in the pass over the rows.
        Sparse features have few: more pairs than these would cost more than the iterations that
        they save.
        """
        training = self._run.training
        n_pairs = min(MEMORY, MEMORY_BYTES // (2 * self._variables.nbytes))
        if is_csr(training.problem.X):
            n_pairs = min(n_pairs, training.n_elements // training.problem.n_features)
        return max(LEAST_MEMORY, n_pairs)

    @property
    def _is_over(self) -> bool:
        return self.is_certified or self._run.is_over()

    def _descend(self) -> None:
        """Iterate until L-BFGS finds nothing better, or is told to stop."""
        max_iterations = self._run.n_epochs_left
        found = optimize.minimize(
            self._value_gradient,
            self._variables,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(),
            callback=self._end_iteration,
            options={
                "maxcor": self._n_pairs,
                "maxiter": max_iterations,
                "maxfun": EVALUATIONS * max_iterations,
                "ftol": 0.0,
                "gtol": 0.0,
            },
        )
        if self._start is not None:  # what was begun has found nothing better
            with suppress(StopIteration):
                self._end_iteration(found)

    def _variables_of(self, weights: Weights) -> NDArray[np.float64]:
        """What L-BFGS changes, in one vector."""
        rows = _contrasts(weights)
        scaled = (rows[:, :-1] * self._objective.scales).ravel()
        parts = [scaled]
        if self._objective.l1 > 0:
            # Of each pair one part is 0: their difference is the weight, their sum its size.
            parts = [np.maximum(scaled, 0), np.maximum(-scaled, 0)]
        return np.concatenate([*parts, rows[:, -1]])

    def _weights_of(self, variables: NDArray[np.float64]) -> Weights:
        """The weights that such a vector stands for."""
        n_rows = self._n_rows
        scaled, intercepts = np.split(variables, [-n_rows])
        if self._objective.l1 > 0:
            positive, negative = np.split(scaled, 2)
            scaled = positive - negative
        rows = np.empty((n_rows, self._weights.shape[1]))
        np.divide(scaled.reshape(n_rows, -1), self._objective.scales, out=rows[:, :-1])
        rows[:, -1] = intercepts
        return rows if n_rows > 1 else rows * OPPOSITE

    def _bounds(self) -> optimize.Bounds | None:
        """Where the two parts of a weight may be; nothing bounds a weight itself."""
        if self._objective.l1 == 0:
            return None
        # Intercepts stand at the end, and have no bound.
        least = np.zeros(len(self._variables))
        least[-self._n_rows :] = -np.inf
        return optimize.Bounds(least, np.inf)

    def _value_gradient(
        self, variables: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """The objective and its gradient, by the variables."""
        if self._start is None:
            self._start = time.perf_counter()
            self._run.begin_epoch()
        objective = self._objective
        self._move_to(variables)
        value, gradient = self._value, _contrasts(self._derivatives[1])
        scaled = _contrasts(self._weights)[:, :-1] * objective.scales
        slopes = (gradient[:, :-1] / objective.scales + objective.l2 * scaled).ravel()
        if objective.l1 == 0:
            return value, np.append(slopes, gradient[:, -1])
        # The row of two classes stands for two, whose absolute values are its over sqrt(2).
        l1 = objective.l1 if self._n_rows > 1 else objective.l1 * np.sqrt(2)
        both = variables[: 2 * len(slopes)]
        # Where both parts of a weight are positive, their sum is more than its size. The
        # penalty is on the sum, which has a derivative; at the optimum one of them is 0.
        doubly = l1 * float(both.sum() - np.abs(scaled).sum())
        return value + doubly, np.concatenate([l1 + slopes, l1 - slopes, gradient[:, -1]])

    def _move_to(self, variables: NDArray[np.float64]) -> None:
        """Take a pass over the rows, unless the last one was there."""
        if not np.array_equal(variables, self._variables):
            self._variables = variables.copy()
            self._weights = self._weights_of(variables)
            start = time.perf_counter()
            self._look()
            self._seconds += time.perf_counter() - start

    def _look(self) -> None:
        """Take a pass over the rows, and note the objective and what it consists of."""
        self._derivatives = self._objective.loss_gradient(self._weights)
        self._value = self._derivatives[0] + self._objective.penalty(self._weights)

    def _end_iteration(self, intermediate_result: optimize.OptimizeResult) -> None:
        """Note an iteration; end the descent where its bound, or a callback, says so."""
        self._move_to(intermediate_result.x)  # the last place looked at may have been worse
        training = self._run.training
        training.n_epochs += 1
        training.holder = HeldState(self._state())  # its trainer measures the next one
        assert self._start is not None
        seconds, self._start = time.perf_counter() - self._start, None
        training.backend_seconds, self._seconds = self._seconds, 0.0
        self._run.end_epoch(self._value, np.nan, np.nan, seconds)
        if self._run.error is None:
            self._certify()
        if self._is_over:
            raise StopIteration

    def _certify(self) -> None:
        """Measure the bound where it may well be at most the target: that takes passes."""
        if self._target is None:
            return
        estimate = estimated_gap(
            self._objective, self._weights, self._value, *self._derivatives
        )
        if estimate <= self._promising:
            self.gap = dual_gap(self._objective, self._weights)
            if self.gap > self._target:
                # Estimates are too small by a factor that changes slowly.
                self._promising = estimate * min(0.5, self._target / self.gap)

    def _state(self) -> State:
        """The model, from which SGD would start anew."""
        training = self._run.training
        centre = training.problem.means
        means = np.zeros(training.problem.n_features) if centre is None else centre
        parameters = self._weights[None].astype(training.rows.dtype)
        return State(parameters, parameters, {}, means, 0)


def _contrasts(rows: Weights) -> Weights:
    """Rows of weights or derivatives; for two classes one, since theirs are opposite."""
    return OPPOSITE.T @ rows if len(rows) == 2 else rows
