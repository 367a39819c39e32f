"""One fold of a search: its candidates fitted together, and each scored as it is finished.

The steps of pipelines before the classifier are fitted once for all candidates that leave
their parameters alone. This module must not know how candidates are chosen, nor which is best.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.model_selection._validation import _score
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.model_selection.joint_fit import Fit, FitsTogether


@dataclass(frozen=True)
class Evaluation:
    """What a search does with every candidate.

    Parameters
    ----------
    scorer : callable
        One of scikit-learn's, or the caller's.
    fit_params, score_params : mapping of str to object
        What ``fit`` and the scorer are given besides rows and labels; whatever is as long as
        the rows is split with them.
    return_train_score : bool
        Whether to score on the training rows too.
    error_score : "raise" or number
        The score of a fit that fails.
    verbose : int
        Above 1, a line is printed for each fit.
    note : callable or None
        Given each fitted estimator, returns what else its result shall hold.
    """

    scorer: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    return_train_score: bool
    error_score: Any
    verbose: int
    note: Callable[[Any], Any] | None = None

    def score(self, estimator: Any, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Return the score of a fitted estimator, or its scores by name.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X, y : array-likes
            Rows and labels.
        params : dict
            What else the scorer is given.

        Returns
        -------
        float or dict of float
            `error_score` in place of what cannot be computed.
        """
        is_plain = np.ndim(y) == 1 and params.keys() <= {"sample_weight"}
        if is_plain and _is_accuracy(self.scorer, estimator):
            # accuracy_score would spend ten times as long on what kind of labels these are.
            right = estimator.predict(X) == np.asarray(y)
            return float(np.average(right, weights=params.get("sample_weight")))
        return _score(estimator, X, y, self.scorer, params, self.error_score)


class Fold:
    """The candidates of a search on one split of the rows.

    Parameters
    ----------
    estimator : estimator
        A `SoftmaxClassifier`, a `Pipeline` that ends in one, or any other.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        All rows.
    y : array-like of shape (n_samples,)
        All labels.
    split : tuple of two ndarrays
        Which rows to train on, and which to score on.
    candidates : mapping of int to dict
        Parameters to set, by the candidate's number.
    evaluation : Evaluation
        What is done with each.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        split: tuple[NDArray[Any], NDArray[Any]],
        candidates: Mapping[int, dict[str, Any]],
        evaluation: Evaluation,
    ):
        train, test = split
        self.estimator = estimator
        self.candidates = candidates
        self.evaluation = evaluation
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
        self._new = _branches(estimator, candidates)
        self._paused: list[Branch] = []

    @property
    def goes_on(self) -> bool:
        """Whether any candidate has epochs to come."""
        return any(branch.goes_on for branch in self._paused)

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
        for branch in paused:
            yield from self._run(branch, limit)
        while self._new:
            numbers = self._new.pop(0)
            estimators = [self._with_parameters(number) for number in numbers]
            try:
                branch = Branch(self, numbers, estimators)
            except Exception as error:
                for number in numbers:
                    yield number, self.failed(error, 0.0)
            else:
                del estimators  # the branch forgets each as soon as it is scored
                yield from self._run(branch, limit)

    def drop(self, candidates: Collection[int]) -> None:
        """Run no further epoch of some candidates that a limit has paused.

        Parameters
        ----------
        candidates : collection of int
            Their numbers.
        """
        for branch in self._paused:
            branch.drop(candidates)

    def failed(self, error: Exception, seconds: float) -> dict[str, Any]:
        """Return the result of a fit that failed, or raise as `error_score` says.

        Parameters
        ----------
        error : Exception
            What ended it.
        seconds : float
            The time until then.

        Returns
        -------
        dict
            Its scores, times and the error.
        """
        evaluation = self.evaluation
        if evaluation.error_score == "raise":
            raise error
        scores: Any = evaluation.error_score
        if isinstance(evaluation.scorer, _MultimetricScorer):
            scores = dict.fromkeys(evaluation.scorer._scorers, scores)
        return {
            "fit_error": "".join(traceback.format_exception(error)),
            "fit_time": seconds,
            "score_time": 0.0,
            "test_scores": scores,
            "train_scores": scores,
            "note": None,
        }

    def _with_parameters(self, number: int) -> Any:
        """An unfitted estimator for a candidate; parameters may be estimators themselves."""
        parameters = clone(self.candidates[number], safe=False)
        return clone(self.estimator).set_params(**parameters)

    def _run(self, branch: Branch, limit: float) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, result in branch.run(limit):
            if self.evaluation.verbose > 1:
                print(_line(self.candidates[number], result))
            yield number, result
        if branch.goes_on:
            self._paused.append(branch)


class Branch:
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
        if _can_share_steps(estimators, params):
            before, last = estimators[0][:-1], estimators[0].steps[-1][0]
            params, of_others = _split_by_step(params, last)
            X = before.fit_transform(X, y, **of_others)
            for pipeline in estimators:
                pipeline.steps[:-1] = before.steps
            to_fit = [pipeline.steps[-1][1] for pipeline in estimators]
            if _only_asks_for_predictions(fold.evaluation.scorer):
                self.scored, self.X_train = to_fit, X
                self.X_test = before.transform(self.X_test)
        self._fits = FitsTogether(to_fit, X, y, params)
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
                yield self.numbers[fit.place], self._result(fit)

    def drop(self, candidates: Collection[int]) -> None:
        """Run no further epoch of some candidates, as `Fold.drop` does."""
        self._fits.drop([place for place, i in enumerate(self.numbers) if i in candidates])

    def _result(self, fit: Fit) -> dict[str, Any]:
        seconds = self._share + fit.seconds
        if fit.error is not None:
            return self.fold.failed(fit.error, seconds)
        evaluation = self.fold.evaluation
        score = evaluation.score
        estimator = self.scored[fit.place]
        if not fit.goes_on:
            self.scored[fit.place] = None
        start = time.perf_counter()
        result = {
            "fit_error": None,
            "fit_time": seconds,
            "test_scores": score(
                estimator, self.X_test, self.fold.test[1], self.fold.test_params
            ),
            "score_time": time.perf_counter() - start,
            "note": None,
        }
        if evaluation.note is not None:
            result["note"] = evaluation.note(estimator)
        if evaluation.return_train_score:
            result["train_scores"] = score(
                estimator, self.X_train, self.fold.train[1], self.fold.train_params
            )
        return result


def _branches(estimator: Any, candidates: Mapping[int, dict[str, Any]]) -> list[list[int]]:
    """Numbers of candidates whose parameters are the same but for those of the last step."""
    if not isinstance(estimator, Pipeline):
        return [list(candidates)]
    of_last = f"{estimator.steps[-1][0]}__"
    branches: dict[tuple[Any, ...], list[int]] = {}
    for number, parameters in candidates.items():
        others = tuple(
            (name, value if isinstance(value, (str, Real)) else id(value))
            for name, value in sorted(parameters.items())
            if not name.startswith(of_last)
        )
        branches.setdefault(others, []).append(number)
    return list(branches.values())


def _can_share_steps(estimators: Sequence[Any], fit_params: Mapping[str, Any]) -> bool:
    """Whether these pipelines end in our classifier, and nothing is routed through them."""
    first = estimators[0]
    return (
        isinstance(first, Pipeline)
        and len(first.steps) > 1
        and isinstance(first.steps[-1][1], SoftmaxClassifier)
        and first.transform_input is None
        and not (get_config()["enable_metadata_routing"] and fit_params)
    )


def _split_by_step(
    fit_params: Mapping[str, Any], last: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters named ``step__name``: those of the last step, by name, and the others."""
    start = f"{last}__"
    of_last = {k.removeprefix(start): v for k, v in fit_params.items() if k.startswith(start)}
    return of_last, {k: v for k, v in fit_params.items() if not k.startswith(start)}


def _only_asks_for_predictions(scorer: Any) -> bool:
    """Whether a scorer is scikit-learn's own, to whom a pipeline's last step says as much."""
    if isinstance(scorer, _MultimetricScorer):
        return all(_only_asks_for_predictions(each) for each in scorer._scorers.values())
    if get_config()["enable_metadata_routing"]:
        return False  # through a pipeline, weights take another way
    return isinstance(scorer, (_BaseScorer, _PassthroughScorer))


def _is_accuracy(scorer: Any, estimator: Any) -> bool:
    """Whether a scorer is the plain accuracy of one of our classifiers."""
    if not isinstance(estimator, SoftmaxClassifier):
        return False
    if isinstance(scorer, _PassthroughScorer):
        return type(estimator).score is ClassifierMixin.score
    is_accuracy = getattr(scorer, "_score_func", None) is accuracy_score
    return is_accuracy and type(scorer).__module__.startswith("sklearn.") and not scorer._kwargs


def _line(parameters: dict[str, Any], result: dict[str, Any]) -> str:
    """What is printed of a fit."""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    scores = result["test_scores"]
    scores = scores if isinstance(scores, dict) else {"score": scores}
    shown = ", ".join(f"{name}={score:.3f}" for name, score in scores.items())
    seconds = result["fit_time"] + result["score_time"]
    return f"[CV] {settings}; {shown}; total time={seconds:.3f} s"
