"""A backend from outside: ``SoftmaxClassifier(backend="transposed")``.

It keeps its parameters as (n_features + 1, n_classes), has a loop of its own, and knows of
sksoftmax only what ``sksoftmax.backend`` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, Problem, State


class TransposedBackend:
    """Train one model at a time on the CPU, in float64 whatever the problem's dtype."""

    name = "transposed"
    version = "1.2.3"
    device = "CPU"
    xp = np

    def place(self, X: Array) -> Array:
        return np.asarray(X) if isinstance(X, np.ndarray) else X

    def to_numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def supports(self, problem: Problem) -> str | None:
        if problem.n_models > 1:
            return f"it trains one model at a time, not {problem.n_models}."
        if problem.rule.name == "adam" or problem.rule.nesterov:
            return "it knows the default rule and heavy-ball SGD only."
        if problem.l1.any():
            return "it knows no absolute penalty."
        if not isinstance(problem.X, np.ndarray):
            return "it reads dense arrays only."
        return None

    def trainer(self, problem: Problem, state: State) -> TransposedTrainer:
        return TransposedTrainer(problem, state)


class TransposedTrainer:
    """The rule that finds its own steps, or an averaged heavy ball, in standardised units."""

    def __init__(self, problem: Problem, state: State):
        self.problem = problem
        self.y = np.asarray(problem.y)
        self.weights = np.ones(len(self.y)) if problem.weights is None else problem.weights
        n_features = problem.n_features
        self.means = np.zeros(n_features) if problem.means is None else problem.means
        self.penalty_scales = np.append(problem.scales, 0.0)[:, None]
        intercepts = problem.fit_intercept / problem.intercept_scale
        self.inverse_scales = np.append(1 / problem.step_scales, intercepts)[:, None]
        state = state.centred_at(problem.means)
        self.parameters = transposed(state.parameters)
        self.average = transposed(state.average)
        velocity = state.memory.get("velocity", np.zeros_like(state.parameters))
        self.velocity = transposed(velocity)
        self.n_steps = state.n_steps
        self._norms: dict[str, Any] = {}
        self.finds_steps = problem.rule.finds_steps
        if self.finds_steps:
            first = {"distance": [self._way()], "squares": [0.0], "weight": [0.0]}
            self._norms = {name: a[0] for name, a in (state.norms or first).items()}

    def _way(self) -> float:
        """The length of the average, in the coordinates of the step."""
        moves = self.inverse_scales > 0
        way = np.divide(self.average, self.inverse_scales, where=moves, out=0 * self.average)
        return float(np.linalg.norm(way))

    def _point(self) -> NDArray[np.float64]:
        """Where the next gradient is taken."""
        if not self.finds_steps:
            return self.parameters
        near = self.problem.rule.nearness
        return (1 - near) * self.parameters + near * self.average

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        size = self.problem.batch_size
        loss = 0.0
        for i, step in enumerate(step_sizes[0]):
            loss += self._step(order[i * size : (i + 1) * size], step)
        return np.array([loss / len(order)])

    def _step(self, rows: NDArray[np.int64], step: float) -> float:
        problem = self.problem
        x = problem.X[rows].astype(np.float64) - self.means
        point = self._point()
        log_probabilities = self._log_probabilities(x, point)
        residual = np.exp(log_probabilities)
        of_row = np.arange(len(rows))
        residual[of_row, self.y[rows]] -= 1
        residual *= self.weights[rows, None]
        gradient = np.vstack([x.T @ residual, residual.sum(axis=0)])
        gradient *= self.inverse_scales / problem.batch_size
        decay = self.penalty_scales * (self.penalty_scales * self.inverse_scales)
        gradient += problem.penalty_share * problem.l2[0] * decay * point
        self.n_steps += 1
        if self.finds_steps:
            self._take_own_step(gradient, step)
        else:
            self._take_given_step(gradient, step)
        return float(-self.weights[rows] @ log_probabilities[of_row, self.y[rows]])

    def _take_given_step(self, gradient: NDArray[np.float64], step: float) -> None:
        change = step * self.inverse_scales * gradient
        self.velocity = self.problem.rule.momentum[0] * self.velocity - change
        self.parameters = self.parameters + self.velocity
        if self.problem.average:
            newest = 9 / (self.n_steps + 8)
            self.average = self.average + newest * (self.parameters - self.average)

    def _take_own_step(self, gradient: NDArray[np.float64], factor: float) -> None:
        norms, (curvature,) = self._norms, self.problem.curvature
        if norms["squares"] == 0:
            norms["distance"] = max(norms["distance"], np.linalg.norm(gradient) / curvature)
            norms["squares"] = (norms["distance"] ** 2 * curvature) ** 2
        else:
            norms["squares"] += norms["distance"] ** 2 * (gradient**2).sum()
        weight = norms["distance"] ** 2 * self.n_steps
        norms["weight"] += weight
        if norms["squares"] > 0:
            step = factor * norms["distance"] ** 2 / np.sqrt(norms["squares"])
            self.parameters = self.parameters - step * self.inverse_scales * gradient
            newest = max(weight / norms["weight"], self.problem.rule.least_weight)
            self.average = self.average + newest * (self.parameters - self.average)
        norms["distance"] = max(norms["distance"], self._way())

    def _log_probabilities(self, x: NDArray[Any], parameters: NDArray[Any]) -> NDArray[Any]:
        """Of centred rows, as (n_rows, n_classes)."""
        logits = x @ parameters[:-1] + parameters[-1]
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def penalty(self) -> NDArray[np.float64]:
        scaled = self._point() * self.penalty_scales
        return self.problem.l2 / 2 * (scaled * scaled).sum()

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        parameters = self.average if self.problem.average else self.parameters
        scores = self._log_probabilities(X.astype(np.float64) - self.means, parameters)
        loss = -scores[np.arange(len(y)), y]
        correct = scores.argmax(axis=1) == y
        return (
            np.atleast_1d(np.average(loss, weights=weights)),
            np.atleast_1d(np.average(correct, weights=weights)),
        )

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = X.astype(np.float64) - self.means
        scores = self._log_probabilities(x, transposed(parameters))
        share = np.ones(len(y)) if weights is None else weights.astype(np.float64)
        share /= share.sum()
        of_row = np.arange(len(y))
        residual = np.exp(scores)
        residual[of_row, y] -= 1
        residual *= share[:, None]
        gradient = np.vstack([x.T @ residual, residual.sum(axis=0)])
        return np.atleast_1d(-share @ scores[of_row, y]), gradient.T[None]

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        x = X.astype(np.float64) - self.means
        z = np.exp(self._log_probabilities(x, transposed(parameters)))
        share = np.ones(len(z)) if weights is None else weights.astype(np.float64)
        share /= share.sum()
        columns = np.ones((len(z), 1))
        if not only_intercepts:
            columns = np.column_stack([x, columns])
        n_columns = columns.shape[1]
        # Not an array of classes times classes for each row: there may be thousands.
        flat = (z[:, :, None] * columns[:, None, :]).reshape(len(z), -1)
        hessian = -(share[:, None] * flat).T @ flat
        for k, of_class in enumerate(z.T):
            of_own = slice(n_columns * k, n_columns * (k + 1))
            hessian[of_own, of_own] += (share * of_class * columns.T) @ columns
        return hessian[None]

    def state(self) -> State:
        def for_state(array: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(array.T[None], self.problem.dtype)

        averaged = self.average if self.problem.average else self.parameters
        has_velocity = self.problem.rule.momentum[0] > 0 and not self.finds_steps
        memory = {"velocity": for_state(self.velocity)} if has_velocity else {}
        return State(
            parameters=for_state(self.parameters),
            average=for_state(averaged),
            memory=memory,
            means=self.means,
            n_steps=self.n_steps,
            norms=self.norms(),
        )

    def norms(self) -> dict[str, NDArray[np.float64]]:
        return {name: np.array([x]) for name, x in self._norms.items()}


def transposed(array: NDArray[Any]) -> NDArray[np.float64]:
    """The only model's array as (n_features + 1, n_classes), a float64 copy."""
    return np.array(array[0].T, np.float64, order="C")
