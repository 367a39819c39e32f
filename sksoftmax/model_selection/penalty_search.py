"""The search inside SoftmaxClassifierCV: all classes known to every scorer, coefficients noted.

Folds may lack classes, and scores may be missing: candidates are compared fairly in both cases.
This module must not know how candidates are trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from inspect import signature
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sksoftmax._scikit_learn import _MultimetricScorer
from sksoftmax.data.arrays import to_numpy
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.model_selection.halving import mean_of_scored_folds
from sksoftmax.model_selection.search import SoftmaxSearchCV

Note = tuple[NDArray[Any], NDArray[Any]]
"""The classes of a model, and its weights with the intercepts in the last column."""


def _coefficients(estimator: SoftmaxClassifier) -> Note:
    fitted = (estimator.classes_, estimator.coef_, estimator.intercept_)
    classes, *parts = map(to_numpy, fitted)
    return classes, np.column_stack(parts)


class PenaltySearch(SoftmaxSearchCV):
    """A search over the parameters of `SoftmaxClassifier` alone, for rows of known classes."""

    _note = staticmethod(_coefficients)
    _classes: NDArray[Any] | None = None

    def of_classes(self, classes: NDArray[Any]) -> Self:
        """Say which classes all rows together have.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)
            Sorted.

        Returns
        -------
        PenaltySearch
            The search itself.
        """
        self._classes = classes
        self._to_score = partial(_extended, classes)
        return self

    def _get_scorers(self) -> tuple[Any, Any]:
        scorers, metric = super()._get_scorers()
        if self._classes is not None:
            scorers = _told_classes(scorers, self._classes)
        return scorers, metric

    def _format_results(
        self, candidate_params: Any, n_splits: int, out: list[dict[str, Any]], more: Any = None
    ) -> dict[str, Any]:
        self.notes: list[Note | None] = [result["note"] for result in out]
        results: dict[str, Any] = super()._format_results(candidate_params, n_splits, out, more)
        for name in [name for name in results if name.startswith("mean_test_")]:
            _leave_out_unscored_folds(results, name.removeprefix("mean_test_"), n_splits)
        return results

    def _compare(self, *arguments: Any) -> dict[str, Any]:
        attributes = super()._compare(*arguments)
        if np.isnan(attributes.get("best_score_", 0.0)):
            raise ValueError(
                "No candidate can be chosen, since none has a score on each of the folds that"
                " any has one on: all mean scores are NaN. Set scoring to a score that is"
                " defined where a fold lacks a class, or cv to folds that have all classes."
            )
        return attributes


def takes_weights(scorer: Any) -> bool:
    """Say whether a scorer, or each of several, can be given the weights of the rows."""
    if isinstance(scorer, _MultimetricScorer):
        return all(takes_weights(each) for each in scorer._scorers.values())
    return "sample_weight" in signature(getattr(scorer, "_score_func", scorer)).parameters


def scores_by_fold(
    results: Mapping[str, Any], metric: str, n_folds: int
) -> NDArray[np.float64]:
    """Return the scores on the rows held out.

    Parameters
    ----------
    results : mapping of str to ndarray
        ``cv_results_``.
    metric : str
        Name of the score there.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray of shape (n_folds, n_candidates)
        NaN where there is none.
    """
    return np.stack([results[f"split{fold}_test_{metric}"] for fold in range(n_folds)])


def aligned(notes: Sequence[Note | None], classes: NDArray[Any], n_folds: int) -> NDArray[Any]:
    """Return coefficients of all fits, by the classes of all rows.

    Parameters
    ----------
    notes : sequence of Note or None
        Of all folds of the first candidate, then of the second one, and so on; None where a
        fit failed.
    classes : ndarray of shape (n_classes,)
        All classes.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray of shape (n_folds, n_candidates, 1 or n_classes, n_features + 1)
        NaN where a fit failed, and for a class that a fold lacks.
    """
    found = [note[1] for note in notes if note is not None]
    n_rows = 1 if len(classes) == 2 else len(classes)
    paths = np.full((len(notes), n_rows, found[0].shape[1]), np.nan, found[0].dtype)
    for path, note in zip(paths, notes, strict=True):
        if note is not None:
            _fill(path, classes, *note)
    # Fits come candidate by candidate, each on all folds; results are folds first.
    return paths.reshape(-1, n_folds, *paths.shape[1:]).swapaxes(0, 1)


def _fill(
    rows: NDArray[Any], classes: NDArray[Any], of_fold: NDArray[Any], coef: NDArray[Any]
) -> None:
    """Write a model's coefficients to the rows of its classes."""
    if len(of_fold) == 2 < len(classes):
        coef = np.concatenate([-coef / 2, coef / 2])  # as softmax rows
    rows[slice(None) if len(rows) == 1 else np.searchsorted(classes, of_fold)] = coef


def _extended(classes: NDArray[Any], estimator: SoftmaxClassifier) -> SoftmaxClassifier:
    """A copy of a model that also knows classes it has not met, and never predicts them."""
    of_fold, coef = _coefficients(estimator)
    if len(of_fold) == len(classes):
        return estimator
    rows = np.zeros((len(classes), coef.shape[1]), coef.dtype)
    # An intercept of -inf is a probability of 0, and is never the largest score.
    rows[:, -1] = -np.inf
    _fill(rows, classes, of_fold, coef)
    extended = copy(estimator)
    extended.classes_, extended.coef_, extended.intercept_ = classes, rows[:, :-1], rows[:, -1]
    return extended


def _told_classes(scorer: Any, classes: NDArray[Any]) -> Any:
    """A scorer that takes all classes into account, though rows to score may lack some."""
    if isinstance(scorer, _MultimetricScorer):
        told = copy(scorer)
        told._scorers = {
            name: _told_classes(each, classes) for name, each in scorer._scorers.items()
        }
        return told
    function = getattr(scorer, "_score_func", None)
    names = signature(function).parameters if function is not None else {}
    if "labels" not in names:
        return scorer
    arguments = {"labels": classes}
    if len(classes) == 2 and "pos_label" in names:
        arguments["pos_label"] = classes[1]
    told = copy(scorer)
    told._kwargs = {**arguments, **scorer._kwargs}
    return told


def _leave_out_unscored_folds(results: dict[str, Any], metric: str, n_folds: int) -> None:
    """Take means over the folds on which any candidate has a score, and warn of the others."""
    scores = scores_by_fold(results, metric, n_folds).T
    scored = ~np.isnan(scores).all(axis=0)
    if scored.all() or not scored.any():
        return
    means = mean_of_scored_folds(scores)
    results[f"mean_test_{metric}"] = means
    results[f"std_test_{metric}"] = scores[:, scored].std(axis=1)
    # As in scikit-learn: candidates without a score are last.
    ranks = rankdata(np.where(np.isnan(means), np.inf, -means), method="min")
    results[f"rank_test_{metric}"] = ranks.astype(np.int32)
    without = ", ".join(str(fold) for fold in np.flatnonzero(~scored))
    warnings.warn(
        f"No candidate has a score on fold {without}, which is left out of the means by which"
        " candidates are compared.",
        UserWarning,
        stacklevel=2,
    )
