"""From the model that SGD has found, if it has begun, to the optimum: L-BFGS over all rows.

Each iteration is an epoch to whoever follows the fit: it has a loss, a task and a line. This
module must not know estimators, nor how the gradient is computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sksoftmax.backend.distance_over_gradients import moved_to
from sksoftmax.backend.state import State
from sksoftmax.data.rows import is_csr
from sksoftmax.training.lbfgs import EVALUATIONS, iterates
from sksoftmax.training.metric import iterations_of
from sksoftmax.training.objective import Objective, Weights
from sksoftmax.training.passes import threads_of_blas
from sksoftmax.training.remaining import Place, Remaining
from sksoftmax.training.run import Run
from sksoftmax.training.training import Training
from sksoftmax.training.variables import Variables

MEMORY, MEMORY_BYTES = 30, 2**28
"""Pairs of steps and gradients that L-BFGS remembers, unless they take more than so much."""

LEAST_MEMORY = 5
"""Pairs that it remembers in any case."""

FAR = 3.0
"""What is estimated to be left, as a multiple of the tolerance, above which a plateau of fewer
than `MEMORY` iterations is not believed: along a few strong directions, such as the factors
behind nearly collinear features, iterations gain much at once, and then nothing for long."""

MANY_WEIGHTS = 2**13
"""Weights from which products take most of an iteration, and half as long in float32."""


@dataclass(frozen=True)
class Reached:
    """How near the optimum a descent has come.

    Parameters
    ----------
    gap : float
        What the distance to the least objective is at most, by the last bound or estimate; inf
        where there was none.
    is_little : bool
        Whether it is at most the target.
    is_estimate : bool
        Whether it is estimated.
    """

    gap: float
    is_little: bool
    is_estimate: bool


class ModelOfIteration:
    """The model that an iteration has come to, in a state that hardly anyone asks for.

    Parameters
    ----------
    weights : ndarray of shape (n_classes, n_features + 1)
        Its weights, which nobody changes.
    before : State
        Of the steps before the first iteration.
    training : Training
        Whose model it is.
    """

    def __init__(self, weights: Weights, before: State, training: Training):
        self._weights, self._before, self._training = weights, before, training

    @cached_property
    def _state(self) -> State:
        """From which SGD would go on by the steps that it had come to."""
        problem = self._training.problem
        means = np.zeros(problem.n_features) if problem.means is None else problem.means
        parameters = self._weights[None].astype(problem.dtype)
        return moved_to(parameters, means, self._before, problem)

    def state(self) -> State:
        """Return the state."""
        return self._state

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the norms in it."""
        return self._state.norms


class Descent:
    """L-BFGS on the objective of a fit, from the model that the epochs so far have found.

    Its variables are those of `Variables`, whose metric, if there is one, follows the descent.

    Parameters
    ----------
    run : Run
        Of one model, without held-out rows. Iterations are further epochs of it, and the
        state of its training becomes that of the last one.
    target : callable or None
        Takes the objective, and returns the distance to the least one that is near enough
        there; None for as near as iterations come.
    n_iterations_before_metric : int, default=0
        Iterations before second derivatives are measured, unless L-BFGS gets stuck before.
    certifies : bool, default=True
        Whether only a bound on the distance ends the descent, or an estimate, too.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization",
    SIAM Journal on Scientific Computing 16, 1995, for the absolute penalty.
    """

    def __init__(
        self,
        run: Run,
        target: Callable[[float], float] | None,
        *,
        n_iterations_before_metric: int = 0,
        certifies: bool = True,
    ):
        self._run = run
        training = run.training
        self._objective = self._new_objective()
        self._slice_operations = training.slice_operations
        self._before = training.state()
        weights = self._before.predicting(training.problem)[0].astype(np.float64)
        # Where the caller has not standardised, the penalty does not know what features weigh.
        is_raw = not training.settings.standardize
        moments = training.rows.moments_of_features if is_raw else None
        self._variables = Variables(self._objective, len(weights), moments)
        self._remaining = Remaining(self._objective, target, certifies=certifies)
        self._begin_at(weights)
        self._n_iterations = 0
        self._n_iterations_left = n_iterations_before_metric
        self._awaits_metric = n_iterations_before_metric > 0
        self._n_pairs = self._pairs_worth_remembering()
        self._start: float | None = None
        self._seconds = 0.0  # in passes of this iteration

    def go(self) -> Reached:
        """Iterate until little is left to be gained, the run is over, or nothing is gained.

        Returns
        -------
        Reached
            All that is needed of the descent from then on: its arrays, and the trainer by
            which it has measured, can go.
        """
        if self._run.history.losses:  # else there is no epoch to look back at
            with threads_of_blas(self._slice_operations):
                self._look_at_epochs()
        gains = True
        while gains and not self._is_over:
            self._take_metric()
            with threads_of_blas(self._slice_operations):
                gains = self._gains()
        training = self._run.training
        training.hold(training.state())
        found = self._remaining
        return Reached(found.gap, found.is_little_at(self._place.value), found.is_estimate)

    def _begin_at(self, weights: Weights) -> None:
        """Take a pass over the rows where the descent is to begin."""
        if not self._variables.has_bounds:
            weights = self._variables.without_shared(weights)
        self._place = self._look_at(weights)
        self._point = self._variables.of(weights)

    def _look_at_epochs(self) -> None:
        """See whether epochs have led near enough already, or astray: then begin anew."""
        if not self._place.value <= self._run.rule.baseline:
            # Of rows that all are classified with certainty, and some of them wrongly, second
            # derivatives say nothing.
            self._begin_at(self._objective.featureless)
        else:
            self._remaining.note(self._place, self._remaining.estimate(self._place))

    def _new_objective(self) -> Objective:
        """What is minimised."""
        return Objective(self._run.training, self._dtype, is_rough=self._run.rule.is_rough)

    @property
    def _dtype(self) -> np.dtype[Any]:
        """Of the arithmetic of a pass: float64, or that of the steps where its digits do."""
        problem = self._run.training.problem
        is_rough = self._run.rule.is_rough and not is_csr(problem.X)
        is_large = problem.n_classes * problem.n_features >= MANY_WEIGHTS
        return problem.dtype if is_rough and is_large else np.dtype(np.float64)

    def _gains(self) -> bool:
        """Iterate in one metric, or none, and say whether another start may gain more."""
        before = self._remaining.gap
        self._descend()
        if self._awaits_metric:  # it has found nothing better without
            self._n_iterations_left = 0
        needs_metric = self._is_used_up and not self._is_over
        if needs_metric or self._is_near or self._run.stopped or self._run.error:
            return True
        # Where the objective no longer changes in its last digit, a new start along the
        # gradient still may gain.
        self._remaining.bound(self._place)
        return self._remaining.gap <= before / 2

    def _take_metric(self) -> None:
        """Measure second derivatives where the descent has come to, where that pays."""
        if not self._variables.metric_pays or (
            self._awaits_metric and self._n_iterations_left > 0
        ):
            return
        self._awaits_metric = False
        self._begin_iteration()
        start = time.perf_counter()
        n_rows, n_weights = self._run.training.rows.n_rows, len(self._point)
        share = self._objective.share
        with threads_of_blas(int(n_weights**2 * share * n_rows)):
            self._variables.take_metric(self._place.weights)
        self._seconds += time.perf_counter() - start
        self._point = self._variables.of(self._place.weights)
        if self._variables.metric is not None:
            self._n_iterations_left = iterations_of(n_weights, share)
            self._point = np.zeros(len(self._point))

    def _pairs_worth_remembering(self) -> int:
        """Pairs of steps and gradients, each of which an iteration goes through.

        One takes about as long as one element of each feature does in the pass over the rows.
        Sparse features have few: more pairs than these would cost more than the iterations that
        they save.
        """
        training = self._run.training
        n_pairs = min(MEMORY, MEMORY_BYTES // (2 * self._point.nbytes))
        if is_csr(training.problem.X):
            n_pairs = min(n_pairs, training.n_elements // training.problem.n_features)
        return max(LEAST_MEMORY, n_pairs)

    @property
    def _is_used_up(self) -> bool:
        """Whether the metric should be that of where the descent has come to."""
        has_one = self._awaits_metric or self._variables.metric is not None
        return has_one and self._n_iterations_left <= 0

    @property
    def _is_over(self) -> bool:
        return self._is_near or self._run.is_over()

    @property
    def _is_near(self) -> bool:
        """Whether little is left to be gained."""
        return self._remaining.is_little_at(self._place.value)

    def _descend(self) -> None:
        """Iterate until L-BFGS finds nothing better, or is told to stop."""
        if self._variables.has_bounds:
            self._descend_within_bounds()
            return
        # In a metric the function curves by about 1 in all directions.
        curvature = None if self._variables.metric is None else 1.0
        for found in iterates(self._value_gradient, self._point, self._n_pairs, curvature):
            self._end_iteration(*found)
            if self._is_over or self._is_used_up:
                break
        if self._start is not None:  # where the gradient is zero there is no way to go
            self._end_iteration(self._point, 0.0)

    def _descend_within_bounds(self) -> None:
        """Iterate by SciPy's L-BFGS, which keeps the two parts of a weight from below zero."""

        def end(intermediate_result: optimize.OptimizeResult) -> None:
            self._end_iteration(intermediate_result.x)
            if self._is_over:
                raise StopIteration

        max_iterations = self._run.n_epochs_left
        found = optimize.minimize(
            self._value_gradient,
            self._point,
            jac=True,
            method="L-BFGS-B",
            bounds=self._variables.bounds(),
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

    def _value_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The objective and its gradient, by the variables."""
        self._begin_iteration()
        self._move_to(point)
        place = self._place
        return self._variables.value_gradient(point, place.weights, place.value, place.gradient)

    def _begin_iteration(self) -> None:
        """Tell who follows the fit, unless the iteration has begun."""
        if self._start is None:
            self._start = time.perf_counter()
            self._run.begin_epoch()

    def _move_to(self, point: NDArray[np.float64]) -> None:
        """Take a pass over the rows, unless the last one was there."""
        if not np.array_equal(point, self._point):
            self._point = point.copy()
            start = time.perf_counter()
            self._place = self._look_at(self._variables.weights(point))
            self._seconds += time.perf_counter() - start

    def _look_at(self, weights: Weights) -> Place:
        """Take a pass over the rows."""
        loss, gradient = self._objective.loss_gradient(weights)
        return Place(weights, loss + self._objective.penalty(weights), loss, gradient)

    def _end_iteration(self, point: NDArray[np.float64], decrement: float = np.inf) -> None:
        """Note an iteration, and its bound where that may be small enough."""
        self._move_to(point)  # the last place looked at may have been worse
        estimate = self._remaining.estimate(self._place, decrement)
        self._note_iteration(estimate)
        if self._run.error is None:
            self._remaining.note(self._place, estimate, decrement)
        self._n_iterations_left -= 1

    def _note_iteration(self, estimate: float) -> None:
        """Let the training hold the model, and tell who follows the fit."""
        training = self._run.training
        training.n_epochs += 1
        # Its trainer measures the next one.
        training.holder = ModelOfIteration(self._place.weights, self._before, training)
        assert self._start is not None
        seconds, self._start = time.perf_counter() - self._start, None
        training.backend_seconds, self._seconds = self._seconds, 0.0
        self._n_iterations += 1
        tolerance = self._run.rule.tolerance_at(self._place.value)
        is_early = self._n_iterations < MEMORY and estimate > FAR * tolerance
        self._run.end_epoch(
            self._place.value, np.nan, np.nan, seconds, is_exact=True, is_early=is_early
        )
