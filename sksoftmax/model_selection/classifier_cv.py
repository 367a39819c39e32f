"""SoftmaxClassifierCV: a SoftmaxClassifier that chooses its own penalty by cross-validation.

A search does the work; here its results are put in the shape that users of
``LogisticRegressionCV`` know. This module must not know how candidates are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.metrics._scorer import _MultimetricScorer, _PassthroughScorer
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sksoftmax.backend.contract import Backend
from sksoftmax.data.stored import checked_in_memory
from sksoftmax.data.targets import encode_targets
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.estimators.prediction import SoftmaxPrediction
from sksoftmax.model_selection.search import SoftmaxSearchCV

LEAST_ALPHA, LARGEST_ALPHA = 1e-6, 10.0
"""Ends of the grid for `alphas` given as a number."""

OF_THE_GRID = ("alpha", "l1_ratio", "learning_rate")
OF_THE_REFIT = ("n_iter_", "loss_curve_", "step_size_", "mean_", "scale_", "backend_")


class SoftmaxClassifierCV(
    SoftmaxPrediction,
    ClassifierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Softmax regression that chooses its penalty, and its step size, by cross-validation.

    All combinations of `alphas`, `l1_ratios` and `learning_rates` are trained together, fold by
    fold, and the best one is fitted on all rows, as `LogisticRegressionCV` does it. The model
    is that of `SoftmaxClassifier`, which says more of the parameters that they share.

    Parameters
    ----------
    alphas : int or array-like of shape (n_alphas,), default=10
        Strengths of the penalty, at least 0, or how many of them to take from a logarithmic
        grid between 1e-6 and 10.
    l1_ratios : array-like of shape (n_l1_ratios,), default=(0,)
        Shares of the absolute penalty, in [0, 1].
    learning_rates : array-like of shape (n_learning_rates,), default=("auto",)
        Step sizes, each a positive number or "auto".
    cv : int, cross-validation generator or iterable, default=None
        The folds: a splitter, their number, or pairs of row numbers; None for five, stratified.
    scoring : str, callable, list, tuple, dict or None, default=None
        What candidates are compared by, as in `GridSearchCV`; None for the accuracy. Scorers
        that take weights are given those of the rows.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows; if False, `coef_` and `intercept_` are
        means over the folds. With several scorers, the name of the one to choose by, or False,
        which chooses nothing; or a function that picks an index from ``cv_results_``.
    n_jobs : int or None, default=None
        Processes among which folds, and parts of them, are divided.
    halving : int or None, default=None
        Epochs before the worse half of the candidates is dropped for the first time, as in
        `SoftmaxSearchCV`.
    fit_intercept : bool, default=True
        Whether to fit an intercept for each class.
    batch_size : "auto" or int, default="auto"
        Rows a step.
    max_iter : int, default=1000
        Most epochs of each fit.
    tol : float or None, default=3e-3
        A fit stops when the second half of its epochs has lowered its loss by no more than
        `tol` times that of the class frequencies.
    n_iter_no_change : int, default=2
        Epochs in which nothing is gained after which to stop, where half of them are fewer.
    early_stopping : bool, default=False
        Whether each fit stops on, and keeps the best epoch by, a share of its own rows.
    validation_fraction : float, default=0.1
        That share, in (0, 1).
    schedule : {"constant", "invscaling", "adaptive", "linear", "cosine"}, default="constant"
        How the step size changes.
    optimizer : {"sgd", "adam"}, default="sgd"
        The update rule.
    momentum : float, default=0.9
        Momentum of "sgd" with a given learning rate, in [0, 1).
    nesterov : bool, default=False
        Whether that momentum is Nesterov's.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        What Adam adds to the deviation of the gradient; positive.
    average : bool, default=True
        Whether to predict from the average of the iterates where the learning rate is given.
    standardize : bool, default=True
        Whether penalty and steps see standardised features.
    shuffle : bool, default=True
        Whether to take the rows in a new random order each epoch.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; "balanced" by their frequency in each fold.
    random_state : int, RandomState instance or None, default=None
        Source of the seed that all fits share. Folds are as random as `cv` is.
    backend : str or Backend, default="auto"
        Who runs the epochs.
    verbose : int, default=0
        1 prints how many fits there are, 2 a line for each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights of the best candidate in the units of X; one row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Its intercepts.
    alpha_ : float
        The best strength of the penalty.
    l1_ratio_ : float
        The best share of the absolute penalty.
    learning_rate_ : float or "auto"
        The best step size.
    C_ : float
        What `LogisticRegression` on standardised features calls this strength:
        ``1 / (alpha_ * n_samples)``, with weights their sum in place of `n_samples`.
    alphas_ : ndarray of shape (n_alphas,)
        All strengths.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        All shares of the absolute penalty.
    learning_rates_ : list
        All step sizes.
    scores_ : ndarray of shape (n_folds, n_alphas, n_l1_ratios, n_learning_rates), or dict
        Scores on the rows held out; with several scorers an array for each, by name.
    coefs_paths_ : ndarray of shape (n_folds, n_alphas, n_l1_ratios, n_learning_rates, \
            n_rows, n_features + 1)
        Coefficients of every fit, intercepts in the last column; `n_rows` is 1 for two classes,
        else n_classes. NaN where a fit failed, and for a class that a fold lacks.
    cv_results_ : dict of ndarrays
        As in `SoftmaxSearchCV`.
    best_index_ : int
        Index of the best candidate in ``cv_results_``.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score; absent if `refit` is a function.
    scorer_ : callable or dict of callables
        What has scored.
    n_splits_ : int
        Number of folds.
    n_iter_ : int
        Epochs of the fit on all rows. Absent, like the next five, if `refit` is False.
    loss_curve_ : list of float
        Its objective after each epoch.
    step_size_ : float
        Its step size.
    mean_ : ndarray of shape (n_features,)
        Weighted means of the features.
    scale_ : ndarray of shape (n_features,)
        Their weighted standard deviations.
    backend_ : str
        Name of the backend that ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has string names.

    See Also
    --------
    SoftmaxClassifier : The same model for given parameters.
    sksoftmax.model_selection.SoftmaxSearchCV : Search over any of its parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sksoftmax import SoftmaxClassifierCV
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = SoftmaxClassifierCV(alphas=[1e-4, 1e-2, 1], random_state=0).fit(X, y)
    >>> clf.scores_.shape, bool(clf.best_score_ > 0.95)
    ((5, 3, 1, 1), True)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "alphas": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratios": ["array-like"],
        "learning_rates": ["array-like"],
        **{
            name: SoftmaxSearchCV._parameter_constraints[name]
            for name in ("cv", "scoring", "refit", "n_jobs", "halving")
        },
        **{
            name: constraint
            for name, constraint in SoftmaxClassifier._parameter_constraints.items()
            if name not in (*OF_THE_GRID, "warm_start")
        },
    }

    def __init__(
        self,
        *,
        alphas: int | Sequence[float] = 10,
        l1_ratios: Sequence[float] = (0,),
        learning_rates: Sequence[float | str] = ("auto",),
        cv: Any = None,
        scoring: Any = None,
        refit: bool | str | Callable[..., int] = True,
        n_jobs: int | None = None,
        halving: int | None = None,
        fit_intercept: bool = True,
        batch_size: int | str = "auto",
        max_iter: int = 1000,
        tol: float | None = 3e-3,
        n_iter_no_change: int = 2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
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
        random_state: int | np.random.RandomState | None = None,
        backend: str | Backend = "auto",
        verbose: int = 0,
    ):
        self.alphas = alphas
        self.l1_ratios = l1_ratios
        self.learning_rates = learning_rates
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.n_jobs = n_jobs
        self.halving = halving
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
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
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Compare all candidates by cross-validation, and fit the best one on all rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of any real dtype.
        y : array-like of shape (n_samples,)
            Labels: integers or strings, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in training and in scores; None for equal ones.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows, for splitters that keep them together.

        Returns
        -------
        SoftmaxClassifierCV
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, the weights or a parameter are invalid, or all fits fail. A model fitted
            before is then left as it was.

        Warns
        -----
        FitFailedWarning
            If some fits fail.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = SoftmaxClassifierCV(alphas=3, l1_ratios=[0, 0.5], random_state=0)
        >>> clf.fit(X, y).coefs_paths_.shape
        (5, 3, 2, 1, 3, 5)
        """
        before = self.__dict__.copy()
        try:
            attributes = self._fitted(X, y, sample_weight, groups)
        except BaseException:
            self.__dict__ = before
            raise
        of_rows = ("n_features_in_", "feature_names_in_")
        for name in before:  # an earlier fit may have left more
            if name.endswith("_") and name not in of_rows:
                del self.__dict__[name]
        self.__dict__.update(attributes)
        return self

    def _fitted(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> dict[str, Any]:
        """Search, and return the attributes that this leaves behind."""
        X, y = checked_in_memory(self, X, y, reset=True)
        targets = encode_targets(y, sample_weight, X)
        search = self._search().fit(X, y, sample_weight=sample_weight, groups=groups)
        attributes = self._attributes(search, targets.classes)
        if "alpha_" in attributes:
            strength = attributes["alpha_"] * targets.total_weight
            attributes["C_"] = 1 / strength if strength > 0 else np.inf
        return attributes

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the score that candidates were compared by, on other rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights, for a scorer that takes them.

        Returns
        -------
        float
            By `scoring`, or by the scorer that `refit` names; the accuracy where it is None.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = SoftmaxClassifierCV(scoring="neg_log_loss", random_state=0).fit(X, y)
        >>> clf.score(X, y) < 0
        True
        """
        check_is_fitted(self)
        scorer = self.scorer_
        if self.scoring is None:
            return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))
        if isinstance(scorer, dict):
            if not isinstance(self.refit, str):
                raise ValueError("Set refit to the name of the scorer to score by.")
            scorer = scorer[self.refit]
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        score = scorer(self, X, y, **weights)
        return float(score[self.refit] if isinstance(score, dict) else score)

    def drop_training_state(self) -> Self:
        """Forget ``coefs_paths_``, the models of all folds, which nothing predicts from.

        Returns
        -------
        SoftmaxClassifierCV
            The estimator, with all its other attributes.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = SoftmaxClassifierCV(alphas=3, random_state=0).fit(X, y)
        >>> hasattr(clf.drop_training_state(), "coefs_paths_")
        False
        """
        check_is_fitted(self)
        self.__dict__.pop("coefs_paths_", None)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.shuffle != "blocks"
        return tags

    def _search(self) -> _WeightedSearch:
        """A search over the grid, for classifiers with our other parameters."""
        names = SoftmaxClassifier._parameter_constraints
        shared = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if not isinstance(self.random_state, Integral):  # one seed for all folds and the refit
            random = check_random_state(self.random_state)
            shared["random_state"] = random.randint(np.iinfo(np.int32).max)
        return _WeightedSearch(
            SoftmaxClassifier(**{**shared, "n_jobs": None, "verbose": 0}),
            self._grid(),
            cv=self.cv,
            scoring=self.scoring,
            refit=self.refit,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            halving=self.halving,
        )

    def _grid(self) -> dict[str, list[Any]]:
        alphas: Any = self.alphas
        if isinstance(alphas, Integral):
            alphas = np.geomspace(LEAST_ALPHA, LARGEST_ALPHA, int(alphas))
        grid: dict[str, list[Any]] = {
            "alpha": list(alphas),
            "l1_ratio": list(self.l1_ratios),
            "learning_rate": list(self.learning_rates),
        }
        grid = {name: [_as_float(name, v) for v in values] for name, values in grid.items()}
        for name, values in grid.items():
            if not values:
                raise ValueError(f"{name}s is empty: pass at least one {name}.")
        return grid

    def _attributes(self, search: _WeightedSearch, classes: NDArray[Any]) -> dict[str, Any]:
        """What a fit leaves behind, but for the units of scikit-learn's C."""
        grid, results = self._grid(), search.cv_results_
        shape = (search.n_splits_, *(len(grid[name]) for name in OF_THE_GRID))
        metrics = [n.removeprefix("mean_test_") for n in results if n.startswith("mean_test_")]
        scores = {
            metric: np.stack(
                [results[f"split{i}_test_{metric}"] for i in range(search.n_splits_)]
            ).reshape(shape)
            for metric in metrics
        }
        paths = _aligned(search.notes, classes, search.n_splits_)
        attributes: dict[str, Any] = {
            "classes_": classes,
            "alphas_": np.array(grid["alpha"]),
            "l1_ratios_": np.array(grid["l1_ratio"]),
            "learning_rates_": list(grid["learning_rate"]),
            "cv_results_": results,
            "scores_": scores if search.multimetric_ else scores["score"],
            "coefs_paths_": paths.reshape(*shape, *paths.shape[2:]),
            "scorer_": search.scorer_,
            "n_splits_": search.n_splits_,
        }
        if not hasattr(search, "best_index_"):
            return attributes
        attributes["best_index_"] = search.best_index_
        attributes["best_params_"] = search.best_params_
        attributes |= {f"{name}_": search.best_params_[name] for name in OF_THE_GRID}
        if hasattr(search, "best_score_"):
            attributes["best_score_"] = search.best_score_
        if self.refit:
            best = search.best_estimator_
            attributes["coef_"], attributes["intercept_"] = best.coef_, best.intercept_
            return attributes | {name: getattr(best, name) for name in OF_THE_REFIT}
        mean = np.nanmean(paths[:, search.best_index_], axis=0)
        return attributes | {"coef_": mean[:, :-1], "intercept_": mean[:, -1]}


def _as_float(name: str, value: Any) -> Any:
    """A value of the grid as a float, or "auto" as it is."""
    if isinstance(value, str) and value == "auto":
        return value
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}s must hold numbers that a float can hold") from None


def _coefficients(estimator: SoftmaxClassifier) -> tuple[NDArray[Any], NDArray[Any]]:
    """The classes of a model, and its weights with the intercepts in the last column."""
    return estimator.classes_, np.column_stack([estimator.coef_, estimator.intercept_])


class _WeightedSearch(SoftmaxSearchCV):
    """A search that weights scores as it does losses, and notes the coefficients."""

    _note = staticmethod(_coefficients)

    def _get_routed_params_for_fit(self, params: dict[str, Any]) -> Bunch:
        scorer, _ = self._get_scorers()
        weights = {"sample_weight": params["sample_weight"]}
        has_weights = params["sample_weight"] is not None
        return Bunch(
            estimator=Bunch(fit=weights if has_weights else {}),
            splitter=Bunch(split={"groups": params["groups"]}),
            scorer=Bunch(score=weights if has_weights and _takes_weights(scorer) else {}),
        )

    def _format_results(
        self, candidate_params: Any, n_splits: int, out: list[dict[str, Any]], more: Any = None
    ) -> dict[str, Any]:
        self.notes = [result["note"] for result in out]
        results: dict[str, Any] = super()._format_results(candidate_params, n_splits, out, more)
        return results


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer can be given the weights of the rows."""
    if isinstance(scorer, _MultimetricScorer):
        return all(_takes_weights(each) for each in scorer._scorers.values())
    function = getattr(scorer, "_score_func", scorer)
    return isinstance(scorer, _PassthroughScorer) or (
        "sample_weight" in signature(function).parameters
    )


def _aligned(notes: list[Any], classes: NDArray[Any], n_splits: int) -> NDArray[Any]:
    """Coefficients of shape (n_splits, n_candidates, 1 or n_classes, n_features + 1).

    NaN where a fit failed, and for a class that a fold lacks.
    """
    found = [coef for note in notes if note is not None for coef in [note[1]]]
    n_rows = 1 if len(classes) == 2 else len(classes)
    paths = np.full((len(notes), n_rows, found[0].shape[1]), np.nan, found[0].dtype)
    for path, note in zip(paths, notes, strict=True):
        if note is None:
            continue
        of_fold, coef = note
        if len(of_fold) == 2 < len(classes):
            coef = np.concatenate([-coef / 2, coef / 2])  # as softmax rows
        path[slice(None) if n_rows == 1 else np.searchsorted(classes, of_fold)] = coef
    return paths.reshape(-1, n_splits, *paths.shape[1:]).swapaxes(0, 1)
