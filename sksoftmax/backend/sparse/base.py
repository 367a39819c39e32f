"""The slots of sparse rows' features, and a minibatch loop that touches a batch's alone.

What happens meanwhile to the features that a batch does not hold is for subclasses to know.
This module must not know which namespace it runs on, nor why an epoch is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.distance_over_gradients import DistanceOverGradients
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import stored_counts

EVERY = slice(None)
"""All features."""

BLOCK_FEATURES = 2**13
"""Features that are settled at once, so that they stay in the cache."""


def penalty_groups(
    problem: Problem, features: NDArray[np.intp] | slice = EVERY
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The group of each of some features, and sigma / s of each group: 0 for constant ones."""
    ratio = problem.scales[features] / problem.step_scales[features]
    if not (problem.l2.any() or problem.l1.any()):
        # Without a penalty, features differ only in whether they move at all.
        ratio = np.sign(ratio)
    if (ratio == ratio[:1]).all():  # without a sort, of millions of them maybe
        return np.zeros(len(ratio), np.intp), ratio[:1]
    with np.errstate(divide="ignore"):
        keys = np.round(np.log2(ratio), 12)  # equal but for rounding is equal
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return group, ratio[first]


class LazyTrainer(ArrayTrainer):
    """The base class of lazy trainers: the layout of weights, the batch and the epoch.

    Weights, velocities and averages are one array, ``_parts[slot, part, class]``, so that a
    batch reads one run of memory for each of its features. A slot is the row of a feature:
    frequent features come first, and those that no row of X holds have none. Between epochs the
    parts are what their names say, multiplied by a power of 2 near the scale of the step, which
    costs no digit. During a run of steps they are what a law of ``momentum_laws`` says, in the
    coordinates of the step.

    Parameters
    ----------
    problem, state, xp
        As in ArrayTrainer; `lazy_trainer` returned the class for the problem. There is no
        `reduce`: a batch's gradient exists for its own features only.
    """

    def __init__(self, problem: Problem, state: State, *, xp: Any = np):
        super().__init__(problem, state, xp=xp)

    def _set_state(self, state: State) -> None:
        problem, xp = self.problem, self.xp
        arrays = {"weight": state.parameters}
        for name in self._optimizer.memory_names:
            arrays[name] = state.memory.get(name, np.zeros_like(state.parameters))
        if problem.average:
            arrays["average"] = state.average
        # Zeros of a new model need not be read, nor their memory be taken.
        weighty = [
            a[0, :, :-1].any(axis=0) for a in arrays.values() if state.n_steps or a.any()
        ]
        self._assign_slots(np.logical_or.reduce(weighty) if weighty else None)
        shape = (len(self._features), len(arrays), problem.n_classes)
        self._parts = xp.zeros(shape, dtype=problem.dtype)
        if weighty:
            for i, array in enumerate(arrays.values()):
                # A State has a run of memory for each class, `_parts` one for each feature.
                coef = self._float(array[0, :, :-1])[:, self._features]
                self._parts[:, i] = coef.T * self._unit[:, None]
        self._part_names = list(arrays)
        self._intercepts = xp.stack([self._float(a[..., -1:]) for a in arrays.values()])
        self._n_steps = state.n_steps
        self._norms = {}

    def _assign_slots(self, weighty: NDArray[np.bool_] | None) -> None:
        """Give a slot to each feature that a row holds or that has a weight."""
        problem, xp = self.problem, self.xp
        # Frequent features side by side: the slots that most batches read stay in the cache.
        counts = stored_counts(xp, problem.X)
        needed = counts > 0 if weighty is None else (counts > 0) | xp.asarray(weighty)
        features = xp.flatnonzero(needed)
        self._features = features[xp.argsort(-counts[features], kind="stable")]
        self._n_stored = counts[self._features]
        self._slot = xp.zeros(problem.n_features, dtype=np.int64)
        self._slot[self._features] = xp.arange(len(features))
        # As wide as the indices of X: a batch has no more elements than X.
        self._position = xp.zeros(len(features), dtype=problem.X.indices.dtype)
        # Of millions of features few may have a slot: what the others need takes no time.
        named = self._to_numpy(self._features)
        group, self._ratio = penalty_groups(problem, named)
        self._group = xp.asarray(group)
        step_scales = problem.step_scales[named]
        step_scales = np.where(np.isfinite(step_scales), step_scales, 1.0)
        # A power of 2 costs no digit; near the scale, it keeps parts in the range of float32.
        unit = 2 ** np.round(np.log2(step_scales))
        self._unit, self._inverse_unit = self._float(unit), self._float(1 / unit)
        self._inverse_step_scale = self._float(1 / step_scales)
        self._step_scale_in_units = self._float(step_scales / unit)
        self._scale_in_units = xp.asarray(problem.scales[named] / unit)

    def _current(self) -> tuple[Array, Array, dict[str, Array]]:
        shape = (1, self.problem.n_classes, self.problem.n_features + 1)
        arrays = {}
        for i, name in enumerate(self._part_names):
            array = self.xp.zeros(shape, dtype=self.problem.dtype)
            array[0][:, self._features] = (self._parts[:, i] * self._inverse_unit[:, None]).T
            array[..., -1:] = self._intercepts[i]
            arrays[name] = array
        parameters = arrays.pop("weight")
        return parameters, arrays.pop("average", parameters), arrays

    def _blocks(self) -> Iterator[slice]:
        """Slots, block by block."""
        for start in range(0, len(self._features), BLOCK_FEATURES):
            yield slice(start, start + BLOCK_FEATURES)

    def _penalty(self) -> Array:
        xp, problem = self.xp, self.problem
        squares, sizes = xp.zeros(()), xp.zeros(())
        for block in self._blocks():
            scaled = self._parts[block, 0] * self._scale_in_units[block][:, None]
            squares += xp.einsum("jk,jk->", scaled, scaled)
            if problem.l1.any():
                sizes += abs(scaled).sum()
        return xp.asarray(problem.l2) / 2 * squares + xp.asarray(problem.l1) * sizes

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`, in runs that a law can tabulate."""
        size = self.problem.batch_size
        loss = self.xp.zeros(1)
        steps, done = step_sizes[0], 0
        while done < len(steps):
            n_steps = self._begin_run(steps[done:])
            for t in range(n_steps):
                rows = order[(done + t) * size : (done + t + 1) * size]
                loss = loss + self._lazy_step(t, rows, float(steps[done + t]))
            self._end_run()
            done += n_steps
        return self._to_numpy(loss / len(order)).astype(np.float64)

    def _lazy_step(self, t: int, rows: Array, step: float) -> Array:
        """Step t of a run; returns the batch's summed loss, per model."""
        slots, x = self._slots_and_rows(rows)
        weights, parts = self._read(t, slots)
        logits = (x @ weights).T[None] + self._intercepts[0]
        residual, loss = self._weighted_residual(logits, rows)
        # What the step adds to velocities: minus its size times the mean gradient. The
        # penalty's part is in the law.
        residual *= -step / self.problem.batch_size
        self._write(t, slots, parts, x.T @ residual[0].T)
        self._n_steps += 1
        if self.problem.fit_intercept:
            self._step_intercepts(residual.sum(axis=2, keepdims=True))
        return loss.sum(axis=1, dtype=np.float64)

    def _step_intercepts(self, change: Array) -> None:
        """The dense rule: every batch holds the intercepts."""
        arrays = dict(zip(self._part_names, self._intercepts, strict=True))
        weight, average = arrays.pop("weight"), arrays.pop("average", None)
        assert not isinstance(self._optimizer, DistanceOverGradients)
        self._optimizer.update(weight, arrays, change, -1.0, None, self._n_steps)
        if average is not None:
            self._add_to_average(average, weight)

    def _slots_and_rows(self, rows: Array) -> tuple[Array, Array]:
        """The slots of a batch's features, and its rows with these as columns, scaled."""
        xp = self.xp
        x = self.problem.X[rows]
        of_element = self._slot.take(x.indices)
        # Every element writes its number at the slot of its feature, and the last one stays:
        # that finds each slot of the batch once, without sorting.
        number = xp.arange(len(of_element), dtype=self._position.dtype)
        self._position[of_element] = number
        is_last = self._position.take(of_element) == number
        slots = of_element[is_last]
        # From here on, the position of a slot is its column in the batch.
        self._position[slots] = number[: len(slots)]
        data = self._values(x.data, of_element)
        columns = self._position.take(of_element)
        shape = (x.shape[0], len(slots))
        return slots, type(x)((data, columns, x.indptr), shape=shape)

    def _values(self, data: Array, of_element: Array) -> Array:
        """Stored elements in the coordinates of the step, by the slots of their features."""
        return data.astype(self.problem.dtype) * self._inverse_step_scale.take(of_element)

    def _begin_run(self, step_sizes: NDArray[np.float64]) -> int:
        """Tabulate a law, turn all slots into what it says; return how long it holds."""
        raise NotImplementedError

    def _end_run(self) -> None:
        """Turn all slots back into weights, velocities and averages."""
        raise NotImplementedError

    def _read(self, t: int, slots: Array) -> tuple[Array, Array]:
        """Weights before step t, (n_slots, n_classes), and what `_write` needs."""
        raise NotImplementedError

    def _write(self, t: int, slots: Array, parts: Array, change: Array) -> None:
        """Add a change of the velocities of some slots at step t."""
        raise NotImplementedError

    def _n_done(self) -> int | None:
        """Steps before a run, where iterates are averaged."""
        return self._n_steps if self.problem.average else None
