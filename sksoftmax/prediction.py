"""From fitted coefficients to scores, probabilities and labels.

Predicting needs NumPy alone, whatever backend trained. This module knows ``classes_``,
``coef_`` and ``intercept_``, and must not know how they came about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from sksoftmax.csr import elements_a_row
from sksoftmax.stored import StoredRows, checked_rows
from sksoftmax.training import training_dtype

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

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the scores ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
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
        check_is_fitted(self)
        rows, _ = checked_rows(self, X, reset=False, by_blocks=self.shuffle == "blocks")
        scores = _linear_scores(rows, self.coef_, self.intercept_)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
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
        scores = self.decision_function(X)
        winners = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[winners]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probabilities of the classes: the softmax of their scores.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
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
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return _row_by_row(softmax, scores)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
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
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([log_expit(-scores), log_expit(scores)])
        return _row_by_row(log_softmax, scores)

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


def _row_by_row(function: Callable[..., NDArray[Any]], scores: NDArray[Any]) -> NDArray[Any]:
    """A function of rows, in place, on as many of them at a time as the cache holds."""
    size = max(1, CACHED_ELEMENTS // scores.shape[1])
    for start in range(0, len(scores), size):
        rows = slice(start, start + size)
        scores[rows] = function(scores[rows], axis=1)
    return scores


def _linear_scores(X: Any, coef: Any, intercept: NDArray[Any]) -> NDArray[Any]:
    """X @ coef.T + intercept; X of another dtype, or in a file, is taken block by block."""
    dtype = np.result_type(training_dtype(X.dtype), coef.dtype)
    coef = coef.astype(dtype, copy=False)
    n_rows = X.shape[0]
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
