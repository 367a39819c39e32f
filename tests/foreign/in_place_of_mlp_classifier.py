"""A pytest plugin: scikit-learn's own tests find SoftmaxClassifier as MLPClassifier.

Without a hidden layer the two are one model; the layers that the tests ask for are left out.
The plugin is configured before the tests, which import MLPClassifier by name. To import this
module, as our own run does in search of doctests, replaces nothing.
"""

import sklearn.neural_network
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples

from sksoftmax import SoftmaxClassifier

OTHERS = (
    "activation", "hidden_layer_sizes", "learning_rate_init", "max_fun", "nesterovs_momentum",
    "power_t", "solver",
)  # fmt: skip
"""Parameters that ours does not have, or by another name."""


class MLPClassifier(SoftmaxClassifier):
    """SoftmaxClassifier by the parameters that the tests name."""

    _parameter_constraints = {
        **SoftmaxClassifier._parameter_constraints,
        **dict.fromkeys(OTHERS, "no_validation"),
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
    ):
        super().__init__(
            alpha=alpha,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            learning_rate=learning_rate,
            optimizer=solver,
            momentum=momentum,
            nesterov=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            average=False,
            standardize=False,
            shuffle=shuffle,
            warm_start=warm_start,
            random_state=random_state,
            backend="numpy",
            verbose=verbose,
        )
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.nesterovs_momentum = nesterovs_momentum
        self.max_fun = max_fun

    @property
    def coefs_(self):
        return [self.coef_.T]

    @property
    def intercepts_(self):
        return [self.intercept_]

    def fit(self, X, y, sample_weight=None):
        return self._by_our_parameters(super().fit, X, y, sample_weight=sample_weight)

    @available_if(lambda self: self.solver != "lbfgs")
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return self._by_our_parameters(
            super().partial_fit, X, y, classes=classes, sample_weight=sample_weight
        )

    def _by_our_parameters(self, fit, X, y, **of_rows):
        """Fit by the parameters that ours has for those of the tests, and put these back."""
        asked = self.get_params()
        self.schedule, self.learning_rate = self.learning_rate, self.learning_rate_init
        # Theirs is divided by the rows of a batch.
        n_rows = _num_samples(X)
        largest = 200 if self.batch_size == "auto" else self.batch_size
        self.alpha = self.alpha / (n_rows if self.solver == "lbfgs" else min(n_rows, largest))
        try:
            return fit(X, y, **of_rows)
        finally:
            self.set_params(**asked)
            self.schedule = "constant"


def pytest_configure():
    sklearn.neural_network.MLPClassifier = MLPClassifier


def pytest_collection_finish(session):
    """See to it that the tests came after us."""
    for test in session.items:
        assert test.module.MLPClassifier is MLPClassifier
