"""SoftmaxSearchCV beside GridSearchCV and RandomizedSearchCV, which fit one after another."""

import re

import numpy as np
import pytest
from scipy import stats
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
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax.estimators.fit import Fit
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training.stopping import Plateau

GRID = {"alpha": [1e-3, 1e-2, 1, 30], "learning_rate": ["auto", 0.05]}


def classifier(**parameters):
    return SoftmaxClassifier(**{"random_state": 0, "batch_size": 32, **parameters})


def assert_same_results(ours, theirs):
    """Equal keys, shapes, kinds and numbers, but for the times."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        found = ours[name]
        assert type(found) is type(expected)
        if name == "params":
            assert found == expected
            continue
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if "_time" in name:
            assert (found >= 0).all()
        elif name.startswith("param_"):
            assert found.tolist() == expected.tolist()
        elif not name.startswith("rank_"):  # which scores decide, ties but for rounding too
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


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


@pytest.mark.slow
def test_several_processes_find_the_same():
    X, y = load_iris(return_X_y=True)
    one = SoftmaxSearchCV(classifier(backend="numpy"), GRID, cv=3).fit(X, y)
    more = SoftmaxSearchCV(classifier(backend="numpy"), GRID, cv=3, n_jobs=2).fit(X, y)
    assert_same_results(more.cv_results_, one.cv_results_)


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


def test_our_classifier_needs_labels():
    X, _ = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        SoftmaxSearchCV(classifier(), {"alpha": [1]}).fit(X)


SEVERAL = {"score_a": "accuracy", "score_b": "neg_log_loss"}


def several_scores(estimator, X, y):
    return {"score_a": estimator.score(X, y), "score_b": 1 - estimator.score(X, y)}


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


def test_nothing_stays_of_an_earlier_search():
    X, y = load_iris(return_X_y=True, as_frame=True)
    search = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y)
    search.set_params(refit=False).fit(X.to_numpy(), y)
    for name in ("best_estimator_", "refit_time_", "feature_names_in_"):
        assert not hasattr(search, name)
    with pytest.raises((AttributeError, NotFittedError)):
        search.predict(X)


@pytest.mark.parametrize("given", [{"param_grid": []}, {"cv": iter([])}])
def test_nothing_to_fit(given):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="No fits were performed"):
        SoftmaxSearchCV(**{"estimator": classifier(), "param_grid": GRID, **given}).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_halving_ranks_by_the_folds_that_have_scores():
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.permutation(150)
    splits = [(np.arange(40), np.arange(100, 150)), (rows[:100], rows[100:])]
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
