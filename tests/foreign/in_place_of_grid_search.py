"""A pytest plugin: scikit-learn's own tests find SoftmaxSearchCV in place of its searches.

It is configured before the tests, which import the searches by name. To import this module, as
our own run does in search of doctests, replaces nothing.
"""

import sklearn.model_selection

from sksoftmax import SoftmaxSearchCV


class InPlaceOfRandomizedSearchCV(SoftmaxSearchCV):
    """Distributions come second, as in RandomizedSearchCV, whose parameters it has."""

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=10,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=float("nan"),
        return_train_score=False,
    ):
        super().__init__(
            estimator,
            param_distributions=param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )


def pytest_configure():
    sklearn.model_selection.GridSearchCV = SoftmaxSearchCV
    sklearn.model_selection.RandomizedSearchCV = InPlaceOfRandomizedSearchCV


def pytest_collection_finish(session):
    """See to it that the tests came after us."""
    for test in session.items:
        assert test.module.GridSearchCV is SoftmaxSearchCV
        assert test.module.RandomizedSearchCV is InPlaceOfRandomizedSearchCV
