"""Drawn sets, one for each trouble that a step meets; the same numbers in every run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.datasets import make_classification

Data = tuple[Any, np.ndarray]


def drawn_labels(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels drawn with the probabilities that softmax gives to the scores."""
    return (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def weak_signal(n_rows: int, n_features: int, n_classes: int) -> Data:
    """One feature says a little about one class, the others nothing at all."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features))
    y = rng.integers(n_classes, size=n_rows)
    return X, np.where(X[:, 0] > 1, 0, y)


def overlapping() -> Data:
    """Two classes of which half the labels are drawn anew."""
    X, y = make_classification(
        20_000, 200, n_informative=20, flip_y=0.5, class_sep=0.5, random_state=0
    )
    return X, y


def shops() -> Data:
    """Sixty one-hot shops and an age in years."""
    rng = np.random.default_rng(0)
    n = 12_000
    shop, age = rng.choice(60, n), rng.normal(44, 13, n)
    of_shop = rng.normal(0, 0.5, (60, 3))
    of_age = rng.normal(0, 1, 3)
    y = drawn_labels(((age - 44) / 13)[:, None] * of_age + of_shop[shop], rng)
    return np.column_stack([age, np.eye(60)[shop]]), y


def rare_categories() -> Data:
    """Three one-hot coded columns whose categories' frequencies follow Zipf's law."""
    rng = np.random.default_rng(1)
    n, n_classes = 10_000, 4
    scores, columns = np.zeros((n, n_classes)), []
    for n_categories in (20, 80, 200):
        share = 1 / np.arange(1, n_categories + 1) ** 1.3
        drawn = rng.choice(n_categories, n, p=share / share.sum())
        scores += rng.normal(0, 0.8, (n_categories, n_classes))[drawn]
        columns.append(np.eye(n_categories)[drawn])
    numbers = rng.normal(50, 20, (n, 3))
    scores += (numbers - 50) / 20 @ rng.normal(0, 0.7, (3, n_classes))
    return np.column_stack([numbers, *columns]), drawn_labels(scores, rng)


def log_normal() -> Data:
    """Log-normal columns, of whose logarithms the labels know."""
    rng = np.random.default_rng(2)
    logarithms = rng.normal(0, 1.5, (6_000, 30))
    scores = logarithms @ rng.normal(0, 0.3, (30, 3))
    return np.exp(logarithms) * rng.lognormal(0, 3, 30), drawn_labels(scores, rng)


def cauchy() -> Data:
    """Cauchy columns, of whose angles the labels know."""
    rng = np.random.default_rng(3)
    X = rng.standard_cauchy((6_000, 20))
    return X, drawn_labels(np.arctan(X) @ rng.normal(0, 1, (20, 3)), rng)


def glitches() -> Data:
    """Three rows of 10,000 that lie 57 to 100 deviations out, each in some of the columns.

    The bulk has correlated columns, and a signal that is worth about two thirds of accuracy.
    """
    rng = np.random.default_rng(4)
    n, d = 10_000, 14
    U = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d)) / np.sqrt(d))
    y = drawn_labels(U @ rng.normal(0, 0.25, (d, 2)), rng)
    for column in range(d):
        rows = rng.permutation(np.array([1_234, 5_678, 9_012]))[: rng.integers(1, 4)]
        U[rows, column] += rng.choice([-1, 1]) * rng.uniform(250, 600)
    return 4_000 + 10 * U, y


def collinear() -> Data:
    """Ten columns twice over, but for a thousandth of noise that says something, too."""
    rng = np.random.default_rng(5)
    Z, noise = rng.normal(size=(4_000, 10)), rng.normal(size=(4_000, 10))
    scores = Z @ rng.normal(0, 1, (10, 3)) + noise @ rng.normal(0, 0.5, (10, 3))
    return np.column_stack([Z, Z + 1e-3 * noise]), drawn_labels(scores, rng)


def powers() -> Data:
    """The first eight powers of one variable, along which four classes take turns."""
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 3, 4_000)
    y = (np.floor(x / 0.6 + rng.normal(0, 0.15, len(x))).astype(int) % 4 + 4) % 4
    return x[:, None] ** np.arange(1, 9), y


def imbalance() -> Data:
    """One row of a class to 10,000 of the other."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(100_000, 10))
    y = np.zeros(len(X), int)
    y[rng.choice(len(X), 10, replace=False)] = 1
    X[y == 1, :4] += 1.5
    return X, y


def wide() -> Data:
    """60 rows of 2,000 columns, 30 of which differ between three classes."""
    rng = np.random.default_rng(8)
    y = np.arange(60) % 3
    X = rng.lognormal(0, 0.7, (60, 2_000)) * rng.lognormal(0, 2, 2_000)
    for label in range(3):
        X[y == label, 10 * label : 10 * label + 10] *= 3
    return X, y


def offsets() -> Data:
    """Columns whose means are up to a million deviations from zero."""
    rng = np.random.default_rng(9)
    U = rng.normal(size=(6_000, 14))
    y = drawn_labels(U @ rng.normal(0, 0.7, (14, 3)), rng)
    return U + np.repeat(10.0 ** np.arange(7), 2) * rng.choice([-1, 1], 14), y


def sparse_years() -> Data:
    """Sixty one-hot shops in CSR, with a year, kelvins, seconds since 1970 and an age."""
    rng = np.random.default_rng(0)
    n = 12_000
    shop, U = rng.choice(60, n), rng.normal(size=(n, 4))
    y = drawn_labels(U @ rng.normal(0, 1, (4, 3)) + rng.normal(0, 0.5, (60, 3))[shop], rng)
    numbers = np.array([2018, 288, 1.615e9, 44]) + np.array([3.7, 9, 8.7e6, 13]) * U
    return sparse.csr_matrix(np.column_stack([numbers, np.eye(60)[shop]])), y


def sparse_number(offset: float) -> Data:
    """One informative number, at an offset in deviations, among one-hot columns in CSR."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=12_000)
    y = (x + rng.logistic(0, 0.3, len(x)) > 0).astype(int)
    one_hot = np.eye(20)[rng.integers(0, 20, len(x))]
    return sparse.csr_matrix(np.column_stack([x + offset, one_hot])), y


def sparse_counts() -> Data:
    """Words counted in documents: by Zipf's law, and some of them thousands of times."""
    rng = np.random.default_rng(10)
    n_rows, n_features, a_row = 12_000, 200, 20
    share = 1 / np.arange(1, n_features + 1)
    columns = rng.choice(n_features, n_rows * a_row, p=share / share.sum())
    rows = np.repeat(np.arange(n_rows), a_row)
    counts = np.ceil(rng.pareto(1.5, len(rows)))
    X = sparse.csr_matrix((counts, (rows, columns)), shape=(n_rows, n_features))
    # Labels know which words there are, and not how often.
    scores = X.sign() @ rng.normal(0, 1.5, (n_features, 4))
    return X, drawn_labels(scores - scores.mean(axis=0), rng)


def embeddings(n_rows: int, n_features: int, noise: float) -> Data:
    """1,000 classes of as many rows each, normal about their centres, in float32."""
    rng = np.random.default_rng(11)
    y = np.arange(n_rows) % 1_000
    X = rng.standard_normal((1_000, n_features), np.float32)[y]
    X += np.float32(noise) * rng.standard_normal((n_rows, n_features), np.float32)
    return X, y


DRAWN: dict[str, Callable[[], Data]] = {
    "weak 5k x 100": partial(weak_signal, 5_000, 100, 5),
    "weak 5k x 300": partial(weak_signal, 5_000, 300, 5),
    "weak 50k x 100": partial(weak_signal, 50_000, 100, 5),
    "overlapping": overlapping,
    "shops": shops,
    "rare categories": rare_categories,
    "log-normal": log_normal,
    "Cauchy": cauchy,
    "glitches": glitches,
    "collinear": collinear,
    "powers": powers,
    "imbalance": imbalance,
    "wide": wide,
    "offsets": offsets,
    "CSR years": sparse_years,
    "CSR number at 30": partial(sparse_number, 30),
    "CSR number at 500": partial(sparse_number, 500),
    "CSR counts": sparse_counts,
}
"""How to draw each set."""

LARGE: dict[str, Callable[[], Data]] = {
    "1,000 classes x 256": partial(embeddings, 40_000, 256, 3.1),
    "1,000 classes x 256, noisy": partial(embeddings, 40_000, 256, 3.8),
    "1,000 classes x 768": partial(embeddings, 50_000, 768, 4.7),
}
"""How to draw each set that takes minutes."""
