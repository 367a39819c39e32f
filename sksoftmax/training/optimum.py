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
from sksoftmax.training.lbfgs import EVALUATIONS, iterates
from sksoftmax.training.metric import Metric, iterations_of, pays
from sksoftmax.training.objective import Objective, Weights, dual_gap, estimated_gap
from sksoftmax.training.training import HeldState, Training

FIRST_EPOCHS, EPOCHS_BEFORE_A_METRIC = 5, 1
"""Epochs of SGD before the first iteration, each worth several iterations at its beginning.
From where the first has come to, second derivatives show the rest of the way."""

SMALL_STEP = 10**4
"""Multiplications of a step below which an epoch takes longer than the iterations it saves."""

MEMORY, MEMORY_BYTES = 30, 2**28
"""Pairs of steps and gradients that L-BFGS remembers, unless they take more than so much."""

LEAST_MEMORY = 5
"""Pairs that it remembers in any case."""

OPPOSITE = np.array([[-1.0], [1.0]]) / np.sqrt(2)
"""The rows of two classes for one row of L-BFGS: an orthonormal basis, as the others have."""


def first_epochs(training: Training) -> int:
    """Return how many epochs of SGD pay before the first iteration, by counts alone."""
    problem = training.problem
    # Steps on sparse rows take many times as long as a pass over all of them.
    if is_csr(problem.X) or training.step_operations < SMALL_STEP:
        return 0
    n_rows = 1 if problem.n_classes == 2 else problem.n_classes
    has_metric = problem.l1[0] == 0 and pays(n_rows * (problem.n_features + 1))
    return EPOCHS_BEFORE_A_METRIC if has_metric else FIRST_EPOCHS


class Descent:
    """L-BFGS on the objective of a fit, from the model that the epochs so far have found.

    Coordinates are those of the penalty: weights times standard deviations, and intercepts of
    centred features. One row stands for the opposite rows of two classes. Few weights are then
    taken in the metric of their second derivatives, which follows the descent. An absolute
    penalty has no derivative at zero, so each weight is the difference of two that are not
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
    SIAM Journal on Scientific Computing 16, 1995, for the absolute penalty.
    """

    def __init__(self, run: Run, target: float | None):
        self._run = run
        self._target = target
        training = run.training
        self._objective = Objective(training)
        self._weights = training.state().predicting(training.problem)[0].astype(np.float64)
        self._n_rows = len(_contrasts(self._weights))
        if self._objective.l1 == 0:
            self._weights = self._without_shared(self._weights)
        self._look()
        self._scales: NDArray[np.float64] = np.append(self._objective.scales, 1.0)
        # The row of two classes stands for two, whose absolute values are its over sqrt(2).
        l1 = self._objective.l1 * (np.sqrt(2) if self._n_rows == 1 else 1)
        self._l1 = np.tile(np.append(np.full(len(self._scales) - 1, l1), 0.0), self._n_rows)
        self._variables = self._origin = self._variables_of(self._weights)
        self._metric: Metric | None = None
        self._n_iterations_left = 0  # of the metric
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
            self._take_metric()
            self._descend()
            needs_metric = self._is_used_up and not self._is_over
            if not (needs_metric or self.is_certified or self._run.stopped or self._run.error):
                # Where the objective no longer changes in its last digit, a new start along
                # the gradient still may gain.
                self.gap = dual_gap(self._objective, self._weights, self._derivatives)
                gained = self.gap <= before / 2

    def _take_metric(self) -> None:
        """Measure second derivatives where the descent has come to, where that pays."""
        if self._objective.l1 > 0 or not pays(self._origin.size):
            return
        self._begin_iteration()
        start = time.perf_counter()
        hessian = self._hessian()
        self._seconds += time.perf_counter() - start
        self._metric, self._variables = None, self._variables_of(self._weights)
        with suppress(np.linalg.LinAlgError):  # of rows whose squares overflow, for instance
            self._metric = Metric(hessian)
            self._origin, self._variables = self._variables, np.zeros(len(hessian))
            self._n_iterations_left = iterations_of(len(hessian))

    def _hessian(self) -> NDArray[np.float64]:
        """The second derivatives of the objective, by weights times scales."""
        width = len(self._scales)
        by_weights = self._objective.hessian(self._weights, only_intercepts=False)
        if self._n_rows == 1:  # of opposite rows, whose four blocks differ in sign alone
            by_weights = 2 * by_weights[width:, width:]
        scales = np.tile(self._scales, self._n_rows)
        hessian: NDArray[np.float64] = by_weights / (scales[:, None] * scales)
        # What all classes share curves as much as what they do not, rather than not at all.
        for column in range(width if self._n_rows > 1 else 0):
            of_classes = hessian[column::width, column::width]
            of_classes += np.trace(of_classes) / self._n_rows**2
        penalty = np.append(np.full(width - 1, self._objective.l2), 0.0)
        return hessian + np.diag(np.tile(penalty, self._n_rows))

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
    def _is_used_up(self) -> bool:
        """Whether the metric should be that of where the descent has come to."""
        return self._metric is not None and self._n_iterations_left <= 0

    @property
    def _is_over(self) -> bool:
        return self.is_certified or self._run.is_over()

    def _descend(self) -> None:
        """Iterate until L-BFGS finds nothing better, or is told to stop."""
        if self._objective.l1 > 0:
            self._descend_within_bounds()
            return
        # In a metric the function curves by about 1 in all directions.
        curvature = None if self._metric is None else 1.0
        for variables in iterates(
            self._value_gradient, self._variables, self._n_pairs, curvature
        ):
            self._end_iteration(variables)
            if self._is_over or self._is_used_up:
                break
        if self._start is not None:  # where the gradient is zero there is no way to go
            self._end_iteration(self._variables)

    def _descend_within_bounds(self) -> None:
        """Iterate by SciPy's L-BFGS, which keeps the two parts of a weight from below zero."""

        def end(intermediate_result: optimize.OptimizeResult) -> None:
            self._end_iteration(intermediate_result.x)
            if self._is_over:
                raise StopIteration

        max_iterations = self._run.n_epochs_left
        found = optimize.minimize(
            self._value_gradient,
            self._variables,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(),
            callback=end,
            options={
                "maxcor": self._n_pairs,
                "maxiter": max_iterations,
                "maxfun": EVALUATIONS * max_iterations,
                "ftol": 0.0,
                "gtol": 0.0,
            },
        )
        if self._start is not None:  # what was begun has found nothing better
            self._end_iteration(found.x)

    def _variables_of(self, weights: Weights) -> NDArray[np.float64]:
        """What L-BFGS changes, in one vector, without a metric."""
        scaled = (_contrasts(weights) * self._scales).ravel()
        if self._objective.l1 == 0:
            return scaled
        # Of each pair one part is 0: their difference is the weight, their sum its size.
        positive = np.where(self._l1 > 0, np.maximum(scaled, 0), scaled)
        return np.concatenate([positive, positive - scaled])

    def _weights_of(self, variables: NDArray[np.float64]) -> Weights:
        """The weights that such a vector stands for."""
        if self._metric is not None:
            variables = self._origin + self._without_shared(self._metric.step(variables))
        if self._objective.l1 > 0:
            positive, negative = np.split(variables, 2)
            variables = positive - negative
        rows = variables.reshape(self._n_rows, -1) / self._scales
        weights: Weights = rows if self._n_rows > 1 else rows * OPPOSITE
        return weights

    def _bounds(self) -> optimize.Bounds:
        """Where the two parts of a weight may be; all of an intercept is its first part."""
        is_intercept = self._l1 == 0
        least = np.append(np.where(is_intercept, -np.inf, 0.0), np.zeros(len(self._l1)))
        most = np.append(np.full(len(self._l1), np.inf), np.where(is_intercept, 0.0, np.inf))
        return optimize.Bounds(least, most)

    def _value_gradient(
        self, variables: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """The objective and its gradient, by the variables."""
        self._begin_iteration()
        self._move_to(variables)
        gradient = self._gradient()
        if self._metric is not None:
            return self._value, self._metric.gradient(self._without_shared(gradient))
        if self._objective.l1 == 0:
            return self._value, gradient
        # Where both parts of a weight are positive, their sum is more than its size. The
        # penalty is on the sum, which has a derivative; at the optimum one of them is 0.
        smaller = np.minimum(*np.split(variables, 2))
        doubly = 2 * float((self._l1 * smaller).sum())
        return self._value + doubly, np.append(self._l1 + gradient, self._l1 - gradient)

    def _without_shared(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights or slopes less what all classes share: it changes no probability.

        Rounding would be taken for a slope there, where nothing but the penalty curves.
        """
        if self._n_rows == 1:
            return weights
        rows = weights.reshape(self._n_rows, -1)
        rest: NDArray[np.float64] = (rows - rows.mean(axis=0)).reshape(weights.shape)
        return rest

    def _begin_iteration(self) -> None:
        """Tell who follows the fit, unless the iteration has begun."""
        if self._start is None:
            self._start = time.perf_counter()
            self._run.begin_epoch()

    def _gradient(self) -> NDArray[np.float64]:
        """The derivatives of loss and squared penalty, by weights times scales."""
        gradient: NDArray[np.float64] = _contrasts(self._derivatives[1]) / self._scales
        weights = _contrasts(self._weights)[:, :-1]
        gradient[:, :-1] += self._objective.l2 * self._objective.scales * weights
        return gradient.ravel()

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

    def _end_iteration(self, variables: NDArray[np.float64]) -> None:
        """Note an iteration, and its bound where that may be small enough."""
        self._move_to(variables)  # the last place looked at may have been worse
        training = self._run.training
        training.n_epochs += 1
        training.holder = HeldState(self._state())  # its trainer measures the next one
        assert self._start is not None
        seconds, self._start = time.perf_counter() - self._start, None
        training.backend_seconds, self._seconds = self._seconds, 0.0
        self._run.end_epoch(self._value, np.nan, np.nan, seconds)
        if self._run.error is None:
            self._certify()
        self._n_iterations_left -= 1

    def _certify(self) -> None:
        """Measure the bound where it may well be at most the target: that takes passes."""
        if self._target is None:
            return
        estimate = estimated_gap(
            self._objective, self._weights, self._value, *self._derivatives
        )
        if estimate <= self._promising:
            self.gap = dual_gap(
                self._objective, self._weights, self._derivatives, enough=self._target
            )
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
