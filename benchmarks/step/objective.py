"""The objective that a default fit minimises, by code of its own, and its optimum.

Everything here is in standardised features, so that the penalty is a plain square. CSR rows
are standardised in the products only: no zero is stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, sparse
from scipy.special import log_softmax

GAP = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 1e-5}
"""Gap to the optimum, as a share of what there is to gain, at which the search for it ends.

In float32 the gradient itself is rounded, and the bound by it ends far above the true gap.
"""


class StandardisedRows:
    """Products of standardised rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Rows as the estimator gets them.
    """

    def __init__(self, X: Any):
        self.n_rows, self.n_features = X.shape
        self.sparse = sparse.issparse(X)
        if self.sparse:
            self.X = X.tocsr()
            self.mean = np.asarray(X.mean(axis=0)).ravel()
            stored = np.bincount(X.indices, minlength=self.n_features)
            squares = np.bincount(
                X.indices, (X.data - self.mean[X.indices]) ** 2, minlength=self.n_features
            )
            squares += (self.n_rows - stored) * self.mean**2
            constant = (X.max(axis=0) - X.min(axis=0)).toarray().ravel() == 0
        else:
            self.mean = X.mean(axis=0, dtype=np.float64)
            # Once more, for columns far from zero.
            self.mean += (X - self.mean).mean(axis=0)
            squares = ((X - self.mean) ** 2).sum(axis=0)
            constant = X.min(axis=0) == X.max(axis=0)
        self.scale = np.where(constant, 1, np.sqrt(squares / self.n_rows))
        if not self.sparse:
            self.X = ((X - self.mean) / self.scale).astype(X.dtype)

    def standardised(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Return weights, intercepts last, of the same model in standardised features."""
        coef, intercept = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
        return np.column_stack([coef * self.scale, intercept + coef @ self.mean])

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Return the score of each row and class, in the dtype of the rows."""
        W, b = weights[:, :-1], weights[:, -1]
        if self.sparse:
            W = W / self.scale
            return self.X @ W.T + (b - W @ self.mean)
        return self.X @ W.T.astype(self.X.dtype) + b.astype(self.X.dtype)

    def transposed(self, residuals: np.ndarray) -> np.ndarray:
        """Return the gradient of all weights where the scores have this one."""
        sums = residuals.sum(axis=0, dtype=np.float64)
        if self.sparse:
            products = (self.X.T @ residuals).T - np.outer(sums, self.mean)
            return np.column_stack([products / self.scale, sums])
        return np.column_stack([residuals.T @ self.X, sums])


class Objective:
    """Mean cross-entropy and penalty of one set of rows at one alpha.

    Two classes have one row of weights, and its penalty, as in `coef_`.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Rows.
    y : ndarray of shape (n_samples,)
        Labels.
    alpha : float
        Strength of the penalty.
    """

    def __init__(self, X: Any, y: np.ndarray, alpha: float):
        self.rows, self.alpha = StandardisedRows(X), alpha
        self.classes, self.codes = np.unique(y, return_inverse=True)
        self.frequencies = np.bincount(self.codes) / len(y)
        n_classes = len(self.classes)
        self.shape = (1 if n_classes == 2 else n_classes, self.rows.n_features + 1)

    @property
    def at_zero(self) -> float:
        """The objective where all weights are zero."""
        return float(np.log(len(self.classes)))

    @property
    def at_frequencies(self) -> float:
        """The objective of the model that answers the frequencies of the classes."""
        return float(-(self.frequencies * np.log(self.frequencies)).sum())

    def of_model(self, coef: np.ndarray, intercept: np.ndarray) -> float:
        """Return the objective of a model in the units of X."""
        return self.value(self.rows.standardised(coef, intercept))

    def value(self, weights: np.ndarray) -> float:
        """Return the objective of weights in standardised features."""
        return self._loss(self.rows.scores(weights))[0] + self._penalty(weights)

    def value_and_gradient(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective and its gradient."""
        loss, log_shares = self._loss(self.rows.scores(weights))
        residuals = np.exp(log_shares)
        residuals[np.arange(len(residuals)), self.codes] -= 1
        residuals = residuals[:, -self.shape[0] :] / len(residuals)
        gradient = self.rows.transposed(residuals)
        gradient[:, :-1] += self.alpha * weights[:, :-1]
        return loss + self._penalty(weights), gradient

    def curvature(self, weights: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return the product of the Hessian and a direction."""
        shares = np.exp(self._loss(self.rows.scores(weights))[1])
        changes = self.rows.scores(direction)
        if self.shape[0] == 1:
            bent = shares[:, :1] * shares[:, 1:] * changes
        else:
            bent = shares * (changes - (shares * changes).sum(axis=1, keepdims=True))
        product = self.rows.transposed(bent / len(bent))
        product[:, :-1] += self.alpha * direction[:, :-1]
        return product

    def optimum(self) -> tuple[float, float]:
        """Return the least objective, and a bound on how far above it that may be.

        The bound holds since the penalty makes the objective strongly convex: a gradient g
        is at most ``|g|^2 / (2 alpha)`` above the optimum.
        """
        start = np.zeros(self.shape)
        logs = np.log(self.frequencies)
        start[:, -1] = logs[1:] - logs[0] if self.shape[0] == 1 else logs
        found = optimize.minimize(
            self._flat,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 30, "maxiter": 3_000, "maxfun": 6_000, "ftol": 0, "gtol": 1e-9},
        )
        weights = found.x.reshape(self.shape)
        value, gradient = self.value_and_gradient(weights)
        least = GAP[self.rows.X.dtype]
        for _ in range(30):
            if self._bound(gradient) <= least * (self.at_zero - value):
                break
            step = self._newton_step(weights, gradient)
            length = 1.0
            new_value, new_gradient = self.value_and_gradient(weights + step)
            while new_value > value + 1e-15 and length > 1e-3:
                length /= 2
                new_value, new_gradient = self.value_and_gradient(weights + length * step)
            if self._bound(new_gradient) >= self._bound(gradient) and new_value >= value:
                break
            weights = weights + length * step
            value, gradient = new_value, new_gradient
        return value, self._bound(gradient)

    def _newton_step(self, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Solve for Newton's step by conjugate gradients, to a hundredth."""
        step, residual = np.zeros(self.shape), -gradient
        direction, squares = residual, (residual**2).sum()
        goal = 1e-4 * squares
        for _ in range(1_000):
            product = self.curvature(weights, direction)
            length = squares / (direction * product).sum()
            step = step + length * direction
            residual = residual - length * product
            before, squares = squares, (residual**2).sum()
            if squares <= goal:
                break
            direction = residual + squares / before * direction
        return step

    def _flat(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.value_and_gradient(flat.reshape(self.shape))
        return value, gradient.ravel()

    def _bound(self, gradient: np.ndarray) -> float:
        return float((gradient**2).sum() / (2 * self.alpha)) if self.alpha else np.inf

    def _penalty(self, weights: np.ndarray) -> float:
        return float(self.alpha / 2 * (weights[:, :-1] ** 2).sum())

    def _loss(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean cross-entropy, and the logarithms of the classes' shares in each row."""
        if self.shape[0] == 1:
            scores = np.column_stack([np.zeros(len(scores), scores.dtype), scores])
        logs = log_softmax(scores, axis=1)
        own = logs[np.arange(len(logs)), self.codes]
        return float(-own.mean(dtype=np.float64)), logs
