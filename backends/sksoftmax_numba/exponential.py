r"""The exponential function of numbers up to 0, and the logarithm from 1 to 2, in vectors.

:math:`e^x = 2^k e^r` with :math:`r = x - k \ln 2` in half a logarithm of 2 around 0, where a
Taylor polynomial is as good as the dtype; 2 to the k is made from the bits of k, which adding
a large number leaves at the end of the mantissa. Errors are of a few units in the last place;
NaN stays NaN, and what would underflow becomes the least normal numbers.

References
----------
Cody and Waite, "Software manual for the elementary functions", Prentice-Hall, 1980.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from sksoftmax_numba.compilation import IN_PLACE, INLINED

# Not in any order: reassociating would cancel the large number against itself.
IN_THIS_ORDER: dict[str, Any] = {"fastmath": {"contract"}, **INLINED, **IN_PLACE}

f, i = np.float32, np.int32


def _exponential_of_float64(x):  # type: ignore[no-untyped-def]  # Numba compares signatures
    x = -708.0 if x < -708.0 else x  # NaN is not less
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.float64(shifted).view(np.int64) << np.int64(52)) + np.int64(1023 << 52)
    return p * np.int64(bits).view(np.float64)


def _exponential_of_float32(x):  # type: ignore[no-untyped-def]
    x = f(-87.0) if x < f(-87.0) else x
    shifted = x * f(1.4426950408889634) + f(12582912.0)
    k = shifted - f(12582912.0)
    r = (x - k * f(0.693359375)) - k * f(-2.12194440e-4)
    p = f(1 / 5040)
    p = p * r + f(1 / 720)
    p = p * r + f(1 / 120)
    p = p * r + f(1 / 24)
    p = p * r + f(1 / 6)
    p = p * r + f(0.5)
    p = p * r + f(1.0)
    p = p * r + f(1.0)
    bits = (np.float32(shifted).view(np.int32) << i(23)) + i(127 << 23)
    return p * np.int32(bits).view(np.float32)


def exponential(x: Any) -> Any:
    """Return e to the x, for compiled code; in Python, NumPy's.

    Parameters
    ----------
    x : float32 or float64
        At most 0.

    Returns
    -------
    float32 or float64
        In (0, 1], or NaN.
    """
    return np.exp(x)


@overload(exponential, jit_options=IN_THIS_ORDER)  # type: ignore[arg-type]
def _by_dtype(x):  # type: ignore[no-untyped-def]
    return _exponential_of_float32 if x == types.float32 else _exponential_of_float64


def logarithm_beyond_one(x: Any) -> Any:
    """Return log(1 + x), for compiled code; in Python, NumPy's.

    Parameters
    ----------
    x : float32 or float64
        In [0, 1].

    Returns
    -------
    float32 or float64
        In [0, log(2)], or NaN.
    """
    return np.log1p(x)


@overload(logarithm_beyond_one, jit_options=IN_THIS_ORDER)  # type: ignore[arg-type]
def _logarithm_by_dtype(x):  # type: ignore[no-untyped-def]
    number, n_terms = (f, 8) if x == types.float32 else (np.float64, 16)

    def logarithm(x):  # type: ignore[no-untyped-def]
        # It is 2 artanh(s), with the series s (1 + s^2 / 3 + s^4 / 5 + ...): s is at most 1/3.
        s = x / (x + number(2))
        p = number(0)
        for k in range(n_terms):
            p = p * (s * s) + number(1) / number(2 * (n_terms - k) - 1)
        return number(2) * s * p

    return logarithm
