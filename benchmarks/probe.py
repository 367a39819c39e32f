"""Linear probes: accuracy against seconds, beside nn.Linear with Adam and LogisticRegression.

Run ``python -m benchmarks.probe --out FOLDER``; ``--rows``, ``--features`` and ``--classes``
say how large, and ``--data X.npy y.npy`` takes features of yours in place of drawn ones. Every
contestant gets the same float32 rows, one thread, and fits of the same numbers of epochs, or
of four times as many iterations. Seconds are those of the processor, since others may use the
machine, and of fits alone; the file has those of the clock, too. SoftmaxClassifier has its
defaults but for the number of epochs, and one more fit that stops by itself. Adam has the best
of a grid of rates, by the accuracy of its longest fit on a tenth of the training rows; what
that grid takes is not counted, but told. LogisticRegression has the penalty of our defaults,
behind a scaler on its own time.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, print_table
from sksoftmax import SoftmaxClassifier, list_backends

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
ADAM_BATCH = 256
DEFAULT = "stops by itself"
LENGTHS = 1, 2, 3, 4, 6, 8, 12, 16
SUMMARY = (
    "s to within a point of the best", "epochs or iterations", "s each", "best accuracy, %",
    "where it stops by itself",
)  # fmt: skip
Fit = Callable[[Any], Any]
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def planted(
    n_rows: int, n_features: int, n_classes: int, seed: int, noise: float = 0.25
) -> Data:
    """Draw rows around planted classes, and a fifth as many to test on.

    Features have scales that fall as the square root of their number, as principal components
    of embeddings do, and are mixed by a random rotation. Noise is as a share of the root of the
    number of features: classes then overlap about as much, however wide the rows.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, n_features))
    rotation = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    scales = 1 / np.sqrt(1 + np.arange(n_features))
    noise *= np.sqrt(n_features)
    labels = rng.integers(n_classes, size=n_rows + n_rows // 5)
    X = np.empty((len(labels), n_features), np.float32)
    for start in range(0, len(labels), 10_000):
        part = labels[start : start + 10_000]
        drawn = centres[part] + noise * rng.normal(size=(len(part), n_features))
        X[start : start + 10_000] = (drawn * scales) @ rotation
    return X[:n_rows], labels[:n_rows], X[n_rows:], labels[n_rows:]


def read(rows: str, labels: str, seed: int) -> Data:
    """Read rows and labels of the user's, and hold a fifth of them out to test on."""
    X = np.load(rows).astype(np.float32)
    _, codes = np.unique(np.load(labels), return_inverse=True)
    split = train_test_split(X, codes, test_size=0.2, random_state=seed)
    return split[0], split[2], split[1], split[3]


def softmax(backend: str, seed: int, data: Data) -> Fit:
    """Our estimator, for so many epochs or until it stops."""

    def fit(length: Any) -> Any:
        limits = {} if length == DEFAULT else {"max_iter": length, "tol": None}
        clf = SoftmaxClassifier(backend=backend, random_state=seed, **limits)
        return clf.fit(data[0], data[1])

    return fit


def logistic(data: Data) -> Fit:
    """scikit-learn's, at the penalty of our defaults."""
    n_rows = len(data[0])
    C = 1 / (max(1e-4, 1 / n_rows) * n_rows)

    def fit(length: Any) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=length))
        return model.fit(data[0], data[1])

    return fit


def adam(seed: int, data: Data, longest: int) -> tuple[Fit, str]:
    """PyTorch's ``nn.Linear`` with Adam, and a word on how its rate was found."""
    from benchmarks.peers.torch_loop import LinearAdam

    start = time.process_time()
    X, X_held, y, y_held = train_test_split(data[0], data[1], test_size=0.1, random_state=seed)
    found = {
        rate: accuracy(LinearAdam(longest, seed, rate, ADAM_BATCH).fit(X, y), X_held, y_held)
        for rate in RATES
    }
    rate = max(found, key=lambda rate: found[rate])
    note = f"rate {rate:g}, of {len(RATES)} in {time.process_time() - start:.0f} s"
    return lambda n: LinearAdam(n, seed, rate, ADAM_BATCH).fit(data[0], data[1]), note


def accuracy(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of right labels."""
    return float(np.mean(model.predict(X) == y))


def measure(fit: Fit, lengths: list[Any], n_runs: int, data: Data) -> list[dict[str, Any]]:
    """Fit to each length, after a warm-up; the median seconds, and the test accuracy."""
    fit(lengths[0])
    points = []
    for length in lengths:
        runs = []
        for _ in range(n_runs):
            start = time.process_time(), time.perf_counter()
            model = fit(length)
            runs.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        seconds, by_clock = (median(times) for times in zip(*runs, strict=True))
        right = accuracy(model, data[2], data[3])
        points.append(
            {"length": length, "seconds": seconds, "by clock": by_clock, "accuracy": right}
        )
    return points


def summary(measured: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row a contestant: when it is within a point of the best of all, and what it reaches."""
    best = max(point["accuracy"] for found in measured.values() for point in found["points"])
    rows = []
    for name, found in measured.items():
        points = [point for point in found["points"] if point["length"] != DEFAULT]
        alone = [point for point in found["points"] if point["length"] == DEFAULT]
        near = next((point for point in points if point["accuracy"] >= best - 0.01), None)
        first, last = points[0], points[-1]
        each = (last["seconds"] - first["seconds"]) / (last["length"] - first["length"])
        rows.append((
            f"{name}, {found['note']}",
            f"{near['seconds']:.1f}" if near else "never",
            str(near["length"]) if near else "never",
            f"{each:.2f}",
            f"{100 * max(point['accuracy'] for point in found['points']):.1f}",
            *(f"{100 * point['accuracy']:.1f} after {point['seconds']:.1f}" for point in alone),
            *[""] * (not alone),
        ))  # fmt: skip
    return rows


def table(shape: tuple[int, ...], rows: list[tuple[str, ...]]) -> str:
    """Return the summary as reStructuredText, which a page in docs/ includes."""
    title = "{:,} x {:,}, {:,} classes".format(*shape)
    header = "contestant", *SUMMARY
    lines = [f".. csv-table:: {title}", "   :class: measured", ""]
    lines[1:1] = ["   :header: " + ", ".join(f'"{cell}"' for cell in header)]
    lines += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in rows]
    return "\n".join(lines) + "\n"


def draw(measured: dict[str, Any], file: Path) -> None:
    """Draw accuracy against seconds, a line a contestant; fits that stop alone are stars."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for number, (name, found) in enumerate(measured.items()):
        lengths = [point for point in found["points"] if point["length"] != DEFAULT]
        alone = [point for point in found["points"] if point["length"] == DEFAULT]
        for points, marker, label in ((lengths, "o-", name), (alone, "*", None)):
            axes.plot(
                [point["seconds"] for point in points],
                [100 * point["accuracy"] for point in points],
                marker, color=f"C{number}", label=label, markersize=12 if label is None else 4,
            )  # fmt: skip
    axes.set(xscale="log", xlabel="seconds of the processor", ylabel="test accuracy, %")
    axes.grid(alpha=0.3, which="both")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.legend(fontsize="small", loc="best")
    figure.savefig(file, dpi=100)
    plt.close(figure)


def contestants(options: argparse.Namespace, data: Data) -> dict[str, tuple[Fit, list, str]]:
    """Who competes: a fit, its lengths, and a word about it."""
    lengths = sorted(options.lengths)
    found = {
        f"SoftmaxClassifier, {backend}": (
            softmax(backend, options.seed, data), [*lengths, DEFAULT], "defaults",
        )
        for backend in options.backend
    }  # fmt: skip
    if find_spec("torch"):
        fit, note = adam(options.seed, data, lengths[-1])
        found["nn.Linear, Adam"] = (fit, lengths, note)
    else:
        print("PyTorch is not installed: nn.Linear is left out.")
    if not options.without_logistic:
        found["LogisticRegression"] = (
            logistic(data), [4 * n for n in lengths], "lbfgs behind a scaler",
        )  # fmt: skip
    return found


def versions() -> str:
    """Name the machine, and the version of PyTorch."""
    if not find_spec("torch"):
        return machine()
    import torch

    return f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all, and print a table."""
    if options.data:
        data = read(*options.data, options.seed)
    else:
        size = options.rows, options.features, options.classes
        data = planted(*size, options.seed, options.noise)
    shape = (*data[0].shape, len(np.unique(data[1])))
    chosen = contestants(options, data)
    with threadpool_limits(1):
        about = versions()
        measured = {
            name: {"note": note, "points": measure(fit, lengths, options.runs, data)}
            for name, (fit, lengths, note) in chosen.items()
        }
    print(about)
    rows = [
        (name, point["length"], f"{point['seconds']:.2f}", f"{100 * point['accuracy']:.2f}")
        for name, found in measured.items()
        for point in found["points"]
    ]
    title = "{:,} x {:,}, {:,} classes".format(*shape)
    print_table((title, "epochs or iterations", "seconds", "test accuracy, %"), rows)
    print_table((title, *SUMMARY), summary(measured))
    return {"machine": about, "shape": shape, "measured": measured}


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, and write the numbers, the summary and the picture."""
    available = [info.name for info in list_backends() if info.available]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--data", nargs=2, metavar=("X.npy", "y.npy"))
    parser.add_argument("--backend", nargs="+", choices=available, default=["numpy"])
    parser.add_argument("--noise", type=float, default=0.25, help="over sqrt(features)")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="in epochs")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-logistic", action="store_true")
    parser.add_argument("--out", type=Path, help="where probe.json, .inc and .png go")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that are cut short on purpose
        found = run(options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "probe.json").write_text(json.dumps(found, indent=2) + "\n")
        rows = summary(found["measured"])
        (options.out / "probe.inc").write_text(table(found["shape"], rows))
        draw(found["measured"], options.out / "probe.png")


if __name__ == "__main__":
    main()
