"""Trouble on one rank, or rows that differ between ranks, and what every rank then raises."""

import os
import signal

import numpy as np
from scipy import sparse
from shard import MINE, RANK, SIZE, X, Y, error_of, estimator, fitted
from sklearn.base import clone

from sksoftmax_numpy import NumpyBackend
from sksoftmax_numpy.trainer import NumpyTrainer


def what_must_be_the_same():
    odd = RANK == SIZE - 1
    x, y = X[MINE], Y[MINE]
    names = np.array([f"pixel {i}" for i in range(X.shape[1])], dtype=object)
    unlike = {
        "The dtype of X": (x.astype(np.float32) if odd else x, y, {}),
        "The number of features of X": (x[:, 1:] if odd else x, y, {}),
        "Whether X is sparse": (sparse.csr_array(x) if odd else x, y, {}),
        "Unknown label type": (x, y.astype(str) if odd else y, {}),
        "batch_size": (x, y, {"batch_size": 100 if odd else 200}),
        "The list of feature names": (frame(x, names[::-1] if odd else names), y, {}),
        "The backend": (x, y, {"backend": Renamed() if odd else "numpy"}),
        "0 sample": (x[:0], y[:0], {}),
        "only one class": (x, np.zeros_like(y), {}),
    }
    found = {
        name: error_of(estimator(**parameters).fit, x, y)
        for name, (x, y, parameters) in unlike.items()
    }
    clf = estimator(warm_start=True)
    other = clone(clf).fit(x, y)
    found["The model that training goes on from"] = error_of((clf if odd else other).fit, x, y)
    classes = np.arange(11 if odd else 10)
    found["classes"] = error_of(estimator().partial_fit, x, y, classes)
    found["read in blocks"] = error_of(estimator(shuffle="blocks").fit, x, y)
    return found


class Renamed(NumpyBackend):
    name = "another"


def frame(x, names):
    import pandas as pd

    return pd.DataFrame(x, columns=names)


class Trouble(NumpyBackend):
    """On the last rank, something happens at the tenth gradient."""

    def __init__(self, what):
        self.what = what

    def reducing_trainer(self, problem, state, reduce):
        trainer = NumpyTrainer(problem, state, reduce=reduce)
        trainer.n_gradients = 0
        summed_gradient = trainer._summed_gradient

        def happens(rows):
            trainer.n_gradients += 1
            if trainer.n_gradients == 10 and RANK == SIZE - 1:
                self.what()
            return summed_gradient(rows)

        trainer._summed_gradient = happens
        return trainer


def disk_fails():
    raise OSError("the disk does not answer")


class InTheSecondEpoch:
    """A callback that does something on the last rank."""

    def __init__(self, what):
        self.what = what
        self.n_epochs = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.n_epochs += context.task_name == "epoch"
        if context.task_name == "epoch" and self.n_epochs == 2 and RANK == SIZE - 1:
            fitted_estimator.predict(X)
            return self.what()
        return False


def one_rank_raises():
    last = RANK == SIZE - 1
    x, y = X[MINE], Y[MINE]
    spoilt = x.copy()
    spoilt[0, 0] = np.nan if last else 0
    clf = estimator(warm_start=True, batch_size=100).fit(x, y)
    before = fitted(clf)
    interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    found = {
        "a bad row": error_of(clf.fit, spoilt, y),
        "a bad length": error_of(clf.fit, x, y[1:] if last else y),
        "a bad parameter": error_of(clone(clf).set_params(alpha=-last).fit, x, y),
        "in an epoch": error_of(clone(clf).set_params(backend=Trouble(disk_fails)).fit, x, y),
        "an interrupt": error_of(clone(clf).set_params(backend=Trouble(interrupt)).fit, x, y),
        "in validation": error_of(
            clone(clf).set_params(early_stopping=True).fit, x, y, X_val=x, y_val=y - 20 * last
        ),
    }
    if hasattr(clf, "set_callbacks"):
        callback = InTheSecondEpoch(lambda: 1 / 0)
        found["in a callback"] = error_of(clone(clf).set_callbacks(callback).fit, x, y)
        callback = InTheSecondEpoch(lambda: 1 / 0)
        iterating = clone(clf).set_params(optimizer="lbfgs", batch_size=1)  # without steps
        iterating.set_callbacks(callback)
        found["in a callback of iterations"] = error_of(iterating.fit, x, y)
    unchanged = fitted(clf) == before
    clf.fit(x, y)
    return found, unchanged, fitted(clf)


def one_rank_is_killed():
    killed = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    estimator(backend=Trouble(killed), batch_size=50).fit(X[MINE], Y[MINE])


def one_rank_stops():
    found = []
    for parameters in ({}, {"optimizer": "lbfgs", "batch_size": 1}):  # steps, and iterations
        clf = estimator(max_iter=50, **parameters)
        clf.set_callbacks(InTheSecondEpoch(lambda: True)).fit(X[MINE], Y[MINE] < 5)
        found.append((clf.n_iter_, fitted(clf)))
    return found
