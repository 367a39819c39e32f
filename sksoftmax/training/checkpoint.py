"""What training must remember between epochs, calls and pickles, and how it is stored.

A checkpoint is stored as plain dicts of arrays and numbers, so that skops, which asks which
classes to trust, need trust the estimator alone. This module must not know how an epoch is run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.moments import Moments
from sksoftmax.backend.state import State
from sksoftmax.data.occurring import OccurringFeatures
from sksoftmax.training.deviations import Deviations

SAME_MOMENTS = 1e-5
"""Share of a deviation by which backends' moments of the same rows may differ."""


@dataclass(frozen=True)
class Checkpoint:
    """What must be remembered to train on as if there had been no pause.

    Parameters
    ----------
    seed : int
        The one random number of a fit, from which every order follows.
    n_epochs : int
        Epochs so far.
    n_samples_seen : int
        Rows of positive weight in the statistics.
    moments : Moments or None
        Of the features; None without standardising.
    deviations : Deviations or None
        Of the features; None where no scale of the step follows from them.
    penalty : pair of float
        The squared and the absolute penalty on each class's weights.
    total_weight : float
        Sum of the weights, in the caller's unit, of the rows in the statistics.
    reduction : float
        What the "adaptive" schedule has come to multiply the step size by.
    state : State
        The optimiser's.
    occurring : OccurringFeatures or None, default=None
        The features that moments, deviations and state are of; None for all.
    """

    seed: int
    n_epochs: int
    n_samples_seen: int
    moments: Moments | None
    deviations: Deviations | None
    penalty: tuple[float, float]
    total_weight: float
    reduction: float
    state: State
    occurring: OccurringFeatures | None = None

    def of_features(self, occurring: OccurringFeatures | None) -> Checkpoint:
        """Return what is remembered of some features.

        Parameters
        ----------
        occurring : OccurringFeatures or None
            Which features, with all of `features_with_weights` among them; None for all.

        Returns
        -------
        Checkpoint
            Of others than it knows, that they have been zero in all rows so far.
        """
        mine = self.occurring
        if occurring is mine:
            return self
        if mine and occurring and np.array_equal(mine.numbers, occurring.numbers):
            return self
        whole = self if mine is None else self._with_arrays(mine.widened, None)
        if occurring is None:
            return whole
        return whole._with_arrays(lambda array, _: occurring.narrowed(array), occurring)

    @property
    def features_with_weights(self) -> NDArray[np.int64]:
        """Numbers of the features of which the state is more than zeros."""
        state = self.state
        arrays = state.parameters, state.average, *state.memory.values()
        numbers = np.flatnonzero(sum(array[..., :-1].any(axis=(0, 1)) for array in arrays))
        return numbers if self.occurring is None else self.occurring.numbers[numbers]

    def _with_arrays(
        self,
        changed: Callable[[NDArray[Any], float], NDArray[Any]],
        occurring: OccurringFeatures | None,
    ) -> Checkpoint:
        """The same with each array changed; beside it, what it has for a feature of zeros."""
        state, moments, deviations = self.state, self.moments, self.deviations
        parameters = average = changed(state.parameters, 0.0)
        if state.average is not state.parameters:
            average = changed(state.average, 0.0)
        means = changed(state.means, 0.0)
        if moments is not None:
            moments = replace(
                moments,
                mean=means if state.means is moments.mean else changed(moments.mean, 0.0),
                squares=changed(moments.squares, 0.0),
                minimum=changed(moments.minimum, 0.0),
                maximum=changed(moments.maximum, 0.0),
                unit=changed(np.broadcast_to(moments.unit, moments.mean.shape), 1.0),
            )
        if deviations is not None:
            deviations = replace(
                deviations,
                above=changed(deviations.above, 0.0),
                below=changed(deviations.below, 0.0),
                agreement=changed(deviations.agreement, 1.0),
            )
        state = replace(
            state,
            parameters=parameters,
            average=average,
            memory={name: changed(array, 0.0) for name, array in state.memory.items()},
            means=means,
        )
        return replace(
            self, moments=moments, deviations=deviations, state=state, occurring=occurring
        )

    def is_of(self, penalty: tuple[float, float], moments: Moments | None) -> bool:
        """Say whether the steps so far belong to an objective.

        Parameters
        ----------
        penalty : pair of float
            Its squared and absolute penalty.
        moments : Moments or None
            Of the features of its rows; None without standardising, where rows are taken to
            be the same.

        Returns
        -------
        bool
            Whether the penalty is that of this checkpoint, and the moments are its own but
            for what backends round.
        """
        mine = self.moments
        if penalty != self.penalty or moments is None or mine is None:
            return penalty == self.penalty and moments is mine
        is_near = np.abs(moments.mean - mine.mean) <= SAME_MOMENTS * mine.scale
        # In one unit, since either may have divided before squaring.
        squares = moments.squares_in(mine.unit)
        is_as_wide = np.isclose(squares, mine.squares, rtol=SAME_MOMENTS, atol=0)
        return bool((is_near & is_as_wide).all())

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts of arrays and numbers, which any format can store.

        Returns
        -------
        dict
            Values by field name; no array is copied. An array that stands for two is there
            once, and None in the other's place: joblib would store it twice.
        """
        plain: dict[str, Any] = _plain(self)
        state, moments = self.state, self.moments
        if state.average is state.parameters:
            plain["state"]["average"] = None
        if moments is not None and state.means is moments.mean:
            plain["state"]["means"] = None
        return plain

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Checkpoint:
        """Return the checkpoint that `to_dict` turned into these dicts.

        Parameters
        ----------
        stored : dict
            What `to_dict` returned.

        Returns
        -------
        Checkpoint
            No array is copied.
        """
        moments, deviations = stored["moments"], stored["deviations"]
        occurring = stored.get("occurring")
        state = dict(stored["state"])
        if state["average"] is None:
            state["average"] = state["parameters"]
        if state["means"] is None:
            state["means"] = moments["mean"]
        return cls(
            **{
                **stored,
                "moments": None if moments is None else Moments(**moments),
                "deviations": None if deviations is None else Deviations(**deviations),
                "penalty": tuple(stored["penalty"]),
                "state": State(**state),
                "occurring": None if occurring is None else OccurringFeatures(**occurring),
            }
        )


def _plain(value: Any) -> Any:
    """A dataclass as nested dicts; anything else as it is."""
    if not is_dataclass(value):
        return value
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
