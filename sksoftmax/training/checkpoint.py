"""What training must remember between epochs, calls and pickles, and how it is stored.

A checkpoint is stored as plain dicts of arrays and numbers, so that skops, which asks which
classes to trust, need trust the estimator alone. This module must not know how an epoch is run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from sksoftmax.backend.moments import Moments
from sksoftmax.backend.state import State
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
            }
        )


def _plain(value: Any) -> Any:
    """A dataclass as nested dicts; anything else as it is."""
    if not is_dataclass(value):
        return value
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
