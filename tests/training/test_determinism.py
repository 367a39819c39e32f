"""The same random_state gives the same bits: again, in threads, in workers, after a pause.

BLAS is held to one thread throughout, as the promise says.
"""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from sksoftmax import SoftmaxClassifier, list_backends

BACKENDS = [info.name for info in list_backends() if info.available]
X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
WEIGHTS = np.random.default_rng(0).exponential(size=len(Y))

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


def estimator(backend, n_epochs=4, **parameters):
    defaults = {"batch_size": 100, "max_iter": n_epochs, "tol": None, "random_state": 0}
    return SoftmaxClassifier(backend=backend, **{**defaults, **parameters})


def fit_in_one_blas_thread(clf):
    with threadpool_limits(limits=1, user_api="blas"):
        return clf.fit(X, Y)


def assert_same_bits(one, other):
    assert one.coef_.dtype == other.coef_.dtype
    for name in ("coef_", "intercept_", "loss_curve_", "mean_", "scale_", "step_size_", "t_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_twice_in_a_row(backend):
    first, second = estimator(backend).fit(X, Y), estimator(backend).fit(X, Y)
    assert_same_bits(first, second)
    assert_same_bits(first, second.fit(X, Y))


def test_in_four_threads_at_once(backend):
    alone = estimator(backend).fit(X, Y)
    with ThreadPoolExecutor(4) as pool:
        estimators = [estimator(backend) for _ in range(8)]
        together = list(pool.map(lambda clf: clf.fit(X, Y), estimators))
    for clf in together:
        assert_same_bits(alone, clf)


@pytest.mark.slow
def test_in_worker_processes(backend):
    alone = estimator(backend).fit(X, Y)
    tasks = [delayed(fit_in_one_blas_thread)(estimator(backend)) for _ in range(3)]
    for clf in Parallel(n_jobs=2, backend="loky")(tasks):
        assert_same_bits(alone, clf)


def test_another_random_state_is_another_fit(backend):
    first = estimator(backend, random_state=0).fit(X, Y)
    second = estimator(backend, random_state=1).fit(X, Y)
    assert (first.coef_ != second.coef_).any(axis=1).all()
    assert first.loss_curve_ != second.loss_curve_


def test_random_state_may_be_a_generator_or_none(backend):
    generator = np.random.RandomState(7)
    first, second = (estimator(backend, random_state=generator).fit(X, Y) for _ in range(2))
    assert first.loss_curve_ != second.loss_curve_
    again = estimator(backend, random_state=np.random.RandomState(7)).fit(X, Y)
    assert_same_bits(first, again)
    unseeded = [estimator(backend, random_state=None).fit(X, Y) for _ in range(2)]
    assert unseeded[0].loss_curve_ != unseeded[1].loss_curve_
    assert min(clf.score(X, Y) for clf in unseeded) > 0.9


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_pause_and_pickle_change_nothing(backend, momentum, average, weights):
    parameters = {"momentum": momentum, "average": average}
    whole = estimator(backend, n_epochs=6, **parameters).fit(X, Y, weights)
    clf = estimator(backend, n_epochs=3, warm_start=True, **parameters).fit(X, Y, weights)
    clf = pickle.loads(pickle.dumps(clf)).fit(X, Y, weights)
    assert_same_bits(whole, clf)
    assert clf.n_iter_ == whole.n_iter_ == len(clf.loss_curve_) == 6


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("batch_size", [100, len(Y)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_one_chunk_is_one_epoch(backend, dtype, batch_size, weights):
    rows = X.astype(dtype)
    fitted = estimator(backend, n_epochs=1, batch_size=batch_size).fit(rows, Y, weights)
    chunk = estimator(backend, batch_size=batch_size)
    chunk.partial_fit(rows, Y, classes=np.unique(Y), sample_weight=weights)
    assert_same_bits(fitted, chunk)
    assert chunk.n_iter_ == 1
    assert chunk.n_samples_seen_ == len(Y)


def test_chunks_pickled_between_change_nothing(backend):
    chunks = np.array_split(np.arange(len(Y)), 5)
    whole, paused = estimator(backend), estimator(backend)
    for chunk in chunks:
        whole.partial_fit(X[chunk], Y[chunk], classes=np.unique(Y))
        paused.partial_fit(X[chunk], Y[chunk], classes=np.unique(Y))
        paused = pickle.loads(pickle.dumps(paused))
    assert_same_bits(whole, paused)
    # Statistics of a stream are those of all its rows, up to rounding.
    np.testing.assert_allclose(whole.mean_, X.mean(axis=0, dtype=float), rtol=1e-12)
    deviation = X.std(axis=0, dtype=float)
    deviation[deviation == 0] = 1
    np.testing.assert_allclose(whole.scale_, deviation, rtol=1e-12)
