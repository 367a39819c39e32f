"""What one example does, and whether it may: the child process runs this.

An example is a dict of plain values. Rows that are valid must train as their float64 copy in
one piece does on the NumPy backend; what is not must raise an error of the list, and change
neither the model nor its input.
"""

import re
import warnings

import joblib
import numpy as np
from fuzz import inputs
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV

ERRORS = [
    "Input (X|y|sample_weight)? ?contains (NaN|NaT|infinity)",
    "contains NaN",
    "Complex data not supported",
    "could not convert string to float",
    "Expected 2D array, got 1D array",
    r"Found array with 0 sample\(s\)",
    r"Found array with \d+ sample\(s\)",
    "inconsistent numbers of samples",
    r"X is a damaged (CSR|CSC) matrix",
    "Unknown label type",
    "needs samples of at least 2 classes",
    "Negative values in data passed to `sample_weight`",
    r"sample_weight.shape == .*, expected",
    "Sample weights must contain at least one non-zero number",
    "Sample weights leave the range of float64",
    r"Floating-point under-/overflow occurred at epoch",
    r"float\(\) argument must be",
    "n_splits=2 cannot be greater than the number of members in each class",
    "y contains previously unseen labels",
    "shuffle='blocks' needs dense X",
    "The least populated class",
]
"""All that the library may answer, in its own words or in scikit-learn's."""

EXCUSED = [
    r"Numba has no arrays of dtype (float16|float128|longdouble)",
    "shuffle='blocks' needs dense X",
]
"""What may keep rows out whose copy trains."""

PREDICTIONS = "predict_proba", "decision_function"

OVERFLOW = "Floating-point under-/overflow occurred at epoch"

ROUNDINGS = 1e4
"""Roundings of the arithmetic that probabilities may be apart."""

AMPLIFIED = 1000
"""Times that by which as large a change of the rows moves them."""


def judge(example):
    """Run an example; return what is wrong with the outcome, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataConversionWarning)
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)
        warnings.filterwarnings("ignore", "early_stopping=True can hold out no row")
        warnings.filterwarnings("ignore", "pandas.DataFrame with sparse columns found")
        warnings.filterwarnings("ignore", "X (has|does not have valid) feature names")
        warnings.filterwarnings("ignore", "The least populated class in y")
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        return _Trial(example).verdict()


class _Trial:
    def __init__(self, example):
        self.example = example
        self.rng = np.random.default_rng(example["seed"])
        n_rows = example["n_rows"]
        numbers = inputs.table(example["values"], n_rows, example["n_features"], self.rng)
        self.rows, self.numbers = inputs.as_rows(numbers, example["form"])
        n_classes = 2 if example["labels"] == "booleans" else example["n_classes"]
        self.codes = self.rng.integers(n_classes, size=n_rows)
        self.codes[:n_classes] = np.arange(n_classes)[:n_rows]
        self.labels = inputs.as_labels(self.codes, example["labels"])
        self.weights = inputs.as_weights(example["weights"], n_rows, self.rng)
        self.classes = _distinct(self.labels)
        self.flawed = example["flaw"] is not None
        if self.flawed:
            self._spoil(*example["flaw"])

    def _spoil(self, where, flaw):
        if where == "rows":
            self.rows = inputs.spoilt_rows(self.numbers, flaw, self.example["form"], self.rng)
        elif where == "labels":
            self.labels = inputs.spoilt_labels(self.codes, flaw)
            self.classes = np.unique(self.codes)
        else:
            self.weights = inputs.spoilt_weights(len(self.codes), flaw)

    def verdict(self):
        method = self.example["method"]
        clf = self._estimator(self.example["backend"])
        goes_on = method == "partial_fit" and self.example["fitted_before"]
        if method in PREDICTIONS or goes_on:
            try:
                clf = self._fitted(self._estimator("numpy"), self.numbers, self.codes, "fit")
            except ValueError:
                return None  # what is tried needs a model
            clf.set_params(backend=self.example["backend"])
        elif self.example["fitted_before"] and method != "search":
            # A model that an error must not change, of any other rows.
            arguments = {"X_val": [[0.0]], "y_val": [0]} if clf.early_stopping else {}
            clf.fit([[0.0], [1.0], [2.0]], [0, 1, 1], **arguments)
        data = self.rows, self.labels, self.weights
        before = _model_digest(clf), [inputs.digest(d) for d in data]
        try:
            found = self._outcome(clf)
            error = None
        except Exception as raised:
            error = raised
        after = _model_digest(clf), [inputs.digest(d) for d in data]
        if after[1] != before[1]:
            return "the input was written to"
        if error is not None:
            if after[0] != before[0]:
                return f"the model was changed by {error!r}"
            return self._verdict_on(error)
        if self.flawed:
            return "was accepted"
        return self._difference(found)

    def _outcome(self, clf):
        """Probabilities of the rows, or scores."""
        method = self.example["method"]
        if method in PREDICTIONS:
            clf.predict(self.rows)
            return getattr(clf, method)(self.rows)
        self._fitted(clf, self.rows, self.labels, method)
        if method == "search":
            return clf.coefs_paths_
        return clf.predict_proba(self.rows)

    def _fitted(self, clf, rows, labels, method):
        """The classifier, trained."""
        arguments = {}
        if self.example["validates"] and method in ("fit", "partial_fit"):
            arguments = {"X_val": rows, "y_val": labels}
        if method == "partial_fit":
            known = self.classes if labels is self.labels else np.unique(self.codes)
            classes = None if hasattr(clf, "classes_") else known
            clf.partial_fit(rows, labels, classes, self.weights, **arguments)
            return clf.partial_fit(rows, labels, None, self.weights)
        return clf.fit(rows, labels, sample_weight=self.weights, **arguments)

    def _estimator(self, backend):
        parameters = {"max_iter": 3, "tol": None, "random_state": 0, "backend": backend}
        parameters |= self.example["parameters"]
        if self.example["method"] == "search":
            for name in ("learning_rate", "l1_ratio"):
                parameters.pop(name, None)
            return SoftmaxClassifierCV(alphas=[1e-3, 1e-1], cv=2, **parameters)
        return SoftmaxClassifier(early_stopping=self.example["validates"], **parameters)

    def _expected(self, numbers):
        """What the float64 copy gives: CSR where steps of a given size are not centred."""
        form = self.example["form"]
        is_sparse = form["kind"] == "sparse" or form["container"] == "pandas sparse"
        if is_sparse and self._is_of_given_steps():
            numbers = sparse.csr_array(numbers)
        clf = self._estimator("numpy")
        if self.example["parameters"].get("shuffle") == "blocks":
            clf.set_params(shuffle=True)
        codes, method = self.codes, self.example["method"]
        if method in PREDICTIONS:
            clf = self._fitted(clf, self.numbers, codes, "fit")
            return getattr(clf, method)(numbers)
        if method == "partial_fit" and self.example["fitted_before"]:
            clf = self._fitted(clf, self.numbers, codes, "fit")
        clf = self._fitted(clf, numbers, codes, method)
        return clf.coefs_paths_ if method == "search" else clf.predict_proba(numbers)

    def _verdict_on(self, error):
        message = str(error)
        if not isinstance(error, ValueError | TypeError):
            return f"raised {error!r}"
        if any(re.search(excuse, message) for excuse in EXCUSED):
            return None
        if not any(re.search(pattern, message) for pattern in ERRORS):
            return f"raised an error that is not on the list: {error!r}"
        if self.flawed or (self._precision() > 1e-10 and re.search(OVERFLOW, message)):
            return None
        try:
            self._expected(self.numbers)
        except ValueError:
            return None
        return f"raised {error!r}, where the float64 copy trains"

    def _is_of_given_steps(self):
        return not {"learning_rate", "optimizer"}.isdisjoint(self.example["parameters"])

    def _difference(self, found):
        try:
            expected = self._expected(self.numbers)
        except ValueError as error:
            if re.search(OVERFLOW, str(error)) and self._precision() > 1e-10:
                return None
            return f"was accepted, where the float64 copy raises {error!r}"
        if found.shape != expected.shape:
            return f"has shape {found.shape}, not {expected.shape}"
        if not np.array_equal(np.isnan(found), np.isnan(expected)):
            return "is NaN elsewhere than the float64 copy"
        # A search has NaN for a class that a fold lacks.
        found, expected = np.nan_to_num(found), np.nan_to_num(expected)
        precision, distance = self._precision(), np.abs(found - expected).max()
        tolerance = ROUNDINGS * precision * max(1.0, np.abs(expected).max())
        if distance <= tolerance:
            return None
        try:
            moved = self._expected(_moved(self.numbers, precision))
            moved = np.abs(np.nan_to_num(moved) - expected)
        except ValueError:
            return None  # so near the edge that rounding decides
        tolerance += AMPLIFIED * moved.max()
        if not distance <= tolerance:
            return f"is {distance:.3g} from the float64 copy, more than {tolerance:.3g}"
        return None

    def _precision(self):
        """Of the arithmetic: float32 for small dtypes."""
        dtype = getattr(self.rows, "dtype", None)
        small = isinstance(dtype, np.dtype) and dtype.kind in "iuf" and dtype.itemsize <= 2
        is_double = isinstance(dtype, np.dtype) and dtype.itemsize >= 8 and not small
        return float(np.finfo(np.float64 if is_double else np.float32).eps)


def _model_digest(clf):
    # joblib cannot hash the masked arrays of a search.
    return joblib.hash({k: v for k, v in vars(clf).items() if k != "cv_results_"})


def _distinct(labels):
    return np.unique(np.asarray(labels))


def _moved(numbers, precision):
    """The same rows after relative changes; equal numbers stay equal."""
    distinct, place = np.unique(numbers, return_inverse=True)
    rng = np.random.default_rng(0)
    return (distinct * (1 + precision * rng.uniform(-1, 1, len(distinct))))[
        place.reshape(numbers.shape)
    ]
