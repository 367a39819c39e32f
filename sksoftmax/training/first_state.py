"""The state that a training begins with: zeros, Newton's step, or what another has come to.

This module knows what of a checkpoint still holds on other rows, or under another penalty. It
must not know how an epoch is run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.coordinates import automatic_coordinates
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.settings import Settings

LEAST_GROWTH = 1.4
"""Factor by which the scale of a feature must grow from chunk to chunk of a stream for its
weights to shrink: less comes and goes with the rows."""


def first_state(
    problem: Problem,
    settings: Settings,
    rows: MeasuredRows,
    resume: Checkpoint | None,
    *,
    is_stream: bool,
) -> State:
    """Return the state that the first step goes on from.

    Parameters
    ----------
    problem : Problem
        What is trained.
    settings : Settings
        What the estimator was told.
    rows : MeasuredRows
        What is trained on.
    resume : Checkpoint or None
        Where to go on from; None to begin from zeros or, with many classes, by Newton's step.
    is_stream : bool
        Whether the rows add to those of `resume`, or replace them. In the second case the
        optimiser starts anew where the penalty or the rows have changed.

    Returns
    -------
    State
        Of one model.
    """
    if resume is None:
        begins_by_step = settings.is_automatic and not (is_stream or problem.l1.any())
        step = rows.newton_step if begins_by_step else None
        start = None if step is None else step.parameters(float(problem.l2[0]))
        if start is None:
            return State.zeros(1, problem.n_classes, problem.n_features, problem.dtype)
        parameters = start[None].astype(problem.dtype)
        return State(parameters, parameters, {}, rows.mean, 0)
    if is_stream:
        return _at_present_scale(resume, rows, settings.fit_intercept)
    if resume.is_of(rows.penalty(settings), rows.moments):
        return resume.state
    return resume.state.started_anew(replace(problem, l1=np.array(resume.penalty[1:])))


def _at_present_scale(resume: Checkpoint, rows: MeasuredRows, fit_intercept: bool) -> State:
    """The state of a stream, with smaller weights of features that turn out to be larger.

    A weight that was learnt while its feature seemed to be small would count as a long
    way in the coordinates of the step, and lengthen every later step for good.
    """
    if resume.moments is None or resume.deviations is None or rows.deviations is None:
        return resume.state
    before = automatic_coordinates(
        resume.moments, resume.deviations, fit_intercept=fit_intercept
    ).scale
    # A feature that was constant so far has no weights to shrink; its scale was inf.
    growth = rows.coordinates.scale / np.where(np.isinf(before), 1, before)
    has_grown = (growth > LEAST_GROWTH) & np.isfinite(before)
    if not has_grown.any():
        return resume.state
    return resume.state.with_scaled_weights(np.where(has_grown, 1 / growth, 1))
