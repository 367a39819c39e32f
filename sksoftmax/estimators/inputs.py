"""What the caller of a fit passed: rows, labels and weights, checked and encoded.

Errors are the user's, in scikit-learn's words where it has some. This module must not know how
anything is trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from sksoftmax.data.arrays import Namespace, namespace_of, readable, to_numpy
from sksoftmax.data.checks import checked_rows
from sksoftmax.data.holdout import HeldOut
from sksoftmax.data.rows import is_csr
from sksoftmax.data.targets import Targets, encode_targets, sorted_classes
from sksoftmax.training.checkpoint import Checkpoint


class Inputs:
    """The rows and labels of one fit.

    Parameters
    ----------
    estimator : SoftmaxClassifier
        Who was called.
    resume : Checkpoint or None
        Where training goes on from.
    is_stream : bool
        Whether the rows are a chunk of a stream.

    Attributes
    ----------
    X, y, sample_weight : array-likes
        What was passed, X and y checked.
    targets : Targets
        Labels and weights as codes and numbers.
    held_out : HeldOut or None
        The rows that were passed to validate on.
    namespaces : tuple of two Namespaces
        Those of X and y as they were passed.
    """

    least_rows = 1
    """Fewest rows that `check` lets pass."""

    def __init__(self, estimator: Any, resume: Checkpoint | None, is_stream: bool):
        self.estimator = estimator
        self.resume = resume
        self.is_stream = is_stream

    def check(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> None:
        """Check what the caller passed, and encode labels and weights.

        Parameters
        ----------
        X, y, sample_weight, classes, X_val, y_val, sample_weight_val
            Those of ``SoftmaxClassifier.fit`` and ``partial_fit``.

        Raises
        ------
        ValueError
            As they do.
        """
        known = self._known_classes(classes) if self.is_stream else None
        self.namespaces: tuple[Namespace, Namespace] = namespace_of(X), namespace_of(y)
        is_new = self.resume is None or not self.is_stream
        self.X, self.y = self._checked(X, y, reset=is_new)
        self.sample_weight = sample_weight
        self.targets = self._encoded(self.y, sample_weight, self.X, known)
        if self.resume is not None and not self.is_stream:
            self._check_can_resume()
        self.held_out = self._given_held_out(X_val, y_val, sample_weight_val)
        if self.held_out and not (self.is_stream or self.estimator.early_stopping):
            raise ValueError(
                "X_val and y_val are passed to fit while early_stopping is False. Set"
                " early_stopping=True to stop on them, or leave them out."
            )
        if self.estimator.early_stopping and self.estimator.optimizer == "lbfgs":
            raise ValueError(
                "early_stopping=True stops short of the optimum, to which optimizer='lbfgs'"
                " goes. Set early_stopping=False, or optimizer='sgd'."
            )

    def check_beside_model(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> None:
        """Check rows for what a fitted model is to be measured on, in place of `check`.

        Parameters
        ----------
        X, y, sample_weight
            Those of ``SoftmaxClassifier.dual_gap``.

        Raises
        ------
        ValueError
            As it does.
        """
        self.X, self.y = self._checked(X, y, reset=False)
        classes = to_numpy(self.estimator.classes_)
        self.targets = self._encoded(self.y, sample_weight, self.X, classes)
        self.held_out = None

    def share_check(self, other: Inputs, X: Any) -> None:
        """Take over what another fit has checked, in place of `check`.

        Parameters
        ----------
        other : Inputs
            Of a fit to the same rows, not started yet.
        X : array-like
            These rows as the caller passed them, for the names of their features.
        """
        validate_data(self.estimator, X, skip_check_array=True)
        self.namespaces, self.sample_weight = other.namespaces, other.sample_weight
        self.X, self.y, self.targets = other.X, other.y, other.targets
        self.held_out = other.held_out

    def _checked(self, X: Any, y: Any, *, reset: bool, name: str = "X") -> tuple[Any, Any]:
        """Rows, of any real dtype since batches are converted, and labels."""
        by_blocks = self.estimator.shuffle == "blocks"
        rows, labels = checked_rows(
            self.estimator,
            X,
            y,
            reset=reset,
            by_blocks=by_blocks,
            least=self.least_rows,
            name=name,
        )
        if by_blocks and is_csr(rows):
            raise ValueError(
                "Sparse data was passed, but shuffle='blocks' needs dense X. Set shuffle=True"
                " for sparse X."
            )
        return readable(rows), labels

    def _encoded(
        self, y: Any, sample_weight: Any, X: Any, classes: NDArray[Any] | None = None
    ) -> Targets:
        """Labels and weights as codes and numbers."""
        return encode_targets(y, sample_weight, X, classes)

    def _known_classes(self, classes: ArrayLike | None) -> NDArray[Any]:
        """The labels that a stream may hold."""
        if self.resume is None:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return sorted_classes(classes)
        known = to_numpy(self.estimator.classes_)
        if classes is not None and not np.array_equal(sorted_classes(classes), known):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was:"
                f" {known!r}"
            )
        return known

    def _check_can_resume(self) -> None:
        """Refuse a warm start on other classes or features."""
        before, classes = self.estimator, self.targets.classes
        if not np.array_equal(classes, to_numpy(before.classes_)):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous"
                f" call to fit. Previously got {before.classes_}, `y` has {classes}."
                " Set warm_start=False to start anew."
            )
        n_features = before.coef_.shape[1]
        if self.X.shape[1] != n_features:
            raise ValueError(
                f"X has {self.X.shape[1]} features, but warm_start goes on from a fit of"
                f" {n_features} features. Set warm_start=False to start anew."
            )

    def _given_held_out(self, X_val: Any, y_val: Any, sample_weight_val: Any) -> HeldOut | None:
        """The caller's held-out rows, None where there are none."""
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        passed = [name for name, value in given.items() if value is not None]
        missing = [name for name in ("X_val", "y_val") if name not in passed]
        if not passed:
            return None
        if missing:
            raise ValueError(
                f"{' and '.join(passed)} {'is' if len(passed) == 1 else 'are'} provided, but"
                f" {' and '.join(missing)} {'was' if len(missing) == 1 else 'were'} not."
            )
        try:
            X_val, y_val = self._checked(X_val, y_val, reset=False, name="X_val")
            targets = self._encoded(y_val, sample_weight_val, X_val, self.targets.classes)
        except ValueError as error:
            raise ValueError(f"Invalid {', '.join(passed)}: {error}") from error
        return HeldOut(X_val, targets)
