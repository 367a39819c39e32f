"""Which trainer takes the lazy steps of a problem, where any can.

This module must not know how any of them trains.
"""

from __future__ import annotations

from sksoftmax.backend.problem import Problem
from sksoftmax.backend.sparse.base import LazyTrainer, penalty_groups
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.momentum import LinearTrainer, ShrinkingTrainer
from sksoftmax.data.rows import is_csr

MOST_GROUPS = 256
"""Most distinct penalties, in the coordinates of the step, for which tables are made."""


def lazy_trainer(problem: Problem) -> type[LazyTrainer] | None:
    """Return the trainer whose steps cost the stored elements of a problem's rows.

    Parameters
    ----------
    problem : Problem
        What is to be trained.

    Returns
    -------
    subclass of LazyTrainer, or None
        None where updates have to be dense: for dense X, several models, Adam, Nesterov's
        momentum, an absolute penalty with momentum or with "distance-over-gradients", or very
        many distinct penalties.
    """
    is_one = problem.n_models == 1 and not problem.rule.nesterov
    if not (is_csr(problem.X) and is_one) or len(penalty_groups(problem)[1]) > MOST_GROUPS:
        return None
    if problem.rule.finds_steps:
        return None if problem.l1.any() or not problem.average else DistanceTrainer
    if problem.rule.name != "sgd":
        return None
    if not problem.l1.any():
        return LinearTrainer
    return None if problem.rule.momentum.any() else ShrinkingTrainer
