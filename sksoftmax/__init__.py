"""Softmax regression by minibatch SGD, as a scikit-learn estimator.

Import from here: ``SoftmaxClassifier`` and its searches, and the backends by name. The packages
build on each other in this order: ``data``, ``backend``, ``training``, ``estimators``, and then
``model_selection`` and ``distributed``; none imports from a later one.
"""

from sksoftmax._version import __version__
from sksoftmax.backend.registry import BackendInfo, get_backend, list_backends
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.model_selection.classifier_cv import SoftmaxClassifierCV
from sksoftmax.model_selection.search import SoftmaxSearchCV

__all__ = [
    "BackendInfo",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "SoftmaxSearchCV",
    "__version__",
    "get_backend",
    "list_backends",
]

MODULES = ("backend", "distributed", "inspection", "model_selection", "onnx", "testing")
"""What else is public: the reference describes it. Some of it has dependencies of its own."""


def __dir__() -> list[str]:
    return sorted([*__all__, *MODULES])
