"""The update rule of a fit: which one, and its numbers.

A rule is made once from the parameters of the estimator and handed on whole, down to the
kernels: no module in between lists its numbers. This module must not know how a step is
computed: ``optimizers`` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rule:
    """How a gradient changes the parameters.

    Parameters
    ----------
    name : {"sgd", "adam", "distance-over-gradients"}
        The last one finds its own step sizes and always averages.
    momentum : ndarray of shape (n_models,), float64
        Momentum of "sgd", in [0, 1).
    nesterov : bool
        Whether the momentum of "sgd" is Nesterov's.
    beta_1, beta_2, epsilon : float
        Adam's decay rates of its moments, in [0, 1), and what it adds to the deviation.
    nearness : float
        How near the average "distance-over-gradients" takes its gradients, in [0, 1].
    least_weight : float
        Least weight that it gives the newest iterate in the average, in [0, 1].
    """

    name: str = "sgd"
    momentum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    nesterov: bool = False
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    nearness: float = 0.8
    least_weight: float = 0.0

    @property
    def finds_steps(self) -> bool:
        """Whether steps find their own size: what they are given is a factor on it."""
        return self.name == "distance-over-gradients"

    @property
    def is_heavy_ball(self) -> bool:
        """Whether it is SGD with momentum or without, but not Nesterov's."""
        return self.name == "sgd" and not self.nesterov
