"""The two plots: test accuracy against seconds, and how the time of an epoch scales.

Importing this module needs Matplotlib. It must not know how anything was measured.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt

from benchmarks.measure import FOR_LIGHT_AND_DARK
from benchmarks.peers.contestants import OURS
from benchmarks.peers.report import Measurements

SHOWN = 88, 93
"""Accuracies, in percent, between which contestants can be told from each other."""


def accuracy(measured: dict[str, Measurements], file: Path) -> None:
    """Draw a line a contestant, through the medians of its fits of 1, 2, 3, ... epochs.

    Those that never get near the others are left to the table.
    """
    with plt.rc_context(FOR_LIGHT_AND_DARK):
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for (name, runs), marker in zip(measured.items(), cycle("os^Dv<"), strict=False):
            x = medians(runs, "epochs", "seconds")
            y = medians(runs, "epochs", "accuracy")
            if not x or 100 * max(y.values()) < SHOWN[0]:
                continue
            axes.plot(
                list(x.values()), [100 * value for value in y.values()],
                marker=marker, markersize=4, linewidth=2.5 if name.startswith(OURS) else 1,
                label=name,
            )  # fmt: skip
        axes.set(
            xscale="log", xlabel="seconds of the whole fit", ylabel="test accuracy, %",
            ylim=SHOWN,
        )  # fmt: skip
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(fontsize="small", loc="lower left")
        figure.savefig(file, dpi=120)
        plt.close(figure)


def scaling(measured: dict[str, Measurements], file: Path) -> None:
    """Draw the time per row, feature and class against each size: flat is linear."""
    points = [p for runs in measured.values() for run in runs for p in run.get("points", [])]
    names = list(dict.fromkeys(point["axis"] for point in points))
    with plt.rc_context(FOR_LIGHT_AND_DARK):
        figure, panels = plt.subplots(
            2, 2, figsize=(7, 5), sharey=True, layout="constrained", squeeze=False
        )
        for panel, axis in zip(panels.flat, names, strict=False):
            for name, runs in measured.items():
                line = medians(runs, "size", "nanoseconds", axis)
                panel.plot(list(line), list(line.values()), marker="o", label=name)
            panel.set(xscale="log", yscale="log", xlabel=axis)
            if axis == "n_threads":  # a few whole numbers, not powers of ten
                threads = sorted({p["size"] for p in points if p["axis"] == axis})
                panel.set_xticks(threads, [str(n) for n in threads])
                panel.set_xticks([], minor=True)
            panel.grid(alpha=0.3, which="both")
        for panel in panels.flat[len(names) :]:
            panel.set_axis_off()
        for panel in panels[:, 0]:
            panel.set_ylabel("ns per row, feature, class")
        # Where threads were not measured, the fourth panel is free for the names.
        lines = panels.flat[0].get_legend_handles_labels()
        panels.flat[3].legend(*lines, loc="best" if len(names) > 3 else "center")
        figure.savefig(file, dpi=120)
        plt.close(figure)


def medians(
    runs: Measurements, by: str, value: str, axis: str | None = None
) -> dict[Any, float]:
    """Return the median of a value of the points at each place, along one axis or the only one.

    A measurement that failed must not leave medians of fewer seeds here and there.
    """
    at: dict[Any, list[float]] = {}
    for run in runs:
        for point in run.get("points", []):
            if point.get("axis") == axis:
                at.setdefault(point[by], []).append(point[value])
    return {place: median(found) for place, found in at.items() if len(found) == len(runs)}
