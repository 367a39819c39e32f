"""The reference backend: ``SoftmaxClassifier(backend="numpy")``."""

from sksoftmax_numpy.backend import NumpyBackend

__all__ = ["NumpyBackend"]
