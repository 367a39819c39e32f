"""Successive halving: which candidates it keeps, by which scores, and how it ranks them."""

import numpy as np
import pytest
from searches import GRID, classifier, several_scores
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import FitFailedWarning

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV


def test_halving_keeps_the_best():
    X, y = load_digits(return_X_y=True)
    grid = {"alpha": np.logspace(-4, 2, 16)}
    estimator = SoftmaxClassifier(random_state=0)
    halved = SoftmaxSearchCV(estimator, grid, scoring="neg_log_loss", cv=3, halving=2)
    halved.fit(X, y)
    whole = SoftmaxSearchCV(estimator, grid, scoring="neg_log_loss", cv=3).fit(X, y)
    assert halved.best_params_ == whole.best_params_
    assert halved.best_score_ == pytest.approx(whole.best_score_)
    results = halved.cv_results_
    assert results.keys() == whole.cv_results_.keys() | {"rung"}
    rungs = results["rung"]
    assert (rungs >= 1).sum() == 8
    assert (rungs >= 2).sum() == 4
    # Those that are left have gone on as if nothing had been dropped.
    left = rungs == rungs.max()
    np.testing.assert_allclose(
        results["mean_test_score"][left], whole.cv_results_["mean_test_score"][left]
    )
    assert results["rank_test_score"][left].max() == left.sum()
    assert results["mean_fit_time"][rungs == 0].max() < results["mean_fit_time"][left].min()


def test_halving_needs_one_score():
    X, y = load_iris(return_X_y=True)
    search = SoftmaxSearchCV(
        classifier(), GRID, scoring=["accuracy", "neg_log_loss"], refit=False, halving=2
    )
    with pytest.raises(ValueError, match="halving needs one score to rank by"):
        search.fit(X, y)


def test_halving_with_fits_that_fail_and_other_groups():
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    grid = {"alpha": [0.1, 1], "learning_rate": [0.1, 1e200], "batch_size": [32, 64]}
    with pytest.warns(FitFailedWarning):
        search = SoftmaxSearchCV(classifier(), grid, cv=3, halving=2, error_score=-1.0).fit(
            X, y
        )
    assert search.best_params_["learning_rate"] == 0.1
    failed = search.cv_results_["param_learning_rate"] == 1e200
    assert (search.cv_results_["mean_test_score"][failed] == -1).all()
    assert (search.cv_results_["rung"][failed] == 0).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_halving_ranks_by_the_folds_that_have_scores():
    X, y = load_digits(return_X_y=True)
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    rows = np.random.default_rng(0).permutation(len(y))
    # The first fold trains on zeros alone.
    splits = [(np.arange(100), np.arange(1000, 1500)), (rows[:1000], rows[1000:])]
    grid = {"alpha": [100.0, 30.0, 10.0, 1e-3]}  # the best comes last
    search = SoftmaxSearchCV(
        classifier(), grid, cv=splits, scoring="neg_log_loss", halving=2, refit=False
    ).fit(X, y)
    assert search.cv_results_["rung"].argmax() == 3


def test_halving_with_a_function_that_returns_several_scores():
    X, y = load_iris(return_X_y=True)
    grid = {"alpha": [30.0, 1e-3], "learning_rate": ["auto", 1e300]}
    search = SoftmaxSearchCV(
        classifier(), grid, cv=3, scoring=several_scores, refit="score_a", halving=2,
        error_score=0.0,
    )  # fmt: skip
    with pytest.warns(FitFailedWarning):
        search.fit(X, y)
    assert search.best_params_ == {"alpha": 1e-3, "learning_rate": "auto"}
