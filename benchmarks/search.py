"""A search with all candidates together, beside searches that fit one after another.

Run ``python -m benchmarks.search``; ``--threads 1 2`` runs everything with as many BLAS
threads, and ``--data digits`` leaves MNIST out. On the digits, 100 strengths of the penalty and
5 folds: every contestant gets the same rows, and LogisticRegression the same
``C = 1 / (alpha * n)``. Behind a StandardScaler it minimises what our default does, and without
one what ``standardize=False`` does. On MNIST, 20 candidates and 3 folds, LogisticRegression
would take an hour, and is left out. Wall seconds are what counts; CPU seconds, of contestants
that run in one process, tell how much else the machine had to do. ``--backend cupy`` adds the
GPU.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, mnist, print_table
from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.backend.registry import CPU_PREFERENCE
from sksoftmax.model_selection import SoftmaxSearchCV

CPU_BACKENDS = [b.name for b in list_backends() if b.available and b.name in CPU_PREFERENCE]
Contestants = dict[str, Callable[[], Any]]


def ours(grid: dict[str, Any], cv: int, backends: list[str]) -> Contestants:
    """Both kinds of search around our estimator, unfitted, by name."""
    found: Contestants = {}
    for backend in backends:
        estimator = SoftmaxClassifier(random_state=0, backend=backend)
        for name, search in (
            ("SoftmaxSearchCV", SoftmaxSearchCV),
            ("GridSearchCV(SoftmaxClassifier)", GridSearchCV),
        ):
            for n_jobs in (None, 2) if backend in CPU_BACKENDS else (None,):
                jobs = "" if n_jobs is None else f", n_jobs={n_jobs}"
                found[f"{name}, {backend}{jobs}"] = lambda s=search, e=estimator, n=n_jobs: s(
                    e, grid, cv=cv, refit=False, n_jobs=n
                )
    return found


def ours_of_raw_features(grid: dict[str, Any], cv: int, backends: list[str]) -> Contestants:
    """Our search with the penalty on the coefficients as they are."""
    found: Contestants = {}
    for backend in backends:
        estimator = SoftmaxClassifier(random_state=0, backend=backend, standardize=False)
        found[f"SoftmaxSearchCV(standardize=False), {backend}"] = lambda e=estimator: (
            SoftmaxSearchCV(e, grid, cv=cv, refit=False)
        )
    return found


def logistic(alphas: np.ndarray, n_rows: float, cv: int) -> Contestants:
    """scikit-learn's own logistic regression over the same penalties."""
    Cs = 1 / (alphas * n_rows)
    found: Contestants = {}
    for name, estimator, parameter in (
        ("LogisticRegression", LogisticRegression(), "C"),
        (
            "StandardScaler, LogisticRegression",
            make_pipeline(StandardScaler(), LogisticRegression()),
            "logisticregression__C",
        ),
    ):
        for n_jobs in (None, 2):
            jobs = "" if n_jobs is None else f", n_jobs={n_jobs}"
            found[f"GridSearchCV({name}){jobs}"] = lambda e=estimator, p=parameter, n=n_jobs: (
                GridSearchCV(e, {p: Cs}, cv=cv, refit=False, n_jobs=n)
            )
    found["LogisticRegressionCV"] = lambda: LogisticRegressionCV(Cs=Cs, cv=cv, refit=False)
    return found


def best_score(search: Any) -> float:
    """The best mean accuracy over the folds."""
    if isinstance(search, LogisticRegressionCV):
        scores = search.scores_
        scores = next(iter(scores.values())) if isinstance(scores, dict) else scores
        return float(np.reshape(scores, (len(scores), -1)).mean(axis=0).max())
    return float(search.best_score_)


def compare(title: str, contestants: Contestants, X: np.ndarray, y: np.ndarray) -> None:
    """Run all, after a small warm-up, and print what they took."""
    rows = []
    baseline = None
    for name, make in contestants.items():
        make().fit(X[:300], y[:300])
        wall, cpu = time.perf_counter(), time.process_time()
        search = make().fit(X, y)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        baseline = baseline or wall
        of_cpu = "" if "n_jobs" in name else f"{cpu:.1f}"
        ratio = f"{wall / baseline:.1f}"
        rows.append((name, f"{wall:.1f}", ratio, of_cpu, f"{best_score(search):.4f}"))
    print_table((title, "wall s", "ratio", "CPU s", "best score"), rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--data", nargs="+", choices=("digits", "mnist"), default=None)
    parser.add_argument("--backend", nargs="+", default=CPU_BACKENDS)
    options = parser.parse_args()
    data = options.data or ("digits", "mnist")
    for n_threads in options.threads:
        with threadpool_limits(n_threads):
            print(machine())
            if "digits" in data:
                X, y = load_digits(return_X_y=True)
                alphas = np.logspace(-5, 1, 100)
                for dtype in (np.float64, np.float32):
                    compare(
                        f"digits in {np.dtype(dtype)}, 100 candidates, 5 folds",
                        ours({"alpha": alphas}, 5, options.backend)
                        | ours_of_raw_features({"alpha": alphas}, 5, options.backend)
                        | logistic(alphas, 0.8 * len(X), 5),
                        X.astype(dtype),
                        y,
                    )
            if "mnist" in data:
                X, y, _, _ = mnist()
                grid = {"alpha": np.logspace(-6, -1, 20)}
                compare(
                    "MNIST in float32, 20 candidates, 3 folds",
                    ours(grid, 3, options.backend),
                    (X / 255).astype(np.float32),
                    y,
                )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
