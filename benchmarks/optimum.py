"""Seconds until the objective is within 1e-2, 1e-4 and 1e-6 of its least value.

Run ``python -m benchmarks.optimum --out FOLDER`` with ``SKSOFTMAX_TABLES`` and
``SKSOFTMAX_MNIST`` naming folders; ``--sets vehicle satimage`` takes some of the sets. All
contestants minimise the objective of a default ``SoftmaxClassifier``: LogisticRegression and
Cyanure stand behind a scaler, at the same penalty, and Cyanure is left out where it is not
installed. Each is fitted anew for one tolerance after another, as a user would, and how far its
coefficients are from the optimum is measured by code that is none of theirs. A time is that of
the processor, median of several runs, and of the fastest fit that is near enough. The first fit
that takes longer than ``--limit`` seconds is a contestant's last one on a set; it is not cut
short. The folder then holds every fit, the table for the docs, and the picture of ``--shown``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits

from benchmarks import sparse as text_like
from benchmarks.measure import FOR_LIGHT_AND_DARK, GREY, machine, print_table
from benchmarks.step.generators import embeddings
from benchmarks.step.objective import Objective
from benchmarks.step.sets import LARGE, BenchmarkSet, all_sets
from sksoftmax import SoftmaxClassifier

GAPS = (1e-2, 1e-4, 1e-6)
SETS = (
    "vehicle", "satimage", "waveform", "pageblocks", "spambase", "optdigits", "letter",
    "nursery", "sms", "BASEHOCK", "rcv1-like", "MNIST", "1,000 classes x 128",
)  # fmt: skip
"""Eight tables, three sparse texts, the images, and a set of very many classes."""

SHOWN = "vehicle", "satimage", "nursery", "rcv1-like", "MNIST", "1,000 classes x 128"
"""Sets in the picture."""

TOLERANCES = tuple(float(f"1e-{digits}") for digits in range(1, 13))
NEVER = "\N{EN DASH}"
MOST_EPOCHS = 1_000
MOST_HESSIAN = 5_000
"""Weights up to which a solver that factorises their Hessian takes part."""


def sets() -> dict[str, BenchmarkSet]:
    """Return the sets of benchmarks.step by name, and two that are large enough for here."""
    more = (
        BenchmarkSet("rcv1-like", "text", rcv1_like),
        BenchmarkSet("1,000 classes x 128", LARGE, partial(embeddings, 20_000, 128, 2.5)),
    )
    return {**all_sets(), **{data.name: data for data in more}}


def rcv1_like() -> tuple[sparse.csr_array, np.ndarray]:
    """Rows of 75 of 47,236 words, by Zipf's law and of length 1 as by tf-idf; two classes."""
    rng = np.random.default_rng(0)
    X = text_like.zipf_rows(20_000, 47_236, rng)
    X = sparse.csr_array(normalize(X))
    scores = X @ rng.standard_normal(X.shape[1])
    return X, (scores > 0.1 * rng.logistic(size=len(scores))).astype(int)


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
        Median of the seconds of the processor.
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

    def scaled(classifier: Any) -> Any:
        return make_pipeline(StandardScaler(with_mean=not sparse.issparse(X)), classifier)

    def peer(solver: str) -> Callable[[float], Any]:
        limits = {"max_iter": MOST_EPOCHS, "random_state": 0}
        return lambda tol: scaled(LogisticRegression(C=C, solver=solver, tol=tol, **limits))

    def cyanure(tol: float) -> Any:
        from cyanure.estimators import Classifier

        is_binary = len(np.unique(y)) == 2
        return scaled(
            Classifier(
                loss="logistic" if is_binary else "multiclass-logistic", lambda_1=alpha,
                tol=tol, max_iter=MOST_EPOCHS, verbose=False, n_threads=1,
            )
        )  # fmt: skip

    def ours(optimizer: str) -> Callable[[float], Any]:
        return lambda tol: SoftmaxClassifier(
            alpha=alpha, optimizer=optimizer, tol=tol, max_iter=MOST_EPOCHS, random_state=0
        )

    found = {
        "ours, default": ours("auto"),
        "ours, lbfgs": ours("lbfgs"),
        "LogisticRegression, lbfgs": peer("lbfgs"),
    }
    if len(np.unique(y)) * (X.shape[1] + 1) <= MOST_HESSIAN:
        found["newton-cholesky"] = peer("newton-cholesky")
    found["saga"] = peer("saga")
    if find_spec("cyanure"):
        found["Cyanure"] = cyanure
    return found


def coefficients(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts in the units of X."""
    if isinstance(model, SoftmaxClassifier):
        return model.coef_, model.intercept_
    scaler, peer = model[0], model[-1]
    coef = np.asarray(peer.coef_)
    if coef.shape[-1] != len(scaler.scale_):  # Cyanure's have a column a class
        coef = coef.T
    coef = np.atleast_2d(coef) / scaler.scale_
    shift = coef @ scaler.mean_ if scaler.with_mean else 0
    return coef, np.ravel(peer.intercept_) - shift


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
                start = time.process_time()
                model.fit(X, y)
                seconds.append(time.process_time() - start)
            gap = objective.of_model(*coefficients(model)) - optimum
            yield Run(data.name, name, tol, median(seconds), gap)
            if gap <= min(GAPS) or seconds[0] >= limit:
                break


def times_of(runs: Iterable[Run], data: str, contestant: str) -> list[float | None]:
    """Return the seconds to each gap on one set, None where no fit was near enough."""
    own = [run for run in runs if (run.data, run.contestant) == (data, contestant)]
    near = ([run.seconds for run in own if run.gap <= gap] for gap in GAPS)
    return [min(seconds) if seconds else None for seconds in near]


def table(runs: list[Run], shapes: dict[str, str]) -> list[list[str]]:
    """Return a row a set: milliseconds to each gap by every contestant."""
    names = list(dict.fromkeys(run.contestant for run in runs))
    rows = [["set", "rows x features, classes", *names]]
    for data, shape in shapes.items():
        times = {name: times_of(runs, data, name) for name in names}
        cells = [
            " / ".join(NEVER if t is None else f"{1e3 * t:,.0f}" for t in times[name])
            if any(times[name]) else NEVER
            for name in names
        ]  # fmt: skip
        rows.append([data, shape, *cells])
    return rows


def restructured(rows: list[list[str]]) -> str:
    """Return the table as reStructuredText, which the page in docs/ includes."""
    lines = ["   " + ", ".join(f'"{cell}"' for cell in row) for row in rows]
    title = "Milliseconds to within 1e-2 / 1e-4 / 1e-6 of the least objective"
    head = f".. csv-table:: {title}\n   :header-rows: 1\n   :class: measured"
    return "\n".join((head, "", *lines)) + "\n"


def draw(runs: list[Run], shown: list[str], file: Path) -> None:
    """Draw, a panel a set, how far from the optimum each contestant is after how long."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(run.contestant for run in runs))
    n_rows = -(-len(shown) // 2)
    with plt.rc_context(FOR_LIGHT_AND_DARK):
        figure, panels = plt.subplots(
            n_rows, 2, figsize=(7, 2.6 * n_rows), layout="constrained", squeeze=False
        )
        for panel, data in zip(panels.flat, shown, strict=False):
            for number, name in enumerate(names):
                own = [run for run in runs if (run.data, run.contestant) == (data, name)]
                # Only fits that are nearer than any faster one.
                own.sort(key=lambda run: run.seconds)
                best = [
                    run for i, run in enumerate(own)
                    if all(run.gap < faster.gap for faster in own[:i])
                ]  # fmt: skip
                panel.plot(
                    [run.seconds for run in best], [max(run.gap, 1e-8) for run in best],
                    ".-", color=f"C{number}", linewidth=2.5 if "ours" in name else 1,
                    label=name,
                )  # fmt: skip
            panel.set(xscale="log", yscale="log", ylim=(1e-8, 2), title=data)
            panel.xaxis.set_minor_formatter("")  # within a decade labels would overlap
            panel.grid(alpha=0.3)
        for panel in panels.flat[len(shown) :]:
            panel.set_axis_off()
        figure.supxlabel("seconds of a fit", color=GREY)
        figure.supylabel("objective above its least value", color=GREY)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize="small")
        figure.savefig(file, dpi=120)
        plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, and write the runs, the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--shown", nargs="+", default=SHOWN, help="sets in the picture")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a fit")
    parser.add_argument("--out", type=Path, help="where optimum.json, .inc and .png go")
    options = parser.parse_args(arguments)
    known = sets()
    missing = [name for name in options.sets if name not in known]
    if missing:
        parser.error(f"no such set here: {', '.join(missing)}. There are {', '.join(known)}.")
    kept: list[Run] = []
    shapes: dict[str, str] = {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        about = machine()
        print(about)
        for name in options.sets:
            runs = list(runs_of(known[name], n_runs=options.runs, limit=options.limit))
            n_rows, n_features = known[name].X.shape
            shapes[name] = f"{n_rows:,} x {n_features:,}, {len(np.unique(known[name].y)):,}"
            header, row = table(runs, {name: shapes[name]})
            print_table(header, [row])
            kept += runs
            del known[name]  # and its rows
            if options.out is not None:  # after each set: an interrupted run leaves what it had
                write(about, kept, shapes, options.out, options.shown)


def write(
    about: str, runs: list[Run], shapes: dict[str, str], folder: Path, shown: list[str]
) -> None:
    """Write the runs, the table and the picture of some of the sets."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"machine": about, "shapes": shapes, "runs": [asdict(run) for run in runs]}
    (folder / "optimum.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "optimum.inc").write_text(restructured(table(runs, shapes)))
    draw(runs, [name for name in shown if name in shapes] or [*shapes], folder / "optimum.png")


if __name__ == "__main__":
    main()
