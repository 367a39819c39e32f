"""The CUDA kernels, compiled for each architecture and run on a CPU beside the reference.

A fit in the emulation goes through the same trainers, plans and kernel sources as on a GPU;
see emulation/primitives.cuh for what stands in for the device, and for what that cannot show.
"""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.testing import AUTOMATIC, CASES, check_backend

pytest.importorskip("cupy")

from emulated import (
    COMPILER,
    EmulatedBackend,
    EmulatedModule,
    barriers,
    without_barrier,
)

from sksoftmax_cupy.plan import ClusterPlan, GraphPlan, ProductPlan, Workload
from sksoftmax_cupy.source import kernel_source, macros, options

PLANS = {"cluster.cu": ClusterPlan, "graph.cu": GraphPlan, "residual.cu": ProductPlan}
ALL = pytest.mark.parametrize("name", PLANS)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no g++")
RULES = {
    "momentum": {},
    "own steps": {
        "rule": Rule(AUTOMATIC, least_weight=0.3),
        "curvature": np.full(1, 2.0),
        "intercept_scale": 0.7,
    },
}
EITHER = pytest.mark.parametrize("rule", RULES)
FLOAT32, FLOAT64, UINT8 = (np.dtype(t) for t in (np.float32, np.float64, np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


def make_problem(n_rows, n_features, n_classes, batch_size, row_dtype, dtype, **changes):
    rng = np.random.default_rng(0)
    X = (rng.random((n_rows, n_features)) * 250).astype(row_dtype)
    one = np.ones(1)
    problem = Problem(
        X=X,
        y=rng.integers(n_classes, size=n_rows).astype(np.int32),
        weights=rng.exponential(size=n_rows).astype(dtype),
        n_classes=n_classes,
        dtype=dtype,
        batch_size=batch_size,
        l2=1e-2 * one,
        l1=0 * one,
        penalty_share=0.9,
        average=True,
        fit_intercept=True,
        means=X.mean(axis=0, dtype=float),
        scales=X.std(axis=0, dtype=float) + 1,
        step_scales=X.std(axis=0, dtype=float) + 2,
        rule=Rule(momentum=0.9 * one),
    )
    return replace(problem, **changes)


def differences(problem, backend, n_epochs=2):
    """Largest relative difference between the kernels and the float64 reference."""
    shape = (1, problem.n_classes, problem.n_features)
    weights = problem.weights.astype(float)
    exact = replace(problem, dtype=FLOAT64, weights=weights)
    trainer = backend.trainer(problem, State.zeros(*shape, problem.dtype))
    reference = ArrayTrainer(exact, State.zeros(*shape, FLOAT64))
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(n_epochs):
        order = rng.permutation(len(problem.y))
        steps = rng.uniform(0.01, 0.05, (1, -(-len(order) // problem.batch_size)))
        ours, true = trainer.run_epoch(order, steps), reference.run_epoch(order, steps)
        pairs = [(ours, true)]
        state, exact_state = trainer.state(), reference.state()
        pairs += [(state.parameters, exact_state.parameters)]
        pairs += [(state.average, exact_state.average)]
        pairs += [(m, exact_state.memory[key]) for key, m in state.memory.items()]
        pairs += [(norm, exact_state.norms[key]) for key, norm in state.norms.items()]
        pairs += [(trainer.penalty(), reference.penalty())]
        for got, expected in pairs:
            difference = np.abs(got - expected).max() / np.abs(expected).max()
            worst = max(worst, np.inf if np.isnan(difference) else float(difference))
    return worst


@pytest.mark.slow
@needs_compiler
@ALL
def test_emulated_kernels_pass_the_conformance_suite(name, folder):
    reports = check_backend(EmulatedBackend(folder, PLANS[name]))
    ran = {report.name for report in reports if not report.refused}
    read = {c.name for c in CASES if c.dtype in ("float64", "uint8")}
    dense = {c.name for c in CASES if not c.csr and c.n_models == 1}
    rule = {c.name for c in CASES if c.optimizer != "adam" and not c.nesterov and not c.l1}
    assert ran >= read & dense & rule
    refused = {report.refused for report in reports if report.refused}
    assert {"sparse rows", "several models", "Adam", "an absolute penalty"} <= refused


SHAPES = {
    # rows, features, classes, batch, dtype of X: how many bytes are copied at once follows
    "16 bytes at once": (50, 256, 3, 20, UINT8, FLOAT32),
    "4 bytes at once": (50, 20, 3, 20, UINT8, FLOAT32),
    "byte by byte": (50, 21, 3, 20, UINT8, FLOAT32),
    "bytes in float64": (50, 24, 3, 20, UINT8, FLOAT64),
    "float32 in float64": (50, 36, 3, 20, FLOAT32, FLOAT64),
    "most classes": (90, 17, 32, 33, FLOAT32, FLOAT32),
    "most classes, float64": (90, 17, 32, 33, FLOAT64, FLOAT64),
    "tiles that fill a batch": (96, 9, 4, 48, FLOAT32, FLOAT32),
    "a last batch of one row": (65, 9, 4, 16, FLOAT32, FLOAT32),
    "more features than threads": (40, 800, 2, 16, FLOAT32, FLOAT32),
    "more steps than a graph has": (150, 3, 2, 2, FLOAT64, FLOAT64),
}


@needs_compiler
@ALL
@EITHER
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_follow_the_reference(name, rule, shape, folder):
    problem = make_problem(*SHAPES[shape], **RULES[rule])
    tolerance = 1e-10 if problem.dtype == FLOAT64 else 1e-4
    assert differences(problem, EmulatedBackend(folder, PLANS[name])) <= tolerance


@needs_compiler
@ALL
@EITHER
@pytest.mark.parametrize("seed", range(100, 112))
def test_any_order_of_threads_and_blocks_gives_the_same_bits(name, rule, seed, folder):
    problem = make_problem(70, 40, 5, 24, FLOAT32, FLOAT32, **RULES[rule])
    states = []
    for start in (0, seed):
        backend = EmulatedBackend(folder, PLANS[name], seed=start)
        trainer = backend.trainer(problem, State.zeros(1, 5, 40, FLOAT32))
        loss = trainer.run_epoch(np.arange(70), np.full((1, 3), 0.05))
        states.append((loss, trainer.state()))
    (first_loss, first), (loss, state) = states
    assert loss == first_loss
    np.testing.assert_array_equal(state.parameters, first.parameters)
    np.testing.assert_array_equal(state.average, first.average)
    assert state.norms == first.norms


@needs_compiler
@ALL
@EITHER
def test_an_epoch_in_parts_of_any_length_is_the_same(name, rule, folder):
    problem = make_problem(100, 20, 5, 24, FLOAT64, FLOAT64, **RULES[rule])
    order = np.random.default_rng(0).permutation(100)
    steps = np.linspace(0.01, 0.05, 5)[None]
    states = []
    for lengths in ([5], [1, 3, 1]):
        trainer = EmulatedBackend(folder, PLANS[name]).trainer(
            problem, State.zeros(1, 5, 20, FLOAT64)
        )
        for first, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
            batches = slice(first, first + length)
            rows = order[24 * first : 24 * (first + length)]
            trainer.run_epoch(rows, steps[:, batches])
        states.append(trainer.state())
    whole, parts = states
    # Where an epoch ends, the average's distance is added up in another order.
    equal = {"rtol": 0 if rule == "momentum" else 1e-13}
    np.testing.assert_allclose(parts.parameters, whole.parameters, **equal)
    np.testing.assert_allclose(parts.average, whole.average, **equal)
    for key, norm in parts.norms.items():
        np.testing.assert_allclose(norm, whole.norms[key], **equal)
    assert parts.n_steps == whole.n_steps == 5


@needs_compiler
@ALL
@EITHER
def test_going_on_from_a_state_gives_the_same_bits(name, rule, folder):
    problem = make_problem(100, 20, 5, 24, FLOAT32, FLOAT32, **RULES[rule])
    backend = EmulatedBackend(folder, PLANS[name])
    trainer = backend.trainer(problem, State.zeros(1, 5, 20, FLOAT32))
    order, steps = np.random.default_rng(0).permutation(100), np.full((1, 5), 0.05)
    trainer.run_epoch(order, steps)
    resumed = backend.trainer(problem, trainer.state())
    for _ in range(2):
        assert resumed.penalty() == trainer.penalty()
        assert resumed.run_epoch(order, steps) == trainer.run_epoch(order, steps)
    ours, others = resumed.state(), trainer.state()
    np.testing.assert_array_equal(ours.parameters, others.parameters)
    np.testing.assert_array_equal(ours.average, others.average)
    assert ours.norms == others.norms


GPUS = {
    "Hopper": ((9, 0), 227 * 1024),
    "Blackwell, for games": ((12, 0), 99 * 1024),
    "Ampere": ((8, 0), 163 * 1024),
}


@needs_compiler
@pytest.mark.parametrize("gpu", GPUS)
@EITHER
@pytest.mark.parametrize("row_dtype", [FLOAT32, UINT8])
def test_the_plans_for_mnist(gpu, rule, row_dtype, folder):
    problem = make_problem(230, 784, 10, 100, row_dtype, FLOAT32, **RULES[rule])
    name = "graph.cu" if gpu == "Ampere" else "cluster.cu"
    backend = EmulatedBackend(folder, PLANS[name], gpu=GPUS[gpu])
    assert differences(problem, backend, n_epochs=1) <= 1e-4


@needs_compiler
@ALL
def test_a_fit_is_that_of_the_numpy_backend(name, folder):
    X, y = load_digits(return_X_y=True)
    X = X[:300].astype(np.uint8)
    common = {"max_iter": 4, "batch_size": 64, "tol": None, "random_state": 0}
    fits = []
    for backend in (EmulatedBackend(folder, PLANS[name]), "numpy"):
        clf = SoftmaxClassifier(backend=backend, **common).fit(X, y[:300])
        clf.set_params(warm_start=True, max_iter=2).fit(X, y[:300])
        fits.append(clf.partial_fit(X[:50], y[:50]))
    ours, numpys = fits
    np.testing.assert_allclose(ours.loss_curve_, numpys.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(X), numpys.predict_proba(X), rtol=0, atol=1e-3
    )


def mutations():
    return [(name, i) for name in PLANS for i in range(len(barriers(name)))]


def test_all_barriers_are_found():
    assert [name for name, _ in mutations()].count("cluster.cu") == 11
    assert [name for name, _ in mutations()].count("graph.cu") == 11
    assert [name for name, _ in mutations()].count("residual.cu") == 2


@needs_compiler
@pytest.mark.parametrize(("name", "number"), mutations())
def test_no_barrier_can_be_left_out(name, number, folder):
    source = without_barrier(name, number)
    shape = (100, 40, 5, 24, FLOAT32, FLOAT32)
    if name == "graph.cu":  # more than one tile of the rows of a batch
        shape = (300, 40, 5, 140, FLOAT32, FLOAT32)

    def is_noticed(rule, seed):
        backend = EmulatedBackend(folder, PLANS[name], seed=10 * seed, source=source)
        try:
            problem = make_problem(*shape, **RULES[rule])
            with np.errstate(all="ignore"):  # of numbers from anywhere
                return differences(problem, backend, n_epochs=1) > 1e-4
        except RuntimeError:
            return True

    assert any(
        is_noticed(rule, seed) for rule in ("own steps", "momentum") for seed in range(6)
    )


@needs_compiler
def test_a_thread_that_waits_for_ever_is_noticed(folder):
    source = (Path(__file__).parent / "emulation" / "primitives.cuh").read_text() + (
        "void stuck(int* out) { if (threadIdx.x > 0) block_barrier(); *out = 1; }\n"
        "EMULATED(stuck, 1)\n"
    )
    from sksoftmax_cupy.module import Launch

    module = EmulatedModule(folder, "stuck.cu", {}, source=source)
    with pytest.raises(RuntimeError, match="can never go on"):
        module.launch(Launch("stuck", 1, 4, 16, (np.zeros(1, np.int32),)))
    module.launch(Launch("stuck", 1, 1, 16, (np.zeros(1, np.int32),)))


SANITIZED = """
import sys
sys.path[:0] = {path!r}
from emulated import SANITIZERS, EmulatedBackend
from test_kernels import PLANS, RULES, SHAPES, differences, make_problem
for name, shapes in {shapes!r}.items():
    for shape, rule in ((shape, rule) for shape in shapes for rule in RULES.values()):
        backend = EmulatedBackend({folder!r}, PLANS[name], flags=SANITIZERS)
        assert differences(make_problem(*SHAPES[shape], **rule), backend) < 1e-4
print("clean")
"""


@pytest.mark.slow
@needs_compiler
def test_sanitizers_find_nothing(folder):
    asan = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("g++ has no libasan")
    shapes = {name: ["byte by byte"] for name in PLANS}
    shapes["cluster.cu"].append("16 bytes at once")
    script = SANITIZED.format(path=sys.path, folder=str(folder), shapes=shapes)
    environment = {**os.environ, "LD_PRELOAD": asan, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "clean\n", done.stderr[-4000:]


ARCHITECTURES = {
    "cluster.cu": ("sm_90", "sm_100", "sm_120"),
    "graph.cu": ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120"),
    "residual.cu": ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120"),
}
KERNEL_COUNTS = {"cluster.cu": 1, "graph.cu": 4, "residual.cu": 1}
KINDS = [
    (FLOAT32, FLOAT32, 784, 10),
    (FLOAT32, FLOAT32, 785, 16),
    (FLOAT32, FLOAT32, 784, 32),
    (UINT8, FLOAT32, 784, 10),
    (UINT8, FLOAT32, 785, 10),
    (UINT8, FLOAT32, 784, 32),
    (FLOAT64, FLOAT64, 784, 8),
    (FLOAT64, FLOAT64, 784, 10),
    (FLOAT64, FLOAT64, 784, 32),
    (UINT8, FLOAT64, 784, 32),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "architecture"), [(n, a) for n, listed in ARCHITECTURES.items() for a in listed]
)
def test_kernels_compile_without_spills(name, architecture):
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    spilled = {}
    kinds = [KINDS[0], KINDS[-1]] if name == "residual.cu" else KINDS  # the arithmetic alone
    rules = (False, True) if name == "cluster.cu" else (False,)  # others have no such macro
    for (row_dtype, dtype, n_features, n_classes), own_steps in product(kinds, rules):
        work = Workload(n_features, n_classes, 100, row_dtype, dtype, own_steps=own_steps)
        log = compiled(nvrtc, name, architecture, options(macros(work, work.most_threads)))
        used = [line for line in log.splitlines() if "spill stores" in line]
        assert len(used) == KERNEL_COUNTS[name], log
        for line in used:
            if ", 0 bytes spill stores, 0 bytes spill loads" not in line:
                spilled[row_dtype.name, dtype.name, n_features, n_classes, own_steps] = line
    assert not spilled


def compiled(nvrtc, name, architecture, flags):
    """Compile for real, down to machine code; return what the assembler reports."""
    source = kernel_source(name).encode()
    error, program = nvrtc.nvrtcCreateProgram(source, name.encode(), 0, [], [])
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS
    flags = [f"-arch={architecture}", "-default-device", "--ptxas-options=-v", *flags]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(flags), [f.encode() for f in flags])
    log = b" " * nvrtc.nvrtcGetProgramLogSize(program)[1]
    nvrtc.nvrtcGetProgramLog(program, log)
    text = log.decode().rstrip("\0")
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, text
    _, n_bytes = nvrtc.nvrtcGetCUBINSize(program)
    assert n_bytes > 1000
    nvrtc.nvrtcDestroyProgram(program)
    return text
