"""One fold of a search: its candidates fitted together, and each scored as it is finished.

The steps of pipelines before the classifier are fitted once for all candidates that leave
their parameters alone. This module must not know how candidates are chosen, nor which is best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any

from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sksoftmax._scikit_learn import (
    _BaseScorer,
    _check_method_params,
    _MultimetricScorer,
    _PassthroughScorer,
    _safe_split,
)
from sksoftmax.model_selection.evaluation import Evaluation
from sksoftmax.model_selection.joint_fit import JointFit, JointFits
from sksoftmax.model_selection.sharing import can_share_pipeline
from sksoftmax.training.callbacks import Subtask


class Fold:
    """The candidates of a search on one split of the rows.

    Parameters
    ----------
    estimator : estimator
        A `SoftmaxClassifier`, a `Pipeline` that ends in one, or any other.
    candidates : mapping of int to dict
        Parameters to set, by the candidate's number.
    tasks : mapping of int to Subtask
        What callbacks are told of, by the candidate's number.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        All rows.
    y : array-like of shape (n_samples,), or None
        All labels.
    split : tuple of two ndarrays
        Which rows to train on, and which to score on.
    evaluation : Evaluation
        What is done with each candidate.
    number : int
        The fold's own number.
    """

    def __init__(
        self,
        estimator: Any,
        candidates: Mapping[int, dict[str, Any]],
        tasks: Mapping[int, Subtask],
        *,
        X: Any,
        y: Any,
        split: tuple[NDArray[Any], NDArray[Any]],
        evaluation: Evaluation,
        number: int,
    ):
        train, test = split
        self.estimator = estimator
        self.candidates = candidates
        self.evaluation = evaluation
        self.number = number
        self.tasks = tasks
        self.train = _safe_split(estimator, X, y, train)
        self.test = _safe_split(estimator, X, y, test, train)
        self.fit_params, self.train_params, self.test_params = (
            _check_method_params(X, params=dict(params), indices=rows)
            for params, rows in (
                (evaluation.fit_params, train),
                (evaluation.score_params, train),
                (evaluation.score_params, test),
            )
        )
        self._new = _groups(estimator, candidates)
        self._paused: list[SharedPipeline] = []

    @property
    def goes_on(self) -> bool:
        """Whether any candidate has epochs to come."""
        return any(group.goes_on for group in self._paused)

    def run(self, limit: float = math.inf) -> Iterator[tuple[int, dict[str, Any]]]:
        """Fit and score the candidates that are not over.

        Parameters
        ----------
        limit : float, default=inf
            Epochs after which to pause.

        Yields
        ------
        candidate : int
            Its number.
        result : dict
            Scores, times and the error, as ``BaseSearchCV`` formats them.
        """
        paused, self._paused = self._paused, []
        for group in paused:
            yield from self._run(group, limit)
        while self._new:
            numbers = self._new.pop(0)
            estimators = [self._with_parameters(number) for number in numbers]
            try:
                for number, estimator in zip(numbers, estimators, strict=True):
                    self._begin(number, estimator)
                group = SharedPipeline(self, numbers, estimators)
            except Exception as error:
                for number in numbers:
                    yield number, self.failed(number, error, 0.0)
            else:
                del estimators  # the group forgets each as soon as it is scored
                yield from self._run(group, limit)

    def drop(self, candidates: Collection[int]) -> None:
        """Run no further epoch of some candidates that a limit has paused.

        Parameters
        ----------
        candidates : collection of int
            Their numbers.
        """
        for group in self._paused:
            group.drop(candidates)
        for candidate in candidates:
            self.tasks[candidate].end()

    def failed(self, number: int, error: Exception, seconds: float) -> dict[str, Any]:
        """Return the result of a fit that failed, or raise as `error_score` says.

        Parameters
        ----------
        number : int
            The candidate's.
        error : Exception
            What ended it.
        seconds : float
            The time until then.

        Returns
        -------
        dict
            Its scores, times and the error.
        """
        self.tasks[number].end()
        return self.evaluation.failure(error, seconds)

    def _begin(self, number: int, estimator: Any) -> None:
        """Tell callbacks that a candidate is now fitted."""
        X, y = self.train
        self.tasks[number].begin(estimator, X, y, self.fit_params.get("sample_weight"))

    def _with_parameters(self, number: int) -> Any:
        """An unfitted estimator for a candidate; parameters may be estimators themselves."""
        parameters = clone(self.candidates[number], safe=False)
        return clone(self.estimator).set_params(**parameters)

    def _run(self, group: SharedPipeline, limit: float) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, result in group.run(limit):
            if self.evaluation.verbose > 1:
                parameters = self.candidates[number]
                print(self.evaluation.line(self.number, number, parameters, result))
            yield number, result
        if group.goes_on:
            self._paused.append(group)


class SharedPipeline:
    """The candidates of a fold that share all steps before the classifier.

    Parameters
    ----------
    fold : Fold
        Whose candidates they are.
    numbers : sequence of int
        Which of them.
    estimators : list of estimators
        Theirs, with their parameters set.
    """

    def __init__(self, fold: Fold, numbers: Sequence[int], estimators: list[Any]):
        start = time.perf_counter()
        self.fold = fold
        self.numbers = numbers
        self.scored = estimators
        (self.X_train, y), (self.X_test, _) = fold.train, fold.test
        X, to_fit, params = self.X_train, estimators, fold.fit_params
        if can_share_pipeline(estimators[0], params):
            before, last = estimators[0][:-1], estimators[0].steps[-1][0]
            params, of_others = _split_by_step(params, last)
            X = before.fit_transform(X, y, **of_others)
            # The same fitted steps in all: they see the same rows under the same parameters.
            for pipeline in estimators:
                pipeline.steps[:-1] = before.steps
            to_fit = [pipeline.steps[-1][1] for pipeline in estimators]
            if _only_asks_for_predictions(fold.evaluation.scorer):
                # Rows that cannot be transformed are no failure of a fit, but of its score.
                with suppress(Exception):
                    self.X_test = before.transform(self.X_test)
                    self.scored, self.X_train = to_fit, X
        self._fits = JointFits(to_fit, X, y, params)
        self._share = (time.perf_counter() - start) / len(numbers)

    @property
    def goes_on(self) -> bool:
        """Whether there are epochs to come."""
        return self._fits.goes_on

    def run(self, limit: float) -> Iterator[tuple[int, dict[str, Any]]]:
        """Fit and score, as `Fold.run` does."""
        for fits in self._fits.run(limit):
            while fits:
                fit = fits.pop(0)
                yield self.numbers[fit.index], self._result(fit)

    def drop(self, candidates: Collection[int]) -> None:
        """Run no further epoch of some candidates, as `Fold.drop` does."""
        self._fits.drop([index for index, n in enumerate(self.numbers) if n in candidates])

    def _result(self, fit: JointFit) -> dict[str, Any]:
        seconds = self._share + fit.seconds
        number, fold = self.numbers[fit.index], self.fold
        if fit.error is not None:
            return fold.failed(number, fit.error, seconds)
        if not fit.goes_on:
            fold.tasks[number].end_fit()
        evaluation = fold.evaluation
        # The pipeline, or its last step alone where rows are transformed already.
        estimator = scored = self.scored[fit.index]
        if not fit.goes_on:
            # Forgotten as soon as it is scored: a fold may have thousands of candidates.
            self.scored[fit.index] = None
        start = time.perf_counter()
        if evaluation.to_score is not None:
            scored = evaluation.to_score(estimator)
        result = {
            "fit_error": None,
            "fit_time": seconds,
            "test_scores": evaluation.score(
                scored, self.X_test, fold.test[1], fold.test_params
            ),
            "score_time": time.perf_counter() - start,
            "note": None if evaluation.note is None else evaluation.note(estimator),
        }
        if evaluation.return_train_score:
            result["train_scores"] = evaluation.score(
                scored, self.X_train, fold.train[1], fold.train_params
            )
        if not fit.goes_on:
            fold.tasks[number].end()
        return result


def _groups(estimator: Any, candidates: Mapping[int, dict[str, Any]]) -> list[list[int]]:
    """Numbers of candidates whose parameters are the same but for those of the last step."""
    if not isinstance(estimator, Pipeline):
        return [list(candidates)]
    of_last = f"{estimator.steps[-1][0]}__"
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, parameters in candidates.items():
        others = tuple(
            # 1 and 1.0 may mean a number of rows and a share of them.
            (name, type(value), value if isinstance(value, (str, Real)) else id(value))
            for name, value in sorted(parameters.items())
            if not name.startswith(of_last)
        )
        groups.setdefault(others, []).append(number)
    return list(groups.values())


def _split_by_step(
    fit_params: Mapping[str, Any], last: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters named ``step__name``: those of the last step, by name, and the others."""
    start = f"{last}__"
    of_last = {k.removeprefix(start): v for k, v in fit_params.items() if k.startswith(start)}
    return of_last, {k: v for k, v in fit_params.items() if not k.startswith(start)}


def _only_asks_for_predictions(scorer: Any) -> bool:
    """Whether a scorer is scikit-learn's own, which asks a pipeline for predictions alone.

    It scores the last step on transformed rows as it would score the pipeline on the others.
    """
    if isinstance(scorer, _MultimetricScorer):
        return all(_only_asks_for_predictions(each) for each in scorer._scorers.values())
    if get_config()["enable_metadata_routing"]:
        return False  # through a pipeline, weights take another way
    return isinstance(scorer, (_BaseScorer, _PassthroughScorer))
