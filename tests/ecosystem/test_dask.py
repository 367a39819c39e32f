"""A search and predictions on a real cluster of two worker processes, and dask as input."""

import os
import signal

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from threadpoolctl import threadpool_info

from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.model_selection import SoftmaxSearchCV

distributed = pytest.importorskip("dask.distributed")
da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")

X, Y = load_digits(return_X_y=True)
BACKENDS = ["numpy", "numba"]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_workers_are_other_processes_with_one_blas_thread_and_all_backends(client):
    processes = client.run(lambda: [pool["num_threads"] for pool in threadpool_info()])
    assert len(processes) == 2
    assert {n for numbers in processes.values() for n in numbers} == {1}
    for names in client.run(lambda: [b.name for b in list_backends() if b.available]).values():
        assert set(BACKENDS) <= set(names)


@pytest.mark.parametrize("kind", [GridSearchCV, SoftmaxSearchCV, HalvingGridSearchCV])
def test_a_search_gives_the_bits_of_a_serial_one(client, kind):
    grid = {"alpha": [1e-4, 1e-2, 1], "backend": BACKENDS}
    search = kind(SoftmaxClassifier(random_state=0), grid, cv=3)
    if kind is HalvingGridSearchCV:
        search.set_params(
            param_grid={"alpha": [1e-4, 1e-3, 1e-2, 1e-1]},
            resource="max_iter",
            max_resources=27,
            estimator__tol=None,
            random_state=0,
        )
    serial = clone(search).fit(X, Y)
    with joblib.parallel_config(backend="dask"):
        search.fit(X, Y)
    scores = [name for name in serial.cv_results_ if "test_score" in name]
    assert len(scores) >= 6
    for name in scores:
        np.testing.assert_array_equal(search.cv_results_[name], serial.cv_results_[name])
    assert search.best_params_ == serial.best_params_
    np.testing.assert_array_equal(search.best_estimator_.coef_, serial.best_estimator_.coef_)


def test_predictions_of_a_dask_array(client):
    clf = SoftmaxClassifier(random_state=0).fit(X, Y)
    rows = da.from_array(X, chunks=(500, -1))
    chunks = (rows.chunks[0], (len(clf.classes_),))
    probabilities = da.map_blocks(clf.predict_proba, rows, dtype=clf.coef_.dtype, chunks=chunks)
    assert probabilities.shape == (len(X), 10)
    np.testing.assert_allclose(probabilities.compute(), clf.predict_proba(X), rtol=1e-10)
    labels = da.map_blocks(clf.predict, rows, dtype=clf.classes_.dtype, drop_axis=1)
    np.testing.assert_array_equal(labels.compute(), clf.predict(X))


def test_predictions_of_a_dask_dataframe(client):
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
    clf = SoftmaxClassifier(random_state=0).fit(frame, Y)
    partitions = dd.from_pandas(frame, npartitions=3)
    columns = pd.DataFrame(columns=clf.classes_, dtype=clf.coef_.dtype)

    def probabilities(part):
        return pd.DataFrame(clf.predict_proba(part), part.index, clf.classes_)

    found = partitions.map_partitions(probabilities, meta=columns).compute()
    pd.testing.assert_index_equal(found.index, frame.index)
    np.testing.assert_allclose(found, clf.predict_proba(frame), rtol=1e-10)
    labels = partitions.map_partitions(clf.predict, meta=np.empty(0, int))
    np.testing.assert_array_equal(labels.compute(), clf.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        partitions.rename(columns={"pixel 0": "x"}).map_partitions(
            clf.predict, meta=np.empty(0, int)
        ).compute()


def test_a_dask_array_is_trained_on_block_by_block():
    rows, y = X.astype(np.float32), da.from_array(Y, chunks=500)
    parameters = {"shuffle": "blocks", "random_state": 0}
    in_memory = SoftmaxClassifier(**parameters).fit(rows, Y)
    lazy = SoftmaxClassifier(**parameters).fit(da.from_array(rows, chunks=(500, 20)), y)
    np.testing.assert_array_equal(in_memory.coef_, lazy.coef_)
    unknown = da.from_array(rows, chunks=(500, -1))
    unknown = unknown[unknown[:, 20] > 3]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        in_memory.predict(unknown)
    assert len(in_memory.predict(unknown.compute_chunk_sizes())) == (rows[:, 20] > 3).sum()


def test_the_blocks_of_a_dask_array_as_a_stream():
    rows, y = da.from_array(X, chunks=(500, -1)), da.from_array(Y, chunks=500)
    stream, expected = (SoftmaxClassifier(random_state=0) for _ in range(2))
    for i in range(rows.numblocks[0]):
        stream.partial_fit(rows.blocks[i], y.blocks[i], classes=range(10))
        part = slice(500 * i, 500 * (i + 1))
        expected.partial_fit(X[part], Y[part], classes=range(10))
    assert stream.n_samples_seen_ == len(X)
    np.testing.assert_allclose(stream.coef_, expected.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_worker_killed_in_mid_search_changes_no_bit(client, tmp_path):
    has_died = tmp_path / "has died"

    def score(model, X, y):
        if not has_died.exists():
            has_died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return model.score(X, y)

    grid = {"alpha": [1e-4, 1e-2, 1]}
    clf = SoftmaxClassifier(random_state=0, backend="numpy", max_iter=3, tol=None)
    search = SoftmaxSearchCV(clf, grid, cv=3, scoring=score)
    with joblib.parallel_config(backend="dask"):
        search.fit(X, Y)
    assert has_died.exists()
    serial = clone(search).fit(X, Y)
    for i in range(3):
        name = f"split{i}_test_score"
        np.testing.assert_array_equal(search.cv_results_[name], serial.cv_results_[name])
    np.testing.assert_array_equal(search.best_estimator_.coef_, serial.best_estimator_.coef_)
