"""A model in training, of whose rows this process has a shard.

What ``MeasuredRows`` measures is here measured of all ranks' rows, and each gradient is the sum
over the ranks. Every rank takes the same steps; between two of them nothing is
exchanged but that sum.
"""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.contract import Backend, ReducingBackend
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets
from sksoftmax.distributed.agreement import merged, no_rows
from sksoftmax.distributed.ranks import Ranks
from sksoftmax.distributed.shares import share_ends
from sksoftmax.training.deviations import Deviations
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.passes import Measure
from sksoftmax.training.settings import Settings
from sksoftmax.training.training import Training


class ShardRows(MeasuredRows):
    """A rank's rows, with the statistics of all ranks' rows.

    Parameters
    ----------
    *arguments, **named
        As in MeasuredRows; `X` and `targets` are this rank's shard, where no row need count.
    ranks : Ranks
        Who takes part.
    """

    def __init__(self, *arguments: Any, ranks: Ranks, **named: Any):
        self.ranks = ranks  # first, since what follows asks all ranks
        super().__init__(*arguments, **named)

    def _totals(self) -> tuple[int, float]:
        n_rows = self.ranks.total(self.targets.n_rows)
        if n_rows == 0:
            raise no_rows(self.ranks.size)
        return n_rows, self.ranks.total(self.targets.total_weight)

    def n_elements(self, X: Array) -> int:
        """Return how many numbers are stored in the rows of all ranks."""
        return int(self.ranks.total(super().n_elements(X)))

    def _place(self, X: Array, backend: Backend) -> None:
        self.ranks.require_same(
            {"The backend": backend.name}, "Install, or name, the same one everywhere."
        )
        super()._place(X, backend)

    def _reason_against(self, problem: Problem) -> str | None:
        reason = super()._reason_against(problem)
        if reason is None and isinstance(self.placed, StoredRows):
            reason = "rows are read in blocks by one process alone. Pass arrays or memory maps,"
            reason += " with shuffle=True."
        elif reason is None and not isinstance(self.backend, ReducingBackend):
            reason = "its trainers do not add up the gradients of several processes."
        return next((reason for reason in self.ranks.gather(reason) if reason), None)

    def _moments_of_rows(self) -> Moments:
        mine = super()._moments_of_rows() if self.targets.n_rows > 0 else None
        moments = self.ranks.combine(mine, merged)
        assert moments is not None
        return moments

    def _deviations_of_rows(self) -> Deviations:
        mine = super()._deviations_of_rows() if self.targets.n_rows > 0 else None
        deviations = self.ranks.combine(mine, merged)
        assert deviations is not None
        return deviations

    def _curvature_of_rows(self) -> float:
        n_rows = self.targets.n_rows
        mine = n_rows * super()._curvature_of_rows() if n_rows > 0 else 0.0
        return float(self.ranks.total(mine)) / self.n_rows

    @property
    def newton_step(self) -> None:
        """None: it would be of this rank's rows alone."""

    def _class_counts(self) -> NDArray[Any]:
        counts: NDArray[Any] = self.ranks.total(self.targets.counts)
        return counts

    def _mean_over(self, measure: Measure, X: Array, targets: Targets) -> NDArray[np.float64]:
        mine = np.zeros(())
        if targets.n_rows > 0:
            mine = super()._mean_over(measure, X, targets) * targets.total_weight
        total: NDArray[np.float64] = self.ranks.total(mine)
        return total / self.ranks.total(targets.total_weight)


class ShardTraining(Training):
    """One model, of which every rank takes the same steps.

    Parameters
    ----------
    settings : Settings
        What the estimator was told.
    rows : ShardRows
        This rank's.
    **named
        As in Training.
    """

    def __init__(self, settings: Settings, rows: ShardRows, **named: Any):
        self.ranks = rows.ranks
        self.rank = rows.ranks.rank
        super().__init__(settings, rows, **named)
        self._steps = cast(ArrayTrainer, self.trainer)  # now, while all can be told of errors
        of_ranks = self.ranks.gather(rows.targets.n_rows)
        self._ends = share_ends(of_ranks, self.rank, rows.batch_size)
        self._n_segment_batches = min(self.ranks.gather(self._batches_per_segment(1)))

    def _new_trainer(self, state: State) -> ArrayTrainer:
        assert isinstance(self.rows.backend, ReducingBackend)
        return self.rows.backend.reducing_trainer(self.problem, state, self._of_all_ranks)

    def _of_all_ranks(self, gradient: NDArray[Any]) -> NDArray[Any]:
        """The sum over the ranks of a batch's gradient, in place."""
        self.ranks.add_up(gradient)
        self._n_awaited -= 1
        return gradient

    def _batches_per_segment(self, n_models: int) -> int:
        if self.rows.targets.n_rows == 0:
            return self.rows.n_batches
        rows = self._rows_per_segment(n_models)
        # This rank's share of a batch, not the batch, is what takes its time.
        return max(1, rows * self.rows.n_batches // self.rows.targets.n_rows)

    def run_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take every row of all ranks once, as ``Training.run_epoch`` does those of one."""
        (order,), step_sizes = self.order(), self.step_sizes()  # in memory: in one piece
        penalty, loss = float(self._steps.penalty()[0]), 0.0
        self.backend_seconds = 0.0
        n_done = 0
        # Segments are of equally many batches on all ranks, which agree after each of them.
        for first in range(0, self.rows.n_batches, self._n_segment_batches):
            batches = slice(first, first + self._n_segment_batches)
            ends = self._ends[batches]
            start = time.perf_counter()
            part = order[n_done : ends[-1]]
            loss += self._run_segment(part, step_sizes[:, batches], ends - n_done)
            self.backend_seconds += time.perf_counter() - start
            n_done = ends[-1]
            self.ranks.agree()
        # MPI only recommends that all ranks get the same sum to the bit: without this, models
        # of different ranks would drift apart by rounding.
        for array in self._steps.arrays():
            self.ranks.copy_first(array)
        self.n_epochs += 1
        objective = self.ranks.total(loss) / self.rows.n_rows + penalty
        return np.array([objective]), self.evaluate(self._steps)

    def _run_segment(
        self, order: NDArray[np.int64], step_sizes: NDArray[Any], ends: NDArray[np.int64]
    ) -> float:
        """Take one step for each batch; return the loss times our rows in them."""
        self._n_awaited = len(ends)
        self._steps.batch_ends = ends
        try:
            return len(order) * float(self._steps.run_epoch(order, step_sizes)[0])
        except BaseException:
            # The others wait for our part of each further batch, until we can tell them.
            nothing = np.zeros_like(self._steps.arrays()[0])
            while self._n_awaited > 0:
                self._of_all_ranks(nothing)
            raise
