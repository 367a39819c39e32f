"""Iterations over the rows of all ranks: rank 0 decides, and the others measure where it says.

Ranks whose arithmetic differs in a last bit can thus neither decide differently, and wait for
each other for ever, nor drift apart. This module must not know MPI, nor how an iteration finds
its way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.distributed.ranks import Ranks
from sksoftmax.training.objective import Objective, Weights
from sksoftmax.training.optimum import Descent, Reached
from sksoftmax.training.passes import threads_of_blas

Tell = Callable[..., None]
"""Takes the name of what all ranks are to do, and with what."""


class SharedObjective(Objective):
    """The objective of all ranks' rows: before each pass, one rank may tell the others of it.

    Attributes
    ----------
    tell : callable or None
        Tells them; None where all ranks come to each pass by themselves.
    """

    tell: Tell | None = None

    def loss_gradient(self, weights: Weights) -> tuple[float, Weights]:
        """Return what ``Objective.loss_gradient`` does."""
        if self.tell is not None:
            self.tell("loss_gradient", weights=weights)
        return super().loss_gradient(weights)

    def hessian(self, weights: Weights, *, only_intercepts: bool) -> NDArray[np.float64]:
        """Return what ``Objective.hessian`` does."""
        if self.tell is not None:
            self.tell("hessian", weights=weights, only_intercepts=only_intercepts)
        return super().hessian(weights, only_intercepts=only_intercepts)


class SharedDescent(Descent):
    """The descent of all ranks, which rank 0 leads.

    Parameters
    ----------
    *arguments, **named
        As in Descent, of this rank.
    ranks : Ranks
        Who takes part.
    """

    _objective: SharedObjective

    def __init__(self, *arguments: Any, ranks: Ranks, **named: Any):
        self._ranks = ranks
        super().__init__(*arguments, **named)  # as on all ranks

    def go(self) -> Reached:
        """Lead the others to the end, or follow; return what ``Descent.go`` does on rank 0."""
        if self._ranks.rank > 0:
            return self._follow()
        self._objective.tell = self._tell
        reached = super().go()
        if self._run.error is not None:  # the others hear of it as they wait
            raise self._run.error
        self._tell("end", reached=reached)
        return reached

    def _tell(self, name: str, **values: Any) -> None:
        """Have the other ranks do something, in `_follow`."""
        self._ranks.from_first((name, values))

    def _follow(self) -> Reached:
        """Do what rank 0 says until it has come to the end."""
        tasks: dict[str, Callable[..., Any]] = {
            "loss_gradient": self._objective.loss_gradient,
            "hessian": self._objective.hessian,
            "begin_iteration": self._begin_iteration,
            "note_iteration": self._note_that_of_first,
        }
        nothing: tuple[str, dict[str, Any]] = "", {}
        with threads_of_blas(self._slice_operations):
            name, values = self._ranks.from_first(nothing)
            while name != "end":
                tasks[name](**values)
                name, values = self._ranks.from_first(nothing)
        training = self._run.training
        training.hold(training.state())
        reached: Reached = values["reached"]
        return reached

    def _new_objective(self) -> SharedObjective:
        is_rough = self._run.rule.is_rough
        return SharedObjective(self._run.training, self._dtype, is_rough=is_rough)

    def _begin_iteration(self) -> None:
        if self._start is None and self._ranks.rank == 0:
            self._tell("begin_iteration")
        super()._begin_iteration()

    def _note_iteration(self, estimate: float) -> None:
        if self._ranks.rank == 0:
            found = {"weights": self._place.weights, "value": self._place.value}
            self._tell("note_iteration", **found, estimate=estimate)
        super()._note_iteration(estimate)

    def _note_that_of_first(self, weights: Weights, value: float, estimate: float) -> None:
        """Note the iteration that rank 0 has come to the end of."""
        self._place = self._place._replace(weights=weights, value=value)
        self._note_iteration(estimate)
        if self._run.error is not None:  # rank 0 hears of it when it asks whether to stop
            raise self._run.error
