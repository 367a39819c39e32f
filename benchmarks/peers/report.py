"""From measurements to tables and plots: medians, each with its least and greatest.

It reads what peers.json holds, and must not know how anything was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

Measurements = list[dict[str, Any]]
Column = tuple[str, Callable[[Measurements], str]]


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median (least to greatest)."""
    middle, least, greatest = (form(v) for v in (median(values), min(values), max(values)))
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def seconds(value: float) -> str:
    """Seconds to two or three digits, never if infinite."""
    return "never" if value == inf else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def of_key(key: str, form: Callable[[float], str]) -> Callable[[Measurements], str]:
    """Return the spread of one number of each measurement, None being never."""
    return lambda runs: spread([inf if r[key] is None else r[key] for r in runs], form)


def milliseconds_an_epoch(clock: str) -> Callable[[Measurements], str]:
    """Return the spread of what each further epoch of a fit takes, by one of two clocks."""

    def column(runs: Measurements) -> str:
        ends = [(run["points"][0], run["points"][-1]) for run in runs]
        times = [
            1e3 * (last[clock] - first[clock]) / (last["epochs"] - first["epochs"])
            for first, last in ends
            if last["epochs"] > first["epochs"]
        ]
        return spread(times, "{:.0f}".format) if times else "-"

    return column


def best_accuracy(run: dict[str, Any]) -> float:
    """Return the highest test accuracy of a curve."""
    return max(float(point["accuracy"]) for point in run["points"])


def columns(name: str, measured: dict[str, Measurements]) -> list[Column]:
    """What to show of a work, beside who and with which settings."""
    per_epoch: list[Column] = [
        ("ms an epoch", milliseconds_an_epoch("seconds")),
        ("CPU ms an epoch", milliseconds_an_epoch("cpu")),
    ]
    best: Column = (
        "best accuracy",
        lambda runs: spread([best_accuracy(r) for r in runs], "{:.1%}".format),
    )
    if name == "mnist":
        example = next(iter(measured.values()))[0]
        marks = [key for key in example if "s to" in key]
        return [*((key, of_key(key, seconds)) for key in marks), *per_epoch, best]
    if name == "sparse":
        top = max(best_accuracy(run) for runs in measured.values() for run in runs)

        def to_95(run: dict[str, Any]) -> float:
            points = [p["seconds"] for p in run["points"] if p["accuracy"] >= 0.95 * top]
            return points[0] if points else inf

        reach: Column = (
            "s to 95% of the best",
            lambda runs: spread([to_95(run) for run in runs], seconds),
        )
        return [*per_epoch, reach, best]
    if name == "classes":
        return [*per_epoch, best]
    if name == "digits":
        return [
            ("s", of_key("seconds", seconds)),
            ("CPU s", of_key("cpu", seconds)),
            ("best score", of_key("best score", "{:.2%}".format)),
            ("standard error", of_key("standard error", "{:.2%}".format)),
        ]
    if name == "predict":
        return [
            (
                "million rows a second",
                of_key("rows a second", lambda rows: f"{rows / 1e6:.2f}"),
            ),
            ("us for one row", of_key("seconds a row", lambda s: f"{1e6 * s:.0f}")),
        ]
    return scaling_columns(measured)


def scaling_columns(measured: dict[str, Measurements]) -> list[Column]:
    """Nanoseconds from the smallest to the largest size along each axis."""
    axes = dict.fromkeys(p["axis"] for p in next(iter(measured.values()))[0]["points"])

    def along(axis: str) -> Callable[[Measurements], str]:
        def line(runs: Measurements) -> str:
            return ", ".join(f"{size:,}: {ns:.2f}" for size, ns in medians_along(runs, axis))

        return line

    return [(axis, along(axis)) for axis in axes]


def medians_along(runs: Measurements, axis: str) -> list[tuple[int, float]]:
    """Sizes along an axis, with the median nanoseconds of each."""
    at: dict[int, list[float]] = {}
    for run in runs:
        for point in run["points"]:
            if point["axis"] == axis:
                at.setdefault(point["size"], []).append(point["nanoseconds"])
    return [(size, median(values)) for size, values in at.items()]


def markdown(results: dict[str, Any]) -> str:
    """Return the tables in Markdown, under the machine and the versions."""
    parts = [measured_on(results)]
    for name, work in results["works"].items():
        header, *rows = table(name, work)
        lines = [header, ["---"] * len(header), *rows]
        parts.append(f"## {work['title']}")
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        parts += [f"Not installed: {', '.join(work['missing'])}."] if work["missing"] else []
    return "\n\n".join(parts) + "\n"


def restructured(results: dict[str, Any]) -> str:
    """Return the same as reStructuredText, which the page in docs/ includes."""
    parts = [measured_on(results)]
    for name, work in results["works"].items():
        lines = [", ".join(f'"{cell}"' for cell in row) for row in table(name, work)]
        body = "\n".join(f"   {line}" for line in lines)
        head = f".. csv-table:: {work['title']}\n   :class: measured\n   :header-rows: 1"
        parts.append(f"{head}\n\n{body}")
    return "\n\n".join(parts) + "\n"


def measured_on(results: dict[str, Any]) -> str:
    """Name the machine and the libraries."""
    runs = [r for w in results["works"].values() for m in w["measured"].values() for r in m]
    machine = next((run["machine"] for run in runs if "machine" in run), "an unknown machine")
    libraries = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return f"Measured on {machine}; {libraries}.\nMedians (least to greatest)."


def table(name: str, work: dict[str, Any]) -> list[list[str]]:
    """Return the cells of one work; a contestant that failed gets a row that says so."""
    good = {
        key: [run for run in runs if "error" not in run]
        for key, runs in work["measured"].items()
    }
    good = {key: runs for key, runs in good.items() if runs}
    shown = columns(name, good) if good else [("result", lambda runs: "")]
    rows = [["", "settings", *(title for title, _ in shown)]]
    for key, runs in work["measured"].items():
        if key in good:
            cells = [column(good[key]) for _, column in shown]
        else:
            cells = [f"failed: {runs[0]['error']}", *[""] * (len(shown) - 1)]
        rows.append([key, work["settings"][key], *cells])
    return rows


def plot(results: dict[str, Any], folder: Path) -> None:
    """Write peers.png and scaling.png, of those works that ran; nothing without Matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("No plots: Matplotlib is not installed.")
        return
    matplotlib.use("agg")
    from benchmarks.peers import plots

    for name, draw in {"mnist": plots.accuracy, "scaling": plots.scaling}.items():
        if name in results["works"]:
            file = folder / {"mnist": "peers.png", "scaling": "scaling.png"}[name]
            draw(results["works"][name]["measured"], file)
