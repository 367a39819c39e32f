"""Fits of several ranks: in every setting, in the order of one process, over uneven shards."""

import pickle
import sys
from pathlib import Path

import numpy as np
from scipy import sparse
from shard import BOUNDS, COMM, MINE, RANK, SIZE, WEIGHTS, X, Y, error_of, estimator, fitted
from sklearn.base import clone

from sksoftmax import SoftmaxClassifier
from sksoftmax.distributed.shares import share_ends
from sksoftmax.estimators.fit import Fit
from sksoftmax.training.training import Training

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
