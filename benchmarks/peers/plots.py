"""The two plots: test accuracy against seconds, and how the time of an epoch scales.

Importing this module needs Matplotlib. It must not know how anything was measured.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.peers.report import Measurements, medians_along


def accuracy(measured: dict[str, Measurements], file: Path) -> None:
    """Draw a line a contestant, through the medians of its fits of 1, 2, 3, ... epochs."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    markers = cycle("osv^D<>PX*hp")
    colours = plt.get_cmap("tab20").colors
    for (name, runs), colour in zip(measured.items(), cycle(colours), strict=False):
        at: dict[int, list[Any]] = {}
        for run in runs:
            for point in run.get("points", []):
                at.setdefault(point["epochs"], []).append(point)
        # A measurement that failed must not leave medians of fewer seeds here and there.
        whole = [points for points in at.values() if len(points) == len(runs)]
        x = [median(p["seconds"] for p in points) for points in whole]
        y = [100 * median(p["accuracy"] for p in points) for points in whole]
        bold = 2.5 if name.startswith("sksoftmax") else 1
        axes.plot(
            x, y, color=colour, marker=next(markers), markersize=4, linewidth=bold, label=name
        )
    axes.set(xscale="log", xlabel="seconds of the whole fit", ylabel="test accuracy, %")
    axes.set_ylim(bottom=max(85, axes.get_ylim()[0]))
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=100)
    plt.close(figure)


def scaling(measured: dict[str, Measurements], file: Path) -> None:
    """Draw the time per row, feature and class against each size: flat is linear."""
    runs_of_one = next(iter(measured.values()))
    axes = [*dict.fromkeys(p["axis"] for run in runs_of_one for p in run.get("points", []))]
    figure, panels = plt.subplots(
        1, len(axes), figsize=(3 * len(axes), 3.2), sharey=True, layout="constrained"
    )
    for panel, axis in zip(panels, axes, strict=True):
        for name, runs in measured.items():
            good = [run for run in runs if "points" in run]
            panel.plot(*zip(*medians_along(good, axis), strict=True), marker="o", label=name)
        panel.set(xscale="log", yscale="log", xlabel=axis)
        if axis == "n_threads":  # a few whole numbers, not powers of ten
            threads = sorted({x for line in panel.lines for x in line.get_xdata()})
            panel.set_xticks(threads, [str(n) for n in threads])
            panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("ns per row, feature and class")
    panels[0].legend(fontsize="small")
    figure.savefig(file, dpi=100)
    plt.close(figure)
