"""``python -m benchmarks.peers``: run the works with every library that is installed.

It installs nothing, and says who is missing. ``--quick`` runs each work once, on small data:
it tries the machinery, and its figures mean nothing. It must not know how a table looks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib

from benchmarks.measure import print_table
from benchmarks.peers import report
from benchmarks.peers.contestants import versions
from benchmarks.peers.processes import interleaved, measure
from benchmarks.peers.works import WORKS


def run_work(name: str, quick: bool) -> dict[str, Any]:
    """Measure all contestants of one work."""
    work = WORKS[name]
    contestants = work.contestants()
    present = {key: who for key, who in contestants.items() if not who.is_missing}
    missing = sorted({who.needs for who in contestants.values() if who.is_missing})
    if missing:
        print(f"{name}, not installed: {', '.join(missing)}")
    measured: dict[str, list[dict[str, Any]]] = {key: [] for key in present}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        joblib.dump(work.data(quick), file)
        for seed, key in interleaved(list(present), 1 if quick else work.n_seeds):
            if seed < present[key].n_seeds:
                print(f"{name}, seed {seed}: {key}", flush=True)
                measured[key].append(measure(name, key, seed, file))
    return {
        "title": work.title + (" (quick: small data)" if quick else ""),
        "settings": {key: who.settings for key, who in present.items()},
        "measured": measured,
    }


def write(results: dict[str, Any], folder: Path) -> None:
    """Write peers.inc, the tables, and the plots of those works that ran."""
    (folder / "peers.inc").write_text(report.restructured(results))
    if find_spec("matplotlib") is None:
        print("No plots: Matplotlib is not installed.")
        return
    from benchmarks.peers import plots

    pictures = (
        ("images", plots.accuracy, "peers.png"),
        ("scaling", plots.scaling, "scaling.png"),
    )
    for name, draw, file in pictures:
        if name in results["works"]:
            draw(results["works"][name]["measured"], folder / file)


def main(arguments: list[str] | None = None) -> None:
    """Run the works, and write peers.json, its tables and plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, one repeat")
    parser.add_argument("--only", action="append", choices=[*WORKS], help="a work; repeatable")
    parser.add_argument("--redraw", action="store_true", help="from the peers.json of --out")
    parser.add_argument("--out", type=Path, default=Path("build/peers"), help="a folder")
    options = parser.parse_args(arguments)

    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "peers.json"
    if options.redraw:
        results = json.loads(file.read_text())
    else:
        results = {"quick": options.quick, "versions": versions(), "works": {}}
        for name in options.only or WORKS:
            results["works"][name] = run_work(name, options.quick)
            # After each work, so that an interrupted run leaves what it had.
            file.write_text(json.dumps(results, indent=1) + "\n")
    write(results, options.out)
    print(report.measured_on(results))
    for title, (header, *rows) in report.all_tables(results).items():
        print_table((title, *header[1:]), rows)


if __name__ == "__main__":
    main()
