"""Models without their training state: how small, where they load, and what they refuse."""

import copy
import io
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV
from sksoftmax.estimators.final import final_estimator

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 300)).astype(np.float32)
Y = np.arange(120) % 20
SETTINGS = {"max_iter": 2, "tol": None, "batch_size": 32, "random_state": 0}


def by_pickle(model):
    return len(pickle.dumps(model)), pickle.loads(pickle.dumps(model))


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    size = file.tell()
    file.seek(0)
    return size, joblib.load(file)


def by_skops(model):
    skops_io = pytest.importorskip("skops.io")
    stored = skops_io.dumps(model)
    return len(stored), skops_io.loads(
        stored, trusted=skops_io.get_untrusted_types(data=stored)
    )


def classifier():
    return SoftmaxClassifier(**SETTINGS).fit(X, Y)


def classifier_cv():
    return SoftmaxClassifierCV(alphas=[1e-2, 1], cv=2, **SETTINGS).fit(X, Y)


def search():
    grid = {"alpha": [1e-2, 1]}
    return SoftmaxSearchCV(SoftmaxClassifier(**SETTINGS), grid, cv=2).fit(X, Y)


def search_over_pipelines():
    pipeline = make_pipeline(StandardScaler(), SoftmaxClassifier(**SETTINGS))
    return SoftmaxSearchCV(pipeline, {"softmaxclassifier__alpha": [1e-2, 1]}, cv=2).fit(X, Y)


MODELS = [classifier, classifier_cv, search, search_over_pipelines]


@pytest.mark.parametrize("stored", [by_pickle, by_joblib, by_skops])
@pytest.mark.parametrize("fitted", MODELS)
def test_what_is_kept_predicts_the_same_from_any_file(fitted, stored):
    model = fitted()
    expected = model.predict_proba(X)
    size_before, _ = stored(model)
    coef = final_estimator(model)[0].coef_
    assert model.trim_for_prediction() is model
    size, loaded = stored(model)
    assert size < size_before - 2 * coef.nbytes
    for kept in (model, loaded):
        assert_array_equal(kept.predict_proba(X), expected)
        assert_array_equal(kept.predict(X), model.classes_[expected.argmax(axis=1)])
    assert_array_equal(copy.deepcopy(model).predict_proba(X), expected)


def test_a_saved_classifier_is_its_coefficients():
    model = classifier().trim_for_prediction()
    size, _ = by_pickle(model)
    of_features = model.mean_.nbytes + model.scale_.nbytes
    assert size < model.coef_.nbytes + of_features + 4000


def test_training_on_is_refused_and_starting_anew_is_not():
    expected = classifier()
    loaded = pickle.loads(pickle.dumps(classifier().trim_for_prediction()))
    message = r"has been trimmed for prediction.* Call fit with warm_start=False"
    for warm_start in (False, True):
        before = pickle.dumps(loaded.set_params(warm_start=warm_start))
        with pytest.raises(ValueError, match=message):
            loaded.partial_fit(X, Y)
        assert pickle.dumps(loaded) == before
    with pytest.raises(ValueError, match=message):
        loaded.fit(X, Y)
    assert_array_equal(loaded.predict_proba(X), expected.predict_proba(X))
    assert_array_equal(loaded.set_params(warm_start=False).fit(X, Y).coef_, expected.coef_)
    loaded.partial_fit(X, Y)
    assert loaded.n_iter_ == 3


def test_dropping_twice_or_from_sparse_coefficients():
    model = classifier()
    expected = model.predict(X)
    assert_array_equal(model.sparsify().trim_for_prediction().predict(X), expected)
    assert_array_equal(model.trim_for_prediction().densify().predict(X), expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_an_error_and_leaves_the_model_alone():
    model = classifier()
    before = pickle.dumps(model)
    with pytest.raises(OSError, match="No space left on device"):
        joblib.dump(model, "/dev/full")
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("parameters", [{}, {"average": False, "learning_rate": 0.1}], ids=str)
def test_no_array_is_stored_twice(parameters):
    # A pickle stores an object once, whoever refers to it; joblib stores arrays anew.
    model = SoftmaxClassifier(**SETTINGS, **parameters).fit(X, Y)
    size, loaded = by_joblib(model)
    assert size < by_pickle(model)[0] + model.mean_.nbytes + 4000
    assert_array_equal(loaded.partial_fit(X, Y).coef_, model.partial_fit(X, Y).coef_)
