"""The coordinates in which steps are taken, and how long the very first one is.

Both follow from the moments of the features and from a bounded sample of rows: no parameter is
tuned, and no further pass over the rows is needed. This module knows rows and labels, not
models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.statistics import computing_namespace
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import elements_a_row, is_csr, with_data

SAMPLE_ROWS = 512
"""Most rows from which deviations are estimated."""

SAMPLE_ELEMENTS = 2**22
"""Most elements of those rows, unless that leaves fewer than 32 of them."""

DEVIATION_SHARE = 0.3
"""Share of the deviation that a gradient meets which the scale of a step must reach. For a
normal feature, whose is 1.25 standard deviations, the standard deviation is larger."""

ADAM_STEP = 0.01
"""Adam's automatic step: its updates are about as long as the step, whatever the gradient."""


@dataclass(frozen=True)
class Deviations:
    """How far features lie above and below their means, in the mean over sampled rows.

    Parameters
    ----------
    above, below : ndarrays of shape (n_features,), float64
        Weighted means of the deviations to either side, 0 for rows on the other one.
    agreement : ndarray of shape (n_features,), float64
        How often two rows have one value; 1 where there was a single row.
    weight : float
        Sum of the weights of all rows that the sample stands for.
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    agreement: NDArray[np.float64]
    weight: float

    def merge(self, other: Deviations) -> Deviations:
        """Return the deviations of both samples together.

        Parameters
        ----------
        other : Deviations
            Of other rows, from the means of that time.

        Returns
        -------
        Deviations
            Weighted means.
        """
        weight = self.weight + other.weight
        share = other.weight / weight

        def mean(mine: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
            return mine + share * (others - mine)

        return Deviations(
            mean(self.above, other.above),
            mean(self.below, other.below),
            mean(self.agreement, other.agreement),
            weight,
        )

    @property
    def absolute(self) -> NDArray[np.float64]:
        """The mean absolute deviation.

        Over all rows both sides are equal. A sample that misses the few rows in which a rare
        feature is large still sees the other side.
        """
        return 2 * np.maximum(self.above, self.below)


@dataclass(frozen=True)
class Coordinates:
    """The coordinates in which a step is taken: ``(x - centre) / scale``.

    Parameters
    ----------
    centre : ndarray of shape (n_features,), or None
        What is subtracted; None for nothing.
    scale : ndarray of shape (n_features,)
        What is divided by; inf for a constant feature.
    intercept_scale : float
        What the column of ones beside the features is divided by.
    """

    centre: NDArray[np.float64] | None
    scale: NDArray[np.float64]
    intercept_scale: float = 1.0

    def gram(
        self, xp: Any, x: Array, fit_intercept: bool, others: Array | None = None
    ) -> Array:
        """Return the products of rows with each other in these coordinates.

        Parameters
        ----------
        xp : module
            The namespace of x.
        x : array of shape (n_rows, n_features)
            Rows in the caller's units, dense or CSR.
        fit_intercept : bool
            Whether a column of ones stands beside the features.
        others : array of shape (n_others, n_features), optional
            Rows to multiply by those of x, in place of x itself.

        Returns
        -------
        array of shape (n_rows or n_others, n_rows), float64
            No zero of CSR rows is stored on the way.
        """
        z = self._standardised(xp, x)
        left = z if others is None else self._standardised(xp, others)
        if is_csr(x):
            products = (left @ z.T).toarray()
            if self.centre is not None:
                centre = xp.asarray(self.centre) * xp.asarray(1 / self.scale)
                # (z - c)(z - c)' = z z' - z c - c z' + c c: no row is centred, which would fill
                # in zeros.
                products -= (left @ centre)[:, None] + z @ centre
                products += centre @ centre
        else:
            products = left @ z.T
        return products + fit_intercept / self.intercept_scale**2

    def _standardised(self, xp: Any, x: Array) -> Array:
        """Rows in these coordinates and float64; CSR rows are not centred."""
        inverse = xp.asarray(1 / self.scale)
        if is_csr(x):
            return with_data(x, x.data.astype(np.float64) * inverse[x.indices])
        z = xp.array(x, dtype=np.float64)
        if self.centre is not None:
            z -= xp.asarray(self.centre)
        z *= inverse
        return z


def automatic_coordinates(
    moments: Moments, deviations: Deviations, *, fit_intercept: bool
) -> Coordinates:
    r"""Return the coordinates of steps that find their own size.

    A step scales feature j by its standard deviation, or, where at least half of the pairs of
    rows agree in it, by :math:`\max(\sigma_j, 0.3\, \sigma_j^2 / \delta_j)`, with
    :math:`\delta_j` the mean absolute deviation. :math:`\sigma^2 / \delta` is the deviation
    that a gradient meets, in which a row counts by how far out it lies: about half the range
    of a feature that is nearly constant, like a pixel at the rim of an image, and there many
    standard deviations. Divided by these alone, the few rows that have it would be huge. A
    feature that is spread out with a few glitches, or heavy tails, keeps its standard
    deviation: what it tells lies in the many rows that are not far out.

    Eigenvalues of the second moment of the scaled features add up to
    :math:`S = \sum_j \sigma_j^2 / s_j^2`, and the largest lies between 1 and S. The intercepts
    are given the curvature :math:`\sqrt S`: with 1 they would be the slowest of all where
    features are many.

    Parameters
    ----------
    moments : Moments
        Of the features.
    deviations : Deviations
        Of a sample of their rows.
    fit_intercept : bool
        Whether intercepts move; features are centred then.

    Returns
    -------
    Coordinates
        Scales are standard deviations times powers of the fourth root of 2.
    """
    sigma = moments.scale
    centre = moments.mean if fit_intercept else None
    most = moments.step_scale(centre)
    with np.errstate(divide="ignore"):
        # sigma * (sigma / delta), not sigma**2 / delta: the square may leave the range.
        met = DEVIATION_SHARE * sigma * (sigma / deviations.absolute)
    is_rare = deviations.agreement >= 0.5
    # At least the deviation, and at most what bounds the largest row.
    scale = np.where(is_rare, np.clip(met, sigma, most), sigma)
    scale = on_grid(np.where(np.isinf(most), np.inf, scale), sigma)
    total = float(((sigma / scale) ** 2).sum())
    return Coordinates(centre, scale, max(1.0, total) ** -0.25)


def on_grid(step_scale: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[Any]:
    """Round step scales up to multiples of the scales by powers of the fourth root of 2.

    Features of the same multiple meet the same penalty in the coordinates of the step, and
    sparse rows are trained group by group of these.

    Parameters
    ----------
    step_scale : ndarray of shape (n_features,)
        At least `scale`; inf for constant features.
    scale : ndarray of shape (n_features,)
        Positive.

    Returns
    -------
    ndarray of shape (n_features,), float64
        At most 19% more than `step_scale`.
    """
    power = np.ceil(4 * np.log2(step_scale / scale) - 1e-9)
    rounded: NDArray[np.float64] = scale * 2 ** (power / 4)
    return rounded


def measure_deviations(
    backend: Backend,
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    means: NDArray[np.float64],
    rng: np.random.Generator,
) -> Deviations:
    """Measure how far features lie from their means, on a bounded random sample of rows.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_rows, n_features)
        Rows in the caller's units.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones of 1.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.
    means : ndarray of shape (n_features,), float64
        Of the features.
    rng : numpy.random.Generator
        Draws the sample.

    Returns
    -------
    Deviations
        Whose weight is that of all rows.
    """
    size = min(SAMPLE_ROWS, max(32, SAMPLE_ELEMENTS // elements_a_row(X)))
    chosen, total = _sample(X, rows, size, rng), _total_weight(X, weights, rows)
    x = X[chosen]
    xp = computing_namespace(backend, x)
    centre = xp.asarray(means)
    w = np.ones(len(chosen)) if weights is None else weights[chosen].astype(np.float64)
    w = xp.asarray(w / w.sum())
    # Each row of the first half of the sample beside one of the second half.
    n_pairs = len(chosen) // 2
    first, second = x[:n_pairs], x[n_pairs : 2 * n_pairs]
    if is_csr(x):
        # Every row as if it held no element, and then what its elements change.
        above, below = xp.maximum(-centre, 0), xp.maximum(centre, 0)
        elements = x.tocoo()
        columns, of_element = elements.col, w[elements.row]
        deviation = elements.data.astype(np.float64) - centre[columns]
        more_above = of_element * (xp.maximum(deviation, 0) - above[columns])
        more_below = of_element * (xp.maximum(-deviation, 0) - below[columns])
        above = above + xp.bincount(columns, more_above, minlength=len(means))
        below = below + xp.bincount(columns, more_below, minlength=len(means))
        apart = (first.astype(np.float64) - second.astype(np.float64)).tocoo()
        differ = xp.bincount(apart.col, apart.data != 0, minlength=len(means))
    else:
        deviation = xp.asarray(x, dtype=np.float64) - centre
        above = w @ xp.maximum(deviation, 0)
        below = above - w @ deviation  # since deviations add up to above minus below
        differ = (first != second).sum(axis=0)
    sides = xp.stack([above, below, xp.asarray(differ, dtype=np.float64)])
    above, below, differ = backend.to_numpy(sides).astype(np.float64, copy=False)
    agreement = 1 - differ / max(1, n_pairs)
    return Deviations(np.maximum(above, 0), np.maximum(below, 0), agreement, total)


def measure_curvature(
    backend: Backend,
    X: Array,
    codes: NDArray[np.int32],
    n_classes: int,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    coordinates: Coordinates,
    *,
    fit_intercept: bool,
    batch_size: int,
    rng: np.random.Generator,
) -> float:
    r"""Measure the curvature along a first gradient: one over it is the first step.

    With R the residuals of the untrained model, K the products of the batch's rows with each
    other and 1/2 the bound on the Hessian of the softmax loss, the gradient is
    :math:`G = R^T X / b` and the curvature along it at most
    :math:`|X G^T|^2 / (2 b |G|^2) = |K R|^2 / (2 b \langle R, K R \rangle)`: no array is as
    large as the model.

    The bound is met where two classes share a row's probability. Before the first step k
    classes do, and the Hessian is 1/k at most: the step may be k/2 times as long, unless the
    gradient of the batch is mostly noise. So another batch decides: from four classes on the
    step is doubled as long as that lowers the loss of other rows, and never beyond k/2 times.

    Parameters
    ----------
    backend, X, rows, rng
        As in `measure_deviations`.
    codes : ndarray of shape (n_rows,), int32
        Class codes.
    n_classes : int
        Number of classes.
    weights : ndarray of shape (n_rows,), or None
        Row weights of mean 1.
    coordinates : Coordinates
        The coordinates of the step.
    fit_intercept : bool
        Whether intercepts move.
    batch_size : int
        Rows of a batch.

    Returns
    -------
    float
        Positive.

    References
    ----------
    Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of
    Statistical Mathematics 44, 1992.
    """
    most = max(0, n_classes.bit_length() - 2)  # doublings within n_classes / 2
    count = X.shape[0] if rows is None else len(rows)
    if most > 0 and count >= 2 * batch_size:
        both = _sample(X, rows, 2 * batch_size, rng)
        chosen, others = both[::2], both[1::2]
    else:
        chosen, others = _sample(X, rows, batch_size, rng), np.zeros(0, np.int64)
    x = X[chosen]
    xp = computing_namespace(backend, x)
    products = coordinates.gram(xp, x, fit_intercept)
    w = _weights_of(chosen, weights)
    # The untrained model gives each class the same probability.
    residual = np.full((len(chosen), n_classes), 1 / n_classes)
    residual[np.arange(len(chosen)), codes[chosen]] -= 1
    residual *= w[:, None]
    residual = xp.asarray(residual)
    # K R: the scores after a step along the gradient, up to its size.
    scores = products @ residual
    slope = float((residual * scores).sum())
    if not slope > 0:
        # A batch that says nothing: no gradient can be longer than its rows.
        return float(xp.trace(products)) / (2 * len(chosen)) or 1.0
    scores *= scores
    bound = float(xp.asarray(w) @ scores.sum(axis=1)) / (2 * len(chosen) * slope)
    if len(others) == 0:
        return bound
    del scores  # for many classes the largest array here, as is what takes its place
    moved = coordinates.gram(xp, x, fit_intercept, X[others]) @ residual
    del residual
    moved *= -1 / (bound * len(chosen))
    n_doublings = _doublings(xp, moved, codes[others], _weights_of(others, weights), most)
    return math.ldexp(bound, -n_doublings)


def _weights_of(chosen: NDArray[np.int64], weights: NDArray[Any] | None) -> NDArray[np.float64]:
    """The weights of some rows."""
    return np.ones(len(chosen)) if weights is None else weights[chosen].astype(np.float64)


def _doublings(
    xp: Any, scores: Array, codes: NDArray[np.int32], weights: NDArray[np.float64], most: int
) -> int:
    """How often scores can be doubled while that lowers the loss, at most so many times.

    They are doubled in place.
    """
    w, rows, codes = xp.asarray(weights), xp.arange(len(codes)), xp.asarray(codes)
    least = np.inf
    for i in range(most + 1):
        if i > 0:
            scores *= 2
        moved = scores - xp.max(scores, axis=1, keepdims=True)
        losses = xp.log(xp.exp(moved).sum(axis=1)) - moved[rows, codes]
        loss = float(w @ losses)
        if not loss < least:
            return max(0, i - 1)
        least = loss
    return most


def _sample(
    X: Array,
    rows: NDArray[np.int64] | None,
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Numbers of at most so many of the rows that count, in ascending order."""
    count = X.shape[0] if rows is None else len(rows)
    chosen = np.sort(rng.choice(count, min(count, size), replace=False, shuffle=False))
    return chosen if rows is None else rows[chosen]


def _total_weight(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> float:
    """The weight of the rows that count."""
    if weights is not None:
        return float(weights.sum(dtype=np.float64))
    return float(X.shape[0] if rows is None else len(rows))
