"""SoftmaxClassifierCV: what it chooses, and the shape in which it says so."""

import numpy as np
import pytest
import sklearn
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import (
    FitFailedWarning,
    NotFittedError,
    UnsetMetadataPassedError,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    get_scorer,
    log_loss,
    make_scorer,
    recall_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV
from sksoftmax.model_selection import SoftmaxSearchCV


def test_it_is_the_search_and_the_best_classifier():
    X, y = load_wine(return_X_y=True)
    alphas, l1_ratios, rates = [1e-2, 1e-1], [0, 0.5, 1], ["auto", 0.05]
    others = {"random_state": 0, "momentum": 0.5, "batch_size": 32}
    clf = SoftmaxClassifierCV(
        alphas=alphas, l1_ratios=l1_ratios, learning_rates=rates, **others
    ).fit(X, y)
    grid = {"alpha": alphas, "l1_ratio": l1_ratios, "learning_rate": rates}
    search = SoftmaxSearchCV(SoftmaxClassifier(**others), grid).fit(X, y)
    assert clf.cv_results_.keys() == search.cv_results_.keys()
    assert clf.best_params_ == search.best_params_
    assert clf.best_score_ == search.best_score_
    assert (clf.alpha_, clf.l1_ratio_, clf.learning_rate_) == tuple(
        search.best_params_[name] for name in ("alpha", "l1_ratio", "learning_rate")
    )
    np.testing.assert_array_equal(clf.coef_, search.best_estimator_.coef_)
    np.testing.assert_array_equal(clf.predict_proba(X), search.predict_proba(X))
    assert clf.n_iter_ == search.best_estimator_.n_iter_
    assert clf.scores_.shape == (5, 2, 3, 2)
    assert clf.coefs_paths_.shape == (5, 2, 3, 2, 3, 14)
    place = np.unravel_index(clf.best_index_, (2, 3, 2))
    assert clf.scores_[(slice(None), *place)].mean() == pytest.approx(clf.best_score_)
    for i, name in enumerate(["alphas_", "l1_ratios_", "learning_rates_"]):
        assert getattr(clf, name)[place[i]] == getattr(clf, name.replace("s_", "_"))


def test_paths_are_the_coefficients_of_each_fold():
    X, y = load_breast_cancer(return_X_y=True)
    cv = StratifiedKFold(3)
    clf = SoftmaxClassifierCV(alphas=[1e-2, 1], cv=cv, random_state=0).fit(X, y)
    assert clf.coefs_paths_.shape == (3, 2, 1, 1, 1, 31)
    for fold, (train, test) in enumerate(cv.split(X, y)):
        for i, alpha in enumerate(clf.alphas_):
            alone = SoftmaxClassifier(alpha=alpha, random_state=0).fit(X[train], y[train])
            path = clf.coefs_paths_[fold, i, 0, 0]
            np.testing.assert_allclose(path[:, :-1], alone.coef_, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(path[:, -1], alone.intercept_, rtol=1e-6)
            assert clf.scores_[fold, i, 0, 0] == alone.score(X[test], y[test])


def test_c_is_that_of_logistic_regression():
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).uniform(1, 3, len(y))
    clf = SoftmaxClassifierCV(alphas=[0.05], batch_size=1000, tol=1e-9, max_iter=5000, cv=2)
    clf.fit(X, y, sample_weight=weights)
    assert pytest.approx(1 / (0.05 * weights.sum())) == clf.C_
    same = make_pipeline(StandardScaler(), LogisticRegression(C=clf.C_, tol=1e-9))
    same.fit(X, y, logisticregression__sample_weight=weights,
             standardscaler__sample_weight=weights)  # fmt: skip
    np.testing.assert_allclose(clf.predict_proba(X), same.predict_proba(X), atol=1e-4)
    assert np.inf == SoftmaxClassifierCV(alphas=[0], cv=2).fit(X, y).C_


def test_it_finds_what_logistic_regression_finds():
    X, y = load_wine(return_X_y=True)
    clf = SoftmaxClassifierCV(scoring="neg_log_loss", random_state=0).fit(X, y)
    peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"logisticregression__C": 1 / (clf.alphas_ * len(y) * 4 / 5)}
    peer = GridSearchCV(peer, grid, scoring="neg_log_loss").fit(X, y)
    best = clf.scores_.reshape(5, 10)[:, clf.best_index_]
    assert abs(clf.best_score_ - peer.best_score_) < best.std(ddof=1) / np.sqrt(5)


def test_scores_are_weighted():
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).exponential(size=len(y))
    folds = list(StratifiedKFold(3).split(X, y))
    for scoring in ("accuracy", None):
        clf = SoftmaxClassifierCV(alphas=[3.0], cv=folds, scoring=scoring, random_state=0)
        clf.fit(X, y, sample_weight=weights)
        for fold, (train, test) in enumerate(folds):
            alone = SoftmaxClassifier(alpha=3.0, random_state=0)
            alone.fit(X[train], y[train], weights[train])
            score = alone.score(X[test], y[test], weights[test])
            assert clf.scores_[fold, 0, 0, 0] == pytest.approx(score)
            assert score != alone.score(X[test], y[test])


def test_scorers_that_take_no_weights():
    X, y = load_iris(return_X_y=True)
    scorer = make_scorer(lambda y_true, y_pred: accuracy_score(y_true, y_pred))
    clf = SoftmaxClassifierCV(alphas=3, scoring=scorer, random_state=0)
    clf.fit(X, y, sample_weight=np.ones(len(y)))
    assert clf.score(X, y) == accuracy_score(y, clf.predict(X))


def test_groups_are_kept_together():
    X, y = load_iris(return_X_y=True)
    groups = np.random.default_rng(0).integers(9, size=len(y))
    cv = GroupKFold(3)
    clf = SoftmaxClassifierCV(alphas=[1.0], cv=cv, random_state=0).fit(X, y, groups=groups)
    for fold, (train, test) in enumerate(cv.split(X, y, groups)):
        alone = SoftmaxClassifier(alpha=1.0, random_state=0).fit(X[train], y[train])
        assert clf.scores_[fold, 0, 0, 0] == alone.score(X[test], y[test])
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        SoftmaxClassifierCV(cv=cv).fit(X, y)


def test_several_scorers():
    X, y = load_iris(return_X_y=True)
    scoring = ["accuracy", "neg_log_loss"]
    clf = SoftmaxClassifierCV(alphas=3, scoring=scoring, refit="neg_log_loss", random_state=0)
    clf.fit(X, y)
    assert clf.scores_.keys() == set(scoring)
    assert clf.score(X, y) == pytest.approx(-log_loss(y, clf.predict_proba(X)))
    clf.set_params(refit=False).fit(X, y)  # nothing is chosen, and no old model stays
    with pytest.raises(NotFittedError):
        clf.predict(X)


def test_without_a_refit_the_models_of_the_folds_are_averaged():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifierCV(alphas=3, random_state=0).fit(X, y)
    assert clf.n_iter_ > 0
    clf.set_params(refit=False).fit(X, y)
    best = clf.coefs_paths_.reshape(5, 3, 3, 5)[:, clf.best_index_].mean(axis=0)
    np.testing.assert_allclose(np.column_stack([clf.coef_, clf.intercept_]), best)
    assert not hasattr(clf, "n_iter_")
    assert clf.score(X, y) > 0.9


def test_a_fold_that_lacks_a_class():
    X, y = load_iris(return_X_y=True)
    cv = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    clf = SoftmaxClassifierCV(alphas=[0.1], cv=cv, random_state=0).fit(X, y)
    paths = clf.coefs_paths_[:, 0, 0, 0]
    assert np.isnan(paths).all(axis=2).tolist() == [[False, False, True], [True, False, False]]
    two = SoftmaxClassifier(alpha=0.1, random_state=0).fit(X[:100], y[:100])
    np.testing.assert_allclose(paths[0, 1, :-1] - paths[0, 0, :-1], two.coef_[0], rtol=1e-6)


def test_fits_that_fail_have_no_path():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifierCV(alphas=[1.0], learning_rates=[0.1, 1e200], random_state=0)
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        clf.fit(X, y)
    assert np.isnan(clf.coefs_paths_[:, 0, 0, 1]).all()
    assert np.isfinite(clf.coefs_paths_[:, 0, 0, 0]).all()


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifierCV(alphas=3, random_state=0).fit(X, y)
    before = dict(vars(clf))
    for bad, message in ((np.zeros(150), "only one class: "), (y[:10], "inconsistent numbers")):
        with pytest.raises(ValueError, match=message):
            clf.fit(X[:, :2], bad)
        assert vars(clf) == before


def with_a_rare_class():
    rng = np.random.default_rng(3)
    y = rng.choice(3, 300)
    y[:3] = 3
    return rng.normal(size=(300, 20)) + 0.8 * np.eye(4, 20)[y], y


@pytest.mark.filterwarnings("ignore:The least populated class in y has only 3 members")
@pytest.mark.parametrize("alphas", [[1e-5, 1e-3, 1e-1, 10.0], [10.0, 1e-1, 1e-3, 1e-5]])
def test_a_class_that_some_folds_do_not_score(alphas):
    X, y = with_a_rare_class()
    clf = SoftmaxClassifierCV(alphas=alphas, scoring="neg_log_loss", random_state=0).fit(X, y)
    assert clf.alpha_ == 0.1  # as LogisticRegressionCV of scikit-learn 1.9 chooses
    assert np.isfinite(clf.scores_).all()
    for fold, (train, test) in enumerate(StratifiedKFold(5).split(X, y)):
        alone = SoftmaxClassifier(alpha=alphas[0], random_state=0).fit(X[train], y[train])
        loss = log_loss(y[test], alone.predict_proba(X[test]), labels=range(4))
        assert clf.scores_[fold, 0, 0, 0] == pytest.approx(-loss, rel=1e-6)
    few = y > 1
    assert clf.score(X[few], y[few]) < 0  # other rows may lack classes too


@pytest.mark.parametrize("n_of_fold", [2, 3], ids=["of two classes", "of three"])
def test_a_class_that_some_folds_do_not_learn(n_of_fold):
    X, y = with_a_rare_class()
    known = y < n_of_fold
    splits = [(np.flatnonzero(known)[::2], np.flatnonzero(~known | (np.arange(300) % 2 == 1)))]
    clf = SoftmaxClassifierCV(
        alphas=[0.1], cv=splits, scoring=["neg_log_loss", "accuracy"], refit=False,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    (train, test), = splits  # fmt: skip
    alone = SoftmaxClassifier(alpha=0.1, random_state=0).fit(X[train], y[train])
    probabilities = np.zeros((len(test), 4))
    probabilities[:, :n_of_fold] = alone.predict_proba(X[test])
    loss = log_loss(y[test], probabilities, labels=range(4))
    assert clf.scores_["neg_log_loss"].item() == pytest.approx(-loss)
    assert clf.scores_["accuracy"].item() == alone.score(X[test], y[test])


def test_the_last_of_two_classes_is_the_positive_one():
    X, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[y]  # benign comes first
    clf = SoftmaxClassifierCV(alphas=[0.1], scoring="recall", random_state=0).fit(X, names)
    by_name = [
        recall_score(names[test], fitted.predict(X[test]), pos_label="malignant")
        for train, test in StratifiedKFold(5).split(X, names)
        for fitted in [SoftmaxClassifier(alpha=0.1, random_state=0).fit(X[train], names[train])]
    ]
    np.testing.assert_allclose(clf.scores_.ravel(), by_name)
    scorer = make_scorer(recall_score, pos_label="benign")  # unless the caller says otherwise
    clf.set_params(scoring=scorer).fit(X, names)
    assert np.abs(clf.scores_.ravel() - by_name).max() > 0


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize("halving", [None, 2])
def test_a_fold_that_no_candidate_has_a_score_on_is_left_out(halving):
    X, y = load_wine(return_X_y=True)
    cv = TimeSeriesSplit(3)  # whose first training rows are of one class
    clf = SoftmaxClassifierCV(alphas=[30.0, 1e-2], cv=cv, halving=halving, random_state=0)
    with (
        pytest.warns(FitFailedWarning),
        pytest.warns(UserWarning, match="No candidate has a score on fold 0, which"),
    ):
        clf.fit(X, y)
    scores = clf.scores_.reshape(3, 2)
    assert np.isnan(scores[0]).all()
    assert clf.best_score_ == pytest.approx(scores[1:, clf.best_index_].mean())
    results = clf.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], scores[1:].mean(axis=0))
    np.testing.assert_allclose(results["std_test_score"], scores[1:].std(axis=0))
    assert results["rank_test_score"][clf.best_index_] == 1


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_nothing_is_chosen_where_no_score_is_a_number():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifierCV(alphas=3, random_state=0).fit(X, y)
    clf.set_params(scoring=lambda estimator, X, y: np.nan)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="No candidate can be chosen"):
        clf.fit(X, y)
    assert vars(clf) == before
    clf.set_params(refit=lambda results: 1).fit(X, y)  # the caller chooses
    assert clf.alpha_ == clf.alphas_[1]


def test_a_refit_that_fails_leaves_the_model_as_it_was():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifierCV(alphas=3, random_state=0).fit(X, y)
    clf.set_params(refit=lambda results: -1)
    before = dict(vars(clf))
    with pytest.raises(IndexError):
        clf.fit(X, y)
    assert vars(clf) == before


WEIGHTS = np.random.default_rng(0).exponential(size=150)
GROUPS = np.arange(150) % 7


def routed(request):
    scorer = get_scorer("accuracy").set_score_request(sample_weight=request)
    return SoftmaxClassifierCV(
        alphas=[1e-2, 1], cv=GroupKFold(3), scoring=scorer, random_state=0
    )


@pytest.mark.parametrize("request_", [True, False, "of_scores"])
def test_metadata_reach_who_requests_them(request_):
    X, y = load_iris(return_X_y=True)
    ours = {"sample_weight": WEIGHTS, "groups": GROUPS}
    if request_ == "of_scores":
        ours["of_scores"] = WEIGHTS**2
    of_scores = {True: WEIGHTS, False: None, "of_scores": WEIGHTS**2}[request_]
    with config_context(enable_metadata_routing=True):
        clf = routed(request_).fit(X, y, **ours)
        for fold, (train, test) in enumerate(GroupKFold(3).split(X, y, GROUPS)):
            alone = SoftmaxClassifier(alpha=clf.alphas_[0], random_state=0)
            alone.fit(X[train], y[train], WEIGHTS[train])
            weights = None if of_scores is None else of_scores[test]
            expected = alone.score(X[test], y[test], weights)
            assert clf.scores_[fold, 0, 0, 0] == pytest.approx(expected)
        if request_ != "of_scores":
            expected = accuracy_score(y, clf.predict(X), sample_weight=of_scores)
            score = clf.score(X, y, sample_weight=WEIGHTS)
            assert score == pytest.approx(expected)


def test_weights_are_routed_through_cross_validation():
    X, y = load_iris(return_X_y=True)
    metadata = {"sample_weight": WEIGHTS, "groups": GROUPS}
    with config_context(enable_metadata_routing=True):
        clf = routed(True).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=True)
        cv = GroupKFold(2)
        found = cross_validate(clf, X, y, cv=cv, params=metadata)["test_score"]
        for score, (train, test) in zip(found, cv.split(X, y, GROUPS), strict=True):
            alone = clone(clf).fit(
                X[train], y[train], sample_weight=WEIGHTS[train], groups=GROUPS[train]
            )
            assert score == alone.score(X[test], y[test], sample_weight=WEIGHTS[test])


NEW_ROUTING = parse_version(sklearn.__version__) >= parse_version("1.9")
"""Older routers pass on weights that nobody has requested."""


def test_metadata_that_nobody_requests():
    X, y = load_iris(return_X_y=True)
    for call in ("fit", "score"):
        clf = SoftmaxClassifierCV(alphas=[1e-2], cv=2).fit(X, y)
        with pytest.raises(ValueError, match=f"SoftmaxClassifierCV.{call} is only supported"):
            getattr(clf, call)(X, y, colour=1)
        with config_context(enable_metadata_routing=True):
            with pytest.raises(TypeError, match="unexpected argument"):
                getattr(clf, call)(X, y, colour=1)
            if NEW_ROUTING:
                with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
                    getattr(clf, call)(X, y, sample_weight=WEIGHTS)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": []}, "alphas is empty"),
        ({"alphas": 0}, "'alphas' parameter"),
        ({"alphas": [-1.0]}, "'alpha' parameter"),
        ({"l1_ratios": [2]}, "'l1_ratio' parameter"),
        ({"learning_rates": ["fast"]}, "could not convert"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"backend": "none"}, "none"),
    ],
)
def test_bad_parameters(parameters, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        SoftmaxClassifierCV(**parameters).fit(X, y)


@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3)])
def test_the_same_again_bit_for_bit(random_state):
    X, y = load_iris(return_X_y=True)
    state = np.random.RandomState(3)
    one, other = (
        SoftmaxClassifierCV(
            random_state=s, alphas=3, batch_size=16
        ).fit(X, y)
        for s in (random_state, state if isinstance(random_state, np.random.RandomState) else 3)
    )  # fmt: skip
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.coefs_paths_, other.coefs_paths_)
