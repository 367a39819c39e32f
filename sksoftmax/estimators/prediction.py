"""From fitted coefficients to scores, probabilities and labels.

Predicting needs NumPy alone, whatever backend trained, or the library whose arrays the fitted
ones are. This module knows ``classes_``, ``coef_`` and ``intercept_``, and by `shuffle` how to
read X; it must not know how the coefficients were found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit, log_expit
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from sksoftmax.data.arrays import (
    NUMPY,
    Array,
    Namespace,
    check_namespace,
    namespace_of,
    to_numpy,
    training_dtype,
)
from sksoftmax.data.checks import checked_rows
from sksoftmax.data.rows import elements_a_row
from sksoftmax.data.stored import StoredRows

PREDICT_ELEMENTS = 2**20
"""Elements of X converted at once when predicting from another dtype."""

CACHED_ELEMENTS = 2**14
"""Scores that are turned into probabilities at once."""


class SoftmaxPrediction:
    """The prediction methods of a fitted linear softmax model.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray or CSR matrix of shape (1, n_features) or (n_classes, n_features)
        Weights; one row, those of ``classes_[1]``, for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    shuffle : bool or "blocks"
        "blocks" reads dense rows in blocks here too.
    """

    classes_: NDArray[Any]
    coef_: Any
    intercept_: NDArray[Any]
    shuffle: bool | str

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the scores ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            Scores; for two classes those of ``classes_[1]``, the log-odds.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.
        ValueError
            If X does not have the features of the fit, or is not finite.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 1, 2])
        >>> clf.decision_function([[0], [2]]).shape
        (2, 3)
        """
        scores, _ = self._scores(X, "decision_function")
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: ArrayLike) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        array of shape (n_samples,)
            Labels from ``classes_``.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.
        ValueError
            If X does not have the features of the fit, or is not finite.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 0, 1])
        >>> clf.predict([[-5], [5]]).tolist()
        [0, 1]
        """
        scores, namespace = self._scores(X, "predict")
        xp = namespace.xp
        if scores.shape[1] == 1:
            # A tie of two classes goes to the first, as argmax has it.
            winners = xp.asarray(scores[:, 0] > 0, dtype=xp.int64)
        else:
            winners = xp.argmax(scores, axis=1)
        if namespace is not NUMPY and namespace_of(self.classes_) == namespace:
            return xp.take(self.classes_, winners, axis=0)
        labels: NDArray[Any] = to_numpy(self.classes_)[to_numpy(winners)]
        if namespace is NUMPY or labels.dtype.kind in "OSTU":
            return labels
        return namespace.from_numpy(labels)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probabilities of the classes: the softmax of their scores.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Rows sum to 1; columns in the order of ``classes_``. float32 or float64, as the
            scores of X are.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.
        ValueError
            If X does not have the features of the fit, or is not finite.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 0, 1])
        >>> clf.predict_proba([[-5], [5]]).shape
        (2, 2)
        """
        return _by_class(_sigmoid, _softmax, *self._scores(X, "predict_proba"))

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Finite even where probabilities round to 0.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.
        ValueError
            If X does not have the features of the fit, or is not finite.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 0, 1])
        >>> clf.predict_log_proba([[-5], [5]]).shape
        (2, 2)
        """
        return _by_class(_log_sigmoid, _log_softmax, *self._scores(X, "predict_log_proba"))

    def _scores(self, X: Any, method: str) -> tuple[Array, Namespace]:
        """Scores of shape (n_samples, n_classes), or one column of log-odds, where X lives."""
        check_is_fitted(self)
        check_namespace(X, self, method)
        rows, _ = checked_rows(self, X, reset=False, by_blocks=self.shuffle == "blocks")
        namespace = namespace_of(rows)
        if namespace is NUMPY:
            return _linear_scores(rows, self.coef_, self.intercept_), namespace
        return _scores_in(namespace, rows, self.coef_, self.intercept_), namespace

    def sparsify(self) -> Self:
        """Convert ``coef_`` to a SciPy CSR matrix, which saves memory where most are zero.

        Returns
        -------
        SoftmaxClassifier
            The estimator, which predicts as before and is dense again after further training.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier(alpha=0.1, l1_ratio=1)
        >>> clf.fit([[0, 1], [1, 1], [2, 1]], [0, 0, 1]).sparsify().coef_.nnz
        1
        """
        check_is_fitted(self)
        if namespace_of(self.coef_) is not NUMPY:
            raise ValueError("SciPy has no sparse matrices in the namespace of coef_.")
        self.coef_ = sparse.csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Convert ``coef_`` back to an array.

        Returns
        -------
        SoftmaxClassifier
            The estimator.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2]], [0, 0, 1]).sparsify()
        >>> clf.densify().coef_.shape
        (1, 1)
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self


def _by_class(
    of_log_odds: Callable[[Any, Array], Array],
    of_scores: Callable[[Any, Array], Array],
    scores: Array,
    namespace: Namespace,
) -> Array:
    """Apply a function to scores of several classes, or another to the log-odds of two."""
    xp, (n_rows, n_scores) = namespace.xp, scores.shape
    with np.errstate(under="ignore"):  # to 0, the probability of an improbable class
        if n_scores == 1:
            log_odds = scores[:, 0]
            return xp.stack([of_log_odds(xp, -log_odds), of_log_odds(xp, log_odds)], axis=1)
        # On a device, each slice would be one more launch of every kernel.
        size = max(1, CACHED_ELEMENTS // n_scores) if xp is np else n_rows
        for start in range(0, n_rows, size):
            rows = slice(start, start + size)
            scores[rows, :] = of_scores(xp, scores[rows, :])
    return scores


def _sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)), by the power that does not overflow."""
    if xp is np:
        return expit(x)
    power = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + power), power / (1 + power))


def _log_sigmoid(xp: Any, x: Array) -> Array:
    if xp is np:
        return log_expit(x)
    return xp.where(x >= 0, xp.zeros_like(x), x) - xp.log1p(xp.exp(-xp.abs(x)))


def _softmax(xp: Any, scores: Array) -> Array:
    powers = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
    powers /= xp.sum(powers, axis=1, keepdims=True)
    return powers


def _log_softmax(xp: Any, scores: Array) -> Array:
    shifted = scores - xp.max(scores, axis=1, keepdims=True)
    shifted -= xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    return shifted


def _linear_scores(X: Any, coef: Any, intercept: NDArray[Any]) -> NDArray[Any]:
    """X @ coef.T + intercept; X of another dtype, or in a file, is taken block by block."""
    dtype = np.result_type(training_dtype(X.dtype), coef.dtype)
    coef = coef.astype(dtype, copy=False)
    n_rows = X.shape[0]
    # Rows of the right dtype are multiplied where they lie, all at once; others are copied.
    size = n_rows if X.dtype == dtype else max(1, PREDICT_ELEMENTS // elements_a_row(X))
    size = X.block_rows if isinstance(X, StoredRows) else size
    scores = np.empty((n_rows, coef.shape[0]), dtype)
    for start in range(0, n_rows, size):
        rows = slice(start, min(start + size, n_rows))
        x = X[rows].astype(dtype, copy=False)
        with np.errstate(invalid="ignore"):  # some BLAS builds flag it on finite numbers
            if sparse.issparse(x) or sparse.issparse(coef):
                scores[rows] = safe_sparse_dot(x, coef.T, dense_output=True)
            else:
                np.matmul(x, coef.T, out=scores[rows])
    scores += intercept.astype(dtype, copy=False)
    return scores


def _scores_in(namespace: Namespace, X: Array, coef: Array, intercept: Array) -> Array:
    """Scores in another namespace, in the dtype of coef, or that of X if it is longer."""
    xp = namespace.xp
    floating = xp.isdtype(X.dtype, "real floating")
    dtype = xp.result_type(X.dtype, coef.dtype) if floating else coef.dtype
    coef, intercept = (
        xp.astype(coef, dtype, copy=False),
        xp.astype(intercept, dtype, copy=False),
    )
    n_rows, n_features = X.shape
    size = n_rows if X.dtype == dtype else max(1, PREDICT_ELEMENTS // n_features)
    scores = xp.empty((n_rows, coef.shape[0]), dtype=dtype, device=namespace.device)
    for start in range(0, n_rows, size):
        rows = slice(start, min(start + size, n_rows))
        scores[rows, :] = xp.astype(X[rows, :], dtype, copy=False) @ coef.T
    scores += intercept
    return scores
