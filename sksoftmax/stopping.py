"""When to stop: the rule that looks at losses, and at nothing else."""

from __future__ import annotations

import math

LEAST_STEPS = 200
"""Fewest steps without improvement that can end a fit: epochs of a few steps say little."""


class Plateau:
    """Stop once the loss has not improved by `tol` for several epochs running.

    Parameters
    ----------
    tol : float or None
        Least improvement that counts; None never stops.
    n_iter_no_change : int
        Epochs without one after which to stop.

    Examples
    --------
    >>> from sksoftmax.stopping import Plateau
    >>> plateau = Plateau(tol=0.1, n_iter_no_change=2)
    >>> [plateau.reached(loss) for loss in (1.0, 0.5, 0.45, 0.44)]
    [False, False, False, True]
    """

    def __init__(self, tol: float | None, n_iter_no_change: int):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.best = math.inf
        self.n_without = 0

    def restart(self) -> None:
        """Wait for a plateau anew, below the best loss so far."""
        self.n_without = 0

    def reached(self, loss: float) -> bool:
        """Take in the loss of one more epoch and say whether to stop.

        Parameters
        ----------
        loss : float
            What is to decrease.

        Returns
        -------
        bool
            Whether the plateau has lasted long enough.
        """
        if self.tol is None:
            return False
        self.n_without = 0 if loss < self.best - self.tol else self.n_without + 1
        self.best = min(self.best, loss)
        return self.n_without >= self.n_iter_no_change
