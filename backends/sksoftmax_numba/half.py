"""Half precision, which Numba lacks, from its bits: one sign, five of the exponent, ten more.

Rows of float16 come as records of one field, which the compiler tells from rows of integers,
and become float32 as they are read. That takes integers and one subtraction, of normal numbers:
where a process has set its processor to take subnormal float32 for zero, nothing is lost, since
subnormal float16 are normal float32. This module knows single numbers only.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from sksoftmax_numba.compilation import INLINED, inlined

HALF = np.dtype([("bits", np.uint16)])
"""How kernels see a number of float16."""

_exactly: Any = partial(inlined, freedoms=frozenset())

u = np.uint32
SIGN, BELOW_INFINITY = u(0x8000), u(0x7BFF)
REBIASED = u((127 - 15) << 23)
"""What the exponent of float32 is larger by, in its place."""

LEAST_NORMAL = u(1 << 10)
"""The bits of the least normal number; below, the exponent is that of this number, too."""

SMALLEST_NORMAL = np.float32(2.0**-14)


@_exactly  # type: ignore[untyped-decorator]
def _float32_of(bits: Any) -> Any:
    """Return the float32 that is the float16 of these bits."""
    magnitude = u(bits & u(0x7FFF))
    shifted = u((magnitude << u(13)) + REBIASED)
    # Infinities and NaN keep an exponent of ones. Subnormal numbers have no leading one: they
    # are given one, which is then subtracted.
    shifted = u(shifted + REBIASED) if magnitude > BELOW_INFINITY else shifted
    is_subnormal = magnitude < LEAST_NORMAL
    shifted = u(shifted + u(1 << 23)) if is_subnormal else shifted
    number = u(shifted).view(np.float32)
    number = number - (SMALLEST_NORMAL if is_subnormal else np.float32(0))
    return u(np.float32(number).view(np.uint32) | u((bits & SIGN) << u(16))).view(np.float32)


def number_of(element: Any) -> Any:
    """Return an element of rows as a number: for compiled code alone.

    Parameters
    ----------
    element : number or record of `HALF`
        As ``canonical.rows_of`` gives it.

    Returns
    -------
    number
        A float32 for half precision, else the element.
    """
    raise NotImplementedError


@overload(number_of, jit_options=INLINED)  # type: ignore[arg-type]
def _by_type(element):  # type: ignore[no-untyped-def]  # Numba compares signatures as they are
    if isinstance(element, types.Record):
        return lambda element: _float32_of(u(element.bits))
    return lambda element: element
