"""HDF5 and zarr arrays: trained on and predicted from without being read as a whole."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier
from sksoftmax.data.checks import is_stored
from sksoftmax.data.stored import StoredRows

h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
WEIGHTS = np.random.default_rng(0).integers(3, size=len(Y)).astype(float)


def hdf5(folder, array, chunks):
    file = h5py.File(folder / "rows.h5", "w")
    return file.create_dataset("rows", data=array, chunks=chunks)


def zarr_array(folder, array, chunks):
    found = zarr.create_array(
        folder / "rows.zarr", shape=array.shape, dtype=array.dtype, chunks=chunks or "auto"
    )
    found[...] = array
    return found


pytestmark = pytest.mark.parametrize("store", [hdf5, zarr_array])


@pytest.mark.parametrize("chunks", [None, (100, 64), (70, 10)])
def test_blocks_are_multiples_of_chunks(store, chunks, tmp_path):
    rows = store(tmp_path, X, chunks)
    assert is_stored(rows)
    stored = StoredRows(rows)
    assert stored.block_rows % (chunks or [1])[0] == 0 or stored.n_blocks == 1
    np.testing.assert_array_equal(stored[3:500], X[3:500])
    some = np.array([0, 5, 99, 100, 700, 1796])
    np.testing.assert_array_equal(stored[some], X[some])


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("numba", np.float32), ("numba", np.uint8), ("numpy", np.float32), ("numpy", ">f8")],
)
def test_a_fit_and_its_predictions_are_those_from_memory(store, dtype, backend, tmp_path):
    array = X.astype(dtype)
    rows = store(tmp_path, array, (100, 30))
    parameters = {"early_stopping": True, "max_iter": 5, "tol": None, "random_state": 0}
    clf = SoftmaxClassifier(**parameters, backend=backend).fit(rows, Y, WEIGHTS)
    expected = SoftmaxClassifier(**parameters, backend=backend, shuffle="blocks")
    expected.fit(array, Y, WEIGHTS)
    np.testing.assert_array_equal(clf.coef_, expected.coef_)
    assert clf.validation_loss_curve_ == expected.validation_loss_curve_
    assert clf.score(rows, Y, WEIGHTS) == expected.score(array, Y, WEIGHTS) > 0.95
    for method in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        np.testing.assert_array_equal(
            getattr(clf, method)(rows), getattr(expected, method)(array)
        )
    (tmp_path / "labels").mkdir()
    labels = store(tmp_path / "labels", Y, None)
    clf.partial_fit(rows, labels)
    expected.partial_fit(array, Y)
    np.testing.assert_array_equal(clf.coef_, expected.coef_)


def test_errors_are_those_of_scikit_learn(store, tmp_path):
    broken = X.copy()
    broken[1700, 5] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        SoftmaxClassifier().fit(store(tmp_path, broken, (100, 64)), Y)
    (tmp_path / "images").mkdir()
    images = store(tmp_path / "images", X.reshape(-1, 8, 8), None)
    with pytest.raises(ValueError, match="Found array with dim 3"):
        SoftmaxClassifier().fit(images, Y)
    (tmp_path / "few").mkdir()
    few = store(tmp_path / "few", X[:5], None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SoftmaxClassifier().fit(few, Y)
    (tmp_path / "one").mkdir()
    with pytest.raises(ValueError, match=r"got 1D array instead:\narray=\[ 5. 13.\]"):
        SoftmaxClassifier().fit(store(tmp_path / "one", X[0, 2:], None), Y[:62])


LIMITED = """
import resource, sys
import numpy as np
from sksoftmax import SoftmaxClassifier

path, room = sys.argv[1], int(sys.argv[2])
if path.endswith(".zarr"):
    import zarr
    X = zarr.open_array(path, mode="r")
else:
    import h5py
    X = h5py.File(path)["rows"]
y = np.load(f"{path}.npy")
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + room, taken + room))
try:
    np.asarray(X)
except MemoryError:
    print("too large")
clf = SoftmaxClassifier(max_iter=1, tol=None, random_state=0, backend="numpy").fit(X, y)
print(clf.score(X, y))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")
def test_a_file_several_times_larger_than_the_memory_there_is(store, tmp_path):
    room = 2**29  # addresses, beside those of libraries
    n_rows, n_features, part = 3 * 2**30 // 2000, 2000, 10_000
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n_rows)
    block = rng.integers(200, size=(part, n_features), dtype=np.uint8)
    shape, chunks = (n_rows, n_features), (500, n_features)
    if store is hdf5:
        path = tmp_path / "rows.h5"
        file = h5py.File(path, "w")
        rows = file.create_dataset("rows", shape, np.uint8, chunks=chunks)
    else:
        path = tmp_path / "rows.zarr"
        rows = zarr.create_array(
            path, shape=shape, dtype=np.uint8, chunks=chunks, compressors=None
        )
    for start in range(0, n_rows, part):
        labels = y[start : start + part, None]
        rows[start : start + part] = block[: len(labels)] + (20 * labels).astype(np.uint8)
    if store is hdf5:
        file.close()
    np.save(f"{path}.npy", y)
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "ZARR_THREADING__MAX_WORKERS": "1",
    }
    command = [sys.executable, "-c", LIMITED, str(path), str(room)]
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    first, accuracy = finished.stdout.split("\n")[:2]
    assert first == "too large"
    assert float(accuracy) > 0.99
