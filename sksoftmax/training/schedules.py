"""How the step size changes over a fit: factors on the first one, and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PLANNED = ("linear", "cosine")
"""Schedules that fall to zero at the last of a known number of epochs."""

REDUCTION = 5
"""What "adaptive" divides the step by on a plateau, as scikit-learn does."""

LEAST_FACTOR = 1e-3
"""The factor below which "adaptive" divides no further, and the fit stops."""


def step_factors(
    schedule: str, n_batches: int, *, epoch: int, progress: float, share: float
) -> NDArray[np.float64]:
    r"""Return the factor on the step size of each batch of an epoch.

    With e epochs before this one, and p the share of the planned steps already taken,

    ============  =======================
    "constant"    :math:`1`
    "invscaling"  :math:`1 / \sqrt{1 + e}`
    "linear"      :math:`1 - p`
    "cosine"      :math:`(1 + \cos \pi p) / 2`
    ============  =======================

    Parameters
    ----------
    schedule : {"constant", "invscaling", "adaptive", "linear", "cosine"}
        The schedule; for "adaptive" the caller keeps the factor, and this one is 1.
    n_batches : int
        Batches in the epoch.
    epoch : int
        Epochs before this one, earlier calls included.
    progress : float
        Share of the planned epochs that is over at the start of this one, in [0, 1).
    share : float
        Share of the planned epochs that this one is.

    Returns
    -------
    ndarray of shape (n_batches,), float64
        Factors in (0, 1].

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    for the cosine.

    Examples
    --------
    >>> from sksoftmax.training.schedules import step_factors
    >>> step_factors("linear", 2, epoch=0, progress=0.5, share=0.5).tolist()
    [0.5, 0.25]
    """
    if schedule == "invscaling":
        return np.full(n_batches, 1 / np.sqrt(1 + epoch))
    if schedule not in PLANNED:
        return np.ones(n_batches)
    planned = progress + share * np.arange(n_batches) / n_batches
    return 1 - planned if schedule == "linear" else (1 + np.cos(np.pi * planned)) / 2
