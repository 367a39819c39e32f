"""Every set that a default fit is judged on: real tables, and drawn ones of known troubles.

Tables come from the folder that the environment variable ``SKSOFTMAX_TABLES`` names; without
it there are only drawn sets.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.measure import mnist
from benchmarks.step import generators

MOST_ROWS = 12_000
"""Rows of a table that are kept, drawn at random where it has more."""

LARGE = "large"
"""Kind of the sets in float32 that take minutes each."""

Data = tuple[Any, np.ndarray]


@dataclass(frozen=True)
class BenchmarkSet:
    """Rows and labels that are built when first asked for.

    Parameters
    ----------
    name : str
        Name of the set.
    kind : {"table", "counts", "text", "drawn", "large"}
        Where it comes from.
    build : callable
        Returns the rows, a dense array or a CSR matrix, and the labels.
    """

    name: str
    kind: str
    build: Callable[[], Data]

    @cached_property
    def data(self) -> Data:
        """Rows and labels."""
        return self.build()

    @property
    def X(self) -> Any:  # noqa: N802
        """The rows: a dense array, or a CSR matrix."""
        return self.data[0]

    @property
    def y(self) -> np.ndarray:
        """The labels, as codes."""
        return self.data[1]


def all_sets() -> dict[str, BenchmarkSet]:
    """Return every set by its name, none of them built yet."""
    folder = os.environ.get("SKSOFTMAX_TABLES")
    sets = [] if folder is None else _tables(Path(folder))
    sets += [BenchmarkSet(name, "drawn", build) for name, build in generators.DRAWN.items()]
    sets += [BenchmarkSet(name, LARGE, build) for name, build in generators.LARGE.items()]
    sets.append(BenchmarkSet("MNIST", LARGE, _mnist))
    return {s.name: s for s in sets}


def _tables(folder: Path) -> list[BenchmarkSet]:
    """All sets in a folder of tables."""
    sets = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name.lower()):
        if path.name.endswith(".X.npz"):
            name = path.name.removesuffix(".X.npz")
            sets.append(BenchmarkSet(name, "counts", partial(_read_sparse, folder, name)))
        elif path.suffix == ".npz":
            sets.append(BenchmarkSet(path.stem, "table", partial(_read_dense, path)))
        elif path.name.endswith(".jsonl.gz"):
            name = path.name.removesuffix(".jsonl.gz")
            sets.append(BenchmarkSet(name, "text", partial(_read_text, path)))
    return sets


def _read_dense(path: Path) -> Data:
    with np.load(path) as table:
        return _at_most(np.ascontiguousarray(table["X"], np.float64), table["y"])


def _read_sparse(folder: Path, name: str) -> Data:
    X = sparse.load_npz(folder / f"{name}.X.npz").tocsr().astype(np.float64)
    return _at_most(X, np.load(folder / f"{name}.y.npy"))


def _read_text(path: Path) -> Data:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    X = TfidfVectorizer().fit_transform([line["text"] for line in lines])
    return _at_most(X.tocsr(), np.array([line["label"] for line in lines]))


def _at_most(X: Any, y: np.ndarray) -> Data:
    """Rows and labels, or a random share of them, the same in every run."""
    y = np.asarray(y).ravel()
    if X.shape[0] <= MOST_ROWS:
        return X, y
    kept = np.sort(np.random.default_rng(0).permutation(X.shape[0])[:MOST_ROWS])
    return X[kept], y[kept]


def _mnist() -> Data:
    """All images, those for testing after those for training."""
    X, y, X_test, y_test = mnist()
    return np.concatenate([X, X_test]).astype(np.float32) / 255, np.concatenate([y, y_test])
