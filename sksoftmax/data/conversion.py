"""Rows of other dtypes than real numbers, as scikit-learn's linear models convert them.

`LogisticRegression` asks ``check_array`` for float64; here the dtype of real numbers is kept,
and only the others become float64. This module knows dtypes, and nothing of models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite

NUMBERS = frozenset("biuf")
"""Kinds of dtypes that are trained on as they are."""

TEXT = frozenset("STUV")
"""Kinds that scikit-learn converts where a dtype is asked for, and refuses otherwise."""


def wanted_dtype(X: Any) -> Any:
    """Return the dtype that ``check_array`` is to be asked for.

    Parameters
    ----------
    X : array-like
        As the caller passed it, but for lists, which are arrays by now.

    Returns
    -------
    "numeric" or dtype
        "numeric" keeps a dtype. float64 for text, which may be that of numbers, and for data
        frames with time zones, which would come as objects.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.conversion import wanted_dtype
    >>> wanted_dtype(np.array([["1.5"]]))
    dtype('float64')
    """
    is_text = getattr(getattr(X, "dtype", None), "kind", "") in TEXT
    has_zone = any(getattr(dtype, "tz", None) for dtype in getattr(X, "dtypes", ()))
    return np.dtype(np.float64) if is_text or has_zone else "numeric"


def as_numbers(rows: Any, reader: str) -> Any:
    """Return rows as real numbers in the byte order of this machine.

    Parameters
    ----------
    rows : ndarray or sparse matrix of shape (n_rows, n_features)
        Whatever "numeric" has left.
    reader : str
        The estimator that errors name.

    Returns
    -------
    ndarray or sparse matrix of shape (n_rows, n_features)
        The rows themselves where they are such numbers. Dates and durations are counted in
        their own unit from its zero; decimals, and text that spells numbers, become float64.

    Raises
    ------
    ValueError, TypeError
        Those of NumPy if a value is no number, or scikit-learn's if one is missing.
    """
    dtype = getattr(rows, "dtype", None)
    if not isinstance(dtype, np.dtype):
        return rows  # another library's, which has real numbers
    if dtype.kind in NUMBERS:
        return rows if dtype.isnative else rows.astype(dtype.newbyteorder("="))
    numbers: NDArray[np.float64] = rows.astype(np.float64)
    if dtype.kind in "mM":
        numbers[np.isnat(rows)] = np.nan
    assert_all_finite(numbers, estimator_name=reader, input_name="X")
    return numbers
