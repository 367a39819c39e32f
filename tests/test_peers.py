"""The comparison with other libraries runs, on small data, and writes what it says."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments):
    """Run the benchmark as its users do."""
    # Warnings are for its processes to deal with, as they are for those of users.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("work", ["images", "search", "predict"])
def test_quick_run_writes_a_table_the_numbers_and_a_plot(tmp_path, work):
    done = run("--quick", "--only", work, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "peers.json").read_text())["works"][work]["measured"]
    table = (tmp_path / "peers.inc").read_text()
    for name, runs in measured.items():
        assert "error" not in runs[0], (name, runs)
        assert f'"{name}", ' in table
    assert (tmp_path / "peers.png").exists() == (work == "images")
    (tmp_path / "peers.inc").unlink()
    assert run("--redraw", "--out", str(tmp_path)).returncode == 0
    assert (tmp_path / "peers.inc").read_text() == table


@pytest.mark.slow
def test_what_fails_has_a_row_that_says_so(tmp_path, monkeypatch):
    from benchmarks.peers import contestants, works
    from benchmarks.peers.__main__ import main

    def broken():
        return {"broken": contestants.Contestant("none", lambda *_: None)}

    work = works.WORKS["search"]
    monkeypatch.setitem(works.WORKS, "search", dataclasses.replace(work, contestants=broken))
    main(["--quick", "--only", "search", "--out", str(tmp_path)])
    # The process that measures knows no such contestant.
    assert '"broken", "failed: KeyError: \'broken\'"' in (tmp_path / "peers.inc").read_text()


def test_the_winners_are_the_best_of_each_side():
    from benchmarks.peers.report import winners

    def runs(*numbers):
        return [{"figures": {"million rows a s": number}} for number in numbers]

    measured = {
        "SoftmaxClassifier, NumPy": runs(6, 8, 7),
        "SoftmaxClassifier, Numba": runs(5, 5, 5),
        "slow": runs(2, 2, 2),
        "peer": runs(3.5, 3, 4),
    }
    works = {"predict": {"title": "Prediction: of rows", "measured": measured}}
    assert winners({"works": works})[1] == [
        "Prediction, million rows a s", "7.00 (NumPy)", "3.50 (peer)", "2.00",
    ]  # fmt: skip


def test_a_mark_that_one_seed_misses_is_never():
    from benchmarks.peers.report import spread, values

    runs = [{"figures": {"s": 1.5}}, {"figures": {"s": None}}, {"error": "killed"}]
    assert spread(values(runs, "s")) == "never (1.50 to never)"
