"""SoftmaxClassifier: validate, run epochs, stop.

The estimator decides what is trained and for how long; ``training`` runs the epochs, a
backend everything between two of them, and ``prediction`` reads the result. This module
must not know devices.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import validate_data

from sksoftmax._version import __version__
from sksoftmax.prediction import SoftmaxPrediction
from sksoftmax.problem import Backend
from sksoftmax.schedules import PLANNED
from sksoftmax.stopping import Plateau
from sksoftmax.targets import Targets, encode_targets, sorted_classes
from sksoftmax.training import Checkpoint, Settings, Training

LEAST_STEPS = 200
"""Fewest steps without improvement that can end a fit: epochs of a few steps say little."""


class SoftmaxClassifier(SoftmaxPrediction, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""Softmax regression (multinomial logistic regression) trained by minibatch SGD.

    Minimises, over the weights W and intercepts b,

    .. math::

        \frac{1}{N} \sum_i w_i\, \mathrm{CE}(\mathrm{softmax}(W x_i + b), y_i)
        + \alpha \sum_{kj} \frac{1 - \rho}{2} (\sigma_j W_{kj})^2 + \rho\, |\sigma_j W_{kj}|

    with :math:`w_i` the weight of row i (mean 1), :math:`\sigma_j` the standard deviation
    of feature j and :math:`\rho` the `l1_ratio`. Features need no scaling and the step size no
    tuning: steps are taken in standardised coordinates, their size follows from the curvature
    of the data, and the iterates are averaged [1]_, [2]_. ``coef_`` and ``intercept_`` are in
    the units of X, which is never copied.

    Parameters
    ----------
    alpha : float, default=1e-4
        Strength of the penalty, at least 0, per weighted mean of the loss: it means
        the same for any number of rows. `LogisticRegression` on standardised features has the
        same optimum for ``C = 1 / (alpha * n_samples)``. The intercept is not penalised.
    l1_ratio : float, default=0
        Share of the absolute penalty, in [0, 1]: 0 is ridge, 1 lasso, between is the elastic
        net [6]_. If positive, steps are proximal [7]_ and `coef_` has exact zeros.
    fit_intercept : bool, default=True
        Whether to fit an intercept for each class.
    batch_size : int, default=256
        Rows a step. Where all rows fit in one batch, an epoch is one exact step.
    max_iter : int, default=1000
        Most epochs (passes over the rows) of one call to `fit`.
    tol : float or None, default=3e-3
        `fit` stops when the objective of an epoch has not been `tol` below the best so far for
        `n_iter_no_change` epochs, and at least 200 steps, running. None runs all `max_iter`
        epochs. The default suits accuracy; for coefficients at the optimum take 1e-8 and a
        `batch_size` of at least the number of rows.
    n_iter_no_change : int, default=3
        Epochs without improvement after which to stop.
    learning_rate : "auto" or float, default="auto"
        Step size. "auto" is ``(1 + momentum) / L``, with L a bound on the curvature that
        minibatches meet [3]_, in standardised coordinates; ``1 / L`` with `nesterov`, and 0.01
        for "adam".
    schedule : {"constant", "invscaling", "adaptive", "linear", "cosine"}, default="constant"
        How the step size changes. "invscaling" divides it by the square root of the number of
        the epoch. "adaptive" divides it by 5 wherever the fit would stop, which it does once
        the step is below a thousandth of the first. "linear" and "cosine" [5]_ fall to zero
        over all `max_iter` epochs of a fit, whatever `tol`; `partial_fit` refuses them.
    optimizer : {"sgd", "adam"}, default="sgd"
        The update rule: SGD with momentum, or Adam [4]_ in standardised coordinates.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1).
    nesterov : bool, default=False
        Whether that momentum is Nesterov's rather than the heavy ball's.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's first and second moment, in [0, 1).
    epsilon : float, default=1e-8
        What Adam adds to the deviation of the gradient, for stability; positive.
    average : bool, default=True
        Whether to predict from the average of the iterates by polynomial decay [2]_ rather
        than from the last one. Full batches have no noise and are never averaged.
    standardize : bool, default=True
        Whether penalty and steps see standardised features. If False, both see X as it is,
        as in textbooks and `LogisticRegression`.
    shuffle : bool, default=True
        Whether to take the rows in a new random order each epoch.
    class_weight : dict, "balanced" or None, default=None
        Positive weights of the classes, multiplied with ``sample_weight``. "balanced" weights
        each class inversely to its weighted frequency. Classes not in a dict weigh 1.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last call stopped, optimiser included.
    random_state : int, RandomState instance or None, default=None
        Source of the one random number from which all orders of a fit follow. The same
        `random_state` gives bit-identical results on one machine, backend and number of
        threads.
    backend : str or Backend, default="auto"
        Who runs the epochs: a name that `list_backends` lists, "auto" for the fastest
        installed CPU backend, or a backend object.
    verbose : int, default=0
        If positive, print a line each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights in the units of X, float32 or float64; one row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_iter_ : int
        Epochs so far, `warm_start` and `partial_fit` included.
    t_ : int
        Steps so far.
    loss_curve_ : list of float
        The objective of each epoch, each batch measured before its own step.
    step_size_ : float
        The step size of the last call, before `schedule` changes it.
    mean_ : ndarray of shape (n_features,)
        Weighted means of the features; zeros if `standardize` is False.
    scale_ : ndarray of shape (n_features,)
        Weighted standard deviations; 1 for constant features or if `standardize` is False.
    n_samples_seen_ : int
        Rows of positive weight in `mean_` and `scale_`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has string names.
    backend_ : str
        Name of the backend that ran.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model by full-batch solvers.
    sklearn.linear_model.SGDClassifier : Linear models by single-row SGD, one-versus-rest.

    Notes
    -----
    Arithmetic is in float32 for float32, float16 and integers of at most 16 bits, else in
    float64; statistics are always in float64. X is read where it lies: rows
    in Fortran order, as DataFrames of one dtype have them, are gathered number by number and
    make an epoch several times slower, and ``np.ascontiguousarray(X)`` trades memory for that
    time. Rows of weight zero have no influence at all. With full batches, weight k equals k
    copies of a row; beyond, in expectation.

    References
    ----------
    .. [1] Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of
       Statistical Mathematics 44, 1992.
    .. [2] Shamir and Zhang, "Stochastic gradient descent for non-smooth optimization:
       convergence results and optimal averaging schemes", ICML 2013.
    .. [3] Gower et al., "SGD: general analysis and improved rates", ICML 2019.
    .. [4] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [5] Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
       ICLR 2017.
    .. [6] Zou and Hastie, "Regularization and variable selection via the elastic net", Journal
       of the Royal Statistical Society B 67, 2005.
    .. [7] Duchi and Singer, "Efficient online and batch learning using forward backward
       splitting", JMLR 10, 2009.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sksoftmax import SoftmaxClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = SoftmaxClassifier(random_state=0).fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"constant", "invscaling", "adaptive", "linear", "cosine"})],
        "optimizer": [StrOptions({"sgd", "adam"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterov": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "average": ["boolean"],
        "standardize": ["boolean"],
        "shuffle": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "backend": [str, HasMethods(["place", "to_numpy", "supports", "trainer"])],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        alpha: float = 1e-4,
        l1_ratio: float = 0,
        fit_intercept: bool = True,
        batch_size: int = 256,
        max_iter: int = 1000,
        tol: float | None = 3e-3,
        n_iter_no_change: int = 3,
        learning_rate: float | str = "auto",
        schedule: str = "constant",
        optimizer: str = "sgd",
        momentum: float = 0.9,
        nesterov: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
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
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.optimizer = optimizer
        self.momentum = momentum
        self.nesterov = nesterov
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.average = average
        self.standardize = standardize
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of any real dtype; read, never written to. Sparse formats other than CSR are
            converted to it once.
        y : array-like of shape (n_samples,)
            Labels: integers or strings, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; None for equal ones. Only their ratios matter.

        Returns
        -------
        SoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, the weights or a parameter are invalid, or the steps diverge. A model
            fitted before is then left as it was.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2], [3]], ["a", "a", "b", "b"])
        >>> clf.predict([[-1], [4]]).tolist()
        ['a', 'b']
        """
        with self._unchanged_on_error():
            resume = self._checkpoint if self.warm_start and self._is_fitted() else None
            # Of any real dtype: batches are converted.
            X, y = validate_data(self, X, y, accept_sparse="csr")
            targets = encode_targets(y, sample_weight, self.class_weight, X)
            if resume is not None:
                self._check_can_resume(X, targets)
            training = self._start(X, targets, resume, stream=False)
            losses = [] if resume is None else list(self.loss_curve_)
            self._run_epochs(training, losses)
            self._adopt(training, losses)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Run one epoch over a chunk of a stream.

        Means, scales and the step size follow all chunks so far.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the chunk: one or many, of one class or several.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that the stream may hold. Needed in the first call only.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the same unit in every chunk.

        Returns
        -------
        SoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` is missing or has changed, `class_weight` is "balanced", or X, y,
            the weights or a parameter are invalid. The model is then left as it was.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier(random_state=0)
        >>> for _ in range(20):
        ...     clf = clf.partial_fit([[0], [1]], [0, 1], classes=[0, 1])
        ...     clf = clf.partial_fit([[2], [3]], [1, 1])
        >>> clf.predict([[0], [3]]).tolist()
        [0, 1]
        """
        with self._unchanged_on_error():
            self._validate_params()  # the decorator skips it once fitted
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
            if self.schedule in PLANNED:
                raise ValueError(
                    f"schedule={self.schedule!r} falls to zero at the end of a fit, and a"
                    " stream has none. Use schedule='constant', 'invscaling' or 'adaptive'."
                )
            X, y = validate_data(self, X, y, accept_sparse="csr", reset=resume is None)
            targets = encode_targets(y, sample_weight, self.class_weight, X, known)
            training = self._start(X, targets, resume, stream=True)
            losses = [] if resume is None else list(self.loss_curve_)
            self._run_epoch(training, losses)
            self._adopt(training, losses)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_sksoftmax_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_sksoftmax_version", "unknown")
        if version != __version__:
            warning = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=__version__,
                original_sklearn_version=version,
            )
            warnings.warn(warning, stacklevel=2)
        super().__setstate__(state)

    def _is_fitted(self) -> bool:
        return hasattr(self, "_checkpoint")

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put every attribute back as it was if anything is raised, an interrupt included.

        Overflow is looked for in losses and coefficients rather than warned of on the way.
        """
        before = self.__dict__.copy()
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                yield
        except BaseException:
            self.__dict__ = before
            raise

    def _known_classes(self, classes: ArrayLike | None, *, first: bool) -> NDArray[Any]:
        """The labels that a stream may hold."""
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
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
        settings = Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})
        return Training(
            settings, self.backend, X, targets, seed=seed, resume=resume, stream=stream
        )

    def _run_epochs(self, training: Training, losses: list[float]) -> None:
        """Run epochs until the loss no longer improves, or max_iter is reached."""
        patience = max(self.n_iter_no_change, -(-LEAST_STEPS // training.n_batches))
        tol = None if self.schedule in PLANNED else self.tol
        plateau = Plateau(tol, patience)
        for _ in range(self.max_iter):
            if plateau.reached(self._run_epoch(training, losses)):
                if self.schedule != "adaptive" or not training.reduce_step():
                    return
                plateau.restart()
        if tol is not None:
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
        loss = training.run_epoch()
        if not math.isfinite(loss):
            raise ValueError(self._divergence_message(training))
        losses.append(loss)
        if self.verbose:
            seconds = time.perf_counter() - start
            print(f"epoch {training.n_epochs:5d}   loss {loss:.6f}   {seconds:8.3f} s")
        return loss

    def _divergence_message(self, training: Training) -> str:
        if self.learning_rate != "auto":
            cure = f"Lower learning_rate (now {self.learning_rate}), or set it to 'auto'."
        elif self.standardize:
            cure = "Scale the features: their squares leave the range of float64."
        else:
            cure = "Set standardize=True, or scale the features."
        return f"Floating-point under-/overflow occurred at epoch #{training.n_epochs}. {cure}"

    def _adopt(self, training: Training, losses: list[float]) -> None:
        """Set the fitted attributes."""
        checkpoint = training.checkpoint()
        state = checkpoint.state
        coef, intercept = _caller_units(state.predicting(training.problem)[0], state.means[0])
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise ValueError(self._divergence_message(training))
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.classes_ = training.targets.classes
        self.coef_ = coef
        self.intercept_ = intercept
        self.n_iter_ = training.n_epochs
        self.t_ = state.n_steps
        self.loss_curve_ = losses
        self.step_size_ = training.step_size
        self.mean_ = training.mean
        self.scale_ = training.scale
        self.n_samples_seen_ = training.n_samples_seen
        self.backend_ = training.backend.name
        self._checkpoint = checkpoint


def _caller_units(
    parameters: NDArray[Any], means: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and the intercepts of features that are not centred."""
    coef, centred = parameters[:, :-1], parameters[:, -1]
    intercept = centred - coef.astype(np.float64) @ means
    return coef.copy(), intercept.astype(coef.dtype)
