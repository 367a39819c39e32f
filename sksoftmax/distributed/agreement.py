"""How the values of all ranks are merged: labels, statistics, and whether callbacks stop a fit.

This module must not know how an epoch is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelEncoder

from sksoftmax.distributed.ranks import Ranks
from sksoftmax.training.callbacks import FitTasks


def union_of_labels(found: list[NDArray[Any] | None]) -> NDArray[Any]:
    """Return the labels that occur on any rank.

    Parameters
    ----------
    found : list of ndarray or None
        The distinct labels of each rank; None for one without rows.

    Returns
    -------
    ndarray of shape (n_classes,)
        Distinct labels, sorted.

    Raises
    ------
    ValueError
        If no rank has rows, or the ranks' labels are of different kinds.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.distributed.agreement import union_of_labels
    >>> union_of_labels([np.array(["b", "c"]), None, np.array(["a"])]).tolist()
    ['a', 'b', 'c']
    """
    of_rank = {rank: labels for rank, labels in enumerate(found) if labels is not None}
    if not of_rank:
        raise no_rows(len(found))
    first, *others = of_rank
    for rank in others:
        if of_rank[rank].dtype.kind != of_rank[first].dtype.kind:
            raise ValueError(
                f"Unknown label type: y is of dtype {of_rank[first].dtype} on rank {first}, and"
                f" of {of_rank[rank].dtype} on rank {rank}. Labels must be of one kind."
            )
    union: NDArray[Any] = LabelEncoder().fit(np.concatenate(list(of_rank.values()))).classes_
    return union


def merged(summary: Any, other: Any) -> Any:
    """Return what two ranks' rows are like together; None stands for a rank without any."""
    if summary is None or other is None:
        return other if summary is None else summary
    return summary.merge(other)


def no_rows(n_ranks: int) -> ValueError:
    """Return the error for all ranks to raise where none has anything to train on."""
    return ValueError(
        f"Found 0 sample(s) of non-zero weight on {n_ranks} rank(s) together, while a minimum"
        " of 1 is required."
    )


class SharedTasks(FitTasks):
    """The tasks of a fit that a callback ends on all ranks when it ends it on one.

    Parameters
    ----------
    tasks : FitTasks
        Those of this rank, begun.
    ranks : Ranks
        Who takes part.
    """

    def __init__(self, tasks: FitTasks, ranks: Ranks):
        vars(self).update(vars(tasks))
        self._ranks = ranks

    def end_epoch(self) -> bool:
        """Tell this rank's callbacks that the epoch is over, and ask all whether to stop.

        Returns
        -------
        bool
            Whether a callback of any rank wants the fit to stop.
        """
        return self._ranks.any(super().end_epoch())
