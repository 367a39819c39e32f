"""Iterations and gaps of several ranks: those of one process, over all rows of all ranks."""

import pickle

import joblib
import numpy as np
from scipy import sparse
from shard import BOUNDS, COMM, MINE, RANK, SIZE, WEIGHTS, X, Y, estimator, fitted

from sksoftmax import SoftmaxClassifier
from sksoftmax.distributed import DistributedSoftmaxClassifier

ITERATIONS = {
    "by default": {"tol": 1e-6},
    "from a model": {"tol": 1e-6, "warm_start": True},
    "from one that is worse than none": {"tol": 1e-6, "warm_start": True},
    "in the metric": {"optimizer": "lbfgs", "tol": 1e-9},
    "lasso": {"optimizer": "lbfgs", "tol": 1e-6, "l1_ratio": 1, "alpha": 1e-3},
    "many weights": {"optimizer": "lbfgs", "tol": 1e-6, "batch_size": 1},
    "stopped short": {"optimizer": "lbfgs", "tol": None, "max_iter": 7},
    "raw": {"optimizer": "lbfgs", "tol": 1e-6, "standardize": False},
    "features of one rank": {"optimizer": "lbfgs", "tol": None, "max_iter": 20},
}


def apart():
    """Sparse rows of many columns, of which each rank's rows hold others."""
    row, pixel = np.nonzero(X)
    rank = np.searchsorted(BOUNDS, row, side="right") - 1
    columns = X.shape[1] * rank + pixel
    return sparse.csr_array((X[row, pixel], (row, columns)), shape=(len(Y), 2_000))


def iterations():
    """Fits that go on over all rows, or do nothing else, and the same ones of one process."""
    found = {}
    for name, parameters in ITERATIONS.items():
        rows = apart() if name == "features of one rank" else X
        y = Y if name == "many weights" else Y < 5
        of_ranks, alone = [
            kind(**{"random_state": 0, "backend": "numpy", "max_iter": 300, **parameters})
            for kind in (DistributedSoftmaxClassifier, SoftmaxClassifier)
        ]
        if "warm_start" in parameters:
            start = SoftmaxClassifier(random_state=0, max_iter=2, tol=None, backend="numpy")
            start.fit(rows, ~y if "worse" in name else y)
            vars(of_ranks).update(fitted_attributes_of(start))
            vars(alone).update(fitted_attributes_of(start))
        of_ranks.fit(rows[MINE], y[MINE])
        alone.fit(rows, y)
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
