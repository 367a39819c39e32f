"""The model of a problem at given parameters: its scores, loss and derivatives on any rows.

No parameter is kept or changed here, and no step is known. Rows are dense or CSR, in any array
namespace with NumPy's names; this module must not know which.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Problem
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import consecutive_rows, elements_a_row, is_csr, with_data

EVALUATION_ELEMENTS = 2**20
"""Elements of X, or scores, that are evaluated at once: it bounds the memory of `evaluate`."""

FAR_FROM_ZERO = 100.0
"""Deviations from zero beyond which products in float32 are of centred rows."""

OPPOSITE_CLASSES = np.array([[1.0, -1.0], [-1.0, 1.0]])[:, None, :, None]
"""By what the second derivatives of one row of parameters become those of two opposite ones."""


class SoftmaxModel:
    """The mathematics of ArrayTrainer that does not depend on where training has come to.

    Parameters
    ----------
    problem : Problem
        Whose model it is.
    xp : module
        The namespace of ``problem.X``.

    Attributes
    ----------
    elements_at_once : int
        Elements of X, or scores, of which derivatives are taken at once: as many as stay in a
        processor's cache. A device that needs much work at a time takes more.
    """

    elements_at_once = 2**17

    def __init__(self, problem: Problem, xp: Any):
        self.problem = problem
        self.xp = xp
        self._y = xp.asarray(problem.y)
        self._classes = xp.arange(problem.n_classes, dtype=self._y.dtype)[:, None]
        self._means = None if problem.means is None else self._float(problem.means)

    def _float(self, array: Array) -> Array:
        """An array of the problem's dtype, in our namespace."""
        return self.xp.asarray(array, dtype=self.problem.dtype)

    def _to_numpy(self, array: Array) -> NDArray[Any]:
        """A NumPy copy; overridden where arrays live on a device."""
        return np.array(array)

    def _logits(self, parameters: Array, x: Array) -> Array:
        """Scores of shape (n_models, n_classes, n_rows)."""
        coef, intercept = parameters[..., :-1], parameters[..., -1:]
        if self._means is not None:
            # (x - m) W = x W - m W: rows need not be centred, their scores are.
            intercept = intercept - coef @ self._means[:, None]
        return self._scores(coef, x) + intercept

    def _rows(self, X: Array, rows: Any) -> Array:
        """Rows of X in the dtype of the arithmetic."""
        x = X[rows]
        return x.astype(self.problem.dtype) if is_csr(x) else self._float(x)

    def _scores(self, coef: Array, x: Array) -> Array:
        """The product of coef and the rows x, of shape (n_models, n_classes, n_rows)."""
        flat = coef.reshape(-1, coef.shape[2])  # one product for all models
        scores = (x @ flat.T).T if is_csr(x) else flat @ x.T
        return scores.reshape(*coef.shape[:2], -1)

    def _summed_rows(self, residual: Array, x: Array) -> Array:
        """Sums of rows times residuals, of shape (n_models, n_classes, n_features)."""
        n_models, n_classes, n_rows = residual.shape
        flat = residual.reshape(n_models * n_classes, n_rows)  # where -1 fails for no rows
        sums = (x.T @ flat.T).T if is_csr(x) else flat @ x
        return sums.reshape(n_models, n_classes, -1)

    def _residual(self, logits: Array, targets: Array) -> tuple[Array, Array]:
        """Softmax minus targets (n_models, n_classes, n_rows); loss (n_models, n_rows)."""
        xp = self.xp
        # Scores less their largest: no exponential overflows, and the softmax is the same.
        logits -= xp.max(logits, axis=1, keepdims=True)
        of_target = xp.where(targets, logits, 0).sum(axis=1)
        probabilities = xp.exp(logits)
        total = probabilities.sum(axis=1)
        # The loss below, log(total) - score of the target, needs no logarithm of a probability,
        # which may have rounded to 0.
        probabilities /= total[:, None, :]
        probabilities -= self._float(targets)
        return probabilities, xp.log(total) - of_target

    def _loss_and_accuracy(
        self, parameters: Array, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted means over rows, of each model, at parameters in the problem's dtype."""
        xp = self.xp
        codes, w = xp.asarray(y), self._weights_of_rows(X, weights)
        loss: Array = 0
        correct: Array = 0
        for rows in self._slices_of_rows(X, EVALUATION_ELEMENTS):
            x = self._float_rows(X, rows, self.problem.dtype)
            targets = codes[rows] == self._classes
            logits = self._logits(parameters, x)
            hits = logits.argmax(axis=1) == codes[rows]
            correct = correct + xp.asarray(hits, dtype=np.float64) @ w[rows]
            losses = self._residual(logits, targets)[1]
            loss = loss + xp.asarray(losses, dtype=np.float64) @ w[rows]
        return self._to_numpy(loss / w.sum()), self._to_numpy(correct / w.sum())

    def loss_gradient(
        self,
        parameters: NDArray[Any],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss and its gradient at given parameters, by products of their dtype.

        Parameters
        ----------
        parameters : ndarray of shape (n_models, n_classes, n_features + 1)
            In the units of a State whose `means` are those of the problem. float64, or for
            dense rows float32.
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        y : ndarray of shape (n_rows,), int32
            Class codes.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.

        Returns
        -------
        loss : ndarray of shape (n_models,), float64
            Weighted mean over the rows, without the penalty.
        gradient : ndarray of shape (n_models, n_classes, n_features + 1), float64
            Its derivatives by the parameters.
        """
        xp = self.xp
        codes, w = xp.asarray(y), self._weights_of_rows(X, weights)
        dtype = np.dtype(parameters.dtype)
        means, centre = self.problem.means, None
        if means is not None:
            means = xp.asarray(means, dtype=dtype)
        # Products are centred, unless they would have too few digits: then their rows are.
        if dtype != np.float64 and not self._is_near_zero:
            means, centre = None, means
        model = self._scoring(xp.asarray(parameters, dtype=dtype), means)
        loss: Array = 0
        gradient = xp.asarray(np.zeros(parameters.shape), dtype=np.float64)
        # Of two classes, each one's residual is the other's with the opposite sign.
        first = 1 if self.problem.n_classes == 2 else 0
        for rows in self._slices_of_rows(X, self.elements_at_once):
            x = self._float_rows(X, rows, dtype)
            if centre is not None:
                x = x - centre
            residual, losses = self._exact_residual(*model, x, codes[rows])
            if weights is not None:
                residual *= xp.asarray(w[rows], dtype=dtype)
            loss = loss + xp.asarray(losses, dtype=np.float64) @ w[rows]
            gradient[:, first:, -1] += residual.sum(axis=2)
            gradient[:, first:, :-1] += self._summed_rows(residual, x)
        # Fills the first row of two classes; of more, the slice is empty.
        gradient[:, :first] = -gradient[:, first : 2 * first]
        if means is not None:
            gradient[..., :-1] -= gradient[..., -1:] * means
        gradient /= w.sum()
        loss, gradient = self._to_numpy(loss / w.sum()), self._to_numpy(gradient)
        return loss.astype(np.float64), gradient.astype(np.float64, copy=False)

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        """Return the second derivatives of the loss at given parameters: all in float64.

        Parameters
        ----------
        parameters : ndarray of shape (n_models, n_classes, n_features + 1), float64
            In the units of `loss_gradient`.
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.
        only_intercepts : bool
            Whether to take those by the intercepts alone, rather than by all parameters.

        Returns
        -------
        ndarray of shape (n_models, n, n), float64
            Weighted mean over the rows; n is `n_classes`, or that times ``n_features + 1``.
        """
        xp, w = self.xp, self._weights_of_rows(X, weights)
        means = None if self.problem.means is None else xp.asarray(self.problem.means)
        model = self._scoring(xp.asarray(parameters, dtype=np.float64), means)
        n_models, n_classes, width = parameters.shape
        width = 1 if only_intercepts else width
        is_binary = n_classes == 2
        n_classes = 1 if is_binary else n_classes
        products: Array = 0
        room: Array = None
        for rows in self._slices_of_rows(X, self.elements_at_once, n_classes * width):
            x = self._float_rows(X, rows, np.dtype(np.float64))
            # With no target to subtract, the residual is the probabilities themselves.
            z, _ = self._exact_residual(*model, x, None)
            of_classes = xp.sqrt(z - z * z) if is_binary else z
            # Roots of weights, which a product with itself restores.
            of_classes *= xp.sqrt(w[rows])
            if room is None:  # of the first slice, than which none is longer
                room = xp.zeros((n_models, n_classes, width, x.shape[0]), dtype=np.float64)
            slopes = self._score_slopes(x, room[..., : x.shape[0]])
            slopes *= of_classes[:, :, None, :]
            flat = slopes.reshape(n_models, n_classes * width, x.shape[0])
            products = products + flat @ xp.swapaxes(flat, 1, 2)
        found = self._to_numpy(products / w.sum()).astype(np.float64)
        if is_binary:
            # Kronecker's product, which NumPy's takes six times as long for.
            blocks = OPPOSITE_CLASSES * found[:, None, :, None, :]
            return blocks.reshape(n_models, 2 * width, 2 * width)
        # diag(z) - z z': probabilities add up to 1, so that a class's own part is the sum of
        # the others', without its square, beside which they may be lost.
        hessian = -found
        blocks = hessian.reshape(n_models, n_classes, width, n_classes, width)
        labels = np.arange(n_classes)
        blocks[:, labels, :, labels] = 0
        blocks[:, labels, :, labels] = -np.swapaxes(blocks.sum(axis=3), 0, 1)
        return hessian

    def _score_slopes(self, x: Array, room: Array) -> Array:
        """Write derivatives of scores by parameters: the same for each model and class.

        The room is of shape (n_models, n_classes, width, n_rows), where a width of 1 is for
        intercepts alone; they come last. It is returned.
        """
        room[..., -1, :] = 1.0
        if room.shape[2] > 1:
            features = x.toarray() if is_csr(x) else x
            room[..., :-1, :] = features.T
            if self.problem.means is not None:
                room[..., :-1, :] -= self.xp.asarray(self.problem.means)[:, None]
        return room

    def _weights_of_rows(self, X: Array, weights: NDArray[Any] | None) -> Array:
        """The weights of some rows, in float64."""
        w = np.ones(X.shape[0]) if weights is None else weights
        return self.xp.asarray(w, dtype=np.float64)

    def _float_rows(self, X: Array, rows: slice, dtype: np.dtype[Any]) -> Array:
        """Rows of X that follow each other, in a floating-point dtype."""
        if not is_csr(X):
            return self.xp.asarray(X[rows], dtype=dtype)
        x = consecutive_rows(X, rows)
        return x if x.dtype == dtype else with_data(x, x.data.astype(dtype))

    @cached_property
    def _is_near_zero(self) -> bool:
        """Whether float32 has digits enough for rows that are not centred."""
        problem = self.problem
        if problem.means is None:
            return True
        return bool(np.all(np.abs(problem.means) <= FAR_FROM_ZERO * problem.step_scales))

    def _scoring(self, parameters: Array, means: Array | None) -> tuple[Array, Array]:
        """Coefficients and intercepts for rows that still have these means of features.

        Of two classes they are the differences, which say all at half the cost.
        """
        if self.problem.n_classes == 2:
            parameters = parameters[:, 1:] - parameters[:, :1]
        coef, intercept = parameters[..., :-1], parameters[..., -1:]
        if means is not None:
            intercept = intercept - coef @ means[:, None]
        return coef, intercept

    def _exact_residual(
        self, coef: Array, intercept: Array, x: Array, codes: Array | None
    ) -> tuple[Array, Array]:
        """What `_residual` returns, by what `_scoring` does; without codes, no targets.

        Not by what a subclass has for its steps: here digits count. Of two classes it is the
        second one's row alone.
        """
        is_binary = self.problem.n_classes == 2
        logits = self._scores(coef, x) + intercept
        classes = self._classes[1:] if is_binary else self._classes
        targets = self.xp.zeros(x.shape[0], dtype=bool) if codes is None else codes == classes
        if is_binary:
            return self._binary_residual(logits, targets)
        return SoftmaxModel._residual(self, logits, targets)

    def _binary_residual(self, score: Array, is_second: Array) -> tuple[Array, Array]:
        """The same by how far the second class's score, (n_models, 1, n_rows), is above."""
        xp = self.xp
        smaller = xp.exp(-xp.abs(score))  # of the two exponentials, where the larger one is 1
        total = 1 + smaller
        residual = xp.where(score > 0, 1.0, smaller) / total
        residual -= xp.asarray(is_second, dtype=np.float64)
        losses = xp.log(total) + xp.maximum(score, 0) - xp.where(is_second, score, 0.0)
        return residual, losses[:, 0]

    def _slices_of_rows(self, X: Array, n_elements: int, width: int = 0) -> Iterator[slice]:
        """Yield slices of rows with so many elements, scores or numbers of `width` a row.

        CSR rows are read where they lie, so that their elements do not count. The others may be
        as many as the weights are: the sums of a slice are no fewer.
        """
        widest = max(width, self.problem.n_models * self.problem.n_classes)
        if is_csr(X):
            n_elements = max(n_elements, widest * X.shape[1])
        else:  # whichever is larger decides: the rows that are converted, or their scores
            widest = max(widest, elements_a_row(X))
        size = max(1, n_elements // widest)
        for start in range(0, X.shape[0], size):
            yield slice(start, min(start + size, X.shape[0]))
