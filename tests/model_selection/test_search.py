"""SoftmaxSearchCV beside GridSearchCV and RandomizedSearchCV, which fit one after another."""

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array
from searches import GRID, assert_same_results, classifier
from sklearn.base import is_classifier
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import DataConversionWarning, FitFailedWarning, NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV


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


def test_labels_in_a_column_are_labels():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(DataConversionWarning):
        search = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y[:, None])
    expected = SoftmaxSearchCV(classifier(), GRID, cv=3).fit(X, y).cv_results_
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], expected["mean_test_score"]
    )


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
