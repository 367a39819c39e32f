"""Sparse, text-like rows: an epoch, and the time to a good model, beside scikit-learn's.

Run ``python -m benchmarks.sparse``. Columns follow Zipf's law, labels a planted linear model
with noise; all contestants get the same CSR rows and one thread, and none divides features by
their deviations. Times are the processor's, since a machine may be shared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from threadpoolctl import threadpool_limits

from benchmarks.measure import alternate, machine, print_table
from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.backend.registry import CPU_PREFERENCE

N_ROWS, N_TEST, N_CLASSES, N_NONZEROS = 50_000, 10_000, 20, 75
EPOCHS = (1, 2, 3, 5, 8, 12, 20, 30)
HASHED_ROWS, VOCABULARY, HASHED_FEATURES = 10_000, 60_000, (2**18, 2**20, 2**22)
N_RUNS = 5
CPU_BACKENDS = [b.name for b in list_backends() if b.available and b.name in CPU_PREFERENCE]


def zipf_rows(n_rows: int, n_features: int, rng: np.random.Generator) -> sparse.csr_array:
    """Rows of 75 different columns, the r-th most frequent one drawn in proportion to 1/r."""
    share = np.cumsum(1 / np.arange(1, n_features + 1))
    name = rng.permutation(n_features).astype(np.int32)
    columns = np.empty((n_rows, N_NONZEROS), np.int32)
    for row in columns:
        drawn = np.searchsorted(share, rng.uniform(high=share[-1], size=6 * N_NONZEROS))
        _, first = np.unique(drawn, return_index=True)
        row[:] = np.sort(name[drawn[np.sort(first)[:N_NONZEROS]]])
    values = rng.uniform(0.5, 1.5, columns.size)
    starts = np.arange(0, columns.size + 1, N_NONZEROS, dtype=np.int32)
    return sparse.csr_array((values, columns.ravel(), starts), shape=(n_rows, n_features))


def planted(n_features: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Rows and labels, the last `N_TEST` of which are for testing."""
    rng = np.random.default_rng(0)
    X = zipf_rows(N_ROWS + N_TEST, n_features, rng)
    scores = X @ rng.standard_normal((n_features, N_CLASSES))
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def hashed(n_features: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Rows of so many columns, of which those of a vocabulary occur, and labels."""
    rng = np.random.default_rng(0)
    X = zipf_rows(HASHED_ROWS, VOCABULARY, rng)
    scores = X @ rng.standard_normal((VOCABULARY, N_CLASSES))
    columns = np.sort(rng.choice(n_features, VOCABULARY, replace=False)).astype(np.int32)
    X = sparse.csr_array((X.data, columns[X.indices], X.indptr), (HASHED_ROWS, n_features))
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def contestants(n_rows: int) -> dict[str, Callable[[int], Any]]:
    """Estimators for a number of epochs, by name."""
    return {
        **{
            f"sksoftmax, {name}": lambda e, name=name: SoftmaxClassifier(
                standardize=False, max_iter=e, tol=None, random_state=0, backend=name
            )
            for name in CPU_BACKENDS
        },
        "SGDClassifier": lambda e: SGDClassifier(
            loss="log_loss", alpha=1e-4, max_iter=e, tol=None, random_state=0
        ),
        "LogisticRegression(saga)": lambda e: LogisticRegression(
            C=1 / (1e-4 * n_rows), solver="saga", max_iter=e, tol=1e-12, random_state=0
        ),
    }


def milliseconds_an_epoch(X: Any, y: Any, makers: dict[str, Callable[[int], Any]]) -> Any:
    """What each further epoch of a fit takes: the difference of five epochs and one."""
    fits = {
        f"{name}, {epochs}": (lambda make=make, epochs=epochs: make(epochs).fit(X, y))
        for name, make in makers.items()
        for epochs in (1, 5)
    }
    times = alternate(fits, N_RUNS, clock=process_time)
    return {name: (times[f"{name}, 5"] - times[f"{name}, 1"]) / 4 for name in makers}


def times_of_hashed_words() -> list[tuple[str, ...]]:
    """Milliseconds of whole fits, by the number of columns."""
    makers = {
        **{
            f"sksoftmax, {name}": SoftmaxClassifier(
                standardize=False, random_state=0, backend=name
            )
            for name in CPU_BACKENDS
        },
        "SGDClassifier": SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0),
    }
    columns = []
    for n_features in HASHED_FEATURES:
        X, y = hashed(n_features)
        fits = {name: (lambda clf=clf, X=X, y=y: clf.fit(X, y)) for name, clf in makers.items()}
        columns.append(alternate(fits, N_RUNS, clock=process_time))
    return [(name, *(f"{times[name]:.0f}" for times in columns)) for name in makers]


def progress(make: Callable[[int], Any], data: Any) -> list[tuple[float, float]]:
    """Seconds of a fit, and accuracy on the test rows, for growing numbers of epochs."""
    X_train, y_train, X_test, y_test = data
    points = []
    for epochs in EPOCHS:
        start = process_time()
        clf = make(epochs).fit(X_train, y_train)
        seconds = process_time() - start
        points.append((seconds, clf.score(X_test, y_test)))
    return points


def main() -> None:
    """Print the tables."""
    print(machine())
    print(f"{N_ROWS} rows, {N_NONZEROS} nonzeros a row, {N_CLASSES} classes, one thread")
    for dtype in (np.float64, np.float32):
        X, y = planted(100_000)
        X = X.astype(dtype)
        data = X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:]
        makers = contestants(N_ROWS)
        times = milliseconds_an_epoch(data[0], data[1], makers)
        curves = {name: progress(make, data) for name, make in makers.items()}
        best = max(score for curve in curves.values() for _, score in curve)
        rows = []
        for name, curve in curves.items():
            reached = [seconds for seconds, score in curve if score >= 0.95 * best]
            rows.append(
                (
                    name,
                    f"{times[name]:.0f}",
                    f"{times[name] / times['SGDClassifier']:.2f}",
                    f"{min(reached):.2f}" if reached else "never",
                    f"{max(score for _, score in curve):.3f}",
                )
            )
        name = f"{np.dtype(dtype)}, 100,000 features"
        print_table((name, "ms an epoch", "ratio", "s to 95% of best", "best"), rows)
        wide, y_wide = planted(1_000_000)
        wide = wide[:N_ROWS].astype(dtype)
        del makers["LogisticRegression(saga)"]
        more = milliseconds_an_epoch(wide, y_wide[:N_ROWS], makers)
        print_table(
            (f"{np.dtype(dtype)}, 1,000,000 features", "ms an epoch", "of 100,000 features"),
            [(name, f"{more[name]:.0f}", f"{more[name] / times[name]:.2f}") for name in more],
        )
    header = f"{HASHED_ROWS:,} rows of {VOCABULARY:,} words, ms a fit"
    print_table(
        (header, *(f"{n:,} features" for n in HASHED_FEATURES)), times_of_hashed_words()
    )


if __name__ == "__main__":
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
