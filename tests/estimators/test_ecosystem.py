"""scikit-learn's tools around the estimator: searches, ensembles, pickles, frames, routing.

Each tool runs for real on small data, and is held to a result that only a working estimator
underneath can give.
"""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksoftmax import SoftmaxClassifier, list_backends

BACKENDS = [info.name for info in list_backends() if info.available]
IRIS = load_iris(as_frame=True)
X, Y = IRIS.data.to_numpy(), IRIS.target.to_numpy()
NAMES = list(IRIS.data.columns)


def assert_same_model(one, other, atol=0.0):
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=0, atol=atol)
    np.testing.assert_allclose(one.intercept_, other.intercept_, rtol=0, atol=atol)
    np.testing.assert_array_equal(one.classes_, other.classes_)


@pytest.mark.slow
@pytest.mark.mnist
def test_cross_validation_on_mnist(mnist):
    X_train, y_train, _, _ = mnist
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0)
    assert cross_val_score(clf, X_train, y_train, cv=3).min() > 0.91


@pytest.mark.slow
def test_grid_search_in_two_processes():
    grid = {"alpha": [1e-4, 1.0], "batch_size": [50, 150], "backend": BACKENDS}
    search = GridSearchCV(SoftmaxClassifier(random_state=0), grid, n_jobs=2, cv=3)
    search.fit(X, Y)
    assert len(search.cv_results_["params"]) == 4 * len(BACKENDS)
    assert search.best_score_ > 0.95
    assert search.best_params_["alpha"] == 1e-4
    assert search.best_estimator_.backend_ == search.best_params_["backend"]
    # Workers and this process find the same scores.
    alone = GridSearchCV(SoftmaxClassifier(random_state=0), grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_pipeline_with_a_scaler_is_the_same_model():
    # The estimator standardises within: a scaler before it may change no prediction.
    clf = SoftmaxClassifier(random_state=0)
    scaled = make_pipeline(StandardScaler(), clf).fit(X, Y)
    np.testing.assert_allclose(
        scaled.predict_proba(X), clone(clf).fit(X, Y).predict_proba(X), atol=1e-6
    )


def test_pipeline_with_pca():
    digits, labels = load_digits(return_X_y=True)
    model = make_pipeline(PCA(20, random_state=0), SoftmaxClassifier(random_state=0))
    assert cross_val_score(model, digits, labels, cv=3).min() > 0.88


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_repairs_bad_probabilities(method):
    digits, labels = load_digits(return_X_y=True)
    parts = train_test_split(digits, labels, test_size=0.5, random_state=0)
    X_train, X_test, y_train, y_test = parts
    timid = SoftmaxClassifier(alpha=10.0, random_state=0)
    calibrated = CalibratedClassifierCV(timid, method=method, cv=3).fit(X_train, y_train)

    def brier(clf):  # isotonic regression gives zeros, where the log loss is not finite
        return ((clf.predict_proba(X_test) - np.eye(10)[y_test]) ** 2).sum(axis=1).mean()

    assert brier(calibrated) < brier(clone(timid).fit(X_train, y_train)) / 2


def test_bagging_draws_by_weight():
    X_wine, y_wine = load_wine(return_X_y=True)
    bag = BaggingClassifier(
        SoftmaxClassifier(), n_estimators=5, max_features=6, oob_score=False, random_state=0
    ).fit(X_wine, y_wine)
    assert bag.score(X_wine, y_wine) > 0.95
    first, second, *_ = bag.estimators_
    assert not np.array_equal(first.coef_, second.coef_)


def with_noise_columns():
    noise = np.random.default_rng(0).normal(size=(len(X), 3))
    return np.hstack([noise[:, :2], StandardScaler().fit_transform(X)[:, 2:], noise[:, 2:]])


def test_permutation_importance_finds_the_informative_columns():
    rows = with_noise_columns()
    clf = SoftmaxClassifier(random_state=0).fit(rows, Y)
    means = permutation_importance(clf, rows, Y, n_repeats=5, random_state=0).importances_mean
    assert means[2:4].min() > 0.1
    assert np.abs(np.delete(means, [2, 3])).max() < 0.03


def test_recursive_elimination_keeps_the_informative_columns():
    rfe = RFE(SoftmaxClassifier(random_state=0), n_features_to_select=2)
    support = rfe.fit(with_noise_columns(), Y).support_
    assert support.tolist() == [False, False, True, True, False]


def test_clone_is_unfitted_and_equal():
    clf = SoftmaxClassifier(alpha=0.5, class_weight={0: 2.0}, random_state=3).fit(X, Y)
    copy = clone(clf)
    assert copy.get_params() == clf.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(X)
    assert_same_model(copy.fit(X, Y), clf)


def stored(how, clf, file):
    if how == "pickle":
        return pickle.loads(pickle.dumps(clf))
    joblib.dump(clf, file)
    return joblib.load(file, mmap_mode=None if how == "joblib" else "r")


@pytest.mark.parametrize("how", ["pickle", "joblib", "memory-mapped joblib"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_stored_models_predict_and_train_on(how, n_classes, tmp_path):
    y = np.minimum(Y, n_classes - 1)
    parameters = {"batch_size": 40, "max_iter": 3, "tol": None, "random_state": 0}
    clf = SoftmaxClassifier(warm_start=True, **parameters).fit(X, y)
    for i, go_on in enumerate(("partial_fit", "fit", "partial_fit")):
        loaded = stored(how, clf, tmp_path / f"{i}.joblib")
        assert isinstance(loaded.coef_, np.memmap) == (how == "memory-mapped joblib")
        before = clf.predict_proba(X)
        np.testing.assert_array_equal(loaded.predict_proba(X), before)
        for model in (clf, loaded):
            getattr(model, go_on)(X[::2], y[::2])
        assert_same_model(loaded, clf)
        assert loaded.loss_curve_ == clf.loss_curve_
        assert np.abs(loaded.predict_proba(X) - before).max() > 0


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_hands_on_names(container):
    frame = IRIS.data if container == "pandas" else pl.from_pandas(IRIS.data)
    model = make_pipeline(StandardScaler(), SoftmaxClassifier(random_state=0))
    model.set_output(transform=container).fit(frame, Y)
    assert model[-1].feature_names_in_.tolist() == NAMES
    assert model.score(frame, Y) > 0.95


def test_sample_weight_is_routed():
    weights = np.random.default_rng(0).exponential(size=len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        assert_routed(weights, told_of_weights())


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="before scikit-learn 1.8 no weights reach the score of a Pipeline",
)
def test_sample_weight_is_routed_through_a_pipeline():
    weights = np.random.default_rng(0).exponential(size=len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler(with_std=False).set_fit_request(sample_weight=False)
        assert_routed(weights, make_pipeline(scaler, told_of_weights()))


def told_of_weights():
    clf = SoftmaxClassifier(batch_size=32, random_state=0)
    return clf.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


def assert_routed(weights, model):
    folds = StratifiedKFold(3)
    result = cross_validate(
        model, X, Y, cv=folds, params={"sample_weight": weights}, return_estimator=True
    )
    assert_fitted_with(weights, result, folds, told_of_weights())


def assert_fitted_with(weights, result, folds, clf):
    fits = zip(folds.split(X, Y), result["estimator"], result["test_score"], strict=True)
    for (train, test), model, score in fits:
        expected = clone(clf).fit(X[train], Y[train], weights[train])
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-9)
        unweighted = clone(clf).fit(X[train], Y[train]).predict_proba(X)
        assert np.abs(model.predict_proba(X) - unweighted).max() > 1e-3
        assert score == pytest.approx(expected.score(X[test], Y[test], weights[test]))


def test_weights_that_nobody_asked_for_are_an_error():
    weights = {"sample_weight": np.ones(len(Y))}
    routing = sklearn.config_context(enable_metadata_routing=True)
    with routing, pytest.raises(ValueError, match="sample_weight"):
        cross_validate(SoftmaxClassifier(), X, Y, params=weights)


FRAMES = {"pandas": pd.DataFrame, "polars": lambda data: pl.DataFrame(dict(data))}


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
@pytest.mark.parametrize("library", FRAMES)
def test_frames_train_like_arrays(library, dtype):
    rows = (X * 10).astype(dtype)
    columns = dict(zip(NAMES, rows.T.copy(), strict=True))
    frame = FRAMES[library](columns)
    clf = SoftmaxClassifier(batch_size=32, max_iter=10, tol=None, random_state=0)
    plain = clone(clf).fit(rows, Y)
    clf.fit(frame, Y)
    assert_same_model(clf, plain, atol=1e-6)
    assert clf.coef_.dtype == plain.coef_.dtype == (np.float64 if dtype == "float64" else "f4")
    assert clf.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(clf.predict(frame), plain.predict(rows))

    renamed = FRAMES[library]({name.upper(): column for name, column in columns.items()})
    for call in (clf.predict, lambda other: clf.partial_fit(other, Y)):
        with pytest.raises(ValueError, match="feature names should match those that were"):
            call(renamed)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        clf.predict(rows)


@pytest.mark.parametrize(
    "as_labels",
    [
        lambda names: names,
        lambda names: names.astype(object),
        lambda names: names.tolist(),
        pd.Series,
        lambda names: pd.Series(names, index=np.arange(len(names))[::-1]),
        lambda names: pd.Series(
            pd.Categorical(names, categories=["virginica", "setosa", "versicolor"])
        ),
    ],
    ids=["U", "object", "list", "Series", "Series with an index of its own", "categorical"],
)
def test_string_labels(as_labels):
    names = IRIS.target_names[Y]
    clf = SoftmaxClassifier(random_state=0).fit(X, as_labels(names))
    coded = SoftmaxClassifier(random_state=0).fit(X, Y)
    assert clf.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(clf.predict(X), IRIS.target_names[coded.predict(X)])
    np.testing.assert_array_equal(clf.coef_, coded.coef_)
    clf.partial_fit(X, as_labels(names))
    assert clf.score(X, as_labels(names)) > 0.95


def test_a_subclass_has_parameters_of_its_own():
    class Tempered(SoftmaxClassifier):
        def __init__(self, temperature=1.0, alpha=1e-4):
            super().__init__(alpha=alpha)
            self.temperature = temperature

    assert len(SoftmaxClassifier().get_params()) > 20
    assert Tempered(2.0).get_params() == {"temperature": 2.0, "alpha": 1e-4}
    assert clone(Tempered().set_params(alpha=1)).alpha == 1
    assert len(SoftmaxClassifier().get_params()) > 20
