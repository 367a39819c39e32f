"""Milliseconds of one epoch over MNIST, beside the literal textbook loop.

The textbook reads contiguous batches and shuffles nothing; ours runs with everything on,
then with everything off. All alternate in one run, with one BLAS thread.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import alternate, machine, mnist, peak_extra_memory, print_table
from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.backend.registry import CPU_PREFERENCE
from sksoftmax.data.targets import encode_targets
from sksoftmax.training.measured_rows import MeasuredRows
from sksoftmax.training.settings import Settings
from sksoftmax.training.training import Training

N_RUNS = 7
CPU_BACKENDS = [b.name for b in list_backends() if b.available and b.name in CPU_PREFERENCE]
DEFAULTS = {
    "l1_ratio": 0,
    "schedule": "constant",
    "max_iter": 1,
    "optimizer": "sgd",
    "nesterov": False,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
}
EVERYTHING_ON = Settings(
    **DEFAULTS,
    alpha=1e-4,
    fit_intercept=True,
    batch_size=256,
    learning_rate="auto",
    momentum=0.9,
    average=True,
    standardize=True,
    shuffle=True,
)
EVERYTHING_OFF = Settings(
    **DEFAULTS,
    alpha=0,
    fit_intercept=False,
    batch_size=256,
    learning_rate=0.2,
    momentum=0,
    average=False,
    standardize=False,
    shuffle=False,
)


def textbook_epoch(X: np.ndarray, y: np.ndarray, theta: np.ndarray, step: float, size: int):
    """Take one step for each contiguous batch, in place, as textbooks write it."""
    n_classes = theta.shape[1]
    for start in range(0, len(X), size):
        x, labels = X[start : start + size], y[start : start + size]
        Z = np.exp(x @ theta)
        Z /= Z.sum(axis=1, keepdims=True)
        I_y = np.zeros((len(x), n_classes), x.dtype)
        I_y[np.arange(len(x)), labels] = 1
        theta -= x.dtype.type(step / size) * (x.T @ (Z - I_y))


def gather_epoch(X: np.ndarray, order: np.ndarray, buffer: np.ndarray) -> None:
    """Copy the rows of each shuffled batch: what no shuffled epoch can do without."""
    size = len(buffer)
    for start in range(0, len(X), size):
        rows = order[start : start + size]
        np.take(X, rows, axis=0, out=buffer[: len(rows)], mode="clip")


def training(
    settings: Settings, X: np.ndarray, y: np.ndarray, batch_size: int, backend: str
) -> Training:
    """Return a training that is ready to run epochs."""
    settings = Settings(**{**vars(settings), "batch_size": batch_size})
    targets = encode_targets(y, None, X)
    return Training(settings, MeasuredRows(settings, backend, X, targets, seed=0), seed=0)


def time_epochs(X: np.ndarray, y: np.ndarray, size: int) -> dict[str, float]:
    """Milliseconds of an epoch of each contestant at one batch size."""
    theta = np.zeros((X.shape[1], 10), np.float32)
    buffer = np.empty((size, X.shape[1]), np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    contestants = {
        "textbook loop": lambda: textbook_epoch(X, y, theta, 0.2, size),
        **{
            f"{name}, {what}": training(settings, X, y, size, name).run_epoch
            for name in CPU_BACKENDS
            for what, settings in (("all off", EVERYTHING_OFF), ("all on", EVERYTHING_ON))
        },
        "gathering shuffled rows alone": lambda: gather_epoch(X, order, buffer),
    }
    return alternate(contestants, N_RUNS)


def main() -> None:
    """Print both tables."""
    X, y, _, _ = mnist()
    X = (X / 255).astype(np.float32)
    print(machine())
    rows = []
    for size in (100, 256):
        milliseconds = time_epochs(X, y, size)
        base = milliseconds["textbook loop"]
        rows += [
            (size, name, f"{ms:.1f}", f"{ms / base:.2f}") for name, ms in milliseconds.items()
        ]
    print_table(("batch", "epoch over MNIST, float32", "ms (median of 7)", "ratio"), rows)
    weights = np.ones(len(X))
    weights[::3] = 0
    memory = [
        (what, f"{extra / 2**20:.0f}", f"{extra / X.nbytes:.0%}")
        for what, extra in (
            ("default fit", peak_extra_memory(lambda: fit_one_epoch(X, y, None))),
            (
                "a third of the weights zero",
                peak_extra_memory(lambda: fit_one_epoch(X, y, weights)),
            ),
        )
    ]
    print_table(("peak memory beyond X", "MiB", "share of X"), memory)


def fit_one_epoch(X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
    """Fit for one epoch with default parameters."""
    SoftmaxClassifier(max_iter=1, tol=None, random_state=0).fit(X, y, weights)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
