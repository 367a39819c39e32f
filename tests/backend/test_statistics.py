"""Moments, by each backend's own pass, of features that are hard."""

from functools import reduce

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sksoftmax import get_backend, list_backends
from sksoftmax.backend.registry import CPU_PREFERENCE
from sksoftmax.backend.statistics import feature_moments

BACKENDS = [b.name for b in list_backends() if b.available and b.name in CPU_PREFERENCE]
N_ROWS = 30_000
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(N_ROWS)
ROW = np.arange(N_ROWS)

HARD = {
    "far from zero": 1e6 + NORMAL,
    "farther": 1e7 + 4 * NORMAL,
    "small": 1e-25 * NORMAL,
    "large": 1e25 * NORMAL,
    "the first row far off": NORMAL + 1e4 * (ROW == 0),
    "the first rows far off": NORMAL + 1e3 * (ROW < 3000),
    "ever larger": ROW + NORMAL,
    "constant at first": np.where(ROW < 20_000, 3, NORMAL),
    "one row apart": 1e-3 * (ROW == 12_345),
    "of two values": ROW % 2 + 1e5,
    "skewed": np.exp(3 * NORMAL),
}
WEIGHTS = {
    "equal": None,
    "exponential": RNG.exponential(size=N_ROWS),
    "the first ones tiny": np.where(ROW < 3000, 1e-9, 1.0),
    "small": 1e-60 * RNG.exponential(size=N_ROWS),
}


def true_moments(X, weights):
    """Mean and deviation of each column, in the longest floats there are."""
    X = X.astype(np.longdouble)
    w = np.ones(len(X), np.longdouble) if weights is None else weights.astype(np.longdouble)
    mean = w @ X / w.sum()
    return mean, np.sqrt(w @ (X - mean) ** 2 / w.sum())


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("column", HARD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_moments_of_a_hard_feature(backend, dtype, column, weights):
    # Beside the hard one: a plain one, and wide enough for several chunks of blocks.
    X = np.tile(np.c_[HARD[column], NORMAL], (1, 50)).astype(dtype)
    w = WEIGHTS[weights]
    moments = feature_moments(get_backend(backend), X, w, None)
    mean, deviation = (np.float64(true) for true in true_moments(X[:, :2], w))
    digits = 1e-6 if dtype == np.float32 else 1e-8
    assert_allclose(moments.scale[:2], deviation, rtol=digits)
    assert (abs(moments.mean[:2] - mean) <= digits * deviation + 1e-15 * abs(mean)).all()
    assert_array_equal(moments.minimum, X.min(axis=0))
    assert_array_equal(moments.maximum, X.max(axis=0))
    assert_allclose(moments.weight, N_ROWS if w is None else w.sum(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.int64, bool])
@pytest.mark.parametrize("backend", BACKENDS)
def test_moments_of_small_integers_are_exact(backend, dtype):
    X = RNG.integers(2 if dtype is bool else 17, size=(20_000, 30)).astype(dtype)
    X[:, 3] = 1
    rows = np.flatnonzero(RNG.random(len(X)) < 0.7)
    for chosen in (None, rows):
        moments = feature_moments(get_backend(backend), np.asfortranarray(X), None, chosen)
        exact = X.astype(int) if chosen is None else X[chosen].astype(int)
        total, n_rows = exact.sum(axis=0), len(exact)
        squares = ((exact**2).sum(axis=0) * n_rows - total**2) / n_rows
        assert_allclose(moments.mean, total / n_rows, rtol=1e-14)
        assert_allclose(moments.squares, squares, rtol=1e-14)
        assert moments.mean[3] == 1
        assert moments.squares[3] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (3, 70_000), (70_000, 1), (20, 5)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_moments_of_any_shape(backend, shape):
    X = RNG.standard_normal(shape).astype(np.float32)
    moments = feature_moments(get_backend(backend), X, None, None)
    assert_allclose(moments.mean, X.mean(axis=0, dtype=float), atol=1e-6)
    if len(X) > 1:
        assert_allclose(moments.scale, X.std(axis=0, dtype=float), rtol=1e-6)


# Powers of 2, so that what is measured must be the same to the bit, but for summing order.
FAR_UNITS = 2.0 ** np.array([-1000, -560, -300, 0, 300, 560, 1000])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("some_rows", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool, np.int64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_moments_of_csr_rows_are_those_of_dense_ones(backend, dtype, some_rows, weighted):
    rng = np.random.default_rng(1)
    X = rng.integers(0, 5, (200, 7)) * (rng.random((200, 7)) < 0.4)
    X[:, 0], X[:, 1], X[:, 2] = 3, 0, 2 + X[:, 2]  # constant, empty, full
    X = X.astype(dtype)
    rows = np.flatnonzero(rng.random(200) < 0.5) if some_rows else None
    w = rng.exponential(size=200) if weighted else None
    if weighted and some_rows:
        w[np.setdiff1d(np.arange(200), rows)] = 0
    found = feature_moments(get_backend(backend), sparse.csr_array(X), w, rows)
    chosen = slice(None) if rows is None else rows
    of_rows = None if w is None else w[chosen]
    mean, deviation = true_moments(X[chosen].astype(float), of_rows)
    has_spread = X[chosen].min(axis=0) < X[chosen].max(axis=0)
    assert_allclose(found.weight, len(X[chosen]) if w is None else of_rows.sum())
    assert_allclose(found.mean, np.float64(mean), rtol=1e-12, atol=1e-12)
    assert_allclose(found.scale, np.where(has_spread, np.float64(deviation), 1), rtol=1e-12)
    assert_array_equal(found.minimum, X[chosen].min(axis=0))
    assert_array_equal(found.maximum, X[chosen].max(axis=0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_round_hide_no_deviation_beside_a_large_mean(backend):
    X = 1e6 + 1e-3 * RNG.standard_normal((500, 3))
    w = RNG.exponential(size=500)
    dense, csr = (
        feature_moments(get_backend(backend), form(X), w, None)
        for form in (np.asarray, sparse.csr_array)
    )
    assert_allclose(csr.scale, dense.scale, rtol=1e-6)


FORMATS = {"dense": np.asarray, "CSR": sparse.csr_array}


def with_zeros(n_rows):
    """A column for each far unit, measured in a unit of 1."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n_rows, len(FAR_UNITS))) + 2
    X[rng.random(X.shape) < 0.3] = 0
    return X


@pytest.mark.parametrize("weight_unit", [2.0**-830, 1.0, 2.0**830])
@pytest.mark.parametrize("of_format", FORMATS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_units_of_features_and_weights_do_not_matter(backend, of_format, weight_unit):
    X, w = with_zeros(3000), WEIGHTS["exponential"][:3000]
    place = FORMATS[of_format]
    backend = get_backend(backend)
    usual = feature_moments(backend, place(X), w, None)
    far = feature_moments(backend, place(X * FAR_UNITS), w * weight_unit, None)
    assert_allclose(far.scale, usual.scale * FAR_UNITS, rtol=1e-12)
    assert_allclose(far.mean, usual.mean * FAR_UNITS, rtol=1e-12)
    assert far.weight == usual.weight * weight_unit


def test_usual_features_keep_their_bits_beside_far_ones():
    X = with_zeros(500)
    backend = get_backend("numpy")
    beside = feature_moments(backend, X * FAR_UNITS, None, None)
    alone = feature_moments(backend, X, None, None)
    is_usual = FAR_UNITS == 1
    assert_array_equal(beside.squares[is_usual], alone.squares[is_usual])
    assert_array_equal(beside.mean[is_usual], alone.mean[is_usual])


@pytest.mark.parametrize("n_constant", [0, 400])
def test_chunks_of_far_features_merge(n_constant):
    # Chunks in which a feature is constant, or of another size, have other units.
    X = with_zeros(1000)
    X[:n_constant] = X[0]
    X[500:] *= 2.0**-40
    backend = get_backend("numpy")
    chunks = np.split(X * FAR_UNITS, 10)
    merged = reduce(
        lambda mine, other: mine.merge(other),
        [feature_moments(backend, chunk, None, None) for chunk in chunks],
    )
    whole = feature_moments(backend, X, None, None)
    assert_allclose(merged.scale, whole.scale * FAR_UNITS, rtol=1e-12)
