"""Training in several threads: the bits of one, no thread that waits for ever, none left."""

import _thread
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State

pytest.importorskip("numba")
from sksoftmax_numba import trainer
from sksoftmax_numba.compilation import compiled
from sksoftmax_numba.threads import all_arrived, run_in_threads


@pytest.fixture(autouse=True)
def even_for_little_work(monkeypatch):
    monkeypatch.setattr(trainer, "THREADED_OPERATIONS", 0)


def rows(n_features=70, n_classes=7, n_samples=1500):
    rng = np.random.default_rng(0)
    X = rng.exponential(20, (n_samples, n_features))
    y = (X @ rng.standard_normal((n_features, n_classes))).argmax(axis=1)
    y[:n_classes] = range(n_classes)
    return X, y


def fit(n_jobs, X, y, sample_weight=None, **parameters):
    defaults = {"backend": "numba", "max_iter": 3, "tol": None, "random_state": 0}
    clf = SoftmaxClassifier(n_jobs=n_jobs, **{**defaults, **parameters})
    return clf.fit(X, y, sample_weight)


def assert_same_bits(one, other):
    for name in ("coef_", "intercept_", "loss_curve_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"momentum": 0},
        {"nesterov": True},
        {"average": False},
        {"fit_intercept": False},
        {"standardize": False, "alpha": 0},
        {"optimizer": "adam"},
        {"l1_ratio": 0.5},
        {"batch_size": 100},
        {"batch_size": 1100},
        {"batch_size": 1500},
        {"batch_size": 3},
        {"shuffle": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_threads_change_no_bit(dtype, parameters):
    X, y = rows()
    X = X.clip(0, 255).astype(dtype)
    one = fit(1, X, y, **parameters)
    for n_jobs in (2, 3, 7):
        assert_same_bits(one, fit(n_jobs, X, y, **parameters))


def automatic(X, y, **changes):
    """A problem for the rule that finds its own steps."""
    X = np.ascontiguousarray(X)
    mean, scale = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    problem = Problem(
        X=X,
        y=y.astype(np.int32),
        weights=None,
        n_classes=int(y.max()) + 1,
        dtype=np.dtype(np.float64 if X.dtype == np.float64 else np.float32),
        batch_size=256,
        l2=np.array([1e-3]),
        l1=np.zeros(1),
        penalty_share=0.9,
        average=True,
        fit_intercept=True,
        means=mean,
        scales=scale,
        step_scales=np.where(scale > 0, scale, np.inf),
        intercept_scale=0.7,
        curvature=np.ones(1),
        rule=Rule("distance-over-gradients"),
    )
    return replace(problem, **changes)


def new_trainer(problem, backend, n_threads):
    problem = replace(problem, n_threads=n_threads)
    zeros = State.zeros(1, problem.n_classes, problem.n_features, problem.dtype)
    return get_backend(backend).trainer(problem, zeros)


def outcome(problem, n_threads, backend="numba"):
    """Everything that three epochs of the automatic rule leave."""
    trainer = new_trainer(problem, backend, n_threads)
    rng, n_rows = np.random.default_rng(2), len(problem.y)
    losses = []
    for _ in range(3):
        factors = rng.uniform(0.5, 1, (1, -(-n_rows // problem.batch_size)))
        losses += [trainer.run_epoch(rng.permutation(n_rows), factors), trainer.penalty()]
    state = trainer.state()
    return [np.stack(losses), state.parameters, state.average, *state.norms.values()]


def assert_all_same(one, other):
    assert len(one) == len(other) == 6
    for mine, theirs in zip(one, other, strict=True):
        assert np.isfinite(mine).all()
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("batch_size", [3, 100, 256, 1100, 1500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_threads_change_no_bit_of_steps_found(dtype, batch_size):
    X, y = rows()
    X[:, 3] = 5
    weights = np.random.default_rng(1).exponential(size=len(y))
    problem = automatic(X.clip(0, 255).astype(dtype), y, batch_size=batch_size)
    weighted = replace(problem, weights=weights.astype(problem.dtype))
    centred_at_zero = replace(problem, means=None, fit_intercept=False, l2=np.zeros(1))
    for changed in (problem, weighted, centred_at_zero):
        one = outcome(changed, 1)
        for n_threads in (2, 3, 7):
            assert_all_same(one, outcome(changed, n_threads))


@pytest.mark.parametrize("n_classes", [2, 3, 12])
@pytest.mark.parametrize("n_features", [1, 3, 17, 64, 1030, 2100])
def test_no_shape_lets_threads_change_a_bit_of_steps_found(n_features, n_classes):
    X, y = rows(n_features, n_classes, n_samples=700)
    problem = automatic(X.astype(np.float32), y)
    one = outcome(problem, 1)
    for n_threads in (2, 3):
        assert_all_same(one, outcome(problem, n_threads))


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("n_classes", [2, 7])
def test_a_pass_over_all_rows_is_that_of_numpy_in_any_number_of_threads(
    n_classes, layout, monkeypatch
):
    numbers = []
    monkeypatch.setattr(
        trainer, "run_in_threads", lambda f, n: (numbers.append(n), run_in_threads(f, n))
    )
    X, y = rows(n_classes=n_classes)
    problem, rng = (
        automatic(np.asarray(X, order=layout), y, batch_size=100),
        np.random.default_rng(1),
    )
    weights = rng.exponential(size=len(y))
    parameters = rng.standard_normal((1, n_classes, X.shape[1] + 1)) / 100
    for w in (None, weights):
        of_training = replace(problem, weights=w)
        # The rows of a pass need be neither all, nor those of the problem.
        for part in (slice(None), slice(1, 1034), slice(2, 5)):
            where = parameters, problem.X[part], problem.y[part], None if w is None else w[part]
            expected, *found = (
                new_trainer(of_training, backend, n_threads).loss_gradient(*where)
                for backend, n_threads in [("numpy", 1), *(("numba", n) for n in (1, 2, 3, 7))]
            )
            for actual, theirs in zip(found[0], expected, strict=True):
                np.testing.assert_allclose(actual, theirs, rtol=1e-11, atol=1e-11)
            for others in found[1:]:
                for mine, theirs in zip(found[0], others, strict=True):
                    np.testing.assert_array_equal(mine, theirs)
    assert numbers == 6 * [1, 2, 2, 2]  # compiled each time; a batch has two parts


def test_threads_change_no_bit_of_iterations():
    X, y = rows(n_features=12, n_classes=3)
    X = np.exp(X / 20)  # of which some columns take more epochs than come before iterations
    one = fit(1, X, y, max_iter=40, tol=1e-9)
    assert one.n_iter_ * (-(-len(y) // 64)) > one.t_  # not all of them epochs of steps
    for n_jobs in (2, 3):
        assert_same_bits(one, fit(n_jobs, X, y, max_iter=40, tol=1e-9))


def test_threads_that_find_steps_follow_numpy():
    problem = automatic(*rows())
    for actual, expected in zip(outcome(problem, 3), outcome(problem, 1, "numpy"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_nan_is_not_lost_where_steps_are_found(n_threads):
    X, y = rows()
    X[700, 5] = np.nan
    problem = automatic(X, y, means=None, scales=np.ones(70), step_scales=np.ones(70))
    losses, parameters, average, *norms = outcome(problem, n_threads)
    for array in (losses[2:], parameters[..., 5], average[..., 5], np.stack(norms)):
        assert np.isnan(array).all()


@pytest.mark.parametrize("n_classes", [2, 3, 5, 12])
@pytest.mark.parametrize("n_features", [1, 3, 17, 64, 130, 1030, 2100])
def test_no_shape_lets_threads_change_a_bit(n_features, n_classes):
    X, y = rows(n_features, n_classes, n_samples=700)
    X = X.astype(np.float32)
    one = fit(1, X, y, batch_size=32)
    for n_jobs in (2, 3):
        assert_same_bits(one, fit(n_jobs, X, y, batch_size=32))


def test_weights_and_rows_left_out():
    X, y = rows()
    weights = np.random.default_rng(1).exponential(size=len(y))
    weights[::3] = 0
    assert_same_bits(fit(1, X, y, weights), fit(3, X, y, weights))


def test_threads_follow_numpy():
    X, y = rows()
    threaded, reference = fit(3, X, y), fit(None, X, y, backend="numpy")
    np.testing.assert_allclose(threaded.coef_, reference.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(threaded.loss_curve_, reference.loss_curve_, rtol=1e-11)


def test_as_many_threads_as_asked_are_started_and_none_is_left(monkeypatch):
    started = []

    class Noted(threading.Thread):
        def start(self):
            started.append(self)
            super().start()

    monkeypatch.setattr("sksoftmax_numba.threads.Thread", Noted)
    X, y = rows()
    for n_jobs, expected in ((None, 0), (1, 0), (3, 2), (64, 3)):  # 4 parts in a batch of 256
        started.clear()
        fit(n_jobs, X, y, max_iter=1, batch_size=256)
        assert len(started) == expected
        assert not any(thread.is_alive() for thread in started)


def test_what_n_jobs_means_is_what_it_means_in_joblib():
    noted = []

    class Noting(type(get_backend("numpy"))):
        def trainer(self, problem, state):
            noted.append(problem.n_threads)
            return super().trainer(problem, state)

    X, y = rows()
    fit(None, X, y, backend=Noting())
    with parallel_config(backend="threading", n_jobs=3):
        fit(None, X, y, backend=Noting())
        fit(2, X, y, backend=Noting())
    assert noted == [1, 3, 2]
    with pytest.raises(ValueError, match="n_jobs == 0"):
        fit(0, X, y)


def test_threads_within_threads():
    X, y = rows()
    alone = fit(1, X, y)
    for clf in Parallel(n_jobs=3, backend="threading")(delayed(fit)(2, X, y) for _ in range(6)):
        assert_same_bits(alone, clf)


FORKED = """
import multiprocessing
import numpy as np
from sksoftmax import SoftmaxClassifier
from sksoftmax_numba import trainer
trainer.THREADED_OPERATIONS = 0
X = np.random.default_rng(0).standard_normal((1000, 20))
y = (X[:, 0] > 0).astype(int)
def coef(n_jobs):
    clf = SoftmaxClassifier(backend="numba", n_jobs=n_jobs, random_state=0)
    return clf.fit(X, y).coef_
before = coef(3)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print([np.array_equal(before, after) for after in pool.map(coef, [1, 3, 2])])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks safely on Linux only")
def test_a_fork_after_threads_trains_on():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=100
    )
    assert done.stdout.strip() == "[True, True, True]", done.stderr


@compiled
def wait_often(arrived, n_threads, n_turns):
    for turn in range(1, n_turns + 1):
        if not all_arrived(arrived, n_threads, turn):
            return turn
    return 0


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_error_in_one_thread_ends_the_others(culprit):
    ended = []

    def work(thread, arrived):
        if thread == culprit:
            wait_often(arrived, 3, 5)
            raise ZeroDivisionError(thread)
        ended.append(wait_often(arrived, 3, 10))

    with pytest.raises(ZeroDivisionError, match=str(culprit)):
        run_in_threads(work, 3)
    # The turn for which the third one did not come, or the one before if noticed so soon.
    assert len(ended) == 2
    assert set(ended) <= {5, 6}


def test_an_interrupt_ends_all_threads():
    def work(thread, arrived):
        if thread == 1:
            _thread.interrupt_main()
        wait_often(arrived, 2, 1)
        if thread == 1:
            wait_often(arrived, 2, 3)

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        run_in_threads(work, 2)
    for thread in set(threading.enumerate()) - before:  # it was interrupted while starting it
        thread.join(timeout=60)
        assert not thread.is_alive()
