"""One model by one and two processes: strong and weak scaling, and a model of both.

Run ``python -m benchmarks.distributed``, with the extra ``mpi`` installed and as many idle
cores as processes: waiting processes keep a core busy. It starts ``mpiexec`` itself, in turns
with one and two ranks of one thread each. Of each turn the fastest fiftieth of the steps
counts, and of all turns the fastest, so that other work on the machine is left out as far as
can be: steps of a few milliseconds would rarely be undisturbed, hence the small batches.

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
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.measure import machine, print_table
from sksoftmax.distributed import DistributedSoftmaxClassifier
from sksoftmax.distributed.fit import ShardFit
from sksoftmax.estimators.fit import Fit
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.training import Training

N_ROWS, N_FEATURES, N_CLASSES = 32_768, 784, 10
BATCH_SIZES = (128, 256, 512, 1024)
N_TURNS, N_EPOCHS = 5, 20

N_NODES, N_ROWS_OF_NODES = 64, 10**9
LATENCY, BANDWIDTH = 20e-6, 10e9
"""Seconds and bytes a second of an Allreduce between nodes: assumed, not measured."""


def rows(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the shape of MNIST in float32; an epoch takes as long whatever they hold."""
    rng = np.random.default_rng(seed)
    X = rng.random((n_rows, N_FEATURES), dtype=np.float32)
    return X, rng.permutation(np.arange(n_rows) % N_CLASSES)


class TimedFit(ShardFit):
    """Notes how long each step takes."""

    def _training(self, *arguments: Any, **named: Any) -> Training:
        training = super()._training(*arguments, **named)
        trainer, self.seconds = training.trainer, []
        step = trainer._step

        def timed(*arguments: Any) -> Any:
            start = perf_counter()
            loss = step(*arguments)
            self.seconds.append(perf_counter() - start)
            return loss

        trainer._step = timed
        return training

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the estimator, and the times."""
        return {**super().attributes(), "seconds_": self.seconds}


class Timed(DistributedSoftmaxClassifier):
    """Keeps how long each step took."""

    def _new_fit(self, resume: Checkpoint | None, *, is_stream: bool = False) -> Fit:
        return TimedFit(self, resume, is_stream=is_stream, ranks=self._ranks)


def seconds_a_step(X: np.ndarray, y: np.ndarray, batch_size: int) -> float:
    """What the fastest fiftieth of the steps of a fit takes."""
    clf = Timed(
        batch_size=batch_size, max_iter=N_EPOCHS, tol=None, random_state=0, backend="numpy"
    )
    return float(np.quantile(clf.fit(X, y).seconds_, 0.02))


def seconds_an_allreduce(n_turns: int = 200) -> float:
    """What the fastest fiftieth of Allreduces of one gradient takes."""
    from mpi4py import MPI

    gradient = np.ones(N_CLASSES * (N_FEATURES + 1), np.float32)
    seconds = []
    for _ in range(n_turns):
        MPI.COMM_WORLD.Barrier()
        start = perf_counter()
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, gradient)
        seconds.append(perf_counter() - start)
        gradient[:] = 1
    return float(np.quantile(seconds, 0.02))


def measure() -> None:
    """On each rank: take all times, and let rank 0 print them."""
    from mpi4py import MPI

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    X, y = rows(N_ROWS, rank)
    share = np.array_split(np.arange(N_ROWS), size)[rank]
    strong = X[share], y[share]
    times = {"allreduce": seconds_an_allreduce()}
    for batch_size in BATCH_SIZES:
        times[f"strong {batch_size}"] = seconds_a_step(*strong, batch_size)
        times[f"weak {batch_size}"] = seconds_a_step(X, y, batch_size * size)
    if rank == 0:
        print(json.dumps(times))


def measured() -> dict[int, dict[str, float]]:
    """The least time of each quantity, by number of ranks."""
    mpiexec = Path(sysconfig.get_path("scripts")) / "mpiexec"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
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


def fitted(times: dict[int, dict[str, float]]) -> np.ndarray:
    """Update, gather and compute, in seconds, from all steps measured; none is negative."""
    factors, seconds = [], []
    for n_ranks, found in times.items():
        for kind in ("strong", "weak"):
            for batch_size in BATCH_SIZES:
                size = batch_size * (n_ranks if kind == "weak" else 1)
                time = found[f"{kind} {batch_size}"]
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
    print(f"{N_FEATURES} features, {N_CLASSES} classes, float32, NumPy; one thread a rank")
    print(f"microseconds a step; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"Allreduce of a gradient by 2 ranks: {1e6 * times[2]['allreduce']:.0f}")
    update, gather, compute = fitted(times)
    for kind, title in (
        ("strong", f"strong: {N_ROWS} rows in all, batch of all ranks"),
        ("weak", f"weak: {N_ROWS} rows a rank, batch of each rank"),
    ):
        lines = []
        for batch_size in BATCH_SIZES:
            one, two = (times[n][f"{kind} {batch_size}"] for n in (1, 2))
            size = batch_size * (2 if kind == "weak" else 1)
            model = update + gather * size + compute * size / 2 + times[2]["allreduce"]
            gain = one / two * (2 if kind == "weak" else 1)
            microseconds = (f"{1e6 * seconds:.0f}" for seconds in (one, two, model))
            lines.append([batch_size, *microseconds, f"{gain:.2f}"])
        print_table((title, "1 rank", "2 ranks", "model", "rows a second, ratio"), lines)
    print(
        f"fitted: update {1e6 * update:.0f} us, gather {1e9 * gather:.0f} ns a row,"
        f" compute {1e9 * compute:.0f} ns a row"
    )
    project(update, gather + compute)


def project(update: float, of_row: float) -> None:
    """Print what the model says of many nodes, where every node gathers its own rows."""
    allreduce = allreduce_between_nodes()
    lines = []
    for batch_size in (256, 4096, 65536, 2**20):
        one = update + of_row * batch_size
        many = update + of_row * batch_size / N_NODES + allreduce
        epochs = (f"{N_ROWS_OF_NODES / batch_size * step:.0f}" for step in (one, many))
        lines.append([batch_size, *epochs, f"{one / many:.1f}"])
    print_table(("PROJECTION: batch", "s an epoch, 1 node", f"{N_NODES} nodes", "ratio"), lines)
    print(
        f"{N_ROWS_OF_NODES:,} rows in memory, one rank of one core a node. Nothing of this was"
        f" measured; an Allreduce is taken to last {1e6 * allreduce:.0f} us"
        f" ({1e6 * LATENCY:.0f} us a message, {BANDWIDTH / 1e9:.0f} GB/s)."
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    else:
        main()
