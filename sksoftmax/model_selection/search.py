"""Searches over parameters whose candidates are trained together.

Results and scorers are scikit-learn's own, from ``BaseSearchCV``; only how candidates are
fitted differs. This module must not know how models share their steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.validation import check_is_fitted

from sksoftmax._scikit_learn import (
    BaseSearchCV,
    Interval,
    _check_method_params,
    _fit_context,
    _insert_error_scores,
    _MultimetricScorer,
    _warn_or_raise_about_fit_failures,
)
from sksoftmax.estimators.attributes import replace_fitted, unchanged_on_error
from sksoftmax.estimators.final import final_estimator
from sksoftmax.model_selection.evaluation import Evaluation
from sksoftmax.model_selection.folds import Fold
from sksoftmax.model_selection.halving import rank_survivors_first, run_by_halves
from sksoftmax.model_selection.processes import run_in_processes
from sksoftmax.training.callbacks import CallbackSupportMixin, SearchTasks, Subtask

__all__ = ["SoftmaxSearchCV"]


class SoftmaxSearchCV(
    BaseSearchCV,  # type: ignore[misc]
    CallbackSupportMixin,  # type: ignore[misc]
):
    """Search over the parameters of a `SoftmaxClassifier`, all candidates of a fold together.

    A drop-in for `GridSearchCV`, or with `param_distributions` for `RandomizedSearchCV`, around
    a `SoftmaxClassifier` or a `Pipeline` that ends in one. Candidates that differ in `alpha`,
    `l1_ratio`, `learning_rate`, `momentum`, `schedule`, `tol`, `n_iter_no_change` or `max_iter`
    take their steps together: each batch is read once and multiplied once, and each model
    stops by its own rule. Candidates that differ in anything else are trained group by group.

    Each candidate is trained on the rows of its fold, by the orders and step sizes that `fit`
    would give it: with an integer `random_state`, models and scores are those of `GridSearchCV`
    but for the rounding of sums, and for `tol` where they go to the optimum by "lbfgs". A
    `random_state` of None draws one seed a fold, rather than one a fit.

    Parameters
    ----------
    estimator : estimator
        A `SoftmaxClassifier`, or a `Pipeline` that ends in one, whose other steps are then
        fitted once for each fold and each setting of their parameters. What trains
        otherwise, such as any other estimator, or one with `warm_start`, `verbose` or
        callbacks of its own, is fitted by itself. With ``optimizer="lbfgs"``, strengths of the
        penalty make a path, from the strongest on, each started from the last optimum.
    param_grid : dict or list of dicts, default=None
        Lists of values by parameter name, of which all combinations are tried.
    param_distributions : dict or list of dicts, default=None
        Lists or distributions by parameter name, from which `n_iter` combinations are drawn.
        Exactly one of these two is to be passed.
    n_iter : int, default=10
        Combinations to draw from `param_distributions`.
    scoring : str, callable, list, tuple, dict or None, default=None
        What candidates are compared by, as in `GridSearchCV`; None for the estimator's `score`.
    n_jobs : int or None, default=None
        Processes among which folds, and parts of them, are divided; with "lbfgs" folds alone.
        Whatever it is, the products of a stack use the threads of the BLAS. Ignored with
        `halving`.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows; with several scorers the name of the one
        to choose by; or a function that picks an index from ``cv_results_``.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in `GridSearchCV`.
    verbose : int, default=0
        1 prints how many fits there are, 2 a line for each.
    pre_dispatch : int or str, default="2*n_jobs"
        Jobs handed to processes in advance.
    random_state : int, RandomState instance or None, default=None
        What `param_distributions` are drawn by.
    error_score : "raise" or number, default=np.nan
        The score of a fit that fails, for instance because its step is too long. The others
        go on.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores on the training rows too.
    halving : int or None, default=None
        Epochs before the first rung of successive halving [1]_: there the worse half of the
        candidates, by their mean score so far, is dropped, and again after twice, four times,
        ... as many epochs. Nothing is trained twice. It needs a single score to compare by,
        and holds the training rows of all folds in memory. None trains all to the end.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        The keys of `GridSearchCV`. ``mean_fit_time`` is a share: what models have taken
        together, and what was done once for all of them, is divided evenly among them. With
        `halving` there is one more key, ``"rung"``: how many rungs a candidate has passed.
        Scores of one that was dropped are those of its last epoch, and it ranks behind all
        that passed more rungs.
    best_estimator_ : estimator
        The best candidate, fitted on all rows. Present unless `refit` is False.
    best_index_ : int
        Its index in ``cv_results_``.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score; absent if `refit` is a function.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has string names.
    multimetric_ : bool
        Whether there are several scorers.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds that the last fit took.
    scorer_ : callable or dict of callables
        What has scored.

    See Also
    --------
    sksoftmax.SoftmaxClassifierCV : The same for the penalty, in one estimator.
    sklearn.model_selection.GridSearchCV : Any estimator, one fit after another.

    Notes
    -----
    As many models are trained at once as fit in 32 MiB (``STACK_BYTES`` of
    ``sksoftmax.training.stack``) with their gradients, velocities and averages, at least one;
    their scores on a batch are the largest array of all. The training rows of one fold are
    copied, as `GridSearchCV` copies them for each fit.

    Sparse rows are trained one model at a time where a step costs their stored elements
    alone; statistics of the features are still shared.

    References
    ----------
    .. [1] Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
       optimization", AISTATS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sksoftmax import SoftmaxClassifier
    >>> from sksoftmax.model_selection.search import SoftmaxSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = {"alpha": np.logspace(-4, 0, 5), "momentum": [0.5, 0.9]}
    >>> search = SoftmaxSearchCV(SoftmaxClassifier(random_state=0), grid).fit(X, y)
    >>> len(search.cv_results_["params"]), f"{search.best_score_:.0%}"
    (10, '97%')
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict, list, None],
        "param_distributions": [dict, list, None],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "halving": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: int | np.random.RandomState | None = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        halving: int | None = None,
    ):
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state
        self.halving = halving

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> Self:
        """Train, score and compare all candidates, and fit the best one.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels; None for an estimator that needs none.
        **params : dict of str to object
            Passed to the estimator's ``fit``; `groups` goes to the splitter. Whatever is as
            long as the rows, like `sample_weight`, is split with them. As in `GridSearchCV`,
            scikit-learn's version decides whether scorers are given the weights.

        Returns
        -------
        SoftmaxSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If all fits fail, or one with ``error_score="raise"``; or if neither or both of
            `param_grid` and `param_distributions` are passed. A search fitted before is then
            left as it was.

        Warns
        -----
        FitFailedWarning
            If some fits fail.

        Examples
        --------
        Five groups of rows, never divided between training and scoring:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import GroupKFold
        >>> from sksoftmax import SoftmaxClassifier
        >>> from sksoftmax.model_selection.search import SoftmaxSearchCV
        >>> X, y = load_iris(return_X_y=True)
        >>> search = SoftmaxSearchCV(
        ...     SoftmaxClassifier(random_state=0), {"alpha": [1e-3, 1]}, cv=GroupKFold(5))
        >>> search.fit(X, y, groups=np.arange(150) % 5).n_splits_
        5
        """
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        context = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        with unchanged_on_error(self):
            tasks = SearchTasks(self, context, X, y, params.get("sample_weight"))
            replace_fitted(self, self._search(X, y, routed, tasks))
            tasks.end()
        return self

    _note: Callable[[Any], Any] | None = None
    """Returns what the results shall hold of a fitted estimator; None for nothing."""

    _to_score: Callable[[Any], Any] | None = None
    """Returns the estimator that is scored in place of a fitted one; None for itself."""

    def trim_for_prediction(self) -> Self:
        """Drop what only further training of ``best_estimator_`` needs.

        Returns
        -------
        SoftmaxSearchCV
            The search, which predicts as before; its results stay.

        Raises
        ------
        NotFittedError
            If nothing has been fitted, or ``refit=False``.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksoftmax import SoftmaxClassifier, SoftmaxSearchCV
        >>> X, y = load_iris(return_X_y=True)
        >>> search = SoftmaxSearchCV(SoftmaxClassifier(random_state=0), {"alpha": [1e-4, 1e-2]})
        >>> search.fit(X, y).trim_for_prediction().predict(X[:1]).tolist()
        [0]
        """
        check_is_fitted(self, "best_estimator_")
        final_estimator(self.best_estimator_)[0].trim_for_prediction()
        return self

    def _search(self, X: Any, y: Any, routed: Bunch, tasks: SearchTasks) -> dict[str, Any]:
        """Compare all candidates and fit the best; return what this leaves behind."""
        scorer, metric = self._get_scorers()
        numbered = dict(enumerate(self._candidates()))
        splits = self._splits(X, y, routed.splitter.split)
        if not splits or not numbered:
            raise ValueError(
                "No fits were performed. Was the CV iterator empty? Were there no candidates?"
            )
        if self.verbose > 0:
            print(
                f"Fitting {len(splits)} folds for each of {len(numbered)} candidates,"
                f" totalling {len(splits) * len(numbered)} fits"
            )
        evaluation = Evaluation(
            scorer=scorer,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
            return_train_score=self.return_train_score,
            error_score=self.error_score,
            verbose=self.verbose,
            n_folds=len(splits),
            n_candidates=len(numbered),
            note=self._note,
            to_score=self._to_score,
        )
        folds = [
            partial(Fold, X=X, y=y, split=split, evaluation=evaluation, number=i)
            for i, split in enumerate(splits)
        ]
        subtasks = tasks.begin_search(len(numbered), len(splits))
        out, more = self._evaluate(folds, numbered, subtasks)
        tasks.end_search()
        attributes = self._compare(list(numbered.values()), len(splits), out, more, metric)
        if self.refit:
            best = attributes["best_params_"]
            attributes |= self._refit(X, y, best, routed.estimator.fit, tasks.refit())
        # As in GridSearchCV, several scorers are kept as a dict.
        several = isinstance(scorer, _MultimetricScorer)
        return attributes | {"scorer_": scorer._scorers if several else scorer}

    def _candidates(self) -> list[dict[str, Any]]:
        """The parameters to be tried."""
        if (self.param_grid is None) == (self.param_distributions is None):
            raise ValueError(
                "Pass either param_grid, to try all its combinations, or param_distributions,"
                " to draw n_iter of them."
            )
        if self.param_grid is not None:
            return list(ParameterGrid(self.param_grid))
        return list(
            ParameterSampler(
                self.param_distributions, self.n_iter, random_state=self.random_state
            )
        )

    def _splits(
        self, X: Any, y: Any, split_params: Mapping[str, Any]
    ) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        n_splits = cv.get_n_splits(X, y, **split_params)
        splits = list(cv.split(X, y, **split_params))
        if len(splits) != n_splits:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. Expected"
                f" {n_splits} splits, got {len(splits)}"
            )
        return splits

    def _evaluate(
        self,
        folds: Sequence[Callable[..., Fold]],
        candidates: Mapping[int, dict[str, Any]],
        tasks: Sequence[Sequence[Subtask]],
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Results of each candidate on each fold, folds changing fastest; and more columns."""
        if self.halving is None:
            results = run_in_processes(
                folds,
                self.estimator,
                candidates,
                tasks,
                n_jobs=self.n_jobs,
                pre_dispatch=self.pre_dispatch,
            )
            more = {}
        else:
            begun = [
                fold(clone(self.estimator), candidates, {n: tasks[n][i] for n in candidates})
                for i, fold in enumerate(folds)
            ]
            results, rungs = run_by_halves(begun, list(candidates), self.halving, self.refit)
            more = {"rung": rungs}
        return [found[number] for number in candidates for found in results], more

    def _compare(
        self,
        candidates: list[dict[str, Any]],
        n_splits: int,
        out: list[dict[str, Any]],
        more: dict[str, Any],
        metric: Any,
    ) -> dict[str, Any]:
        """``cv_results_``, ``best_index_`` and what follows from it."""
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        results = self._format_results(candidates, n_splits, out, more)
        if more:
            rank_survivors_first(results)
        first_scores = out[0]["test_scores"]
        several = isinstance(first_scores, dict)
        if callable(self.scoring) and several:
            self._check_refit_for_multimetric(first_scores)
            metric = self.refit
        attributes = {"cv_results_": results, "multimetric_": several, "n_splits_": n_splits}
        if several and not self.refit:
            return attributes
        best = self._select_best_index(self.refit, metric, results)
        attributes |= {"best_index_": best, "best_params_": results["params"][best]}
        if not callable(self.refit):
            attributes["best_score_"] = results[f"mean_test_{metric}"][best]
        return attributes

    def _refit(
        self,
        X: Any,
        y: Any,
        parameters: dict[str, Any],
        fit_params: Mapping[str, Any],
        task: Subtask,
    ) -> dict[str, Any]:
        """The best candidate, fitted on all rows."""
        best = clone(self.estimator).set_params(**clone(parameters, safe=False))
        task.begin(best, X, y, fit_params.get("sample_weight"))
        start = time.perf_counter()
        best.fit(X, *([] if y is None else [y]), **fit_params)
        attributes = {"best_estimator_": best, "refit_time_": time.perf_counter() - start}
        task.end()
        if hasattr(best, "feature_names_in_"):
            attributes["feature_names_in_"] = best.feature_names_in_
        return attributes
