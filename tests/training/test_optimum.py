"""At the optimum the model must be the one that other solvers find.

Many full-batch epochs in float64 against LogisticRegression, and the numbers that R's
glmnet prints for the same objective.
"""

from functools import cache

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksoftmax import SoftmaxClassifier

SKLEARN_BEFORE_1_8 = parse_version(sklearn.__version__) < parse_version("1.8")
ALPHA = 0.02
TO_THE_OPTIMUM = {
    "optimizer": "sgd",
    "tol": 1e-13,
    "n_iter_no_change": 50,
    "max_iter": 100_000,
    "batch_size": 10**6,
}


def logistic(sum_of_weights, **parameters):
    C = 1 / (ALPHA * sum_of_weights)
    return LogisticRegression(C=C, tol=1e-11, max_iter=100_000, **parameters)


def row_weights(y, kind):
    if kind == "none":
        return None
    return np.random.default_rng(0).integers(0, 4, len(y)).astype(float)


def assert_same_model(clf, coef, intercept, X, probabilities):
    assert_allclose(clf.coef_, coef, rtol=1e-4, atol=1e-4 * np.abs(coef).max())
    largest = max(np.abs(intercept).max(), 1)
    assert_allclose(clf.intercept_, intercept, rtol=1e-4, atol=1e-4 * largest)
    assert_allclose(clf.predict_proba(X), probabilities, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["auto", "sgd"])
@pytest.mark.parametrize("weights", ["none", "integers with zeros"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_default_equals_logistic_regression_on_scaled_features(
    load, fit_intercept, weights, optimizer
):
    X, y = load(return_X_y=True)
    w = row_weights(y, weights)
    parameters = {**TO_THE_OPTIMUM, "optimizer": optimizer, "fit_intercept": fit_intercept}
    clf = SoftmaxClassifier(alpha=ALPHA, **parameters)
    clf.fit(X, y, sample_weight=w)
    scaler = StandardScaler(with_mean=fit_intercept)
    peer = make_pipeline(
        scaler, logistic(len(y) if w is None else w.sum(), fit_intercept=fit_intercept)
    )
    peer.fit(X, y, standardscaler__sample_weight=w, logisticregression__sample_weight=w)
    coef = peer[-1].coef_ / scaler.scale_
    intercept = np.zeros(len(coef))
    if fit_intercept:
        intercept = peer[-1].intercept_ - coef @ scaler.mean_
    assert_same_model(clf, coef, intercept, X, peer.predict_proba(X))


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer": "adam", "schedule": "adaptive"},
        {"learning_rate": 0.05, "nesterov": True},
    ],
)
def test_every_optimizer_finds_the_same_optimum(parameters, load):
    X, y = load(return_X_y=True)
    automatic = SoftmaxClassifier(alpha=ALPHA, **TO_THE_OPTIMUM).fit(X, y)
    clf = SoftmaxClassifier(alpha=ALPHA, **{**TO_THE_OPTIMUM, **parameters}).fit(X, y)
    if len(clf.intercept_) > 1:
        # A number added to all intercepts changes nothing; only SGD leaves their sum at zero.
        clf.intercept_ -= clf.intercept_.mean()
    assert_same_model(clf, automatic.coef_, automatic.intercept_, X, automatic.predict_proba(X))


@pytest.mark.parametrize("class_weight", [None, {0: 3.0, 1: 0.5}, "balanced"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_without_standardizing_equals_logistic_regression(
    n_classes, fit_intercept, class_weight
):
    X, y = make_classification(
        300, 6, n_informative=5, n_redundant=0, n_classes=n_classes, random_state=0
    )
    X = X + 1
    clf = SoftmaxClassifier(
        alpha=ALPHA,
        standardize=False,
        fit_intercept=fit_intercept,
        class_weight=class_weight,
        **TO_THE_OPTIMUM,
    ).fit(X, y)
    # LogisticRegression multiplies the weights of rows; alpha is per weighted mean.
    if class_weight is None:
        of_class = np.ones(n_classes)
    elif class_weight == "balanced":
        of_class = len(y) / (n_classes * np.bincount(y))
    else:
        of_class = np.array([class_weight.get(c, 1.0) for c in range(n_classes)])
    peer = logistic(of_class[y].sum(), fit_intercept=fit_intercept, class_weight=class_weight)
    peer.fit(X, y)
    assert_same_model(clf, peer.coef_, peer.intercept_, X, peer.predict_proba(X))


def test_small_steps_on_minibatches_approach_the_same_optimum():
    X, y = load_wine(return_X_y=True)
    full = SoftmaxClassifier(alpha=ALPHA, **TO_THE_OPTIMUM).fit(X, y)
    small = SoftmaxClassifier(
        alpha=ALPHA, batch_size=16, learning_rate=1e-3, tol=None, max_iter=3000, random_state=0
    ).fit(X, y)
    assert np.abs(small.predict_proba(X) - full.predict_proba(X)).max() < 5e-3


# Coefficients of R's glmnet with alpha=0, lambda=1, standardize=F, as scikit-learn's own
# test of LogisticRegression records them.
GLMNET = {
    "binomial": (
        [0, 0, 0, 1, 1, 1, 1, 1, 1],
        [0.89230405539],
        [[0.44464569182, 0.01457563448]],
    ),
    "multinomial": (
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [-0.12004759652, 2.251747383e-01, -0.1051271418],
        [
            [-0.38023389305, -0.01226499932],
            [-8.164030176e-05, 4.734548012e-02],
            [0.3803155334, -0.0350804808],
        ],
    ),
}


@pytest.mark.parametrize("family", GLMNET)
def test_glmnet(family):
    X = np.array([[-4, -3, -2, -1, 0, 1, 2, 3, 4], [0, 0, 1, 0, 1, 1, 1, 0, 0]]).T
    y, intercept, coef = GLMNET[family]
    clf = SoftmaxClassifier(alpha=1, standardize=False, **TO_THE_OPTIMUM).fit(X, y)
    assert_allclose(clf.intercept_, intercept, rtol=1e-5)
    assert_allclose(clf.coef_, coef, rtol=1e-5, atol=1e-7)


def elastic_net(l1_ratio, **parameters):
    parameters = {**TO_THE_OPTIMUM, **parameters}
    return SoftmaxClassifier(alpha=ALPHA, l1_ratio=l1_ratio, random_state=0, **parameters)


@cache  # one for every way to get there
def scikit_learns_elastic_net(load, l1_ratio):
    """LogisticRegression on standardised features, and what has standardised them."""
    X, y = load(return_X_y=True)
    scaler = StandardScaler().fit(X)
    peer = logistic(len(y), l1_ratio=l1_ratio, solver="saga", random_state=0)
    if SKLEARN_BEFORE_1_8:
        peer.set_params(penalty="elasticnet")
    return scaler, peer.fit(scaler.transform(X), y)


def penalised_loss(coef, probabilities, y, l1_ratio):
    penalty = (1 - l1_ratio) / 2 * (coef**2).sum() + l1_ratio * np.abs(coef).sum()
    return -np.log(probabilities[np.arange(len(y)), y]).mean() + ALPHA * penalty


def assert_same_elastic_net(clf, scaler, peer, X, y, l1_ratio):
    Z = scaler.transform(X)
    coef = clf.coef_ * scaler.scale_
    assert_allclose(clf.predict_proba(X), peer.predict_proba(Z), atol=1e-4)
    assert_allclose(
        penalised_loss(coef, clf.predict_proba(X), y, l1_ratio),
        penalised_loss(peer.coef_, peer.predict_proba(Z), y, l1_ratio),
        rtol=1e-8,
    )
    if l1_ratio < 1 or len(coef) == 1:  # else a shift of all classes' weights may cost nothing
        assert_allclose(coef, peer.coef_, atol=1e-3)
        assert_array_equal(coef == 0, peer.coef_ == 0)


# At a constant rate, Adam's last steps stay as long as its first and may end short of the
# optimum, by more or less as rounding will have it.
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize("l1_ratio", [0.3, 0.7, 1.0])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"learning_rate": 0.5},
        {"learning_rate": 0.5, "nesterov": True},
        {"optimizer": "adam", "schedule": "adaptive", "learning_rate": 0.1},
    ],
)
def test_elastic_net_equals_that_of_logistic_regression(parameters, l1_ratio, load):
    X, y = load(return_X_y=True)
    clf = elastic_net(l1_ratio, **parameters).fit(X, y)
    assert_same_elastic_net(clf, *scikit_learns_elastic_net(load, l1_ratio), X, y, l1_ratio)
    assert (clf.coef_ == 0).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "l1_ratio", "n_epochs"),
    [
        ({}, 0.5, 1000),
        ({}, 1.0, 8000),
        ({"learning_rate": 0.5}, 0.5, 1000),
        ({"learning_rate": 0.5}, 1.0, 2000),
        ({"learning_rate": 0.5, "nesterov": True}, 0.5, 1000),
        ({"learning_rate": 0.5, "nesterov": True}, 1.0, 2000),
        ({"optimizer": "adam"}, 0.5, 5000),
        ({"optimizer": "adam", "learning_rate": 0.1}, 1.0, 4000),
    ],
)
def test_averaged_elastic_net_keeps_its_zeros(parameters, l1_ratio, n_epochs):
    X, y = load_iris(return_X_y=True)
    clf = elastic_net(l1_ratio, **parameters)
    for _ in range(n_epochs):
        clf.partial_fit(X, y, classes=[0, 1, 2])  # a stream is averaged, by full batches too
    peer = scikit_learns_elastic_net(load_iris, l1_ratio)
    assert_same_elastic_net(clf, *peer, X, y, l1_ratio)


def test_coefficients_are_zero_where_the_last_iterate_is():
    X, y = load_wine(return_X_y=True)
    clf = SoftmaxClassifier(
        optimizer="sgd", alpha=0.05, l1_ratio=1, batch_size=32, random_state=0
    ).fit(X, y)
    last = clf._checkpoint.state.parameters[0, :, :-1]
    assert_array_equal(clf.coef_ == 0, last == 0)
    assert 0 < (last == 0).mean() < 1
    unpenalised = SoftmaxClassifier(batch_size=32, random_state=0).fit(X, y)
    assert (unpenalised.coef_ != 0).all()
