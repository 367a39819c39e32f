"""A pytest plugin: scikit-learn's own tests find SoftmaxClassifier as LogisticRegression.

It is configured before the tests, which import LogisticRegression by name. Those of linear
models compare it with known optima; most others take it for the classifier at hand: ensembles,
calibration, selection of features, Pipelines, displays. To import this module, as our own run
does in search of doctests, replaces nothing.
"""

import inspect

import numpy as np
import sklearn.linear_model
from sklearn.utils import compute_sample_weight
from sklearn.utils._array_api import _convert_to_numpy, get_namespace
from sklearn.utils.validation import _num_samples

from sksoftmax import SoftmaxClassifier

OTHERS = "C", "dual", "intercept_scaling", "n_jobs", "penalty", "solver"
"""Parameters that ours does not have: all but C and penalty are ignored."""


class LogisticRegression(SoftmaxClassifier):
    """SoftmaxClassifier at its optimum, by the parameters that the tests name.

    Many tests compare two models that only an optimum makes equal, of doubled rows and of
    doubled weights for one; Pipelines and representations show the name of the class.
    """

    _parameter_constraints = {
        **SoftmaxClassifier._parameter_constraints,
        **dict.fromkeys(OTHERS, "no_validation"),
    }

    def __init__(
        self,
        penalty="deprecated",
        *,
        C=1.0,
        l1_ratio=0.0,
        dual=False,
        tol=1e-4,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=0,  # LogisticRegression's default solver draws nothing
        solver="lbfgs",
        max_iter=100,
        verbose=0,
        warm_start=False,
        n_jobs=None,
    ):
        super().__init__(
            l1_ratio=l1_ratio,
            tol=tol,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            random_state=random_state,
            max_iter=max_iter,
            verbose=verbose,
            warm_start=warm_start,
            standardize=False,
            optimizer="lbfgs",
            backend="numpy",
        )
        self.penalty = penalty
        self.C = C
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.solver = solver
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
        weights = (
            np.ones(_num_samples(X)) if sample_weight is None else np.asarray(sample_weight)
        )
        if self.class_weight is not None:
            labels = _convert_to_numpy(y, get_namespace(y)[0])
            weights = weights * compute_sample_weight(self.class_weight, labels)
        asked = self.get_params()
        self.alpha = 1 / (self.C * weights.sum())
        self.l1_ratio = {"l1": 1.0, "l2": 0.0}.get(self.penalty, self.l1_ratio)
        # Their tolerance bounds a gradient, ours what is still to be gained.
        self.tol, self.max_iter = max(1e-4 * self.tol, 1e-12), 2000
        try:
            super().fit(X, y, sample_weight=sample_weight)
        finally:
            self.set_params(**asked)
        self.n_iter_ = np.array([self.n_iter_])  # of which LogisticRegression has several
        return self


def pytest_configure():
    sklearn.linear_model.LogisticRegression = LogisticRegression


def pytest_collection_modifyitems(config, items):
    """Leave out tests that never name the class: all but two of them never fit ours."""
    name = LogisticRegression.__name__
    named = [item for item in items if name in item.name + inspect.getsource(item.function)]
    config.hook.pytest_deselected(items=[item for item in items if item not in named])
    items[:] = named


def pytest_collection_finish(session):
    """See to it that the tests came after us."""
    for test in session.items:
        if test.module.__name__.endswith("test_logistic"):
            # It imports the private module, where LogisticRegressionCV needs the original.
            test.module.LogisticRegression = LogisticRegression
        found = getattr(test.module, "LogisticRegression", LogisticRegression)
        assert found is LogisticRegression
