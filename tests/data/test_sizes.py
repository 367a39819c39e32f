"""Sizes beyond 32-bit indices, as far as files with holes and small memories reach.

Rows beyond 2**31 lie in files that hold nothing else: only the pages that are read exist.
"""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.blocks import BlockBackend
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.stored import StoredRows
from sksoftmax.training import placed_rows
from sksoftmax.training.coordinates import Coordinates
from sksoftmax.training.curvature import measure_curvature

BACKENDS = [info.name for info in list_backends() if info.available]
OF_SPARSE_ROWS = [name for name in BACKENDS if name != "torch"]
FIRST = 2**31 + 5  # a row that 32 bits cannot number
N, K = 6, 3


def problem(X, y, dtype=np.float32):
    one = np.ones(1)
    return Problem(
        X=X,
        y=y,
        weights=None,
        n_classes=K,
        dtype=np.dtype(dtype),
        batch_size=50,
        l2=0.01 * one,
        l1=0 * one,
        penalty_share=1.0,
        average=True,
        fit_intercept=True,
        means=np.ones(N),
        scales=np.ones(N),
        step_scales=np.ones(N),
        rule=Rule(momentum=0.9 * one),
    )


@pytest.fixture
def few_and_many(tmp_path):
    """210 rows and labels, and the same at the end of arrays of 2**31 rows more."""
    rng = np.random.default_rng(0)
    X = rng.integers(4, size=(210, N), dtype=np.uint8)
    y = rng.integers(K, size=210).astype(np.int32)
    many = np.memmap(tmp_path / "X", np.uint8, "w+", shape=(FIRST + 210, N))
    labels = np.memmap(tmp_path / "y", np.int32, "w+", shape=(FIRST + 210,))
    many[FIRST:], labels[FIRST:] = X, y
    return X, y, np.asarray(many), np.asarray(labels)


@pytest.mark.parametrize("by_blocks", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_beyond_2_31_are_the_rows_that_they_are(backend, by_blocks, few_and_many):
    X, y, many, labels = few_and_many
    backend = get_backend(backend)
    reading = BlockBackend(backend) if by_blocks else backend
    placed = reading.place(StoredRows(many) if by_blocks else many)
    last = np.arange(FIRST, FIRST + len(X))
    moments = feature_moments(reading, placed, None, last)
    X = backend.place(X)
    expected = feature_moments(backend, X, None, None)
    np.testing.assert_allclose(moments.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(moments.squares, expected.squares, rtol=1e-12)
    coordinates = Coordinates(expected.mean, expected.scale)
    float32 = np.dtype(np.float32)
    found, known = (
        measure_curvature(
            b, rows, codes, K, None, of, coordinates,
            fit_intercept=True, batch_size=50, rng=np.random.default_rng(0),
        )
        for b, rows, codes, of in ((reading, placed, labels, last), (backend, X, y, None))
    )  # fmt: skip
    assert found == known
    start = State.zeros(1, K, N, float32)
    trainer = reading.trainer(problem(placed, labels), start)
    reference = backend.trainer(problem(X, y), start)
    order = np.random.default_rng(0).permutation(len(X))
    steps = np.full((1, 5), 0.1)
    np.testing.assert_array_equal(
        trainer.run_epoch(FIRST + order, steps), reference.run_epoch(order, steps)
    )
    np.testing.assert_array_equal(trainer.state().average, reference.state().average)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"momentum": 0, "l1_ratio": 0.5}, {"optimizer": "adam"}, {"batch_size": 300}],
    ids=["momentum", "elastic net", "adam", "full batch"],
)
@pytest.mark.parametrize("backend", OF_SPARSE_ROWS)
def test_indices_of_64_bits_give_the_bits_of_those_of_32(backend, parameters, monkeypatch):
    """They are narrowed wherever they fit: here they are not."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.where(rng.random((300, 40)) < 0.2, 1, 0) * rng.random((300, 40)))
    y, weights = rng.integers(K, size=300), rng.exponential(size=300)
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    monkeypatch.setattr(placed_rows, "canonical", lambda rows: widths.append(rows) or rows)
    widths = []
    given = {"max_iter": 4, "tol": None, "random_state": 0, "early_stopping": True}
    one, other = (
        SoftmaxClassifier(backend=backend, **{**given, **parameters}).fit(rows, y, weights)
        for rows in (X, wide)
    )
    np.testing.assert_array_equal(one.coef_, other.coef_)
    assert [rows.indices.dtype for rows in widths] == [np.int32, np.int64]
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_loss_curve_ == other.validation_loss_curve_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(wide))


PEAK = """
import sys
import numpy as np
from sksoftmax import SoftmaxClassifier

n_classes, backend = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
X = rng.normal(size=(256, 256)).astype(np.float32)
y = rng.integers(n_classes, size=len(X))
SoftmaxClassifier(backend=backend).fit(X[:9, :3], y[:9])  # kernels are compiled

def megabytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

before = megabytes("VmRSS")
clf = SoftmaxClassifier(random_state=0, backend=backend, batch_size=64)
clf.partial_fit(X, y, classes=np.arange(n_classes))
print(megabytes("VmHWM") - before, clf.coef_.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hundred_thousand_classes_take_some_copies_of_their_weights(backend):
    command = [sys.executable, "-c", PEAK, "100000", backend]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peak, coef = map(float, output.split()[-2:])
    assert peak < 13 * coef  # as the guide says


SOAK = """
import sys
import numpy as np
from scipy import sparse
from sklearn.datasets import load_iris
from sksoftmax import SoftmaxClassifier

X, y = load_iris(return_X_y=True)
kinds = [
    (X, {}),
    (X.astype(np.float32), {"early_stopping": True, "batch_size": 20}),
    (sparse.csr_array(X), {"batch_size": 20}),
    (X, {"shuffle": "blocks", "optimizer": "adam"}),
]

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

def fit(n_fits):
    for i in range(n_fits):
        rows, parameters = kinds[i % len(kinds)]
        clf = SoftmaxClassifier(max_iter=3, tol=None, backend=sys.argv[1], **parameters)
        clf.fit(rows, y).predict(rows)

fit(100)
before = resident()
fit(1000)
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize("backend", OF_SPARSE_ROWS)
def test_a_thousand_fits_leave_nothing_behind(backend):
    command = [sys.executable, "-c", SOAK, backend]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert float(output.split()[-1]) < 5


@pytest.mark.slow
@pytest.mark.parametrize("backend", OF_SPARSE_ROWS)
def test_sparse_rows_are_never_copied(backend):
    rng = np.random.default_rng(0)
    n_rows, n_features, n_stored = 100_000, 1000, 100
    columns = np.sort(rng.integers(n_features, size=(n_rows, n_stored), dtype=np.int32), axis=1)
    starts = np.arange(0, columns.size + 1, n_stored, dtype=np.int32)
    values = rng.random(columns.size, np.float32)
    X = sparse.csr_array((values, columns.ravel(), starts), shape=(n_rows, n_features))
    X.sum_duplicates()
    y = rng.integers(K, size=n_rows)
    clf = SoftmaxClassifier(max_iter=1, tol=None, backend=backend)
    clf.fit(X[:1000], y[:1000])  # kernels are compiled
    tracemalloc.start()
    try:
        clf.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * (X.data.nbytes + X.indices.nbytes)
