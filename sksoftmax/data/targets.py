"""Labels and weights: what a caller says of each row, as codes and numbers.

This module must not know how anything is trained. Its errors are the user's, in
scikit-learn's wording.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sksoftmax._scikit_learn import _check_sample_weight
from sksoftmax.data.arrays import as_numpy

LARGEST_EXACT_FLOAT = 2.0**53

ALWAYS_CLASSES = frozenset("biuU")
"""Kinds of labels that are classes whatever their values: scikit-learn's own look at them takes
longer than a pass over the rows of a small table."""

LEAST_MEAN = 1e-250
"""Least mean of the weights, and one over the largest: sums and ratios must stay in range."""


@dataclass(frozen=True)
class Targets:
    """Labels and weights of the rows of one call to ``fit`` or ``partial_fit``.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    codes : ndarray of shape (n_rows,), int32
        Index of each row's label in `classes`; meaningless for rows of weight zero.
    weights : ndarray of shape (n_rows,), float64, or None
        Product of sample and class weights in the caller's unit, zero outside `rows`; None
        where every one of `rows` weighs 1.
    rows : ndarray of int64, or None
        The rows that count, in ascending order; None for all.
    """

    classes: NDArray[Any]
    codes: NDArray[np.int32]
    weights: NDArray[np.float64] | None
    rows: NDArray[np.int64] | None

    @property
    def n_rows(self) -> int:
        """Number of rows that count."""
        return len(self.codes) if self.rows is None else len(self.rows)

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(self.n_rows if self.weights is None else self.weights.sum())

    @property
    def counts(self) -> NDArray[Any]:
        """Rows of each class, counted by their weights."""
        kept = slice(None) if self.rows is None else self.rows
        weights = None if self.weights is None else self.weights[kept]
        return np.bincount(self.codes[kept], weights, minlength=len(self.classes))

    def restricted_to(self, rows: NDArray[np.int64]) -> Self:
        """Return the same targets with no rows but some of those that count.

        Parameters
        ----------
        rows : ndarray of int64
            Some of `rows`, in ascending order.

        Returns
        -------
        Targets
            As if all other rows had no weight.
        """
        weights = None if self.weights is None else _only(self.weights, rows)
        return replace(self, weights=weights, rows=rows)

    def with_class_weights(self, of_class: NDArray[np.float64] | None) -> Self:
        """Return the same targets, each row weighted by its class as well.

        Rows of a class that weighs nothing do not count; it is one of `classes` all the same.

        Parameters
        ----------
        of_class : ndarray of shape (n_classes,), or None
            What `class_weights` returned.

        Returns
        -------
        Targets
            This one where `of_class` is None.

        Raises
        ------
        ValueError
            If products leave the range of float64.
        """
        if of_class is None:
            return self
        weights = of_class[self.codes]
        if self.weights is not None:
            weights *= self.weights
        elif self.rows is not None:
            weights = _only(weights, self.rows)
        rows = self.rows
        if not of_class.all():
            rows = np.arange(len(self.codes)) if rows is None else rows
            rows = rows[of_class[self.codes[rows]] > 0]
        counted = replace(self, weights=weights, rows=rows)
        if counted.n_rows > 0:
            name = "Sample weights times those of the classes"
            _check_range(weights, counted.n_rows, name)
        return counted


def encode_targets(
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    X: Any,
    classes: NDArray[Any] | None = None,
    *,
    none_may_count: bool = False,
) -> Targets:
    """Turn labels and weights into codes and numbers.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels.
    sample_weight : array-like of shape (n_rows,), or None
        Non-negative weights.
    X : array of shape (n_rows, n_features)
        The rows, validated, to compare lengths with.
    classes : ndarray of shape (n_classes,), optional
        The labels that may occur; by default those that occur with positive weight.
    none_may_count : bool, default=False
        Whether all rows may have weight zero, as in one of several parts of the rows.

    Returns
    -------
    Targets
        Codes and sample weights.

    Raises
    ------
    ValueError
        If a label is unknown, labels cannot be told apart, fewer than two classes are left,
        or weights are negative or all zero.
    """
    labels = _checked_labels(y, known=classes is not None)
    weights, rows = _checked_weights(sample_weight, X, none_may_count)
    kept = labels if rows is None else labels[rows]
    is_known = classes is not None
    classes = _classes_of(kept) if classes is None else classes
    if len(classes) < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but the data"
            f" contains only one class: {classes[0]!r}"
        )
    # Rows of weight zero keep code 0: their labels may be none of the classes.
    codes = np.zeros(len(labels), np.int32)
    found = _codes(kept, classes) if is_known else np.searchsorted(classes, kept)
    codes[slice(None) if rows is None else rows] = found
    return Targets(classes, codes, weights, rows)


def distinct_labels(
    y: ArrayLike, sample_weight: ArrayLike | None, X: Any
) -> NDArray[Any] | None:
    """Return the labels that occur with positive weight in one of several parts of the rows.

    Parameters
    ----------
    y, sample_weight, X
        As in `encode_targets`.

    Returns
    -------
    ndarray, or None
        Distinct labels, sorted; None where no row counts.
    """
    _, rows = _checked_weights(sample_weight, X, none_may_count=True)
    if (X.shape[0] if rows is None else len(rows)) == 0:
        return None
    labels = _checked_labels(y, known=False)
    return _classes_of(labels if rows is None else labels[rows])


def class_weights(
    class_weight: Any, classes: NDArray[Any], counts: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the weight of each class.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights of the classes.
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    counts : ndarray of shape (n_classes,)
        The classes to be balanced: their rows, counted by sample weights.

    Returns
    -------
    ndarray of shape (n_classes,), float64, or None
        Weights, at least 0; None where every class weighs 1.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are 0, or a dict names unknown classes.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):  # "balanced"
        of_class = counts.sum() / (len(classes) * np.maximum(counts, np.finfo(float).tiny))
    else:
        try:
            of_class = compute_class_weight(class_weight, classes=classes, y=classes)
        except OverflowError:  # an int that no float can hold
            of_class = np.full(len(classes), np.inf)
    if not (np.all(of_class >= 0) and np.all(np.isfinite(of_class)) and np.any(of_class)):
        raise ValueError(
            "class_weight must be finite and not negative for each class, and positive for one"
            f" at least, got {class_weight!r}"
        )
    found: NDArray[np.float64] = of_class
    return found


def sorted_classes(classes: ArrayLike) -> NDArray[Any]:
    """Return the distinct labels of ``partial_fit(classes=...)``, sorted.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        Labels.

    Returns
    -------
    ndarray of shape (n_classes,)
        Distinct labels, sorted.
    """
    labels = _checked_labels(classes, known=True)
    if len(labels) == 0:
        raise ValueError(
            "This solver needs samples of at least 2 classes, but classes is empty."
        )
    return _distinct(labels)


def _classes_of(labels: NDArray[Any]) -> NDArray[Any]:
    """The distinct labels of rows, where scikit-learn has no objection."""
    classes = _distinct(labels)
    if labels.dtype.kind in ALWAYS_CLASSES and 2 * len(classes) > len(labels):
        check_classification_targets(labels)  # it warns of what may be no classes
    return classes


def _distinct(labels: NDArray[Any]) -> NDArray[Any]:
    """Each label once, sorted: objects as scikit-learn sorts them, None and NaN last."""
    found: NDArray[Any]
    found = LabelEncoder().fit(labels).classes_ if labels.dtype == object else np.unique(labels)
    return found


def _checked_labels(y: ArrayLike, *, known: bool) -> NDArray[Any]:
    """Validate labels, and return them as an array.

    `known` says that the classes were given, as in ``partial_fit``: y need not look like a
    classification target by itself.
    """
    labels: NDArray[Any] = as_numpy(y)
    if type(labels) is not np.ndarray or labels.ndim != 1:  # not what scikit-learn has checked
        labels = column_or_1d(labels, warn=True)
    if labels.dtype.kind in "mM" and np.isnat(labels).any():
        raise ValueError("Input y contains NaT. Leave out rows whose label is missing.")
    if labels.dtype.kind == "O":
        kinds = sorted({type(label).__name__ for label in labels})
        if len(kinds) > 1 and not {"str", "NoneType"}.isdisjoint(kinds):
            raise ValueError(
                f"Unknown label type: labels must be uniformly strings or numbers. Got {kinds}"
            )
    # Neighbouring integers are one float from 2**53 on: they would be one class.
    is_float = labels.dtype.kind == "f"
    may_be_none = not known and labels.dtype.kind not in ALWAYS_CLASSES
    if may_be_none or (is_float and np.any(labels != np.trunc(labels))):
        check_classification_targets(labels)
    if is_float and np.abs(labels).max(initial=0) >= LARGEST_EXACT_FLOAT:
        raise ValueError(
            "Unknown label type: y holds floats beyond 2**53, which cannot tell neighbouring"
            " integers apart. Pass integers or strings instead."
        )
    return labels


def _checked_weights(
    sample_weight: ArrayLike | None, X: Any, none_may_count: bool
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    """Weights as float64, and the rows of positive weight where others exist."""
    if sample_weight is None or (none_may_count and X.shape[0] == 0):
        return None, None
    on_host = np.empty((X.shape[0], 0))  # weights follow labels, not rows on a device
    given = as_numpy(sample_weight)
    if none_may_count and not np.any(np.asarray(given)):
        # Later versions of scikit-learn refuse them: have their number checked alone.
        ones = _check_sample_weight(np.ones_like(given, float), on_host, dtype=np.float64)
        return np.zeros_like(ones), np.empty(0, np.int64)
    weights: NDArray[np.float64] = _check_sample_weight(
        given, on_host, dtype=np.float64, ensure_non_negative=True
    )
    rows = np.flatnonzero(weights > 0)
    if len(rows) == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    _check_range(weights, len(rows), "Sample weights")
    return weights, None if len(rows) == len(weights) else rows


def _check_range(weights: NDArray[np.float64], n_rows: int, name: str) -> None:
    """Refuse weights whose mean over the rows that count nears the ends of float64."""
    with np.errstate(over="ignore"):
        mean = float(weights.sum()) / n_rows
    if not LEAST_MEAN <= mean <= 1 / LEAST_MEAN:
        raise ValueError(
            f"{name} leave the range of float64. Only their ratios matter: divide them by"
            " their maximum."
        )


def _codes(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Index of each label in the sorted classes."""
    if {classes.dtype.kind, labels.dtype.kind} == {"i", "u"}:
        # NumPy would compare them as floats, which cannot tell large neighbours apart.
        classes, labels = classes.astype(object), labels.astype(object)
    positions = np.searchsorted(classes, labels)
    # A label behind the last class has no position: any will do, for the comparison below finds
    # it to be another label.
    positions[positions == len(classes)] = 0
    unknown = classes[positions] != labels
    if np.any(unknown):
        unseen = np.unique(labels[unknown])
        raise ValueError(f"y contains previously unseen labels: {unseen.tolist()}")
    return positions


def _only(weights: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weights of some rows, and zero for all others."""
    kept = np.zeros_like(weights)
    kept[rows] = weights[rows]
    return kept
