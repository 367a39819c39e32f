"""When iterations over all rows take over from steps, by counts of rows and weights alone.

So the same data give the same plan, on every machine and backend. Whether steps have gained
little, others see. This module must not know losses, nor how a step or an iteration is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sksoftmax.backend.problem import Problem
from sksoftmax.data.rows import is_csr
from sksoftmax.training.metric import passes_of, pays
from sksoftmax.training.passes import STEPS_AN_EPOCH, automatic_batch_size
from sksoftmax.training.training import Training
from sksoftmax.training.variables import n_rows_of

FIRST_EPOCHS, EPOCHS_BEFORE_A_METRIC = 5, 1
"""Epochs of SGD before the first iteration, each worth several iterations at its beginning.
From where the first has come to, second derivatives show the rest of the way."""

SMALL_STEP = 10**4
"""Multiplications of a step below which an epoch takes longer than the iterations it saves."""

MOST_EPOCHS = 12
"""Epochs, of STEPS_AN_EPOCH steps or fewer, after which SGD gains less by another than L-BFGS
by an iteration: the first ones each are worth several. Most fits are over by then."""

EPOCHS_OF_LITTLE_GAIN = 2
"""As many where they have gained little: the gradients of batches are mostly noise there, of
which iterations over all rows have none."""

LEAST_EPOCHS = 6
"""Fewest epochs whose plateau is one. Before, nearly collinear features may have kept steps so
short that they seem to gain nothing: iterations find out."""

SPARSE_FACTOR = 2
"""How many times as many they are for sparse rows, which show rare features in few steps. What
these say of other rows is learnt before the optimum, which knows them by heart."""

WEIGHTS_AN_EPOCH = 125
"""Weights, few enough for second derivatives, that are worth an epoch before. A step on fewer
takes hardly less time, other than where it is compiled, while an iteration does."""

PASSES_AT_ONCE = 12
"""Passes over the rows that second derivatives may take without being waited for."""

ITERATIONS_BEFORE_A_PLATEAU = 12
"""Iterations before they may tell that they gain no more: the first know no curvature yet."""


@dataclass(frozen=True)
class EpochsOfSteps:
    """After how many epochs iterations take over, unless the fit has stopped.

    Parameters
    ----------
    most : int
        After how many at last.
    of_little_gain : float, default=inf
        After how many where these have gained little.
    least : int, default=0
        Before how many a plateau does not stop the fit, but has iterations take over.
    """

    most: int
    of_little_gain: float = math.inf
    least: int = 0


def first_epochs(training: Training) -> int:
    """Return how many epochs of SGD pay before the way to the optimum, by counts alone."""
    # Steps on sparse rows take many times as long as a pass over all of them.
    if is_csr(training.problem.X) or training.step_operations < SMALL_STEP:
        return 0
    return EPOCHS_BEFORE_A_METRIC if _has_metric(training.problem) else FIRST_EPOCHS


def epochs_of_steps(training: Training, *, has_model: bool) -> EpochsOfSteps:
    """Return after how many epochs a fit that has not stopped goes on by L-BFGS.

    SGD is sooner near the optimum, and slower from there on. An epoch of many steps brings it
    further, while an iteration is one step for any number of rows. Where weights are few,
    second derivatives show the rest of the way, and a model to begin with is near enough for
    them. Where steps would start anew from one, since it is of another penalty or of other
    rows, they would hardly move it: they are as short as is safe anywhere, and seem to gain
    nothing.

    Parameters
    ----------
    training : Training
        Before its first epoch.
    has_model : bool
        Whether it goes on from a model.

    Returns
    -------
    EpochsOfSteps
        By counts alone.
    """
    problem = training.problem
    if _has_metric(problem):
        return EpochsOfSteps(
            0 if has_model else max(1, round(_n_weights(problem) / WEIGHTS_AN_EPOCH)),
            least=LEAST_EPOCHS,
        )
    state = training.state()
    if has_model and state.n_steps == 0:
        return EpochsOfSteps(0)
    rare = SPARSE_FACTOR if is_csr(problem.X) else 1
    # Smaller batches than automatic ones take longer, but come hardly farther.
    n_rows = training.rows.n_rows
    n_steps = min(training.rows.n_batches, n_rows // automatic_batch_size(n_rows))
    length = max(1, n_steps // STEPS_AN_EPOCH)
    if not has_model and state.parameters.any():
        # Behind Newton's step nearly collinear features no longer keep steps short. A plateau
        # may leave some of the penalty, which they take off slowly, but hardly any loss.
        return EpochsOfSteps(MOST_EPOCHS * length)
    # Without an intercept, features far from zero keep steps short, however many they are.
    little = EPOCHS_OF_LITTLE_GAIN * (length if problem.fit_intercept else 1)
    # A model to begin with may be at the end of the way, and steps show it at once.
    least = 0 if has_model else LEAST_EPOCHS
    return EpochsOfSteps(rare * MOST_EPOCHS * length, little, least)


def iterations_before_metric(training: Training, *, is_rough: bool) -> int:
    """Return how many iterations the fit then has without second derivatives.

    Those that cost many passes are measured only once the fit has taken about as many: should
    it need no more of them, no more than half of its time was in vain.

    Parameters
    ----------
    training : Training
        After its epochs of steps.
    is_rough : bool
        Whether they may be estimates.

    Returns
    -------
    int
        0 where second derivatives cost too much, or little.
    """
    if not _has_metric(training.problem):
        return 0
    share = training.rows.share_drawn if is_rough else 1.0
    return max(0, passes_of(_n_weights(training.problem), share) - PASSES_AT_ONCE)


def _has_metric(problem: Problem) -> bool:
    """Whether second derivatives pay, and exist."""
    return bool(problem.l1[0] == 0) and pays(_n_weights(problem))


def _n_weights(problem: Problem) -> int:
    """Weights that are free to move."""
    return n_rows_of(problem.n_classes) * (problem.n_features + 1)
