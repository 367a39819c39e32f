"""What is measured: the data of each work, and what one process times for one contestant.

Every function that measures is given a contestant and arrays, and must not know which library
it drives. A model is timed by whole fits: a fit of e epochs is a new model, fitted from
nothing, with the same seed for every e, so that whatever a fit costs beside its epochs counts
for all alike. An untimed fit of one epoch, or a small search, goes before, which compiles
whatever is compiled. An untimed prediction does, too, since the memory that it frees is
given to the fits after it: else the first of them alone would pay for having pages mapped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from benchmarks import sparse
from benchmarks.measure import mnist
from benchmarks.peers import contestants
from benchmarks.peers.contestants import Contestant

MARKS = (0.92, 0.925)
"""Accuracies on the test images of MNIST to be reached."""

SIZES = {
    "n_samples": (1_000, 4_000, 16_000, 64_000, 256_000),
    "n_features": (16, 64, 256, 1_024, 4_096),
    "n_classes": (2, 5, 10, 30, 100, 300, 1_000),
    "n_threads": (1, 2),
}
"""Sizes along each axis, the others being those of `MIDDLE`, or of `WIDE` for threads."""

MIDDLE = {"n_samples": 16_000, "n_features": 128, "n_classes": 10}
WIDE = {"n_samples": 64_000, "n_features": 784, "n_classes": 10}


@dataclass(frozen=True)
class Work:
    """One table: its data (small ones if quick), who takes part, what is measured of each."""

    title: str
    data: Callable[[bool], Any]
    contestants: Callable[[], dict[str, Contestant]]
    measure: Callable[[Contestant, Any, int], dict[str, Any]]
    n_seeds: int


def images(quick: bool) -> Any:
    """Pixels in [0, 1] of MNIST, or of the digits that scikit-learn ships."""
    if quick:
        X, y = digits(quick)
        return split(X / 16, y)
    X, y, X_test, y_test = mnist()
    return pixels(X), y.astype(np.int64), pixels(X_test), y_test.astype(np.int64)


def pixels(X: np.ndarray) -> np.ndarray:
    """Return bytes as float32 in [0, 1]."""
    return (X / 255).astype(np.float32)


def split(X: np.ndarray, y: np.ndarray) -> Any:
    """Split float32 rows into train rows and labels, test rows and labels."""
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.25, random_state=0
    )
    return X_train, y_train, X_test, y_test


def digits(quick: bool) -> Any:
    """Rows and labels of the digits, pixels from 0 to 16 as they come."""
    X, y = load_digits(return_X_y=True)
    n_rows = 300 if quick else len(X)
    return X[:n_rows], y[:n_rows].astype(np.int64)


def sparse_rows(quick: bool) -> Any:
    """Text-like rows: see benchmarks/sparse.py."""
    X, y = sparse.planted(100_000)
    n_train, n_test = (2_000, 500) if quick else (sparse.N_ROWS, sparse.N_TEST)
    test = slice(sparse.N_ROWS, sparse.N_ROWS + n_test)
    return X[:n_train], y[:n_train], X[test], y[test]


def many_classes(quick: bool) -> Any:
    """Gaussian rows and a planted model of a thousand classes, with noise."""
    n_rows, n_features, n_classes = (3_000, 32, 50) if quick else (50_000, 256, 1_000)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows + n_rows // 10, n_features), np.float32)
    scores = X @ rng.standard_normal((n_features, n_classes), np.float32)
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]


def rows_to_predict(quick: bool) -> Any:
    """A few rows to train on, and many to predict."""
    X, y = digits(quick)
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(X), size=20_000 if quick else 1_000_000)
    return X.astype(np.float32), y, X.astype(np.float32)[chosen]


def only_sizes(quick: bool) -> Any:
    """Return the sizes alone: rows are drawn where they are timed."""
    return {axis: sizes[:3] if quick else sizes for axis, sizes in SIZES.items()}


def shape_of(X: Any, y: np.ndarray) -> tuple[int, int]:
    """Return (n_features, n_classes)."""
    return X.shape[1], int(y.max()) + 1


def timed_fit(model: Any, X: Any, y: np.ndarray) -> tuple[float, float]:
    """Seconds of a fit by the clock, and of the processor, whoever else kept it busy."""
    wall, cpu = perf_counter(), process_time()
    model.fit(X, y)
    return perf_counter() - wall, process_time() - cpu


def curve(contestant: Contestant, data: Any, seed: int) -> dict[str, Any]:
    """Time fits of more and more epochs, and score each on the test rows."""
    X, y, X_test, y_test = data
    shape = shape_of(X, y)
    contestant.make(1, seed, shape).fit(X, y).predict(X_test)
    points = []
    for epochs in contestant.ladder:
        model = contestant.make(epochs, seed, shape)
        seconds, cpu = timed_fit(model, X, y)
        accuracy = float(np.mean(model.predict(X_test) == y_test))
        points.append({"epochs": epochs, "seconds": seconds, "cpu": cpu, "accuracy": accuracy})
    return {"points": points}


def curve_to_marks(contestant: Contestant, data: Any, seed: int) -> dict[str, Any]:
    """Say beside the curve when each mark was first reached."""
    measured = curve(contestant, data, seed)
    for mark in MARKS:
        reached = [p for p in measured["points"] if p["accuracy"] >= mark]
        measured[f"s to {mark:.1%}"] = reached[0]["seconds"] if reached else None
        measured[f"CPU s to {mark:.1%}"] = reached[0]["cpu"] if reached else None
    return measured


def grid_search(contestant: Contestant, data: Any, seed: int) -> dict[str, Any]:
    """Twenty candidates on five folds, and the final refit."""
    X, y = data
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = contestant.make(1, seed, shape_of(X, y))
    grid = dict(contestant.grid(len(X) * 4 // 5))
    two = {name: list(values)[:2] for name, values in grid.items()}
    contestant.search(model, two, cv=2).fit(X, y)  # untimed
    search = contestant.search(model, grid, cv=folds)
    seconds, cpu = timed_fit(search, X, y)
    error = search.cv_results_["std_test_score"][search.best_index_] / np.sqrt(5)
    return {
        "seconds": seconds,
        "cpu": cpu,
        "best score": float(search.best_score_),
        "standard error": float(error),
    }


def prediction(contestant: Contestant, data: Any, seed: int) -> dict[str, Any]:
    """Rows a second over many rows, and the seconds of one row."""
    X, y, many = data
    model = contestant.make(20, seed, shape_of(X, y)).fit(X, y)
    model.predict(many)

    def seconds(rows: np.ndarray) -> float:
        start = perf_counter()
        model.predict(rows)
        return perf_counter() - start

    return {
        "rows a second": len(many) / median(seconds(many) for _ in range(3)),
        "seconds a row": median(seconds(many[i : i + 1]) for i in range(1_000)),
    }


def scaling(contestant: Contestant, data: Any, seed: int) -> dict[str, Any]:
    """Time of an epoch over each size, per row, feature and class."""
    points = []
    for axis, sizes in data.items():
        for size in sizes:
            if axis == "n_threads":
                shape = WIDE
                seconds = epoch_seconds(contestant, seed, *shape.values(), n_threads=size)
            else:
                shape = {**MIDDLE, axis: size}
                seconds = epoch_seconds(contestant, seed, *shape.values())
            share = seconds / np.prod(list(shape.values()), dtype=float)
            points.append({"axis": axis, "size": size, "nanoseconds": 1e9 * share})
    return {"points": points}


def epoch_seconds(
    contestant: Contestant,
    seed: int,
    n_samples: int,
    n_features: int,
    n_classes: int,
    n_threads: int | None = None,
) -> float:
    """Seconds that one more epoch takes: the difference of two fits, shared out.

    They are those of the processor, or by the clock where a number of threads is given.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features), np.float32)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    # Enough epochs that the difference stands out from the noise.
    more = int(np.clip(1e9 / (n_samples * n_features * n_classes), 2, 200))
    times = []
    with threadpool_limits(n_threads or 1, user_api="blas"):
        for epochs in (1, 1, 1 + more):  # the first of them warms up
            model = contestant.make(epochs, seed, (n_features, n_classes))
            model.set_params(n_jobs=n_threads)
            wall, cpu = timed_fit(model, X, y)
            times.append(cpu if n_threads is None else wall)
    return (times[2] - times[1]) / more


WORKS = {
    "mnist": Work(
        "MNIST: 60,000 x 784, float32, 10 classes",
        images,
        contestants.on_mnist,
        curve_to_marks,
        5,
    ),
    "digits": Work(
        "Digits: GridSearchCV of 20 strengths of the penalty on 5 folds",
        digits,
        contestants.in_grid_search,
        grid_search,
        3,
    ),
    "classes": Work(
        "1,000 classes: 50,000 x 256, float32, batches of 100 rows",
        many_classes,
        contestants.of_many_classes,
        curve,
        2,
    ),
    "predict": Work(
        "Prediction: 1,000,000 x 64, float32, 10 classes",
        rows_to_predict,
        contestants.that_predict,
        prediction,
        3,
    ),
    "sparse": Work(
        "Sparse: 50,000 x 100,000, 75 nonzeros a row, float64, 20 classes",
        sparse_rows,
        contestants.on_sparse_rows,
        curve,
        2,
    ),
    "scaling": Work(
        "Scaling: CPU nanoseconds an epoch per row, feature and class; threads by the clock",
        only_sizes,
        lambda: contestants.ours(()),
        scaling,
        3,
    ),
}
