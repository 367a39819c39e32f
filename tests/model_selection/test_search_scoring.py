"""What a search scores by, one way or several, and what it prints: as GridSearchCV does."""

import re

import pytest
from searches import GRID, assert_same_results, classifier
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
)

from sksoftmax.model_selection import SoftmaxSearchCV


@pytest.mark.parametrize("refit", ["neg_log_loss", False, lambda results: 2])
def test_several_scorers(refit):
    X, y = load_iris(return_X_y=True)
    scoring = {
        "accuracy": "accuracy",
        "neg_log_loss": "neg_log_loss",
        "recall": make_scorer(recall_score, average="macro"),
    }
    arguments = {"scoring": scoring, "refit": refit, "cv": 3}
    ours = SoftmaxSearchCV(classifier(), GRID, **arguments).fit(X, y)
    theirs = GridSearchCV(classifier(), GRID, **arguments).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.multimetric_
    assert ours.scorer_.keys() == theirs.scorer_.keys()
    for name in ("best_index_", "best_params_", "best_score_"):
        assert hasattr(ours, name) == hasattr(theirs, name)
    if refit:
        assert ours.best_index_ == theirs.best_index_
    else:
        with pytest.raises((AttributeError, NotFittedError)):
            ours.predict(X)


def test_several_scorers_need_a_name_to_refit_by():
    X, y = load_iris(return_X_y=True)
    scoring = ["accuracy", "neg_log_loss"]
    with pytest.raises(ValueError, match="the parameter refit must be set to a"):
        SoftmaxSearchCV(classifier(), GRID, scoring=scoring).fit(X, y)


def test_scoring_by_a_function_that_returns_several():
    X, y = load_iris(return_X_y=True)

    def both(estimator, X, y):
        return {"score_a": estimator.score(X, y), "score_b": -estimator.score(X, y)}

    arguments = {"scoring": both, "refit": "score_a", "cv": 3}
    ours = SoftmaxSearchCV(classifier(), GRID, **arguments).fit(X, y)
    theirs = GridSearchCV(classifier(), GRID, **arguments).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)


def lines_of(search, capsys):
    """What a search prints, in any order, but for starts, seconds and the dots before them."""
    X, y = load_iris(return_X_y=True)
    search.fit(X, y)
    first, *lines = capsys.readouterr().out.splitlines()
    ends = [line.split(" total time=")[0] for line in lines if " START " not in line]
    return first, sorted(re.sub(r"\.{2,}", "..", end) for end in ends)


@pytest.mark.parametrize("scoring", [None, ["accuracy", "neg_log_loss"]])
@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize("verbose", [1, 2, 3, 10])
def test_what_is_printed(verbose, return_train_score, scoring, capsys):
    arguments = {
        "cv": 2,
        "verbose": verbose,
        "return_train_score": return_train_score,
        "scoring": scoring,
        "refit": False,
    }
    grid = [{"alpha": [1e-3, 1.0], "momentum": [0.5]}, {}]
    ours = lines_of(SoftmaxSearchCV(classifier(), grid, **arguments), capsys)
    assert ours == lines_of(GridSearchCV(classifier(), grid, **arguments), capsys)
    assert ours[0] == "Fitting 2 folds for each of 3 candidates, totalling 6 fits"
