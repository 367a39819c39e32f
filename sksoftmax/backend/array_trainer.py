"""The minibatch loop, once, over any array namespace.

All the mathematics of a step is here, in ``softmax_model`` and in ``optimizers``. A backend
subclasses ArrayTrainer and overrides what it makes faster; its models then follow those of this
class step by step. This module must not know which namespace it runs on, nor why an epoch is
run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.distance_over_gradients import DistanceOverGradients, squared_norm
from sksoftmax.backend.optimizers import Adam, Momentum, averaging_weight
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.softmax_model import SoftmaxModel
from sksoftmax.backend.state import State, with_zeros
from sksoftmax.data.arrays import Array


class ArrayTrainer(SoftmaxModel):
    """A trainer over an array namespace with NumPy's names, for dense or CSR rows.

    Updates are dense: a step changes every weight, also where the rows are sparse.

    Parameters
    ----------
    problem : Problem
        What is trained.
    state : State
        Where it starts.
    xp : module, default=numpy
        The namespace of ``problem.X``.
    reduce : callable, optional
        Called once a batch on the gradient summed over the rows, before it is divided by
        the batch size; returns the sum over all machines.

    Attributes
    ----------
    batch_ends : ndarray of shape (n_batches,), int64, or None
        Where in the next `order` each batch ends; None for every `batch_size` rows. With
        `reduce` it says which share of each batch, empty ones included, is of this machine.
    elements_at_once : int
        Elements of X of which derivatives are taken at once: see ``SoftmaxModel``.

    Examples
    --------
    One exact full-batch step of the textbook, by hand:

    >>> import numpy as np
    >>> from sksoftmax.backend.array_trainer import ArrayTrainer
    >>> from sksoftmax.backend.problem import Problem
    >>> from sksoftmax.backend.state import State
    >>> one = np.ones(1)
    >>> problem = Problem(
    ...     X=np.array([[1.0], [-1.0]]), y=np.array([0, 1], np.int32), weights=None,
    ...     n_classes=2, dtype=np.dtype(float), batch_size=2, l2=0 * one, l1=0 * one,
    ...     penalty_share=1, average=False, fit_intercept=False, means=None,
    ...     scales=one, step_scales=one)
    >>> trainer = ArrayTrainer(problem, State.zeros(1, 2, 1, problem.dtype))
    >>> loss = trainer.run_epoch(np.arange(2), np.ones((1, 1)))
    >>> float(loss[0].round(4)), trainer.state().parameters[0, :, 0].tolist()
    (0.6931, [0.5, -0.5])
    """

    batch_ends: NDArray[np.int64] | None = None
    _distance_rule: type[DistanceOverGradients] = DistanceOverGradients

    def __init__(
        self,
        problem: Problem,
        state: State,
        *,
        xp: Any = np,
        reduce: Callable[[Array], Array] | None = None,
    ):
        super().__init__(problem, xp)
        self.reduce = reduce
        self._weights = None if problem.weights is None else self._float(problem.weights)
        self._set_scales()
        self._optimizer = self._new_optimizer()
        self._set_state(state.centred_at(problem.means))

    def _set_scales(self) -> None:
        """Per-feature factors of a step, with the intercept's in the last column."""
        problem = self.problem
        # Where a column never moves, its inverse scale is 0, and so is every step of it.
        inverse = problem.inverse_step_scales[None, None, :]
        penalty_scales = np.append(problem.scales, 0.0)[None, None, :]
        # l2 sigma^2 / s, multiplied in this order, stays in range where sigma^2 does not.
        decay = problem.l2[:, None, None] * penalty_scales * (penalty_scales * inverse)
        decay *= problem.penalty_share
        self._inverse_scales = self._float(inverse)
        self._gradient_scales = self._float(inverse / problem.batch_size)
        self._decay = self._float(decay) if problem.l2.any() else None
        threshold = problem.penalty_share * problem.l1[:, None, None] * penalty_scales * inverse
        self._threshold = self._float(threshold) if problem.l1.any() else None
        self._penalty_scales = self._float(penalty_scales)
        if problem.rule.finds_steps:
            self._scales = self._float(problem.distance_scales[None, None, :])

    def _new_optimizer(self) -> Momentum | Adam | DistanceOverGradients:
        """The update rule of the problem."""
        problem = self.problem
        if problem.rule.finds_steps:
            return self._distance_rule(problem, self.xp)
        if problem.rule.name == "adam":
            return Adam(problem, self.xp)
        momentum = self._float(problem.rule.momentum[:, None, None])
        return Momentum(problem, momentum, self.xp)

    def _set_state(self, state: State) -> None:
        """Copy a state into arrays of our own, which every step then changes in place."""
        xp = self.xp
        self._parameters = xp.array(state.parameters, dtype=self.problem.dtype)
        self._average = xp.array(state.average, dtype=self.problem.dtype)
        self._memory = {
            name: xp.array(state.memory[name], dtype=self.problem.dtype)
            if name in state.memory
            else xp.zeros_like(self._parameters)
            for name in self._optimizer.memory_names
        }
        self._n_steps = state.n_steps
        self._point = self._parameters
        self._norms: dict[str, Array] = {}
        if isinstance(self._optimizer, DistanceOverGradients):
            self._point = xp.empty_like(self._parameters)
            self._set_point()
            self._set_norms(state)

    def _set_point(self) -> None:
        """Write where the next gradient is taken.

        Kernels leave it to this at the end of an epoch: they might round in another way than
        where a fit goes on.
        """
        assert isinstance(self._optimizer, DistanceOverGradients)
        self._optimizer.point(self._parameters, self._average, self._point)

    def _set_norms(self, state: State) -> None:
        """Go on with the norms of a state; before the first step, with the model's own."""
        norms = state.norms
        if not norms:
            nothing = np.zeros(self.problem.n_models)
            way = self.xp.sqrt(squared_norm(self.xp, self._average * self._scales))
            norms = {"distance": way, "squares": nothing, "weight": nothing}
        # float64 whatever the dtype of the weights: squares of norms add up over a whole fit.
        names = DistanceOverGradients.norm_names
        self._norms = {name: self.xp.array(norms[name], dtype="float64") for name in names}

    def arrays(self) -> list[Array]:
        """Return what steps change: with `reduce`, writing into it changes the model.

        Returns
        -------
        list of arrays
            The last iterate, what is averaged, the optimiser's memory, and where the next
            gradient is taken if that is elsewhere; always in the same order.
        """
        last, average, memory = self._current()
        point = [] if self._point is self._parameters else [self._point]
        averaged = [average] if self.problem.average else []
        return [last, *averaged, *memory.values(), *point, *self._norms.values()]

    def _current(self) -> tuple[Array, Array, dict[str, Array]]:
        """The last iterate, what is averaged, and the optimiser's memory: no copies."""
        average = self._average if self.problem.average else self._parameters
        return self._parameters, average, self._memory

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`.

        Parameters
        ----------
        order : ndarray of shape (n_rows,), int64
            Rows of X, batch after batch.
        step_sizes : ndarray of shape (n_models, n_batches), float64
            The step of each batch.

        Returns
        -------
        ndarray of shape (n_models,), float64
            The weighted loss a row, each batch measured before its own update.
        """
        nothing = self.xp.zeros(self.problem.n_models)
        loss = self._add_steps(nothing, order, step_sizes)
        return self._to_numpy(loss / max(1, len(order))).astype(np.float64)

    def _add_steps(self, loss: Array, order: Array, step_sizes: NDArray[np.float64]) -> Array:
        """Take the steps, and add the loss of each batch."""
        finds_steps = isinstance(self._optimizer, DistanceOverGradients)
        factors, steps = self.xp.asarray(step_sizes), self._float(step_sizes)[:, :, None, None]
        # The product of step and scales is computed again only where the step changes.
        changes = np.ones(step_sizes.shape[1], bool)
        changes[1:] = (step_sizes[:, 1:] != step_sizes[:, :-1]).any(axis=0)
        start = 0
        for i, end in enumerate(self._batch_ends(len(order))):
            if changes[i]:
                step = factors[:, i] if finds_steps else steps[:, i] * self._inverse_scales
            # The sum stays where the arrays are: to read it here would wait for a device.
            loss = loss + self._step(order[start:end], step)
            start = end
        return loss

    def _batch_ends(self, n_rows: int) -> Iterable[int]:
        """Where each batch of so many rows ends; the last end may be beyond them."""
        size = self.problem.batch_size
        return range(size, n_rows + size, size) if self.batch_ends is None else self.batch_ends

    def _step(self, rows: Array, step: Array) -> Array:
        """One step on a batch; returns the batch's summed loss, per model.

        `step` is the step over s, or a factor a model for a rule that finds its own.
        """
        gradient, loss = self._mean_gradient(rows)
        parameters, average = self._parameters, self._average
        if isinstance(self._optimizer, DistanceOverGradients):
            scales = self._scales, self._inverse_scales
            self._optimizer.update(
                parameters, average, self._norms, gradient, step, scales, self._threshold,
                self._n_steps,
            )  # fmt: skip
            self._set_point()
            return loss
        self._optimizer.update(
            parameters, self._memory, gradient, step, self._threshold, self._n_steps
        )
        if self.problem.average:
            self._add_to_average(average, parameters)
        return loss

    def _mean_gradient(self, rows: Array) -> tuple[Array, Array]:
        """The mean gradient of a batch in standardised coordinates, and its summed loss.

        It begins a step, and counts it.
        """
        # The sum over all machines comes first: the division and the penalty are those of the
        # whole batch.
        gradient, loss = self._summed_gradient(rows)
        if self.reduce is not None:
            gradient = self.reduce(gradient)
        gradient *= self._gradient_scales
        if self._decay is not None:
            gradient += self._decay * self._point
        self._n_steps += 1
        return gradient, loss

    def _add_to_average(self, average: Array, newest: Array) -> None:
        """Move an average towards the newest iterate."""
        change = newest - average
        change *= averaging_weight(self._n_steps)
        average += change

    def _summed_gradient(self, rows: Array) -> tuple[Array, Array]:
        """Gradient of the data loss summed over a batch, and that loss, per model."""
        xp, n = self.xp, self.problem.n_features
        x = self._rows(self.problem.X, rows)
        residual, loss = self._weighted_residual(self._logits(self._point, x), rows)
        # Both products side by side: weights in the first columns, the intercept in the last.
        gradient = xp.empty_like(self._parameters)
        gradient[..., n] = residual.sum(axis=2)
        gradient[..., :n] = self._summed_rows(residual, x)
        if self._means is not None:
            # Rows are centred by what that does to the sums: centred CSR rows would be dense.
            gradient[..., :n] -= gradient[..., n:] * self._means
        return gradient, xp.sum(loss, axis=1, dtype=np.float64)

    def _weighted_residual(self, logits: Array, rows: Array) -> tuple[Array, Array]:
        """What `_residual` returns for rows that are trained on, times their weights."""
        residual, loss = self._residual(logits, self._y[rows] == self._classes)
        if self._weights is None:
            return residual, loss
        weights = self._weights[rows]
        residual *= weights
        return residual, loss * weights

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken.

        Returns
        -------
        ndarray of shape (n_models,), float64
            What the objective adds to the loss.
        """
        return self._to_numpy(self._penalty()).astype(np.float64)

    def _penalty(self) -> Array:
        """The penalty where the next gradient is taken, per model, in float64."""
        scaled = self.xp.asarray(self._point * self._penalty_scales, dtype=np.float64)
        l2, l1 = self.xp.asarray(self.problem.l2), self.xp.asarray(self.problem.l1)
        # The last column of the scales is 0: intercepts are not penalised.
        squared = l2 / 2 * (scaled * scaled).sum(axis=(1, 2))
        if self._threshold is None:
            return squared
        return squared + l1 * abs(scaled).sum(axis=(1, 2))

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        y : ndarray of shape (n_rows,), int32
            Class codes.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.

        Returns
        -------
        loss, accuracy : ndarrays of shape (n_models,), float64
            Weighted means over the rows, without the penalty.
        """
        last, average, _ = self._current()
        parameters = with_zeros(self.xp, self.problem, average, last)
        return self._loss_and_accuracy(parameters, X, y, weights)

    def state(self) -> State:
        """Return NumPy copies of everything needed to go on from here.

        Returns
        -------
        State
            The state after the last step.
        """
        problem = self.problem
        last, average, memory = self._current()
        parameters = self._to_numpy(last)
        means = problem.means
        if means is None:
            means = np.zeros(problem.n_features)
        return State(
            parameters=parameters,
            average=self._to_numpy(average) if problem.average else parameters,
            memory={name: self._to_numpy(array) for name, array in memory.items()},
            means=means,
            n_steps=self._n_steps,
            norms=self.norms(),
        )

    def norms(self) -> dict[str, NDArray[np.float64]]:
        """Return NumPy copies of the norms in the state, without the rest of it.

        Returns
        -------
        dict of str to ndarray of shape (n_models,), float64
            Empty for rules that keep none.
        """
        return {
            name: self._to_numpy(array).astype(np.float64, copy=False)
            for name, array in self._norms.items()
        }
