"""Dense updates over sparse rows of two classes, an epoch in one compiled call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import DenseUpdateTrainer, DistanceOverGradients, Problem, State
from sksoftmax_numba.announcements import announced
from sksoftmax_numba.canonical import elements_of, to_read, unsigned
from sksoftmax_numba.dense_update_kernels import run_batches
from sksoftmax_numba.distance_epoch import rules_of
from sksoftmax_numba.sparse_trainer import most_elements

SECONDS = 5
"""About what compiling takes."""


class NumbaDenseUpdateTrainer(DenseUpdateTrainer):
    """DenseUpdateTrainer with a compiled epoch, for two classes.

    From three on, a lazy step is shorter unless a batch holds nearly all features.
    """

    _optimizer: DistanceOverGradients
    free_weights, weights_an_element, most_weights = 0, 6, 2**14

    def __init__(self, problem: Problem, state: State):
        super().__init__(problem, state)
        weights = np.zeros(0, problem.dtype) if self._weights is None else self._weights
        data, indices, starts = elements_of(problem.X)
        coordinates = to_read(self._subtracted), to_read(self._inverse_scales[0, 0])
        self._arrays = (
            to_read(self._y), to_read(weights), (data, unsigned(indices), unsigned(starts)),
            coordinates,
        )  # fmt: skip
        # In one piece of memory: where arrays happen to lie close to each other, compiled loops
        # guard against an overlap, and round in another way.
        self._pieces = np.zeros((6, problem.n_features + 1), problem.dtype)
        self._pieces[0], self._pieces[1] = self._decays, self._centres
        self._iterate, self._averaged, self._near, self._change = self._pieces[2:, :, None]

    @classmethod
    def pays(cls, problem: Problem, state: State) -> bool:
        """Say whether these steps are possible, and shorter than those of lazy updates."""
        return super().pays(problem, state) and cls.n_columns(state) == 1

    def _run_batches(self, order: NDArray[np.int64], factors: NDArray[np.float64]) -> float:
        problem, size = self.problem, self.problem.batch_size
        names = self._optimizer.norm_names
        norms = np.array([self._norms[name][0] for name in names])
        with announced(SECONDS):
            loss = run_batches(
                to_read(unsigned(order)), to_read(factors), size, self._n_steps, *self._arrays,
                self._pieces, norms, rules_of(problem)[0],
                np.empty(most_elements(problem.X, order, size), problem.dtype),
                np.empty(size, problem.dtype),
            )  # fmt: skip
        self._norms = {name: norms[i : i + 1] for i, name in enumerate(names)}
        self._n_steps += len(factors)
        return float(loss)
