"""SoftmaxSearchCV beside GridSearchCV and RandomizedSearchCV, which fit one after another."""

import re

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array
from searches import GRID, assert_same_results, classifier
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning, FitFailedWarning, NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax.estimators.fit import Fit
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training.stopping import Plateau


def assert_ranked_alike(ours, theirs, n_rows):
    """The best of either is the best of the other, up to a standard error."""
    for one, other in ((ours, theirs), (theirs, ours)):
        scores = other.cv_results_["mean_test_score"]
        best = scores.max()
        error = np.sqrt(best * (1 - best) / n_rows)
        assert scores[one.best_index_] >= best - error


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
def test_results_are_those_of_grid_search(load):
    X, y = load(return_X_y=True)
    grid = {"alpha": np.logspace(-5, 1, 7), "momentum": [0.5, 0.9]}
    estimator = classifier(batch_size=64)
    ours = SoftmaxSearchCV(estimator, grid, cv=3, return_train_score=True).fit(X, y)
    theirs = GridSearchCV(estimator, grid, cv=3, return_train_score=True).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert_ranked_alike(ours, theirs, len(y))
    assert ours.n_splits_ == theirs.n_splits_ == 3


@pytest.mark.mnist
def test_results_on_mnist(mnist):
    X, y = mnist[0][::60], mnist[1][::60]
    grid = {"alpha": [1e-4, 1e-2, 1]}
    estimator = SoftmaxClassifier(random_state=0, max_iter=3, tol=None)
    ours = SoftmaxSearchCV(estimator, grid, cv=3).fit(X, y)
    theirs = GridSearchCV(estimator, grid, cv=3).fit(X, y)
    for name in ("mean_test_score", "split0_test_score"):  # float32: a row may fall elsewhere
        difference = np.abs(ours.cv_results_[name] - theirs.cv_results_[name])
        assert difference.max() <= 2 / (len(y) / 3)
    assert_ranked_alike(ours, theirs, len(y))


def test_a_fitted_search_is_that_of_grid_search():
    X, y = load_iris(return_X_y=True, as_frame=True)
    ours = SoftmaxSearchCV(classifier(), GRID).fit(X, y)
    theirs = GridSearchCV(classifier(), GRID).fit(X, y)
    mine = {name for name in vars(ours) if name.endswith("_")}
    assert mine == {name for name in vars(theirs) if name.endswith("_")} - {"_checked_cv_orig"}
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_score_ == pytest.approx(theirs.best_score_)
    np.testing.assert_array_equal(ours.best_estimator_.coef_, theirs.best_estimator_.coef_)
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.score(X, y) == theirs.score(X, y)
    assert ours.feature_names_in_.tolist() == X.columns.tolist()
    assert ours.n_features_in_ == 4
    assert ours.classes_.tolist() == [0, 1, 2]
    assert is_classifier(ours)
    assert "SoftmaxSearchCV" in ours._repr_html_()


def test_distributions_are_drawn_as_by_randomized_search():
    X, y = load_iris(return_X_y=True)
    given = {"alpha": stats.loguniform(1e-5, 1), "l1_ratio": [0, 0.5]}
    ours = SoftmaxSearchCV(
        classifier(momentum=0.5), param_distributions=given, n_iter=6, random_state=1
    ).fit(X, y)
    theirs = RandomizedSearchCV(classifier(momentum=0.5), given, n_iter=6, random_state=1)
    assert_same_results(ours.cv_results_, theirs.fit(X, y).cv_results_)


def test_what_cannot_share_a_stack_is_searched_as_well():
    X, y = load_wine(return_X_y=True)
    grid = [
        {"alpha": [1e-3, 1e-1], "batch_size": [16, 64], "optimizer": ["sgd", "adam"]},
        {"class_weight": [None, "balanced", {0: 3.0}], "backend": ["numpy"]},
        {"early_stopping": [True], "warm_start": [False, True], "standardize": [True, False]},
    ]
    estimator = classifier(max_iter=20, tol=None)
    ours = SoftmaxSearchCV(estimator, grid, cv=2).fit(X, y)
    theirs = GridSearchCV(estimator, grid, cv=2).fit(X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)


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


def test_labels_in_a_column_are_labels():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(DataConversionWarning):
        search = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y[:, None])
    expected = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y).cv_results_
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], expected["mean_test_score"]
    )


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


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize("shuffles", [[True, "blocks"], ["blocks", True]])
def test_each_candidate_reads_the_rows_in_its_own_way(shuffles, monkeypatch):
    monkeypatch.setattr("sksoftmax.data.stored.BLOCK_BYTES", 2**10)  # several blocks
    X, y = load_iris(return_X_y=True)
    grid = {"shuffle": shuffles, "alpha": [1e-3, 1]}
    ours, theirs = (
        search(classifier(), grid, cv=3, scoring="neg_log_loss").fit(X, y)
        for search in (SoftmaxSearchCV, GridSearchCV)
    )
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    scores = ours.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]  # or this test could not tell
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 12"):
        ours = SoftmaxSearchCV(classifier(), grid, cv=3).fit(csr_array(X), y)
    failed = np.isnan(ours.cv_results_["mean_test_score"])
    assert failed.tolist() == [value == "blocks" for _ in range(2) for value in shuffles]


def test_groups_and_weights_are_split_with_the_rows():
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    groups, weights = rng.integers(12, size=150), rng.exponential(size=150)
    arguments = {"groups": groups, "sample_weight": weights}
    ours = SoftmaxSearchCV(classifier(), GRID, cv=GroupKFold(3)).fit(X, y, **arguments)
    theirs = GridSearchCV(classifier(), GRID, cv=GroupKFold(3)).fit(X, y, **arguments)
    assert_same_results(ours.cv_results_, theirs.cv_results_)


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


def test_folds_of_any_kind():
    X, y = load_iris(return_X_y=True)
    for cv in (
        ShuffleSplit(3, test_size=0.3, random_state=0),
        StratifiedKFold(4, shuffle=True, random_state=0),
        [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))],
        [(np.r_[0:100, 0:100], np.arange(100, 150))],  # rows drawn twice
    ):
        ours = SoftmaxSearchCV(classifier(), GRID, cv=cv).fit(X, y)
        theirs = GridSearchCV(classifier(), GRID, cv=cv).fit(X, y)
        assert_same_results(ours.cv_results_, theirs.cv_results_)


@pytest.mark.slow
def test_several_processes_find_the_same():
    X, y = load_iris(return_X_y=True)
    one = SoftmaxSearchCV(classifier(backend="numpy"), GRID, cv=3).fit(X, y)
    more = SoftmaxSearchCV(classifier(backend="numpy"), GRID, cv=3, n_jobs=2).fit(X, y)
    assert_same_results(more.cv_results_, one.cv_results_)


def test_the_same_again_bit_for_bit():
    X, y = load_wine(return_X_y=True)
    one, other = (SoftmaxSearchCV(classifier(), GRID).fit(X, y) for _ in range(2))
    for name, array in one.cv_results_.items():
        if "time" not in name and name != "params":
            np.testing.assert_array_equal(array, other.cv_results_[name])


def test_nested_in_cross_validation():
    X, y = load_iris(return_X_y=True)
    search = SoftmaxSearchCV(classifier(), {"alpha": [1e-3, 1e-1]}, cv=3)
    assert cross_val_score(search, X, y, cv=3).mean() > 0.9


@pytest.mark.parametrize("given", [{}, {"param_grid": GRID, "param_distributions": GRID}])
def test_grid_or_distributions(given):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="Pass either param_grid"):
        SoftmaxSearchCV(classifier(), **given).fit(X, y)


def test_a_parameter_that_is_none():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="Invalid parameter 'C'"):
        SoftmaxSearchCV(classifier(), {"C": [1]}).fit(X, y)
    with pytest.raises(ValueError, match="'halving' parameter"):
        SoftmaxSearchCV(classifier(), GRID, halving=0).fit(X, y)


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


def test_an_estimator_that_needs_no_labels():
    X, _ = load_iris(return_X_y=True)
    grid = {"n_clusters": [2, 3]}
    ours, theirs = (
        search(KMeans(n_init=1, random_state=0), grid).fit(X)
        for search in (SoftmaxSearchCV, GridSearchCV)
    )
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_nothing_stays_of_an_earlier_search():
    X, y = load_iris(return_X_y=True, as_frame=True)
    search = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y)
    search.set_params(refit=False).fit(X.to_numpy(), y)
    for name in ("best_estimator_", "refit_time_", "feature_names_in_"):
        assert not hasattr(search, name)
    with pytest.raises((AttributeError, NotFittedError)):
        search.predict(X)
