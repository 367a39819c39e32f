"""Searches in which fits, scores or whole folds fail: as in GridSearchCV, and others go on."""

import numpy as np
import pytest
from searches import GRID, SEVERAL, assert_same_results, classifier, several_scores
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax.model_selection import SoftmaxSearchCV


def test_a_fit_that_diverges_has_the_error_score_and_others_go_on():
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    grid = {"alpha": [1, 2], "learning_rate": [0.1, 1e200]}
    with (
        pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 12"),
        pytest.warns(UserWarning, match="One or more of the test scores are non-finite"),
    ):
        ours = SoftmaxSearchCV(classifier(), grid, cv=3).fit(X, y)
    scores = ours.cv_results_["mean_test_score"]
    assert np.isnan(scores).tolist() == [False, True, False, True]
    assert ours.best_params_["learning_rate"] == 0.1
    with pytest.warns(FitFailedWarning):
        ours = SoftmaxSearchCV(classifier(), grid, cv=3, error_score=0.0).fit(X, y)
    assert ours.cv_results_["mean_test_score"][1] == 0
    with pytest.raises(ValueError, match="under-/overflow occurred"):
        SoftmaxSearchCV(classifier(), grid, cv=3, error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        SoftmaxSearchCV(classifier(), {"learning_rate": [1e200]}, cv=3).fit(X, y)


def test_our_classifier_needs_labels():
    X, _ = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        SoftmaxSearchCV(classifier(), {"alpha": [1]}).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the")
@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize("error_score", [np.nan, -1.0])
@pytest.mark.parametrize("scoring", [None, SEVERAL, several_scores])
def test_the_first_of_all_fits_fails(scoring, error_score, return_train_score):
    X, y = load_iris(return_X_y=True)
    arguments = {
        "scoring": scoring,
        "refit": "score_a" if scoring else True,
        "error_score": error_score,
        "return_train_score": return_train_score,
        "cv": 3,
    }
    grid = {"learning_rate": [1e300, "auto"]}
    ours = SoftmaxSearchCV(classifier(), grid, **arguments).fit(X, y)
    theirs = GridSearchCV(classifier(), grid, **arguments).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_ == {"learning_rate": "auto"}


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_the_first_fold_fails():
    X, y = load_wine(return_X_y=True)  # sorted by class, so that the first has one alone
    grid = {"alpha": [1e-3, 1e-1]}
    for search in (SoftmaxSearchCV, GridSearchCV):
        with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 6"):
            found = search(classifier(), grid, cv=TimeSeriesSplit(3)).fit(X, y)
        assert np.isnan(found.cv_results_["split0_test_score"]).all()
        assert np.isfinite(found.cv_results_["split1_test_score"]).all()


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:Scoring failed")
@pytest.mark.parametrize("weighted", [slice(0, 55), slice(0, 30)], ids=["scores", "fits"])
def test_a_fold_without_any_weight(weighted):
    X, y = load_iris(return_X_y=True)
    X, y = X[:90], np.arange(90) % 3
    weights = np.zeros(90)
    weights[weighted] = 1
    ours, theirs = (
        search(classifier(), {"alpha": [0.1, 1]}, cv=KFold(3)).fit(X, y, sample_weight=weights)
        for search in (SoftmaxSearchCV, GridSearchCV)
    )
    assert_same_results(ours.cv_results_, theirs.cv_results_)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.filterwarnings("ignore:Scoring failed")
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_rows_that_cannot_be_scored_are_no_failure_of_a_fit(in_pipeline):
    X, y = load_iris(return_X_y=True)
    X[0, 0] = np.inf  # among the rows held out alone
    rows = np.random.default_rng(0).permutation(np.arange(1, 150))
    splits = [(rows[:100], np.arange(150)[:1].repeat(2)), (rows[:100], rows[100:])]
    estimator = classifier()
    if in_pipeline:
        estimator = Pipeline([("scale", StandardScaler()), ("clf", estimator)])
    grid = {"clf__alpha" if in_pipeline else "alpha": [1e-3, 1]}
    ours, theirs = (
        search(estimator, grid, cv=splits, refit=False).fit(X, y)
        for search in (SoftmaxSearchCV, GridSearchCV)
    )
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert np.isnan(ours.cv_results_["split0_test_score"]).all()
    with pytest.raises(ValueError, match="contains infinity"):
        SoftmaxSearchCV(estimator, grid, cv=splits, error_score="raise").fit(X, y)


def test_a_search_whose_refit_fails_is_as_it_was():
    X, y = load_iris(return_X_y=True)
    search = SoftmaxSearchCV(classifier(), {"alpha": [1e-4, 1e-2]}, cv=3).fit(X, y)
    search.set_params(param_grid={"alpha": [1, 2, 3]})
    before = dict(vars(search))
    splits = [(np.arange(1, 100), np.arange(100, 150)), (np.arange(50, 150), np.arange(1, 50))]
    search.cv = before["cv"] = splits
    X[0] = np.nan  # which is in no fold
    with pytest.raises(ValueError, match="Input X contains NaN"):
        search.fit(X, y)
    assert vars(search) == before


@pytest.mark.parametrize("given", [{"param_grid": []}, {"cv": iter([])}])
def test_nothing_to_fit(given):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="No fits were performed"):
        SoftmaxSearchCV(**{"estimator": classifier(), "param_grid": GRID, **given}).fit(X, y)
