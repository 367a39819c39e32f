"""The rows of a fit with the statistics of their features, from which steps follow.

Everything here is known before the first step, and serves all candidates of a search that train
on the same rows. This module must not know epochs, nor the model that is trained.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.distance_over_gradients import last_step
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.registry import candidate_backends
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.arrays import Array, training_dtype
from sksoftmax.data.holdout import HeldOut
from sksoftmax.data.occurring import OccurringFeatures
from sksoftmax.data.rows import is_csr
from sksoftmax.data.stored import StoredRows
from sksoftmax.data.targets import Targets
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.coordinates import Coordinates, automatic_coordinates, on_grid
from sksoftmax.training.curvature import measure_curvature
from sksoftmax.training.deviations import Deviations, measure_deviations
from sksoftmax.training.drawn_rows import drawn_by_length
from sksoftmax.training.metric import rows_of_hessian
from sksoftmax.training.newton import NewtonStep, newton_step_pays
from sksoftmax.training.passes import Measure
from sksoftmax.training.placed_rows import PlacedRows
from sksoftmax.training.settings import Settings

MANY_ROWS = 1.5
"""How many times as many rows there must be as are to be drawn, for that to be worth it."""


class MeasuredRows(PlacedRows):
    """Rows and targets on a backend, with their statistics.

    Parameters
    ----------
    settings, X, targets, held_out, earlier, occurring
        As in PlacedRows. Candidates of a search that share these rows differ in none of the
        settings that are read here, but for the penalty and the rule of `problem`.
    backend : str or Backend
        A name, "auto" or a backend object.
    seed : int
        Draws the samples that are measured.
    is_stream : bool
        Whether these rows are a chunk of a stream.

    Attributes
    ----------
    dtype : numpy dtype
        Of the arithmetic.
    weights : ndarray of shape (n_rows,), or None
        Of mean 1 over all rows so far; None where all are 1.
    moments, deviations : Moments or None, Deviations or None
        Of the features; None where no scale follows from them.
    mean, scale : ndarrays of shape (n_features,), float64
        Of the features; 0 and 1 without standardising.
    coordinates : Coordinates
        In which steps are taken.
    curvature : float or None
        Of the loss along its first gradient; None for steps of a given size.
    """

    def __init__(
        self,
        settings: Settings,
        backend: str | Backend,
        X: Array,
        targets: Targets,
        *,
        held_out: HeldOut | None = None,
        seed: int,
        earlier: Checkpoint | None = None,
        is_stream: bool = False,
        occurring: OccurringFeatures | None = None,
    ):
        rows = settings, X, targets
        super().__init__(*rows, held_out=held_out, earlier=earlier, occurring=occurring)
        self._batches_are_noisy = is_stream or self.n_batches > 1
        self._seed = seed
        # Whether a backend can train the rows may depend on how it places them. The first that
        # can keeps them; where none can, the last one says why not, in `problem`.
        n_multiplications = self.n_elements(X) * len(targets.classes)
        for candidate in candidate_backends(backend, X, n_multiplications):
            self._place(X, candidate)
            self.dtype = training_dtype(self.placed.dtype)
            self.weights = self._mean_one_weights(self.dtype)
            self._measure(earlier)
            self._first_problem = self._problem(settings)
            if self._reason_against(self._first_problem) is None:
                break

    def _measure(self, earlier: Checkpoint | None) -> None:
        """Measure means and scales of the rows, merged with those of earlier chunks."""
        self._rng = np.random.default_rng([self._seed, 0])
        self.moments: Moments | None = None
        self.deviations: Deviations | None = None
        self.mean, self.scale = np.zeros(self.n_features), np.ones(self.n_features)
        self.coordinates = Coordinates(None, self.scale)
        if self.settings.standardize:
            moments = self._moments_of_rows()
            if earlier is not None and earlier.moments is not None:
                moments = earlier.moments.merge(moments)
            self.moments, self.mean, self.scale = moments, moments.mean, moments.scale
            if self.settings.is_automatic:
                self.coordinates = self._automatic_coordinates(moments, earlier)
            else:
                self.coordinates = self._given_coordinates(moments)
        self.curvature: float | None = None
        if self.settings.is_automatic:
            # A stream that has taken its first step needs no other one.
            goes_on = earlier is not None and last_step(earlier.state) > 0
            self.curvature = 1.0 if goes_on else self._curvature_of_rows()

    def _automatic_coordinates(
        self, moments: Moments, earlier: Checkpoint | None
    ) -> Coordinates:
        """Coordinates of steps that find their own size, for dense and sparse rows alike."""
        deviations = self._deviations_of_rows()
        if earlier is not None and earlier.deviations is not None:
            deviations = earlier.deviations.merge(deviations)
        self.deviations = deviations
        return automatic_coordinates(
            moments, deviations, fit_intercept=self.settings.fit_intercept
        )

    def _given_coordinates(self, moments: Moments) -> Coordinates:
        """Coordinates of steps of a given size: CSR rows are not centred, to stay sparse."""
        if is_csr(self.placed):
            return Coordinates(None, on_grid(moments.step_scale(None), moments.scale))
        centre = moments.mean if self.settings.fit_intercept else None
        return Coordinates(centre, moments.step_scale(centre))

    def _moments_of_rows(self) -> Moments:
        """Moments of the features in these rows, without earlier chunks."""
        weights, rows = self.targets.weights, self.targets.rows
        return feature_moments(self.backend, self.placed, weights, rows)

    @cached_property
    def moments_of_features(self) -> Moments:
        """Moments of the features in these rows, measured where no scale has asked for them."""
        return self._moments_of_rows() if self.moments is None else self.moments

    def _deviations_of_rows(self) -> Deviations:
        """Deviations of the features in these rows, without earlier chunks."""
        weights, rows = self.targets.weights, self.targets.rows
        return measure_deviations(
            self.backend, self.placed, weights, rows, self.mean, self._rng
        )

    def _curvature_of_rows(self) -> float:
        """Curvature of the loss of one batch of these rows, along its first gradient."""
        return measure_curvature(
            self.backend,
            self.placed,
            self.targets.codes,
            len(self.targets.classes),
            self.weights,
            self.targets.rows,
            self.coordinates,
            fit_intercept=self.settings.fit_intercept,
            batch_size=self.batch_size,
            rng=self._rng,
        )

    @cached_property
    def newton_step(self) -> NewtonStep | None:
        """The step from which a fit may begin; None where it does not pay, or is not known."""
        n_classes = len(self.targets.classes)
        is_stored = isinstance(self.placed, StoredRows)
        if self.moments is None or is_stored or not self.settings.fit_intercept:
            return None
        if not self.targets.counts.all():  # of a class without weight nothing is known
            return None
        if not newton_step_pays(self.n_rows, self.n_features, n_classes):
            return None
        rng = np.random.default_rng([self._seed, 0, 2])
        rows = self.backend, self.placed, self.targets
        return NewtonStep(*rows, self.moments, self.dtype, rng)

    def problem(self, settings: Settings) -> Problem:
        """Return what a backend is given to train.

        Parameters
        ----------
        settings : Settings
            Of one candidate that trains on these rows.

        Returns
        -------
        Problem
            Of one model.

        Raises
        ------
        ValueError
            If the backend cannot train it.
        """
        is_first = settings is self.settings  # whose problem the constructor has made
        problem = self._first_problem if is_first else self._problem(settings)
        reason = self._reason_against(problem)
        if reason is not None:
            raise ValueError(f"Backend {self.backend.name!r} cannot train this: {reason}")
        return problem

    def _reason_against(self, problem: Problem) -> str | None:
        """Why the backend cannot train a problem; None where it can."""
        return self.backend.supports(problem)

    def _problem(self, settings: Settings) -> Problem:
        coordinates = self.coordinates
        l2, l1 = self.penalty(settings)
        noisy = self._batches_are_noisy
        return Problem(
            X=self.placed,
            y=self.targets.codes,
            weights=self.weights,
            n_classes=len(self.targets.classes),
            dtype=self.dtype,
            batch_size=self.batch_size,
            l2=np.array([l2]),
            l1=np.array([l1]),
            # The short last batch takes as much of the penalty as any other: see Problem.
            penalty_share=self.n_rows / (self.n_batches * self.batch_size),
            # A full batch has no noise to average: there the average only lags.
            average=settings.is_automatic or (settings.average and noisy),
            fit_intercept=settings.fit_intercept,
            means=coordinates.centre,
            scales=self.scale,
            step_scales=coordinates.scale,
            intercept_scale=coordinates.intercept_scale,
            # The loss was measured alone; along any direction the squared penalty curves by l2.
            curvature=None if self.curvature is None else np.array([self.curvature + l2]),
            rule=settings.rule(noisy),
            n_threads=effective_n_jobs(settings.n_jobs),
        )

    def mean_over_drawn(self, measure: Measure) -> NDArray[np.float64]:
        """Return about what `mean_over_rows` does, from the share of the rows that is drawn."""
        return self._mean_over(measure, self.placed, self._drawn)

    @property
    def share_drawn(self) -> float:
        """The share of the rows that tells second derivatives, 1 where drawing does not pay."""
        n_drawn, n_rows = rows_of_hessian(self.n_features), self.targets.n_rows
        are_few = isinstance(self.placed, StoredRows) or n_rows <= MANY_ROWS * n_drawn
        return 1.0 if are_few else n_drawn / n_rows

    @cached_property
    def _drawn(self) -> Targets:
        """The targets of such a share: one draw for all metrics of a fit."""
        n_drawn, moments = rows_of_hessian(self.n_features), self.moments_of_features
        rng, rows = np.random.default_rng([self._seed, 0, 3]), (self.backend, self.placed)
        return drawn_by_length(*rows, self.targets, moments, n_drawn, rng)
