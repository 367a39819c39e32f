"""Compile ahead what fits need, for images and tests: ``python -m sksoftmax_numba``.

It fits small rows of each kind, since only a fit knows which kernels it asks for. This module
must not know how kernels are kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sksoftmax import SoftmaxClassifier, SoftmaxSearchCV
from sksoftmax_numba.trainer import MANY_PARAMETERS

DTYPES = ("float32", "float64", "uint8", "int64")
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"learning_rate": 0.1},
    {"learning_rate": 0.1, "momentum": 0},
    {"learning_rate": 0.1, "average": False},
    {"learning_rate": 0.1, "momentum": 0, "average": False},
    {"optimizer": "adam"},
)
ALPHAS = {"alpha": [1e-3, 1e-2]}


def kinds(dtype: str, classes: Sequence[int]) -> Iterator[None]:
    """Fit rows of each kind and of one dtype.

    Parameters
    ----------
    dtype : str
        Of the rows.
    classes : sequence of int
        Numbers of classes for which to compile sparse rows.

    Yields
    ------
    None
        After each fit.
    """
    common: dict[str, Any] = {"backend": "numba", "max_iter": 1, "tol": None, "random_state": 0}
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (48, 6)).astype(dtype)
    y = np.arange(48) % 3
    classes = () if dtype == "float16" else classes  # which sparse rows do not have
    wide = np.zeros((6, MANY_PARAMETERS // 2), dtype)
    wide[:, :6] = X[:6]
    few, many = csr_array(X), csr_array(X)
    many.resize(48, 10**4)  # so many features that updates are lazy for two classes, too
    for rule in RULES:
        clf = SoftmaxClassifier(**common, **rule)
        for rows in (X, np.asfortranarray(X), wide):
            clf.fit(rows, y[: len(rows)])
            yield
        for n_classes in classes:
            for sparse_rows in (few, many):
                clf.fit(sparse_rows, np.arange(48) % n_classes)
                yield
        SoftmaxSearchCV(clf, ALPHAS, cv=2).fit(X, y)
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Compile for the dtypes and numbers of classes that are asked for.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.
    """
    parser = argparse.ArgumentParser("python -m sksoftmax_numba", description=main.__doc__)
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, help="of the rows")
    parser.add_argument(
        "--classes", nargs="+", type=int, default=(2, 3, 10), help="of sparse rows"
    )
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    for dtype in given.dtypes:
        n_fits = sum(1 for _ in kinds(dtype, given.classes))
        seconds = time.perf_counter() - start
        print(f"{dtype}: {n_fits} kinds of fit, {seconds:.0f} s so far", flush=True)


if __name__ == "__main__":
    main()
