"""What else an estimator does with stored rows: predict, hold out, validate, and refuse.

The last test fits a map several times larger than the memory that its process may take.
"""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import log_loss
from sliced import WEIGHTS, Sliced, X, Y, assert_same_bits, classifier

from sksoftmax import get_backend
from sksoftmax.backend.blocks import BlockBackend
from sksoftmax.data.holdout import hold_out
from sksoftmax.data.targets import encode_targets

pytestmark = pytest.mark.usefixtures("small_blocks")


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
    noise = rng.integers(200, size=(10_000, n_features), dtype=np.uint8)
    for start in range(0, n_rows, len(noise)):
        labels = y[start : start + len(noise), None]
        rows[start : start + len(noise)] = noise[: len(labels)] + (20 * labels).astype(np.uint8)
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
