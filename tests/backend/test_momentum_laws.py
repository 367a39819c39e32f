"""Lazy updates of momentum: the laws by which untouched features are caught up with.

The laws are held to literal recurrences, the trainers that use them to dense updates over long
runs.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.optimizers import averaging_weight
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.sparse.choice import lazy_trainer
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.momentum import LinearTrainer, ShrinkingTrainer
from sksoftmax.backend.sparse.momentum_laws import LONGEST_RUN, LinearLaw, ShrinkingLaw
from sksoftmax.backend.state import State

DIGITS, DIGIT = load_digits(return_X_y=True)


def many_steps(trainer, X, **changes):
    """States and objectives of epochs of 400 small steps, from a state that is not zero."""
    rng = np.random.default_rng(1)
    n_rows, n_features = X.shape
    problem = Problem(
        X=X, y=rng.integers(3, size=n_rows).astype(np.int32), weights=None, n_classes=3,
        dtype=np.dtype(float), batch_size=2, l2=np.full(1, 0.3), l1=np.zeros(1),
        penalty_share=1.0, average=True, fit_intercept=True,
        means=None, scales=rng.uniform(0.5, 1, n_features),
        step_scales=rng.choice([1.0, 1.5, 2.0, np.inf], n_features),
        rule=Rule(momentum=np.full(1, 0.9)),
    )  # fmt: skip
    problem = Problem(**{**vars(problem), **changes})
    start = rng.standard_normal((1, 3, n_features + 1))
    memory = {"velocity": rng.standard_normal(start.shape) / 100}
    state = State(start, start / 2, memory, np.zeros(n_features), 5)
    running = trainer(problem, state)
    for _ in range(3):
        order = rng.permutation(n_rows)
        objective = running.run_epoch(order, rng.uniform(1e-4, 2e-3, (1, n_rows // 2)))
        yield objective, running.state()


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rule": Rule(momentum=np.full(1, 0.3))},
        {"rule": Rule(momentum=np.zeros(1))},
        {"l2": np.full(1, 300.0)},
        {"l2": np.zeros(1)},
        {"l1": np.full(1, 0.05), "rule": Rule(momentum=np.zeros(1))},
        {"l1": np.full(1, 0.5), "l2": np.zeros(1), "rule": Rule(momentum=np.zeros(1))},
        {"l1": np.full(1, 0.05), "l2": np.full(1, 300.0), "rule": Rule(momentum=np.zeros(1))},
    ],
)
def test_lazy_updates_are_the_dense_ones_over_long_runs(parameters, average):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((800, 12)) * (rng.random((800, 12)) < 0.02)
    X = sparse.csr_array(dense)
    lazy = ShrinkingTrainer if "l1" in parameters else LinearTrainer
    pairs = zip(
        many_steps(lazy, X, average=average, **parameters),
        many_steps(ArrayTrainer, dense, average=average, **parameters),
        strict=True,
    )
    for (objective, state), (expected, exact) in pairs:
        assert_allclose(objective, expected, rtol=1e-11)
        assert_allclose(state.parameters, exact.parameters, rtol=1e-9, atol=1e-11)
        assert_allclose(state.average, exact.average, rtol=1e-9, atol=1e-11)
        assert_array_equal(state.parameters == 0, exact.parameters == 0)
        for name, moment in exact.memory.items():
            assert_allclose(state.memory[name], moment, rtol=1e-9, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    momentum=st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.99]),
    decay=st.floats(0, 2),
    largest=st.floats(1e-3, 1),
    seed=st.integers(0, 10**6),
)
def test_linear_law_is_the_recurrence(momentum, decay, largest, seed):
    rng = np.random.default_rng(seed)
    steps = rng.uniform(largest / 2, largest, 100)
    changes = rng.standard_normal(100) * (rng.random(100) < 0.2)
    law = LinearLaw.tabulate(steps, np.array([decay]), momentum, n_done=3)
    weight, velocity, average = state = rng.standard_normal(3)
    if not momentum:
        state, velocity = state[[0, 2]], 0.0
    constant = law.start[0] @ state
    for t in range(law.n_steps):
        n_modes = law.read.shape[2]
        size = max(abs(weight), abs(velocity), 1)
        assert abs(law.read[t, 0] @ constant[:n_modes] - weight) < 1e-9 * size
        velocity = momentum * velocity - steps[t] * decay * weight + changes[t]
        weight += velocity
        average += averaging_weight(4 + t) * (weight - average)
        constant = constant + law.write[t, 0] * changes[t]
    expected = [weight, velocity, average] if momentum else [weight, average]
    size = max(1, np.abs(expected).max())
    assert_allclose(law.finish[0] @ constant, expected, atol=1e-9 * size)


def test_long_runs_are_cut_before_they_leave_the_range():
    steps = np.full(10_000, 0.1)
    law = LinearLaw.tabulate(steps, np.array([0.0, 1e-3]), 0.5, n_done=None)
    assert 40 < law.n_steps < 60  # 0.5 to the 50th is 1e-15
    assert np.isfinite(law.write).all()
    stopped = LinearLaw.tabulate(steps, np.array([10.0]), 0.0, n_done=None)  # 1 - 0.1 * 10 = 0
    assert stopped.n_steps == 1
    assert np.isfinite(stopped.write).all()
    shrinking = ShrinkingLaw.tabulate(steps, np.array([0.5]), np.array([1.0]), n_done=0)
    assert shrinking.n_steps == LONGEST_RUN  # 0.95 to the 512th is still in range


def test_dense_updates_where_no_law_is_known():
    X, y = sparse.csr_array(DIGITS), DIGIT
    backend = get_backend("numpy")
    seen = []

    def noted(problem, state):
        seen.append(lazy_trainer(problem))
        return ArrayTrainer(problem, state)

    backend.trainer = noted
    given = {"learning_rate": 0.01}
    for parameters in (
        {},
        {"l1_ratio": 0.5},
        given,
        {**given, "l1_ratio": 0.5, "momentum": 0},
        {**given, "l1_ratio": 0.5},
        {**given, "nesterov": True},
        {**given, "optimizer": "adam"},
    ):
        SoftmaxClassifier(backend=backend, max_iter=1, tol=None, **parameters).fit(X, y)
    assert seen == [DistanceTrainer, None, LinearTrainer, ShrinkingTrainer, None, None, None]
