"""X that is larger than the device: streamed in pieces, with the bits of X that fits.

Without a GPU, the pieces go through the same trainer over NumPy and over the kernels built for
a CPU, and a stand-in for the streams refuses what would race on a device.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend.state import State
from sksoftmax.testing import check_backend

pytest.importorskip("cupy")

import cupy
from emulated import COMPILER, EmulatedBackend
from streamed import CpuTrainer, StandInCopies, StreamedBackend
from test_kernels import FLOAT32, FLOAT64, UINT8, make_problem

from sksoftmax_cupy import backend as cupy_backend
from sksoftmax_cupy.plan import ClusterPlan, GraphPlan, ProductPlan
from sksoftmax_cupy.stream import HostRows, StreamingTrainer


class ResidentBackend(StreamedBackend):
    def place(self, X):
        return np.ascontiguousarray(X, X.dtype.newbyteorder("="))

    def trainer(self, problem, state):
        return self.resident_trainer(problem, state)


def assert_same(state, other):
    np.testing.assert_array_equal(state.parameters, other.parameters)
    np.testing.assert_array_equal(state.average, other.average)
    assert state.memory.keys() == other.memory.keys()
    for name, moment in state.memory.items():
        np.testing.assert_array_equal(moment, other.memory[name])
    assert state.norms == other.norms
    assert state.n_steps == other.n_steps


@pytest.mark.parametrize("late", [True, False])
def test_streaming_follows_the_reference(late):
    reports = check_backend(StreamedBackend(late=late))
    refused = {report.refused for report in reports if report.refused}
    assert refused == {"sparse rows are not streamed"}


KINDS = {
    "float32": (FLOAT32, FLOAT32),
    "float64": (FLOAT64, FLOAT64),
    "uint8": (UINT8, FLOAT32),
    "uint8 in float64": (UINT8, FLOAT64),
}


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batches", [1, 2, 3, 100])
def test_pieces_of_any_length_give_the_bits_of_resident_rows(kind, batches, late):
    problem = make_problem(203, 12, 5, 16, *KINDS[kind])
    row_bytes = 12 * problem.X.dtype.itemsize
    backend = StreamedBackend(piece_bytes=batches * 16 * row_bytes + 1, late=late)
    streamed = replace(problem, X=backend.place(problem.X))
    start = State.zeros(1, 5, 12, problem.dtype)
    ours, resident = backend.trainer(streamed, start), CpuTrainer(problem, start)
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(203)[: 16 * rng.integers(8, 13)]
        steps = rng.uniform(0.01, 0.05, (1, len(order) // 16))
        loss = ours.run_epoch(order, steps)
        np.testing.assert_array_equal(loss, resident.run_epoch(order, steps))
        assert_same(ours.state(), resident.state())
        for X in (streamed.X, problem.X):
            measured = ours.evaluate(X, problem.y, problem.weights)
            expected = resident.evaluate(problem.X, problem.y, problem.weights)
            np.testing.assert_array_equal(measured, expected)


def test_a_copy_runs_while_the_piece_before_is_used():
    problem = make_problem(96, 4, 3, 16, FLOAT32, FLOAT32)
    backend = StreamedBackend(piece_bytes=2 * 16 * 16)
    trainer = backend.trainer(
        replace(problem, X=backend.place(problem.X)), State.zeros(1, 3, 4, FLOAT32)
    )
    trainer.run_epoch(np.arange(96), np.full((1, 6), 0.01))
    (copies,) = backend.copies
    halves = [0, 1, 0]
    assert copies.log == [(what, half) for half in halves for what in ("start", "use")]
    first, second = trainer._pinned
    assert first.shape == second.shape == (32, 4)
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize("forgotten", ["wait_on_host", "wait_on_device", "note_use"])
def test_the_stand_in_notices_what_is_forgotten(monkeypatch, forgotten):
    monkeypatch.setattr(StandInCopies, forgotten, lambda self, half: None)
    problem = make_problem(96, 4, 3, 16, FLOAT32, FLOAT32)
    backend = StreamedBackend(piece_bytes=1)
    trainer = backend.trainer(
        replace(problem, X=backend.place(problem.X)), State.zeros(1, 3, 4, FLOAT32)
    )
    with pytest.raises((AssertionError, KeyError)):
        trainer.run_epoch(np.arange(96), np.full((1, 6), 0.01))


@pytest.mark.skipif(COMPILER is None, reason="there is no g++")
@pytest.mark.parametrize("kind", [ClusterPlan, GraphPlan, ProductPlan])
def test_the_kernels_see_pieces_as_they_see_resident_rows(kind, tmp_path):
    kernels = EmulatedBackend(tmp_path, kind)
    problem = make_problem(203, 20, 5, 16, UINT8, FLOAT32)
    backend = StreamedBackend(kernels.trainer, piece_bytes=3 * 16 * 20)
    start = State.zeros(1, 5, 20, FLOAT32)
    ours = backend.trainer(replace(problem, X=backend.place(problem.X)), start)
    resident = kernels.trainer(problem, start)
    order = np.random.default_rng(0).permutation(203)
    steps = np.random.default_rng(0).uniform(0.01, 0.05, (1, 13))
    for _ in range(2):
        # A kernel's losses are added up piece by piece, in another order.
        loss = ours.run_epoch(order, steps)
        np.testing.assert_allclose(loss, resident.run_epoch(order, steps), rtol=1e-12)
        assert_same(ours.state(), resident.state())


CONTAINERS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("container", [*CONTAINERS, "memory map"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_a_fit_on_a_stream_is_a_fit_on_resident_rows(container, dtype, tmp_path):
    X, y = load_digits(return_X_y=True)
    X = X.astype(dtype)
    if container == "memory map":
        np.save(tmp_path / "X.npy", X)
        rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        rows = CONTAINERS[container](X)
    common = {"max_iter": 3, "tol": None, "random_state": 0, "early_stopping": True}
    weights = np.random.default_rng(0).integers(3, size=len(y))
    streamed, resident = (
        SoftmaxClassifier(backend=kind(piece_bytes=2**17), **common).fit(rows, y, weights)
        for kind in (StreamedBackend, ResidentBackend)
    )
    assert streamed.loss_curve_ == resident.loss_curve_
    assert streamed.validation_loss_curve_ == resident.validation_loss_curve_
    np.testing.assert_array_equal(streamed.coef_, resident.coef_)
    np.testing.assert_array_equal(streamed.scale_, resident.scale_)


def test_an_error_in_mid_epoch_leaves_no_copy_under_way():
    problem = make_problem(96, 4, 3, 16, FLOAT32, FLOAT32)
    finished = []

    class Failing(CpuTrainer):
        def _add_steps(self, *arguments):
            raise KeyboardInterrupt

    class Copies(StandInCopies):
        def finish(self):
            finished.append(True)

    streamed = replace(problem, X=HostRows(problem.X, FLOAT32, np))
    trainer = StreamingTrainer(
        streamed, State.zeros(1, 3, 4, FLOAT32), Failing, Copies(True), xp=np, piece_bytes=1
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.run_epoch(np.arange(96), np.full((1, 6), 0.01))
    assert finished == [True]


@pytest.fixture
def little_memory(monkeypatch):
    """As if the device had not enough memory for X, and pieces of a few batches."""
    monkeypatch.setattr(cupy_backend, "free_bytes", lambda: 2**19)


@pytest.mark.gpu
def test_streaming_on_a_gpu_follows_the_reference(monkeypatch):
    monkeypatch.setattr(cupy_backend, "free_bytes", lambda: 2**10)
    reports = check_backend(get_backend("cupy"))
    assert not any(report.refused for report in reports)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_a_stream_on_a_gpu_is_a_fit_of_resident_rows(dtype, little_memory, tmp_path):
    X, y = load_digits(return_X_y=True)
    X = np.repeat(X, 20, axis=0).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    backend = get_backend("cupy")
    assert isinstance(backend.place(rows), HostRows)
    common = {"max_iter": 3, "tol": None, "random_state": 0}
    ours, numpys = (
        SoftmaxClassifier(backend=b, **common).fit(rows, np.repeat(y, 20))
        for b in (backend, "numpy")
    )
    np.testing.assert_allclose(ours.loss_curve_, numpys.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(rows), numpys.predict_proba(rows), rtol=0, atol=1e-3
    )


@pytest.mark.gpu
def test_pieces_are_gathered_into_pinned_memory(little_memory):
    from sksoftmax_cupy.stream import CudaCopies

    memory = CudaCopies().pinned((4, 3), FLOAT32)
    attributes = cupy.cuda.runtime.pointerGetAttributes(memory.ctypes.data)
    host_memory = 1
    assert attributes.type == host_memory


@pytest.mark.gpu
def test_x_that_does_not_fit_is_never_on_the_gpu_as_a_whole():
    X = np.ones((2**18, 256), np.float32)
    X[::2] = 0
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + X.nbytes // 2)
    try:
        clf = SoftmaxClassifier(backend="cupy", max_iter=1, tol=None, batch_size=2**10)
        clf.fit(X, np.arange(len(X)) % 2)
    finally:
        pool.set_limit(size=0)
    assert clf.score(X, np.arange(len(X)) % 2) == 1
