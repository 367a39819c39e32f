"""The rule that finds its own steps, for sparse rows at the cost of their stored elements.

Steps are those of ``ArrayTrainer``'s dense updates, centred ones too, up to rounding;
``distance_law`` knows what happens to the features that a batch does not hold. This module must
not know which backend it runs for, nor why an epoch is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.distance_over_gradients import DistanceOverGradients
from sksoftmax.backend.sparse.base import LazyTrainer
from sksoftmax.backend.sparse.distance_law import RunningLaw
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array


class DistanceTrainer(LazyTrainer):
    r"""Lazy steps of "distance-over-gradients" without an absolute penalty.

    Between epochs, a slot holds z and the average; during one, the u of ``RunningLaw``. A
    column that every row stores is centred as it is read: no zero of it would be filled in,
    and its mean, which may be thousands of deviations, would take the digits of everything
    else along. Of any other column the mean q is at most :math:`\sqrt{p / (1 - p)}` deviations
    where a share p of the rows store it.
    """

    _optimizer: DistanceOverGradients

    def _set_state(self, state: State) -> None:
        super()._set_state(state)
        decay = self.problem.penalty_share * self.problem.l2[0] * self._ratio**2
        problem = self.problem
        self._law = RunningLaw(decay, self._ratio > 0, problem.n_classes, problem.rule.nearness)
        self._set_norms(state)

    def _set_norms(self, state: State) -> None:
        norms = dict(state.norms)
        if not norms:
            self._begin_run(np.zeros(0))
            way = np.sqrt(self._law.squared_average() + self._squared_intercepts())
            self._end_run()
            norms = {"distance": np.array([way]), "squares": np.zeros(1), "weight": np.zeros(1)}
        self._norms = {name: np.array(norms[name]) for name in self._optimizer.norm_names}

    def _assign_slots(self, weighty: NDArray[np.bool_] | None) -> None:
        problem = self.problem
        means = np.zeros(problem.n_features) if problem.means is None else problem.means
        # Of earlier rows: the mean of a column that none of these hold need not be 0.
        moving = (means != 0) & np.isfinite(problem.step_scales)
        super()._assign_slots(moving if weighty is None else moving | weighty)
        centre = means[self._features]
        # A column that every row stores is centred as it is read; any other one by the law.
        is_full = self._n_stored == problem.X.shape[0]
        self._subtracted = self._float(np.where(is_full, centre, 0)) if is_full.any() else None
        self._centre = self._float(np.where(is_full, 0, centre)) * self._inverse_step_scale

    def _values(self, data: Array, of_element: Array) -> Array:
        values = data.astype(self.problem.dtype)
        if self._subtracted is not None:
            values -= self._subtracted.take(of_element)
        values *= self._inverse_step_scale.take(of_element)
        return values

    def _penalty(self) -> Array:
        squares = 0.0
        for block in self._blocks():
            point = self._parts[block, 1] * self._law.nearness
            point += (1 - self._law.nearness) * self._parts[block, 0]
            scaled = point * self._scale_in_units[block][:, None]
            squares += np.vdot(scaled, scaled)
        return self.problem.l2 / 2 * squares

    def _squared_intercepts(self) -> float:
        """The squared norm of the average's intercepts, in the coordinates of the step."""
        average = self._intercepts[1] * self._scales[0, 0, -1]
        return float((average * average).sum(dtype=np.float64))

    def _begin_run(self, step_sizes: NDArray[np.float64]) -> int:
        """Turn averages into distances from the iterate; return how many steps there are."""
        for block in self._blocks():
            parts = self._parts[block]
            parts *= self._step_scale_in_units[block][:, None, None]
            parts[:, 1] -= parts[:, 0]
        self._add_up()
        return len(step_sizes)

    def _end_run(self) -> None:
        self._apply_product()
        for block in self._blocks():
            parts = self._parts[block]
            parts[:, 1] += parts[:, 0]
            parts /= self._step_scale_in_units[block][:, None, None]

    def _apply_product(self) -> None:
        """Let all slots hold z and d."""
        law = self._law
        product, shift = self._float(law.product), self._float(law.product @ law.shift)
        for block in self._blocks():
            self._parts[block] = self._with_product(block, product, shift)

    def _with_product(self, block: slice, product: Array, shift: Array) -> Array:
        """The z and d of a block of slots, from their u and the product of the law."""
        group = self._group[block]
        parts = product[group] @ self._parts[block]
        parts += shift[group] * self._centre[block][:, None, None]
        return parts

    def _add_up(self) -> None:
        """Begin another product, and add up what the law must know of all slots."""
        law = self._law
        law.restart()
        n_groups = len(law.decay)
        for block in self._blocks():
            group, centre, parts = self._group[block], self._centre[block], self._parts[block]
            first, second = parts[:, 0], parts[:, 1]
            for i, j, a, b in (
                (0, 0, first, first),
                (0, 1, first, second),
                (1, 1, second, second),
            ):
                products = np.einsum("jk,jk->j", a, b)
                law.squares[:, i, j] += np.bincount(group, products, n_groups)
            law.centre_squares += np.bincount(group, centre * centre, n_groups)
            law.centre_sums += self._group_sums(group, centre, parts)
        law.squares[:, 1, 0] = law.squares[:, 0, 1]

    def _group_sums(self, group: Array, weights: Array, arrays: Array) -> Array:
        """For each group, the sum of its features' arrays times their weights."""
        indicator = (group == np.arange(len(self._law.decay))[:, None]) * weights
        return np.tensordot(indicator, arrays, 1)

    def _lazy_step(self, t: int, rows: Array, step: float) -> Array:
        law = self._law
        slots, x = self._slots_and_rows(rows)
        point = law.point()
        parts, weights = self._read_point(slots, point)
        logits = self._batch_scores(x, weights).T[None] + self._intercepts_at_point(point)
        residual, loss = self._weighted_residual(logits, rows)
        residual /= self.problem.batch_size
        summed = residual[0].sum(axis=1, dtype=np.float64)
        gradient = self._batch_gradient(x, residual[0].T)
        sums = self._sums(slots, parts, gradient, summed)
        size, newest = self._step_and_weight(point, sums, summed, step)
        if not law.advance(size, newest):
            # The product can no longer be divided by: apply it everywhere, and begin another.
            self._apply_product()
            self._add_up()
            parts, _ = self._read_point(slots, law.point())
            sums = self._sums(slots, parts, gradient, summed)
        write = law.writing()
        law.add(write, *sums, summed)
        self._write_gradient(slots, parts, write, gradient)
        self._move_intercepts(size, newest, summed)
        return loss.sum(axis=1, dtype=np.float64)

    def _batch_scores(self, x: Array, weights: Array) -> Array:
        """The product of a batch and the weights of its features, (n_rows, n_classes)."""
        return x @ weights

    def _batch_gradient(self, x: Array, residual: Array) -> Array:
        """Sums of a batch's rows times residuals, (n_slots, n_classes)."""
        return x.T @ residual

    def _read_point(self, slots: Array, point: NDArray[np.float64]) -> tuple[Array, Array]:
        """The parts of some slots, and their weights where the gradient is taken."""
        group, parts = self._group[slots], self._parts[slots]
        weights = np.einsum("ji,jik->jk", self._float(point)[group], parts)
        of_shift = self._float(np.einsum("gi,gik->gk", point, self._law.shift))
        weights += of_shift[group] * self._centre[slots][:, None]
        return parts, weights

    def _write_gradient(
        self, slots: Array, parts: Array, write: NDArray[np.float64], gradient: Array
    ) -> None:
        """Add a gradient to the parts of some slots."""
        factors = self._float(write)[self._group[slots]]
        self._parts[slots] = parts + factors[:, :, None] * gradient[:, None, :]

    def _intercepts_at_point(self, point: NDArray[np.float64]) -> Array:
        """The intercepts of features that are not centred, without the columns read centred."""
        near, (last, average) = self._law.nearness, self._intercepts
        intercepts = (1 - near) * last + near * average
        # Stored elements are read as they are. What centring takes off every score, q times the
        # weights at the point, the law has as sums over all features.
        of_means = np.einsum("gi,gik->k", point, self._law.centre_sums)
        return intercepts - self._float(of_means)[:, None]

    def _sums(
        self, slots: Array, parts: Array, gradient: Array, summed: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The arguments `along`, `lengths` and `centres` of ``RunningLaw.add``."""
        law = self._law
        along, lengths, centres = self._sums_of_batch(slots, parts, gradient)
        # What came are sums of u and of g. With w = u + q gamma and g - R q in place of g, that
        # of w (g - R q) is that of u g, plus gamma times that of q g, less R times that of q w.
        along = along + (law.shift @ centres[:, :, None])[:, :, 0]
        along -= law.centre_sums @ summed
        lengths = lengths - 2 * centres @ summed + law.centre_squares * (summed @ summed)
        centres = centres - law.centre_squares[:, None] * summed
        return along, np.maximum(lengths, 0), centres

    def _sums_of_batch(self, slots: Array, parts: Array, gradient: Array) -> tuple[Array, ...]:
        """These sums over the features of a batch, for u and uncentred stored elements."""
        group, n_groups = self._group.take(slots), len(self._law.decay)
        along = np.empty((n_groups, 2))
        for i in range(2):
            of_feature = np.einsum("jk,jk->j", parts[:, i], gradient)
            along[:, i] = np.bincount(group, of_feature, n_groups)
        lengths = np.bincount(group, np.einsum("jk,jk->j", gradient, gradient), n_groups)
        centres = self._group_sums(group, self._centre.take(slots), gradient)
        return along, lengths, centres.astype(np.float64)

    def _step_and_weight(
        self, point: Array, sums: tuple[Any, ...], summed: Array, factor: float
    ) -> tuple[float, float]:
        """Count a step; return its size, and the weight of the newest iterate."""
        self._n_steps += 1
        along, lengths, _ = sums
        squares = self._law.squared_gradient(point, along, lengths)
        of_intercepts = summed * float(self._inverse_scales[0, 0, -1])
        squares += float(of_intercepts @ of_intercepts)
        size, newest = self._optimizer.step_and_weight(
            self._norms, np.array([squares]), self._n_steps
        )
        return float(size[0]) * factor, float(newest[0])

    def _move_intercepts(self, size: float, newest: float, summed: Array) -> None:
        """The dense rule, and what it does to the distance."""
        last, average = self._intercepts[:, 0, :, 0]
        # Once 1/s for the gradient and once for the step: see DistanceOverGradients.
        last -= self._float(size * float(self._inverse_scales[0, 0, -1]) ** 2 * summed)
        average += newest * (last - average)
        way = np.sqrt(self._law.squared_average() + self._squared_intercepts())
        self._norms["distance"] = np.maximum(self._norms["distance"], way)
