"""Rows read in blocks: each once an epoch, with what training in that order in memory gives.

Blocks are made small here, so that a few hundred rows have many. What can only be sliced is a
class of ours; tests/ecosystem reads HDF5, zarr and dask arrays.
"""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sliced import WEIGHTS, Sliced, X, Y, assert_same_bits, classifier

from sksoftmax import get_backend, list_backends
from sksoftmax.backend.blocks import BlockTrainer
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.data import order as epoch_order
from sksoftmax.data import stored
from sksoftmax.data.order import block_order
from sksoftmax.data.stored import StoredRows

pytestmark = pytest.mark.usefixtures("small_blocks")


BACKENDS = [info.name for info in list_backends() if info.available]


@given(
    n_rows=st.integers(1, 60),
    block_rows=st.integers(1, 20),
    group=st.integers(1, 8),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 100),
    some=st.booleans(),
)
def test_an_order_takes_every_row_once_in_whole_batches(
    n_rows, block_rows, group, batch_size, seed, some
):
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(rng.random(n_rows) < 0.5) if some else None
    expected = np.arange(n_rows) if rows is None else rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "BLOCK_BYTES", 4 * block_rows)
        patch.setattr(epoch_order, "GROUP_BYTES", 4 * block_rows * group)
        X = StoredRows(np.zeros((n_rows, 1), np.float32))
        parts = list(block_order(X, rows, batch_size, rng))
        in_order = list(block_order(X, rows, batch_size, None))
    assert all(len(part) % batch_size == 0 for part in parts[:-1])
    assert all(len(part) > 0 for part in parts)
    order = np.concatenate([*parts, np.zeros(0, int)])
    np.testing.assert_array_equal(np.sort(order), expected)
    np.testing.assert_array_equal(np.concatenate([*in_order, np.zeros(0, int)]), expected)
    # A part has rows of one group, and less than a batch that the one before has left.
    numbers = [np.unique(part[batch_size - 1 :] // X.block_rows) for part in parts]
    assert all(len(of_part) <= -(-batch_size // X.block_rows) + group for of_part in numbers)


def problem(rows, *, weighted, **parameters):
    one, n = np.ones(1), rows.shape[1]
    weights = np.random.default_rng(1).exponential(size=len(Y)).astype(np.float32)
    plain = Problem(
        X=rows,
        y=Y.astype(np.int32),
        weights=weights if weighted else None,
        n_classes=10,
        dtype=np.dtype(np.float32),
        batch_size=50,
        l2=0.01 * one,
        l1=0 * one,
        penalty_share=1.0,
        average=True,
        fit_intercept=True,
        means=X.mean(axis=0, dtype=float),
        scales=np.ones(n),
        step_scales=np.full(n, 4.0),
        rule=Rule(momentum=0.9 * one),
    )
    return replace(plain, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rule": Rule("adam")},
        {"rule": Rule("distance-over-gradients", nearness=0.8), "curvature": np.full(1, 9.0)},
        {"l1": np.full(1, 0.01)},
        {"batch_size": 400},
    ],
    ids=["momentum", "adam", "distance", "lasso", "batches larger than groups"],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_training_by_blocks_is_training_in_memory_in_that_order(
    backend, shuffled, weighted, parameters
):
    backend = get_backend(backend)
    in_memory = problem(backend.place(X), weighted=weighted, **parameters)
    by_blocks = replace(in_memory, X=StoredRows(Sliced(X)))
    start = State.zeros(1, 10, X.shape[1], in_memory.dtype)
    reference, trainer = (
        backend.trainer(in_memory, start),
        BlockTrainer(backend, by_blocks, start),
    )
    size = in_memory.batch_size
    for epoch in range(2):
        rng = np.random.default_rng(epoch) if shuffled else None
        for part in block_order(by_blocks.X, None, size, rng):
            for piece in np.split(part, [2 * size]):  # as long epochs are cut
                steps = np.full((1, -(-len(piece) // size)), 0.01)
                if len(piece) > 0:
                    loss = trainer.run_epoch(piece, steps)
                    np.testing.assert_array_equal(loss, reference.run_epoch(piece, steps))
    state, expected = trainer.state(), reference.state()
    assert state.n_steps == expected.n_steps
    np.testing.assert_array_equal(state.parameters, expected.parameters)
    np.testing.assert_array_equal(state.average, expected.average)
    assert trainer.norms() == state.norms == expected.norms


@pytest.mark.parametrize("shuffle", [True, False, "blocks"])
def test_every_row_is_read_once_an_epoch(shuffle):
    rows = Sliced(X, chunk=30)
    classifier(shuffle=shuffle, max_iter=1, standardize=False, learning_rate=1e-3).fit(rows, Y)
    assert rows.n_read == len(X)
    classifier(shuffle=shuffle, max_iter=3, standardize=False, learning_rate=1e-3).fit(rows, Y)
    assert rows.n_read == 4 * len(X)


def test_rows_that_fit_into_one_group_are_read_once_for_all_epochs(monkeypatch):
    monkeypatch.setattr(epoch_order, "GROUP_BYTES", 2 * X.nbytes)
    rows = Sliced(X)
    classifier(standardize=False, learning_rate=1e-3).fit(rows, Y)
    assert rows.n_read == len(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.float16])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "some zero"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_array_behind_the_blocks_does_not_matter(backend, weights, dtype, tmp_path):
    rows = X.astype(dtype)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    fitted = classifier(backend=backend).fit(rows, Y, weights)
    assert_same_bits(fitted, classifier(backend=backend).fit(mapped, Y, weights))
    assert_same_bits(fitted, classifier(backend=backend).fit(Sliced(rows), Y, weights))
    # What can only be sliced is read in blocks anyway.
    assert_same_bits(
        fitted, classifier(backend=backend, shuffle=True).fit(Sliced(rows), Y, weights)
    )
    gathered = classifier(backend=backend, shuffle=True).fit(rows, Y, weights)
    np.testing.assert_allclose(fitted.mean_, gathered.mean_, rtol=1e-12)
    np.testing.assert_allclose(fitted.scale_, gathered.scale_, rtol=1e-12)
    assert not np.array_equal(fitted.coef_, gathered.coef_)
    assert fitted.score(rows, Y) > 0.94


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_is_otherwise_trained_on_like_memory(backend, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for shuffle in (True, False):
        one, other = (
            classifier(backend=backend, shuffle=shuffle).fit(rows, Y) for rows in (X, mapped)
        )
        assert_same_bits(one, other)


def test_a_private_map_keeps_what_was_written_to_it(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros_like(X))
    private = np.load(tmp_path / "rows.npy", mmap_mode="c")
    private[:] = X
    assert_same_bits(classifier().fit(X, Y), classifier().fit(private, Y))
    np.testing.assert_array_equal(private, X)


def test_what_was_written_to_a_shared_map_is_read(tmp_path):
    shape = X.shape
    mapped = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", X.dtype, shape)
    mapped[:] = X
    part = slice(100, None)  # it starts amid a page
    assert_same_bits(
        classifier().fit(X[part], Y[part]), classifier().fit(mapped[part], Y[part])
    )
    np.testing.assert_array_equal(mapped, X)


def test_pauses_pickles_and_chunks_change_nothing():
    rows = Sliced(X)
    whole = classifier(max_iter=4).fit(rows, Y)
    half = classifier(max_iter=2, warm_start=True).fit(rows, Y)
    half = pickle.loads(pickle.dumps(half)).fit(rows, Y)
    assert_same_bits(whole, half)
    chunk = classifier().partial_fit(rows, Y, classes=np.unique(Y))
    assert_same_bits(classifier(max_iter=1).fit(rows, Y), chunk)
    chunk.partial_fit(Sliced(X[:500]), Y[:500])
    assert chunk.n_samples_seen_ == len(X) + 500


def test_a_full_batch_is_one_exact_step():
    rows = X.astype(float)
    full = {"batch_size": len(X), "max_iter": 30}
    by_blocks, plain = (
        classifier(**full, shuffle=shuffle).fit(rows, Y) for shuffle in ("blocks", True)
    )
    np.testing.assert_allclose(by_blocks.loss_curve_, plain.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(by_blocks.coef_, plain.coef_, rtol=1e-6, atol=1e-10)
