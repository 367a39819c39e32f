"""A minibatch of dense rows, from gathering to the gradient, in registers and in the cache.

Products go by tiles of four rows and five classes, or two where registers are few, whose sums
stay in registers while a row passes once; the rows of the next block are asked for meanwhile.
Sums may be taken in any order, but nothing is assumed of infinities or NaN. These functions
know arrays only.
"""

from __future__ import annotations

from typing import Any

from sksoftmax_numba.compilation import inlined_in_place
from sksoftmax_numba.half import number_of
from sksoftmax_numba.intrinsics import MANY_REGISTERS, PREFETCHES, prefetch
from sksoftmax_numba.residuals import sigmoid_minus_targets, softmax_minus_targets_by_class

ROWS, CLASSES = 4, 5 if MANY_REGISTERS else 2
"""Rows and classes of a tile: its sums take 20 of 32 registers, or 8 of 16."""

CACHED_BYTES = 2**22
"""Bytes of rows that caches hold: there they are near enough without being asked for."""


@inlined_in_place
def scores_of_five(x: Any, r: int, coef: Any, c: int, z: Any) -> None:
    """z[c:c+5, r:r+4] = coef[c:c+5] @ x[r:r+4].T."""
    zero = x.dtype.type(0)
    s00 = s01 = s02 = s03 = s04 = zero
    s10 = s11 = s12 = s13 = s14 = zero
    s20 = s21 = s22 = s23 = s24 = zero
    s30 = s31 = s32 = s33 = s34 = zero
    x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
    w0, w1, w2, w3, w4 = coef[c], coef[c + 1], coef[c + 2], coef[c + 3], coef[c + 4]
    for j in range(x.shape[1]):
        v0, v1, v2, v3 = x0[j], x1[j], x2[j], x3[j]
        w = w0[j]
        s00, s10, s20, s30 = s00 + v0 * w, s10 + v1 * w, s20 + v2 * w, s30 + v3 * w
        w = w1[j]
        s01, s11, s21, s31 = s01 + v0 * w, s11 + v1 * w, s21 + v2 * w, s31 + v3 * w
        w = w2[j]
        s02, s12, s22, s32 = s02 + v0 * w, s12 + v1 * w, s22 + v2 * w, s32 + v3 * w
        w = w3[j]
        s03, s13, s23, s33 = s03 + v0 * w, s13 + v1 * w, s23 + v2 * w, s33 + v3 * w
        w = w4[j]
        s04, s14, s24, s34 = s04 + v0 * w, s14 + v1 * w, s24 + v2 * w, s34 + v3 * w
    z[c, r], z[c + 1, r], z[c + 2, r], z[c + 3, r], z[c + 4, r] = s00, s01, s02, s03, s04
    r += 1
    z[c, r], z[c + 1, r], z[c + 2, r], z[c + 3, r], z[c + 4, r] = s10, s11, s12, s13, s14
    r += 1
    z[c, r], z[c + 1, r], z[c + 2, r], z[c + 3, r], z[c + 4, r] = s20, s21, s22, s23, s24
    r += 1
    z[c, r], z[c + 1, r], z[c + 2, r], z[c + 3, r], z[c + 4, r] = s30, s31, s32, s33, s34


@inlined_in_place
def scores_of_two(x: Any, r: int, coef: Any, c: int, z: Any) -> None:
    """z[c:c+2, r:r+4] = coef[c:c+2] @ x[r:r+4].T."""
    zero = x.dtype.type(0)
    s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = zero
    x0, x1, x2, x3, w0, w1 = x[r], x[r + 1], x[r + 2], x[r + 3], coef[c], coef[c + 1]
    for j in range(x.shape[1]):
        v0, v1, v2, v3 = x0[j], x1[j], x2[j], x3[j]
        w = w0[j]
        s00, s10, s20, s30 = s00 + v0 * w, s10 + v1 * w, s20 + v2 * w, s30 + v3 * w
        w = w1[j]
        s01, s11, s21, s31 = s01 + v0 * w, s11 + v1 * w, s21 + v2 * w, s31 + v3 * w
    z[c, r], z[c + 1, r], z[c, r + 1], z[c + 1, r + 1] = s00, s01, s10, s11
    z[c, r + 2], z[c + 1, r + 2], z[c, r + 3], z[c + 1, r + 3] = s20, s21, s30, s31


@inlined_in_place
def _scores_of_class(x: Any, r: int, coef: Any, c: int, z: Any) -> None:
    """z[c, r:r+4] = x[r:r+4] @ coef[c]."""
    s0 = s1 = s2 = s3 = x.dtype.type(0)
    x0, x1, x2, x3, w = x[r], x[r + 1], x[r + 2], x[r + 3], coef[c]
    for j in range(x.shape[1]):
        s0 += x0[j] * w[j]
        s1 += x1[j] * w[j]
        s2 += x2[j] * w[j]
        s3 += x3[j] * w[j]
    z[c, r], z[c, r + 1], z[c, r + 2], z[c, r + 3] = s0, s1, s2, s3


@inlined_in_place
def add_five(x: Any, r: int, gradient: Any, c: int, z: Any) -> None:
    """gradient[c:c+5] += z[c:c+5, r:r+4] @ x[r:r+4]."""
    x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
    g0, g1, g2 = gradient[c], gradient[c + 1], gradient[c + 2]
    g3, g4 = gradient[c + 3], gradient[c + 4]
    a0, b0, c0, d0 = z[c, r], z[c, r + 1], z[c, r + 2], z[c, r + 3]
    a1, b1, c1, d1 = z[c + 1, r], z[c + 1, r + 1], z[c + 1, r + 2], z[c + 1, r + 3]
    a2, b2, c2, d2 = z[c + 2, r], z[c + 2, r + 1], z[c + 2, r + 2], z[c + 2, r + 3]
    a3, b3, c3, d3 = z[c + 3, r], z[c + 3, r + 1], z[c + 3, r + 2], z[c + 3, r + 3]
    a4, b4, c4, d4 = z[c + 4, r], z[c + 4, r + 1], z[c + 4, r + 2], z[c + 4, r + 3]
    for j in range(x.shape[1]):
        v0, v1, v2, v3 = x0[j], x1[j], x2[j], x3[j]
        g0[j] += a0 * v0 + b0 * v1 + c0 * v2 + d0 * v3
        g1[j] += a1 * v0 + b1 * v1 + c1 * v2 + d1 * v3
        g2[j] += a2 * v0 + b2 * v1 + c2 * v2 + d2 * v3
        g3[j] += a3 * v0 + b3 * v1 + c3 * v2 + d3 * v3
        g4[j] += a4 * v0 + b4 * v1 + c4 * v2 + d4 * v3


@inlined_in_place
def add_two(x: Any, r: int, gradient: Any, c: int, z: Any) -> None:
    """gradient[c:c+2] += z[c:c+2, r:r+4] @ x[r:r+4]."""
    x0, x1, x2, x3, g0, g1 = x[r], x[r + 1], x[r + 2], x[r + 3], gradient[c], gradient[c + 1]
    a0, b0, c0, d0 = z[c, r], z[c, r + 1], z[c, r + 2], z[c, r + 3]
    a1, b1, c1, d1 = z[c + 1, r], z[c + 1, r + 1], z[c + 1, r + 2], z[c + 1, r + 3]
    for j in range(x.shape[1]):
        v0, v1, v2, v3 = x0[j], x1[j], x2[j], x3[j]
        g0[j] += a0 * v0 + b0 * v1 + c0 * v2 + d0 * v3
        g1[j] += a1 * v0 + b1 * v1 + c1 * v2 + d1 * v3


@inlined_in_place
def _add_class(x: Any, r: int, gradient: Any, c: int, z: Any) -> None:
    """gradient[c] += z[c, r:r+4] @ x[r:r+4]."""
    x0, x1, x2, x3, g = x[r], x[r + 1], x[r + 2], x[r + 3], gradient[c]
    a, b, c_, d = z[c, r], z[c, r + 1], z[c, r + 2], z[c, r + 3]
    for j in range(x.shape[1]):
        g[j] += a * x0[j] + b * x1[j] + c_ * x2[j] + d * x3[j]


_scores_of_tile = scores_of_five if MANY_REGISTERS else scores_of_two
_add_tile = add_five if MANY_REGISTERS else add_two


@inlined_in_place
def gather(X: Any, rows: Any, x: Any) -> int:
    """Copy rows into x in its dtype, and zeros up to a whole tile; return the rows then."""
    count = len(rows)
    for i in range(count):
        row = rows[i]
        for j in range(X.shape[2]):
            x[i, j] = number_of(X[0, row, j])
    n_tiled = (count + ROWS - 1) // ROWS * ROWS
    for i in range(count, n_tiled):
        x[i] = 0
    return n_tiled


@inlined_in_place
def _prefetch_share(X: Any, rows: Any, r: int, share: int, n_shares: int) -> None:
    """Prefetch a share of a tile's rows: memory takes no more requests than these at once."""
    if not PREFETCHES:
        return
    # Elements of a cache line: one request fetches them all.
    line = max(1, 64 // X.itemsize)
    stop = r + ROWS * (share + 1) // n_shares
    for i in range(r + ROWS * share // n_shares, min(stop, len(rows))):
        for j in range(0, X.shape[2], line):
            prefetch(X[0], rows[i], j)


@inlined_in_place
def copy_coefficients(parameters: Any, means: Any, coef: Any, intercept: Any) -> None:
    """Copy weights into aligned rows, and the intercepts of features that are not centred."""
    for c in range(parameters.shape[0]):
        shift = coef.dtype.type(0)
        for j in range(len(means)):
            weight = parameters[c, j]
            coef[c, j] = weight
            # W (x - m) + c = W x + (c - W m): rows need not be centred.
            shift += weight * means[j]
        intercept[c] = parameters[c, len(means)] - shift


@inlined_in_place
def _write_scores(
    x: Any, n_tiled: int, coef: Any, z: Any, X: Any, ahead: Any, n_shares: int
) -> None:
    """Write coef @ x.T to z; ask for the first half of the shares of the rows ahead."""
    n_tiles = len(coef) // CLASSES
    tiled = n_tiles * CLASSES  # the classes in whole tiles; products count the shares
    for r in range(0, n_tiled, ROWS):
        for c in range(0, tiled, CLASSES):
            _prefetch_share(X, ahead, r, c // CLASSES, n_shares)
            _scores_of_tile(x, r, coef, c, z)
        for c in range(tiled, len(coef)):
            _prefetch_share(X, ahead, r, n_tiles + c - tiled, n_shares)
            _scores_of_class(x, r, coef, c, z)


@inlined_in_place
def _residuals(
    here: Any, y: Any, weights: Any, intercept: Any, z: Any, room: Any, of_intercept: Any
) -> float:
    """Turn the scores of some rows into residuals, and sum these; return the loss."""
    codes, of_rows, of_softmax = room
    lost: float
    for i in range(len(here)):
        codes[i] = y[here[i]]
    for i in range(min(len(here), len(of_rows))):
        of_rows[i] = weights[here[i]]
    if len(intercept) == 2:
        lost, total = sigmoid_minus_targets(z[0], intercept, codes[: len(here)], of_rows)
        of_intercept[1] += total
        of_intercept[0] -= total
        return lost
    for c in range(len(intercept)):
        for i in range(len(here)):
            z[c, i] += intercept[c]
    lost = softmax_minus_targets_by_class(z, codes[: len(here)], of_rows, of_softmax)
    for c in range(len(intercept)):
        total = z.dtype.type(0)
        for i in range(len(here)):
            total += z[c, i]
        of_intercept[c] += total
    return lost


@inlined_in_place
def _add_products(
    x: Any, n_tiled: int, gradient: Any, z: Any, X: Any, ahead: Any, n_shares: int
) -> None:
    """Add z @ x to the gradient; ask for the second half of the shares."""
    n_tiles = len(gradient) // CLASSES
    tiled = n_tiles * CLASSES
    for r in range(0, n_tiled, ROWS):
        for c in range(0, tiled, CLASSES):
            _prefetch_share(X, ahead, r, n_shares // 2 + c // CLASSES, n_shares)
            _add_tile(x, r, gradient, c, z)
        for c in range(tiled, len(gradient)):
            _prefetch_share(X, ahead, r, n_shares // 2 + n_tiles + c - tiled, n_shares)
            _add_class(x, r, gradient, c, z)


@inlined_in_place
def summed_gradient(
    X: Any, y: Any, weights: Any, rows: Any, next_rows: Any, room: Any, gradient: Any,
    of_intercept: Any,
) -> float:  # fmt: skip
    """Write the gradient of the summed loss of some rows, not centred; return that loss.

    Parameters
    ----------
    X : array of shape (1 or 2, n_rows, n_features)
        Of any real dtype, as ``canonical.rows_of`` gives it.
    y : int32 array of shape (n_rows,)
        Class codes.
    weights : array of shape (n_rows,) or (0,)
        Row weights; empty for ones.
    rows, next_rows : int64 arrays
        The rows of the batch, and those that will be asked for next.
    room : tuple of arrays
        Weights, with zeros beyond the features, and intercepts, of shape (n_classes, width) and
        (n_classes,). Buffers: of rows, zero beyond the features, and of scores, of shape
        (block, width) and (n_classes, block), where block is a multiple of 4; of class codes,
        int32, and of row weights if there are any, of shape (block,); and of shape (2, block).
    gradient, of_intercept : arrays of shape (n_classes, width), (n_classes,)
        What is written.

    Returns
    -------
    float
        The weighted loss.
    """
    coef, intercept, x, z = room[:4]
    block = len(x)
    gradient[:] = 0
    of_intercept[:] = 0
    # Of two classes, only the difference of the scores matters: they are one in both products.
    is_binary = len(coef) == 2
    if is_binary:
        # The first class's row of the gradient is free until the second's is complete.
        for j in range(coef.shape[1]):
            gradient[0, j] = coef[1, j] - coef[0, j]
        coef, gradient = gradient[:1], gradient[1:]
    # Classes go by whole tiles, and those left over one by one. Each product of a tile of rows
    # prefetches a share of the same tile in the next block.
    n_shares = 2 * (len(coef) // CLASSES + len(coef) % CLASSES)
    is_near = X.shape[1] * X.shape[2] * X.itemsize <= CACHED_BYTES
    loss = 0.0
    for start in range(0, len(rows), block):
        here = rows[start : start + block]
        ahead = rows[start + block : start + 2 * block]
        if len(ahead) == 0:
            # The last block prefetches the first one of what comes next.
            ahead = next_rows[:block]
        if is_near:
            ahead = rows[:0]
        n_tiled = gather(X, here, x)
        _write_scores(x, n_tiled, coef, z, X, ahead, n_shares)
        loss += _residuals(here, y, weights, intercept, z, room[4:], of_intercept)
        z[:, len(here) : n_tiled] = 0  # rows that only fill a tile add nothing
        _add_products(x, n_tiled, gradient, z, X, ahead, n_shares)
    if is_binary:
        for j in range(x.shape[1]):
            coef[0, j] = -gradient[0, j]
    return loss
