"""Print the table and write ``gpu.json``: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cupy

from benchmarks.gpu import micro, others, ours
from benchmarks.gpu.tasks import Task, large_tasks, mnist_tasks
from benchmarks.measure import machine, print_table
from sksoftmax_cupy.device import current_device

N_RUNS = 7
TARGET, MOST_EPOCHS = 0.925, 30
SLOW_SECONDS = 20  # a contestant whose epoch takes longer is timed once


def contestants(task: Task) -> dict[str, Callable[[], others.Contestant]]:
    """Return what makes each contestant ready to run, by name."""
    found: dict[str, Callable[[], others.Contestant]] = {
        f"sksoftmax, {path}": lambda path=path: ours.on_path(task, path) for path in ours.PATHS
    }
    for path in ours.PATHS:
        found[f"sksoftmax, {path}, heavy ball"] = lambda path=path: ours.on_path(
            task, path, ours.HEAVY_BALL_STEP
        )
    found["sksoftmax, NumPy"] = lambda: ours.on_numpy(task)
    if task.is_dense:
        arguments = (task.X, task.y, task.n_classes, task.batch_size, task.test)
        found["sksoftmax, streamed"] = lambda: ours.on_stream(task)
        found["torch, eager"] = lambda: others.TorchLoop(*arguments).eager()
        found["torch, epoch in a CUDA graph"] = lambda: others.TorchLoop(*arguments).graph()
        found["JAX, lax.scan"] = lambda: others.jax_scan(*arguments)
    return found


def milliseconds(epoch: Callable[[], Any]) -> float:
    """Return the median time of an epoch, the device's work included, after a warm-up."""
    times: list[float] = []
    while len(times) < N_RUNS + 1:
        start = time.perf_counter()
        epoch()
        cupy.cuda.runtime.deviceSynchronize()
        times.append(time.perf_counter() - start)
        if times[-1] > SLOW_SECONDS:
            return 1e3 * times[-1]
    return 1e3 * median(times[1:])


def seconds_to_target(make: Callable[[], others.Contestant]) -> float | None:
    """Return the time of the epochs to the target accuracy, None if many do not reach it.

    Compiling and the first launch are left out: a fit of one epoch came before.
    """
    seconds = 0.0
    epoch, accuracy = make()
    for _ in range(MOST_EPOCHS):
        start = time.perf_counter()
        epoch()
        cupy.cuda.runtime.deviceSynchronize()
        seconds += time.perf_counter() - start
        if accuracy() >= TARGET:
            return seconds
    return None


def measure(task: Task, bytes_per_ms: float) -> list[dict[str, Any]]:
    """Measure all contestants of a task; one that cannot run says why."""
    rows = []
    for name, make in contestants(task).items():
        row: dict[str, Any] = {"task": task.name, "contestant": name}
        try:
            row["ms"] = milliseconds(make()[0])
            if not name.endswith("NumPy"):
                row["share of the floor"] = task.n_bytes / bytes_per_ms / row["ms"]
            if task.test is not None:
                row["s to 92.5%"] = seconds_to_target(make)
        except Exception as error:  # whatever stops one must not stop the others
            row["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        cupy.get_default_memory_pool().free_all_blocks()
        print(row, flush=True)
        rows.append(row)
    return rows


def measure_lbfgs(task: Task) -> dict[str, Any]:
    """Measure scikit-learn's solver, which has no epochs: a whole fit."""
    row: dict[str, Any] = {
        "task": task.name,
        "contestant": "LogisticRegression(lbfgs), whole fit",
    }
    try:
        assert task.test is not None
        fit, accuracy = others.lbfgs(
            task.X, cupy.asarray(task.y), (task.test[0], cupy.asarray(task.test[1]))
        )
        fit()
        start = time.perf_counter()
        fit()
        cupy.cuda.runtime.deviceSynchronize()
        row["ms"], row["accuracy"] = 1e3 * (time.perf_counter() - start), accuracy()
    except Exception as error:
        row["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return row


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--only", choices=["mnist", "large"], help="leave the others out")
    arguments = parser.parse_args()
    device = current_device()
    costs = micro.measure(device.capability)
    bytes_per_ms = 1e6 * costs["memory (GB/s)"]
    print(f"{device}, CuPy {cupy.__version__}; {machine()}")
    print_table(("what", "cost"), [(name, f"{cost:.3g}") for name, cost in costs.items()])
    rows: list[dict[str, Any]] = []
    if arguments.only != "large":
        tasks = mnist_tasks()
        for task in tasks:
            rows += measure(task, bytes_per_ms)
        rows.append(measure_lbfgs(tasks[0]))
        del task, tasks
    if arguments.only != "mnist":
        for task in large_tasks():
            rows += measure(task, bytes_per_ms)
    header = ("task", "contestant", "ms", "share of the floor", "s to 92.5%", "failed")
    print_table(header, [[shown(row.get(key)) for key in header] for row in rows])
    versions = {"device": str(device), "cupy": cupy.__version__, "machine": machine()}
    arguments.output.write_text(
        json.dumps({**versions, "costs": costs, "rows": rows}, indent=1)
    )


def shown(value: Any) -> str:
    """Return a cell of the table."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
