"""Lazy updates of the rule that finds its own steps: those of dense rows, and no more work.

The law by which untouched features are caught up with is held to a literal recurrence, the
trainers that use it to dense updates.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sparse_problems import own_steps, own_steps_match_dense_ones

from sksoftmax import get_backend, list_backends
from sksoftmax.backend.sparse.base import penalty_groups
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.distance_law import RunningLaw
from sksoftmax.backend.state import State

BACKENDS = [b.name for b in list_backends() if b.available and b.name != "torch"]


def test_features_of_one_ratio_are_a_group():
    scales = np.array([2.0, 3.0, 4.0, 5.0, 7.0])
    step_scales = scales * [1, 1, 2, 1 + 1e-15, np.inf]
    problem = own_steps(np.eye(5), scales=scales, step_scales=step_scales)
    group, ratio = penalty_groups(problem)
    assert_allclose(ratio[group], [1, 1, 0.5, 1, 0])
    assert len(ratio) == 3
    group, ratio = penalty_groups(problem, np.array([3, 0]))
    assert_allclose(ratio[group], [1, 1])
    assert len(ratio) == 1


def host_trainers():
    names = [name for name in BACKENDS if name in ("numpy", "numba")]
    return [DistanceTrainer, *(get_backend(name).distance_trainer for name in names)]


@pytest.mark.parametrize("make", host_trainers())
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"l2": np.zeros(1)},
        {"l2": np.full(1, 3.0)},
        {"l2": np.full(1, 300.0), "batch_size": 16},
        {"fit_intercept": False, "means": None},
        {"fit_intercept": False},
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_own_steps_are_the_dense_ones(make, changes, is_new):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((400, 20)) * (
        rng.random((400, 20)) < np.geomspace(0.01, 0.9, 20)
    )
    dense[:, 5], dense[:, 6] = 0, 7
    problem = own_steps(dense, **changes)
    start = State.zeros(1, 3, 20, problem.dtype)
    if not is_new:
        parameters = rng.standard_normal((1, 3, 21))
        average = parameters + rng.standard_normal((1, 3, 21)) / 4
        start = replace(start, parameters=parameters, average=average)
    own_steps_match_dense_ones(make, problem, start, 1e-10)


@pytest.mark.parametrize("make", host_trainers())
@pytest.mark.parametrize("share", [1, 0.99])
@pytest.mark.parametrize("deviations", [1, 10, 100, 1000])
def test_columns_far_from_zero_are_centred_without_loss(make, deviations, share):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((400, 12)) * (rng.random((400, 12)) < 0.1)
    far = rng.standard_normal((400, 2)) + np.array([deviations, -deviations])
    dense[:, :2] = np.float32(far * [1, 50] * (rng.random((400, 2)) < share))
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
        problem = own_steps(dense, dtype)
        start = State.zeros(1, 3, 12, problem.dtype)
        own_steps_match_dense_ones(make, problem, start, tolerance)


def test_products_are_folded_within_an_epoch():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((600, 12)) * (rng.random((600, 12)) < 0.1)
    problem = own_steps(dense, l2=np.full(1, 30.0))
    folds = []

    class Counted(DistanceTrainer):
        def _add_up(self):
            folds.append(self._n_steps)
            super()._add_up()

    own_steps_match_dense_ones(Counted, problem, State.zeros(1, 3, 12, problem.dtype), 1e-10)
    assert len(folds) > 6 + 5  # a segment begins with one, and so does the trainer


def test_own_steps_touch_the_features_of_their_batch_alone():
    touched, n_slots = [], []

    class Counted(DistanceTrainer):
        def _write_gradient(self, slots, *arguments):
            touched.append(len(slots))
            super()._write_gradient(slots, *arguments)

    for n_features in (100, 10_000):
        rng = np.random.default_rng(0)
        dense = rng.random((400, n_features))
        dense[rng.random((400, n_features)) > 5 / n_features] = 0
        trainer = Counted(own_steps(dense), State.zeros(1, 3, n_features, np.dtype(float)))
        trainer.run_epoch(np.arange(400), np.ones((1, 100)))
        n_slots.append(len(trainer._features))
    assert max(touched) <= 40  # four rows of about five
    assert n_slots[1] <= 2000  # features that no row holds have no slot at all


def test_means_of_earlier_rows_move_features_that_no_row_holds():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((60, 8)) * (rng.random((60, 8)) < 0.3)
    problem = own_steps(dense)
    dense[:, 3] = 0
    problem = replace(problem, X=sparse.csr_array(dense), means=problem.means + 0.1)
    start = State.zeros(1, 3, 8, problem.dtype)
    trainer = own_steps_match_dense_ones(DistanceTrainer, problem, start, 1e-10)
    assert trainer.state().parameters[0, :, 3].any()


@pytest.mark.parametrize("make", host_trainers())
def test_own_steps_resume_bit_for_bit(make):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((200, 10)) * (rng.random((200, 10)) < 0.3)
    problem = own_steps(dense, "float32")
    order, factors = rng.permutation(200), np.ones((1, 50))
    whole = make(problem, State.zeros(1, 3, 10, problem.dtype))
    whole.run_epoch(order, factors)
    resumed = make(problem, whole.state())
    assert_array_equal(resumed.run_epoch(order, factors), whole.run_epoch(order, factors))
    for name in ("parameters", "average"):
        assert_array_equal(getattr(resumed.state(), name), getattr(whole.state(), name))
    for name, norm in whole.state().norms.items():
        assert_array_equal(resumed.state().norms[name], norm)


@settings(max_examples=60, deadline=None)
@given(decay=st.floats(0, 4), largest=st.floats(1e-3, 1), seed=st.integers(0, 10**6))
def test_running_law_is_the_recurrence(decay, largest, seed):
    rng = np.random.default_rng(seed)
    law = RunningLaw(np.array([decay]), np.ones(1, bool), 1, 0.8)
    law.restart()
    z, a = rng.standard_normal(2)
    w = np.array([z, a - z])
    law.squares[0] = np.outer(w, w)
    for step, newest in zip(rng.uniform(0, largest, 60), rng.uniform(0, 1, 60), strict=True):
        y, g = 0.2 * z + 0.8 * a, rng.standard_normal() * (rng.random() < 0.3)
        size = max(abs(z), abs(a), 1)
        assert abs(law.point()[0] @ w - y) < 1e-10 * size
        along, lengths = w[None] * g, np.array([g * g])
        squared = law.squared_gradient(law.point(), along, lengths)
        assert abs(squared - (g + decay * y) ** 2) < 1e-9 * max(1, squared)
        z = z - step * (decay * y + g)
        a = a + newest * (z - a)
        if not law.advance(step, newest):
            w = law.product[0] @ w
            law.restart()
            law.squares[0] = np.outer(w, w)
            along = w[None] * g
        write = law.writing()
        law.add(write, along, lengths, np.zeros((1, 1)), np.zeros(1))
        w = w + write[0] * g
        size = max(abs(z), abs(a), 1)
        assert_allclose(law.product[0] @ w, [z, a - z], atol=1e-10 * size)
        assert abs(law.squared_average() - a * a) < 1e-9 * size**2
