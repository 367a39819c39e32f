"""What a backend is given to train: a problem, with the rule by which it is to take steps.

Everything here is already validated: shapes, dtypes and layout are stated once, and
a backend checks nothing again. This module must not know any estimator, nor any device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.data.arrays import Array


@dataclass(frozen=True)
class Rule:
    """How a gradient changes the parameters: the update rule, and its numbers.

    A rule is made once, from the parameters of the estimator, and handed on whole, down to the
    kernels: no module in between lists its numbers.

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


@dataclass(frozen=True)
class Problem:
    r"""One training problem, or several over the same rows.

    Model ``m`` minimises, over its weights :math:`W` and intercepts :math:`b`,

    .. math::

        \frac{1}{N} \sum_i w_i\, \mathrm{CE}(\mathrm{softmax}(W x_i + b), y_i)
        + \sum_{kj} \frac{l2_m}{2} (\sigma_j W_{kj})^2 + l1_m |\sigma_j W_{kj}| .

    A step on a batch B of the rows, with b = `batch_size`, z the softmax, y the one-hot
    targets, m the means, s the step scales and q the `penalty_share`, is

    .. math::

        G_{kj} &= \frac{1}{b} \sum_{i \in B} w_i (z_{ik} - y_{ik}) (x_{ij} - m_j)
                 + q\, l2\, \sigma_j^2 W_{kj} \\
        V &\leftarrow \mathrm{prox}(W + \mu V - \eta\, G / s / s) - W, \qquad
        W \leftarrow W + V \\
        \bar W &\leftarrow \bar W + \frac{9}{t + 8} (W - \bar W)

    at the t-th step, of size :math:`\eta` and momentum :math:`\mu`, for heavy-ball SGD, with
    prox the soft threshold at :math:`\eta\, q\, l1\, \sigma / s / s`. ``optimizers`` and
    ``distance_over_gradients``, beside this module, give the other rules in place of the last
    two lines: their gradient is G / s, and that of "distance-over-gradients" is taken at a
    point between W and its average. The intercept is one more column with x = 1, m = 0,
    s = `intercept_scale` and no penalty, and belongs to features centred at m. Divide by s
    twice: its square can leave the range of float32.

    Models share the rows with their weights, means and scales. What may differ between them
    carries a leading model axis, of length 1 for an ordinary fit.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        What the backend's ``place`` returned: dense, or CSR with sorted indices and no
        duplicates. Any real dtype; batches are converted to `dtype` as they are gathered.
    y : ndarray of shape (n_rows,), int32
        Class codes from 0 to ``n_classes - 1``.
    weights : ndarray of shape (n_rows,), or None
        Row weights of mean 1 in `dtype`; None when every weight is 1.
    n_classes : int
        Number of classes, at least 2.
    dtype : numpy dtype
        float32 or float64: the dtype of the arithmetic.
    batch_size : int
        Rows a step. A gradient is divided by it in the short last batch too, so that
        each row counts once an epoch.
    l2 : ndarray of shape (n_models,), float64
        Strength of the squared penalty.
    l1 : ndarray of shape (n_models,), float64
        Strength of the absolute penalty.
    penalty_share : float
        Share of the penalty in each step, in (0, 1]: rows over ``n_batches * batch_size``.
        The epoch's penalty is spread evenly, since one that varied with the length of the
        batch would swing heavy-ball momentum up.
    average : bool
        Whether the iterates are averaged: by polynomial decay, or as the rule says.
    fit_intercept : bool
        Whether the intercepts move.
    means : ndarray of shape (n_features,), float64, or None
        Centre of the features; None when the gradient is not centred, as for CSR.
    scales : ndarray of shape (n_features,), float64
        Scale of the features in the penalty.
    step_scales : ndarray of shape (n_features,), float64
        Scale of the features in the step. It only preconditions: it never enters the
        objective. ``inf`` where a feature is constant, whose weights then stay 0.
    intercept_scale : float
        That of the intercepts.
    curvature : ndarray of shape (n_models,), float64, or None
        Of the objective along a first gradient, in the coordinates of the step: one over it is
        the first step of "distance-over-gradients", which alone reads this.
    rule : Rule
        The update rule and its numbers.
    n_threads : int
        Most threads to train in. Their number must not change a bit of the result; a backend
        that cannot promise that, or does not start its threads itself, ignores it.
    """

    X: Array
    y: NDArray[np.int32]
    weights: NDArray[Any] | None
    n_classes: int
    dtype: np.dtype[Any]
    batch_size: int
    l2: NDArray[np.float64]
    l1: NDArray[np.float64]
    penalty_share: float
    average: bool
    fit_intercept: bool
    means: NDArray[np.float64] | None
    scales: NDArray[np.float64]
    step_scales: NDArray[np.float64]
    intercept_scale: float = 1.0
    curvature: NDArray[np.float64] | None = None
    rule: Rule = field(default_factory=Rule)
    n_threads: int = 1

    @property
    def n_models(self) -> int:
        """Number of models trained together."""
        return len(self.l2)

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return int(self.X.shape[1])

    @property
    def inverse_step_scales(self) -> NDArray[np.float64]:
        """One over the scale of each column of parameters, the intercepts' last; 0 if fixed."""
        return np.append(1 / self.step_scales, self.fit_intercept / self.intercept_scale)

    @property
    def distance_scales(self) -> NDArray[np.float64]:
        """The scale of each column of parameters; 0 for one that is fixed, and goes no way."""
        inverse = self.inverse_step_scales
        return np.divide(1, inverse, out=np.zeros_like(inverse), where=inverse > 0)
