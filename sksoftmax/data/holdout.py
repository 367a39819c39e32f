"""Held-out rows: those that the caller gives, or a stratified share of the training rows.

Epochs are compared by their loss on these rows. This module picks rows; it must not know how
a model is trained, nor what follows from the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sksoftmax.data.arrays import Array
from sksoftmax.data.targets import Targets


@dataclass(frozen=True)
class HeldOut:
    """Rows that are not trained on.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Validated rows: the caller's held-out rows, or the training data itself.
    targets : Targets
        Labels and weights; ``targets.rows`` are the rows that are evaluated.
    """

    X: Array
    targets: Targets


def hold_out(targets: Targets, fraction: float, seed: int) -> tuple[Targets, Targets | None]:
    r"""Split the rows that count, stratified by class.

    ``max(ceil(fraction * n), n_classes)`` of the n rows are held out, in proportion to the
    rows of each class, but at least one and never all of them: a class of one row stays in
    training. Row r, counted from 0 in a random order, of a class of c rows goes in order of
    :math:`(r + 1/2) / c`, Webster's rule of apportionment.

    Parameters
    ----------
    targets : Targets
        Labels and sample weights.
    fraction : float
        Share of the rows to hold out, in (0, 1).
    seed : int
        The same seed splits the same targets in the same way.

    Returns
    -------
    training : Targets
        What is left; `targets` itself where nothing can be held out.
    held_out : Targets or None
        What is held out; None where no class has two rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.targets import encode_targets
    >>> from sksoftmax.data.holdout import hold_out
    >>> targets = encode_targets(["a"] * 6 + ["b"] * 3 + ["c"], None, np.zeros((10, 1)))
    >>> training, held_out = hold_out(targets, 0.3, seed=0)
    >>> np.bincount(targets.codes[training.rows]), np.bincount(targets.codes[held_out.rows])
    (array([4, 2, 1]), array([2, 1]))
    """
    rows = np.arange(len(targets.codes)) if targets.rows is None else targets.rows
    rng = np.random.default_rng([seed, 0, 1])  # [seed, i] draws the sample and the orders
    shuffled = rng.permutation(rows)
    shuffled = shuffled[np.argsort(targets.codes[shuffled], kind="stable")]
    counts = np.bincount(targets.codes[rows], minlength=len(targets.classes))
    count = np.repeat(counts, counts)
    # A class gives up its r-th row when (r + 1/2) / count of all rows are held out, but its
    # first row before any other, and its last one never.
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    turn = (rank + 0.5) / count
    turn[rank == 0] = 0
    turn[rank == count - 1] = np.inf
    wanted = max(math.ceil(fraction * len(rows)), len(counts))
    n_held_out = min(wanted, int(np.isfinite(turn).sum()))
    if n_held_out == 0:
        return targets, None
    by_turn = shuffled[np.argsort(turn, kind="stable")]
    held_out, training = np.sort(by_turn[:n_held_out]), np.sort(by_turn[n_held_out:])
    return targets.restricted_to(training), targets.restricted_to(held_out)
