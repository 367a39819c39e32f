"""How far a fitted model is from the optimum of its objective.

This module knows the fitted attributes and the objective; it must not know how the model came
about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksoftmax.data.arrays import to_numpy
from sksoftmax.training.objective import Objective, dual_gap
from sksoftmax.training.passes import threads_of_blas


class Optimality:
    """What a fitted estimator can say of its distance to the optimum."""

    def dual_gap(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return a bound on how far above its least value the objective is.

        However the model was found, the objective of `coef_` and `intercept_` exceeds that of
        the best coefficients by no more than this, which goes to zero as they come near these.
        The objective is the one that `fit` minimises on these rows, none of them held out, at
        the present parameters.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, for the optimum of a fit those that it was given.
        y : array-like of shape (n_samples,)
            Their labels, from `classes_`.
        sample_weight : array-like of shape (n_samples,), default=None
            Their non-negative weights; None for equal ones.

        Returns
        -------
        float
            In the unit of `loss_curve_`, at least 0, and at most the objective itself, which
            is all that can be said with ``alpha=0``. It is up to the rounding of float64.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.
        ValueError
            If X, y, the weights or a parameter are invalid.

        Notes
        -----
        It is the duality gap [1]_, at intercepts that are the best for `coef_` [2]_; with a
        squared penalty near the optimum, the squared gradient over twice its strength. With a
        small `alpha` it is therefore many times the true difference. It takes two to five
        passes over the rows, in float64.

        References
        ----------
        .. [1] Duenner, Forte, Takac and Jaggi, "Primal-dual rates and certificates", ICML
           2016.
        .. [2] docs/guide/mathematics.rst has the theorem and its proof.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from sksoftmax import SoftmaxClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> accurate = SoftmaxClassifier(optimizer="sgd", random_state=0).fit(X, y)
        >>> precise = SoftmaxClassifier(optimizer="lbfgs", tol=1e-6, random_state=0).fit(X, y)
        >>> print(f"{accurate.dual_gap(X, y):.3f} and {precise.dual_gap(X, y):.5f}")
        0.001 and 0.00000
        """
        check_is_fitted(self)
        estimator: Any = self
        with estimator._unchanged_on_error():
            estimator._validate_params()
            fit = estimator._new_fit(None, is_stream=True)  # of which no row is held out
            fit.check_beside_model(X, y, sample_weight)
            fit.seed = 0
            fit.start()
            training = fit.run.training
            weights = self._weights_at(training.problem.means)
            with threads_of_blas(training.slice_operations):
                return dual_gap(Objective(training), weights)

    def _weights_at(self, centre: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """A row of weights for each class, with the intercepts of features centred there."""
        estimator: Any = self
        coef, intercept = estimator.coef_, to_numpy(estimator.intercept_).astype(np.float64)
        coef = coef.toarray() if sparse.issparse(coef) else to_numpy(coef)
        coef = coef.astype(np.float64)
        if centre is not None:
            intercept = intercept + coef @ centre
        weights = np.column_stack([coef, intercept])
        return np.concatenate([-weights, weights]) / 2 if len(weights) == 1 else weights
