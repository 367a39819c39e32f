"""What happens to a weight between two steps whose batches hold its feature.

Without a gradient, penalty, momentum and averaging follow a law that all features with the
same penalty in the coordinates of the step share: a group. For a run of steps whose sizes
are known beforehand these classes tabulate the law, so that a step need touch the features
of its batch only. They know neither rows nor classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.optimizers import averaging_weight

LEAST_FACTOR = 1e-15
"""A run ends where a coordinate's factor would pass this: its inverse must stay in range."""

LONGEST_RUN = 512
"""Most steps in a run, which bounds the tables."""


@dataclass(frozen=True)
class LinearLaw:
    r"""The squared penalty with momentum and averaging: a linear recurrence of three numbers.

    Without a gradient, a step of size :math:`\eta` turns weight W, velocity V and average A
    into

    .. math::

        V' = \mu V - \eta \delta W, \qquad W' = W + V', \qquad A' = A + \gamma (W' - A) ,

    with :math:`\delta` the penalty of the group. We want coordinates in which nothing happens.
    A QR iteration, :math:`M_t Q_{t-1} = Q_t R_t` with M the matrix of (W, V), makes the
    recurrence triangular, slow mode first; removing a multiple of the fast coordinate from the
    slow one makes it diagonal; dividing by the running products of the diagonal makes it
    constant. The multiple obeys a recurrence that is stable backwards, hence the need to know
    the steps. In place of the average we keep what it will be after the last step of the run,
    to which each gradient contributes by a factor that another backward recurrence, the
    adjoint of the first, gives. Nothing cancels: the result is that of dense steps to rounding.

    Parameters
    ----------
    n_steps : int
        Length T of the run.
    start : ndarray of shape (n_groups, n_parts, n_parts)
        Turns (W, V, A) into the constant coordinates. Parts without momentum or averaging
        are left out, here as everywhere.
    finish : ndarray of shape (n_groups, n_parts, n_parts)
        Turns the constant coordinates into (W, V, A) after the last step.
    read : ndarray of shape (T, n_groups, n_modes)
        What the first coordinates are multiplied by to give W before each step; 2 modes with
        momentum, else 1.
    write : ndarray of shape (T, n_groups, n_parts)
        What a change of V at each step adds to the coordinates.

    References
    ----------
    Xu, "Towards optimal one pass large scale learning with averaged stochastic gradient
    descent", arXiv:1107.2490, 2011, for the idea with one mode.
    """

    n_steps: int
    start: NDArray[np.float64]
    finish: NDArray[np.float64]
    read: NDArray[np.float64]
    write: NDArray[np.float64]

    @classmethod
    def tabulate(
        cls,
        step_sizes: NDArray[np.float64],
        decay: NDArray[np.float64],
        momentum: float,
        n_done: int | None,
    ) -> LinearLaw:
        """Tabulate the law for as many steps as stay in the range of floating point.

        Parameters
        ----------
        step_sizes : ndarray of shape (n_batches,)
            The steps to come.
        decay : ndarray of shape (n_groups,)
            The penalty delta of each group.
        momentum : float
            Heavy-ball momentum mu, in [0, 1).
        n_done : int or None
            Steps before these, for the weights of the average; None without averaging.

        Returns
        -------
        LinearLaw
            Tables for the first steps, at least one.
        """
        shrink = step_sizes[:LONGEST_RUN, None] * decay
        modes = _Modes.of_momentum(shrink, momentum) if momentum else _Modes.of_decay(shrink)
        n_steps, n_modes = len(modes.write), modes.write.shape[2]
        if n_done is None:
            return cls(n_steps, modes.start, modes.finish, modes.read, modes.write)
        influence, first = _influence(shrink[:n_steps], momentum, n_done)
        n_parts = n_modes + 1
        start = np.zeros((len(decay), n_parts, n_parts))
        start[:, :n_modes, :n_modes] = modes.start
        start[:, n_modes, :n_modes] = first[:, :n_modes]
        start[:, n_modes, n_modes] = first[:, 2]
        finish = np.zeros_like(start)
        finish[:, :n_modes, :n_modes] = modes.finish
        finish[:, n_modes, n_modes] = 1
        write = np.concatenate([modes.write, influence[:, :, None]], axis=2)
        return cls(n_steps, start, finish, modes.read, write)


@dataclass(frozen=True)
class _Modes:
    """The tables of LinearLaw for W and V alone."""

    start: NDArray[np.float64]
    finish: NDArray[np.float64]
    read: NDArray[np.float64]
    write: NDArray[np.float64]

    @classmethod
    def of_decay(cls, shrink: NDArray[np.float64]) -> _Modes:
        """Without momentum: one mode, whose factor is 1 - eta delta."""
        factor = _decay_factors(shrink)[0][:, :, None]
        ones = np.ones_like(factor[:1])
        read = np.concatenate([ones, factor[:-1]])
        return cls(ones.transpose(1, 0, 2), factor[-1][:, None], read, 1 / factor)

    @classmethod
    def of_momentum(cls, shrink: NDArray[np.float64], momentum: float) -> _Modes:
        """With momentum: a slow and a fast mode, by QR iteration."""
        n_batches, n_groups = shrink.shape
        # A step without a gradient multiplies (W, V) by A = [[1 - x, mu], [-x, mu]]. With Q the
        # rotation by (cosine, sine), A Q before the step is Q R after it, where
        # R = [[slow, coupling], [0, fast]]. Products of A would lose the fast mode in rounding.
        cosine, sine = np.ones((n_batches + 1, n_groups)), np.zeros((n_batches + 1, n_groups))
        slow, coupling = np.ones((2, n_batches + 1, n_groups))
        for t, x in enumerate(shrink, start=1):
            c, s = cosine[t - 1], sine[t - 1]
            velocity = momentum * s - x * c
            weight = c + velocity
            slow[t] = np.hypot(weight, velocity)
            cosine[t], sine[t] = weight / slow[t], velocity / slow[t]
            velocity = momentum * c + x * s
            coupling[t] = cosine[t] * (velocity - s) + sine[t] * velocity
        fast = momentum / slow  # since the determinant is the momentum
        fast[0] = 1
        slow_factor, fast_factor = np.cumprod(slow, axis=0), np.cumprod(fast, axis=0)
        in_range = np.minimum(fast_factor, np.minimum(slow_factor, 1 / slow_factor))
        n_steps = _steps_in_range(in_range[1:])
        # R maps (multiple, 1) before a step to fast times (multiple, 1) after it, so that both
        # modes have a factor of their own. Backwards, each division is by the larger factor.
        multiple = np.zeros((n_steps + 1, n_groups))
        for t in range(n_steps, 0, -1):
            multiple[t - 1] = (multiple[t] * fast[t] - coupling[t]) / slow[t]
        kept = slice(n_steps + 1)
        c, s, slow_factor, fast_factor = (
            a[kept] for a in (cosine, sine, slow_factor, fast_factor)
        )
        weight = np.stack([c * slow_factor, (c * multiple - s) * fast_factor], axis=2)
        velocity = np.stack([s * slow_factor, (s * multiple + c) * fast_factor], axis=2)
        write = np.stack(
            [(c + s - multiple * (c - s)) / slow_factor, (c - s) / fast_factor], axis=2
        )
        start = np.zeros((n_groups, 2, 2))
        start[:, 0, 0] = start[:, 1, 1] = 1
        start[:, 0, 1] = -multiple[0]
        return cls(start, np.stack([weight[-1], velocity[-1]], axis=1), weight[:-1], write[1:])


def _decay_factors(shrink: NDArray[np.float64]) -> tuple[NDArray[Any], int]:
    """Running products of 1 - eta delta, and how many of them are in range."""
    # A factor of 0 would forget the weight: the least one that divides stands for it.
    steps = 1 - shrink
    steps[np.abs(steps) < LEAST_FACTOR] = LEAST_FACTOR
    factor = np.cumprod(steps, axis=0)
    n_steps = _steps_in_range(np.abs(factor))
    return factor[:n_steps], n_steps


def _steps_in_range(factors: NDArray[np.float64]) -> int:
    """Steps before any group's factor leaves the range; at least one."""
    out = (factors < LEAST_FACTOR).any(axis=1)
    return max(1, int(out.argmax())) if out.any() else len(factors)


def _influence(
    shrink: NDArray[np.float64], momentum: float, n_done: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factors by which V's changes, and W, V, A at the start, enter the last average."""
    n_steps, n_groups = shrink.shape
    influence = np.empty((n_steps, n_groups))
    # Backwards: what a unit of W, V and A after step t adds to the average after the last one.
    of_weight, of_velocity, of_average = np.zeros(n_groups), np.zeros(n_groups), 1.0
    for t in range(n_steps - 1, -1, -1):
        newest = averaging_weight(n_done + t + 1)
        of_weight = of_weight + newest * of_average
        of_average *= 1 - newest
        influence[t] = of_velocity + of_weight
        of_velocity = momentum * influence[t]
        of_weight = of_weight - shrink[t] * influence[t]
    return influence, np.stack([of_weight, of_velocity, np.full(n_groups, of_average)], axis=1)


@dataclass(frozen=True)
class ShrinkingLaw:
    r"""The elastic net without momentum: weights decay, then move to 0 and stay there.

    Without a gradient, :math:`|W'| = \max((1 - \eta \delta) |W| - \eta \theta, 0)`. Divided
    by the running product :math:`\rho` of the decays, a weight c loses
    :math:`\eta \theta / \rho` a step: after steps r + 1 to t it is the soft threshold of c at
    :math:`Q_t - Q_r`, with Q the running sum. What the weights on the way add to the average
    after the last step follows from running sums too.

    Parameters
    ----------
    n_steps : int
        Length T of the run.
    factor : ndarray of shape (T + 1, n_groups)
        The running products rho, 1 before the first step.
    threshold : ndarray of shape (T + 1, n_groups)
        The running sums Q, 0 before the first step.
    share : ndarray of shape (T + 1, n_groups)
        What c at each step adds to the average after the last step; 0 before the first.
    kept : float
        What is left of the average before the first step in that after the last.

    References
    ----------
    Langford, Li and Zhang, "Sparse online learning via truncated gradient", JMLR 10, 2009, for
    the lazy threshold.
    """

    n_steps: int
    factor: NDArray[np.float64]
    threshold: NDArray[np.float64]
    share: NDArray[np.float64]
    kept: float

    @classmethod
    def tabulate(
        cls,
        step_sizes: NDArray[np.float64],
        decay: NDArray[np.float64],
        shrinkage: NDArray[np.float64],
        n_done: int | None,
    ) -> ShrinkingLaw:
        """Tabulate the law for as many steps as stay in the range of floating point.

        Parameters
        ----------
        step_sizes : ndarray of shape (n_batches,)
            The steps to come.
        decay : ndarray of shape (n_groups,)
            The squared penalty delta of each group.
        shrinkage : ndarray of shape (n_groups,)
            The absolute penalty theta of each group.
        n_done : int or None
            Steps before these, for the weights of the average; None without averaging.

        Returns
        -------
        ShrinkingLaw
            Tables for the first steps, at least one.
        """
        step_sizes = step_sizes[:LONGEST_RUN]
        factor, n_steps = _decay_factors(step_sizes[:, None] * decay)
        factor = np.concatenate([np.ones((1, len(decay))), factor])
        lost = step_sizes[:n_steps, None] * shrinkage / np.abs(factor[1:])
        threshold = np.concatenate([np.zeros((1, len(decay))), np.cumsum(lost, axis=0)])
        # Backwards: `kept` is what is left of the average after step t in that after the last.
        share, kept = np.zeros_like(factor), 1.0
        for t in range(n_steps if n_done is not None else 0, 0, -1):
            newest = averaging_weight(n_done + t)  # type: ignore[operator]
            share[t] = kept * newest * factor[t]
            kept *= 1 - newest
        return cls(n_steps, factor, threshold, share, kept)
