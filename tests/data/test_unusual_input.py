"""Unusual but good input: huge scales, constants, any memory layout, thousands of classes.

Whatever is not an error must train as well as the plain case beside it.
"""

import datetime
import tracemalloc
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.utils.fixes import parse_version
from sklearn.utils.multiclass import check_classification_targets

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.array_trainer import ArrayTrainer

X, Y = load_iris(return_X_y=True)
NEXT_TO_2_53 = np.array([2**53, 2**53 + 1])
BACKENDS = [b.name for b in list_backends() if b.available and b.name in ("numpy", "numba")]
COUNTS = np.arange(12)
DAYS = [datetime.date(2000, 1, 1 + i) for i in COUNTS.tolist()]
DECIMALS = [Decimal(i) / 4 for i in COUNTS.tolist()]


def test_int64_labels_next_to_2_53_stay_distinct():
    y = NEXT_TO_2_53[(Y == 2) * 1]
    clf = SoftmaxClassifier(random_state=0).fit(X, y)
    assert clf.classes_.tolist() == NEXT_TO_2_53.tolist()
    assert clf.score(X, y) > 0.9
    assert set(clf.predict(X).tolist()) == set(NEXT_TO_2_53.tolist())
    clf.partial_fit(X, y.astype(np.uint64))
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("kind", ["i8", "u1", "f8", "U3", "O"])
def test_labels_that_may_be_no_classes_are_warned_of_as_by_scikit_learn(kind):
    y = (np.arange(60) % 40).astype(kind)
    if kind == "O":
        y = y.astype(str).astype(object)
    X = np.random.default_rng(0).standard_normal((60, 2))
    with warnings.catch_warnings(record=True) as of_peer:
        warnings.simplefilter("always")
        check_classification_targets(y)
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        SoftmaxClassifier(random_state=0).fit(X, y)
    told = {str(warning.message) for warning in of_peer}
    assert told <= {str(warning.message) for warning in ours}


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_units_do_not_matter(factor):
    rows = X.astype(np.float32)
    plain = SoftmaxClassifier(random_state=0).fit(rows, Y)
    scaled_rows = rows * np.float32(factor)
    scaled = SoftmaxClassifier(random_state=0).fit(scaled_rows, Y)
    assert scaled.score(scaled_rows, Y) == plain.score(rows, Y) > 0.95
    assert scaled.coef_.dtype == np.float32
    np.testing.assert_allclose(scaled.coef_ * np.float32(factor), plain.coef_, rtol=1e-2)


@pytest.mark.parametrize("factor", [1e-305, 1e-170, 1e170, 1e300])
@pytest.mark.parametrize("of_format", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("parameters", [{}, {"learning_rate": 0.1}], ids=["auto", "given"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_units_do_not_matter_where_squares_have_no_room(backend, parameters, of_format, factor):
    clf = SoftmaxClassifier(
        backend=backend, max_iter=10, tol=None, random_state=0, **parameters
    )
    plain = clf.fit(of_format(X), Y).predict_proba(of_format(X))
    scale = clf.scale_
    units = np.array([factor, 1, factor, 1 / factor])
    far = clf.fit(of_format(X * units), Y).predict_proba(of_format(X * units))
    np.testing.assert_allclose(far, plain, rtol=1e-9)
    np.testing.assert_allclose(clf.scale_, scale * units, rtol=1e-12)


@pytest.mark.parametrize("of_format", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"early_stopping": True}, {"optimizer": "lbfgs", "tol": 1e-6}],
    ids=["sgd", "early stopping", "lbfgs"],
)
@pytest.mark.parametrize("class_weight", [{1: 0}, {0: 0, 1: 0.0}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_a_class_that_weighs_nothing_have_no_influence(
    backend, class_weight, parameters, of_format
):
    clf = SoftmaxClassifier(
        class_weight=class_weight, backend=backend, random_state=0, **parameters
    )
    coef = clf.fit(of_format(X), Y).coef_
    counted = ~np.isin(Y, list(class_weight))
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.score(X[counted], Y[counted]) > 0.98
    assert clf.predict_proba(X[counted])[:, list(class_weight)].max() < 0.05
    assert clf.n_samples_seen_ <= counted.sum()
    elsewhere = np.where(counted[:, None], X, 1000 * X + 7)
    np.testing.assert_array_equal(clf.fit(of_format(elsewhere), Y).coef_, coef)
    assert clf.dual_gap(of_format(elsewhere), Y) < (1e-5 if "optimizer" in parameters else 0.1)


@pytest.mark.parametrize(
    ("class_weight", "n_classes"), [({1: 0}, 3), ({0: 0, 1: 2, 2: 0.5}, 3), ({0: 0, 1: 1}, 2)]
)
def test_a_class_that_weighs_nothing_is_as_in_logistic_regression(class_weight, n_classes):
    kept = n_classes > Y
    rows, y = X[kept], Y[kept]
    total = sum(class_weight.get(label, 1) for label in y)
    clf = SoftmaxClassifier(
        alpha=0.01, class_weight=class_weight, standardize=False, optimizer="lbfgs", tol=1e-8
    ).fit(rows, y)
    peer = LogisticRegression(
        C=1 / (0.01 * total), class_weight=class_weight, solver="newton-cg", tol=1e-9
    ).fit(rows, y)
    assert clf.classes_.tolist() == peer.classes_.tolist()
    np.testing.assert_allclose(clf.predict_proba(rows), peer.predict_proba(rows), atol=1e-4)


@pytest.mark.filterwarnings("ignore:The objective has ended")  # by steps that are too long
@pytest.mark.parametrize("of_format", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_probabilities_may_underflow_to_zero(backend, n_classes, of_format):
    kept = n_classes > Y
    rows, y = of_format(1000 * X[kept]), Y[kept]
    clf = SoftmaxClassifier(
        learning_rate=0.5, standardize=False, max_iter=5, tol=None, backend=backend
    )
    with np.errstate(all="raise"):  # as one does in search of a NaN
        clf.set_params(random_state=0).fit(rows, y)
        assert clf.predict_proba(rows).min() == 0
        assert clf.predict_log_proba(rows).min() < np.log(np.finfo(float).tiny)
        clf.partial_fit(rows, y)


@pytest.mark.filterwarnings("ignore:The objective has ended")  # there is nothing to learn
@pytest.mark.parametrize("batch_size", [1, 8, 20])
@pytest.mark.parametrize("parameters", [{}, {"learning_rate": 0.1}], ids=["auto", "given"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_sparse_rows_that_hold_nothing_leave_the_intercepts(backend, parameters, batch_size):
    rows, y = sparse.csr_array((20, 3)), np.arange(20) % 3
    clf = SoftmaxClassifier(
        backend=backend,
        batch_size=batch_size,
        max_iter=3,
        tol=None,
        random_state=0,
        **parameters,
    )
    dense = clf.fit(rows.toarray(), y).intercept_
    clf.fit(rows, y)
    assert not clf.coef_.any()
    np.testing.assert_allclose(clf.intercept_, dense, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-240, 1e-150, 1e150, 1e240])
@pytest.mark.parametrize("of", ["sample", "class"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_units_of_weights_do_not_matter(backend, of, unit):
    weights = np.random.default_rng(0).exponential(size=len(Y)) + 0.1
    of_class = {0: 1.0, 1: 2.0, 2: 0.5}

    def fitted(of_samples, of_classes):
        clf = SoftmaxClassifier(
            alpha=1e-3,
            backend=backend,
            max_iter=10,
            tol=None,
            early_stopping=True,
            class_weight={label: of_classes * w for label, w in of_class.items()},
            random_state=0,
        )
        w = of_samples * weights
        return clf.fit(X, Y, w, X_val=X, y_val=Y, sample_weight_val=w)

    plain = fitted(1.0, 1.0)
    other = fitted(unit, 1.0) if of == "sample" else fitted(1.0, unit)
    np.testing.assert_allclose(other.coef_, plain.coef_, rtol=1e-9)
    np.testing.assert_allclose(other.scale_, plain.scale_, rtol=1e-12)
    np.testing.assert_allclose(
        other.validation_loss_curve_, plain.validation_loss_curve_, rtol=1e-9
    )


CONVERTED = {
    "datetime64": lambda: COUNTS.astype("M8[s]")[:, None],
    "timedelta64": lambda: COUNTS.astype("m8[h]")[:, None],
    "numbers as text": lambda: COUNTS.astype(str)[:, None],
    "list of text": lambda: [[str(i)] for i in COUNTS],
    "bytes": lambda: COUNTS.astype("S")[:, None],
    "objects": lambda: COUNTS.astype(object)[:, None],
    "decimals": lambda: np.array(DECIMALS)[:, None],
    "big-endian": lambda: COUNTS.astype(">f8")[:, None],
    "pandas datetimes": lambda: pd.DataFrame({"a": COUNTS.astype("M8[ns]")}),
    "time zones": lambda: pd.DataFrame({"a": pd.date_range("2000", periods=12, tz="UTC")}),
    "pandas durations": lambda: pd.DataFrame({"a": COUNTS.astype("m8[ns]")}),
    "pandas decimals": lambda: pd.DataFrame({"a": DECIMALS}),
    "pandas text": lambda: pd.DataFrame({"a": COUNTS.astype(str)}, dtype="string"),
    "pandas categories": lambda: pd.DataFrame({"a": pd.Categorical(COUNTS)}),
    "pandas integers with NA": lambda: pd.DataFrame({"a": pd.array(COUNTS, dtype="Int64")}),
    "pandas arrow": lambda: pd.DataFrame({"a": pd.array(COUNTS, dtype="int64[pyarrow]")}),
    "polars decimals": lambda: pl.DataFrame({"a": DECIMALS}),
    "polars dates": lambda: pl.DataFrame({"a": DAYS}),
    "polars durations": lambda: pl.DataFrame({"a": [day - DAYS[0] for day in DAYS]}),
    "polars text": lambda: pl.DataFrame({"a": COUNTS.astype(str).tolist()}),
    "polars booleans": lambda: pl.DataFrame({"a": COUNTS > 5}),
    "polars mixed": lambda: pl.DataFrame({"a": COUNTS, "b": DECIMALS}),
}
REFUSED = {
    "polars words": lambda: pl.DataFrame({"a": ["some"] * 12}),
    "pandas words": lambda: pd.DataFrame({"a": ["some"] * 12}),
    "None": lambda: np.array([None, *range(11)], dtype=object)[:, None],
    "dates as objects": lambda: np.array(DAYS, dtype=object)[:, None],
    "a column of dates": lambda: pd.DataFrame({"a": DAYS, "b": COUNTS}),
}


NOT_BY_OLD_POLARS = ("polars decimals", "polars mixed", "polars dates", "polars durations")
OLD_POLARS = parse_version(pl.__version__) < parse_version("1.10")


@pytest.mark.parametrize("case", CONVERTED)
def test_converted_where_logistic_regression_converts(case):
    if OLD_POLARS and case in NOT_BY_OLD_POLARS:
        pytest.skip("this polars cannot build the frame, or ends the process as NumPy reads it")
    rows, y = CONVERTED[case](), (COUNTS > 4) * 1
    LogisticRegression().fit(rows, y)
    numbers = np.asarray(rows, dtype=np.float64)
    for shuffle in (True, "blocks"):
        clf = SoftmaxClassifier(shuffle=shuffle, random_state=0)
        plain = clf.fit(numbers, y).predict_proba(numbers)
        np.testing.assert_allclose(clf.fit(rows, y).predict_proba(rows), plain, rtol=1e-5)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_where_logistic_regression_refuses(case):
    rows, y = REFUSED[case](), (COUNTS > 4) * 1
    with pytest.raises((TypeError, ValueError)) as of_logistic:
        LogisticRegression().fit(rows, y)
    with pytest.raises(type(of_logistic.value)) as of_softmax:
        SoftmaxClassifier().fit(rows, y)
    message = str(of_logistic.value).replace("LogisticRegression", "SoftmaxClassifier")
    assert str(of_softmax.value) == message


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("batch_size", [32, 150])
def test_constant_columns_get_no_weight(dtype, batch_size):
    rows = (X * 10).astype(dtype)
    padded = np.insert(rows, [0, 2, 4], [7, 0, 250], axis=1)
    constant = np.array([0, 3, 6])
    parameters = {"random_state": 0, "batch_size": batch_size}
    clf = SoftmaxClassifier(**parameters).fit(padded, Y)
    assert not clf.coef_[:, constant].any()
    np.testing.assert_array_equal(clf.scale_[constant], 1)
    np.testing.assert_array_equal(clf.mean_[constant], [7, 0, 250])
    without = SoftmaxClassifier(**parameters).fit(rows, Y)
    np.testing.assert_allclose(
        np.delete(clf.coef_, constant, axis=1), without.coef_, rtol=1e-3, atol=1e-6
    )


def test_ten_thousand_classes_without_a_one_hot_matrix():
    n_classes = 10_000
    y = np.repeat(np.arange(n_classes), 2)
    rows = np.random.default_rng(0).normal(size=(len(y), 2)).astype(np.float32)
    clf = SoftmaxClassifier(max_iter=1, tol=None, random_state=0)
    tracemalloc.start()
    clf.fit(rows, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(y) * n_classes / 2  # bytes: half of a one-hot matrix of booleans
    assert clf.coef_.shape == (n_classes, 2)
    np.testing.assert_allclose(clf.predict_proba(rows[:5]).sum(axis=1), 1, rtol=1e-5)


def test_chunk_of_few_rows_from_many_classes():
    # No warning that y looks like a regression's: the caller has named the classes.
    rows = np.random.default_rng(0).normal(size=(30, 2))
    clf = SoftmaxClassifier(random_state=0)
    clf.partial_fit(rows, 7 * np.arange(30), classes=np.arange(1000))
    assert set(clf.predict(rows)) <= set(7 * np.arange(30))


class PlainBackend(type(get_backend("numpy"))):
    """NumPy without the tuned trainer."""

    def trainer(self, problem, state):
        return ArrayTrainer(problem, state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", range(1, 10))
def test_every_small_shape(dtype, n_features):
    # Kernels of array libraries differ by width, and their bugs with them: NumPy 2.4 negates
    # a column of 4 float32 or 8 float64 wrongly where AVX-512 is at hand.
    rng = np.random.default_rng(n_features)
    for n_rows in range(1, 10):
        rows = rng.normal(size=(n_rows, n_features)).astype(dtype)
        y = rng.integers(3, size=n_rows)
        fits = []
        for backend in ("numpy", PlainBackend()):
            clf = SoftmaxClassifier(learning_rate=0.1, random_state=0, backend=backend)
            for _ in range(3):
                clf.partial_fit(rows, y, classes=[0, 1, 2])
            fits.append(clf.predict_proba(rows))
        tolerance = 1e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(*fits, atol=tolerance, err_msg=f"{n_rows} rows")


def layouts(rows, folder):
    """The same rows in other memory layouts; all but the views of `wide` are read-only."""
    n_rows, n_features = rows.shape
    wide = np.zeros((2 * n_rows, 2 * n_features), rows.dtype)
    wide[::2, ::2] = rows
    file = folder / "rows.dat"
    rows.tofile(file)
    read_only = rows.copy()
    read_only.flags.writeable = False
    return {
        "read-only": read_only,
        "Fortran": np.asfortranarray(rows),
        "rows of a wider array": np.repeat(rows, 2, axis=0)[::2],
        "every second row and column": wide[::2, ::2],
        "backwards": np.ascontiguousarray(rows[::-1])[::-1],
        "memory map": np.memmap(file, rows.dtype, "r", shape=rows.shape),
    }


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_memory_layout_does_not_matter(tmp_path, dtype, shuffle):
    rows = np.ascontiguousarray(X * 10).astype(dtype)
    clf = SoftmaxClassifier(
        batch_size=32, max_iter=10, tol=None, shuffle=shuffle, random_state=0
    )
    expected = clf.fit(rows.copy(), Y).predict_proba(rows)
    coef = clf.coef_
    for name, other in layouts(rows, tmp_path).items():
        clf.fit(other, Y)
        np.testing.assert_allclose(clf.coef_, coef, rtol=1e-6, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(clf.predict_proba(other), expected, atol=1e-6)
        np.testing.assert_array_equal(other, rows, err_msg=f"{name} was written to")
