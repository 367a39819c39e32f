"""SoftmaxClassifier: validate, run epochs, stop, predict.

The estimator decides what is trained and for how long; ``training`` runs the epochs, and a
backend everything between two of them. This module must not know devices.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sksoftmax.problem import Backend, State
from sksoftmax.stopping import Plateau
from sksoftmax.targets import Targets, encode_targets, sorted_classes
from sksoftmax.training import Checkpoint, Settings, Training, training_dtype

NUMERIC_DTYPES = [np.float64, np.float32, np.float16, np.bool_] + [
    np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)
]
"""What X may hold without being converted as a whole; anything else becomes float64."""

PREDICT_ELEMENTS = 2**20
"""Elements of X converted at once when predicting from another dtype."""


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Softmax regression (multinomial logistic regression) trained by minibatch SGD.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "average": ["boolean"],
        "standardize": ["boolean"],
        "shuffle": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "backend": [str, HasMethods(["place", "supports", "trainer"])],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        alpha: float = 1e-4,
        fit_intercept: bool = True,
        batch_size: int = 256,
        max_iter: int = 1000,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 5,
        learning_rate: float | str = "auto",
        momentum: float = 0.9,
        average: bool = True,
        standardize: bool = True,
        shuffle: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        backend: str | Backend = "auto",
        verbose: int = 0,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.average = average
        self.standardize = standardize
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        with self._unchanged_on_error():
            resume = self._checkpoint if self.warm_start and self._is_fitted() else None
            X, y = self._validate(X, y, reset=True)
            targets = encode_targets(y, sample_weight, self.class_weight, X)
            if resume is not None:
                self._check_can_resume(X, targets)
            training = self._start(X, targets, resume, stream=False)
            losses = [] if resume is None else list(self.loss_curve_)
            self._run_epochs(training, losses)
            self._adopt(training, losses)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        with self._unchanged_on_error():
            resume = self._checkpoint if self._is_fitted() else None
            known = self._known_classes(classes, first=resume is None)
            if self.class_weight == "balanced":
                raise ValueError(
                    "class_weight 'balanced' is not supported for partial_fit. In order to use"
                    " 'balanced' weights, use compute_class_weight('balanced', classes=classes,"
                    " y=y). In place of y you can use a large enough sample of the full"
                    " training set target to properly estimate the class frequency"
                    " distributions. Pass the resulting weights as the class_weight parameter."
                )
            X, y = self._validate(X, y, reset=resume is None)
            targets = encode_targets(y, sample_weight, self.class_weight, X, known)
            training = self._start(X, targets, resume, stream=True)
            losses = [] if resume is None else list(self.loss_curve_)
            self._run_epoch(training, losses)
            self._adopt(training, losses)
        return self

    def _is_fitted(self) -> bool:
        return hasattr(self, "_checkpoint")

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put every attribute back as it was if anything is raised, an interrupt included."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _validate(self, X: ArrayLike, y: ArrayLike, *, reset: bool) -> tuple[Any, Any]:
        """X in a dtype that can be trained on without converting all of it, and y."""
        X, y = validate_data(self, X, y, dtype=NUMERIC_DTYPES, reset=reset)
        return X, y

    def _known_classes(self, classes: ArrayLike | None, *, first: bool) -> NDArray[Any]:
        """The labels that a stream may hold."""
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if first:
            return sorted_classes(classes)
        if classes is not None and not np.array_equal(sorted_classes(classes), self.classes_):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was:"
                f" {self.classes_!r}"
            )
        return self.classes_

    def _check_can_resume(self, X: Any, targets: Targets) -> None:
        """Refuse a warm start on other classes or features."""
        if not np.array_equal(targets.classes, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous"
                f" call to fit. Previously got {self.classes_}, `y` has {targets.classes}."
                " Set warm_start=False to start anew."
            )
        if X.shape[1] != self.coef_.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} features, but warm_start goes on from a fit of"
                f" {self.coef_.shape[1]} features. Set warm_start=False to start anew."
            )

    def _start(
        self, X: Any, targets: Targets, resume: Checkpoint | None, *, stream: bool
    ) -> Training:
        """Measure the rows and hand them to the backend."""
        seed = 0
        if resume is None:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        settings = Settings(
            alpha=self.alpha,
            fit_intercept=self.fit_intercept,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            average=self.average,
            standardize=self.standardize,
            shuffle=self.shuffle,
        )
        return Training(
            settings, self.backend, X, targets, seed=seed, resume=resume, stream=stream
        )

    def _run_epochs(self, training: Training, losses: list[float]) -> None:
        """Run epochs until the loss no longer improves, or max_iter is reached."""
        plateau = Plateau(self.tol, self.n_iter_no_change)
        for _ in range(self.max_iter):
            if plateau.reached(self._run_epoch(training, losses)):
                return
        if self.tol is not None:
            warnings.warn(
                f"Maximum number of epochs (max_iter={self.max_iter}) reached before the loss"
                f" stopped improving by tol={self.tol} an epoch. Increase max_iter or tol, or"
                " set tol=None to run a fixed number of epochs without this warning.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _run_epoch(self, training: Training, losses: list[float]) -> float:
        """Run one epoch and note its loss."""
        start = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            loss = training.run_epoch()
        if not math.isfinite(loss):
            raise ValueError(self._divergence_message(training))
        losses.append(loss)
        if self.verbose:
            seconds = time.perf_counter() - start
            print(f"epoch {training.n_epochs:5d}   loss {loss:.6f}   {seconds:8.3f} s")
        return loss

    def _divergence_message(self, training: Training) -> str:
        cure = (
            "Set standardize=True, or scale the features."
            if self.learning_rate == "auto"
            else f"Lower learning_rate (now {self.learning_rate}), or set learning_rate='auto'."
        )
        return f"Floating-point under-/overflow occurred at epoch #{training.n_epochs}. {cure}"

    def _adopt(self, training: Training, losses: list[float]) -> None:
        """Set the fitted attributes."""
        checkpoint = training.checkpoint()
        coef, intercept = _caller_units(checkpoint.state)
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise ValueError(self._divergence_message(training))
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.classes_ = training.targets.classes
        self.coef_ = coef
        self.intercept_ = intercept
        self.n_iter_ = training.n_epochs
        self.t_ = checkpoint.state.n_steps
        self.loss_curve_ = losses
        self.step_size_ = training.step_size
        self.mean_ = training.mean
        self.scale_ = training.scale
        self.n_samples_seen_ = training.n_samples_seen
        self.backend_ = training.backend.name
        self._checkpoint = checkpoint

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the scores of the classes.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=NUMERIC_DTYPES, reset=False)
        scores = _linear_scores(X, self.coef_, self.intercept_)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        scores = self.decision_function(X)
        winners = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[winners]

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return softmax(scores, axis=1)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([log_expit(-scores), log_expit(scores)])
        return log_softmax(scores, axis=1)


def _caller_units(state: State) -> tuple[NDArray[Any], NDArray[Any]]:
    """Averaged weights and the intercepts of features that are not centred."""
    coef, centred = state.average[0, :, :-1], state.average[0, :, -1]
    intercept = centred - coef.astype(np.float64) @ state.means[0]
    return coef.copy(), intercept.astype(coef.dtype)


def _linear_scores(
    X: NDArray[Any], coef: NDArray[Any], intercept: NDArray[Any]
) -> NDArray[Any]:
    """X @ coef.T + intercept; X of another dtype is converted a block of rows at a time."""
    dtype = np.result_type(training_dtype(X.dtype), coef.dtype)
    coef = coef.astype(dtype, copy=False)
    size = len(X) if X.dtype == dtype else max(1, PREDICT_ELEMENTS // X.shape[1])
    scores = np.empty((len(X), len(coef)), dtype)
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        np.matmul(X[rows].astype(dtype, copy=False), coef.T, out=scores[rows])
    scores += intercept.astype(dtype, copy=False)
    return scores
