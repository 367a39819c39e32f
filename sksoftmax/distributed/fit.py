"""The steps of a fit in which ranks must agree: classes, weights, held-out rows, the seed.

What has to be decided once is decided for all ranks. This module must not know MPI, nor how an
epoch is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksoftmax.data.holdout import HeldOut
from sksoftmax.data.occurring import OccurringFeatures
from sksoftmax.data.rows import is_csr
from sksoftmax.data.targets import Targets, class_weights, distinct_labels, encode_targets
from sksoftmax.distributed.agreement import SharedTasks, union_of_labels
from sksoftmax.distributed.optimum import SharedDescent
from sksoftmax.distributed.ranks import Ranks
from sksoftmax.distributed.training import ShardRows, ShardTraining
from sksoftmax.estimators.fit import Fit
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.optimum import Descent
from sksoftmax.training.training import Training


class ShardFit(Fit):
    """One fit of several ranks, each to its own rows.

    Parameters
    ----------
    *arguments, **named
        As in Fit.
    ranks : Ranks
        Who takes part.
    """

    least_rows = 0  # what all ranks have together is counted in training

    def __init__(self, *arguments: Any, ranks: Ranks, **named: Any):
        super().__init__(*arguments, **named)
        self.ranks = ranks

    def begin(self, context: Any) -> None:
        """Tell this rank's callbacks that the fit begins; one of them may stop all ranks."""
        self.tasks = SharedTasks(self._tasks(context), self.ranks)

    def start(self, rows: MeasuredRows | None = None) -> None:
        """Make the rows of all ranks ready to train on, if they are of one form."""
        names = getattr(self.estimator, "feature_names_in_", None)
        self.ranks.require_same(
            {
                "The number of features of X": self.X.shape[1],
                "The dtype of X": str(self.X.dtype),
                "Whether X is sparse": is_csr(self.X),
                "The list of feature names of X": None if names is None else names.tolist(),
            },
            "Bring the rows of all ranks into one form.",
        )
        super().start(rows)
        if self.ranks.rank > 0:
            self.run.verbose = 0

    def _occurring_features(self) -> OccurringFeatures | None:
        return None  # those of other ranks' rows are others

    def draw_seed(self) -> int:
        """Return the random number that rank 0 draws."""
        return self.ranks.from_first(super().draw_seed())

    def _encoded(
        self, y: Any, sample_weight: Any, X: Any, classes: NDArray[Any] | None = None
    ) -> Targets:
        if classes is None:
            found = self.ranks.gather(distinct_labels(y, sample_weight, X))
            classes = union_of_labels(found)
        y = y if X.shape[0] > 0 else classes[:0]
        return encode_targets(y, sample_weight, X, classes, none_may_count=True)

    def _known_classes(self, classes: ArrayLike | None) -> NDArray[Any]:
        known = super()._known_classes(classes)
        self.ranks.require_same(
            {"classes": known.tolist()}, "Pass all ranks all classes, of all ranks' rows."
        )
        return known

    def _given_held_out(self, X_val: Any, y_val: Any, sample_weight_val: Any) -> HeldOut | None:
        given = super()._given_held_out(X_val, y_val, sample_weight_val)
        if not self.ranks.any(given is not None):
            return None
        if self.ranks.total(0 if given is None else given.targets.n_rows) == 0:
            raise ValueError("X_val has no row of positive weight on any rank.")
        if given is None:
            nothing = Targets(self.targets.classes, np.empty(0, np.int32), None, None)
            return HeldOut(np.empty((0, self.X.shape[1])), nothing)
        return given

    def _split(self) -> tuple[Targets, Targets | None]:
        training, held_out = super()._split()
        if self.ranks.any(held_out is not None) and held_out is None:
            held_out = self.targets.restricted_to(np.empty(0, np.int64))
        return training, held_out

    def _weight_of_each_class(self) -> NDArray[np.float64] | None:
        counts = self.ranks.total(self.targets.counts)
        return class_weights(self.estimator.class_weight, self.targets.classes, counts)

    def _n_that_count(self, targets: Targets) -> int:
        return int(self.ranks.total(targets.n_rows))

    def _rows(self, *arguments: Any, **named: Any) -> MeasuredRows:
        if self.ranks.size == 1:
            return super()._rows(*arguments, **named)
        return ShardRows(*arguments, ranks=self.ranks, **named)

    def _training(self, *arguments: Any, **named: Any) -> Training:
        alone = self.ranks.size == 1
        return (Training if alone else ShardTraining)(*arguments, **named)

    def _new_descent(self, *arguments: Any, **named: Any) -> Descent:
        if self.ranks.size == 1:
            return super()._new_descent(*arguments, **named)
        return SharedDescent(self.run, *arguments, ranks=self.ranks, **named)
