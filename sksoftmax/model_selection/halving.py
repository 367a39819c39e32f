"""Successive halving: at each rung, the worse half of the candidates is dropped on all folds.

This module must not know how a fold trains its candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.model_selection.folds import Fold


def run_by_halves(
    folds: Sequence[Fold], candidates: Sequence[int], first: int, refit: Any
) -> tuple[list[dict[int, dict[str, Any]]], list[int]]:
    """Fit and score candidates, and drop the worse half of those left at each rung.

    Parameters
    ----------
    folds : sequence of Fold
        Each with all candidates.
    candidates : sequence of int
        Their numbers.
    first : int
        Epochs before the first rung; each further one is at twice as many.
    refit : bool, str or callable
        That of the search: a name says which of several scores to rank by.

    Returns
    -------
    results : list of dicts
        For each fold the result of each candidate, as it was when it was dropped.
    rungs : list of int
        How many rungs each candidate has passed.
    """
    results: list[dict[int, dict[str, Any]]] = [{} for _ in folds]
    rungs = np.zeros(len(candidates), np.int64)
    left = np.arange(len(candidates))
    limit: float = first
    while True:
        for fold, found in zip(folds, results, strict=True):
            found.update(fold.run(limit))
        if not any(fold.goes_on for fold in folds):
            return results, rungs.tolist()
        scores = [
            [_score_to_rank_by(found[number], refit) for found in results]
            for number in left.tolist()
        ]
        means = mean_of_scored_folds(np.array(scores, np.float64))
        order = np.argsort(np.where(np.isfinite(means), -means, np.inf), kind="stable")
        # Of an odd number, the larger part goes on.
        left, dropped = np.split(left[order], [-(-len(left) // 2)])
        for fold in folds:
            fold.drop(dropped.tolist())
        rungs[left] += 1
        limit = math.inf if len(left) == 1 else 2 * limit


def mean_of_scored_folds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each candidate's mean score over the folds on which any candidate has one.

    A fold on which all have failed says nothing of which is the best.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        NaN where there is none.

    Returns
    -------
    ndarray of shape (n_candidates,)
        NaN for a candidate that lacks a score which others have, and for all where no fold has
        any.
    """
    scored = ~np.isnan(scores).all(axis=0)
    return scores[:, scored].mean(axis=1) if scored.any() else scores[:, 0]


def _score_to_rank_by(result: Mapping[str, Any], refit: Any) -> float:
    """The one score, of perhaps several, by which a candidate is dropped or kept."""
    scores = result["test_scores"]
    if not isinstance(scores, dict):
        return float(scores)
    if not isinstance(refit, str) or refit not in scores:
        raise ValueError(
            "halving needs one score to rank by: set refit to the name of one of"
            f" {sorted(scores)}."
        )
    return float(scores[refit])


def rank_survivors_first(results: dict[str, Any]) -> None:
    """Rank by rungs before scores: those of a dropped candidate are of fewer epochs.

    Parameters
    ----------
    results : dict of ndarrays
        ``cv_results_``, whose ranks are changed.
    """
    rungs = results["rung"]
    for name in [name for name in results if name.startswith("rank_test_")]:
        behind = (rungs[:, None] < rungs) | (
            (rungs[:, None] == rungs) & (results[name][:, None] > results[name])
        )
        results[name] = (1 + behind.sum(axis=1)).astype(np.int32)
