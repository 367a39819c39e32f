"""Second derivatives from some rows must be near those from all, whatever the rows are like."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import softmax

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.targets import encode_targets
from sksoftmax.training import measured_rows
from sksoftmax.training.drawn_rows import drawn_by_length
from sksoftmax.training.metric import rows_of_hessian

BACKENDS = [info.name for info in list_backends() if info.available]
N_ROWS = 20_000


def odd_rows(rng):
    """Features of one unit, one far from zero, one heavy tail, and a category of 20 rows."""
    X = rng.normal(size=(N_ROWS, 8))
    X[:, 1] += 1e3
    X[:, 2] = rng.standard_cauchy(N_ROWS)
    X[:, 3] = np.arange(N_ROWS) < 20
    X[:, 4] = X[:, 0] + 1e-2 * X[:, 4]
    return X


def drawn(backend, X, targets, n_rows, seed=0):
    backend = get_backend(backend)
    placed = backend.place(X)
    moments = feature_moments(backend, placed, targets.weights, targets.rows)
    rng = np.random.default_rng(seed)
    return drawn_by_length(backend, placed, targets, moments, n_rows, rng), moments


def second_derivatives(z, weights, probabilities):
    p = probabilities[:, 1]
    return (z.T * (weights * p * (1 - p))) @ z / weights.sum()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_near_those_of_all_rows(seed, weighted, backend):
    rng = np.random.default_rng(seed)
    X, y = odd_rows(rng), rng.integers(2, size=N_ROWS)
    w = rng.exponential(size=N_ROWS) if weighted else None
    targets = encode_targets(y, w, X)
    few, moments = drawn(backend, X, targets, rows_of_hessian(8), seed)
    assert few.n_rows == pytest.approx(rows_of_hessian(8), rel=0.1)
    z = np.column_stack([(X - moments.mean) / moments.scale, np.ones(N_ROWS)])
    scores = z @ rng.normal(size=(9, 2)) / 3
    probabilities = softmax(scores, axis=1)
    exact = second_derivatives(z, np.ones(N_ROWS) if w is None else w, probabilities)
    found = second_derivatives(z, few.weights, probabilities)
    # How much longer or shorter Newton's step is by the one than by the other, at most.
    ratios = np.linalg.eigvals(np.linalg.solve(exact, found)).real
    assert ratios.min() > 0.6
    assert ratios.max() < 1.6


def test_rows_without_weight_are_never_drawn():
    rng = np.random.default_rng(0)
    X, y = odd_rows(rng), rng.integers(2, size=N_ROWS)
    w = rng.integers(3, size=N_ROWS).astype(float)
    few, _ = drawn("numpy", X, encode_targets(y, w, X), 2_000)
    assert (w[few.rows] > 0).all()
    assert_array_equal(np.flatnonzero(few.weights), few.rows)
    assert few.total_weight == pytest.approx(w.sum(), rel=0.1)


def test_sparse_rows_are_drawn_as_dense_ones():
    rng = np.random.default_rng(0)
    X = odd_rows(rng)
    X[:, 5:] = np.where(rng.random((N_ROWS, 3)) < 0.8, 0, X[:, 5:])
    y = rng.integers(2, size=N_ROWS)
    targets = encode_targets(y, None, X)
    few, _ = drawn("numpy", X, targets, 2_000)
    same, _ = drawn("numpy", sparse.csr_array(X), targets, 2_000)
    assert_array_equal(same.rows, few.rows)
    assert_allclose(same.weights, few.weights, rtol=1e-9)


def test_equal_rows_are_drawn_alike():
    X = np.ones((N_ROWS, 2))
    few, _ = drawn("numpy", X, encode_targets(np.arange(N_ROWS) % 2, None, X), 2_000)
    assert few.n_rows == pytest.approx(2_000, rel=0.1)


def test_rows_are_drawn_once_and_only_where_few_digits_do(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return drawn_by_length(*arguments)

    monkeypatch.setattr(measured_rows, "drawn_by_length", counted)
    rng = np.random.default_rng(0)
    X, y = odd_rows(rng), rng.integers(2, size=N_ROWS)
    for parameters in ({"optimizer": "lbfgs", "tol": 1e-3}, {"tol": 1e-5}):
        SoftmaxClassifier(**parameters, random_state=0).fit(X, y)
    assert not calls
    SoftmaxClassifier(random_state=0, tol=1e-4).fit(X, y)
    assert len(calls) == 1


def test_the_optimum_is_that_of_all_rows():
    rng = np.random.default_rng(0)
    X = odd_rows(rng)
    y = (X[:, 0] + 5 * X[:, 3] + rng.logistic(size=N_ROWS) > 0).astype(int)
    clf = SoftmaxClassifier(tol=1e-4, alpha=1e-3, random_state=0).fit(X, y)
    assert clf.t_ / clf.n_iter_ < 20  # steps of one epoch or two: iterations did the rest
    assert clf.dual_gap(X, y) < 1e-4
    assert clf.n_iter_ < 25
