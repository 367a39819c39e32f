"""Fits of many classes begin by Newton's step, or from zero where that would lead astray."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.targets import encode_targets
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training import newton
from sksoftmax.training.newton import LENGTH_TOL, NewtonStep, newton_step_pays

BACKENDS = [info.name for info in list_backends() if info.available]
ONE_EPOCH = {"max_iter": 1, "tol": None, "random_state": 0, "backend": "numpy"}


def normal_classes(n_rows, n_features, n_classes, noise):
    """Classes of one covariance, along whose axes variances differ a hundredfold."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 0.1, n_features)
    axes = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    y = rng.integers(n_classes, size=n_rows)
    centres = rng.normal(size=(n_classes, n_features))
    X = centres[y] + noise * rng.normal(size=(n_rows, n_features))
    return ((X * scales) @ axes + 3).astype(np.float32), y


def newton_step(X, y, sample_weight=None):
    X, backend = np.asarray(X), get_backend("numpy")
    targets = encode_targets(y, sample_weight, X)
    moments = feature_moments(backend, X, targets.weights, targets.rows)
    rng = np.random.default_rng(0)
    return NewtonStep(backend, X, targets, moments, np.dtype(np.float64), rng), moments


def objective(parameters, X, y, w, l2, scale, mean):
    scores = (X - mean) @ parameters[:, :-1].T + parameters[:, -1]
    loss = -np.average(log_softmax(scores, axis=1)[np.arange(len(y)), y], weights=w)
    return loss + l2 / 2 * ((parameters[:, :-1] * scale) ** 2).sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_step_is_that_of_the_second_derivatives(weighted):
    X, y = normal_classes(600, 3, 4, noise=1.0)
    X, l2 = X.astype(float), 0.2
    y[np.argsort(y, kind="stable")] = np.arange(600) // 150  # classes of one size
    w = np.random.default_rng(2).integers(1, 4, len(y)).astype(float) if weighted else None
    step, moments = newton_step(X, y, w)
    found = step.parameters(l2)
    share = np.bincount(y, w, minlength=4) / (len(y) if w is None else w.sum())
    assert_allclose(found[:, -1], np.log(share))
    z = (X - moments.mean) / moments.scale
    covariance = np.cov(z.T, ddof=0, aweights=w)
    hessian = np.kron(np.diag(share) - np.outer(share, share), covariance)
    class_means = [
        np.average(z[y == k], axis=0, weights=None if w is None else w[y == k])
        for k in range(4)
    ]
    minus_gradient = (share[:, None] * class_means).ravel()
    newton = np.linalg.solve(hessian + l2 * np.eye(12), minus_gradient).reshape(4, 3)
    direction = found[:, :-1] * moments.scale
    # What all classes share changes no probability, and the step leaves it to the penalty.
    direction -= share @ direction
    newton -= share @ newton
    cosine = (direction * newton).sum() / np.linalg.norm(direction) / np.linalg.norm(newton)
    assert cosine > (0.999 if weighted else 1 - 1e-12)


def test_the_length_is_the_best_one():
    X, y = normal_classes(900, 5, 8, noise=1.0)
    X = X.astype(float)
    step, moments = newton_step(X, y)
    found = step.parameters(1e-3)
    of_lengths = []
    for factor in (1 - 3 * LENGTH_TOL, 1, 1 + 3 * LENGTH_TOL):
        changed = np.column_stack([factor * found[:, :-1], found[:, -1]])
        of_lengths.append(objective(changed, X, y, None, 1e-3, moments.scale, moments.mean))
    assert of_lengths[1] < min(of_lengths[0], of_lengths[2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_classes_are_learnt_in_one_epoch(backend):
    X, y = normal_classes(13_000, 48, 200, noise=1.2)
    X, X_test, y, y_test = X[4_000:], X[:4_000], y[4_000:], y[:4_000]
    first = SoftmaxClassifier(**{**ONE_EPOCH, "backend": backend}).fit(X, y)
    optimum = SoftmaxClassifier(optimizer="lbfgs", tol=1e-4, random_state=0).fit(X, y)
    assert first.score(X_test, y_test) > optimum.score(X_test, y_test) - 0.01
    from_zero = SoftmaxClassifier(**{**ONE_EPOCH, "backend": backend, "l1_ratio": 1e-6})
    assert first.score(X_test, y_test) > from_zero.fit(X, y).score(X_test, y_test) + 0.05


def test_what_a_plateau_behind_the_step_leaves_is_the_penalty():
    X, y = normal_classes(9_000, 48, 200, noise=0.6)
    clf = SoftmaxClassifier(random_state=0, backend="numpy").fit(X, y)
    assert clf.n_iter_ < 6
    optimum = SoftmaxClassifier(optimizer="lbfgs", tol=1e-4, random_state=0).fit(X, y)
    of_rows, least = (log_loss(y, model.predict_proba(X)) for model in (clf, optimum))
    assert of_rows < least


def test_classes_of_other_shapes_are_left_to_steps_from_zero(monkeypatch):
    # Log-normal features: one covariance is wrong about all, and sure of it.
    rng = np.random.default_rng(0)
    y = rng.integers(100, size=8_000)
    X = np.exp(2 * (rng.normal(size=(100, 12))[y] + 0.2 * rng.normal(size=(len(y), 12))))
    step, _ = newton_step(X, y)
    assert newton_step_pays(*X.shape, 100)
    assert step.parameters(1e-4) is None
    clf = SoftmaxClassifier(**ONE_EPOCH).fit(X, y)
    monkeypatch.setattr(newton, "MOST_SURPRISE", 0.0)
    from_zero = SoftmaxClassifier(**ONE_EPOCH).fit(X, y)
    assert_array_equal(clf.coef_, from_zero.coef_)
    monkeypatch.setattr(newton, "MOST_SURPRISE", np.inf)
    believed = SoftmaxClassifier(**ONE_EPOCH).fit(X, y)
    assert not np.allclose(clf.coef_, believed.coef_)


@pytest.mark.parametrize(
    "values", [np.inf, 1e200, 0.0], ids=["overflow of a scale", "huge", "constant"]
)
def test_odd_features_do_no_harm(values):
    X, y = normal_classes(4_000, 8, 100, noise=1.0)
    X = X.astype(np.float64)
    X[:, 0] = np.random.default_rng(0).choice([-1e300, 1e300], len(y)) if values else 1.0
    if np.isfinite(values):
        X[:, 0] = values * (np.arange(len(y)) % 2)
    clf = SoftmaxClassifier(**ONE_EPOCH).fit(X, y)
    assert np.isfinite(clf.coef_).all()
    assert clf.score(X, y) > 0.2


def test_a_search_begins_as_a_fit_does():
    X, y = normal_classes(5_000, 24, 100, noise=0.8)
    clf, grid = SoftmaxClassifier(**ONE_EPOCH), {"alpha": [1e-4, 1e-2]}
    scores = [
        search(clf, grid, cv=2, scoring="neg_log_loss").fit(X, y).cv_results_["mean_test_score"]
        for search in (SoftmaxSearchCV, GridSearchCV)
    ]
    assert_allclose(*scores, rtol=1e-4)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_sparse_rows_begin_as_the_same_dense_ones(share):
    X, y = normal_classes(5_000, 24, 100, noise=0.8)
    X = np.where(np.random.default_rng(0).random(X.shape) < share, X, 0).astype(np.float64)
    dense, same = (
        SoftmaxClassifier(**ONE_EPOCH).fit(rows, y) for rows in (X, sparse.csr_array(X))
    )
    assert_allclose(same.predict_proba(X), dense.predict_proba(X), atol=1e-8)
    assert dense.loss_curve_[0] < np.log(100)


def test_few_classes_few_rows_and_streams_begin_from_zero():
    X, y = normal_classes(5_000, 8, 20, noise=0.8)
    assert not newton_step_pays(*X.shape, 20)
    assert not newton_step_pays(60, 8, 30)
    X, y = normal_classes(5_000, 8, 100, noise=0.8)
    assert newton_step_pays(*X.shape, 100)
    first = SoftmaxClassifier(**ONE_EPOCH).fit(X, y).loss_curve_[0]
    clf = SoftmaxClassifier(**ONE_EPOCH).partial_fit(X, y, classes=np.arange(100))
    assert clf.loss_curve_[0] > first
