"""Trainers that run an epoch with kernels of our own, and override nothing else.

State, penalty and evaluation are those of the loop over CuPy, whose arrays the kernels change
in place. Which trainer is right for a problem is decided in ``plan``; this module knows how
kernels are called, and not what runs them.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, DistanceOverGradients, Problem, State, squared_norm
from sksoftmax_cupy.device import explained
from sksoftmax_cupy.module import Launch, Module
from sksoftmax_cupy.plan import CLUSTER, FEATURE_TILE, ClusterPlan, GraphPlan
from sksoftmax_cupy.trainer import CupyTrainer

GRAPH_STEPS = 64
"""Steps of a graph: enough that launching it is little beside them."""


class FusedTrainer(CupyTrainer):
    """What the trainers with kernels share: one model's arrays, and those of an epoch.

    Parameters
    ----------
    problem : Problem
        What is trained; ``plan.unsupported`` found nothing in it.
    state : State
        Where it starts.
    module : Module
        The compiled kernels.
    xp : module, default=cupy
        The namespace of the arrays.
    """

    def __init__(self, problem: Problem, state: State, module: Module, xp: Any = cupy):
        super().__init__(problem, state, xp=xp)
        with explained("moving the model to it"):
            self._module = module
            n = problem.n_features
            decay, means = self._decay, self._means
            self._decays = xp.zeros(n + 1, problem.dtype) if decay is None else decay.ravel()
            self._centre = xp.zeros(n, problem.dtype) if means is None else means.ravel()
            self._own_steps = isinstance(self._optimizer, DistanceOverGradients)
            if self._own_steps:
                self._second = self._point
            else:
                # Without momentum the kernels still have a velocity, which nobody keeps.
                velocity = self._memory.get("velocity")
                self._second = xp.zeros_like(self._parameters) if velocity is None else velocity
            self._place_norms()

    def _place_norms(self) -> None:
        """Put the norms side by side, where kernels change them; zeros without any."""
        names = DistanceOverGradients.norm_names
        self._norm_pair = self.xp.zeros((2, len(names)))  # before a step, and the newest
        if self._own_steps:
            newest = self._norm_pair[1]
            newest[...] = self.xp.concatenate([self._norms[name] for name in names])
            self._norms = {name: newest[i : i + 1] for i, name in enumerate(names)}

    def _add_steps(self, loss: Array, order: Array, step_sizes: NDArray[np.float64]) -> Array:
        if self._weights is None:
            weights = self.xp.ones(len(order), self.problem.dtype)
        else:
            weights = self._weights[order]
        losses = self._run(order, self._y[order], weights, self._float(step_sizes[0]))
        self._n_steps += step_sizes.shape[1]
        if self._own_steps:
            # A kernel takes the average of a step into the norms no sooner than at the next.
            way = self.xp.sqrt(squared_norm(self.xp, self._average * self._scales))
            distance = self._norms["distance"]
            distance[...] = self.xp.maximum(distance, way)
            self._set_point()
        return loss + losses.sum(dtype=np.float64)

    def _run(self, rows: Array, labels: Array, weights: Array, steps: Array) -> Array:
        """Run an epoch over rows in order; return the weighted loss of each."""
        raise NotImplementedError

    def _scalar(self, value: float) -> Any:
        """A number of the arithmetic's dtype, to be passed to a kernel."""
        return self.problem.dtype.type(value)

    def _rule(self) -> tuple[Any, ...]:
        """What the kernels are told of each feature: its mean and its factors of a step."""
        return (
            self._centre,
            self._inverse_scales.ravel(),
            self._gradient_scales.ravel(),
            self._decays,
        )

    def _changed(self) -> tuple[Array, Array, Array]:
        """The arrays that the kernels change: in the middle the velocity, or the point."""
        return self._parameters, self._second, self._average

    def _own_rule(self) -> tuple[np.float64, ...]:
        """What kernels are told of a rule that finds its own steps; others do not read it."""
        problem = self.problem
        curvature = 1 if problem.curvature is None else problem.curvature[0]
        numbers = (curvature, problem.rule.nearness, problem.rule.least_weight)
        return tuple(np.float64(number) for number in numbers)


class ClusterTrainer(FusedTrainer):
    """An epoch in one launch of a thread-block cluster: see kernels/cluster.cu.

    Parameters
    ----------
    problem, state, module, xp
        As in FusedTrainer.
    plan : ClusterPlan
        How the work is divided.
    """

    def __init__(
        self, problem: Problem, state: State, plan: ClusterPlan, module: Module, xp: Any = cupy
    ):
        super().__init__(problem, state, module, xp)
        self._plan = plan

    def _run(self, rows: Array, labels: Array, weights: Array, steps: Array) -> Array:
        plan, problem = self._plan, self.problem
        losses = self.xp.empty(len(rows), problem.dtype)
        arguments = (
            problem.X,
            np.int64(problem.n_features),
            np.int32(plan.block_features),
            np.int32(plan.pitch),
            rows,
            labels,
            weights,
            np.int64(len(rows)),
            np.int32(problem.batch_size),
            np.int32(plan.tile_rows),
            np.int32(plan.score_segments),
            np.int32(plan.gradient_segments),
            steps,
            np.int64(self._n_steps),
            self._scalar(problem.rule.momentum[0]),
            np.int32(problem.average),
            *self._rule(),
            *self._own_rule(),
            self._norm_pair[1],
            *self._changed(),
            losses,
        )
        self._module.launch(
            Launch("cluster_epoch", CLUSTER, plan.threads, plan.shared_bytes, arguments)
        )
        return losses


class GraphTrainer(FusedTrainer):
    """Two or three launches a step, strung together by a CUDA graph: see kernels/graph.cu.

    Parameters
    ----------
    problem, state, module, xp
        As in FusedTrainer.
    plan : GraphPlan
        How the work is divided.
    """

    def __init__(
        self, problem: Problem, state: State, plan: GraphPlan, module: Module, xp: Any = cupy
    ):
        super().__init__(problem, state, module, xp)
        self._plan = plan
        self._capacity = 0

    def _run(self, rows: Array, labels: Array, weights: Array, steps: Array) -> Array:
        n_rows = len(rows)
        if n_rows > self._capacity:
            self._record(n_rows)
        copies = (rows, labels, weights, steps)
        for buffer, values in zip(self._buffers, copies, strict=True):
            buffer[: len(values)] = values
        self._epoch[1], self._epoch[2] = n_rows, self._n_steps
        self._average_squares[...] = 0  # the norms hold the average already
        for first in range(0, len(steps), self._graph_steps):
            self._epoch[0] = first
            self._replay()
        return self._losses[:n_rows]

    def _record(self, n_rows: int) -> None:
        """Allocate what the graph reads and writes for epochs up to a length; record it."""
        xp, problem = self.xp, self.problem
        size, dtype = problem.batch_size, problem.dtype
        n_steps = -(-n_rows // size)
        self._graph_steps = min(GRAPH_STEPS, n_steps)
        self._capacity = n_rows
        self._buffers = (
            xp.empty(n_rows, np.int64),
            xp.empty(n_rows, np.int32),
            xp.empty(n_rows, dtype),
            xp.empty(n_steps, dtype),
        )
        self._losses = xp.empty(n_rows, dtype)
        self._epoch = xp.zeros(3, np.int64)
        self._residuals = xp.empty(size * problem.n_classes, dtype)
        self._make_room_for_own_steps()
        launches = []
        for number in range(self._graph_steps):
            batch = (self._epoch, np.int32(number), np.int32(size))
            launches.append(self._residual_launch(batch))
            if self._own_steps:
                launches += [self._gradient_launch(batch), self._own_update_launch(batch)]
            else:
                launches.append(self._update_launch(batch))
        self._replay = self._module.record(launches)

    def _make_room_for_own_steps(self) -> None:
        """Allocate what the kernels of a rule that finds its own steps leave to each other."""
        xp, size = self.xp, self._parameters.size
        self._gradients = xp.empty(size if self._own_steps else 0, self.problem.dtype)
        self._gradient_squares = xp.zeros(-(-(self.problem.n_features + 1) // FEATURE_TILE))
        self._average_squares = xp.zeros(-(-size // self._plan.threads))

    def _residual_launch(self, batch: tuple[Any, ...]) -> Launch:
        plan, problem = self._plan, self.problem
        rows, labels, weights, _ = self._buffers
        arguments = (
            problem.X,
            np.int64(problem.n_features),
            rows,
            labels,
            weights,
            *batch,
            np.int32(plan.residual_rows),
            self._centre,
            self._point,
            self._residuals,
            self._losses,
        )
        grid = -(-problem.batch_size // plan.residual_rows)
        return Launch("graph_residuals", grid, plan.threads, plan.residual_bytes, arguments)

    def _of_columns(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """The first arguments of the kernels that sum gradients."""
        X, n_features = self.problem.X, np.int64(self.problem.n_features)
        centre, *scales = self._rule()
        rows_at_once = np.int32(self._plan.update_rows)
        rows = self._buffers[0]
        return X, n_features, rows, *batch, rows_at_once, centre, self._residuals, *scales

    def _update_launch(self, batch: tuple[Any, ...]) -> Launch:
        plan, problem = self._plan, self.problem
        arguments = (
            *self._of_columns(batch),
            self._buffers[3],
            self._scalar(problem.rule.momentum[0]),
            np.int32(problem.average),
            *self._changed(),
        )
        grid = len(self._gradient_squares)
        return Launch("graph_update", grid, plan.threads, plan.update_bytes, arguments)

    def _gradient_launch(self, batch: tuple[Any, ...]) -> Launch:
        plan, grid = self._plan, len(self._gradient_squares)
        arguments = (
            *self._of_columns(batch),
            self._point,
            self._gradients,
            self._gradient_squares,
            self._average_squares,
            np.int32(len(self._average_squares)),
            self._norm_pair,
        )
        return Launch("graph_gradient", grid, plan.threads, plan.update_bytes, arguments)

    def _own_update_launch(self, batch: tuple[Any, ...]) -> Launch:
        plan, grid = self._plan, len(self._average_squares)
        arguments = (
            np.int64(self.problem.n_features),
            *batch,
            self._buffers[3],
            *self._own_rule(),
            self._gradient_squares,
            np.int32(len(self._gradient_squares)),
            self._norm_pair,
            self._inverse_scales.ravel(),
            self._gradients,
            *self._changed(),
            self._average_squares,
        )
        return Launch("graph_own_update", grid, plan.threads, plan.own_update_bytes, arguments)
