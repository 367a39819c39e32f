"""Sparse rows: the model that dense rows give, found without ever storing a zero.

Every format, index and dtype is fitted; how steps are taken is for ``test_momentum_laws``,
``test_own_steps`` and ``test_dense_updates``.
"""

import pickle
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State

BACKENDS = [b.name for b in list_backends() if b.available and b.name != "torch"]
DIGITS, DIGIT = load_digits(return_X_y=True)
ALPHA = 0.02
TO_THE_OPTIMUM = {
    "tol": 1e-13,
    "n_iter_no_change": 50,
    "max_iter": 100_000,
    "batch_size": 10**6,
}


def word_counts():
    X, Y = make_multilabel_classification(
        300, 40, n_classes=3, n_labels=1, length=15, allow_unlabeled=False, random_state=0
    )
    return X, Y.argmax(axis=1)


@cache  # one for every backend
def scaled_logistic_regression(n_classes, **parameters):
    """What scikit-learn finds on scaled rows, and what has scaled them."""
    X, y = word_counts()
    y = np.minimum(y, n_classes - 1)
    scaler = StandardScaler(with_mean=False).fit(X)
    peer = LogisticRegression(C=1 / (ALPHA * len(y)), tol=1e-10, max_iter=100_000, **parameters)
    if "l1_ratio" in parameters:
        peer.set_params(solver="saga", tol=1e-8, random_state=0)
        if parse_version(sklearn.__version__) < parse_version("1.8"):
            peer.set_params(penalty="elasticnet")
    return scaler, peer.fit(sparse.csr_array(scaler.transform(X)), y)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("parameters", [{}, {"fit_intercept": False}, {"l1_ratio": 0.5}])
def test_optimum_is_that_of_logistic_regression_on_scaled_rows(parameters, n_classes, backend):
    X, y = word_counts()
    y = np.minimum(y, n_classes - 1)
    X = sparse.csr_array(X)
    clf = SoftmaxClassifier(alpha=ALPHA, backend=backend, **TO_THE_OPTIMUM, **parameters)
    clf.fit(X, y)
    scaler, peer = scaled_logistic_regression(n_classes, **parameters)
    assert_allclose(clf.coef_ * scaler.scale_, peer.coef_, atol=1e-3)
    assert_array_equal(clf.coef_ == 0, peer.coef_ == 0)
    assert_allclose(clf.predict_proba(X), peer.predict_proba(scaler.transform(X)), atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_dense_and_sparse_rows_have_one_optimum(weighted):
    X, y = word_counts()
    w = np.random.default_rng(0).integers(0, 4, len(y)) if weighted else None
    clf = SoftmaxClassifier(alpha=ALPHA, **TO_THE_OPTIMUM)
    dense = clf.fit(X, y, w)
    probabilities, mean, scale = dense.predict_proba(X), dense.mean_, dense.scale_
    clf.fit(sparse.csr_matrix(X), y, w)
    assert_allclose(clf.predict_proba(X), probabilities, atol=1e-5)
    assert_allclose(clf.mean_, mean, rtol=1e-12)
    assert_allclose(clf.scale_, scale, rtol=1e-12)


def scrambled(X):
    """The same rows with unsorted indices, and each first element in two halves."""
    X = sparse.csr_array(X)
    data, indices, indptr = [], [], [0]
    for row in range(X.shape[0]):
        part = slice(X.indptr[row], X.indptr[row + 1])
        values, columns = X.data[part][::-1], X.indices[part][::-1]
        data.append(np.append(values[:1] / 2, [*values[1:], *(values[:1] / 2)]))
        indices.append(np.append(columns[:1], [*columns[1:], *columns[:1]]))
        indptr.append(indptr[-1] + len(data[-1]))
    return sparse.csr_array(
        (np.concatenate(data), np.concatenate(indices), indptr), shape=X.shape
    )


def with_64_bit_indices(X):
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.csc_matrix,
        sparse.coo_array,
        sparse.lil_matrix,
        with_64_bit_indices,
        scrambled,
    ],
)
def test_every_format_gives_the_same_bits(convert):
    clf = SoftmaxClassifier(max_iter=3, tol=None, batch_size=64, random_state=0)
    expected = clf.fit(sparse.csr_array(DIGITS), DIGIT).coef_
    X = convert(DIGITS)
    before = X.copy()
    assert_array_equal(clf.fit(X, DIGIT).coef_, expected)
    assert abs(before - X).sum() == 0
    if hasattr(X, "indices"):
        assert_array_equal(X.indices, before.indices)
        assert X.indices.dtype == before.indices.dtype
    assert_allclose(clf.decision_function(X), clf.decision_function(DIGITS), atol=1e-12)
    assert_array_equal(clf.predict(X), clf.predict(DIGITS))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, bool])
def test_other_dtypes_are_converted_batch_by_batch(dtype):
    X = sparse.csr_array(DIGITS > 8).astype(dtype)
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0).fit(X, DIGIT)
    expected = np.float32 if dtype in (np.float32, np.uint8) else np.float64
    assert clf.coef_.dtype == expected
    assert clf.predict_proba(X).dtype == expected
    assert clf.score(X, DIGIT) > 0.8


def test_nothing_is_densified():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(5000, size=100_000), rng.integers(200_000, size=100_000)
    values = rng.random(100_000, dtype=np.float32)
    X = sparse.csr_array((values, (rows, columns)), shape=(5000, 200_000))
    y = rng.integers(3, size=5000)
    clf = SoftmaxClassifier(max_iter=2, tol=None)
    clf.fit(X[:500], y[:500])  # kernels are compiled
    tracemalloc.start()
    clf.fit(X, y).predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    dense = X.shape[0] * X.shape[1] * 4
    model = X.shape[1] * 3 * 4
    assert peak < 25 * model < dense / 50


def test_training_on_is_bit_for_bit_the_uninterrupted_one():
    X = sparse.csr_array(DIGITS)
    for parameters in ({}, {"momentum": 0, "l1_ratio": 0.5, "alpha": 0.01}):
        clf = SoftmaxClassifier(
            batch_size=32, tol=None, max_iter=3, warm_start=True, random_state=0, **parameters
        )
        resumed = pickle.loads(pickle.dumps(clf.fit(X, DIGIT))).fit(X, DIGIT)
        whole = SoftmaxClassifier(
            batch_size=32, tol=None, max_iter=6, random_state=0, **parameters
        ).fit(X, DIGIT)
        assert_array_equal(resumed.coef_, whole.coef_)
        assert resumed.loss_curve_ == whole.loss_curve_


def test_stream_of_sparse_chunks_learns():
    X = sparse.csr_array(DIGITS)
    streams = SoftmaxClassifier(random_state=0), SoftmaxClassifier(random_state=0)
    for _ in range(5):
        for start in range(0, 1500, 100):
            rows = slice(start, start + 100)
            for clf, chunk in zip(streams, (X[rows], DIGITS[rows]), strict=True):
                clf.partial_fit(chunk, DIGIT[rows], classes=np.arange(10))
    scores = [clf.score(DIGITS[1500:], DIGIT[1500:]) for clf in streams]
    assert scores[0] > scores[1] - 0.02  # a standard error of either
    once = SoftmaxClassifier(random_state=0).partial_fit(X, DIGIT, classes=np.arange(10))
    whole = SoftmaxClassifier(random_state=0, max_iter=1, tol=None).fit(X, DIGIT)
    assert_array_equal(once.coef_, whole.coef_)


def test_sparsify_and_densify():
    clf = SoftmaxClassifier(alpha=0.05, l1_ratio=1, random_state=0).fit(DIGITS, DIGIT)
    coef, scores = clf.coef_, clf.decision_function(DIGITS)
    assert sparse.issparse(clf.sparsify().coef_)
    assert clf.coef_.nnz == np.count_nonzero(coef) < coef.size
    for X in (DIGITS, sparse.csr_array(DIGITS), DIGITS.astype(np.float32)):
        assert_allclose(clf.decision_function(X), scores, rtol=1e-5)
    clf = pickle.loads(pickle.dumps(clf))
    assert_array_equal(clf.densify().coef_, coef)
    assert_array_equal(clf.densify().coef_, coef)
    assert clf.sparsify().partial_fit(DIGITS, DIGIT).coef_.shape == coef.shape


def test_a_feature_that_becomes_constant_keeps_its_weight():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifier(max_iter=5, tol=None, warm_start=True).fit(sparse.csr_array(X), y)
    before = clf.coef_[:, 0].copy()
    X[:, 0] = 1
    clf.set_params(momentum=0, average=False).fit(sparse.csr_array(X), y)
    assert_allclose(clf._checkpoint.state.parameters[0, :, 0], clf.coef_[:, 0])
    assert np.abs(clf.coef_[:, 0] - before).max() < np.abs(before).max()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_derivatives_over_blocks_of_rows_are_those_of_dense_ones(n_classes, dtype):
    X, y = word_counts()
    X, y = X.astype(dtype), np.minimum(y, n_classes - 1).astype(np.int32)
    n_rows, n_features = X.shape
    ones = np.ones(n_features)
    problem = Problem(
        X=X, y=y, weights=None, n_classes=n_classes, dtype=np.dtype(float), batch_size=n_rows,
        l2=np.zeros(1), l1=np.zeros(1), penalty_share=1, average=False, fit_intercept=True,
        means=X.mean(axis=0), scales=ones, step_scales=ones,
    )  # fmt: skip
    start = State.zeros(1, n_classes, n_features, problem.dtype)
    dense = ArrayTrainer(problem, start)
    trainer = ArrayTrainer(replace(problem, X=sparse.csr_array(X)), start)
    trainer.elements_at_once = 1  # as many scores as weights: three or more blocks
    parameters = np.random.default_rng(0).standard_normal(start.parameters.shape) / 9
    rows = trainer.problem.X[5:]
    for w in (None, np.arange(n_rows - 5.0)):
        found = trainer.loss_gradient(parameters, rows, y[5:], w)
        for ours, theirs in zip(
            found, dense.loss_gradient(parameters, X[5:], y[5:], w), strict=True
        ):
            assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        trainer.evaluate(rows, y[5:], None), dense.evaluate(X[5:], y[5:], None), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-12)
