"""How a fit has ended, in words for the user: the reason, and what to do where it ended badly.

This module reads losses and parameters. It must not know how a fit is run.
"""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from sksoftmax.training.optimum import Reached
from sksoftmax.training.run import Run, check_finite

WORSE_BY = 1e-3
"""Share by which an objective may end above that of the class frequencies without a warning."""


def reason(run: Run, estimator: Any, reached: Reached | None = None) -> str:
    """Return why a fit has ended, as ``verbose`` prints it.

    Parameters
    ----------
    run : Run
        Its epochs.
    estimator : SoftmaxClassifier
        What was fitted.
    reached : Reached or None, default=None
        How near the optimum iterations over all rows have come.

    Returns
    -------
    str
        One line.
    """
    if reached is not None and not run.stopped:
        return f"{_end_of(reached, run, estimator)}: {_reached(reached, run)}"
    if not run.stopped:
        return f"max_iter={estimator.max_iter} reached"
    if not run.rule.is_reached:
        return "stopped by a callback"
    return (
        f"stopped: the last {run.rule.window} epochs have improved the loss by at most"
        f" {run.rule.tolerance:.2g} (tol={estimator.tol})"
    )


def _end_of(reached: Reached, run: Run, estimator: Any) -> str:
    """What has ended the iterations, where no callback did."""
    if reached.is_little:
        return "stopped"
    if run.is_over():
        return f"max_iter={estimator.max_iter} reached"
    return "L-BFGS has found nothing better"


def _reached(reached: Reached, run: Run) -> str:
    """How near the optimum the iterations have come."""
    share = reached.gap / run.training.rows.frequency_loss
    by = "by second derivatives, " if reached.is_estimate else ""
    return (
        f"{by}the objective is within {reached.gap:.2g} of its least value, {share:.2g} times"
        " the loss of the class frequencies"
    )


def _warn_of_a_descent(reached: Reached, run: Run, estimator: Any, stacklevel: int) -> None:
    """Warn of iterations that have ended short of their target."""
    if estimator.tol is None or reached.is_little or run.stopped:
        return
    cure = "Increase max_iter or tol" if run.is_over() else "Increase tol"
    if estimator.alpha == 0:
        cure = "Without a penalty the bound is the objective itself: increase alpha"
    warnings.warn(
        f"{_end_of(reached, run, estimator)} before tol={estimator.tol} was:"
        f" {_reached(reached, run)}. {cure}, or set tol=None to go on for as long as anything"
        " is gained, without this warning.",
        ConvergenceWarning,
        stacklevel=stacklevel + 1,
    )


def warn_of_the_end(
    run: Run, estimator: Any, reached: Reached | None = None, *, stacklevel: int
) -> None:
    """Warn of a fit that ended short of `tol`, or worse than without any feature.

    Parameters
    ----------
    run : Run
        Its epochs.
    estimator : SoftmaxClassifier
        What was fitted.
    reached : Reached or None, default=None
        How near the optimum iterations over all rows have come.
    stacklevel : int
        Whose line the warning is about.
    """
    if reached is not None and estimator.optimizer == "lbfgs":
        _warn_of_a_descent(reached, run, estimator, stacklevel)
        return
    has_converged = reached is not None and (reached.is_little or not run.is_over())
    if run.rule.tol is not None and not (run.stopped or has_converged):
        warnings.warn(
            f"Maximum number of epochs (max_iter={estimator.max_iter}) reached before the loss"
            f" stopped improving (tol={estimator.tol}). Increase max_iter or tol, or set"
            " tol=None to run a fixed number of epochs without this warning.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    training, frequencies = run.training, run.training.rows.frequency_loss
    # To measure the model kept takes a pass: only a last loss above that of the class
    # frequencies is a reason for one.
    if training.rows.held_out is not None or run.history.losses[-1] <= frequencies:
        return
    # Epochs measure each batch before its own step, and automatic steps near the average: the
    # model kept may well be better.
    objective = training.kept_objective()
    check_finite(training, objective)
    if objective > (1 + WORSE_BY) * frequencies:
        cure = "Increase max_iter or alpha, or lower tol."
        if estimator.learning_rate != "auto":
            rate = estimator.learning_rate
            cure = f"Lower learning_rate (now {rate}), or set it to 'auto'."
        featureless = "the class frequencies" if estimator.fit_intercept else "equal odds"
        warnings.warn(
            f"The objective has ended at {objective:.4g}, above that of {featureless}"
            f" alone, {frequencies:.4g}. {cure}",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
