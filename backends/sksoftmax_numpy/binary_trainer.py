"""The gradient of a minibatch of two classes, tuned for NumPy and one model.

Of two classes, the difference of the scores says all, and the gradient of one is that of the
other with the opposite sign: a step multiplies the batch by one vector, and one vector by the
batch. Either class keeps weights of its own, and steps are taken as for more classes: this
module must not know how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sksoftmax.backend import Array, Problem, State
from sksoftmax_numpy.trainer import NumpyTrainer


class BinaryTrainer(NumpyTrainer):
    """NumpyTrainer for two classes.

    Parameters
    ----------
    problem : Problem
        What is trained; ``problem.n_classes`` is 2.
    state : State
        Where it starts.
    reduce : callable, optional
        See ArrayTrainer.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        *,
        reduce: Callable[[Array], Array] | None = None,
    ):
        super().__init__(problem, state, reduce=reduce)
        self._first, self._second = self._point[0]
        self._difference = np.empty_like(self._first)
        self._coef_difference = self._difference[:-1]
        self._column = np.empty(self._width, problem.dtype)
        self._ones = np.ones(self._tile, problem.dtype)

    def _begin_epoch(self, order: NDArray[np.int64]) -> None:
        self._targets = self._float(self._y.take(order))
        self._row_scores = np.empty(len(order), self.problem.dtype)

    def _losses(self) -> NDArray[Any]:
        return losses_of_two(self._row_scores, self._targets)

    def _write_gradient(self, rows: NDArray[np.int64], gradient: NDArray[Any]) -> None:
        count = len(rows)
        done = slice(self._n_done, self._n_done + count)
        self._n_done = done.stop
        x = self._gather(rows)
        np.subtract(self._second, self._first, out=self._difference)
        # One number for each row of x, of which the last may be the means with a minus sign.
        column = x.dot(self._coef_difference, out=self._column[: len(x)])
        intercept = self._difference.item(-1)
        if self._tail:
            intercept += column.item(count)
        residual = column[:count]
        scores = np.add(residual, intercept, out=self._row_scores[done])
        expit(scores, out=residual)  # the probability of the second class
        residual -= self._targets[done]
        if self._row_weights is not None:
            residual *= self._row_weights[done]
        of_first, of_second = gradient
        if self.problem.fit_intercept:
            # The sum, by a product: NumPy adds up so few numbers in thrice the time.
            of_second[-1] = total = residual.dot(self._ones[:count])
            if self._tail:
                column[count] = total
        column.dot(x, out=of_second[:-1])
        np.negative(of_second, out=of_first)


def losses_of_two(scores: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """Return the loss of each row of two classes.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Scores of the second class less those of the first.
    targets : ndarray of shape (n_rows,)
        1 for rows of the second class, 0 for others.

    Returns
    -------
    ndarray of shape (n_rows,)
        Cross-entropies.
    """
    # log(1 + exp(z)) - y z, where exp(z) may leave the range of floating-point numbers.
    losses: NDArray[Any] = np.maximum(scores, 0) - scores * targets
    losses += np.log1p(np.exp(-abs(scores)))
    return losses
