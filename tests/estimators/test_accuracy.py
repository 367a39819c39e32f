"""What a default fit reaches on raw data, and that units do not matter to it.

Nothing is tuned or scaled here: the small sets of scikit-learn, and MNIST.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier

SMALL_SETS = [load_wine, load_breast_cancer, load_iris, load_digits]


@pytest.mark.parametrize("load", SMALL_SETS)
def test_raw_small_sets_as_good_as_scaled_logistic_regression(load):
    X, y = load(return_X_y=True)
    splits = StratifiedShuffleSplit(5, test_size=0.3, random_state=0)
    peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    ours = cross_val_score(SoftmaxClassifier(random_state=0), X, y, cv=splits).mean()
    assert ours >= cross_val_score(peer, X, y, cv=splits).mean() - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("load", SMALL_SETS)
def test_default_fit_stops_where_300_epochs_end(load):
    X, y = load(return_X_y=True)
    differences = []
    for train, test in StratifiedShuffleSplit(20, test_size=0.3, random_state=0).split(X, y):
        stopped = SoftmaxClassifier(random_state=0).fit(X[train], y[train])
        long = SoftmaxClassifier(random_state=0, tol=None, max_iter=300).fit(X[train], y[train])
        assert stopped.n_iter_ < 300
        right = [(clf.predict(X[test]) == y[test]).sum() for clf in (stopped, long)]
        differences.append(right[0] - right[1])
    assert np.mean(differences) >= -1


@pytest.mark.mnist
@pytest.mark.parametrize("divisor", [1, 255])
def test_mnist_after_one_epoch(mnist, divisor):
    X, y, X_test, y_test = mnist
    clf = SoftmaxClassifier(max_iter=1, tol=None, random_state=0)
    clf.fit((X / divisor).astype(np.float32), y)
    assert clf.score((X_test / divisor).astype(np.float32), y_test) >= 0.92


@pytest.mark.mnist
@pytest.mark.parametrize("parameters", [{"optimizer": "adam"}, {"nesterov": True}])
def test_mnist_after_three_epochs_of_other_optimizers(mnist, parameters):
    X, y, X_test, y_test = mnist
    clf = SoftmaxClassifier(max_iter=3, tol=None, random_state=0, **parameters).fit(X, y)
    assert clf.score(X_test, y_test) >= 0.924


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_mnist_stops_by_itself(mnist, seed):
    X, y, X_test, y_test = mnist
    clf = SoftmaxClassifier(random_state=seed).fit(X.astype(np.float32), y)
    assert clf.n_iter_ <= 15
    assert clf.score(X_test.astype(np.float32), y_test) >= 0.924


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_stops_where_300_epochs_end(mnist):
    X, y, X_test, y_test = mnist
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    stopped = SoftmaxClassifier(random_state=0).fit(X, y)
    long = SoftmaxClassifier(random_state=0, tol=None, max_iter=300).fit(X, y)
    assert stopped.score(X_test, y_test) >= long.score(X_test, y_test) - 0.002


@pytest.mark.mnist
@pytest.mark.parametrize("chunk", [10_000, 1000, pytest.param(100, marks=pytest.mark.slow)])
def test_mnist_in_one_pass_of_chunks(mnist, chunk):
    X, y, X_test, y_test = mnist
    clf = SoftmaxClassifier(random_state=0)
    for start in range(0, len(X), chunk):
        rows = slice(start, start + chunk)
        clf.partial_fit(X[rows], y[rows], classes=range(10))
    assert clf.score(X_test, y_test) >= 0.915


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_row_by_row(mnist):
    X, y, X_test, y_test = mnist
    clf = SoftmaxClassifier(random_state=0)
    for i in range(5000):
        clf.partial_fit(X[i : i + 1], y[i : i + 1], classes=range(10))
    assert np.isfinite(clf.coef_).all()
    assert clf.score(X_test, y_test) > 0.85  # 0.78 is what a prototype had after all rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [32, 1000])
def test_powers_of_two_change_no_bit(dtype, batch_size, optimizer):
    X, y = load_wine(return_X_y=True)
    X = X.astype(dtype)
    factors = 2.0 ** np.random.default_rng(0).integers(-20, 20, X.shape[1])
    factors = factors.astype(dtype)
    clf = SoftmaxClassifier(random_state=0, batch_size=batch_size, optimizer=optimizer)
    plain = clf.fit(X, y).predict_proba(X)
    assert_array_equal(clf.fit(X * factors, y).predict_proba(X * factors), plain)


@pytest.mark.mnist
def test_powers_of_two_change_no_bit_on_mnist(mnist):
    X, y, X_test, _ = mnist
    X, X_test = X[:20_000].astype(np.float32), X_test.astype(np.float32)
    factors = 2.0 ** np.random.default_rng(0).integers(-20, 20, X.shape[1]).astype(np.float32)
    clf = SoftmaxClassifier(random_state=0, max_iter=2, tol=None)
    plain = clf.fit(X, y[: len(X)]).predict_proba(X_test)
    scaled = clf.fit(X * factors, y[: len(X)]).predict_proba(X_test * factors)
    assert_array_equal(scaled, plain)


@pytest.mark.parametrize("batch_size", [32, 1000])
def test_shifts_and_scales_change_rounding_only(batch_size):
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    moved = X * rng.uniform(0.01, 100, X.shape[1]) + rng.uniform(-100, 100, X.shape[1])
    clf = SoftmaxClassifier(random_state=0, batch_size=batch_size)
    plain = clf.fit(X, y).predict_proba(X)
    assert_allclose(clf.fit(moved, y).predict_proba(moved), plain, atol=1e-9)


@pytest.mark.mnist
@pytest.mark.filterwarnings("error")
def test_fortran_order_trains_alike(mnist):
    X, y, X_test, _ = mnist
    X, y = X[:10_000], y[:10_000]
    clf = SoftmaxClassifier(random_state=0, max_iter=2, tol=None)
    by_rows = clf.fit(X, y).predict_proba(X_test)
    by_columns = clf.fit(np.asfortranarray(X), y).predict_proba(X_test)
    # Column sums of the statistics are added in another order.
    assert_allclose(by_columns, by_rows, atol=1e-4)
