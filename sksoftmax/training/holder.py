"""Who holds a model while it is trained: a trainer, a stack of several models, or nobody else.

This module must not know how any of them trains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import State


class Holder(Protocol):
    """What can be asked for a model: a backend's ``Trainer`` is one."""

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
