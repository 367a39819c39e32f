"""When to stop: the rule that looks at losses, and what noise adds to those.

``Plateau`` sees one number an epoch. ``StepNoise`` says by how much noise has raised that
number, from the norms that automatic steps keep and without a pass over the rows. This module
must not know what is trained, nor how a loss was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Rule

LEAST_STEPS = 20
"""Fewest steps that are looked at together: epochs of a step or two say little."""

LONG_EPOCHS, LONG_STEPS = 50, 5_000
"""Epochs, at least as many as so many steps take, that need not gain more than the tolerance.
Where more of them are looked at, each has to gain its share of that."""

LITTLE_GAIN = 0.2
"""Share of the baseline below which the gain, and not the baseline, sets the tolerance."""

SHARE_OF_TOLERANCE, SHARE_OF_OBJECTIVE = 0.3, 0.03
"""Shares of the tolerance, and of the objective itself, that a bound on what is left may be.
So near the optimum iterations gain a digit in hardly more time than an early bound takes. And
where a model explains nearly all, class frequencies are no measure of what is left."""

LEAST_GAIN = 0.03
"""Share of the baseline that a gain counts as at least: pure noise has none to measure by."""

LEAST_ROUGH_TOL = 1e-4
"""Tolerance from which few digits do: those of float32, and second derivatives of some rows."""

LARGE_TOL = 5e-3
"""Above it, and so above the default, `tol` asks for few epochs rather than for a good end."""


class Plateau:
    """Stop once the second half of the epochs has not improved on the first.

    While a loss approaches its limit like 1/e with the epochs e, what is still to be gained
    is what the second half of them has gained: the fit goes on for as long as that is worth
    it. What is worth it, `tolerance` says. Where features tell much, it is a share of the loss
    of a model that sees none. Where they tell little, that loss is no measure of what they
    can tell: it is a share of five times what has been gained. And a long second half has to
    gain more, since so many more epochs would be needed for the next.

    Parameters
    ----------
    tol : float or None
        Least improvement that counts, as a share of the baseline; None never stops.
    n_iter_no_change : int
        Epochs that are looked at together where half of the epochs are fewer.
    baseline : float
        The loss of the best model that sees no feature.
    n_batches : int
        Steps of an epoch.
    has_successor : bool, default=False
        Whether a better way down follows unless there is a stop: there is none then where
        nothing has been gained on the baseline, or the last loss is above the best. Steps that
        odd units or a strong penalty keep short, and the noise of a few heavy rows, look like a
        plateau too.

    Examples
    --------
    >>> from sksoftmax.training.stopping import Plateau
    >>> plateau = Plateau(tol=0.1, n_iter_no_change=2, baseline=1.0, n_batches=10)
    >>> [plateau.reached(loss) for loss in (1.0, 0.5, 0.45, 0.44, 0.43, 0.42)]
    [False, False, False, True, True, True]
    """

    def __init__(
        self,
        tol: float | None,
        n_iter_no_change: int,
        *,
        baseline: float,
        n_batches: int,
        has_successor: bool = False,
    ):
        self.tol = tol
        self.baseline = baseline
        self._has_successor = has_successor
        self._least_window = max(n_iter_no_change, -(-LEAST_STEPS // n_batches))
        self._long_window = max(LONG_EPOCHS, -(-LONG_STEPS // n_batches))
        self._best: list[float] = []  # so far, after each epoch
        self._last = math.inf

    @property
    def window(self) -> int:
        """Epochs that are looked at together."""
        return max(self._least_window, len(self._best) // 2)

    @property
    def tolerance(self) -> float:
        """What the epochs that are looked at must gain together, in the unit of the losses."""
        return self.tolerance_at(self._best[-1]) * max(1, self.window / self._long_window)

    def tolerance_at(self, loss: float) -> float:
        """Return what is not worth going on for, by what features are worth at a loss."""
        if self.tol is None:
            return -math.inf
        gain = max(self.baseline - loss, LEAST_GAIN * self.baseline)
        return self.tol * min(self.baseline, gain / LITTLE_GAIN)

    def bound_at(self, objective: float) -> float:
        """Return what may be left to be gained where that is known, and not guessed at."""
        tolerance = SHARE_OF_TOLERANCE * self.tolerance_at(objective)
        return min(tolerance, SHARE_OF_OBJECTIVE * objective)

    @property
    def is_rough(self) -> bool:
        """Whether the tolerance asks for few digits."""
        return self.tol is not None and self.tol >= LEAST_ROUGH_TOL

    @property
    def asks_for_few_epochs(self) -> bool:
        """Whether the tolerance is so large that an early end is what it is for."""
        return self.tol is not None and self.tol > LARGE_TOL

    @property
    def has_gained_little(self) -> bool:
        """Whether features have told little so far, or nothing."""
        return self.baseline - self._best[-1] < LITTLE_GAIN * self.baseline

    @property
    def is_reached(self) -> bool:
        """Whether the last `window` epochs have gained no more than the tolerance."""
        if len(self._best) <= self.window:
            return False
        best = self._best[-1]
        if self._has_successor and (
            best > self.baseline - self.tolerance or self._last > best + self.tolerance
        ):
            return False
        # Best losses, not losses: a swing up and down again is no gain.
        return self._best[-1 - self.window] - best <= self.tolerance

    def restart(self) -> None:
        """Wait for a plateau anew."""
        self._best.clear()

    def forget(self, n_epochs: int) -> None:
        """Compare no later loss with those so far, which were measured in another way.

        Their epochs count all the same: as many more have to come before there is a stop.

        Parameters
        ----------
        n_epochs : int
            As how many they count at least: a way that has just begun gains little at first.
        """
        self._best = [math.inf] * max(n_epochs, len(self._best))

    def reached(self, loss: float) -> bool:
        """Take in the loss of one more epoch, and say whether to stop."""
        self._last = loss
        self._best.append(min([loss, *self._best[-1:]]))
        return self.is_reached


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
            At least 0, in the unit of the loss; 0 for the first epoch of all, whose gradients
            are those of the way down. They would be taken for more noise than there is loss,
            and no later epoch would seem to gain on it.
        """
        before, self._root = self._root, _root(norms)
        if before == 0:
            return 0.0
        return self._certain * factor * (self._root - before) / self._n_batches


def _root(norms: Mapping[str, NDArray[np.float64]]) -> float:
    """The root of the weighted sum of the gradients' squared norms."""
    return math.sqrt(norms["squares"][0]) if norms else 0.0
