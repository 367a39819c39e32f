"""ONNX graphs held to the estimator they come from, on every kind of input, label and output.

The graphs run in onnxruntime: labels must be equal and probabilities within 1e-6.
"""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import sksoftmax.onnx  # noqa: E402  it needs skl2onnx

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
LABELS = {
    "int": Y,
    "negative int": Y - 1,
    "uint8": Y.astype(np.uint8),
    "float": Y.astype(float),
    "str": NAMES[Y],
    "object": NAMES.astype(object)[Y],
    "binary int": np.minimum(Y, 1) * 2 - 1,
    "binary bool": Y > 0,
    "binary str": NAMES[np.minimum(Y, 1)],
    "binary overlapping": NAMES[np.maximum(Y, 1)],
}


@pytest.fixture(autouse=True)
def _registered():
    sksoftmax.onnx.register()


def run(model, rows, **options):
    graph = skl2onnx.to_onnx(model, rows[:1], options={id(model): options})
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": rows})


def assert_same_predictions(model, rows, labels, probabilities):
    np.testing.assert_array_equal(labels, model.predict(rows))
    expected = model.predict_proba(rows)
    assert np.shape(probabilities) == expected.shape
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_hundred_thousand_rows(n_classes, dtype):
    y = np.minimum(Y, n_classes - 1)
    clf = SoftmaxClassifier(random_state=0).fit(X.astype(dtype), y)
    low, high = X.min(axis=0), X.max(axis=0)
    rows = np.random.default_rng(0).uniform(low, high, (100_000, 4)).astype(dtype)
    labels, probabilities = run(clf, rows, zipmap=False)
    assert_same_predictions(clf, rows, labels, probabilities)
    assert probabilities.dtype == dtype


@pytest.mark.parametrize("trained", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "in a pipeline"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_arrays_of_probabilities(y, scaled, dtype, trained):
    model = SoftmaxClassifier(random_state=0)
    if scaled:
        model = make_pipeline(StandardScaler(), model)
    model.fit(X.astype(trained), y)
    rows = X.astype(dtype)
    labels, probabilities = run(model, rows, zipmap=False)
    assert_same_predictions(model, rows, labels, probabilities)
    assert probabilities.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_dicts_of_probabilities(y, dtype):
    rows = X.astype(dtype)
    clf = SoftmaxClassifier(random_state=0).fit(rows, y)
    labels, dicts = run(clf, rows)  # zipmap=True is skl2onnx's default
    assert [list(row) for row in dicts] == [clf.classes_.tolist()] * len(rows)
    assert_same_predictions(clf, rows, labels, [list(row.values()) for row in dicts])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_columns_of_probabilities(y, dtype):
    rows = X.astype(dtype)
    clf = SoftmaxClassifier(random_state=0).fit(rows, y)
    labels, *columns = run(clf, rows, zipmap="columns")
    assert_same_predictions(clf, rows, labels, np.transpose(columns))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_integer_rows(dtype):
    digits, labels = load_digits(return_X_y=True)
    rows = (digits > 7 if dtype == "bool" else digits).astype(dtype)
    clf = SoftmaxClassifier(random_state=0).fit(rows, labels)
    predictions, probabilities = run(clf, rows, zipmap=False)
    assert_same_predictions(clf, rows, predictions, probabilities)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_stay_probabilities(dtype):
    rows = np.linspace(-3000, 3000, 61, dtype=dtype)[:, None]
    for y in (rows[:, 0] > 0, np.digitize(rows[:, 0], [-500, 500])):
        clf = SoftmaxClassifier(alpha=0.0).fit(rows / 100, y)
        assert_same_predictions(clf, rows, *run(clf, rows, zipmap=False))


def test_equal_scores_go_to_the_first_class():
    for n_classes in (2, 3):
        clf = SoftmaxClassifier(random_state=0).fit(X, np.minimum(Y, n_classes - 1))
        clf.coef_[:], clf.intercept_[:] = 0, 0
        labels, probabilities = run(clf, X, zipmap=False)
        assert_same_predictions(clf, X, labels, probabilities)
        assert set(labels) == {0}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_raw_scores(y):
    clf = SoftmaxClassifier(random_state=0).fit(X, y)
    labels, scores = run(clf, X, zipmap=False, raw_scores=True)
    expected = clf.decision_function(X)
    if expected.ndim == 1:
        expected = np.column_stack([-expected, expected])
    np.testing.assert_array_equal(labels, clf.predict(X))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_codes_and_lists_of_labels():
    clf = SoftmaxClassifier(random_state=0).fit(X, NAMES[Y])
    codes, probabilities = run(clf, X, zipmap=False, nocl=True)
    assert_same_predictions(clf, X, NAMES[codes], probabilities)
    *_, classes = run(clf, X, zipmap=False, output_class_labels=True)
    assert classes.tolist() == clf.classes_.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_within_other_estimators(n_classes, dtype):
    rows, y = X.astype(dtype), np.minimum(Y, n_classes - 1)
    clf = SoftmaxClassifier(random_state=0)
    search = GridSearchCV(clf, {"alpha": [1e-3, 1.0]}).fit(rows, y)
    calibrated = CalibratedClassifierCV(clf, cv=3).fit(rows, y)
    for model in (search, calibrated):
        assert_same_predictions(model, rows, *run(model, rows, zipmap=False))


def test_a_missing_skl2onnx_is_an_import_error_with_the_cure():
    code = "import sys; sys.modules['skl2onnx'] = None; import sksoftmax.onnx"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 1
    last = child.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "pip install skl2onnx onnxruntime" in last


@pytest.mark.parametrize("options", [{}, {"zipmap": False}, {"zipmap": False, "nocl": True}])
@pytest.mark.parametrize("in_pipeline", [False, True], ids=["alone", "in a pipeline"])
@pytest.mark.parametrize("kind", ["of classifiers", "of pipelines", "SoftmaxClassifierCV"])
def test_searches(kind, in_pipeline, options):
    clf = SoftmaxClassifier(random_state=0)
    if kind == "of classifiers":
        search = SoftmaxSearchCV(clf, {"alpha": [1e-3, 1]}, cv=3)
    elif kind == "of pipelines":
        search = SoftmaxSearchCV(
            make_pipeline(StandardScaler(), clf), {"softmaxclassifier__alpha": [1e-3, 1]}, cv=3
        )
    else:
        search = SoftmaxClassifierCV(alphas=[1e-3, 1], cv=3, random_state=0)
    model = make_pipeline(StandardScaler(), search) if in_pipeline else search
    rows = X.astype(np.float32)
    y = Y if "nocl" in options else NAMES[Y]
    labels, probabilities = run(model.fit(rows, y), rows, **options)
    if not options:
        probabilities = [list(row.values()) for row in probabilities]
    assert_same_predictions(model, rows, labels, probabilities)


def test_a_search_that_is_not_fitted():
    search = SoftmaxSearchCV(SoftmaxClassifier(), {"alpha": [1]}, cv=3, refit=False).fit(X, Y)
    with pytest.raises(NotFittedError):
        skl2onnx.to_onnx(search, X[:1])
