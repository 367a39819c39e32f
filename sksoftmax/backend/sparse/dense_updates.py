"""Dense updates over sparse rows: every weight changes in each step, where these are few.

A step that touches the features of its batch alone must first find them, and keep account of
all others; where features are few, a pass over all weights takes less time. The weights are
those of ``ArrayTrainer`` up to rounding. This module must not know why an epoch is run.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.rows import is_csr, stored_counts


class DenseUpdateTrainer(ArrayTrainer):
    r"""Dense steps of "distance-over-gradients" over CSR rows, for one model.

    During a run of steps, z, the average a and the point y between them are arrays of a row for
    each feature, in the coordinates of the step, where rows x have elements
    :math:`(x_j - f_j) / s_j`, with f the mean of a column that every row stores and 0 for any
    other one: see ``DistanceTrainer``. The intercept is one more feature, the last, that no row
    stores. With c the centre of what is left, and :math:`-1 / s` of the intercept for its last
    element, scores are :math:`x y - c y`, and the gradient is :math:`x^T R - c \sum R`: so the
    intercept takes no code of its own.

    Of two classes, weights and gradients of one are those of the other with the opposite sign,
    from the first step on: only those of the second class are computed.

    Parameters
    ----------
    problem, state
        As in ArrayTrainer; `pays` returned True for them.

    Attributes
    ----------
    free_weights, weights_an_element : int
        How many weights a step passes over in the time that a lazy one takes longer: in any
        case, and for each element of the batch, whose feature it must find.
    most_weights : float
        More are beyond the cache of a core, where they are not passed over as fast.
    """

    free_weights: int
    weights_an_element: int
    most_weights: float = math.inf

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        means = np.zeros(problem.n_features) if problem.means is None else problem.means
        is_full = stored_counts(np, problem.X) == problem.X.shape[0]
        self._subtracted = self._float(np.where(is_full, means, 0))
        inverse = self._inverse_scales[0, 0]
        centres = np.append(np.where(is_full, 0, means) / problem.step_scales, -inverse[-1])
        self._centres = self._float(centres)
        # One 1/s is in the decay already, and makes of the caller's weights a gradient.
        decays = 0.0 if self._decay is None else self._decay[0, 0] * inverse
        self._decays = np.zeros_like(self._centres) + decays
        n_columns = self.n_columns(state)
        self._columns = slice(problem.n_classes - n_columns, None)
        shape = (4, problem.n_features + 1, n_columns)
        self._iterate, self._averaged, self._near, self._change = np.zeros(shape, problem.dtype)

    @staticmethod
    def n_columns(state: State) -> int:
        """Return for how many classes weights are computed.

        Parameters
        ----------
        state : State
            Where a trainer starts.

        Returns
        -------
        int
            1 where there are two, and the parameters of one are those of the other times -1.
        """
        arrays = (state.parameters, state.average)
        n_classes = state.parameters.shape[1]
        is_one = n_classes == 2 and all(np.array_equal(a[:, 0], -a[:, 1]) for a in arrays)
        return 1 if is_one else n_classes

    @classmethod
    def pays(cls, problem: Problem, state: State) -> bool:
        """Say whether these steps are possible, and shorter than those of lazy updates.

        Parameters
        ----------
        problem : Problem
            What is to be trained.
        state : State
            Where it starts.

        Returns
        -------
        bool
            It depends on counts: of weights, and of the elements of a batch.
        """
        if not (is_csr(problem.X) and problem.n_models == 1 and problem.rule.finds_steps):
            return False
        if problem.l1.any() or not problem.average:
            return False
        n_elements = problem.X.nnz * problem.batch_size / problem.X.shape[0]
        n_most = min(cls.most_weights, cls.free_weights + cls.weights_an_element * n_elements)
        # Models that are too large are told by their counts, without a look at any weight.
        if problem.n_features > n_most or cls.n_columns(state) * problem.n_features > n_most:
            return False
        # What weights that stay as they are add to scores is beyond these coordinates.
        stays = np.append(np.isinf(problem.step_scales), not problem.fit_intercept)
        start = state.centred_at(problem.means)
        return not any(a[..., stays].any() for a in (start.parameters, start.average))

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, in the coordinates of the step."""
        pairs = (self._parameters[0], self._iterate), (self._average[0], self._averaged)
        for weights, columns in pairs:
            columns[:] = (weights[self._columns] * self._scales[0]).T
        loss = self._run_batches(order, step_sizes[0])
        for weights, columns in pairs:
            np.multiply(columns.T, self._inverse_scales[0], out=weights[self._columns])
            if columns.shape[1] == 1:
                np.negative(weights[1], out=weights[0])
        self._set_point()
        return np.array([loss / max(1, len(order))])

    def _run_batches(self, order: NDArray[np.int64], factors: NDArray[np.float64]) -> float:
        """Take the steps, change iterate, average, norms and count; return the summed loss."""
        raise NotImplementedError
