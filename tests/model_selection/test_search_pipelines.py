"""Searches over pipelines, and over classifiers that train otherwise: as GridSearchCV does it.

First steps are fitted once for all candidates that share them; whatever changes how a model is
trained is fitted by itself.
"""

import numpy as np
import pytest
from searches import assert_same_results, classifier
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax.estimators.fit import Fit
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training.stopping import Plateau


def test_pipeline_fits_its_first_steps_once_a_fold_and_setting():
    class Counted(StandardScaler):
        n_fits = 0

        def fit(self, X, y=None, sample_weight=None):
            Counted.n_fits += 1
            return super().fit(X, y, sample_weight)

    X, y = load_wine(return_X_y=True)
    pipeline = Pipeline([("scale", Counted()), ("pca", PCA(5)), ("clf", classifier())])
    grid = {
        "clf__alpha": [1e-3, 1e-1],
        "clf__momentum": [0.5, 0.9],
        "scale__with_std": [True, False],
        "pca": [PCA(3), "passthrough"],
    }
    ours = SoftmaxSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert Counted.n_fits == 3 * 4 + 1  # and the refit
    theirs = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    for name in ("split0_test_score", "split2_test_score", "mean_test_score"):
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name])
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("scoring", ["neg_log_loss", lambda pipeline, X, y: len(pipeline)])
def test_pipeline_is_scored_as_a_whole(scoring):
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(PCA(2), classifier())
    grid = {"softmaxclassifier__alpha": [1e-3, 1e-1]}
    ours = SoftmaxSearchCV(pipeline, grid, scoring=scoring).fit(X, y)
    assert_same_results(
        ours.cv_results_, GridSearchCV(pipeline, grid, scoring=scoring).fit(X, y).cv_results_
    )


def test_pipelines_may_end_in_other_classifiers():
    X, y = load_iris(return_X_y=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", classifier())])
    grid = [{"clf__alpha": [1e-3, 1]}, {"clf": [LogisticRegression(), LogisticRegression(C=9)]}]
    ours = SoftmaxSearchCV(pipeline, grid).fit(X, y)
    theirs = GridSearchCV(pipeline, grid).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("estimator", [classifier(), make_pipeline(PCA(2), classifier())])
def test_weights_are_routed(estimator):
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).exponential(size=150)
    last = "softmaxclassifier__" if isinstance(estimator, Pipeline) else ""
    with config_context(enable_metadata_routing=True):
        estimator = clone(estimator)
        own = estimator[-1] if last else estimator
        own.set_fit_request(sample_weight=True)
        grid = {f"{last}alpha": [1e-3, 1]}
        scoring = get_scorer("accuracy").set_score_request(sample_weight=True)
        ours = SoftmaxSearchCV(estimator, grid, scoring=scoring)
        theirs = GridSearchCV(estimator, grid, scoring=scoring)
        assert_same_results(
            ours.fit(X, y, sample_weight=weights).cv_results_,
            theirs.fit(X, y, sample_weight=weights).cv_results_,
        )


def test_weights_of_a_pipeline_are_named_by_their_step():
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).exponential(size=150)
    pipeline = make_pipeline(StandardScaler(), classifier())
    grid = {"softmaxclassifier__alpha": [1e-3, 1]}
    arguments = {
        "softmaxclassifier__sample_weight": weights,
        "standardscaler__sample_weight": weights,
    }
    ours = SoftmaxSearchCV(pipeline, grid).fit(X, y, **arguments)
    theirs = GridSearchCV(pipeline, grid).fit(X, y, **arguments)
    assert_same_results(ours.cv_results_, theirs.cv_results_)


class Thinned(Pipeline):
    """A Pipeline that trains on fewer rows than it is given, as samplers do."""

    def fit(self, X, y):
        return super().fit(X[::3], y[::3])


class ShortFit(Fit):
    """A fit of two epochs."""

    def _stopping_rule(self, training):
        return Plateau(np.inf, 1, baseline=1.0, n_batches=100)


class TwoEpochs(SoftmaxClassifier):
    """A classifier that trains otherwise, by a method that `fit` calls."""

    def _new_fit(self, resume, *, is_stream=False):
        return ShortFit(self, resume, is_stream=is_stream)


class ByThirds(SoftmaxClassifier):
    """A classifier whose `fit` returns nothing."""

    def fit(self, X, y):
        super().fit(X[::3], y[::3])


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (Thinned([("scale", StandardScaler()), ("clf", classifier())]), "clf__alpha"),
        (Thinned([("clf", classifier())]), "clf__alpha"),
        (Pipeline([("scale", StandardScaler()), ("clf", TwoEpochs(random_state=0))]),
         "clf__alpha"),
        (TwoEpochs(random_state=0), "alpha"),
        (ByThirds(random_state=0), "alpha"),
    ],
    ids=["pipeline", "pipeline of one step", "last step", "classifier", "fit returns None"],
)  # fmt: skip
def test_what_trains_otherwise_is_fitted_by_itself(estimator, name):
    X, y = load_iris(return_X_y=True)
    grid = {name: [1e-3, 10.0]}
    ours = SoftmaxSearchCV(estimator, grid, cv=3).fit(X, y)
    theirs = GridSearchCV(estimator, grid, cv=3).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert type(ours.best_estimator_) is type(estimator)
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))


def test_a_pipeline_that_prints_its_steps_prints_them_all(capsys):
    X, y = load_iris(return_X_y=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", classifier())], verbose=True)
    for search in (SoftmaxSearchCV, GridSearchCV):
        search(pipeline, {"clf__alpha": [0, 1]}, cv=2, refit=False).fit(X, y)
        assert capsys.readouterr().out.count("Processing scale") == 4


def test_a_number_and_a_share_are_not_the_same_setting():
    texts = ["plain words", "plain deeds", "other words", "other deeds"] * 5
    y = [0, 0, 1, 1] * 5
    pipeline = Pipeline([("count", CountVectorizer()), ("clf", classifier())])
    grid = {"count__max_df": [1.0, 0.5], "count__min_df": [1, 0.9], "clf__alpha": [0.1, 1]}
    with pytest.warns(FitFailedWarning):
        theirs = GridSearchCV(pipeline, grid, cv=2, error_score=-1).fit(texts, y)
    with pytest.warns(FitFailedWarning):
        ours = SoftmaxSearchCV(pipeline, grid, cv=2, error_score=-1).fit(texts, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    grid = {"count__min_df": [1, 1.0]}  # in one text, or in all
    with pytest.warns(FitFailedWarning):
        ours = SoftmaxSearchCV(pipeline, grid, cv=2, error_score=-1).fit(texts, y)
    assert ours.cv_results_["mean_test_score"].tolist() == [1, -1]
