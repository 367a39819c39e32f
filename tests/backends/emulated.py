"""The kernels built for a CPU: a module that the fused trainers take in place of CUDA's."""

import ctypes
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax_cupy.fused import ClusterTrainer, GraphTrainer
from sksoftmax_cupy.plan import (
    CLUSTER,
    MOST_CLASSES,
    ClusterPlan,
    ProductPlan,
    Workload,
    choose_plan,
    cluster_plan,
    graph_plan,
    product_plan,
    unsupported,
)
from sksoftmax_cupy.product import ProductTrainer
from sksoftmax_cupy.source import kernel_source, macros, options

PRIMITIVES = Path(__file__).parent / "emulation" / "primitives.cuh"
KERNELS = {
    "cluster.cu": [("cluster_epoch", CLUSTER)],
    "graph.cu": [
        (f"graph_{name}", 1) for name in ("residuals", "update", "gradient", "own_update")
    ],
    "residual.cu": [("softmax_residuals", 1)],
}
COMPILER = shutil.which("g++")
FLAGS = ("-O1", "-fPIC", "-w")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def emulated_source(name):
    exports = (f"EMULATED({kernel}, {size})" for kernel, size in KERNELS[name])
    return "\n".join([kernel_source(name, PRIMITIVES.read_text()), *exports, ""])


def barriers(name):
    """Where the source of a kernel waits, as spans of its text."""
    text = kernel_source(name, "")
    return [m.span() for m in re.finditer(r"\b\w+_(barrier|wait)\(\);", text)]


def without_barrier(name, number):
    """The source without one of the kernels' waits."""
    kernels, (begin, end) = kernel_source(name, ""), barriers(name)[number]
    whole = emulated_source(name)
    # The kernels follow the primitives: only the end of the text is the same.
    common = len(whole) - whole.index(kernels[begin - 300 : begin + 300]) - 300
    at = len(whole) - common
    assert whole[at : at + end - begin] == kernels[begin:end]
    return whole[:at] + ";" + whole[at + end - begin :]


def build(*arguments, text=None):
    command = [COMPILER, *FLAGS, *arguments]
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def precompiled_headers(folder, flags):
    """What the primitives include, read once for all kernels: a third of a build."""
    headers = folder / f"headers-{sha256(repr(flags).encode()).hexdigest()[:16]}.hpp"
    if not headers.exists():
        headers.write_text(
            "\n".join(re.findall("^#include <.*>$", PRIMITIVES.read_text(), re.M))
        )
        build(*flags, *options({}), "-x", "c++-header", headers, "-o", f"{headers}.gch")
    return headers


class EmulatedModule:
    """Kernels of one file for one kind of work, built with g++ in a folder."""

    def __init__(self, folder, name, definitions, seed=0, source=None, flags=()):
        self.seed = seed
        text = emulated_source(name) if source is None else source
        digest = sha256(repr((text, flags, definitions)).encode()).hexdigest()[:16]
        library = Path(folder) / f"{Path(name).stem}-{digest}.so"
        if not library.exists():
            headers = precompiled_headers(Path(folder), flags)
            build("-shared", "-x", "c++", "-include", headers, *flags, *options(definitions),
                  "-o", library, "-", text=text)  # fmt: skip
        self.library = ctypes.CDLL(str(library))

    def launch(self, launch):
        held = [pointer(argument) for argument in launch.arguments]
        arguments = (ctypes.c_void_p * len(held))(*(array.ctypes.data for array in held))
        self.seed += 1
        status = self.library[f"launch_{launch.kernel}"](
            arguments,
            ctypes.c_uint(launch.grid),
            ctypes.c_uint(launch.block),
            ctypes.c_size_t(launch.shared_bytes),
            ctypes.c_ulonglong(self.seed),
        )
        if status != 0:
            raise RuntimeError("a thread can never go on" if status == 1 else "a bad access")

    def record(self, launches):
        def replay():
            for launch in launches:
                self.launch(launch)

        return replay


def pointer(argument):
    """What a kernel finds for an argument, as an array that holds it."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return np.array(argument.ctypes.data, np.uint64)
    return np.array(argument)


class OnCpu:
    """Stands before a fused trainer whose arrays are NumPy's."""

    def _to_numpy(self, array):
        return np.array(array)


class CpuClusterTrainer(OnCpu, ClusterTrainer):
    pass


class CpuGraphTrainer(OnCpu, GraphTrainer):
    pass


class CpuProductTrainer(OnCpu, ProductTrainer):
    pass


def workload(problem):
    return Workload(
        problem.n_features,
        problem.n_classes,
        problem.batch_size,
        problem.X.dtype,
        problem.dtype,
        problem.X.ctypes.data,
        problem.rule.finds_steps,
    )


class EmulatedBackend:
    """The fused trainers, with few threads so that the loops over them go round.

    Where `gpu` is given, a compute capability and bytes of shared memory, its plan is taken.
    """

    name = "emulated"
    version = "1"
    device = "none"
    xp = np

    def __init__(self, folder, kind, threads=48, rows=16, gpu=None, **module_arguments):
        self.folder, self.kind, self.threads, self.rows = folder, kind, threads, rows
        self.gpu, self.module_arguments = gpu, module_arguments

    def place(self, X):
        return X

    def to_numpy(self, array):
        return np.asarray(array)

    def supports(self, problem):
        return unsupported(problem)

    def trainer(self, problem, state):
        work = workload(problem)
        chosen = None if self.gpu is None else choose_plan(work, *self.gpu)
        assert chosen is None or type(chosen) is self.kind
        if self.kind is ProductPlan:
            plan, name, trainer = product_plan(work, 64), "residual.cu", CpuProductTrainer
        elif work.n_classes > MOST_CLASSES:
            return ArrayTrainer(problem, state)
        elif self.kind is ClusterPlan:
            plan = cluster_plan(work, self.threads, self.rows)
            name, trainer = "cluster.cu", CpuClusterTrainer
        else:
            plan, name, trainer = graph_plan(work, 64), "graph.cu", CpuGraphTrainer
        plan = chosen or plan
        module = EmulatedModule(
            self.folder, name, macros(work, plan.threads), **self.module_arguments
        )
        return trainer(problem, state, plan, module, np)
