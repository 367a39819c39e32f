"""From measurements to tables: medians, each with its least and greatest.

It reads what peers.json holds, and must not know how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from statistics import median
from typing import Any

from benchmarks.peers.contestants import OURS
from benchmarks.peers.works import WORKS

Measurements = list[dict[str, Any]]
"""What the processes of one contestant have measured, or ``{"error": ...}`` of each."""


def number(value: float) -> str:
    """Return about three digits; infinite is never."""
    if value == inf:
        return "never"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """Return the median, and in brackets the least and greatest of several."""
    middle, least, greatest = (number(v) for v in (median(values), min(values), max(values)))
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def values(runs: Measurements, name: str) -> list[float]:
    """Return one figure of each run that has not failed."""
    found = [run["figures"][name] for run in runs if "figures" in run]
    return [inf if value is None else value for value in found]


def table(work: dict[str, Any]) -> list[list[str]]:
    """Return the cells of one work; a contestant that failed gets a row that says so."""
    figures = [run["figures"] for runs in work["measured"].values() for run in runs[:1]
               if "figures" in run]  # fmt: skip
    names = list(figures[0]) if figures else ["result"]
    rows = [["", *names, "settings"]]
    for contestant, runs in work["measured"].items():
        failed = [f"failed: {run['error']}" for run in runs if "error" in run]
        cells = failed[:1] or [spread(values(runs, name)) for name in names]
        cells += [""] * (len(names) - len(cells))
        rows.append([contestant, *cells, work["settings"][contestant]])
    return rows


def winners(results: dict[str, Any]) -> list[list[str]]:
    """Return a row a work: the best of ours, the best of the others, and by how much."""
    rows = [["", "ours", "best of the others", "ratio"]]
    for name, work in results["works"].items():
        known = WORKS[name]
        if not known.compared:
            continue
        found = {
            contestant: median(values(runs, known.compared))
            for contestant, runs in work["measured"].items()
            if any("figures" in run for run in runs)
        }
        found = {who: value for who, value in found.items() if value < inf}
        of_ours = {who: value for who, value in found.items() if who.startswith(OURS)}
        of_others = {who: value for who, value in found.items() if who not in of_ours}
        if not of_ours or not of_others:
            continue
        best = max if known.more_is_better else min
        we, they = (best(group, key=lambda who: group[who]) for group in (of_ours, of_others))
        ratio = found[they] / found[we]
        rows.append([
            f"{work['title'].split(':')[0]}, {known.compared}",
            f"{number(found[we])} ({we.removeprefix(OURS + ', ')})",
            f"{number(found[they])} ({they})",
            number(1 / ratio if known.more_is_better else ratio),
        ])  # fmt: skip
    return rows


def all_tables(results: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Return every table by its title, that of the winners first."""
    tables = {"Who is first: seconds of the processor, medians": winners(results)}
    for name, work in results["works"].items():
        if WORKS[name].compared:
            tables[work["title"]] = table(work)
    return tables


def measured_on(results: dict[str, Any]) -> str:
    """Name the machine and the libraries."""
    runs = [r for w in results["works"].values() for m in w["measured"].values() for r in m]
    machine = next((run["machine"] for run in runs if "machine" in run), "an unknown machine")
    libraries = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return f"Measured on {machine}; {libraries}.\nMedians (least to greatest)."


def restructured(results: dict[str, Any]) -> str:
    """Return the tables as reStructuredText, which the page in docs/ includes."""
    parts = [measured_on(results)]
    for number, (title, rows) in enumerate(all_tables(results).items()):
        parts += [".. the works"] if number == 1 else []  # the page shows the winners elsewhere
        lines = [", ".join(f'"{cell}"' for cell in row) for row in rows]
        body = "\n".join(f"   {line}" for line in lines)
        head = f".. csv-table:: {title}\n   :class: measured\n   :header-rows: 1"
        parts.append(f"{head}\n\n{body}")
    return "\n\n".join(parts) + "\n"
