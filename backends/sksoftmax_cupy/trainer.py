"""The minibatch loop over CuPy, for every shape and feature, dense or CSR.

It launches a few kernels for each line of ``ArrayTrainer``: right everywhere, and the
reference for what is faster. It knows no kernel of our own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, ArrayTrainer, Problem, State
from sksoftmax_cupy.device import explained


class CupyTrainer(ArrayTrainer):
    """ArrayTrainer over CuPy, with errors of the device explained.

    Parameters
    ----------
    problem : Problem
        What is trained; ``problem.X`` is on the device.
    state : State
        Where it starts.
    xp : module, default=cupy
        The namespace of ``problem.X``.
    """

    elements_at_once = 2**24

    def __init__(self, problem: Problem, state: State, *, xp: Any = cupy):
        with explained("moving the model to it"):
            super().__init__(problem, state, xp=xp)

    def _to_numpy(self, array: Array) -> NDArray[Any]:
        copy: NDArray[Any] = cupy.asnumpy(array)
        return copy

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, which is moved to the device at once."""
        with explained("running an epoch"):
            return super().run_epoch(self.xp.asarray(order), step_sizes)

    def run_pieces(
        self,
        pieces: Iterable[tuple[slice, NDArray[np.int32], NDArray[Any] | None]],
        n_rows: int,
        step_sizes: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Take one step for each batch of rows that come to `X` piece by piece.

        Parameters
        ----------
        pieces : iterable of (slice, ndarray, ndarray or None)
            Rows of `X` that hold the next batches, their labels of shape (n_piece,) and their
            weights of shape (n_piece,). All work on a piece is launched before the
            next one is asked for.
        n_rows : int
            Rows in all pieces.
        step_sizes : ndarray of shape (n_models, n_batches), float64
            The step of each batch.

        Returns
        -------
        ndarray of shape (n_models,), float64
            The weighted loss a row, each batch measured before its own update.

        Raises
        ------
        MemoryError
            If the device runs out of memory.
        RuntimeError
            If the device fails.
        """
        xp, first = self.xp, 0
        with explained("running an epoch"):
            loss = xp.zeros(self.problem.n_models)
            for places, y, weights in pieces:
                self._y[places] = xp.asarray(y)
                if self._weights is not None:
                    self._weights[places] = self._float(weights)
                last = first + -(-len(y) // self.problem.batch_size)
                order = xp.arange(places.start, places.stop)
                loss = self._add_steps(loss, order, step_sizes[:, first:last])
                first = last
            return self._to_numpy(loss / n_rows)

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken."""
        with explained("measuring the penalty"):
            return super().penalty()

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows."""
        with explained("evaluating"):
            return super().evaluate(X, y, weights)

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss on some rows and its gradient at given parameters."""
        with explained("evaluating"):
            return super().loss_gradient(parameters, X, y, weights)

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        """Return the second derivatives of that loss."""
        with explained("evaluating"):
            return super().hessian(parameters, X, weights, only_intercepts=only_intercepts)

    def state(self) -> State:
        """Return NumPy copies of everything needed to go on from here."""
        with explained("copying the model from it"):
            return super().state()

    def norms(self) -> dict[str, NDArray[np.float64]]:
        """Return NumPy copies of the norms in the state, without the rest of it."""
        with explained("copying norms from it"):
            return super().norms()
