"""Fixtures that every test may use: MNIST where it lies, and one BLAS thread.

Bits depend on the number of BLAS threads, so tests fix it rather than trust the machine.
"""

import gzip
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  its BLAS is to be found below
from threadpoolctl import ThreadpoolController

# A shell that runs us in the background may have us ignore what some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A distribution of its own: it is to be found where a test installs it, and only there.
# What the kernels' tests share needs CuPy, which they look for first.
# The conftest of docs has the same name, and pytest could collect one of them only.
# What several processes run is for them to import.
collect_ignore = [
    "backend/third_party_backend",
    "backends/emulated.py",
    "backends/streamed.py",
    "conftest.py",
    "distributed/programs",
    "foreign/in_place_of_grid_search.py",
    "fuzz/child.py",
    "fuzz/inputs.py",
    "fuzz/outcomes.py",
]
if os.environ.get("SCIPY_ARRAY_API") != "1":
    collect_ignore.append("data/array_api")  # test_array_api.py runs it in a process of its own

MNIST = {
    "X_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


# Looking for the libraries takes longer than many a test.
BLAS = ThreadpoolController().select(user_api="blas")


@pytest.fixture(autouse=True)
def one_blas_thread():
    with BLAS.limit(limits=1):
        yield


@pytest.fixture(scope="session")
def mnist():
    """X_train uint8 (60000, 784), y_train, X_test, y_test."""
    folder = os.environ.get("SKSOFTMAX_MNIST")
    if not folder:
        pytest.skip("SKSOFTMAX_MNIST names no folder with the four MNIST files")
    arrays = {key: read_idx(Path(folder) / name) for key, name in MNIST.items()}
    X_train, X_test = (arrays[key].reshape(-1, 28 * 28) for key in ("X_train", "X_test"))
    return X_train, arrays["y_train"], X_test, arrays["y_test"]


def read_idx(path):
    """An IDX file of bytes, gzipped (name.gz) or plain."""
    plain = path.is_file()
    content = path.read_bytes() if plain else gzip.decompress(Path(f"{path}.gz").read_bytes())
    n_dimensions = content[3]
    start = 4 + 4 * n_dimensions
    shape = np.frombuffer(content[4:start], ">i4")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
