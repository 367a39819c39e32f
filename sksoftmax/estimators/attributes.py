"""Fitted attributes: what epochs leave behind in the caller's names and units, and back.

The only module that knows both how training remembers things and how an estimator shows
them. It must not know parameters, nor how epochs are run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.data.arrays import Namespace
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.history import History
from sksoftmax.training.run import Run, check_finite


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put every attribute back as it was if anything is raised, an interrupt included."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def replace_fitted(
    estimator: Any, attributes: Mapping[str, Any], kept: Collection[str] = ()
) -> None:
    """Set the attributes of a fit, and delete what an earlier one has left beyond them.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    attributes : mapping of str to object
        What the fit leaves behind.
    kept : collection of str, default=()
        Names of what this fit has already set.
    """
    for name in list(estimator.__dict__):
        if name.endswith("_") and name not in kept:
            del estimator.__dict__[name]
    estimator.__dict__.update(attributes)


def fitted_attributes(run: Run, of_X: Namespace, of_y: Namespace) -> dict[str, Any]:
    """Return the attributes of an estimator whose fit ends after the epochs of a run so far.

    Parameters
    ----------
    run : Run
        The epochs.
    of_X, of_y : Namespace
        Those of the caller's X and y, which the arrays and the class labels shall have too.

    Returns
    -------
    dict
        Values by name, as `SoftmaxClassifier` documents them, and ``_checkpoint``.

    Raises
    ------
    ValueError
        If a coefficient is not finite.
    """
    training, history, checkpoint = run.training, run.history, run.checkpoint
    rows, state = training.rows, checkpoint.state
    mean, scale = rows.mean, rows.scale
    coef, intercept = _caller_units(state.predicting(training.problem)[0], state.means)
    check_finite(training, np.append(coef, intercept))
    # As in binary logistic regression, whose one row is the log-odds of the second class.
    if len(coef) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    if rows.occurring is not None:
        coef, mean = rows.occurring.widened(coef), rows.occurring.widened(mean)
        scale = rows.occurring.widened(scale, 1.0)
    validated = history.best_epoch > 0

    def curve(values: list[float]) -> list[float]:
        # A run that goes on appends to its own list; of a long stream, a copy takes longer
        # than a step.
        return values if run.is_over() else list(values)

    return {
        "classes_": of_y.from_numpy(rows.targets.classes),
        "coef_": of_X.from_numpy(coef),
        "intercept_": of_X.from_numpy(intercept),
        "n_iter_": len(history.losses),
        "alpha_": training.alpha,
        "t_": state.n_steps,
        "loss_curve_": curve(history.losses),
        "validation_loss_curve_": curve(history.validation_losses) if validated else None,
        "validation_scores_": curve(history.validation_scores) if validated else None,
        "best_loss_": history.best_loss if validated else None,
        "best_iter_": history.best_epoch if validated else None,
        "step_size_": training.step_size(state),
        "mean_": of_X.from_numpy(mean),
        "scale_": of_X.from_numpy(scale),
        "n_samples_seen_": rows.n_samples_seen,
        "backend_": rows.backend.name,
        "_checkpoint": checkpoint,
    }


def history_up_to(checkpoint: Checkpoint | None, estimator: Any) -> History:
    """Return what is remembered of the epochs that led to a checkpoint.

    Epochs after it, which a fit ran before it went back to its best one, are left out.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        The estimator's own; None to start anew.
    estimator : SoftmaxClassifier
        Fitted, unless `checkpoint` is None.

    Returns
    -------
    History
        Lists of its own.
    """
    if checkpoint is None:
        return History()
    count = checkpoint.n_epochs
    losses = estimator.loss_curve_[:count]
    if estimator.best_iter_ is None:
        return History(losses)
    return History(
        losses,
        estimator.validation_loss_curve_[:count],
        estimator.validation_scores_[:count],
        estimator.best_loss_,
        estimator.best_iter_,
    )


def _caller_units(
    parameters: NDArray[Any], means: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and the intercepts of features that are not centred."""
    coef, centred = parameters[:, :-1], parameters[:, -1]
    # In float64: with features far from zero, both terms are large beside their difference.
    intercept = centred - coef.astype(np.float64) @ means
    return coef.copy(), intercept.astype(coef.dtype)
