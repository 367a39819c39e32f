"""Softmax regression by minibatch SGD, as a scikit-learn estimator."""

from sksoftmax.classifier import SoftmaxClassifier
from sksoftmax.registry import BackendInfo, get_backend, list_backends

__version__ = "0.1.0"

__all__ = ["BackendInfo", "SoftmaxClassifier", "get_backend", "list_backends"]
