"""What noise adds to the loss that an epoch measures, by the norms that automatic steps keep.

It takes no pass over the rows. This module must not know what the loss is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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
    n_batches : int
        Steps of an epoch.
    norms : mapping of str to ndarray of shape (1,), float64
        Those in the state before the first of the epochs.
    """

    def __init__(self, rule: Rule, n_batches: int, norms: Mapping[str, NDArray[np.float64]]):
        self._certain = (1 - rule.nearness) / 2 if rule.finds_steps else 0.0
        self._n_batches = n_batches
        self._root = _root(norms)

    @property
    def is_none(self) -> bool:
        """Whether there is none to know of: full batches, and steps of a given size."""
        return self._certain == 0

    def rise(self, norms: Mapping[str, NDArray[np.float64]], factor: float) -> float:
        """Return by how much noise has certainly raised the loss of one more epoch.

        Parameters
        ----------
        norms : mapping of str to ndarray of shape (1,), float64
            Those in the state after the epoch.
        factor : float
            What the schedule has multiplied the steps by.

        Returns
        -------
        float
            At least 0, in the unit of the loss.
        """
        before, self._root = self._root, _root(norms)
        return self._certain * factor * (self._root - before) / self._n_batches


def _root(norms: Mapping[str, NDArray[np.float64]]) -> float:
    """The root of the weighted sum of the gradients' squared norms."""
    return math.sqrt(norms["squares"][0]) if norms else 0.0
