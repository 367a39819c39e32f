"""How a search scores a fitted candidate, records one that failed, and prints a line for each.

Scores, results and lines are those of `GridSearchCV`. This module must not know how candidates
are fitted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib.logger import short_format_time
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from sksoftmax._scikit_learn import _MultimetricScorer, _PassthroughScorer, _score
from sksoftmax.estimators.classifier import SoftmaxClassifier


@dataclass(frozen=True)
class Evaluation:
    """How each candidate is fitted and scored.

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
    n_folds, n_candidates : int
        How many there are, for these lines.
    note : callable or None
        Given each fitted estimator, returns what else its result shall hold.
    to_score : callable or None
        Given each fitted estimator, returns what is scored in its place.
    """

    scorer: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    return_train_score: bool
    error_score: Any
    verbose: int
    n_folds: int
    n_candidates: int
    note: Callable[[Any], Any] | None = None
    to_score: Callable[[Any], Any] | None = None

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
        scorer, weights = self.scorer, params.get("sample_weight")
        is_plain = np.ndim(y) == 1 and params.keys() <= {"sample_weight"}
        has_weight = weights is None or np.sum(weights) > 0  # else the scorer complains
        if is_plain and has_weight and _is_accuracy(scorer, estimator):
            # accuracy_score would spend ten times as long on what kind of labels these are.
            scorer = _share_predicted
        return _score(estimator, X, y, scorer, params, self.error_score)

    def failure(self, error: Exception, seconds: float) -> dict[str, Any]:
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
        if self.error_score == "raise":
            raise error
        scores: Any = self.error_score
        if isinstance(self.scorer, _MultimetricScorer):
            scores = dict.fromkeys(self.scorer._scorers, scores)
        result = {
            "fit_error": "".join(traceback.format_exception(error)),
            "fit_time": seconds,
            "score_time": 0.0,
            "test_scores": scores,
            "note": None,
        }
        if self.return_train_score:
            result["train_scores"] = copy(scores)
        return result

    def line(
        self, fold: int, candidate: int, parameters: Mapping[str, Any], result: dict[str, Any]
    ) -> str:
        """Return the line that `GridSearchCV` prints for a fit.

        Parameters
        ----------
        fold, candidate : int
            Their numbers.
        parameters : mapping of str to object
            Those of the candidate.
        result : dict
            Its scores and times.

        Returns
        -------
        str
            With numbers and scores where `verbose` asks for them.
        """
        start, named = "[CV", sorted(parameters.items())
        if self.verbose > 2:
            start += f" {fold + 1}/{self.n_folds}"
        if self.verbose > 9:
            start += f"; {candidate + 1}/{self.n_candidates}"
        end = ", ".join(f"{name}={value}" for name, value in named)
        end += ";" if named else ""
        if self.verbose > 2:
            end += _shown(result["test_scores"], result.get("train_scores"))
        seconds = result["fit_time"] + result["score_time"]
        end += f" total time={short_format_time(seconds)}"
        return f"{start}] END {end:.>{80 - len(start) - 6}}"


def _is_accuracy(scorer: Any, estimator: Any) -> bool:
    """Whether a scorer is the plain accuracy of one of our classifiers."""
    if not isinstance(estimator, SoftmaxClassifier):
        return False
    if isinstance(scorer, _PassthroughScorer):
        return type(estimator).score is ClassifierMixin.score
    is_accuracy = getattr(scorer, "_score_func", None) is accuracy_score
    return is_accuracy and type(scorer).__module__.startswith("sklearn.") and not scorer._kwargs


def _shown(test: Any, train: Any) -> str:
    """Scores as they are printed, those on the training rows where there are any."""
    if isinstance(test, dict):
        of_train = dict.fromkeys(test) if train is None else train
        names = sorted(test)
        return "".join(f" {name}: ({_both(of_train[name], test[name])})" for name in names)
    return f", score={test:.3f}" if train is None else f", score=({_both(train, test)})"


def _both(train: float | None, test: float) -> str:
    return f"test={test:.3f}" if train is None else f"train={train:.3f}, test={test:.3f}"


def _share_predicted(
    estimator: Any, X: Any, y: Any, sample_weight: NDArray[Any] | None = None
) -> float:
    """The accuracy, for labels of which nothing needs to be found out."""
    return float(np.average(estimator.predict(X) == np.asarray(y), weights=sample_weight))
