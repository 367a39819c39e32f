"""SoftmaxClassifierCV: a SoftmaxClassifier that chooses its own penalty by cross-validation.

A search compares the candidates; here its results are put in the shape that users of
``LogisticRegressionCV`` know. This module must not know how candidates are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from sksoftmax._scikit_learn import Interval, _fit_context, _raise_for_params
from sksoftmax.backend.contract import Backend
from sksoftmax.data.checks import checked_in_memory
from sksoftmax.data.targets import encode_targets
from sksoftmax.estimators.attributes import replace_fitted, unchanged_on_error
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.estimators.prediction import SoftmaxPrediction
from sksoftmax.model_selection.penalty_search import (
    PenaltySearch,
    aligned,
    scores_by_fold,
    takes_weights,
)
from sksoftmax.model_selection.search import SoftmaxSearchCV
from sksoftmax.training.callbacks import CallbackSupportMixin, SearchTasks

LEAST_ALPHA, LARGEST_ALPHA = 1e-6, 10.0
"""Ends of the grid for `alphas` given as a number."""

GRID_PARAMETERS = ("alpha", "l1_ratio", "learning_rate")
"""Parameters that are chosen among."""

REFIT_ATTRIBUTES = (
    "coef_",
    "intercept_",
    "n_iter_",
    "loss_curve_",
    "step_size_",
    "mean_",
    "scale_",
    "backend_",
)
"""Attributes of the classifier that is fitted to all rows."""


class SoftmaxClassifierCV(
    SoftmaxPrediction,
    CallbackSupportMixin,  # type: ignore[misc]
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
        Processes among which folds, and parts of them, are divided; with "lbfgs" folds alone.
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
        `tol` times that of the class frequencies, or times five times what has been gained on
        that, where this is less. With "lbfgs" it is the tolerance on a bound that holds.
    n_iter_no_change : int, default=2
        Epochs in which nothing is gained after which to stop, where half of them are fewer.
    early_stopping : bool, default=False
        Whether each fit stops on, and keeps the best epoch by, a share of its own rows.
    validation_fraction : float, default=0.1
        That share, in (0, 1).
    schedule : {"constant", "invscaling", "adaptive", "linear", "cosine"}, default="constant"
        How the step size changes.
    optimizer : {"auto", "sgd", "adam", "lbfgs"}, default="auto"
        How a model is found. "auto" takes steps of SGD, for all candidates together, and where
        one has not stopped after some epochs, iterations over all rows follow for it alone.
        "lbfgs" takes each candidate to its optimum, certified to `tol`: from the strongest of
        `alphas` on, each starts from the coefficients of the last. The best one on all rows
        starts anew.
    momentum : float, default=0.9
        Momentum of SGD with a given learning rate, in [0, 1).
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
    >>> clf.scores_.shape  # folds, alphas, values of l1_ratio and of the learning rate
    (5, 3, 1, 1)
    >>> print(f"{clf.best_score_:.0%} right")
    99% right
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
            if name not in (*GRID_PARAMETERS, "warm_start")
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
        optimizer: str = "auto",
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
        **params: Any,
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
        **params : dict of str to object
            `groups`, of shape (n_samples,), for splitters that keep them together. With
            ``sklearn.set_config(enable_metadata_routing=True)`` whatever the splitter and the
            scorer request.

        Returns
        -------
        SoftmaxClassifierCV
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, the weights or a parameter are invalid, all fits fail, or no candidate
            has a score to choose by. A model fitted before is then left as it was.

        Warns
        -----
        FitFailedWarning
            If some fits fail.
        UserWarning
            If no candidate has a score on some fold, for instance because its training rows
            are of one class: the fold is then left out of the means.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = SoftmaxClassifierCV(alphas=3, l1_ratios=[0, 0.5], random_state=0)
        >>> clf.fit(X, y).coefs_paths_.shape
        (5, 3, 2, 1, 3, 5)
        """
        routed = self._routed("fit", sample_weight, params)
        context = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        with unchanged_on_error(self):
            X, y = checked_in_memory(self, X, y, reset=True)
            targets = encode_targets(y, sample_weight, X)
            tasks = SearchTasks(self, context, X, y, sample_weight)
            search = self._search(targets.classes)
            attributes = self._attributes(
                search, search._search(X, y, routed, tasks), targets.classes
            )
            if "alpha_" in attributes:
                # scikit-learn's C weighs the sum of the losses; alpha stands beside their mean.
                strength = attributes["alpha_"] * targets.total_weight
                attributes["C_"] = 1 / strength if strength > 0 else np.inf
            replace_fitted(self, attributes, kept=("n_features_in_", "feature_names_in_"))
            tasks.end()
        return self

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **params: Any,
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
        **params : dict of str to object
            What else the scorer requests, where metadata are routed.

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
        >>> print(f"{clf.score(X, y):.2f}")
        -0.05
        """
        check_is_fitted(self)
        scorer = self.scorer_
        if isinstance(scorer, dict):
            if not isinstance(self.refit, str):
                raise ValueError("Set refit to the name of the scorer to score by.")
            scorer = scorer[self.refit]
        score = scorer(self, X, y, **self._routed("score", sample_weight, params).scorer.score)
        return float(score[self.refit] if isinstance(score, dict) else score)

    def trim_for_prediction(self) -> Self:
        """Drop the coefficients of all candidates, ``coefs_paths_``.

        Returns
        -------
        SoftmaxClassifierCV
            The estimator, which predicts as before; the scores stay.

        Raises
        ------
        NotFittedError
            If nothing has been fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = SoftmaxClassifierCV(alphas=2, random_state=0).fit(X, y)
        >>> hasattr(clf.trim_for_prediction(), "coefs_paths_")
        False
        """
        check_is_fitted(self)
        self.__dict__.pop("coefs_paths_", None)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata the splitter and the scorers request.

        Returns
        -------
        MetadataRouter
            As `LogisticRegressionCV` has it: the weights given to ``fit`` train in any case,
            and reach the scorers that request them.

        Examples
        --------
        >>> from sklearn import config_context
        >>> from sklearn.model_selection import GroupKFold
        >>> from sksoftmax import SoftmaxClassifierCV
        >>> with config_context(enable_metadata_routing=True):
        ...     routing = SoftmaxClassifierCV(cv=GroupKFold()).get_metadata_routing()
        >>> routing.consumes("fit", ["groups", "colour"])
        {'groups'}
        """
        to_score = MethodMapping().add(caller="score", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=self._scorer(), method_mapping=to_score.add(caller="fit", callee="score")
            )
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.shuffle != "blocks"
        return tags

    def _scorer(self) -> Any:
        """The scorer of candidates: by default the accuracy."""
        scoring = "accuracy" if self.scoring is None else self.scoring
        search = PenaltySearch(SoftmaxClassifier(), scoring=scoring, refit=self.refit)
        return search._get_scorers()[0]

    def _routed(self, caller: str, sample_weight: Any, params: dict[str, Any]) -> Bunch:
        """The metadata of the estimator, the splitter and the scorer."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        routed = Bunch(splitter=Bunch(split={}), scorer=Bunch(score={}))
        if get_config()["enable_metadata_routing"]:
            if params or weights:
                routed = process_routing(self, caller, **weights, **params)
        else:
            params = dict(params)
            if caller == "fit":
                routed.splitter.split = {"groups": params.pop("groups", None)}
            _raise_for_params(params, self, caller)
            if takes_weights(self._scorer()):
                routed.scorer.score = weights
        return Bunch(estimator=Bunch(fit=weights), **routed)

    def _search(self, classes: NDArray[Any]) -> PenaltySearch:
        """A search over the grid, for classifiers with our other parameters."""
        names = SoftmaxClassifier._parameter_constraints
        shared = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if not isinstance(self.random_state, Integral):  # one seed for all folds and the refit
            random = check_random_state(self.random_state)
            shared["random_state"] = random.randint(np.iinfo(np.int32).max)
        return PenaltySearch(
            SoftmaxClassifier(**{**shared, "n_jobs": None, "verbose": 0}),
            self._grid(),
            cv=self.cv,
            scoring="accuracy" if self.scoring is None else self.scoring,
            refit=self.refit,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            halving=self.halving,
        ).of_classes(classes)

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

    def _attributes(
        self, search: PenaltySearch, found: dict[str, Any], classes: NDArray[Any]
    ) -> dict[str, Any]:
        """The fitted attributes, without those in the unit of scikit-learn's C."""
        grid, results, n_folds = self._grid(), found["cv_results_"], found["n_splits_"]
        shape = (n_folds, *(len(grid[name]) for name in GRID_PARAMETERS))
        metrics = [n.removeprefix("mean_test_") for n in results if n.startswith("mean_test_")]
        scores = {
            name: scores_by_fold(results, name, n_folds).reshape(shape) for name in metrics
        }
        paths = aligned(search.notes, classes, n_folds)
        of_search = ("cv_results_", "scorer_", "n_splits_", "best_index_", "best_params_")
        attributes: dict[str, Any] = {
            "classes_": classes,
            "alphas_": np.array(grid["alpha"]),
            "l1_ratios_": np.array(grid["l1_ratio"]),
            "learning_rates_": list(grid["learning_rate"]),
            "scores_": scores if found["multimetric_"] else scores["score"],
            "coefs_paths_": paths.reshape(*shape, *paths.shape[2:]),
            **{name: found[name] for name in (*of_search, "best_score_") if name in found},
        }
        if "best_index_" not in found:
            return attributes
        attributes |= {f"{name}_": found["best_params_"][name] for name in GRID_PARAMETERS}
        if self.refit:
            best = found["best_estimator_"]
            return attributes | {name: getattr(best, name) for name in REFIT_ATTRIBUTES}
        # A class that a fold lacks has no coefficients there: the mean is over the other folds.
        mean = np.nanmean(paths[:, found["best_index_"]], axis=0)
        return attributes | {"coef_": mean[:, :-1], "intercept_": mean[:, -1]}


def _as_float(name: str, value: Any) -> Any:
    """A value of the grid as a float, or "auto" as it is."""
    if isinstance(value, str) and value == "auto":
        return value
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}s must hold numbers that a float can hold") from None
