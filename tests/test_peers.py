"""The comparison with other libraries runs, on small data, and writes what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEERS = ("sksoftmax, numpy", "LogisticRegression", "textbook NumPy loop")


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
@pytest.mark.parametrize("work", ["mnist", "digits", "predict"])
def test_quick_run_writes_a_table_the_numbers_and_a_plot(tmp_path, work):
    chosen = [argument for name in PEERS for argument in ("--peer", name)]
    done = run("--quick", "--only", work, *chosen, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "peers.json").read_text())
    measured = written["works"][work]["measured"]
    for name in PEERS[:2]:
        assert "error" not in measured[name][0]
        assert f"| {name} |" in (tmp_path / "peers.md").read_text()
    assert (tmp_path / "peers.png").exists() == (work == "mnist")


@pytest.mark.slow
def test_what_fails_has_a_row_that_says_so(tmp_path, monkeypatch):
    from benchmarks.peers import contestants, works
    from benchmarks.peers.__main__ import main

    def broken():
        return {"broken": contestants.Contestant("none", lambda *_: None)}

    monkeypatch.setitem(
        works.WORKS, "mnist", works.Work("title", works.images, broken, works.curve, 1)
    )
    main(["--quick", "--only", "mnist", "--out", str(tmp_path)])
    # The process that measures knows no such contestant.
    assert (
        "| broken | none | failed: KeyError: 'broken' |" in (tmp_path / "peers.md").read_text()
    )
