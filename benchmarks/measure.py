"""Timing, memory and printing for all benchmarks, and the data that they share."""

from __future__ import annotations

import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_info

import sksoftmax

sys.path.append(str(Path(__file__).parents[1] / "examples"))

GREY = "#808080"
FOR_LIGHT_AND_DARK = {
    **dict.fromkeys(
        (
            "text.color",
            "axes.labelcolor",
            "axes.edgecolor",
            "xtick.color",
            "ytick.color",
            "grid.color",
        ),
        GREY,
    ),
    "savefig.transparent": True,
    "legend.framealpha": 0,
}
"""Matplotlib's settings for a picture that can be read on a light page and on a dark one."""


def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return MNIST as the quickstart reads it: train rows and labels, test rows and labels."""
    from quickstart import load_mnist

    return load_mnist()


def machine() -> str:
    """Name the machine and the versions that computed."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    blas = {
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
        + f", {pool['num_threads']} thread(s)"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return (
        f"{model}, {platform.system()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, scikit-learn {sklearn.__version__}, "
        f"sksoftmax {sksoftmax.__version__}, {'; '.join(sorted(blas))}"
    )


def alternate(
    contestants: dict[str, Callable[[], Any]],
    n_runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Run all in turn, after a warm-up; return the median milliseconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in range(n_runs + 1):
        for name, function in contestants.items():
            start = clock()
            function()
            if run > 0:
                seconds[name].append(clock() - start)
    return {name: 1e3 * median(times) for name, times in seconds.items()}


def peak_extra_memory(function: Callable[[], Any]) -> int:
    """Return the most bytes allocated at once while a function runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as an aligned table."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print()
    for row in cells:
        line = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(line), flush=True)
