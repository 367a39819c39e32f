"""``python -m benchmarks.peers``: run the works with every library that is installed.

It installs nothing, and says who is missing. ``--quick`` runs each work once, on small data:
it tries the machinery, and its figures mean nothing. It must not know how a table looks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import joblib

from benchmarks.peers import report
from benchmarks.peers.contestants import versions
from benchmarks.peers.processes import interleaved, measure
from benchmarks.peers.works import WORKS


def run_work(name: str, quick: bool, only: list[str]) -> dict[str, Any]:
    """Measure all contestants of one work; return their measurements and who is missing."""
    work = WORKS[name]
    contestants = work.contestants()
    missing = {key: who.missing() for key, who in contestants.items() if who.missing()}
    present = [key for key in contestants if key not in missing and (not only or key in only)]
    measured: dict[str, list[dict[str, Any]]] = {key: [] for key in present}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        joblib.dump(work.data(quick), file)
        for seed, key in interleaved(present, 1 if quick else work.n_seeds):
            if seed >= contestants[key].repeats:
                continue
            print(f"{name}, seed {seed}: {key}", flush=True)
            measured[key].append(measure(name, key, seed, file))
    return {
        "title": work.title + (" (quick: small data)" if quick else ""),
        "settings": {key: contestants[key].settings for key in present},
        "missing": missing,
        "measured": measured,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the works and write peers.json, its tables as peers.md and peers.inc, and plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, one repeat")
    parser.add_argument("--only", action="append", choices=[*WORKS], help="a work; repeatable")
    parser.add_argument("--peer", action="append", default=[], help="a contestant; repeatable")
    parser.add_argument("--out", type=Path, default=Path("build/peers"), help="a folder")
    options = parser.parse_args(arguments)

    results: dict[str, Any] = {"quick": options.quick, "versions": versions(), "works": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only or WORKS:
        results["works"][name] = run_work(name, options.quick, options.peer)
        # After each work, so that an interrupted run leaves what it had.
        (options.out / "peers.json").write_text(json.dumps(results, indent=1) + "\n")
        (options.out / "peers.md").write_text(report.markdown(results))
        (options.out / "peers.inc").write_text(report.restructured(results))
    report.plot(results, options.out)
    print(report.markdown(results))


if __name__ == "__main__":
    main()
