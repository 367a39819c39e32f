"""One model by one and two processes: strong and weak scaling, and a model of both.

Run ``python -m benchmarks.distributed``, with the extra ``mpi`` installed and as many idle
cores as processes: waiting processes keep a core busy. It starts ``mpiexec`` itself, in turns
with one and two ranks of one thread each, and takes the least time of all turns.

A step on B rows of n features and k classes, by P ranks, is modelled by ::

    t(P) = update + gather B + compute B / P + Allreduce(n k)

where update, gather and compute are fitted to all steps measured, and Allreduce is measured by
itself. Rows are gathered over the one memory bus of this machine, which P ranks share; on
machines of their own, gathering is divided by P as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import nnls

from benchmarks.measure import machine, print_table
from sksoftmax.callbacks import FitTasks
from sksoftmax.distributed import DistributedSoftmaxClassifier
from sksoftmax.epochs import Epochs

N_ROWS, N_FEATURES, N_CLASSES = 32_768, 784, 10
BATCH_SIZES = (256, 1024, 4096, 16384)
BACKENDS = ("numpy", "numba")
N_TURNS, N_EPOCHS = 5, 5

N_NODES, N_ROWS_OF_NODES = 64, 10**9
LATENCY, BANDWIDTH = 20e-6, 10e9
"""Seconds and bytes a second of an Allreduce between nodes: assumed, not measured."""


def rows(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the shape of MNIST in float32; an epoch takes as long whatever they hold."""
    rng = np.random.default_rng(seed)
    X = rng.random((n_rows, N_FEATURES), dtype=np.float32)
    return X, rng.permutation(np.arange(n_rows) % N_CLASSES)


class Timed(DistributedSoftmaxClassifier):
    """Notes how long each epoch takes."""

    def _run(self, epochs: Epochs, tasks: FitTasks) -> None:
        self.seconds_ = []
        for _ in range(self.max_iter):
            start = perf_counter()
            epochs.run_one()
            self.seconds_.append(perf_counter() - start)


def seconds_a_step(X: np.ndarray, y: np.ndarray, batch_size: int, backend: str) -> float:
    """What a step of the fastest epoch takes, what is exchanged after an epoch included."""
    clf = Timed(batch_size=batch_size, max_iter=N_EPOCHS, random_state=0, backend=backend)
    clf.fit(X, y)
    return min(clf.seconds_) / (clf.t_ / clf.n_iter_)


def seconds_an_allreduce(n_turns: int = 200) -> float:
    """The median of an Allreduce of one gradient."""
    from mpi4py import MPI

    gradient = np.ones(N_CLASSES * (N_FEATURES + 1), np.float32)
    seconds = []
    for _ in range(n_turns):
        MPI.COMM_WORLD.Barrier()
        start = perf_counter()
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, gradient)
        seconds.append(perf_counter() - start)
        gradient[:] = 1
    return float(np.median(seconds))


def measure() -> None:
    """On each rank: take all times, and let rank 0 print them."""
    from mpi4py import MPI

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    X, y = rows(N_ROWS, rank)
    share = np.array_split(np.arange(N_ROWS), size)[rank]
    strong = X[share], y[share]
    times = {"allreduce": seconds_an_allreduce()}
    for backend in BACKENDS:
        for batch_size in BATCH_SIZES:
            name = f"{backend} {batch_size}"
            times[f"strong {name}"] = seconds_a_step(*strong, batch_size, backend)
            times[f"weak {name}"] = seconds_a_step(X, y, batch_size * size, backend)
    if rank == 0:
        print(json.dumps(times))


def measured() -> dict[int, dict[str, float]]:
    """The least time of each quantity, by number of ranks."""
    mpiexec = Path(sysconfig.get_path("scripts")) / "mpiexec"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    times: dict[int, dict[str, list[float]]] = {n: defaultdict(list) for n in (1, 2)}
    for _ in range(N_TURNS):
        for n_ranks, found in times.items():
            run = [str(mpiexec), "-n", str(n_ranks), sys.executable, "-m", "mpi4py"]
            done = subprocess.run(
                [*run, "-m", "benchmarks.distributed", "measure"],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            for name, seconds in json.loads(done.stdout).items():
                found[name].append(seconds)
    return {n: {name: min(all_) for name, all_ in of.items()} for n, of in times.items()}


def fitted(times: dict[int, dict[str, float]], backend: str) -> np.ndarray:
    """Update, gather and compute, in seconds, from all steps measured; none is negative."""
    factors, seconds = [], []
    for n_ranks, found in times.items():
        for kind in ("strong", "weak"):
            for batch_size in BATCH_SIZES:
                size = batch_size * (n_ranks if kind == "weak" else 1)
                time = found[f"{kind} {backend} {batch_size}"]
                # Relative errors count alike, in short steps and in long ones.
                factors.append(np.array([1, size, size / n_ranks]) / time)
                seconds.append(1 - (found["allreduce"] if n_ranks > 1 else 0) / time)
    return nnls(np.array(factors), np.array(seconds))[0]


def allreduce_between_nodes() -> float:
    """Seconds of an Allreduce by recursive halving and doubling, as assumed above."""
    n_bytes = 4 * N_CLASSES * (N_FEATURES + 1)
    return 2 * np.log2(N_NODES) * LATENCY + 2 * n_bytes / BANDWIDTH


def main() -> None:
    """Print the tables."""
    times = measured()
    print(machine())
    print(f"{N_FEATURES} features, {N_CLASSES} classes, float32; one thread a rank")
    print(f"load: {os.getloadavg()[0]:.1f}; microseconds a step, least of {N_TURNS * N_EPOCHS}")
    print(f"Allreduce of a gradient, 2 ranks: {1e6 * times[2]['allreduce']:.0f}")
    for backend in BACKENDS:
        update, gather, compute = fitted(times, backend)
        for kind, title in (
            ("strong", f"{backend}: {N_ROWS} rows in all, batch of all ranks"),
            ("weak", f"{backend}: {N_ROWS} rows a rank, batch of each rank"),
        ):
            lines = []
            for batch_size in BATCH_SIZES:
                one, two = (times[n][f"{kind} {backend} {batch_size}"] for n in (1, 2))
                size = batch_size * (2 if kind == "weak" else 1)
                model = update + gather * size + compute * size / 2 + times[2]["allreduce"]
                gain = one / two * (2 if kind == "weak" else 1)
                line = batch_size, 1e6 * one, 1e6 * two, 1e6 * model
                lines.append([*(f"{value:.0f}" for value in line), f"{gain:.2f}"])
            print_table((title, "1 rank", "2 ranks", "model", "rows a second, ratio"), lines)
        print(
            f"fitted: update {1e6 * update:.0f} us, gather {1e9 * gather:.0f} ns a row,"
            f" compute {1e9 * compute:.0f} ns a row"
        )
        lines = []
        for batch_size in (256, 4096, 65536, 2**20):
            n_steps = N_ROWS_OF_NODES / batch_size
            one = n_steps * (update + (gather + compute) * batch_size)
            waits = n_steps * (update + allreduce_between_nodes())
            nodes = waits + n_steps * (gather + compute) * batch_size / N_NODES
            lines.append([batch_size, f"{one:.0f}", f"{nodes:.0f}", f"{one / nodes:.1f}"])
        print_table(
            (
                f"{backend}, PROJECTION: batch",
                "s an epoch, 1 node",
                f"{N_NODES} nodes",
                "ratio",
            ),
            lines,
        )
    print(
        f"The projections are of {N_ROWS_OF_NODES:.0e} rows and one core a node; nothing of"
        f" them was measured. They assume {1e6 * allreduce_between_nodes():.0f} us an Allreduce"
        f" ({1e6 * LATENCY:.0f} us a message, {BANDWIDTH / 1e9:.0f} GB/s), and rows in memory."
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    else:
        main()
