"""What the processes of test_ranks run: ``mpiexec -n N python programs.py NAME FOLDER``.

Each process writes what its function returns to a file of FOLDER.
"""

import os
import pickle
import signal
import sys
import warnings
from pathlib import Path

if sys.argv[1] == "unlike_processors" and os.environ.get("PMI_RANK", "0") != "0":
    os.environ["OPENBLAS_CORETYPE"] = "Prescott"  # read once, as NumPy is imported

import joblib
import numpy as np
from mpi4py import MPI
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier
from sksoftmax.distributed import DistributedSoftmaxClassifier
from sksoftmax.distributed.shares import share_ends
from sksoftmax.estimators.fit import Fit
from sksoftmax.training.training import Training
from sksoftmax_numpy import NumpyBackend
from sksoftmax_numpy.trainer import NumpyTrainer

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()
X, Y = load_digits(return_X_y=True)
WEIGHTS = np.random.default_rng(0).exponential(size=len(Y))
BOUNDS = [0, *sorted(np.random.default_rng(1).choice(len(Y), SIZE - 1, replace=False)), len(Y)]
MINE = slice(BOUNDS[RANK], BOUNDS[RANK + 1])


def estimator(**parameters):
    defaults = {"max_iter": 4, "tol": None, "random_state": 0, "backend": "numpy"}
    return DistributedSoftmaxClassifier(**{**defaults, **parameters})


def fitted(clf):
    """Everything that a fit leaves behind."""
    return pickle.dumps(
        {name: value for name, value in sorted(vars(clf).items()) if name.endswith("_")}
    ), joblib.hash(clf._checkpoint.to_dict())  # pickles also tell dtypes of one kind apart


def error_of(function, *arguments, **named):
    """Type and message of what a call raises."""
    try:
        function(*arguments, **named)
    except BaseException as error:
        return type(error).__name__, str(error)
    return None


SETTINGS = {
    "numpy": {},
    "auto": {"backend": "auto"},
    "by itself": {"tol": 3e-3, "max_iter": 100},
    "full batches": {"batch_size": 10_000, "max_iter": 20},
    "adam": {"optimizer": "adam", "class_weight": "balanced"},
    "lasso": {"l1_ratio": 1, "alpha": 1e-3},
    "lbfgs": {
        "optimizer": "lbfgs",
        "l1_ratio": 0.5,
        "alpha": 1e-2,
        "tol": 1e-6,
        "max_iter": 200,
    },
    "adaptive": {"schedule": "adaptive", "tol": 0.1, "max_iter": 1000},
    "early stopping": {"early_stopping": True, "backend": "auto"},
    "raw": {"standardize": False, "shuffle": False, "fit_intercept": False},
}


def every_setting():
    found = {}
    for name, parameters in SETTINGS.items():
        clf = estimator(**parameters).fit(X[MINE], Y[MINE], WEIGHTS[MINE])
        found[name] = fitted(clf), clf.score(X, Y)
    for name, rows in {
        "float32": X.astype(np.float32),
        "uint8": X.astype(np.uint8),
        "sparse": sparse.csr_array(X),
    }.items():
        clf = estimator().fit(rows[MINE], Y[MINE])
        found[name] = fitted(clf), clf.score(rows, Y)
    clf = estimator(early_stopping=True, class_weight={3: 0.0}).fit(X[MINE], Y[MINE])
    found["a class of weight zero"] = fitted(clf), clf.score(X[Y != 3], Y[Y != 3])
    return found


ITERATIONS = {
    "by default": {"tol": 1e-6},
    "from a model": {"tol": 1e-6, "warm_start": True},
    "in the metric": {"optimizer": "lbfgs", "tol": 1e-9},
    "lasso": {"optimizer": "lbfgs", "tol": 1e-6, "l1_ratio": 1, "alpha": 1e-3},
    "many weights": {"optimizer": "lbfgs", "tol": 1e-6, "batch_size": 1},
    "stopped short": {"optimizer": "lbfgs", "tol": None, "max_iter": 7},
    "raw": {"optimizer": "lbfgs", "tol": 1e-6, "standardize": False},
}


def iterations():
    """Fits that go on over all rows, or do nothing else, and the same ones of one process."""
    found = {}
    for name, parameters in ITERATIONS.items():
        y = Y if name == "many weights" else Y < 5
        of_ranks, alone = [
            kind(**{"random_state": 0, "backend": "numpy", "max_iter": 300, **parameters})
            for kind in (DistributedSoftmaxClassifier, SoftmaxClassifier)
        ]
        if "warm_start" in parameters:
            start = SoftmaxClassifier(random_state=0, max_iter=2, tol=None, backend="numpy")
            start.fit(X, y)
            vars(of_ranks).update(fitted_attributes_of(start))
            vars(alone).update(fitted_attributes_of(start))
        of_ranks.fit(X[MINE], y[MINE])
        alone.fit(X, y)
        found[name] = fitted(of_ranks), *map(outcome, (of_ranks, alone))
    return found


def fitted_attributes_of(clf):
    """What a warm start goes on from."""
    kept = {name: value for name, value in vars(clf).items() if name.endswith("_")}
    return pickle.loads(pickle.dumps({**kept, "_checkpoint": clf._checkpoint}))


def outcome(clf):
    """Epochs, steps, and where these have led."""
    return clf.n_iter_, clf.t_, clf.loss_curve_[-1], clf.coef_


def unlike_processors():
    """Iterations where the last bits of the ranks' arithmetic differ."""
    product = joblib.hash(X.T @ X @ np.linspace(0, 1, X.shape[1]))
    found = [
        fitted(estimator(max_iter=100, **parameters).fit(X[MINE], Y[MINE] < 5))
        for parameters in (
            {"tol": 1e-6},
            {"optimizer": "lbfgs", "tol": 1e-9},
            {"optimizer": "lbfgs", "tol": 1e-6, "l1_ratio": 0.5, "alpha": 1e-2},
        )
    ]
    return len(set(COMM.allgather(product))), found


class InOrder(Training):
    """One process that takes the batches of several ranks."""

    def order(self):
        counts, orders = np.diff(BOUNDS), []
        for rank, count in enumerate(counts):
            rng = np.random.default_rng([self.seed, 1 + self.n_epochs, rank])
            order = BOUNDS[rank] + rng.permutation(count)
            orders.append(np.split(order, share_ends(counts, rank, self.rows.batch_size)[:-1]))
        yield np.concatenate([part for batch in zip(*orders, strict=True) for part in batch])


class FitInOrder(Fit):
    def _training(self, *arguments, **named):
        return InOrder(*arguments, **named)


class OneProcess(SoftmaxClassifier):
    def _new_fit(self, resume, *, is_stream=False):
        return FitInOrder(self, resume, is_stream=is_stream)


def one_process_in_the_same_order():
    found = []
    for backend in ("numpy", "auto"):
        for rows in (X, sparse.csr_array(X)):
            # The automatic step is not the same: it looks at a random sample of each shard.
            clf = estimator(learning_rate=0.3, batch_size=100, backend=backend)
            clf.fit(rows[MINE], Y[MINE], WEIGHTS[MINE])
            parameters = clf.get_params()
            del parameters["comm"]
            alone = OneProcess(**parameters).fit(rows, Y, WEIGHTS)
            found.append([(vars(clf)[n], vars(alone)[n]) for n in NUMBERS])
    return found


NUMBERS = "coef_", "intercept_", "loss_curve_", "mean_", "scale_", "n_samples_seen_"


def uneven_shards():
    rows = {
        "the first rank has none": slice(0) if RANK == 0 else slice(RANK - 1, None, SIZE - 1),
        "the last rank has none": slice(0) if RANK == SIZE - 1 else slice(RANK, None, SIZE - 1),
        "one row": slice(0, 1) if RANK == 0 else slice(RANK, None, SIZE - 1),
        "a class is missing": np.flatnonzero((Y != 3) & (np.arange(len(Y)) % SIZE == RANK))
        if RANK == 0
        else np.flatnonzero((Y == 3) | (np.arange(len(Y)) % SIZE == RANK)),
    }
    found = {}
    for backend in ("numpy", "auto"):
        for name, mine in rows.items():
            for kind in (np.asarray, sparse.csr_array):
                clf = estimator(backend=backend).fit(kind(X)[mine], Y[mine])
                early = estimator(early_stopping=True, class_weight="balanced", backend=backend)
                early.fit(kind(X)[mine], Y[mine])
                key = name, backend, kind.__name__
                found[key] = fitted(clf), fitted(early), clf.score(X, Y), len(clf.classes_)
    weights = np.ones(len(Y[MINE])) * (RANK > 0)
    clf = estimator().fit(X[MINE], Y[MINE], weights)
    found["no weight on rank 0", "numpy", "asarray"] = (
        fitted(clf),
        clf.n_samples_seen_,
        clf.score(X, Y),
        len(clf.classes_),
    )
    return found


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


def going_on():
    x, y = X[MINE], Y[MINE]
    clf = estimator(warm_start=True).fit(x, y)
    kept = pickle.loads(pickle.dumps(clf))
    through = estimator(max_iter=8).fit(x, y)
    stream = estimator()
    chunks = np.array_split(np.arange(len(y)), 3 + RANK)
    for i in range(2 + SIZE):  # one rank after the other runs out of rows
        chunk = chunks[i] if i < len(chunks) else []
        stream.partial_fit(x[chunk], y[chunk], classes=np.arange(10))
    return {
        "resumed": fitted(kept.fit(x, y))[1],
        "in one go": fitted(through)[1],
        "stream": fitted(stream),
        "moments": (stream.mean_, stream.scale_, stream.n_samples_seen_),
    }


def validation_rows_of_one_rank():
    given = {"X_val": X[:500], "y_val": Y[:500]} if RANK == SIZE - 1 else {}
    clf = estimator(early_stopping=True).fit(X[MINE], Y[MINE], **given)
    parts = {"X_val": X[:500][RANK::SIZE], "y_val": Y[:500][RANK::SIZE]}
    other = estimator(early_stopping=True).fit(X[MINE], Y[MINE], **parts)
    return fitted(clf), clf.validation_loss_curve_, other.validation_loss_curve_


def communicators():
    alone = COMM.Split(RANK)  # as many communicators as ranks
    clf = estimator(comm=alone).fit(X, Y)
    parameters = {n: v for n, v in clf.get_params().items() if n != "comm"}
    one_process = SoftmaxClassifier(**parameters).fit(X, Y)
    return {
        "on its own": np.array_equal(clf.coef_, one_process.coef_),
        "clone": clone(clf).comm is alone,
        "pickle": pickle.loads(pickle.dumps(clf)).comm,
        "bad": error_of(estimator(comm="world").fit, X, Y),
    }


def mapped_rows():
    path = Path(sys.argv[2]) / "rows.npy"
    if RANK == 0:
        np.save(path, X.astype(np.float32))
    COMM.Barrier()
    mapped = np.load(path, mmap_mode="r")[MINE]
    clf = estimator().fit(mapped, Y[MINE])
    return fitted(clf) == fitted(estimator().fit(X.astype(np.float32)[MINE], Y[MINE]))


def gaps():
    """Of all rows, dealt out in two ways, the second to all ranks but one, and undivided."""
    clf = estimator().fit(X[MINE], Y[MINE], WEIGHTS[MINE])
    mine = slice(0) if RANK == 0 else slice(RANK - 1, None, SIZE - 1)
    alone = SoftmaxClassifier(backend="numpy")
    vars(alone).update({name: vars(clf)[name] for name in ("classes_", "coef_", "intercept_")})
    alone.n_features_in_ = clf.n_features_in_
    return (
        clf.dual_gap(X[MINE], Y[MINE], WEIGHTS[MINE]),
        clf.dual_gap(X[mine], Y[mine], WEIGHTS[mine]),
        alone.dual_gap(X, Y, WEIGHTS),
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    result = globals()[sys.argv[1]]()
    (Path(sys.argv[2]) / f"{RANK}.pickle").write_bytes(pickle.dumps(result))
