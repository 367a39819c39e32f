"""What the Numba backend has of its own: exponential, refusals, and doing without it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend.registry import SMALL_EPOCH

numba = pytest.importorskip("numba")
from sksoftmax_numba.compilation import compiled, for_python  # noqa: E402
from sksoftmax_numba.exponential import exponential, logarithm_beyond_one  # noqa: E402
from sksoftmax_numba.half import HALF, number_of  # noqa: E402
from sksoftmax_numba.kernels import (  # noqa: E402
    add_five,
    add_two,
    scores_of_five,
    scores_of_two,
)
from sksoftmax_numba.residuals import (  # noqa: E402
    sigmoid_minus_targets,
    softmax_minus_targets,
)
from sksoftmax_numba.trainer import MANY_PARAMETERS  # noqa: E402

X, Y = load_digits(return_X_y=True)


@compiled
def exponentials(array):
    for i in range(len(array)):
        array[i] = exponential(array[i])


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(-700, 0), min_size=1, max_size=50))
def test_exponential_is_right_to_a_few_units_in_the_last_place(numbers):
    for dtype, least in ((np.float64, -700), (np.float32, -86)):
        array = np.maximum(np.array(numbers), least).astype(dtype)
        expected = np.exp(array.astype(np.float64))
        exponentials(array)
        assert_allclose(array, expected, rtol=3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_at_the_edges(dtype):
    array = np.array([0, -np.inf, np.nan, -1e30], dtype)
    exponentials(array)
    assert array[0] == 1
    assert 0 < array[1] == array[3] < 1e-37
    assert np.isnan(array[2])


@compiled
def logarithms(array):
    for i in range(len(array)):
        array[i] = logarithm_beyond_one(array[i])


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_logarithm_is_right_to_a_few_units_in_the_last_place(numbers):
    for dtype in (np.float64, np.float32):
        array = np.array(numbers).astype(dtype)
        array[array < np.finfo(dtype).tiny] = 0
        expected = np.log1p(array.astype(np.float64))
        logarithms(array)
        assert_allclose(array, expected, rtol=3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_difference_of_two_scores_gives_the_residuals_of_both(is_weighted, dtype):
    rng = np.random.default_rng(0)
    scores, intercept = 3 * rng.standard_normal((50, 2)), rng.standard_normal(2)
    codes = rng.integers(2, size=50).astype(np.int32)
    weights = rng.exponential(size=50 if is_weighted else 0)
    both = scores.copy()
    loss = for_python(softmax_minus_targets)(both, intercept, codes, weights)
    z = (scores[:, 1] - scores[:, 0]).astype(dtype)
    ours, total = for_python(sigmoid_minus_targets)(
        z, intercept.astype(dtype), codes, weights.astype(dtype)
    )
    equal = {"rtol": 100 * np.finfo(dtype).eps, "atol": 10 * np.finfo(dtype).eps}
    assert_allclose(z, both[:, 1], **equal)
    assert_allclose((ours, total), (loss, both[:, 1].sum()), **equal)


@pytest.mark.parametrize("score", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("code", [0, 1])
def test_no_infinity_of_two_classes_leaves_the_loss_finite(score, code):
    z, codes = np.zeros(20), np.zeros(20, np.int32)
    z[9], codes[9] = score, code
    loss, _ = for_python(sigmoid_minus_targets)(z, np.zeros(2), codes, np.zeros(0))
    assert not np.isfinite(loss)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("scores", "add", "n_classes"), [(scores_of_five, add_five, 5), (scores_of_two, add_two, 2)]
)
def test_tiles_of_every_processor_are_products(scores, add, n_classes, dtype):
    rng = np.random.default_rng(0)
    x, coef = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((12, 37), (9, 37)))
    rows, classes = slice(4, 8), slice(3, 3 + n_classes)
    z, expected = np.full((2, 9, 12), 1, dtype)
    for_python(scores)(x, 4, coef, 3, z)
    expected[classes, rows] = coef[classes] @ x[rows].T
    assert_array_equal(z, expected)
    gradient, expected = np.full((2, 9, 37), 1, dtype)
    for_python(add)(x, 4, gradient, 3, z)
    expected[classes] += z[classes, rows] @ x[rows]
    assert_array_equal(gradient, expected)


def test_rows_that_numba_has_no_dtype_for_are_trained_by_numpy():
    rows = X.astype(np.longdouble)
    if rows.dtype == np.float64:
        pytest.skip("there are no longer floats here")
    clf = SoftmaxClassifier(max_iter=3, tol=None, random_state=0).fit(rows, Y)
    assert clf.backend_ == "numpy"
    with pytest.raises(
        ValueError, match=f"cannot train this: Numba has no arrays of dtype {rows.dtype}"
    ):
        clf.set_params(backend="numba").fit(rows, Y)


@compiled
def copy_numbers(elements, numbers):
    for i in range(elements.shape[0]):
        for j in range(elements.shape[1]):
            numbers[i, j] = number_of(elements[i, j])


@pytest.mark.parametrize("width", [1, 256])  # one by one, and in vectors
def test_every_half_is_the_float32_that_numpy_makes_of_it(width):
    bits = np.arange(2**16, dtype=np.uint16).reshape(-1, width)
    numbers, expected = np.empty(bits.shape, np.float32), bits.view(np.float16).astype("f4")
    copy_numbers(bits.view(HALF), numbers)
    is_nan = np.isnan(expected)
    assert_array_equal(np.isnan(numbers), is_nan)
    assert_array_equal(numbers[~is_nan].view(np.uint32), expected[~is_nan].view(np.uint32))


@pytest.mark.parametrize("learning_rate", ["auto", 0.1])
@pytest.mark.parametrize("n_copies", [1, 103])  # by our own products, and by a BLAS
def test_rows_in_half_precision_are_trained_like_their_copy(n_copies, learning_rate):
    half = np.tile((X[:300] / 16).astype(np.float16), n_copies)
    assert (half.shape[1] * 10 >= MANY_PARAMETERS) == (n_copies > 1)
    clf = SoftmaxClassifier(
        backend="numba", max_iter=2, tol=None, learning_rate=learning_rate, random_state=0
    )
    models = [clf.fit(rows, Y[:300]).coef_ for rows in (half, half.astype(np.float32))]
    assert_array_equal(*models)


@pytest.mark.parametrize("max_iter", [1, 3])
def test_automatic_choice_is_by_the_work_of_an_epoch_alone(max_iter):
    clf = SoftmaxClassifier(max_iter=max_iter, tol=None)
    assert clf.fit(X, Y).backend_ == "numpy"
    rows, labels = np.tile(X, (9, 1)), np.tile(Y, 9)
    assert rows.size * 10 >= SMALL_EPOCH
    assert clf.fit(rows, labels).backend_ == "numba"


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
from sksoftmax import SoftmaxClassifier, list_backends
clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 0, 1])
print(clf.backend_)
print([info.reason for info in list_backends() if info.name == "numba"][0])
try:
    SoftmaxClassifier(backend="numba").fit([[0], [1], [2]], [0, 0, 1])
except ImportError as error:
    print(error)
"""


def test_without_numba_numpy_trains_and_the_error_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True)
    backend, reason, error = done.stdout.splitlines()
    assert backend == "numpy", done.stderr
    for message in (reason, error):
        assert "pip install numba" in message


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float16, np.float32])
def test_every_dtype_and_layout_gives_what_numpy_gives(dtype, order):
    rows = np.asarray(X > 7 if dtype is bool else X, dtype=dtype, order=order)
    rows.flags.writeable = False
    models = [
        SoftmaxClassifier(max_iter=3, tol=None, random_state=0, backend=backend).fit(rows, Y)
        for backend in ("numba", "numpy")
    ]
    assert_allclose(
        models[0].predict_proba(rows), models[1].predict_proba(rows), atol=1e-3, rtol=1e-3
    )
    assert_array_equal(models[0].coef_.dtype, models[1].coef_.dtype)


def test_divergence_is_noticed():
    clf = SoftmaxClassifier(backend="numba", learning_rate=1e30, standardize=False)
    with pytest.raises(ValueError, match="under-/overflow occurred at epoch"):
        clf.fit(X, Y)
