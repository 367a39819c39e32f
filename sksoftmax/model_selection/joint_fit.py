"""Several estimators fitted to the same rows, as if one after another, but together.

Here it is decided which fits can share a stack, and which must be left to ``fit``. Folds,
scores and what the estimators are compared for are none of this module's business.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from numbers import Integral, Real
from pickle import PicklingError
from typing import Any

import joblib
import numpy as np
from sklearn.utils.validation import validate_data

from sksoftmax.backend.sparse.momentum import lazy_trainer
from sksoftmax.data.arrays import is_foreign
from sksoftmax.data.holdout import Validation
from sksoftmax.data.targets import Targets, encode_targets
from sksoftmax.estimators.attributes import fitted_attributes
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.training.callbacks import FitTasks, has_callbacks, has_callbacks_of_its_own
from sksoftmax.training.stack import Member, models_at_once, run_together
from sksoftmax.training.training import Training

OF_ONE_MODEL = frozenset(
    {
        "alpha",
        "l1_ratio",
        "learning_rate",
        "max_iter",
        "momentum",
        "n_iter_no_change",
        "random_state",
        "schedule",
        "tol",
        "verbose",
        "warm_start",
    }
)
"""Parameters in which models of one stack may differ, but for what `_traits` says of some."""


@dataclass
class Fit:
    """The fit of one estimator among others.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    place : int
        Its place among the estimators.
    member : Member or None
        Its model on its way through stacks; None where it is fitted by itself.
    error : Exception or None
        What ended the fit, if anything did.
    seconds : float
        Its share of the time.
    tasks : FitTasks or None
        What callbacks are told of, where there are any, and it is not fitted by itself.
    """

    estimator: Any
    place: int
    member: Member | None = None
    error: Exception | None = None
    seconds: float = 0.0
    tasks: FitTasks | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there are epochs to come."""
        return self.error is None and self.member is not None and not self.member.is_over()

    def begin(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Tell the estimator's callbacks that its fit begins, as ``fit`` would.

        Parameters
        ----------
        X, y : arrays
            Rows and labels.
        sample_weight : array-like of shape (n_rows,), or None
            Weights.
        """
        if has_callbacks(self.estimator):
            max_iter = self.estimator.max_iter
            context = self.estimator._init_callback_context(max_subtasks=max_iter)
            self.tasks = FitTasks(self.estimator, context, X, y, sample_weight)

    def finish(self) -> None:
        """Give the estimator the attributes of a fit that ends after the epochs so far."""
        member = self.member
        if member is None:
            return
        self.seconds = member.seconds
        try:
            if member.error is not None:
                raise member.error
            if member.is_over():
                self.estimator._warn_of_the_end(
                    member.epochs, member.rule, stopped=member.stopped, stacklevel=3
                )
            self.estimator.__dict__.update(fitted_attributes(member.epochs))
            if member.is_over():
                self.end()
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Tell the estimator's callbacks that it is fitted."""
        if self.tasks is not None:
            self.tasks.end()


class FitsTogether:
    """Fits of several estimators to the same rows.

    Those of `SoftmaxClassifier` that differ only in what may differ between models of one
    stack are trained together, as many at once as memory allows. Any other estimator, a
    subclass included, and one that resumes, prints, has callbacks of its own, or is given more
    than weights or arrays of another library, is fitted by itself. A `random_state` of None
    draws one seed for all.

    Parameters
    ----------
    estimators : sequence of estimators
        Not fitted yet.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Labels.
    fit_params : mapping of str to object
        What each estimator's ``fit`` would be given, such as `sample_weight`.
    """

    def __init__(
        self, estimators: Sequence[Any], X: Any, y: Any, fit_params: Mapping[str, Any]
    ):
        self._X, self._y, self._fit_params = X, y, fit_params
        self._seeds: dict[Any, int] = {}
        fits = [Fit(estimator, place) for place, estimator in enumerate(estimators)]
        passed = {name for name, value in fit_params.items() if value is not None}
        ordinary = passed <= {"sample_weight"} and not (is_foreign(X) or is_foreign(y))
        stackable = [fit for fit in fits if ordinary and _can_stack(fit.estimator)]
        in_stacks = {fit.place for fit in stackable}
        self._waiting = [[fit] for fit in fits if fit.place not in in_stacks]
        if stackable:
            self._waiting += self._stacks(stackable)

    @property
    def goes_on(self) -> bool:
        """Whether any fit has epochs to come."""
        return bool(self._waiting)

    def run(self, limit: float = math.inf) -> Iterator[list[Fit]]:
        """Fit those that are not over, stack by stack.

        Parameters
        ----------
        limit : float, default=inf
            Epochs after which to pause; an estimator fitted by itself does not.

        Yields
        ------
        list of Fit
            Each with an error, or an estimator that is fitted as far as its epochs go. They
            are not kept here, unless there are epochs to come.
        """
        waiting, self._waiting = deque(self._waiting), []
        while waiting:
            fits = waiting.popleft()
            members = [fit.member for fit in fits if fit.member is not None]
            with _overflow_is_looked_for_later():
                run_together(members, limit)
            for fit in fits:
                if fit.member is None and fit.error is None:
                    self._fit_alone(fit)
                fit.finish()
            going_on = [fit for fit in fits if fit.goes_on]
            if going_on:
                self._waiting.append(going_on)
            yield fits

    def drop(self, places: Collection[int]) -> None:
        """Run no further epoch of some estimators.

        Parameters
        ----------
        places : collection of int
            Their places.
        """
        for fits in self._waiting:
            for fit in fits:
                if fit.place in places:
                    fit.end()
        kept = [[fit for fit in fits if fit.place not in places] for fits in self._waiting]
        self._waiting = [fits for fits in kept if fits]

    def _fit_alone(self, fit: Fit) -> None:
        start = time.perf_counter()
        labels = [] if self._y is None else [self._y]
        try:
            fit.estimator.fit(self._X, *labels, **self._fit_params)
        except Exception as error:
            fit.error = error
        fit.seconds = time.perf_counter() - start

    def _stacks(self, fits: list[Fit]) -> list[list[Fit]]:
        """Fits that are trained together, side by side."""
        first = fits[0].estimator
        try:
            X, y = first._checked(self._X, self._y, reset=True)
            targets = encode_targets(y, self._fit_params.get("sample_weight"), X)
        except Exception as error:
            for fit in fits:
                fit.error = error
            return [fits]
        groups: dict[tuple[int, tuple[Any, ...]], list[Fit]] = {}
        failed = []
        for fit in fits:
            try:
                fit.estimator._validate_params()
                seed = self._seed_of(fit.estimator)
                fit.begin(X, y, self._fit_params.get("sample_weight"))
            except Exception as error:
                fit.error = error
                failed.append(fit)
                continue
            validate_data(fit.estimator, self._X, skip_check_array=True)
            groups.setdefault((seed, _traits(fit.estimator)), []).append(fit)
        stacks = [[fit] for fit in failed]
        for (seed, _), group in groups.items():
            with _overflow_is_looked_for_later():
                stacks += _prepared(group, X, targets, seed)
        return stacks

    def _seed_of(self, estimator: SoftmaxClassifier) -> int:
        """The random number of its fit; where nothing fixes it, the same for all."""
        key = estimator.random_state
        if key is not None and not isinstance(key, Integral):
            return estimator._draw_seed()
        if key not in self._seeds:
            self._seeds[key] = estimator._draw_seed()
        return self._seeds[key]


def _can_stack(estimator: Any) -> bool:
    """Whether ``fit`` is ours, and has nothing to do but to train from the start."""
    return (
        type(estimator) is SoftmaxClassifier  # a subclass may train otherwise in any method
        and not estimator.warm_start
        and not estimator.verbose
        and not has_callbacks_of_its_own(estimator)
    )


def _traits(estimator: SoftmaxClassifier) -> tuple[Any, ...]:
    """What models of one stack must have in common."""
    names = [name for name in estimator._parameter_constraints if name not in OF_ONE_MODEL]
    shared = [_comparable(getattr(estimator, name)) for name in names]
    automatic = estimator.learning_rate == "auto"
    return (
        automatic,  # which alone measures where steps start, and remembers norms
        not automatic and estimator.momentum > 0,  # which alone needs a velocity
        estimator.l1_ratio > 0 and estimator.alpha != 0,  # whose steps alone are proximal
        *shared,
    )


def _comparable(value: Any) -> Any:
    """A parameter's value, or a hash of what it holds: clones have copies of objects."""
    if value is None or isinstance(value, (str, Real)):
        return value
    try:
        return str(joblib.hash(value))
    except PicklingError:
        return id(value)  # the same only as itself


def _prepared(fits: list[Fit], X: Any, targets: Targets, seed: int) -> list[list[Fit]]:
    """Fits with members, as many side by side as memory allows; measured once for all."""
    measured: Training | None = None
    validation: Validation | None = None
    first = fits[0].estimator
    if first.early_stopping:
        targets, validation = first._held_out(X, targets, seed)
    for fit in fits:
        try:
            epochs = fit.estimator._start(
                X, targets, validation, None, seed=seed, stream=False, measured=measured
            )
        except Exception as error:
            fit.error = error
            continue
        measured = measured or epochs.training
        rule = fit.estimator._stopping_rule(epochs)
        attributes = partial(fitted_attributes, epochs)
        fit.member = Member(epochs, rule, fit.estimator.max_iter, fit.tasks, attributes)
    if measured is None or lazy_trainer(measured.problem) is not None:
        return [[fit] for fit in fits]  # lazy steps of one model cost less than dense ones
    size = models_at_once(measured.problem)
    n_stacks = -(-len(fits) // size)
    ends = [len(fits) * i // n_stacks for i in range(n_stacks + 1)]
    return [fits[start:end] for start, end in pairwise(ends)]


def _overflow_is_looked_for_later() -> AbstractContextManager[Any]:
    """As in ``fit``, which looks for it in losses and coefficients."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")
