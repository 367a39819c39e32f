"""What a trainer says of a model that another trainer has, to which it feeds the rows.

Such a trainer fetches rows, from a file or the memory of the host, and lets the other one take
the steps. This module must not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Trainer
from sksoftmax.backend.problem import State
from sksoftmax.data.arrays import Array


class FeedingTrainer:
    """A trainer whose `_trainer` has the model, and is asked for all but an epoch."""

    _trainer: Trainer

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken."""
        return self._trainer.penalty()

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows."""
        return self._trainer.evaluate(X, y, weights)

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss on some rows and its gradient at given parameters."""
        return self._trainer.loss_gradient(parameters, X, y, weights)

    def intercept_hessian(
        self, parameters: NDArray[np.float64], X: Array, weights: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """Return the second derivatives of that loss by the intercepts."""
        return self._trainer.intercept_hessian(parameters, X, weights)

    def state(self) -> State:
        """Return NumPy copies of everything needed to go on from here."""
        return self._trainer.state()

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return NumPy copies of the norms in the state, without the rest of it."""
        return self._trainer.norms()
