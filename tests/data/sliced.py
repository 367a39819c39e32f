"""What the tests of stored rows share: digits, an array that can only be sliced, a fit."""

import numpy as np
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
WEIGHTS = np.random.default_rng(0).integers(3, size=len(Y)).astype(float)


class Sliced:
    """An array that can be sliced by rows, and must never be read as a whole."""

    def __init__(self, array, chunk=None):
        self._array = array
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self.chunks = None if chunk is None else (chunk, array.shape[1])
        self.n_read = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        found = self._array[rows].copy()
        self.n_read += len(found)
        return found

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")


def classifier(**parameters):
    defaults = {"shuffle": "blocks", "max_iter": 4, "tol": None, "random_state": 0}
    return SoftmaxClassifier(**{**defaults, **parameters})


def assert_same_bits(one, other):
    for name in ("coef_", "intercept_", "loss_curve_", "mean_", "scale_", "step_size_", "t_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
