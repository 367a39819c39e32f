"""The objective of a fit, at any weights, and how far above its least value they may be.

Over all rows and, unless fewer digits are asked for, in float64: what epochs measure on the way
is neither. This module must not know how weights are found.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import optimize

from sksoftmax.training.training import Training

Weights = NDArray[np.float64]
"""Of shape (n_classes, n_features + 1): in the units of X, the intercepts, of centred features,
last. A gradient has the same shape."""

MOST_NEWTON_STEPS = 20
"""Most steps by which `dual_gap` looks for the intercepts that are best for some weights."""

MOST_CLASSES = 10_000
"""Classes up to which it takes these steps, for which it needs a number for each two classes.
Beyond, the bound holds without them, and is wider."""

REPAIR_SHARE = 1e-2
"""Share of the gap, or of the tolerance, that intercepts short of their best may add."""

ROUNDING, LEAST_PROBABILITY = 1e-12, 1e-300
"""What is lost of a mean anyway, and what stands for a probability of zero."""

LOWEST = -1e30
"""The intercept of a class without rows, best at minus infinity: its probability is zero."""


class Objective:
    """Mean loss and penalty, as a function of the weights.

    Parameters
    ----------
    training : Training
        Of one model, whose rows, penalty and centre of features these are.
    dtype : numpy dtype, default=float64
        Of the arithmetic by which `loss_gradient` takes its products; what it returns has the
        digits of that.
    is_rough : bool, default=False
        Whether second derivatives by all weights may be estimates.
    """

    def __init__(
        self, training: Training, dtype: DTypeLike = np.float64, *, is_rough: bool = False
    ):
        self._training, self._dtype = training, dtype
        # Of the rows, from which second derivatives by all weights are taken.
        self.share = training.rows.share_drawn if is_rough else 1.0
        problem = training.problem
        self.l2, self.l1 = float(problem.l2[0]), float(problem.l1[0])
        self.scales = problem.scales
        self.fit_intercept = problem.fit_intercept
        self._is_free = np.append(np.isfinite(problem.step_scales), problem.fit_intercept)
        self.frequencies = training.class_frequencies
        self._is_centred = problem.means is not None

    def loss_gradient(self, weights: Weights) -> tuple[float, Weights]:
        """Return the mean loss, and its derivatives by the weights.

        Parameters
        ----------
        weights : ndarray of shape (n_classes, n_features + 1)
            Where.

        Returns
        -------
        loss : float
            Without the penalty.
        gradient : ndarray of shape (n_classes, n_features + 1)
            Zero for weights of constant features, which no fit moves, and for intercepts that
            are not fitted.
        """
        trainer = self._training.trainer
        parameters = weights[None].astype(self._dtype, copy=False)
        found = self._training.mean_over_rows(
            lambda *rows: np.append(*trainer.loss_gradient(parameters, *rows))
        )
        gradient = found[1:].reshape(weights.shape)
        gradient *= self._is_free
        return float(found[0]), gradient

    def gradient_of_constant(self, probabilities: NDArray[np.float64]) -> Weights:
        """Return the derivatives at a model that gives all rows the same probabilities.

        Parameters
        ----------
        probabilities : ndarray of shape (n_classes,)
            Positive.

        Returns
        -------
        ndarray of shape (n_classes, n_features + 1)
            What `loss_gradient` says of it, which takes a pass once for all such models where
            features are centred: then their products with a constant add up to zero.
        """
        if not self._is_centred:
            return self._measured_gradient_of_constant(probabilities)
        gradient = self._gradient_of_frequencies.copy()
        gradient[:, -1] += probabilities - self.frequencies
        return gradient

    @cached_property
    def _gradient_of_frequencies(self) -> Weights:
        return self._measured_gradient_of_constant(
            np.maximum(self.frequencies, LEAST_PROBABILITY)
        )

    def _measured_gradient_of_constant(self, probabilities: NDArray[np.float64]) -> Weights:
        return self.loss_gradient(self._constant(probabilities))[1]

    def _constant(self, probabilities: NDArray[np.float64]) -> Weights:
        """The model that gives all rows these probabilities."""
        constant = np.zeros((len(probabilities), len(self.scales) + 1))
        constant[:, -1] = np.log(probabilities)
        return constant

    @property
    def featureless(self) -> Weights:
        """The best model that sees no feature: the class frequencies, or equal odds."""
        frequencies = np.maximum(self.frequencies, LEAST_PROBABILITY)
        return self._constant(frequencies if self.fit_intercept else np.ones(len(frequencies)))

    def hessian(self, weights: Weights, *, only_intercepts: bool) -> NDArray[np.float64]:
        """Return the second derivatives of the loss.

        Parameters
        ----------
        weights : ndarray of shape (n_classes, n_features + 1)
            Where.
        only_intercepts : bool
            Whether to take those by the intercepts alone, rather than by all weights.

        Returns
        -------
        ndarray of shape (n, n)
            Positive semidefinite. `n` is the number of classes, or of weights, which are in
            the order of ``weights.ravel()``; zero for weights that no fit moves.
        """
        training, trainer = self._training, self._training.trainer

        def measure(X: Any, _: Any, w: Any) -> NDArray[np.float64]:
            return trainer.hessian(weights[None], X, w, only_intercepts=only_intercepts)

        hessian: NDArray[np.float64]
        if only_intercepts or self.share == 1:
            hessian = training.mean_over_rows(measure)[0]
        else:
            hessian = training.rows.mean_over_drawn(measure)[0]
        if not only_intercepts:
            is_free = np.tile(self._is_free, len(weights))
            hessian *= is_free[:, None] & is_free
        return hessian

    def penalty(self, weights: Weights) -> float:
        """Return what is added to the loss.

        Parameters
        ----------
        weights : ndarray of shape (n_classes, n_features + 1)
            Where.

        Returns
        -------
        float
            The squared and the absolute penalty.
        """
        scaled = weights[:, :-1] * self.scales
        squared = self.l2 / 2 * (scaled**2).sum()
        return float(squared if self.l1 == 0 else squared + self.l1 * np.abs(scaled).sum())


def dual_gap(
    objective: Objective,
    weights: Weights,
    measured: tuple[float, Weights] | None = None,
    *,
    enough: float = 0.0,
) -> float:
    r"""Return a bound on how far above its least value the objective is.

    Any probabilities :math:`q_i` of the rows whose weighted means are the class frequencies
    bound the least value from below, by :math:`D(q)` in docs/guide/mathematics.rst. They are
    taken from the model, with its intercepts moved to where they are best for its weights, and
    what is then left of the difference to the frequencies made up for by a share of one other
    model, which is the same for all rows.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    weights : ndarray of shape (n_classes, n_features + 1)
        The model.
    measured : (float, ndarray) or None, default=None
        What ``Objective.loss_gradient`` says of it, if that is known.
    enough : float, default=0.0
        A bound below which a lower one is not worth a pass.

    Returns
    -------
    float
        At least the true difference, up to rounding, and at most the objective itself, which
        is never negative; inf where that is not finite. It takes one pass over the rows without
        intercepts, and with them up to about four; one less where the first is known, one less
        where the bound has been taken before, and two less for each step of the intercepts that
        is not worth it.

    References
    ----------
    Duenner, Forte, Takac and Jaggi, "Primal-dual rates and certificates", ICML 2016.
    """
    loss, gradient = measured or objective.loss_gradient(weights)
    value = loss + objective.penalty(weights)
    if not np.isfinite(value):
        return np.inf
    if not objective.fit_intercept:
        return _gap_by(objective, value, _entropy(loss, gradient, weights), gradient)
    if not objective.frequencies.all():
        weights = weights.copy()
        weights[objective.frequencies == 0, -1] = LOWEST
        loss, gradient = objective.loss_gradient(weights)
    for _ in range(MOST_NEWTON_STEPS if len(weights) <= MOST_CLASSES else 0):
        entropy = _entropy(loss, gradient, weights)
        gap = _gap_by(objective, value, entropy, gradient)
        cost = entropy * _share_of_other(objective.frequencies + gradient[:, -1], gradient)
        if cost <= max(REPAIR_SHARE * max(gap, enough), ROUNDING * value):
            break
        if gap <= enough:  # no better intercepts may be needed
            repaired = _gap_by(objective, value, *_repaired(objective, entropy, gradient))
            if repaired <= enough:
                return repaired
        weights = weights.copy()
        hessian = objective.hessian(weights, only_intercepts=True)
        weights[:, -1] -= _newton_step(hessian, gradient[:, -1])
        loss, gradient = objective.loss_gradient(weights)
    entropy = _entropy(loss, gradient, weights)
    return _gap_by(objective, value, *_repaired(objective, entropy, gradient))


def estimated_gap(
    objective: Objective, weights: Weights, value: float, loss: float, gradient: Weights
) -> float:
    """Return what `dual_gap` is where the intercepts are the best ones: it takes no pass.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    weights : ndarray of shape (n_classes, n_features + 1)
        The model.
    value : float
        The objective there.
    loss, gradient : float, ndarray of shape (n_classes, n_features + 1)
        What ``Objective.loss_gradient`` says of them.

    Returns
    -------
    float
        At least 0, but no bound: where they are others, it may be too small.
    """
    entropy = loss - float((weights[:, :-1] * gradient[:, :-1]).sum())
    return _gap_by(objective, value, entropy, gradient)


def _entropy(loss: float, gradient: Weights, weights: Weights) -> float:
    """The mean entropy of the predicted probabilities: the loss, less what scores add to it."""
    return loss - float((weights * gradient).sum())


def _newton_step(hessian: NDArray[np.float64], gradient: NDArray[np.float64]) -> Any:
    """Newton's step, no longer than where second derivatives still say something."""
    n_classes = len(gradient)
    # One number on all intercepts changes nothing, and nor may that of a class without rows.
    definite = hessian + 1 / n_classes + ROUNDING * np.eye(n_classes)
    step = np.linalg.solve(definite, gradient)
    return step / max(1.0, np.ptp(step))


def _share_of_other(predicted: NDArray[np.float64], gradient: Weights) -> float:
    """Twice the least share of a constant model by which frequencies can be made up for."""
    excess = np.maximum(gradient[:, -1], 0) / np.maximum(predicted, LEAST_PROBABILITY)
    return min(1.0, 2 * float(excess.max()))


def _repaired(objective: Objective, entropy: float, gradient: Weights) -> tuple[float, Weights]:
    """A bound on the entropy, and the gradient, of probabilities of the right frequencies."""
    predicted = objective.frequencies + gradient[:, -1]
    share = _share_of_other(predicted, gradient)
    if share == 0:
        return entropy, gradient
    other = np.maximum(predicted - gradient[:, -1] / share, LEAST_PROBABILITY)
    gradient = (1 - share) * gradient + share * objective.gradient_of_constant(other)
    # Entropy is concave.
    return (1 - share) * entropy - share * float(other @ np.log(other)), gradient


def _gap_by(objective: Objective, value: float, entropy: float, gradient: Weights) -> float:
    """The difference of an objective to the bound by probabilities of the right frequencies.

    Nearer to the labels by a factor t, they have t times the gradient, and at least t times
    the entropy.
    """
    l2, l1 = objective.l2, objective.l1
    entropy = max(0.0, entropy)  # which rounding alone makes negative
    slopes = np.abs(gradient[:, :-1] / objective.scales)

    def beyond(t: float) -> NDArray[np.float64]:
        return t * slopes if l1 == 0 else np.maximum(t * slopes - l1, 0)

    def rise(t: float) -> float:
        return entropy * l2 - float((beyond(t) * slopes).sum())

    if l2 == 0:
        largest = float(slopes.max())
        t = 1.0 if largest <= l1 else l1 / largest
        return max(0.0, value - t * entropy)
    if rise(1.0) >= 0:
        t = 1.0
    elif l1 == 0:  # where it is linear
        t = entropy * l2 / float((slopes**2).sum())
    else:
        t = optimize.brentq(rise, 0.0, 1.0)
    return max(0.0, value - t * entropy + float((beyond(t) ** 2).sum()) / (2 * l2))
