"""Which kernels are chosen for a shape, a dtype and a device, and how they divide the work."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import sparse

from sksoftmax.backend.problem import Problem, Rule

pytest.importorskip("cupy")

from sksoftmax_cupy.plan import (
    CLUSTER,
    DEFAULT_SHARED_BYTES,
    FEATURE_TILE,
    ClusterPlan,
    GraphPlan,
    ProductPlan,
    Workload,
    choose_plan,
    unsupported,
)

FLOAT32, FLOAT64, UINT8 = (np.dtype(t) for t in (np.float32, np.float64, np.uint8))
TURING = ((7, 5), 64 * 1024)
AMPERE = ((8, 0), 163 * 1024)
HOPPER = ((9, 0), 227 * 1024)
BLACKWELL = ((12, 0), 99 * 1024)
MNIST = Workload(784, 10, 100, FLOAT32, FLOAT32)


@pytest.mark.parametrize(
    ("work", "device", "kind"),
    [
        (MNIST, HOPPER, ClusterPlan),
        (MNIST, BLACKWELL, ClusterPlan),
        (MNIST, AMPERE, GraphPlan),
        (MNIST, TURING, GraphPlan),
        (replace(MNIST, own_steps=True), HOPPER, ClusterPlan),
        (replace(MNIST, own_steps=True), BLACKWELL, ClusterPlan),
        (replace(MNIST, own_steps=True), AMPERE, GraphPlan),
        (replace(MNIST, batch_size=1000), HOPPER, ClusterPlan),
        (replace(MNIST, row_dtype=UINT8), BLACKWELL, ClusterPlan),
        (replace(MNIST, n_features=785, row_dtype=UINT8), HOPPER, ClusterPlan),
        (replace(MNIST, n_classes=32, row_dtype=FLOAT64, dtype=FLOAT64), HOPPER, ClusterPlan),
        (replace(MNIST, n_features=50_000), HOPPER, GraphPlan),
        (replace(MNIST, n_classes=33), HOPPER, ProductPlan),
        (replace(MNIST, batch_size=10_000, n_classes=20), HOPPER, ProductPlan),
        (Workload(3072, 1000, 1024, FLOAT32, FLOAT32), HOPPER, ProductPlan),
        (Workload(3072, 1000, 1024, FLOAT32, FLOAT32), TURING, ProductPlan),
        (Workload(1, 2, 1, FLOAT64, FLOAT64), HOPPER, ClusterPlan),
        (Workload(1, 2, 1, FLOAT64, FLOAT64), TURING, GraphPlan),
    ],
)
def test_the_choice(work, device, kind):
    assert type(choose_plan(work, *device)) is kind


@pytest.mark.parametrize("device", [TURING, AMPERE, HOPPER, BLACKWELL])
def test_every_plan_can_be_launched(device):
    shapes = product((1, 7, 98, 784, 5000), (2, 10, 17, 32), (1, 16, 100, 1000))
    dtypes = [(FLOAT32, FLOAT32), (UINT8, FLOAT32), (FLOAT64, FLOAT64), (UINT8, FLOAT64)]
    for (n, k, size), (row_dtype, dtype), own in product(shapes, dtypes, (False, True)):
        work = Workload(n, k, size, row_dtype, dtype, own_steps=own)
        plan = choose_plan(work, *device)
        assert plan.threads % FEATURE_TILE == 0
        if isinstance(plan, ClusterPlan):
            elements = work.chunk // row_dtype.itemsize
            assert plan.shared_bytes <= device[1]
            assert CLUSTER * plan.block_features >= n
            assert plan.block_features % elements == plan.pitch % elements == 0
            assert plan.pitch // elements % 2 == 1
            assert plan.tile_rows * plan.score_segments <= plan.threads
            assert 1 <= plan.gradient_segments <= plan.threads
            assert plan.tile_rows <= size
        elif isinstance(plan, GraphPlan):
            n_bytes = plan.residual_bytes, plan.update_bytes, plan.own_update_bytes
            assert max(n_bytes) <= DEFAULT_SHARED_BYTES
            assert plan.residual_rows <= size
        else:
            assert size * n * k >= 1e8


@pytest.mark.parametrize(
    ("work", "chunk"),
    [
        (MNIST, 16),
        (replace(MNIST, address=8), 8),
        (replace(MNIST, n_features=785), 4),
        (replace(MNIST, row_dtype=UINT8), 16),
        (replace(MNIST, row_dtype=UINT8, n_features=788), 4),
        (replace(MNIST, row_dtype=UINT8, n_features=785), 1),
        (replace(MNIST, row_dtype=UINT8, address=2), 1),
        (replace(MNIST, row_dtype=FLOAT64, n_features=785), 8),
    ],
)
def test_rows_are_copied_in_pieces_that_they_are_aligned_to(work, chunk):
    assert work.chunk == chunk


def test_what_the_kernels_lack_is_left_to_the_loop():
    X = np.ones((4, 3))
    one = np.ones(1)
    problem = Problem(
        X=X,
        y=np.array([0, 1, 0, 1], np.int32),
        weights=None,
        n_classes=2,
        dtype=FLOAT64,
        batch_size=2,
        l2=one,
        l1=0 * one,
        penalty_share=1.0,
        average=False,
        fit_intercept=True,
        means=None,
        scales=np.ones(3),
        step_scales=np.ones(3),
    )
    assert unsupported(problem) is None
    assert unsupported(replace(problem, rule=Rule("distance-over-gradients"))) is None
    for changes, what in [
        ({"X": sparse.csr_array(X)}, "sparse rows"),
        ({"X": X.astype(np.int16)}, "rows of int16"),
        ({"X": np.asfortranarray(X)}, "rows that are not contiguous"),
        ({"l1": one}, "an absolute penalty"),
        ({"rule": Rule("adam")}, "Adam"),
        ({"rule": Rule(nesterov=True)}, "Nesterov's momentum"),
        ({"l2": np.ones(2)}, "several models"),
    ]:
        assert unsupported(replace(problem, **changes)) == what
