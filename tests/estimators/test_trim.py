"""A model that is trimmed for prediction: smaller, with the same answers, and not to train."""

import io
import pickle

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV

X, Y = load_iris(return_X_y=True)


def fitted(**parameters):
    return SoftmaxClassifier(random_state=0, max_iter=3, tol=None, **parameters).fit(X, Y)


def stored_bytes(clf):
    return len(pickle.dumps(clf))


def test_little_is_stored_beside_the_coefficients():
    rng = np.random.default_rng(0)
    where = rng.integers(50, size=60_000), rng.integers(20_000, size=60_000)
    rows = sparse.csr_array((rng.random(60_000, np.float32), where), (50, 20_000))
    clf = SoftmaxClassifier(random_state=0, max_iter=1, tol=None).fit(rows, np.arange(50) % 20)
    before = stored_bytes(clf)
    after = stored_bytes(clf.trim_for_prediction())
    of_features = clf.mean_.nbytes + clf.scale_.nbytes
    assert after < clf.coef_.nbytes + of_features + 20_000
    assert before > 2.5 * after


@pytest.mark.parametrize("parameters", [{}, {"optimizer": "adam"}, {"early_stopping": True}])
def test_predictions_are_the_same_and_survive_storage(parameters):
    clf = fitted(**parameters)
    expected = clf.predict_proba(X)
    trimmed = clf.trim_for_prediction()
    assert trimmed is clf
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    for model in (clf, pickle.loads(pickle.dumps(clf)), joblib.load(file)):
        np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(clf.trim_for_prediction().predict_proba(X), expected)


@pytest.mark.parametrize("stored", [False, True])
def test_training_cannot_go_on_unnoticed(stored):
    clf = fitted(warm_start=True).trim_for_prediction()
    clf = pickle.loads(pickle.dumps(clf)) if stored else clf
    before = dict(vars(clf))
    for train in (clf.fit, clf.partial_fit):
        with pytest.raises(ValueError, match="trimmed for prediction"):
            train(X, Y)
        assert vars(clf) == before
    anew = clf.set_params(warm_start=False).fit(X, Y)
    np.testing.assert_array_equal(anew.coef_, fitted().coef_)
    anew.partial_fit(X, Y)


GRID = {"alpha": [1e-4, 1e-2]}


@pytest.mark.parametrize(
    "search",
    [
        SoftmaxSearchCV(SoftmaxClassifier(random_state=0), GRID),
        SoftmaxSearchCV(
            make_pipeline(StandardScaler(), SoftmaxClassifier(random_state=0)),
            {f"softmaxclassifier__{name}": values for name, values in GRID.items()},
        ),
        SoftmaxClassifierCV(alphas=2, random_state=0),
    ],
    ids=["search", "search over a pipeline", "SoftmaxClassifierCV"],
)
def test_searches_keep_their_answers_and_scores(search):
    search.fit(X, Y)
    expected, scores = search.predict_proba(X), search.best_score_
    before = stored_bytes(search)
    assert stored_bytes(search.trim_for_prediction()) < before
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert loaded.best_score_ == scores


@pytest.mark.parametrize(
    "estimator",
    [
        SoftmaxClassifier(),
        SoftmaxClassifierCV(),
        SoftmaxSearchCV(SoftmaxClassifier(), GRID, refit=False),
    ],
)
def test_what_is_not_fitted_cannot_be_trimmed(estimator):
    with pytest.raises(NotFittedError):
        estimator.trim_for_prediction()
