"""A pytest plugin: scikit-learn's own tests find SoftmaxClassifier as LogisticRegression.

It is configured before the tests, which import LogisticRegression by name. Most of them take it
for the classifier at hand: ensembles, calibration, selection of features, Pipelines, displays.
To import this module, as our own run does in search of doctests, replaces nothing.
"""

import numpy as np
import sklearn.linear_model
from sklearn.utils.validation import _num_samples

from sksoftmax import SoftmaxClassifier


class LogisticRegression(SoftmaxClassifier):
    """SoftmaxClassifier at its optimum, by the parameters that the tests name.

    Many tests compare two models that only an optimum makes equal, of doubled rows and of
    doubled weights for one; Pipelines and representations show the name of the class.
    """

    _parameter_constraints = {
        **SoftmaxClassifier._parameter_constraints,
        "C": "no_validation",
        "solver": "no_validation",
    }

    def __init__(
        self,
        *,
        C=1.0,
        solver="lbfgs",
        fit_intercept=True,
        class_weight=None,
        max_iter=1000,
        tol=1e-6,
        random_state=0,  # LogisticRegression's default solver draws nothing
    ):
        super().__init__(
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            max_iter=max_iter,
            tol=tol,
            random_state=random_state,
            optimizer="lbfgs",
            backend="numpy",
        )
        self.C = C
        self.solver = solver

    def fit(self, X, y, sample_weight=None):
        total = _num_samples(X) if sample_weight is None else np.sum(sample_weight)
        self.alpha = 1 / (self.C * total)
        return super().fit(X, y, sample_weight=sample_weight)


def pytest_configure():
    sklearn.linear_model.LogisticRegression = LogisticRegression


def pytest_collection_finish(session):
    """See to it that the tests came after us."""
    for test in session.items:
        assert (
            getattr(test.module, "LogisticRegression", LogisticRegression) is LogisticRegression
        )
