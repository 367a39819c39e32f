"""Bad input of every kind: an error in scikit-learn's wording, and a model left as it was.

Interrupts count as bad input: they come in mid-fit, and an earlier fit must survive them.
"""

import os
import signal
import subprocess
import sys
from fractions import Fraction

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.utils import estimator_checks, get_tags

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, get_backend

X, Y = load_iris(return_X_y=True)
CLASSES = [0, 1, 2]
NEXT_TO_2_53 = np.array([2**53, 2**53 + 1])


@pytest.fixture
def fitted():
    return SoftmaxClassifier(random_state=0, max_iter=5, tol=None).fit(X, Y)


def replaced(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


def assert_raises_and_changes_nothing(clf, message, call, error=ValueError):
    """`call(clf)` raises, and every attribute and prediction stays bit for bit."""
    names, digest, predictions = list(vars(clf)), joblib.hash(vars(clf)), clf.predict_proba(X)
    with pytest.raises(error, match=message):
        call(clf)
    assert list(vars(clf)) == names
    assert joblib.hash(vars(clf)) == digest
    np.testing.assert_array_equal(clf.predict_proba(X), predictions)


BAD_DATA = {
    "NaN in X": (lambda: (replaced(X, (3, 1), np.nan), Y), "Input X contains NaN"),
    "inf in X": (lambda: (replaced(X, (3, 1), np.inf), Y), "Input X contains infinity"),
    "no rows": (lambda: (X[:0], Y[:0]), r"Found array with 0 sample\(s\)"),
    "no features": (lambda: (X[:, :0], Y), r"Found array with 0 feature\(s\)"),
    "one dimension": (lambda: (X[:, 0], Y), "Expected 2D array, got 1D array instead"),
    "complex": (lambda: (X + 1j, Y), "Complex data not supported"),
    "text": (
        lambda: (np.full(X.shape, "one"), Y),
        "could not convert string to float: .*'one'",
    ),
    "lengths": (lambda: (X, Y[:-1]), "inconsistent numbers of samples"),
    "two columns of y": (lambda: (X, np.c_[Y, Y]), "y should be a 1d array"),
    "NaN in y": (lambda: (X, replaced(Y * 1.0, 0, np.nan)), "Input y contains NaN"),
    "NaT in X": (lambda: (replaced(X.astype("M8[s]"), 0, "NaT"), Y), "Input X contains NaN"),
    "NaT in y": (lambda: (X, replaced(Y.astype("M8[s]"), 0, "NaT")), "Input y contains NaT"),
    "NaT as duration": (lambda: (X, replaced(Y.astype("m8[s]"), 0, "NaT")), "y contains NaT"),
    "continuous y": (lambda: (X, Y + 0.5), "Unknown label type: continuous"),
    "float y beyond 2**53": (
        lambda: (X, NEXT_TO_2_53[Y % 2].astype(float)),
        r"Unknown label type: y holds floats beyond 2\*\*53",
    ),
    "number among strings": (
        lambda: (X, replaced(Y.astype(str).astype(object), 3, 1)),
        "Unknown label type: labels must be uniformly strings or numbers",
    ),
    "None among numbers": (
        lambda: (X, replaced(Y.astype(object), 3, None)),
        r"labels must be uniformly strings or numbers. Got \['NoneType', 'int'\]",
    ),
    "string among numbers": (
        lambda: (X, replaced(Y.astype(object), 3, "1")),
        "Unknown label type",
    ),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_rows_and_labels(fitted, case, method):
    bad, message = BAD_DATA[case]
    assert_raises_and_changes_nothing(fitted, message, lambda clf: getattr(clf, method)(*bad()))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (replaced(np.ones(150), 0, -1), "Negative values in data passed to `sample_weight`"),
        (np.zeros(150), "Sample weights must contain at least one non-zero number"),
        (replaced(np.ones(150), 0, np.nan), "Input sample_weight contains NaN"),
        (replaced(np.ones(150), 0, np.inf), "Input sample_weight contains infinity"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)!"),
        (np.ones((150, 2)), "Sample weights must be 1D array or scalar"),
    ],
    ids=["negative", "all zero", "NaN", "inf", "length", "two columns"],
)
def test_bad_weights(fitted, method, weights, message):
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: getattr(clf, method)(X, Y, sample_weight=weights)
    )


def damaged(of_format, damage):
    """Iris in a sparse format, of which `damage` then changes an array."""
    rows = np.triu(X[:4]) if of_format == "dia" else X
    matrix = sparse.coo_array(rows).asformat(of_format)
    damage(matrix)
    return matrix


def put(name, index, value):
    """What sets an element of an array of a matrix."""

    def damage(matrix):
        getattr(matrix, name)[index] = value

    return damage


def shorten(name):
    """What leaves out the last half of an array of a matrix."""

    def damage(matrix):
        array = getattr(matrix, name)
        setattr(matrix, name, array[: len(array) // 2])

    return damage


DAMAGED = {
    "CSR, a column that is not there": ("csr", put("indices", 5, 4)),
    "CSR, far off": ("csr", put("indices", 5, 2**30)),
    "CSR, below 0": ("csr", put("indices", 5, -1)),
    "CSR, a row ends before it starts": ("csr", put("indptr", 3, 2**20)),
    "CSR, more elements than there are": ("csr", put("indptr", -1, 2**20)),
    "CSR, starts elsewhere": ("csr", put("indptr", 0, 1)),
    "CSR, starts below 0": ("csr", put("indptr", 0, -(2**20))),
    "CSR, few indptr": ("csr", shorten("indptr")),
    "CSR, few indices": ("csr", shorten("indices")),
    "CSR, few values": ("csr", shorten("data")),
    "CSC, a row that is not there": ("csc", put("indices", 5, 2**30)),
    "CSC, indptr": ("csc", put("indptr", 2, -(2**20))),
    "BSR, a column that is not there": ("bsr", put("indices", 5, 2**30)),
    "COO, a column that is not there": ("coo", put("col", 5, 2**30)),
    "COO, a row below 0": ("coo", put("row", 5, -(2**30))),
    "DIA, few offsets": ("dia", shorten("offsets")),
    "LIL, a column that is not there": ("lil", put("rows", 5, [0, 1, 2, 2**30])),
    "LIL, few columns": ("lil", put("rows", 5, [0])),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_sparse_rows(fitted, case):
    matrix = damaged(*DAMAGED[case])
    y = Y[: matrix.shape[0]]
    message = f"X is a damaged {matrix.format.upper()} matrix: "
    for call in (
        lambda clf: clf.fit(matrix, y),
        lambda clf: clf.partial_fit(matrix, y),
        lambda clf: clf.partial_fit(X, Y, X_val=matrix, y_val=y),
        lambda clf: clf.predict(matrix),
        lambda clf: clf.predict_proba(matrix),
        lambda clf: SoftmaxClassifierCV().fit(matrix, y),
    ):
        assert_raises_and_changes_nothing(fitted, message, call)


def test_room_at_the_end_of_sparse_rows_is_no_damage():
    # SciPy leaves such room behind where elements are eliminated.
    rows = sparse.csr_matrix(X)
    roomy = rows.copy()
    roomy.indices = np.append(roomy.indices, [2**30, -5]).astype(np.int32)
    roomy.data = np.append(roomy.data, [np.nan, np.inf])
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0)
    expected = clf.fit(rows, Y).predict_proba(rows)
    np.testing.assert_array_equal(clf.fit(roomy, Y).predict_proba(roomy), expected)


def test_indices_that_are_no_longer_sorted():
    rows = sparse.csr_matrix(X)
    assert rows.has_canonical_format  # which SciPy remembers
    rows.indices[:4], rows.data[:4] = rows.indices[3::-1].copy(), rows.data[3::-1].copy()
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0)
    coef = clf.fit(sparse.csr_matrix(X), Y).coef_
    np.testing.assert_array_equal(clf.fit(rows, Y).coef_, coef)


@pytest.mark.parametrize("estimator", [SoftmaxClassifier, SoftmaxClassifierCV])
@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_the_tag_tells_whether_sparse_rows_are_taken(estimator, shuffle):
    clf = estimator(shuffle=shuffle)
    assert get_tags(clf).input_tags.sparse == (shuffle is True)
    if hasattr(estimator_checks, "check_estimator_sparse_tag"):  # from scikit-learn 1.7 on
        estimator_checks.check_estimator_sparse_tag(estimator.__name__, clf)


@pytest.mark.parametrize("weights", [None, (Y == 1) * 1.0], ids=["rows", "weighted rows"])
def test_one_class_cannot_be_fitted(fitted, weights):
    y = np.ones_like(Y) if weights is None else Y
    message = "needs samples of at least 2 classes in the data, but the data contains only one"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, y, weights))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1.0}, "class_weight must be finite and not negative"),
        ({0: np.nan}, "class_weight must be finite and not negative"),
        ({0: 10**400}, "class_weight must be finite and not negative"),
        ({0: 0, 1: 0, 2: 0}, "class_weight must be .* positive for one at least"),
        ({0: 1e300}, "Sample weights times those of the classes leave the range of float64"),
        ({7: 2.0}, r"The classes, \[0, 1, 2\], are not in class_weight"),
    ],
)
def test_bad_class_weight(fitted, class_weight, message):
    fitted.set_params(class_weight=class_weight)
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_wrong_feature_count_when_predicting(fitted, method):
    message = "X has 3 features, but SoftmaxClassifier is expecting 4 features as input"
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: getattr(clf, method)(X[:, :3])
    )


@pytest.mark.parametrize(
    ("rows", "labels", "classes", "message"),
    [
        (X[:, :3], Y, None, "X has 3 features, but SoftmaxClassifier is expecting 4"),
        (X, Y + 1, None, r"y contains previously unseen labels: \[3\]"),
        (X, Y.astype(str), None, "y contains previously unseen labels: .*'0'"),
        (X, Y, [0, 1], r"`classes=\[0, 1\]` is not the same as on last call to partial_fit"),
        (X, Y, [0, 1, 3], r"`classes=\[0, 1, 3\]` is not the same as on last call"),
    ],
    ids=["features", "unseen", "unseen strings", "fewer classes", "other classes"],
)
def test_bad_next_chunk(fitted, rows, labels, classes, message):
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: clf.partial_fit(rows, labels, classes=classes)
    )


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, "classes must be passed on the first call to partial_fit"),
        ([0], "needs samples of at least 2 classes"),
        ([], "needs samples of at least 2 classes"),
        ([0, 1], r"y contains previously unseen labels: \[2\]"),
    ],
)
def test_bad_first_chunk_leaves_an_unfitted_estimator(classes, message):
    clf = SoftmaxClassifier()
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, Y, classes=classes)
    assert vars(clf) == vars(SoftmaxClassifier())


def test_rows_of_classes_that_weigh_nothing_alone(fitted):
    fitted.set_params(class_weight={0: 0})
    message = r"X must hold a row whose class_weight is not 0, got class_weight=\{0: 0\}"
    nothing = X[Y == 0], Y[Y == 0]
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.partial_fit(*nothing))
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.dual_gap(*nothing))
    message = "The rows held out must hold a row whose class_weight is not 0"
    fitted.set_params(early_stopping=True)
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: clf.fit(X, Y, X_val=nothing[0], y_val=nothing[1])
    )


def test_balanced_weights_need_all_rows(fitted):
    fitted.set_params(class_weight="balanced")
    message = "class_weight 'balanced' is not supported for partial_fit"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.partial_fit(X, Y))


def test_warm_start_refuses_another_problem(fitted):
    fitted.set_params(warm_start=True)
    message = "warm_start can only be used where `y` has the same classes"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y + 1))
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X[:100], Y[:100]))
    message = "X has 3 features, but warm_start goes on from a fit of 4 features"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X[:, :3], Y))


BAD_VALIDATION = {
    "X_val alone": ({"X_val": X}, "X_val is provided, but y_val was not"),
    "y_val alone": ({"y_val": Y}, "y_val is provided, but X_val was not"),
    "weights alone": (
        {"sample_weight_val": np.ones(150)},
        "sample_weight_val is provided, but X_val and y_val were not",
    ),
    "features": (
        {"X_val": X[:, :3], "y_val": Y},
        "Invalid X_val, y_val: X has 3 features, but SoftmaxClassifier is expecting 4",
    ),
    "lengths": ({"X_val": X, "y_val": Y[1:]}, "Invalid X_val, y_val: .*inconsistent numbers"),
    "NaN": (
        {"X_val": replaced(X, (3, 1), np.nan), "y_val": Y},
        "Invalid X_val, y_val: Input X contains NaN",
    ),
    "unseen labels": (
        {"X_val": X, "y_val": Y + 1},
        r"Invalid X_val, y_val: y contains previously unseen labels: \[3\]",
    ),
    "negative weights": (
        {"X_val": X, "y_val": Y, "sample_weight_val": -np.ones(150)},
        "Invalid X_val, y_val, sample_weight_val: Negative values in data",
    ),
    "no weight": (
        {"X_val": X, "y_val": Y, "sample_weight_val": np.zeros(150)},
        "Sample weights must contain at least one non-zero number",
    ),
    "range": (
        {"X_val": np.where(X > 3, 1e308, -1e308), "y_val": Y},
        "Floating-point under-/overflow occurred",
    ),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", BAD_VALIDATION)
def test_bad_validation_data(fitted, case, method):
    fitted.set_params(early_stopping=True)
    bad, message = BAD_VALIDATION[case]
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: getattr(clf, method)(X, Y, **bad)
    )


def test_validation_data_need_early_stopping(fitted):
    message = "X_val and y_val are passed to fit while early_stopping is False"
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: clf.fit(X, Y, X_val=X, y_val=Y)
    )


# A value of the wrong type, then values out of range, where the parameter has a range.
BAD_PARAMETERS = {
    "alpha": ["1", -1e-9, np.nan],
    "l1_ratio": ["1", -0.1, 1.1, np.nan],
    "average": ["yes"],
    "backend": [3, object()],
    "batch_size": [2.5, 0],
    "class_weight": [3.0, "heavy"],
    "early_stopping": ["auto"],
    "fit_intercept": ["yes"],
    "learning_rate": [None, "fast", 0, -0.1],
    "max_iter": [10.0, 0],
    "momentum": ["0.9", 1.0, -0.1],
    "schedule": ["optimal", 1],
    "optimizer": ["newton-cg", 1],
    "nesterov": ["yes"],
    "beta_1": ["0.9", 1.0, -0.1],
    "beta_2": ["0.9", 1.0, -0.1],
    "epsilon": ["0", 0.0, -1e-8],
    "n_iter_no_change": [None, 0],
    "n_jobs": [0.5, "all"],
    "random_state": ["seed", -1],
    "shuffle": [None],
    "standardize": ["yes"],
    "tol": ["1e-3", -1e-9],
    "validation_fraction": ["0.1", 0, 1.0],
    "verbose": ["loud", -1],
    "warm_start": ["yes"],
}


def test_every_parameter_has_bad_values_here():
    assert BAD_PARAMETERS.keys() == SoftmaxClassifier().get_params().keys()


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, bad in BAD_PARAMETERS.items() for v in bad]
)
def test_bad_parameter(fitted, name, value):
    message = f"The '{name}' parameter of SoftmaxClassifier must be "
    new = SoftmaxClassifier(**{name: value})
    with pytest.raises(ValueError, match=message):
        new.partial_fit(X, Y, classes=CLASSES)
    fitted.set_params(**{name: value})
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


BEYOND_FLOATS = {
    "tol": [10**400, Fraction(10**400), np.longdouble("1e4000")],
    "alpha": [10**400, np.longdouble("1e4000")],
    "learning_rate": [10**400, Fraction(1, 10**400)],  # 0 as a float
    "epsilon": [10**400, Fraction(1, 10**400)],
    "momentum": [10**400, Fraction(10**400 - 1, 10**400)],  # 1 as a float
    "beta_1": [Fraction(10**400 - 1, 10**400)],
    "validation_fraction": [Fraction(1, 10**400), Fraction(10**400 - 1, 10**400)],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, values in BEYOND_FLOATS.items() for v in values]
)
def test_numbers_that_no_float_can_hold(fitted, name, value):
    fitted.set_params(**{name: value})
    message = f"The '{name}' parameter of SoftmaxClassifier must be "
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


def test_a_grid_of_numbers_that_no_float_can_hold():
    with pytest.raises(ValueError, match="alphas must hold numbers that a float can hold"):
        SoftmaxClassifierCV(alphas=[1, 10**400]).fit(X, Y)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fractions_are_numbers(optimizer):
    names = "alpha", "l1_ratio", "learning_rate", "momentum", "beta_1", "beta_2", "epsilon"
    half = Fraction(1, 2)
    clf = SoftmaxClassifier(optimizer=optimizer, max_iter=3, tol=None, random_state=0)
    exact = clf.set_params(**dict.fromkeys(names, half)).fit(X, Y).coef_
    float_ = clf.set_params(**dict.fromkeys(names, 0.5)).fit(X, Y).coef_
    np.testing.assert_array_equal(exact, float_)


def test_unknown_backend_names_the_installed_ones(fitted):
    fitted.set_params(backend="abacus")
    message = "Unknown backend 'abacus'. Backends that can be used here: .*numpy"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence(fitted, method):
    fitted.set_params(learning_rate=1e30, standardize=False, max_iter=50)
    message = r"Floating-point under-/overflow occurred at epoch #\d+. Lower learning_rate"
    # The overflow needs more than one epoch, which partial_fit does not run: hence 1e30 twice.
    rows = (X * 1e20).astype(np.float32)
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: getattr(clf, method)(rows, Y)
    )


class InterruptedBackend(type(get_backend("numpy"))):
    """Sends this process SIGINT in the fourth epoch."""

    def trainer(self, problem, state):
        trainer = super().trainer(problem, state)
        run_epoch, n_epochs = trainer.run_epoch, 0

        def interrupted(order, step_sizes):
            nonlocal n_epochs
            n_epochs += 1
            if n_epochs == 4:
                signal.raise_signal(signal.SIGINT)
            return run_epoch(order, step_sizes)

        trainer.run_epoch = interrupted
        return trainer


@pytest.mark.parametrize("warm_start", [False, True])
def test_interrupt_leaves_the_earlier_fit(fitted, warm_start):
    fitted.set_params(backend=InterruptedBackend(), warm_start=warm_start)
    assert_raises_and_changes_nothing(
        fitted, None, lambda clf: clf.fit(X[::2], Y[::2]), KeyboardInterrupt
    )


INTERRUPTED_SCRIPT = """
import joblib
from sklearn.datasets import load_iris
from sksoftmax import SoftmaxClassifier

X, y = load_iris(return_X_y=True)
clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0).fit(X, y)
clf.set_params(max_iter=10**7, verbose=1)
before = joblib.hash(vars(clf))
try:
    clf.fit(X[::2], y[::2])
except KeyboardInterrupt:
    print("intact" if joblib.hash(vars(clf)) == before else "changed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="one process cannot interrupt another")
def test_interrupt_from_outside():
    command = [sys.executable, "-u", "-c", INTERRUPTED_SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "rows" in process.stdout.readline()
        assert process.stdout.readline().startswith("epoch")
        os.kill(process.pid, signal.SIGINT)
        *_, last = process.stdout
    assert last.endswith("intact\n")  # perhaps after a line that the interrupt cut short
    assert process.returncode == 0
