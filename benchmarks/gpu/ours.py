"""Our contestants: the GPU's backend on each of its paths, and the NumPy backend.

All find their own steps, as the estimator does by default; on each path there is one with
heavy-ball momentum and a given step, too, as other libraries' have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.tasks import Task
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.targets import encode_targets
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.settings import Settings
from sksoftmax.training.training import Training
from sksoftmax_cupy.backend import CupyBackend, planned_trainer, workload
from sksoftmax_cupy.device import current_device
from sksoftmax_cupy.plan import (
    MOST_CLASSES,
    ClusterPlan,
    GraphPlan,
    ProductPlan,
    Workload,
    choose_plan,
    graph_plan,
    product_plan,
    unsupported,
)
from sksoftmax_cupy.stream import HostRows
from sksoftmax_cupy.trainer import CupyTrainer
from sksoftmax_numpy import NumpyBackend

DEFAULTS = Settings(
    alpha=1e-4,
    l1_ratio=0,
    fit_intercept=True,
    batch_size=256,
    learning_rate="auto",
    schedule="constant",
    max_iter=1,
    optimizer="sgd",
    momentum=0.9,
    nesterov=False,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    average=True,
    standardize=True,
    shuffle=True,
)

HEAVY_BALL_STEP = 0.01
"""Of standardised features, with the momentum of the defaults."""

PATHS = ("cluster", "graph", "product", "loop")


class OnPath(CupyBackend):
    """The GPU's backend, made to take one path."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def trainer(self, problem: Problem, state: State) -> ArrayTrainer:
        """Return the path's trainer; ValueError where the path does not exist."""
        if self.path == "loop":
            return CupyTrainer(problem, state)
        lacking = unsupported(problem)
        if lacking is not None:
            raise ValueError(f"no kernels for {lacking}")
        work = workload(problem)
        return planned_trainer(problem, state, work, self._plan(work))

    def _plan(self, work: Workload) -> ClusterPlan | GraphPlan | ProductPlan:
        if self.path == "product":
            return product_plan(work, 256)
        if work.n_classes > MOST_CLASSES:
            raise ValueError(f"no kernels for {work.n_classes} classes")
        if self.path == "graph":
            return graph_plan(work, work.most_threads)
        device = current_device()
        plan = choose_plan(work, device.capability, device.shared_bytes)
        if not isinstance(plan, ClusterPlan):
            raise ValueError("the cluster kernel is not chosen here")
        return plan


def on_path(
    task: Task, path: str, learning_rate: float | str = "auto"
) -> tuple[Callable[[], Any], Callable[[], float]]:
    """Return a function that runs an epoch, and one that gives the accuracy on test rows."""
    return _contestant(task, OnPath(path), task.X, learning_rate)


class Streaming(CupyBackend):
    """The GPU's backend, made to stream X as if it did not fit."""

    def place(self, X: Any) -> HostRows:
        """Return X on the host."""
        return HostRows(X, X.dtype)


def on_stream(task: Task) -> tuple[Callable[[], Any], Callable[[], float]]:
    """Return the same for rows that lie on the host and are streamed in each epoch."""
    return _contestant(task, Streaming(), task.X.get())


def on_numpy(task: Task) -> tuple[Callable[[], Any], Callable[[], float]]:
    """Return the same for the NumPy backend, whose rows lie on the host."""
    return _contestant(task, NumpyBackend(), task.X.get())


def _contestant(
    task: Task, backend: Any, X: Any, learning_rate: float | str = "auto"
) -> tuple[Callable[[], Any], Callable[[], float]]:
    settings = replace(DEFAULTS, batch_size=task.batch_size, learning_rate=learning_rate)
    targets = encode_targets(task.y, None, X)
    training = Training(settings, MeasuredRows(settings, backend, X, targets, seed=0), seed=0)

    def accuracy() -> float:
        assert task.test is not None
        rows, y = task.test
        placed = rows.get() if backend.xp is np else rows
        # What training has for validation rows, without making it hold any.
        measured = training.trainer.evaluate(placed, y.astype(np.int32), None)
        return float(measured[1][0])

    return training.run_epoch, accuracy
