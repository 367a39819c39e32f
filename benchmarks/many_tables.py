"""Default fits beside LogisticRegression on hundreds of real tables that nobody chose.

Clone github.com/vincentarelbundock/Rdatasets, whose tables come from packages for R, and run
``python -m benchmarks.many_tables CLONE --backend numpy``. It takes every table of 300 rows or
more that has a column of at most 100 classes, of words where there is one, and predicts that
column from all others: words are one-hot, missing numbers are medians. Five stratified splits
are trained by defaults, and by LogisticRegression at the same penalty on standardised features.
What is printed counts the tables on which ours falls short by more than `SHORT`, and how the
times compare.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, print_table
from sksoftmax import SoftmaxClassifier

LEAST_BYTES, LEAST_ROWS, MOST_ROWS = 20_000, 300, 40_000
MOST_CLASSES, LEAST_OF_A_CLASS = 100, 6
MOST_NUMBERS, MOST_WORDS = 10, 60
"""Most values of a column of numbers that may be classes, and of words that are features."""

MOST_MULTIPLICATIONS = 2e8
"""Rows times features times classes beyond which a table is left out."""

SHORT = {"accuracy": 0.003, "log-loss": 0.01, "of log-loss": 0.02}


class Judged(NamedTuple):
    """Means over the splits of one table, ours first and then the peer's; times are medians."""

    n_rows: int
    n_classes: int
    accuracies: NDArray[np.float64]
    losses: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @property
    def is_short(self) -> bool:
        """Whether ours is worse than the peer by more than `SHORT`."""
        most = max(SHORT["log-loss"], SHORT["of log-loss"] * self.losses[1])
        return bool(
            self.accuracies[1] - self.accuracies[0] > SHORT["accuracy"]
            or self.losses[0] - self.losses[1] > most
        )


def tables(clone: Path) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.intp]]]:
    """Yield the name, features and class codes of each table that can be used."""
    for path in sorted((clone / "csv").glob("*/*.csv")):
        if path.stat().st_size < LEAST_BYTES:
            continue
        frame = pd.read_csv(path, low_memory=False, encoding_errors="replace")
        frame = frame.drop(columns="rownames", errors="ignore")
        target = _target(frame)
        if len(frame) < LEAST_ROWS or target is None:
            continue
        table = _numbers(frame, target)
        if table is not None:
            yield f"{path.parent.name}/{path.stem}", *table


def _target(frame: pd.DataFrame) -> str | None:
    """The last column of a few classes, of words if there is one."""
    found: dict[bool, str] = {}
    for name, column in frame.items():
        counts = column.value_counts()
        is_number = pd.api.types.is_numeric_dtype(column) and column.dtype != bool
        are_few = 2 <= len(counts) <= (MOST_NUMBERS if is_number else MOST_CLASSES)
        are_frequent = (counts >= LEAST_OF_A_CLASS).sum() >= 2
        if are_few and are_frequent and counts.iloc[0] <= 0.95 * counts.sum():
            found[is_number] = str(name)
    return found.get(False, found.get(True))


def _numbers(
    frame: pd.DataFrame, target: str
) -> tuple[NDArray[np.float64], NDArray[np.intp]] | None:
    """Features and codes; None where too little is left, or too much to train."""
    frame = frame[frame[target].notna()]
    columns = []
    for name in frame.columns.drop(target):
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            numbers = column.astype(float).replace([np.inf, -np.inf], np.nan)
            if numbers.notna().any():
                columns.append(numbers.fillna(numbers.median()).to_numpy()[:, None])
        elif 2 <= column.astype(str).nunique() <= MOST_WORDS:
            columns.append(pd.get_dummies(column.astype(str)).to_numpy(float))
    if not columns:
        return None
    X, labels = np.hstack(columns), frame[target].astype(str).to_numpy()
    chosen = np.random.default_rng(0).permutation(len(X))[:MOST_ROWS]
    X, labels = X[chosen], labels[chosen]
    classes, counts = np.unique(labels, return_counts=True)
    is_kept = np.isin(labels, classes[counts >= LEAST_OF_A_CLASS])
    X, (classes, codes) = X[is_kept], np.unique(labels[is_kept], return_inverse=True)
    is_small = X.size * len(classes) <= MOST_MULTIPLICATIONS
    return (X, codes) if len(classes) > 1 and is_small else None


def judge(X: NDArray[np.float64], y: NDArray[np.intp], backend: str) -> Judged:
    """Train ours and the peer on five splits, in turn."""
    splits = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        ours = SoftmaxClassifier(random_state=0, backend=backend)
        seconds = [_seconds(ours, X[train], y[train])]
        peer = LogisticRegression(C=1 / (ours.alpha_ * len(train)), max_iter=1000)
        scaled = make_pipeline(StandardScaler(), peer)
        seconds.append(_seconds(scaled, X[train], y[train]))
        for model, taken in zip((ours, scaled), seconds, strict=True):
            probabilities = model.predict_proba(X[test])
            accuracy = np.mean(model.classes_[probabilities.argmax(axis=1)] == y[test])
            loss = log_loss(y[test], probabilities, labels=model.classes_)
            splits.append((accuracy, loss, taken))
    measured = np.array(splits).reshape(5, 2, 3)
    accuracies, losses, _ = measured.mean(axis=0).T
    return Judged(len(y), len(set(y)), accuracies, losses, np.median(measured[..., 2], axis=0))


def _seconds(model: Any, X: NDArray[np.float64], y: NDArray[np.intp]) -> float:
    """The processor's time of a fit."""
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def main(arguments: list[str] | None = None) -> None:
    """Judge every table, and print how many fall short and how long they take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args(arguments)
    print(machine())
    judged = {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, X, y in tables(options.clone):
            judged[name] = judge(X, y, options.backend)
    short = [name for name, found in judged.items() if found.is_short]
    print(f"short of the peer: {len(short)} of {len(judged)}: {', '.join(short)}")
    rows = []
    for title, least, most in (("fewer than 1,000", 0, 1000), ("1,000 or more", 1000, 10**9)):
        some = [found for found in judged.values() if least <= found.n_rows < most]
        if not some:
            continue
        ratios = np.array([found.seconds[0] / found.seconds[1] for found in some])
        times = np.median(ratios), ratios.max()
        shares = [f"{np.mean(ratios <= limit):.1%}" for limit in (1, 2)]
        rows.append([title, len(some), *shares, *(f"{x:.2f}" for x in times)])
    print_table(["rows", "tables", "time at most 1", "at most 2", "median", "worst"], rows)


if __name__ == "__main__":
    main()
