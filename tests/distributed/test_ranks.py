"""Several real processes that train one model: ``mpiexec`` starts them anew for each test.

What they run is in the folder ``programs``. A test that would wait for ever is ended after a
while.
"""

import os
import pickle
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

pytest.importorskip("mpi4py", reason='needs mpi4py: pip install -e ".[test,mpi]"')

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("n_ranks", [2, 3])]

MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
PROGRAMS = Path(__file__).with_name("programs")
LONGEST = 240
"""Seconds after which processes count as hanging; they need a few."""


def start(name, n_ranks, folder):
    mpiexec = str(MPIEXEC) if MPIEXEC.exists() else "mpiexec"
    return subprocess.run(
        [mpiexec, "-n", str(n_ranks), sys.executable, "-m", "mpi4py", PROGRAMS, name, folder],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def results(name, n_ranks, folder):
    """What each rank's process returned."""
    done = start(name, n_ranks, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(n_ranks)]


def test_every_rank_ends_with_the_same_bits(n_ranks, tmp_path):
    first, *others = results("every_setting", n_ranks, tmp_path)
    assert all(other == first for other in others)
    assert {name: score for name, (_, score) in first.items() if score < 0.9} == {}


def test_one_process_over_the_same_global_order_comes_to_the_same(n_ranks, tmp_path):
    for fits in results("one_process_in_the_same_order", n_ranks, tmp_path):
        for pairs in fits:
            for distributed, alone in pairs:
                np.testing.assert_allclose(distributed, alone, rtol=1e-9, atol=1e-12)


def test_iterations_are_those_of_one_process(n_ranks, tmp_path):
    first, *others = results("iterations", n_ranks, tmp_path)
    assert all(other[name][0] == first[name][0] for other in others for name in first)
    # By default, steps on other batches come before, but as many.
    _, of_ranks, alone = first.pop("by default")
    (n_epochs, n_steps, loss, _), (_, n_steps_alone, loss_alone, _) = of_ranks, alone
    assert n_steps == n_steps_alone < n_epochs * -(-1797 // 64)
    assert loss == pytest.approx(loss_alone, abs=1e-6)
    for name, (_, of_ranks, alone) in first.items():
        assert of_ranks[:2] == alone[:2], name
        np.testing.assert_allclose(of_ranks[2], alone[2], rtol=1e-9)
        np.testing.assert_allclose(of_ranks[3], alone[3], rtol=1e-6, atol=1e-6)


def test_ranks_of_unlike_arithmetic_iterate_together(n_ranks, tmp_path):
    first, *others = results("unlike_processors", n_ranks, tmp_path)
    assert all(other == first for other in others)


def test_the_gap_is_that_of_all_rows(n_ranks, tmp_path):
    first, *others = results("gaps", n_ranks, tmp_path)
    assert all(other == first for other in others)
    *of_ranks, alone = first
    np.testing.assert_allclose(of_ranks, alone, rtol=1e-9)


def test_shards_may_be_empty_and_lack_classes(n_ranks, tmp_path):
    first, *others = results("uneven_shards", n_ranks, tmp_path)
    assert all(other == first for other in others)
    for name, (*_, score, n_classes) in first.items():
        assert n_classes == 10, name
        assert score > 0.9, name


def test_what_must_be_the_same_raises_everywhere_if_it_is_not(n_ranks, tmp_path):
    first, *others = results("what_must_be_the_same", n_ranks, tmp_path)
    assert all(other == first for other in others)
    for name, (kind, message) in first.items():
        assert kind == "ValueError", name
        assert name in message


OWN = {
    "a bad row": ("ValueError", "Input X contains NaN"),
    "a bad length": ("ValueError", "inconsistent numbers of samples"),
    "a bad parameter": ("InvalidParameterError", "The 'alpha' parameter"),
    "in validation": ("ValueError", "previously unseen labels"),
    "in an epoch": ("OSError", "the disk does not answer"),
    "an interrupt": ("KeyboardInterrupt", ""),
    "in a callback": ("ZeroDivisionError", "division by zero"),
    "in a callback of iterations": ("ZeroDivisionError", "division by zero"),
}

EVERYWHERE = {"ValueError": "ValueError", "InvalidParameterError": "ValueError"}


def test_what_one_rank_raises_raises_everywhere(n_ranks, tmp_path):
    *others, (failed, *_) = outcomes = results("one_rank_raises", n_ranks, tmp_path)
    for name in failed:
        kind, message = OWN[name]
        assert failed[name][0] == kind
        assert message in failed[name][1]
        for errors, *_ in others:
            assert errors[name][0] == EVERYWHERE.get(kind, "RuntimeError")
            assert f"Rank {n_ranks - 1} of {n_ranks} failed" in errors[name][1]
            assert f"{kind}: {failed[name][1]}" in errors[name][1]
    for _, model_is_unchanged, next_fit in outcomes:
        assert model_is_unchanged
        assert next_fit == outcomes[0][2]


def test_a_killed_rank_takes_the_others_with_it(n_ranks, tmp_path):
    done = start("one_rank_is_killed", n_ranks, tmp_path)
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_a_callback_on_one_rank_ends_the_fit_on_all(n_ranks, tmp_path):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    first, *others = results("one_rank_stops", n_ranks, tmp_path)
    assert [n_epochs for n_epochs, _ in first] == [2, 2]
    assert all(other == first for other in others)


def test_training_goes_on_by_warm_start_and_over_streams(n_ranks, tmp_path):
    first, *others = results("going_on", n_ranks, tmp_path)
    assert first["resumed"] == first["in one go"]
    X, _ = load_digits(return_X_y=True)
    mean, scale, n_rows = first.pop("moments")
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(scale, np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1))
    assert n_rows == len(X)
    for other in others:
        del other["moments"]
        assert other == first


def test_validation_rows_may_lie_on_one_rank(n_ranks, tmp_path):
    first, *others = results("validation_rows_of_one_rank", n_ranks, tmp_path)
    assert all(other == first for other in others)
    np.testing.assert_allclose(first[1], first[2], rtol=1e-12)


def test_a_communicator_of_ones_own(n_ranks, tmp_path):
    for found in results("communicators", n_ranks, tmp_path):
        assert found["on its own"]
        assert found["clone"]
        assert found["pickle"] is None
        assert found["bad"][0] == "InvalidParameterError"


def test_shards_of_a_memory_map(n_ranks, tmp_path):
    assert all(results("mapped_rows", n_ranks, tmp_path))
