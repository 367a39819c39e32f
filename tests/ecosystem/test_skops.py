"""Models stored by skops: which types a reader must trust, and that training goes on."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sksoftmax.estimators.persistence
from sksoftmax import SoftmaxClassifier

skops_io = pytest.importorskip("skops.io")

X, Y = load_iris(return_X_y=True)
TRUSTED = ["sksoftmax.estimators.classifier.SoftmaxClassifier"]
"""The type that docs/deployment.rst names."""


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "adam"},
        {"standardize": False},
        {"class_weight": {0: 2.0, 1: 1.0}, "random_state": np.random.RandomState(0)},
    ],
    ids=["plain", "adam", "raw features", "class weights"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stored_models_predict_and_train_on(dtype, n_classes, parameters):
    rows, y = X.astype(dtype), np.minimum(Y, n_classes - 1)
    settings = {"batch_size": 40, "max_iter": 3, "tol": None, "random_state": 0}
    clf = SoftmaxClassifier(warm_start=True, **{**settings, **parameters}).fit(rows, y)
    stored = skops_io.dumps(clf)
    assert set(skops_io.get_untrusted_types(data=stored)) <= set(TRUSTED)
    loaded = skops_io.loads(stored, trusted=TRUSTED)
    np.testing.assert_array_equal(loaded.predict_proba(rows), clf.predict_proba(rows))
    for go_on in ("fit", "partial_fit"):
        for model in (clf, loaded):
            getattr(model, go_on)(rows[::2], y[::2])
        np.testing.assert_array_equal(loaded.coef_, clf.coef_)
        assert loaded.loss_curve_ == clf.loss_curve_


def test_nothing_but_the_class_need_be_trusted():
    stored = skops_io.dumps(make_pipeline(StandardScaler(), SoftmaxClassifier()).fit(X, Y))
    assert skops_io.get_untrusted_types(data=stored) == TRUSTED
    with pytest.raises(skops_io.exceptions.UntrustedTypesFoundException):
        skops_io.loads(stored)


def test_unfitted_models_need_the_class_alone():
    clf = SoftmaxClassifier(alpha=0.5)
    loaded = skops_io.loads(skops_io.dumps(clf), trusted=[SoftmaxClassifier])
    assert loaded.get_params() == clf.get_params()
    np.testing.assert_array_equal(loaded.fit(X, Y).classes_, clone(clf).fit(X, Y).classes_)


def test_another_version_warns(monkeypatch):
    stored = skops_io.dumps(SoftmaxClassifier().fit(X, Y))
    monkeypatch.setattr(sksoftmax.estimators.persistence, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="99.0"):
        skops_io.loads(stored, trusted=TRUSTED)
