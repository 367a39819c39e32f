"""Peak memory and processor time of fits on a large file, each in a process of its own.

The peak is the resident set, mapped pages of the file included: what a container's limit
counts. The file is written block by block beside the other temporary files, and deleted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, print_table
from sksoftmax import SoftmaxClassifier
from sksoftmax.data.stored import forget_pages

N_FEATURES = 784
N_CLASSES = 10
CENTRES = np.random.default_rng(0).normal(size=(N_CLASSES, N_FEATURES)).astype(np.float32)
BLOCK = 10_000


def write(folder: Path, n_bytes: int) -> None:
    """Write rows of ten overlapping classes, `X.npy`, and their labels, `y.npy`."""
    n_rows = n_bytes // (4 * N_FEATURES)
    rng = np.random.default_rng(1)
    y = rng.integers(N_CLASSES, size=n_rows)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n_rows, N_FEATURES))
    for start in range(0, n_rows, BLOCK):
        of_block = y[start : start + BLOCK]
        noise = rng.standard_normal((len(of_block), N_FEATURES), np.float32)
        X[start : start + BLOCK] = 15 * noise + CENTRES[of_block]
    X.flush()
    np.save(folder / "y.npy", y)


def mapped(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows as a memory map, and the labels."""
    return np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy")


def classifier(**parameters: object) -> SoftmaxClassifier:
    """One epoch of a default fit."""
    return SoftmaxClassifier(max_iter=1, tol=None, random_state=0, **parameters)


def of_few_rows(folder: Path, **parameters: object) -> SoftmaxClassifier:
    """A model to predict with."""
    X, y = mapped(folder)
    return classifier(**parameters).fit(X[:1000], y[:1000])


def streamed(X: np.ndarray, y: np.ndarray) -> SoftmaxClassifier:
    """A model of one pass over chunks, each a copy, as a stream delivers them."""
    clf = classifier()
    for start in range(0, len(X), BLOCK):
        chunk = slice(start, start + BLOCK)
        clf.partial_fit(np.array(X[chunk]), y[chunk], classes=range(N_CLASSES))
        forget_pages(X, start, min(start + BLOCK, len(X)))
    return clf


WORKS: dict[str, Callable[[Path], object]] = {
    "imports and labels alone": mapped,
    'fit, shuffle="blocks"': lambda f: classifier(shuffle="blocks").fit(*mapped(f)),
    "the same, early stopping": lambda f: classifier(shuffle="blocks", early_stopping=True).fit(
        *mapped(f)
    ),
    "fit on the map, shuffle=True": lambda f: classifier().fit(*mapped(f)),
    "fit in memory": lambda f: classifier().fit(np.load(f / "X.npy"), np.load(f / "y.npy")),
    "partial_fit, 10,000 rows a time": lambda f: streamed(*mapped(f)),
    'predict, shuffle="blocks"': lambda f: of_few_rows(f, shuffle="blocks").predict(
        mapped(f)[0]
    ),
    "predict from the map": lambda f: of_few_rows(f).predict(mapped(f)[0]),
}


def peak_resident_memory() -> int:
    """Most bytes that this process has had in memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Run one work, or all of them in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--work", choices=WORKS)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.work:
        start = time.process_time()  # of the processor: others may work on the machine
        with threadpool_limits(1):
            WORKS[arguments.work](arguments.folder)
        print(peak_resident_memory(), time.process_time() - start)
        return
    print(machine())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write(Path(folder), int(arguments.gigabytes * 2**30))
        rows = [(name, *measured(name, folder)) for name in WORKS]
    title = f"one epoch, {arguments.gigabytes:g} GiB of float32"
    print_table((title, "peak resident MiB", "CPU s"), rows)


def measured(name: str, folder: str) -> tuple[str, str]:
    """Peak memory and processor seconds of a work, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--work", name, "--folder", folder]
    peak, seconds = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return f"{int(peak) / 2**20:.0f}", f"{float(seconds):.1f}"


if __name__ == "__main__":
    main()
