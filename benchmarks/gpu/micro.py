"""What a launch, a node of a graph and a barrier cost, and how fast memory is read.

These are the floors that an epoch is held against: it can be no faster than its bytes, its
launches and its barriers. It knows no model.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from sksoftmax_cupy.plan import CLUSTER
from sksoftmax_cupy.source import kernel_source

N_BARRIERS = 10_000
N_LAUNCHES = 1_000

SOURCE = f"""
{kernel_source("primitives.cuh")}
extern "C" __global__ void nothing() {{}}
extern "C" __global__ void in_block(int count) {{
    for (int i = 0; i < count; i++) block_barrier();
}}
#if __CUDA_ARCH__ >= 900
extern "C" __global__ void __cluster_dims__({CLUSTER}, 1, 1) in_cluster(int count) {{
    for (int i = 0; i < count; i++) {{
        cluster_arrive();
        cluster_wait();
    }}
}}
#endif
"""


def timed(function: Any, n_runs: int = 7) -> float:
    """Return the median of milliseconds that the device takes, after a warm-up."""
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    times = []
    for _ in range(n_runs + 1):
        start.record()
        function()
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop))
    return float(np.median(times[1:]))


def measure(capability: tuple[int, int]) -> dict[str, float]:
    """Return costs by name: microseconds, and gigabytes a second.

    Parameters
    ----------
    capability : tuple of two ints
        The device's compute capability.

    Returns
    -------
    dict of str to float
        Without the cluster's barrier where there are no clusters.
    """
    module = cupy.RawModule(code=SOURCE, options=("-std=c++17",))
    nothing, in_block = module.get_function("nothing"), module.get_function("in_block")

    def launches() -> None:
        for _ in range(N_LAUNCHES):
            nothing((1,), (32,), ())

    stream = cupy.cuda.Stream(non_blocking=True)
    nothing((1,), (32,), ())
    with stream:
        stream.begin_capture()
        launches()
        graph = stream.end_capture()
    count = np.int32(N_BARRIERS)
    source = cupy.zeros(2**28, np.float32)
    target = cupy.empty_like(source)
    costs = {
        "launch (us)": 1e3 / N_LAUNCHES * timed(launches),
        "graph node (us)": 1e3 / N_LAUNCHES * timed(lambda: graph.launch()),
        "block barrier, 512 threads (us)": 1e3
        / N_BARRIERS
        * timed(lambda: in_block((CLUSTER,), (512,), (count,))),
        "memory (GB/s)": 2e-6 * source.nbytes / timed(lambda: cupy.copyto(target, source)),
    }
    if capability >= (9, 0):
        in_cluster = module.get_function("in_cluster")
        costs[f"cluster barrier, {CLUSTER} x 512 threads (us)"] = (
            1e3 / N_BARRIERS * timed(lambda: in_cluster((CLUSTER,), (512,), (count,)))
        )
    return costs
