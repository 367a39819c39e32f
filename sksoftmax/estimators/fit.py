"""One fit, step by step: from what the caller passed to the fitted attributes.

``fit`` and ``partial_fit`` take these steps for one estimator, and a search takes them for many
at once. This module decides what is trained and when to stop; it must not know how an epoch is
run.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sksoftmax.data.holdout import HeldOut, hold_out
from sksoftmax.data.occurring import OccurringFeatures, occurring_features
from sksoftmax.data.targets import Targets, class_weights
from sksoftmax.estimators.attributes import fitted_attributes, history_up_to
from sksoftmax.estimators.ending import reason, warn_of_the_end
from sksoftmax.estimators.inputs import Inputs
from sksoftmax.training.callbacks import FitTasks, has_callbacks
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.epochs import run_epochs
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.optimum import Descent, Reached
from sksoftmax.training.plan import (
    ITERATIONS_BEFORE_A_PLATEAU,
    EpochsOfSteps,
    epochs_of_steps,
    first_epochs,
    iterations_before_metric,
)
from sksoftmax.training.run import Run
from sksoftmax.training.settings import PLANNED, Settings
from sksoftmax.training.stopping import Plateau
from sksoftmax.training.training import Training

CALLER = 5
"""``stacklevel`` of a warning from what `start` or `finish` calls: between it and the caller of
``fit`` are that method, ``fit`` and scikit-learn's decorator."""


class Fit(Inputs):
    """One fit of a SoftmaxClassifier.

    Its steps, in this order: `check`, `begin` where callbacks may listen, `start`, `train` and
    `finish`. A search runs the epochs of several fits in place of `train`.

    Parameters
    ----------
    estimator : SoftmaxClassifier
        Whose parameters are followed, and who is given the fitted attributes.
    resume : Checkpoint or None, default=None
        Where training goes on from.
    is_stream : bool, default=False
        Whether this is one epoch over a chunk of rows that adds to those of `resume`, as in
        ``partial_fit``, rather than a whole fit.

    Attributes
    ----------
    seed : int or None
        The one random number of the fit; `start` draws it where it is None.
    tasks : FitTasks or None
        What callbacks are told of; None where there are none.
    run : Run
        The epochs, from `start` on.
    reached : Reached or None
        How near the optimum iterations over all rows have come, from `train` on; None where
        there were none.
    """

    def __init__(
        self, estimator: Any, resume: Checkpoint | None = None, *, is_stream: bool = False
    ):
        super().__init__(estimator, resume, is_stream)
        self.seed = None if resume is None else resume.seed
        self.tasks: FitTasks | None = None
        self.run: Run
        self.reached: Reached | None = None
        self._has_model = resume is not None

    def begin(self, context: Any) -> None:
        """Tell callbacks, where there are any, that the fit begins."""
        # A context of each epoch that nobody is told of would take longer than a small epoch.
        if has_callbacks(self.estimator):
            self.tasks = self._tasks(context)

    def _tasks(self, context: Any) -> FitTasks:
        """What callbacks are told of this fit."""
        return FitTasks(
            self.estimator, context, self.X, self.y, self.sample_weight, self.attributes
        )

    def start(self, rows: MeasuredRows | None = None) -> None:
        """Hold rows out, weight the classes, measure the rows and make them ready to train on.

        Parameters
        ----------
        rows : MeasuredRows or None, default=None
            What another fit has made of the same rows, weights and seed.
        """
        estimator = self.estimator
        if self.seed is None:
            self.seed = self.draw_seed()
        settings = Settings(**{f.name: getattr(estimator, f.name) for f in fields(Settings)})
        if rows is None:
            self._hold_out()
            self._weight_classes()
            rows = self._measured(settings)
        training = self._training(
            settings, rows, seed=self.seed, resume=self.resume, is_stream=self.is_stream
        )
        history = history_up_to(self.resume, estimator)
        self.run = Run(
            training,
            history,
            self._stopping_rule(training),
            max_epochs=1 if self.is_stream else estimator.max_iter,
            tasks=self.tasks,
            verbose=estimator.verbose,
        )
        if not self.is_stream:
            self.run.start_with_best()
            self._plan_steps()

    def start_from(self, other: Fit) -> None:
        """Begin with the model of another fit, in place of SGD's first epochs.

        It is a fit to the same rows with another penalty, and over.
        """
        before = other.run.training
        model = before.state().started_anew(before.problem)
        self.run.training.hold(model)
        self._has_model = True
        self._plan_steps()

    @property
    def is_over(self) -> bool:
        """Whether no epoch, and no iteration, is to come."""
        return self.reached is not None or self.run.is_over()

    def _plan_steps(self) -> None:
        """Tell the run after how many epochs iterations over all rows follow, if they do."""
        run, has_model = self.run, self._has_model
        if self.estimator.optimizer == "lbfgs":
            # A model to begin with is nearer than what a few epochs of SGD would find.
            n_first = 0 if has_model else first_epochs(run.training)
            run.plan = EpochsOfSteps(min(n_first, int(self.estimator.max_iter) // 2))
        elif self._may_end_in_iterations(run.training):
            run.plan = epochs_of_steps(run.training, has_model=has_model)

    def _may_end_in_iterations(self, training: Training) -> bool:
        """Whether steps that have not sufficed may be followed by iterations over all rows.

        Whoever asks for a number of epochs, or for the best of them on held-out rows, is given
        epochs.
        """
        is_of_steps = self.estimator.tol is None or training.rows.held_out is not None
        return training.settings.may_end_in_iterations and not is_of_steps

    def train(self) -> None:
        """Run the epochs, and go on by iterations over all rows where these are to follow."""
        run = self.run
        run_epochs([run])
        if not run.is_over():
            self.reached = self._descent().go()

    def _descent(self) -> Descent:
        """What goes on from the epochs: as far as `tol` says, that of the optimum or of SGD."""
        run, tol = self.run, self.estimator.tol
        if self.estimator.optimizer == "lbfgs":
            by_frequencies = run.training.rows.frequency_loss
            return self._new_descent(None if tol is None else lambda _: tol * by_frequencies)
        # What batches on the way have told, since losses of iterations are exact. A model to
        # begin with has had no epochs that would have shown how fast it gains.
        of_cold_fit = epochs_of_steps(run.training, has_model=False).most
        run.rule.forget(max(ITERATIONS_BEFORE_A_PLATEAU, of_cold_fit))
        n_waiting = iterations_before_metric(run.training, is_rough=run.rule.is_rough)
        return self._new_descent(
            run.rule.bound_at, n_iterations_before_metric=n_waiting, certifies=False
        )

    def _new_descent(self, *arguments: Any, **named: Any) -> Descent:
        """The `Descent` that runs the iterations of this fit."""
        return Descent(self.run, *arguments, **named)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the estimator as if the fit ended after the last epoch."""
        return fitted_attributes(self.run, *self.namespaces)

    def finish(self) -> None:
        """Give the estimator its attributes after the epochs so far.

        If the run is over, rather than paused, warnings say how it ended, and callbacks are
        told that it did.

        Raises
        ------
        Exception
            What ended the run, if that was an error.
        """
        run, estimator = self.run, self.estimator
        if run.error is not None:
            raise run.error
        if self.is_over and not self.is_stream:
            if run.verbose:
                print(reason(run, estimator, self.reached))
            warn_of_the_end(run, estimator, self.reached, stacklevel=CALLER)
        estimator.__dict__.update(self.attributes())
        if self.is_over:
            self.end()

    def end(self) -> None:
        """Tell callbacks that the estimator is fitted."""
        if self.tasks is not None:
            self.tasks.end()

    def draw_seed(self) -> int:
        """Return the random number that a whole fit follows from."""
        random_state = self.estimator.random_state
        if isinstance(random_state, Integral):
            return _drawn_from(int(random_state))
        return _draw(check_random_state(random_state))

    def _hold_out(self) -> None:
        """Keep a share of the rows to validate on, where `early_stopping` has no others."""
        if self.is_stream or self.held_out or not self.estimator.early_stopping:
            return
        training, held_out = self._split()
        if held_out is not None:
            self.targets, self.held_out = training, HeldOut(self.X, held_out)
            return
        warnings.warn(
            "early_stopping=True can hold out no row, since no class has two: the fit stops on"
            " the training loss instead. Pass X_val and y_val, or set early_stopping=False.",
            UserWarning,
            stacklevel=CALLER,
        )

    def _split(self) -> tuple[Targets, Targets | None]:
        """The rows to train on, and those held out; None where there can be none."""
        assert self.seed is not None
        return hold_out(self.targets, self.estimator.validation_fraction, self.seed)

    def _weight_classes(self) -> None:
        """Multiply the weights of rows by those of their classes, held out or not."""
        # "balanced" looks at the rows that are trained on alone, and weights held-out rows by
        # the same numbers: their loss is compared with that of training.
        of_class = self._weight_of_each_class()
        self.targets = self.targets.with_class_weights(of_class)
        if self.held_out is not None:
            weighted = self.held_out.targets.with_class_weights(of_class)
            self.held_out = replace(self.held_out, targets=weighted)
        if of_class is not None and not of_class.all():
            self._require_rows_that_count()

    def _require_rows_that_count(self) -> None:
        """Refuse rows, to train on or held out, all of which are of classes that weigh 0."""
        parts = {"X": self.targets}
        if self.held_out is not None:
            parts["The rows held out"] = self.held_out.targets
        for name, targets in parts.items():
            if self._n_that_count(targets) == 0:
                raise ValueError(
                    f"{name} must hold a row whose class_weight is not 0, got"
                    f" class_weight={self.estimator.class_weight!r}"
                )

    def _n_that_count(self, targets: Targets) -> int:
        """How many rows have a weight."""
        return targets.n_rows

    def _weight_of_each_class(self) -> NDArray[np.float64] | None:
        """The factors that `class_weight` asks for, None where all are 1."""
        targets = self.targets
        return class_weights(self.estimator.class_weight, targets.classes, targets.counts)

    def _occurring_features(self) -> OccurringFeatures | None:
        """The features that this fit need look at; None for all, as in a stream."""
        if self.is_stream:
            return None
        rows = [self.X] if self.held_out is None else [self.X, self.held_out.X]
        before = None if self.resume is None else self.resume.features_with_weights
        return occurring_features(rows, len(self.targets.classes), before)

    def _measured(self, settings: Settings) -> MeasuredRows:
        """The rows on a backend, which need not see features that occur in none of them."""
        occurring, X, held_out = self._occurring_features(), self.X, self.held_out
        if self.resume is not None:
            self.resume = self.resume.of_features(occurring)
        if occurring is not None:
            X = occurring.of_rows(self.X)
            if held_out is not None:
                is_part = held_out.X is self.X
                rows = X if is_part else occurring.of_rows(held_out.X)
                held_out = replace(held_out, X=rows)
        return self._rows(
            settings,
            self.estimator.backend,
            X,
            self.targets,
            held_out=held_out,
            seed=self.seed,
            earlier=self.resume if self.is_stream else None,
            is_stream=self.is_stream,
            occurring=occurring,
        )

    def _rows(self, *arguments: Any, **named: Any) -> MeasuredRows:
        """The rows of this fit on a backend."""
        return MeasuredRows(*arguments, **named)

    def _training(self, *arguments: Any, **named: Any) -> Training:
        """The `Training` that runs an epoch of this fit."""
        return Training(*arguments, **named)

    def _stopping_rule(self, training: Training) -> Plateau:
        estimator = self.estimator
        is_bounded = estimator.optimizer == "lbfgs"  # which looks at more than losses
        never = self.is_stream or is_bounded or estimator.schedule in PLANNED
        return Plateau(
            None if never else estimator.tol,
            estimator.n_iter_no_change,
            baseline=training.rows.frequency_loss,
            n_batches=training.rows.n_batches,
            has_successor=self._may_end_in_iterations(training),
        )


def _draw(generator: np.random.RandomState) -> int:
    """A random number."""
    return int(generator.randint(np.iinfo(np.int32).max))


@lru_cache
def _drawn_from(random_state: int) -> int:
    """The first one of a generator, which takes longer to make than small rows to measure."""
    return _draw(np.random.RandomState(random_state))


def overflow_is_found_later() -> AbstractContextManager[Any]:
    """Silence NumPy's warnings of overflow: a fit looks for it in losses and coefficients.

    Underflow is none at all: the probabilities of improbable classes end at 0.
    """
    return np.errstate(all="ignore")
