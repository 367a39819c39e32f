"""A few rows that stand for all, where a sum over them need not be exact.

Second derivatives only say how to step: an estimate from some thousand rows does as well. This
module must not know what is summed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.statistics import computing_namespace
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import SLICE_ELEMENTS, is_csr, row_slices, with_data
from sksoftmax.data.targets import Targets
from sksoftmax.training.deviations import weights_of

SHARE_OF_MEAN = 0.1
"""What is added to each row's length, as a share of the mean: no row counts too many times."""

ROUNDS = 4
"""How often the rows that are drawn for certain leave their places to the others."""


def drawn_by_length(
    backend: Backend,
    X: Array,
    targets: Targets,
    moments: Moments,
    n_rows: int,
    rng: np.random.Generator,
) -> Targets:
    """Return about so many rows, drawn by their squared lengths in standardised coordinates.

    Drawn alike, most samples would miss the few rows that a rare category, or a heavy tail, is
    all about. By their lengths, each feature decides on an equal share of them.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_all, n_features)
        Rows in memory, dense or CSR.
    targets : Targets
        Their labels and weights.
    moments : Moments
        Of the features.
    n_rows : int
        How many to draw, in the mean.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Targets
        As if the others had no weight. The weight of a row is divided by the probability with
        which it is drawn, so that sums are right in the mean.

    References
    ----------
    Xu, Yang, Roosta, Re and Mahoney, "Sub-sampled Newton methods with non-uniform sampling",
    NeurIPS 2016.
    """
    rows = np.arange(len(targets.codes)) if targets.rows is None else targets.rows
    weights = weights_of(rows, targets.weights)
    lengths = _squared_lengths(backend, X, targets.rows, moments)
    shares = weights * (lengths + SHARE_OF_MEAN * (lengths.mean() or 1.0))
    probabilities = _probabilities(shares, n_rows)
    is_drawn = rng.random(len(rows)) < probabilities
    of_all = np.zeros(len(targets.codes))
    of_all[rows[is_drawn]] = weights[is_drawn] / probabilities[is_drawn]
    return replace(targets, weights=of_all, rows=rows[is_drawn])


def _probabilities(shares: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
    """In proportion to the shares, at most 1, and such that so many rows are to be expected."""
    probabilities: NDArray[np.float64] = n_rows * shares / shares.sum()
    for _ in range(ROUNDS):
        is_certain = probabilities >= 1
        if not is_certain.any():
            break
        probabilities[is_certain] = 1.0
        others = probabilities[~is_certain]
        n_left = n_rows - np.count_nonzero(is_certain)
        probabilities[~is_certain] = n_left * others / others.sum()
    probabilities = np.minimum(1.0, probabilities)
    return probabilities


def _squared_lengths(
    backend: Backend, X: Array, rows: NDArray[np.int64] | None, moments: Moments
) -> NDArray[np.float64]:
    """How far rows are from the mean of all, squared, in deviations."""
    # Two products with a vector for each slice: to centre rows first would take twice as long.
    # What rounding loses of rows far from zero changes no more than how often they are drawn.
    xp, inverse = computing_namespace(backend, X), 1 / moments.scale
    centre = moments.mean * inverse
    inverse, ones = xp.asarray(inverse), xp.asarray(np.ones(X.shape[1]))
    twice = xp.asarray(2 * centre)
    parts, room = [], None
    for part in row_slices(X, rows, SLICE_ELEMENTS):
        x = X[part]
        if is_csr(x):
            z = with_data(x, x.data.astype(np.float64) * inverse[x.indices])
            of_centre, squares = z @ twice, with_data(x, z.data**2)
        else:
            # One room for all slices, of which the first is the longest: new memory is slow.
            room = xp.zeros(x.shape, dtype=np.float64) if room is None else room
            squares = room[: x.shape[0]]
            squares[...] = x
            squares *= inverse
            of_centre = squares @ twice
            squares *= squares
        parts.append(backend.to_numpy(squares @ ones - of_centre))
    lengths: NDArray[np.float64] = np.concatenate(parts) + centre @ centre
    return np.maximum(lengths, 0.0)
