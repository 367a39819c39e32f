"""When to stop: the rule that looks at losses, and at nothing else."""

from __future__ import annotations

LEAST_STEPS = 20
"""Fewest steps that are looked at together: epochs of a step or two say little."""


class Plateau:
    """Stop once the second half of the epochs has not improved on the first.

    While a loss approaches its limit like 1/e with the epochs e, what is still to be gained
    is what the second half of them has gained: the fit goes on for as long as that is more
    than `tol`, however slow an epoch's share of it.

    Parameters
    ----------
    tol : float or None
        Least improvement that counts, in the unit of the losses; None never stops.
    n_iter_no_change : int
        Epochs that are looked at together where half of the epochs are fewer.

    Examples
    --------
    >>> from sksoftmax.training.stopping import Plateau
    >>> plateau = Plateau(tol=0.1, n_iter_no_change=2)
    >>> [plateau.reached(loss) for loss in (1.0, 0.5, 0.45, 0.44, 0.43, 0.42)]
    [False, False, False, True, True, True]
    """

    def __init__(self, tol: float | None, n_iter_no_change: int):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self._best: list[float] = []  # so far, after each epoch

    @property
    def window(self) -> int:
        """Epochs that are looked at together."""
        return max(self.n_iter_no_change, len(self._best) // 2)

    @property
    def is_reached(self) -> bool:
        """Whether the last `window` epochs have gained no more than `tol`."""
        if self.tol is None or len(self._best) <= self.window:
            return False
        return self._best[-1 - self.window] - self._best[-1] <= self.tol

    def restart(self) -> None:
        """Wait for a plateau anew."""
        self._best.clear()

    def reached(self, loss: float) -> bool:
        """Take in the loss of one more epoch and say whether to stop.

        Parameters
        ----------
        loss : float
            What is to decrease.

        Returns
        -------
        bool
            What `is_reached` says from then on.
        """
        self._best.append(min([loss, *self._best[-1:]]))
        return self.is_reached
