"""What noise adds to the loss that an epoch measures, by the norms that automatic steps keep.

It takes no pass over the rows. This module must not know what the loss is compared with.
"""

from __future__ import annotations

import math

from sksoftmax.backend.problem import State
from sksoftmax.backend.rule import Rule


class StepNoise:
    r"""What batches miss of their own steps, since each is measured before its own.

    The guide's mathematics derives that noise raises the mean loss of n batches by about

    .. math::

        \frac{1 - \beta}{2 n} \sum_t \eta_t |g_t|^2 \approx \frac{1 - \beta}{n} \Delta \sqrt{v}

    at steps :math:`\eta_t = r^2 / \sqrt v`, and certainly by half of that.

    Parameters
    ----------
    rule : Rule
        Its `nearness` is beta. Rules that do not find their own steps keep no norms.
    state : State
        Before the first of the epochs.
    """

    def __init__(self, rule: Rule, state: State):
        self._certain = (1 - rule.nearness) / 2 if rule.finds_steps else 0.0
        self._n_steps, self._root = _steps_and_root(state)

    @property
    def is_none(self) -> bool:
        """Whether there is none to know of: full batches, and steps of a given size."""
        return self._certain == 0

    def rise(self, state: State, factor: float) -> float:
        """Return by how much noise has certainly raised the loss since the state before.

        Parameters
        ----------
        state : State
            After an epoch.
        factor : float
            What the schedule has multiplied the steps by.

        Returns
        -------
        float
            At least 0, in the unit of the loss.
        """
        n_steps, root = self._n_steps, self._root
        self._n_steps, self._root = _steps_and_root(state)
        return self._certain * factor * (self._root - root) / max(1, self._n_steps - n_steps)


def _steps_and_root(state: State) -> tuple[int, float]:
    """The steps so far, and the root of the weighted sum of the gradients' squared norms."""
    squares = float(state.norms["squares"][0]) if state.norms else 0.0
    return state.n_steps, math.sqrt(squares)
