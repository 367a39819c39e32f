"""The table, a set a row, and what it says of all sets together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.measure import print_table
from benchmarks.step.measures import EPOCHS

HEADER = (
    "set",
    "rows",
    "features",
    "classes",
    *(f"gap at {n}" for n in EPOCHS),
    "at stop",
    "epochs",
    "accuracy",
    "peer",
    "log-loss",
    "peer",
    "frequencies",
    "ms",
    "peer",
    "ratio",
    "regret",
    "short of",
)
DOCUMENTED = (
    "set",
    "rows x features, classes",
    "gap after 10 epochs",
    "epochs",
    "accuracy",
    "log-loss",
    "time",
)
TIMED_ROWS = 1_000
"""Rows from which a set's seconds count: in smaller ones a call costs more than a fit."""

Found = dict[str, Any]


def shortcomings(found: Found) -> dict[str, bool]:
    """Return what a default fit of a set falls short of, by name.

    Parameters
    ----------
    found : dict
        What was measured of the set.

    Returns
    -------
    dict
        Whether accuracy is more than 0.3 points, and log-loss more than 0.01 and 2%, worse
        than the peer's; likewise for 0.5 points and 5%; whether the objective, or the log-loss
        held out, is above that of the frequencies where the peer's is not; whether the fit
        takes longer than the peer's, and than twice that.
    """
    points = 100 * (found["accuracy_peer"] - found["accuracy_ours"])
    ours, peer = found["log_loss_ours"], found["log_loss_peer"]
    frequencies = found["log_loss_frequencies"]
    timed = found["rows"] >= TIMED_ROWS
    ratio = found["seconds_ours"] / found["seconds_peer"]
    return {
        "accuracy": points > 0.3,
        "log-loss": ours > max(peer + 0.01, 1.02 * peer),
        "far accuracy": points > 0.5,
        "far log-loss": ours > max(peer + 0.01, 1.05 * peer),
        "frequencies": found["gap_at_stop"] > found["gap_at_frequencies"],
        "held-out frequencies": ours > frequencies > peer,
        "time": timed and ratio > 1,
        "twice the time": timed and ratio > 2,
    }


def print_sets(all_found: Sequence[Found]) -> None:
    """Print a row a set.

    Parameters
    ----------
    all_found : sequence of dict
        What was measured of each set.
    """
    print_table(HEADER, [_row(found) for found in all_found])


def _row(found: Found) -> tuple[Any, ...]:
    sizes = found["name"], found["rows"], found["features"], found["classes"]
    return (
        *sizes,
        *(f"{gap:.1e}" for gap in found["gaps"]),
        f"{found['gap_at_stop']:.1e}",
        found["epochs"],
        f"{100 * found['accuracy_ours']:.2f}",
        f"{100 * found['accuracy_peer']:.2f}",
        f"{found['log_loss_ours']:.4f}",
        f"{found['log_loss_peer']:.4f}",
        f"{found['log_loss_frequencies']:.4f}",
        f"{1e3 * found['seconds_ours']:.0f}",
        f"{1e3 * found['seconds_peer']:.0f}",
        f"{found['seconds_ours'] / found['seconds_peer']:.2f}",
        f"{found['regret']:.1f}" if "regret" in found else "",
        ", ".join(name for name, short in shortcomings(found).items() if short),
    )


def restructured(all_found: Sequence[Found]) -> str:
    """Return a row a set as reStructuredText, in columns for which a phone has room.

    Parameters
    ----------
    all_found : sequence of dict
        What was measured of each set.

    Returns
    -------
    str
        The table that the page in docs/ includes; ours stands before the peer's.
    """
    rows = [DOCUMENTED]
    for found in all_found:
        rows.append((
            found["name"],
            f"{found['rows']:,} x {found['features']:,}, {found['classes']:,}",
            f"{found['gaps'][-1]:.1e}",
            str(found["epochs"]),
            f"{100 * found['accuracy_ours']:.1f}, {100 * found['accuracy_peer']:.1f}",
            f"{found['log_loss_ours']:.3f}, {found['log_loss_peer']:.3f}",
            f"{found['seconds_ours'] / found['seconds_peer']:.2f}",
        ))  # fmt: skip
    lines = ["   " + ", ".join(f'"{cell}"' for cell in row) for row in rows]
    title = f"Default fits on {len(all_found)} sets, beside LogisticRegression"
    head = f".. csv-table:: {title}\n   :header-rows: 1\n   :class: measured"
    return "\n".join((head, "", *lines)) + "\n"


def print_summary(all_found: Sequence[Found]) -> None:
    """Print medians, worst sets, and how many sets fall short of what.

    Parameters
    ----------
    all_found : sequence of dict
        What was measured of each set.
    """
    print()
    for index, n_epochs in enumerate(EPOCHS):
        _print_worst(f"gap after {n_epochs}", [(f["gaps"][index], f) for f in all_found])
    _print_worst("gap at the stop", [(f["gap_at_stop"], f) for f in all_found])
    _print_worst("epochs", [(f["epochs"], f) for f in all_found])
    timed = [f for f in all_found if f["rows"] >= TIMED_ROWS]
    ratios = [(f["seconds_ours"] / f["seconds_peer"], f) for f in timed]
    _print_worst(f"seconds beside the peer's, from {TIMED_ROWS} rows on", ratios)
    _print_worst("regret", [(f["regret"], f) for f in all_found if "regret" in f])
    short = [shortcomings(found) for found in all_found]
    either = sum(s["accuracy"] or s["log-loss"] for s in short)
    far = sum(s["far accuracy"] or s["far log-loss"] for s in short)
    print(f"accuracy or log-loss short of the peer's: {either} of {len(short)} sets, {far} far")
    for name in short[0] if short else ():
        of = len(timed) if "time" in name else len(short)
        print(f"{name}: {sum(s[name] for s in short)} of {of} sets fall short")
    rising = sum(_rises(found["loss_curve"]) for found in all_found)
    print(f"loss_curve_ ends above its least by more than 1%: {rising} of {len(short)} sets")


def _rises(curve: Sequence[float]) -> bool:
    return curve[-1] > 1.01 * min(curve)


def _print_worst(name: str, values: Sequence[tuple[float, Found]]) -> None:
    """Print the median of one figure, and the set where it is largest."""
    if values:
        worst, found = max(values, key=lambda value: value[0])
        middle = median(value for value, _ in values)
        print(f"{name}: median {middle:.3g}, worst {worst:.3g} ({found['name']})")
