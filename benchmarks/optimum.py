"""Seconds until the objective is within 1e-2, 1e-4 and 1e-6 of its least value.

Run ``python -m benchmarks.optimum`` with ``SKSOFTMAX_TABLES`` and ``SKSOFTMAX_MNIST`` naming
folders; ``--sets vehicle satimage`` takes some of the sets, and ``--json FILE`` keeps every
fit. All contestants minimise the objective of a default ``SoftmaxClassifier``:
LogisticRegression stands behind a scaler, at the same penalty. Each is fitted anew for one
tolerance after another, as a user would, and how far its coefficients are from the optimum is
measured by code that is none of theirs. A time is that of the fastest fit that is near enough,
median of several runs. The first fit that takes longer than ``--limit`` seconds is a
contestant's last one on a set; it is not cut short.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, print_table
from benchmarks.step.objective import Objective
from benchmarks.step.sets import BenchmarkSet, all_sets
from sksoftmax import SoftmaxClassifier

GAPS = (1e-2, 1e-4, 1e-6)
SETS = (
    "vehicle", "satimage", "waveform", "pageblocks", "spambase", "optdigits", "letter",
    "nursery", "lgb_higgs", "trec6", "MNIST", "1,000 classes x 256",
)  # fmt: skip
"""Ten tables, the images, and a set of very many classes."""

TOLERANCES = tuple(float(f"1e-{digits}") for digits in range(1, 13))
MOST_EPOCHS = 1_000
MOST_HESSIAN = 5_000
"""Weights up to which a solver that factorises their Hessian takes part."""


@dataclass(frozen=True)
class Run:
    """A fit of one contestant at one tolerance.

    Parameters
    ----------
    data, contestant : str
        Their names.
    tol : float
        What the fit was told.
    seconds : float
        Median of the wall seconds.
    gap : float
        How far the objective of its coefficients is above its least value.
    """

    data: str
    contestant: str
    tol: float
    seconds: float
    gap: float


def contestants(X: Any, y: np.ndarray, alpha: float) -> dict[str, Callable[[float], Any]]:
    """Estimators for a tolerance, by name."""
    C = 1 / (alpha * X.shape[0])

    def peer(solver: str) -> Callable[[float], Any]:
        return lambda tol: make_pipeline(
            StandardScaler(with_mean=not sparse.issparse(X)),
            LogisticRegression(
                C=C, solver=solver, tol=tol, max_iter=MOST_EPOCHS, random_state=0
            ),
        )

    def ours(optimizer: str) -> Callable[[float], Any]:
        return lambda tol: SoftmaxClassifier(
            alpha=alpha, optimizer=optimizer, tol=tol, max_iter=MOST_EPOCHS, random_state=0
        )

    found = {"ours, sgd": ours("sgd"), "ours, lbfgs": ours("lbfgs"), "lbfgs": peer("lbfgs")}
    if len(np.unique(y)) * (X.shape[1] + 1) <= MOST_HESSIAN:
        found["newton-cholesky"] = peer("newton-cholesky")
    return {**found, "saga": peer("saga")}


def coefficients(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts in the units of X."""
    if isinstance(model, SoftmaxClassifier):
        return model.coef_, model.intercept_
    scaler, peer = model[0], model[-1]
    coef = peer.coef_ / scaler.scale_
    shift = coef @ scaler.mean_ if scaler.with_mean else 0
    return coef, peer.intercept_ - shift


def runs_of(data: BenchmarkSet, *, n_runs: int, limit: float) -> Iterable[Run]:
    """Yield the fits of all contestants on one set."""
    X, y = data.X, data.y
    alpha = SoftmaxClassifier(max_iter=1, tol=None).fit(X, y).alpha_  # compiles, too
    exact = X.astype(np.float64)
    objective = Objective(exact, y, alpha)
    optimum, _ = objective.optimum()
    for name, make in contestants(X, y, alpha).items():
        for tol in TOLERANCES:
            seconds: list[float] = []
            while len(seconds) < n_runs and sum(seconds) < limit:
                model = make(tol)
                start = time.perf_counter()
                model.fit(X, y)
                seconds.append(time.perf_counter() - start)
            gap = objective.of_model(*coefficients(model)) - optimum
            yield Run(data.name, name, tol, median(seconds), gap)
            if gap <= min(GAPS) or seconds[0] >= limit:
                break


def rows_of(data: BenchmarkSet, runs: list[Run]) -> list[list[str]]:
    """Seconds to each gap on one set, by contestant, and "-" where no fit was near enough."""
    names = list(dict.fromkeys(run.contestant for run in runs))
    shape = " x ".join(map(str, (*data.X.shape, len(np.unique(data.y)))))
    rows = []
    for name in names:
        near = [
            [run.seconds for run in runs if run.contestant == name and run.gap <= gap]
            for gap in GAPS
        ]
        times = [f"{min(seconds):.3g}" if seconds else "-" for seconds in near]
        rows.append([data.name, shape, name, *times])
    return rows


def main() -> None:
    """Measure, print the table, and write the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of a fit")
    parser.add_argument("--threads", type=int, default=1, help="of the BLAS")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    known = all_sets()
    missing = [name for name in arguments.sets if name not in known]
    if missing:
        parser.error(f"no such set here: {', '.join(missing)}. There are {', '.join(known)}.")
    kept: list[Run] = []
    header = "set", "rows x features x classes", "contestant", *map(str, GAPS)
    with threadpool_limits(arguments.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        print(machine())
        for name in arguments.sets:
            runs = list(runs_of(known[name], n_runs=arguments.runs, limit=arguments.limit))
            print_table(header, rows_of(known[name], runs))
            kept += runs
        if arguments.json is not None:
            found = {"machine": machine(), "runs": [asdict(run) for run in kept]}
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
