"""Rows read in blocks: each once an epoch, with what training in that order in memory gives.

Blocks are made small here, so that a few hundred rows have many. What can only be sliced is a
class of ours; tests/ecosystem reads HDF5, zarr and dask arrays.
"""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.blocks import BlockBackend, BlockTrainer
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.data import order as epoch_order
from sksoftmax.data import stored
from sksoftmax.data.holdout import hold_out
from sksoftmax.data.order import block_order
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import encode_targets

BACKENDS = [info.name for info in list_backends() if info.available]
X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
WEIGHTS = np.random.default_rng(0).integers(3, size=len(Y)).astype(float)


class Sliced:
    """An array that can be sliced by rows, and must never be read as a whole."""

    def __init__(self, array, chunk=None):
        self._array = array
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self.chunks = None if chunk is None else (chunk, array.shape[1])
        self.n_read = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        found = self._array[rows].copy()
        self.n_read += len(found)
        return found

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of about 60 rows of digits, and groups of 4."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 60 * X[0].nbytes)
    monkeypatch.setattr(epoch_order, "GROUP_BYTES", 4 * 60 * X[0].nbytes)


def classifier(**parameters):
    defaults = {"shuffle": "blocks", "max_iter": 4, "tol": None, "random_state": 0}
    return SoftmaxClassifier(**{**defaults, **parameters})


def assert_same_bits(one, other):
    for name in ("coef_", "intercept_", "loss_curve_", "mean_", "scale_", "step_size_", "t_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


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


@pytest.mark.parametrize("two_classes", [False, True])
def test_predictions_are_those_from_memory(two_classes):
    y = Y % 2 if two_classes else Y
    clf = classifier().fit(X, y)
    plain = pickle.loads(pickle.dumps(clf)).set_params(shuffle=True)
    for rows in (Sliced(X), Sliced(X.astype(np.uint8), chunk=100)):
        assert clf.score(rows, y) == plain.score(X, y)
        for method in ("decision_function", "predict_proba", "predict_log_proba"):
            found, expected = getattr(clf, method)(rows), getattr(plain, method)(X)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
            assert found.dtype == expected.dtype
    np.testing.assert_array_equal(clf.predict(Sliced(X)), plain.predict(X))


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "some zero"])
@pytest.mark.parametrize("chunk", [None, 7])
def test_early_stopping_reads_the_rows_held_out(chunk, weights):
    clf = classifier(early_stopping=True, max_iter=8).fit(Sliced(X, chunk), Y, weights)
    _, held_out = hold_out(encode_targets(Y, weights, X), 0.1, clf._checkpoint.seed)
    rows = held_out.rows
    loss = log_loss(
        Y[rows],
        clf.predict_proba(X[rows]),
        sample_weight=None if weights is None else weights[rows],
    )
    assert clf.best_loss_ == pytest.approx(loss, rel=1e-4)
    if chunk is None:
        in_memory = classifier(early_stopping=True, max_iter=8).fit(X, Y, weights)
        assert_same_bits(in_memory, clf)
        assert in_memory.validation_loss_curve_ == clf.validation_loss_curve_


@pytest.mark.parametrize("shuffle", [True, "blocks"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_validation_rows_may_be_stored(shuffle, dtype):
    train, rest = slice(0, 1200), slice(1200, None)
    rows = X.astype(dtype)
    given = {"early_stopping": True, "shuffle": shuffle, "max_iter": 5}
    expected = classifier(**given).fit(rows[train], Y[train], X_val=rows[rest], y_val=Y[rest])
    found = classifier(**given).fit(
        rows[train], Y[train], X_val=Sliced(rows[rest]), y_val=Y[rest]
    )
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    np.testing.assert_allclose(
        found.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-6
    )
    assert found.validation_scores_ == pytest.approx(expected.validation_scores_)


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


@pytest.mark.parametrize("parameters", [{}, {"standardize": False, "learning_rate": 1e-3}])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_found_where_it_is_read_and_the_model_kept(value, parameters):
    clf = classifier(**parameters).fit(X, Y)
    before = clf.coef_.copy()
    broken = X.copy()
    broken[-1, 3] = value
    what = "contains NaN" if np.isnan(value) else "contains infinity"
    for call in (
        lambda: clf.fit(Sliced(broken), Y),
        lambda: clf.partial_fit(Sliced(broken), Y),
        lambda: clf.predict(Sliced(broken)),
    ):
        with pytest.raises(ValueError, match=f"^Input X {what}"):
            call()
    clf.set_params(early_stopping=True)
    with pytest.raises(ValueError, match=f"Input X_val {what}"):
        clf.fit(X, Y, X_val=Sliced(broken), y_val=Y)
    np.testing.assert_array_equal(clf.coef_, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Sliced(np.zeros((10, 2, 2))), "Found array with dim 3"),
        (Sliced(X[:100]), "inconsistent numbers of samples"),
        (Sliced(X[:0]), "Found array with 0 sample"),
    ],
    ids=["3-D", "too few", "none"],
)
def test_shapes_are_refused_in_the_words_of_scikit_learn(rows, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(rows, Y)


def test_other_features_and_sparse_rows_are_refused():
    clf = classifier().fit(X, Y)
    with pytest.raises(
        ValueError, match="X has 10 features, but SoftmaxClassifier is expecting"
    ):
        clf.predict(Sliced(X[:, :10]))
    with pytest.raises(ValueError, match="needs dense X"):
        clf.fit(sparse.csr_array(X), Y)
    assert clf.score(sparse.csr_array(X), Y) == clf.score(X, Y)
    with pytest.raises(ValueError, match="'shuffle' parameter"):
        clf.set_params(shuffle="rows").fit(X, Y)


def test_a_backend_that_refuses_is_passed_over():
    pytest.importorskip("numba")
    rows = Sliced(X.astype(np.longdouble))
    if rows.dtype == np.float64:
        pytest.skip("there are no longer floats here")
    assert classifier().fit(rows, Y).backend_ == "numpy"
    with pytest.raises(ValueError, match=f"Numba has no arrays of dtype {rows.dtype}"):
        classifier(backend="numba").fit(rows, Y)
    assert BlockBackend(get_backend("numba")).name == "numba"


LIMITED = """
import resource, sys
import numpy as np
from sksoftmax import SoftmaxClassifier

folder, limit = sys.argv[1], int(sys.argv[2])
X, y = np.load(f"{folder}/X.npy", mmap_mode="r"), np.load(f"{folder}/y.npy")
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(X)
except MemoryError:
    print("too large")
clf = SoftmaxClassifier(max_iter=1, tol=None, random_state=0, shuffle="blocks").fit(X, y)
print(clf.score(X, y))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what RLIMIT_DATA limits")
def test_a_map_several_times_larger_than_the_memory_there_is(tmp_path, monkeypatch):
    # Mapped files are no data; what the process allocates is, threads' stacks included.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    limit = 500 * 2**20
    n_rows, n_features = 4 * limit // 2000, 2000
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n_rows)
    rows = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.uint8, (n_rows, n_features))
    for start in range(0, n_rows, 10_000):
        part = slice(start, start + 10_000)
        noise = rng.integers(200, size=(len(y[part]), n_features), dtype=np.uint8)
        rows[part] = noise + (20 * y[part, None]).astype(np.uint8)
    rows.flush()
    np.save(tmp_path / "y.npy", y)
    assert rows.nbytes == 4 * limit
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(limit)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "X.npy").unlink()
    assert finished.returncode == 0, finished.stderr
    first, accuracy = finished.stdout.split("\n")[:2]
    assert first == "too large"
    assert float(accuracy) > 0.99
