"""Who has the state of a model in training, between two looks at it.

It may be the model's own trainer, a stack, an iteration over all rows, or nobody who would
change it. This module must not know how any of them trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.state import State


class Holder(Protocol):
    """What can be asked for a model in training, such as a trainer, or a place in a stack."""

    def state(self) -> State:
        """Return the state after the last step, in arrays of its own."""
        ...

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the norms in that state, at no cost that grows with the model."""
        ...


@dataclass(frozen=True)
class HeldState:
    """A state that no trainer changes.

    Parameters
    ----------
    held : State
        Of one model.
    """

    held: State

    def state(self) -> State:
        """Return the state."""
        return self.held

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the norms in it."""
        return self.held.norms
