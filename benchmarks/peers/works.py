"""What is measured: the data of each work, and what one process times for one contestant.

Every function that measures is given a contestant and arrays, and must not know which library
it drives. A model is timed by whole fits: a fit of e epochs is a new model, fitted from
nothing, with the same seed for every e, so that whatever a fit costs beside its epochs counts
for all alike. An untimed fit goes before, which compiles whatever is compiled. An untimed
prediction does, too, since the memory that it frees is given to the fits after it: else the
first of them alone would pay for having pages mapped. Seconds are those of the processor, in
one thread: other work on the machine adds little to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from benchmarks import sparse
from benchmarks.measure import mnist
from benchmarks.peers import contestants
from benchmarks.peers.contestants import Contestant

Measured = dict[str, Any]
"""``figures``, cells of a row by their columns, None being never; and perhaps ``points``."""

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
    """One table.

    Parameters
    ----------
    title : str
        Its title.
    data : callable
        Returns the data, small ones if told that it is only to try.
    contestants : callable
        Returns who takes part, by name.
    measure : callable
        Measures one contestant on the data with a seed.
    n_seeds : int
        How often.
    compared : str, default=""
        The figure by which contestants are compared, if they are.
    more_is_better : bool, default=False
        Whether the largest one wins.
    """

    title: str
    data: Callable[[bool], Any]
    contestants: Callable[[], dict[str, Contestant]]
    measure: Callable[[Contestant, Any, int], Measured]
    n_seeds: int
    compared: str = ""
    more_is_better: bool = False


def images(quick: bool) -> Any:
    """Pixels in [0, 1] of MNIST, or of the digits that scikit-learn ships."""
    if quick:
        X, y = digits(quick)
        return train_test_split((X / 16).astype(np.float32), y, random_state=0)
    X, y, X_test, y_test = mnist()
    rows = [(part / 255).astype(np.float32) for part in (X, X_test)]
    return *rows, y.astype(np.int64), y_test.astype(np.int64)


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
    return X[:n_train], X[test], y[:n_train], y[test]


def many_classes(quick: bool) -> Any:
    """Gaussian rows and a planted model of a thousand classes, with noise."""
    n_rows, n_features, n_classes = (3_000, 32, 50) if quick else (50_000, 256, 1_000)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows + n_rows // 10, n_features), np.float32)
    scores = X @ rng.standard_normal((n_features, n_classes), np.float32)
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X[:n_rows], X[n_rows:], y[:n_rows], y[n_rows:]


def rows_to_predict(quick: bool) -> Any:
    """A few rows to train on, and many to predict."""
    X, y = digits(quick)
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(X), size=20_000 if quick else 1_000_000)
    return X.astype(np.float32), y, X.astype(np.float32)[chosen]


def only_sizes(quick: bool) -> Any:
    """Return the sizes alone: rows are drawn where they are timed."""
    return {axis: sizes[:2] if quick else sizes for axis, sizes in SIZES.items()}


def fit_seconds(model: Any, X: Any, y: np.ndarray, clock: Callable[[], float]) -> float:
    """Fit, and return what a clock says that it took."""
    start = clock()
    model.fit(X, y)
    return clock() - start


def curve(
    contestant: Contestant, data: Any, seed: int, *, marks: tuple[float, ...]
) -> Measured:
    """Time fits of more and more epochs; say when the test accuracy first reached each mark."""
    X, X_test, y, y_test = data
    contestant.make(1, seed).fit(X, y).predict(X_test)
    points = []
    for epochs in contestant.ladder:
        model = contestant.make(epochs, seed)
        seconds = fit_seconds(model, X, y, process_time)
        accuracy = float(np.mean(model.predict(X_test) == y_test))
        points.append({"epochs": epochs, "seconds": seconds, "accuracy": accuracy})
    figures: dict[str, float | None] = {}
    for mark in marks:
        reached = [point["seconds"] for point in points if point["accuracy"] >= mark]
        figures[f"s to {mark:.1%}"] = reached[0] if reached else None
    more = points[-1]["epochs"] - points[0]["epochs"]
    figures["ms an epoch"] = 1e3 * (points[-1]["seconds"] - points[0]["seconds"]) / more
    figures["best, %"] = 100 * max(point["accuracy"] for point in points)
    return {"figures": figures, "points": points}


def search(contestant: Contestant, data: Any, seed: int) -> Measured:
    """Time a search and its last fit on all rows."""
    X, y = data
    contestant.make(1, seed).fit(X[:300], y[:300])  # untimed
    model = contestant.make(1, seed)
    seconds = fit_seconds(model, X, y, process_time)
    return {"figures": {"s": seconds, "best score, %": 100 * float(model.best_score_)}}


def prediction(contestant: Contestant, data: Any, seed: int) -> Measured:
    """Rows a second over many rows, and the time of one row."""
    X, y, many = data
    model = contestant.make(20, seed).fit(X, y)
    model.predict(many)

    def seconds(rows: np.ndarray) -> float:
        start = process_time()
        model.predict(rows)
        return process_time() - start

    rows_a_second = len(many) / median(seconds(many) for _ in range(5))
    one = median(seconds(many[i : i + 1]) for i in range(1_000))
    return {"figures": {"million rows a s": rows_a_second / 1e6, "µs for one row": 1e6 * one}}


def scaling(contestant: Contestant, data: Any, seed: int) -> Measured:
    """Time of an epoch over each size, per row, feature and class."""
    points = []
    for axis, sizes in data.items():
        for size in sizes:
            is_threads = axis == "n_threads"
            shape = WIDE if is_threads else {**MIDDLE, axis: size}
            seconds = epoch_seconds(contestant, seed, shape, size if is_threads else None)
            share = seconds / np.prod(list(shape.values()), dtype=float)
            points.append({"axis": axis, "size": size, "nanoseconds": 1e9 * share})
    return {"figures": {}, "points": points}


def epoch_seconds(
    contestant: Contestant, seed: int, shape: dict[str, int], n_threads: int | None
) -> float:
    """Seconds that one more epoch takes: the difference of two fits, shared out.

    They are those of the processor, or by the clock where a number of threads is given.
    """
    rng = np.random.default_rng(seed)
    n_samples, n_features, n_classes = shape.values()
    X = rng.standard_normal((n_samples, n_features), np.float32)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    clock = process_time if n_threads is None else perf_counter
    # Enough epochs that the difference stands out from the noise.
    more = int(np.clip(1e9 / X.size / n_classes, 2 if n_threads is None else 20, 200))
    with threadpool_limits(n_threads or 1, user_api="blas"):
        times = [  # the first of them warms up
            fit_seconds(contestant.make(epochs, seed).set_params(n_jobs=n_threads), X, y, clock)
            for epochs in (1, 1, 1 + more)
        ]
    return (times[2] - times[1]) / more


WORKS = {
    "images": Work(
        "MNIST: 60,000 x 784, float32, 10 classes",
        images,
        contestants.on_images,
        partial(curve, marks=(0.92, 0.925)),
        n_seeds=3,
        compared="s to 92.0%",
    ),
    "search": Work(
        "Search: 20 strengths of the penalty, 5 folds of the digits",
        digits,
        contestants.that_search,
        search,
        n_seeds=3,
        compared="s",
    ),
    "classes": Work(
        "1,000 classes: 50,000 x 256, float32",
        many_classes,
        contestants.of_many_classes,
        partial(curve, marks=(0.25,)),
        n_seeds=2,
        compared="s to 25.0%",
    ),
    "sparse": Work(
        "Sparse: 50,000 x 100,000, 75 stored a row, float64, 20 classes",
        sparse_rows,
        contestants.on_sparse_rows,
        partial(curve, marks=(0.36,)),
        n_seeds=2,
        compared="s to 36.0%",
    ),
    "predict": Work(
        "Prediction: 1,000,000 x 64, float32, 10 classes",
        rows_to_predict,
        contestants.that_predict,
        prediction,
        n_seeds=3,
        compared="million rows a s",
        more_is_better=True,
    ),
    "scaling": Work(
        "Scaling, nanoseconds an epoch per row, feature and class",
        only_sizes,
        lambda: contestants.ours(()),
        scaling,
        n_seeds=2,
    ),
}
