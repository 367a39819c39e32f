"""What a fit is told: the estimator's parameters, as an update rule and a schedule of steps.

This module must not know the rows, nor how a step is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.problem import Rule

NEARNESS = 0.8
"""How near the average gradients of minibatches are taken: 0.5 is better for a thousand
classes, 0.9 for collinear features."""

LEAST_WEIGHT = 0.1
"""Weight of the newest iterate in the average of full batches, which have no noise to average:
with gradients taken at the average itself, that of a heavy ball of momentum 0.9."""

LEAST_ALPHA = 1e-4
"""Least automatic penalty: many rows of very many classes still need one."""

PLANNED = ("linear", "cosine")
"""Schedules that fall to zero at the last of a known number of epochs."""

REDUCTION = 5
"""What "adaptive" divides the step by on a plateau, as scikit-learn does."""

LEAST_FACTOR = 1e-3
"""The factor below which "adaptive" divides no further, and the fit stops."""


@dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that concern training, as it documents them."""

    alpha: float | str
    l1_ratio: float
    fit_intercept: bool
    batch_size: int | str
    learning_rate: float | str
    schedule: str
    max_iter: int
    optimizer: str
    momentum: float
    nesterov: bool
    beta_1: float
    beta_2: float
    epsilon: float
    average: bool
    standardize: bool
    shuffle: bool | str
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        for name in ("l1_ratio", "momentum", "beta_1", "beta_2", "epsilon"):
            # NumPy and compiled code know no fractions.Fraction, which scikit-learn lets pass.
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def is_automatic(self) -> bool:
        """Whether steps find their own size."""
        return self.learning_rate == "auto" and self.optimizer != "adam"

    @property
    def may_end_in_iterations(self) -> bool:
        """Whether iterations over all rows may take over from steps that slow down."""
        return self.optimizer == "auto" and self.is_automatic and self.schedule == "constant"

    @property
    def _given_rule(self) -> str:
        """The rule of steps of a given size; all but "adam" begin with those of SGD."""
        return "adam" if self.optimizer == "adam" else "sgd"

    def strength(self, total_weight: float) -> float:
        """Return the strength of the penalty.

        Parameters
        ----------
        total_weight : float
            Sum of the weights of all rows so far.

        Returns
        -------
        float
            `alpha`; for "auto" what C = 1 is in ``LogisticRegression``, or LEAST_ALPHA.
        """
        if isinstance(self.alpha, str):
            return max(LEAST_ALPHA, 1 / total_weight)
        return float(self.alpha)

    def rule(self, batches_are_noisy: bool) -> Rule:
        """Return the update rule that these parameters ask for.

        Parameters
        ----------
        batches_are_noisy : bool
            Whether a batch is less than all rows.

        Returns
        -------
        Rule
            Of one model.
        """
        automatic = self.is_automatic
        return Rule(
            name="distance-over-gradients" if automatic else self._given_rule,
            momentum=np.array([0.0 if automatic else float(self.momentum)]),
            nesterov=self.nesterov and not automatic,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            nearness=NEARNESS if batches_are_noisy else 1.0,
            least_weight=0.0 if batches_are_noisy else LEAST_WEIGHT,
        )


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
    >>> from sksoftmax.training.settings import step_factors
    >>> step_factors("linear", 2, epoch=0, progress=0.5, share=0.5).tolist()
    [0.5, 0.25]
    """
    if schedule == "invscaling":
        return np.full(n_batches, 1 / np.sqrt(1 + epoch))
    if schedule not in PLANNED:
        return np.ones(n_batches)
    planned = progress + share * np.arange(n_batches) / n_batches
    return 1 - planned if schedule == "linear" else (1 + np.cos(np.pi * planned)) / 2
