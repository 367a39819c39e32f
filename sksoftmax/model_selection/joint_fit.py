"""Several estimators fitted to the same rows, as if one after another, but together.

``sharing`` says which of them may share a stack; what has to be left to ``fit`` is fitted by
it. This module must not know folds or scores, nor what the estimators are compared for.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from numbers import Integral
from typing import Any

from sksoftmax.backend.sparse.choice import lazy_trainer
from sksoftmax.data.arrays import is_foreign
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.estimators.fit import Fit, overflow_is_found_later
from sksoftmax.model_selection.sharing import can_stack, stack_traits
from sksoftmax.training.callbacks import has_callbacks
from sksoftmax.training.epochs import run_epochs
from sksoftmax.training.stack import models_at_once
from sksoftmax.training.training import Training


@dataclass
class JointFit:
    """The fit of one estimator among others.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    index : int
        Its index among the estimators.
    fit : Fit or None
        Its steps, taken together with others; None where it is fitted by itself.
    error : Exception or None
        What ended the fit, if anything did.
    seconds : float
        Its share of the time.
    """

    estimator: Any
    index: int
    fit: Fit | None = None
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether there are epochs to come."""
        return self.error is None and self.fit is not None and not self.fit.is_over


class JointFits:
    """Fits of several estimators to the same rows.

    Those of `SoftmaxClassifier` that differ only in what may differ between models of one
    stack take their steps together, as many at once as memory allows. Those of them that go to
    the optimum by "lbfgs" make a path of penalties, each started from the last. Any other
    estimator, a subclass included, and one that resumes, prints, has callbacks of its own, or
    is given more than weights or arrays of another library, is fitted by itself. A
    `random_state` of None draws one seed for all.

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
        fits = [JointFit(estimator, index) for index, estimator in enumerate(estimators)]
        passed = {name for name, value in fit_params.items() if value is not None}
        ordinary = passed <= {"sample_weight"} and not (is_foreign(X) or is_foreign(y))
        stackable = [fit for fit in fits if ordinary and can_stack(fit.estimator)]
        in_stacks = {fit.index for fit in stackable}
        self._waiting = [[fit] for fit in fits if fit.index not in in_stacks]
        if stackable:
            self._waiting += self._stacks(stackable)

    @property
    def goes_on(self) -> bool:
        """Whether any fit has epochs to come."""
        return bool(self._waiting)

    def run(self, limit: float = math.inf) -> Iterator[list[JointFit]]:
        """Fit those that are not over, stack by stack.

        Parameters
        ----------
        limit : float, default=inf
            Epochs after which to pause; an estimator fitted by itself does not, nor do
            iterations over all rows.

        Yields
        ------
        list of JointFit
            Each with an error, or an estimator that is fitted as far as its epochs go. They
            are not kept here, unless there are epochs to come.
        """
        waiting, self._waiting = deque(self._waiting), []
        while waiting:
            fits = waiting.popleft()
            if _goes_to_the_optimum(fits[0]):
                yield from self._run_path(deque(fits))
                continue
            running = [fit for fit in fits if fit.error is None]
            together = [each.fit for each in running if each.fit is not None]
            with overflow_is_found_later():
                _train_together(together, limit)
            for each in running:
                self._finish(each)
            going_on = [fit for fit in fits if fit.goes_on]
            if going_on:
                self._waiting.append(going_on)
            yield fits

    def drop(self, indices: Collection[int]) -> None:
        """Run no further epoch of the estimators of some indices."""
        for each in chain.from_iterable(self._waiting):
            if each.index in indices and each.fit is not None:
                each.fit.end()
        kept = [[fit for fit in fits if fit.index not in indices] for fits in self._waiting]
        self._waiting = [fits for fits in kept if fits]

    def _run_path(self, fits: deque[JointFit]) -> Iterator[list[JointFit]]:
        """Fit one after another, each from the model of the last that has not failed."""
        last: Fit | None = None
        while fits:
            each = fits.popleft()
            if each.error is None and each.fit is not None:
                if last is not None:
                    each.fit.start_from(last)
                start = time.perf_counter()
                with overflow_is_found_later():
                    each.fit.train()
                self._finish(each)
                each.seconds = time.perf_counter() - start  # more than those of its epochs
                last = last if each.error else each.fit
            yield [each]

    def _finish(self, joint: JointFit) -> None:
        """Give an estimator its attributes; fit it first, where that is done by itself."""
        start = time.perf_counter()
        try:
            if joint.fit is None:
                labels = [] if self._y is None else [self._y]
                joint.estimator.fit(self._X, *labels, **self._fit_params)
            else:
                joint.fit.finish()
        except Exception as error:
            joint.error = error
        joint.seconds = time.perf_counter() - start
        if joint.fit is not None:
            joint.seconds += joint.fit.run.seconds

    def _stacks(self, fits: list[JointFit]) -> list[list[JointFit]]:
        """Fits that are trained together; `shuffle` decides how X is checked and read."""
        by_blocks = [fit for fit in fits if fit.estimator.shuffle == "blocks"]
        others = [fit for fit in fits if fit.estimator.shuffle != "blocks"]
        return [
            stack for alike in (others, by_blocks) if alike for stack in self._checked(alike)
        ]

    def _checked(self, fits: list[JointFit]) -> list[list[JointFit]]:
        """The stacks of fits for which X is checked in one way."""
        checked = Fit(fits[0].estimator)
        try:
            checked.check(self._X, self._y, self._fit_params.get("sample_weight"))
        except Exception as error:
            for fit in fits:
                fit.error = error
            return [fits]
        groups: dict[tuple[Any, ...], list[JointFit]] = {}
        failed = []
        for each in fits:
            try:
                each.fit = self._begun(each.estimator, checked)
            except Exception as error:
                each.error = error
                failed.append([each])
            else:
                # One seed: the models of a stack take the rows in one order.
                key = each.fit.seed, stack_traits(each.estimator)
                groups.setdefault(key, []).append(each)
        with overflow_is_found_later():
            stacks = [stack for group in groups.values() for stack in _started(group)]
        return failed + stacks

    def _begun(self, estimator: SoftmaxClassifier, checked: Fit) -> Fit:
        """The fit of an estimator to what has been checked; its callbacks are told of it."""
        estimator._validate_params()
        fit = Fit(estimator)
        fit.share_check(checked, self._X)
        fit.seed = self._seed_of(fit)
        if has_callbacks(estimator):  # else nobody would take the context down again
            fit.begin(estimator._init_callback_context(max_subtasks=estimator.max_iter))
        return fit

    def _seed_of(self, fit: Fit) -> int:
        """The random number of a fit; where nothing fixes it, the same for all."""
        key = fit.estimator.random_state
        if key is not None and not isinstance(key, Integral):
            return fit.draw_seed()
        if key not in self._seeds:
            self._seeds[key] = fit.draw_seed()
        return self._seeds[key]


def _started(fits: list[JointFit]) -> list[list[JointFit]]:
    """Fits that are ready to run, as many side by side as memory allows.

    The rows are measured once for all.
    """
    first: Training | None = None
    for each in fits:
        assert each.fit is not None
        try:
            each.fit.start(None if first is None else first.rows)
        except Exception as error:
            each.error = error
        else:
            first = first or each.fit.run.training
    if first is None:
        return [[fit] for fit in fits]
    if fits[0].estimator.optimizer == "lbfgs":
        return _paths(fits)
    if lazy_trainer(first.problem) is not None:
        return [[fit] for fit in fits]  # lazy steps of one model cost less than dense ones
    # As few stacks as memory allows, of sizes that differ by one at most.
    size = models_at_once(first.problem)
    n_stacks = -(-len(fits) // size)
    ends = [len(fits) * i // n_stacks for i in range(n_stacks + 1)]
    return [fits[start:end] for start, end in pairwise(ends)]


def _train_together(fits: list[Fit], limit: float) -> None:
    """Take the steps of a stack; iterations that follow some are those of one model."""
    run_epochs([fit.run for fit in fits], limit)
    for fit in fits:
        is_over = fit.is_over or fit.run.is_over(limit)
        if fit.run.steps_are_over and not is_over:
            fit.train()


def _goes_to_the_optimum(joint: JointFit) -> bool:
    """Whether a fit that has begun has its place on a path, rather than in a stack."""
    return joint.fit is not None and joint.estimator.optimizer == "lbfgs"


def _paths(fits: list[JointFit]) -> list[list[JointFit]]:
    """Fits by their share of the absolute penalty, from the strongest penalty to the weakest.

    The optimum is near that of a penalty that is a little stronger, and the strongest one's is
    near zero.
    """
    paths: dict[float, list[JointFit]] = {}
    for each in sorted(fits, key=_strength, reverse=True):
        paths.setdefault(each.estimator.l1_ratio, []).append(each)
    return list(paths.values())


def _strength(joint: JointFit) -> float:
    """How strong the penalty of a fit is; infinite where it could not start."""
    assert joint.fit is not None
    return math.inf if joint.error is not None else joint.fit.run.training.alpha
