"""Bad rows, labels and weights: an error in scikit-learn's wording, and a model left as it was.

Chunks and rows held out count as well, once for each way in which they may be bad.
"""

import numpy as np
import pytest
from left_unchanged import X, Y, assert_raises_and_changes_nothing

from sksoftmax import SoftmaxClassifier

NEXT_TO_2_53 = np.array([2**53, 2**53 + 1])


def replaced(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


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
