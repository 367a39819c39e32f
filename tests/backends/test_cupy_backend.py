"""The CuPy backend on a GPU: run with ``pytest -m gpu`` on a machine that has one."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.testing import check_backend

pytestmark = pytest.mark.gpu


def test_every_case_follows_the_reference():
    assert not any(report.refused for report in check_backend(get_backend("cupy")))


def test_the_fallback_follows_the_reference(monkeypatch):
    from sksoftmax_cupy.trainer import CupyTrainer

    backend = get_backend("cupy")
    monkeypatch.setattr(backend, "trainer", CupyTrainer, raising=True)
    assert not any(report.refused for report in check_backend(backend))


@pytest.mark.parametrize("path", ["cluster", "graph", "product"])
def test_every_path_follows_the_reference(monkeypatch, path):
    from sksoftmax_cupy import backend as module
    from sksoftmax_cupy.plan import MOST_CLASSES, cluster_plan, graph_plan, product_plan

    device = module.current_device()
    if path == "cluster" and device.capability < (9, 0):
        pytest.skip(f"{device} has no clusters")

    def plan(work, capability, shared_bytes):
        if path == "product" or work.n_classes > MOST_CLASSES:
            return product_plan(work, 256)
        return cluster_plan(work, 128, 16) if path == "cluster" else graph_plan(work, 256)

    monkeypatch.setattr(module, "choose_plan", plan)
    assert not any(report.refused for report in check_backend(module.CupyBackend()))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16, ">f8"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_a_fit_is_that_of_the_numpy_backend(dtype, container):
    X, y = load_digits(return_X_y=True)
    rows = container(X.astype(np.float64 if container is not np.asarray else dtype))
    if container is not np.asarray:
        rows = rows.astype(np.dtype(dtype).newbyteorder("="))
        if rows.dtype == np.float16:
            pytest.skip("SciPy has no CSR of float16")
    common = {"max_iter": 5, "tol": None, "random_state": 0}
    ours, numpys = (
        SoftmaxClassifier(backend=name, **common).fit(rows, y) for name in ("cupy", "numpy")
    )
    np.testing.assert_allclose(ours.loss_curve_, numpys.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(X), numpys.predict_proba(X), rtol=0, atol=1e-3
    )


def test_a_pickle_made_on_a_gpu_needs_none():
    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(backend="cupy", random_state=0, max_iter=3, tol=None).fit(X, y)
    script = (
        "import pickle, sys\n"
        "clf = pickle.load(sys.stdin.buffer)\n"
        "assert 'cupy' not in sys.modules\n"
        "print(clf.predict([[0.0] * 64]).tolist())\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=pickle.dumps(clf), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == str(clf.predict([[0.0] * 64]).tolist())


def test_out_of_memory_leaves_the_model_and_the_device_usable():
    import cupy

    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(backend="cupy", random_state=0, max_iter=3, tol=None).fit(X, y)
    before = clf.coef_.copy()
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + 2**16)
    try:
        with pytest.raises(MemoryError, match="batch_size"):
            clf.fit(X, y)
    finally:
        pool.set_limit(size=0)
    np.testing.assert_array_equal(clf.coef_, before)
    clf.fit(X, y)


def test_a_search_finds_what_it_finds_with_the_numpy_backend():
    X, y = load_digits(return_X_y=True)
    grid = {"alpha": np.logspace(-4, 1, 12), "learning_rate": ["auto", 0.1]}
    ours, numpys = (
        SoftmaxSearchCV(SoftmaxClassifier(backend=name, random_state=0), grid).fit(X, y)
        for name in ("cupy", "numpy")
    )
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], numpys.cv_results_["mean_test_score"], atol=2e-3
    )
