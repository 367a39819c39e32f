"""All candidates of a search on all folds, divided among processes.

This module must not know how a fold trains its candidates, nor how they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sksoftmax.model_selection.folds import Fold
from sksoftmax.model_selection.sharing import may_have_paths
from sksoftmax.training.callbacks import Subtask


def run_in_processes(
    folds: Sequence[Callable[..., Fold]],
    estimator: Any,
    candidates: Mapping[int, dict[str, Any]],
    tasks: Sequence[Sequence[Subtask]],
    *,
    n_jobs: int | None,
    pre_dispatch: int | str,
) -> list[dict[int, dict[str, Any]]]:
    """Fit and score candidates on folds, each fold in one process or in parts in several.

    Parameters
    ----------
    folds : sequence of callables
        Given an estimator, candidates and their tasks, each returns its Fold.
    estimator : estimator
        What parameters are set on.
    candidates : mapping of int to dict
        Parameters, by the candidate's number.
    tasks : sequence of sequences of Subtask
        What callbacks are told of, by the candidate's number and the fold.
    n_jobs, pre_dispatch
        Those of the search.

    Returns
    -------
    list of dicts
        For each fold the result of each candidate, by its number.
    """
    numbers = list(candidates)
    n_processes = effective_n_jobs(n_jobs)
    # With several processes, enough parts of folds to keep them all at work. A path of
    # penalties stays in one piece, lest its results depend on their number.
    divides = n_processes > 1 and not may_have_paths(estimator, candidates.values())
    n_parts = min(len(numbers), -(-2 * n_processes // len(folds))) if divides else 1
    jobs = [(i, numbers[part::n_parts]) for i in range(len(folds)) for part in range(n_parts)]
    done = Parallel(n_jobs=n_jobs, pre_dispatch=pre_dispatch)(
        delayed(_results)(
            folds[i],
            clone(estimator),
            {number: candidates[number] for number in part},
            {number: tasks[number][i] for number in part},
        )
        for i, part in jobs
    )
    of_fold: list[dict[int, dict[str, Any]]] = [{} for _ in folds]
    for (i, _), results in zip(jobs, done, strict=True):
        of_fold[i].update(results)
    return of_fold


def _results(fold: Callable[..., Fold], *arguments: Any) -> dict[int, dict[str, Any]]:
    """The results of some candidates on one fold, in the process that is called."""
    return dict(fold(*arguments).run())
