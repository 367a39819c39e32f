"""A pytest plugin: scikit-learn's own tests find SoftmaxClassifier as SGDClassifier.

It is configured before the tests, which look SGDClassifier up in its module. To import this
module, as our own run does in search of doctests, replaces nothing.
"""

import sklearn.linear_model

from sksoftmax import SoftmaxClassifier

OTHERS = "eta0", "loss", "penalty", "power_t"
"""Parameters that ours does not have: all losses are its own, and powers are 1/2."""

SHARES_OF_L1 = {"l1": 1.0, "l2": 0.0, None: 0.0}


class SGDClassifier(SoftmaxClassifier):
    """SoftmaxClassifier by the parameters that the tests name.

    "optimal" steps are those that it finds by itself.
    """

    _parameter_constraints = {
        **SoftmaxClassifier._parameter_constraints,
        **dict.fromkeys(OTHERS, "no_validation"),
    }
    loss_functions = ("log_loss",)

    def __init__(
        self,
        loss="hinge",
        *,
        penalty="l2",
        alpha=0.0001,
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        epsilon=0.1,
        n_jobs=None,
        random_state=None,
        learning_rate="optimal",
        eta0=0.01,
        power_t=0.5,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        class_weight=None,
        warm_start=False,
        average=False,
    ):
        super().__init__(
            alpha=alpha,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            learning_rate=learning_rate,
            momentum=0,
            epsilon=epsilon,
            average=average,
            standardize=False,
            shuffle=shuffle,
            class_weight=class_weight,
            warm_start=warm_start,
            random_state=random_state,
            n_jobs=n_jobs,
            backend="numpy",
            verbose=verbose,
        )
        self.loss = loss
        self.penalty = penalty
        self.eta0 = eta0
        self.power_t = power_t

    def fit(self, X, y, **of_rows):
        return self._by_our_parameters(super().fit, X, y, **of_rows)

    def partial_fit(self, X, y, classes=None, **of_rows):
        return self._by_our_parameters(super().partial_fit, X, y, classes=classes, **of_rows)

    def _by_our_parameters(self, fit, *arguments, **of_rows):
        """Fit by the parameters that ours has for those of the tests, and put these back."""
        asked = self.get_params()
        self.l1_ratio = SHARES_OF_L1.get(self.penalty, self.l1_ratio)
        self.average = bool(self.average)
        if self.learning_rate == "optimal":
            self.learning_rate = "auto"
        else:
            self.schedule, self.learning_rate = self.learning_rate, self.eta0
        try:
            return fit(*arguments, **of_rows)
        finally:
            self.set_params(**asked)
            self.schedule = "constant"


def pytest_configure():
    sklearn.linear_model.SGDClassifier = SGDClassifier


def pytest_collection_finish(session):
    """See to it that the tests came after us."""
    for test in session.items:
        assert test.module.linear_model.SGDClassifier is SGDClassifier
        assert issubclass(test.module._SparseSGDClassifier, SGDClassifier)
