"""Softmax regression by minibatch SGD, as a scikit-learn estimator."""

from sksoftmax._version import __version__
from sksoftmax.classifier import SoftmaxClassifier
from sksoftmax.classifier_cv import SoftmaxClassifierCV
from sksoftmax.registry import BackendInfo, get_backend, list_backends

__all__ = [
    "BackendInfo",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "__version__",
    "get_backend",
    "list_backends",
]
