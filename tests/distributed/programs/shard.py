"""What every program starts from: this rank's rows, an estimator, and what it leaves behind."""

import pickle

import joblib
import numpy as np
from mpi4py import MPI
from sklearn.datasets import load_digits

from sksoftmax.distributed import DistributedSoftmaxClassifier

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
