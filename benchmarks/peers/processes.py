"""One measurement a process: start it with one thread, hand it data, read what it measured.

Run as ``python -m benchmarks.peers.processes WORK CONTESTANT SEED FILE`` it is the process that
measures. This module must not know what the numbers mean.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib

ONE_THREAD = {
    **{
        f"{library}_NUM_THREADS": "1"
        for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "VECLIB")
    },
    "CUDA_VISIBLE_DEVICES": "",
}
"""What keeps each library to one thread, and off a GPU."""

ROOT = Path(__file__).parents[2]
LIMIT = 900
"""Seconds after which a measurement is given up."""


def measure(work: str, contestant: str, seed: int, file: Path) -> dict[str, Any]:
    """Measure in a fresh process; what went wrong there comes back as {"error": ...}."""
    module = "benchmarks.peers.processes"
    command = [sys.executable, "-m", module, work, contestant, str(seed), str(file)]
    environment = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {LIMIT} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": lines[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def interleaved(names: list[str], n_seeds: int) -> Iterator[tuple[int, str]]:
    """Pairs of a seed and a name, all names with one seed before any with the next.

    A machine that is slower for a minute is then slower for all.
    """
    for seed in range(n_seeds):
        for name in names:
            yield seed, name


def main(work: str, contestant: str, seed: str, file: str) -> None:
    """Measure here, and print the result as the last line."""
    from benchmarks.measure import machine
    from benchmarks.peers.works import WORKS

    warnings.simplefilter("ignore")  # of fits that are meant to end early
    data = joblib.load(file)
    chosen = WORKS[work].contestants()[contestant]
    result = WORKS[work].measure(chosen, data, int(seed))
    print(json.dumps({**result, "seed": int(seed), "machine": machine()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
