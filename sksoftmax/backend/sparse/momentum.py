"""Steps of a given size for CSR rows, at the cost of their stored elements.

A step touches only the features of its batch; ``momentum_laws`` knows what would have happened
to the others. The weights are those of ``ArrayTrainer``'s dense updates up to rounding.
This module must not know which namespace it runs on, nor why an epoch is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.optimizers import soft_threshold
from sksoftmax.backend.sparse.base import LazyTrainer
from sksoftmax.backend.sparse.momentum_laws import LinearLaw, ShrinkingLaw
from sksoftmax.data.arrays import Array


class LinearTrainer(LazyTrainer):
    """The squared penalty, any heavy-ball momentum, averaged or not: see LinearLaw."""

    def _begin_run(self, step_sizes: NDArray[np.float64]) -> int:
        problem = self.problem
        law = LinearLaw.tabulate(
            step_sizes,
            problem.penalty_share * problem.l2[0] * self._ratio**2,
            float(problem.rule.momentum[0]),
            self._n_done(),
        )
        self._reads = self._float(law.read)
        # Constant features have ratio 0 and never move.
        self._writes = self._float(np.where((self._ratio > 0)[:, None], law.write, 0))
        self._finish = self._float(law.finish)
        self._map_slots(self._float(law.start), self._step_scale_in_units)
        return law.n_steps

    def _end_run(self) -> None:
        self._map_slots(self._finish, 1 / self._step_scale_in_units)

    def _map_slots(self, of_group: Array, of_slot: Array) -> None:
        """Multiply the parts of every slot by the matrix of its group and a number."""
        for block in self._blocks():
            parts = of_group[self._group[block]] @ self._parts[block]
            parts *= of_slot[block][:, None, None]
            self._parts[block] = parts

    def _read(self, t: int, slots: Array) -> tuple[Array, Array]:
        parts = self._parts[slots]
        factors = self._reads[t][self._group[slots]]
        modes = parts[:, : factors.shape[1]]
        return self.xp.einsum("jm,jmk->jk", factors, modes), parts

    def _write(self, t: int, slots: Array, parts: Array, change: Array) -> None:
        factors = self._writes[t][self._group[slots]]
        self._parts[slots] = parts + self.xp.einsum("jp,jk->jpk", factors, change)


class ShrinkingTrainer(LazyTrainer):
    """The elastic net without momentum, averaged or not: see ShrinkingLaw."""

    _threshold: Array

    def _begin_run(self, step_sizes: NDArray[np.float64]) -> int:
        problem, xp = self.problem, self.xp
        share = problem.penalty_share
        law = ShrinkingLaw.tabulate(
            step_sizes,
            share * problem.l2[0] * self._ratio**2,
            share * problem.l1[0] * self._ratio,
            self._n_done(),
        )
        self._factor, self._threshold = xp.asarray(law.factor), xp.asarray(law.threshold)
        self._share = xp.asarray(law.share)
        self._shares = self._sums_from(self._share)
        self._shares_lost = self._sums_from(self._share * self._threshold)
        self._moves = xp.asarray(self._ratio > 0)
        self._n_run = law.n_steps
        self._touched_at = xp.zeros(len(self._features), dtype=np.int32)
        for block in self._blocks():
            self._parts[block] *= self._step_scale_in_units[block][:, None, None]
            if problem.average:
                # What the last step of the run will leave of the average so far. The iterates
                # on the way are added slot by slot, as they are met.
                self._parts[block, 1] *= law.kept
        return law.n_steps

    def _end_run(self) -> None:
        for block in self._blocks():
            parts = self._caught_up(block, self._n_run)
            parts[:, 0] *= self._of_slots(self._factor[self._n_run], block)
            parts /= self._step_scale_in_units[block][:, None, None]
            self._parts[block] = parts

    def _read(self, t: int, slots: Array) -> tuple[Array, Array]:
        parts = self._caught_up(slots, t)
        return parts[:, 0] * self._of_slots(self._factor[t], slots), parts

    def _write(self, t: int, slots: Array, parts: Array, change: Array) -> None:
        weight = parts[:, 0]
        # Weights are kept divided by the running product of the decays, and so are changes.
        weight += change * self._of_slots(self._moves / self._factor[t + 1], slots)
        lost = self._threshold[t + 1] - self._threshold[t]
        soft_threshold(self.xp, weight, self._of_slots(lost, slots))
        if self.problem.average:
            parts[:, 1] += weight * self._of_slots(self._share[t + 1], slots)
        self._parts[slots] = parts
        self._touched_at[slots] = t + 1

    def _of_slots(self, of_group: Array, slots: Any) -> Array:
        """A number for each group as a column for some slots."""
        return self._float(of_group[self._group[slots]])[:, None]

    def _caught_up(self, slots: Any, t: int) -> Array:
        """A copy of the parts of some slots after t steps of the run."""
        xp = self.xp
        parts = xp.array(self._parts[slots])
        group, start = self._group[slots], self._touched_at[slots]
        # Thresholds are running sums: what was lost since a slot was last met is a difference.
        before = self._threshold[start, group]
        lost = self._float(self._threshold[t, group] - before)[:, None]
        if self.problem.average:
            self._add_way(parts, group, start, before, lost, t)
        soft_threshold(xp, parts[:, 0], lost)
        return parts

    def _add_way(
        self, parts: Array, group: Array, start: Array, before: Array, lost: Array, t: int
    ) -> None:
        """Add to the averages the iterates that weights passed through since they were read.

        A weight that reaches zero on its way to step t stays there.
        """
        size = abs(parts[:, 0])
        shares, shares_lost = self._shares_on_way(group, start, before, t)
        way = size * self._float(shares)[:, None] - self._float(shares_lost)[:, None]
        # A weight that the threshold takes to zero counts up to the step before that. Which
        # step it is, a bisection finds for all such weights at once: sums of thresholds rise.
        feature, column = self.xp.nonzero(size <= lost)
        group, start, before = group[feature], start[feature], before[feature]
        size = size[feature, column].astype(np.float64)
        low, high = start.astype(np.int64), self.xp.full_like(start, t, dtype=np.int64)
        for _ in range(int(self._n_run).bit_length() + 1):
            middle = (low + high + 1) // 2
            lives = (self._threshold[middle, group] - before < size) & (middle > start)
            low = self.xp.where(lives, middle, low)
            high = self.xp.where(lives, high, self.xp.maximum(middle - 1, low))
        shares, shares_lost = self._shares_on_way(group, start, before, low)
        way[feature, column] = self._float(size * shares - shares_lost)
        parts[:, 1] += self.xp.sign(parts[:, 0]) * way

    def _shares_on_way(
        self, group: Array, start: Array, before: Array, t: Any
    ) -> tuple[Array, Array]:
        """Sums over the way of the shares, and of the shares times what is lost by then."""
        shares = self._shares[start + 1, group] - self._shares[t + 1, group]
        lost = self._shares_lost[start + 1, group] - self._shares_lost[t + 1, group]
        return shares, lost - before * shares

    def _sums_from(self, of_step: Array) -> Array:
        """Sums from each step on: shares fall with the factor, and so lose no digits."""
        xp = self.xp
        sums = xp.cumsum(of_step[::-1], axis=0)[::-1]
        return xp.concatenate([sums, xp.zeros_like(sums[:1])])
